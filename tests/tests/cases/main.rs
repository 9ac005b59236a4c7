//! The cases: one module an idea, every case against a real node over real sockets.

mod harness;
