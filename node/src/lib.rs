//! Larder's edge node: a reverse proxy with a tiered HTTP cache.
//!
//! A file imports only from below its own floor; siblings never meet:
//!
//! ```text
//! main > node, demo > config > admin listener > proxy purge > route >
//! filter cache coalesce origin transform rescue access_log > policy > context > error status >
//! http clock limits tasks telemetry
//! ```

pub mod access_log;
pub mod clock;
pub mod error;
pub mod http;
pub mod limits;
pub mod listener;
pub mod origin;
pub mod policy;
pub mod route;
pub mod status;
pub mod tasks;
pub mod telemetry;
pub mod transform;
