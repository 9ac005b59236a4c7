//! Larder's edge node: a reverse proxy with a tiered HTTP cache.
//!
//! `ARCHITECTURE.md` is the map. A file imports only from below its own floor; siblings never meet:
//!
//! ```text
//! main > cli > demo > node offline > config > admin listener > proxy > boarding > admit deliver depart fetch pass purging query >
//! blocks > worker > outcome > purge > route filter cache coalesce > origin transform rescue access_log > policy > context >
//! error status content > http clock limits target tasks telemetry fence
//! ```

pub mod access_log;
pub mod admin;
pub mod admit;
pub mod blocks;
pub mod boarding;
pub mod cache;
pub mod clock;
pub mod coalesce;
pub mod config;
pub mod content;
pub mod context;
pub mod deliver;
pub mod demo;
pub mod depart;
pub mod error;
pub mod fence;
pub mod fetch;
pub mod http;
pub mod limits;
pub mod listener;
pub mod node;
pub mod offline;
pub mod origin;
pub mod outcome;
pub mod pass;
pub mod policy;
pub mod proxy;
pub mod purge;
pub mod purging;
pub mod query;
pub mod rescue;
pub mod route;
pub mod status;
pub mod target;
pub mod tasks;
pub mod telemetry;
pub mod transform;
pub mod worker;
