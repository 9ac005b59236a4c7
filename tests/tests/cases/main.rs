//! The cases: one module an idea, every case against a real node over real sockets.

mod blocks;
mod caching;
mod collapse;
mod compression;
mod conditionals;
mod cuts;
mod disk;
mod endpoints;
mod expect;
mod fleet;
mod forwarding;
mod framing;
mod harness;
mod invalidation;
mod keying;
mod large;
mod limits;

mod many_ranges;
mod neighbours;
mod peers;
mod purge;
mod purging;
mod ranges;
mod rules;
mod seeing;
mod simulation;
mod spelling;
mod stage;
mod stale;
mod tls;
mod told;
mod truncation;
mod vary;
