//! The harness: every case has three actors and they talk over real sockets.
//!
//! - [`Origin`]: a scripted web server in this process. Its bodies name their own URL, version and hash ([`page`]).
//! - [`Node`]: the real `larder` binary with a configuration of its own, always ended with its case.
//! - [`Client`]: HTTP/1.1 to the byte, or [`h2`] over TLS.
//!
//! A case starts with [`Case::new`] (its title) and ends with counters. Nothing sleeps: an answer is held by a [`Gate`],
//! and whatever takes its own time is waited for with [`until`]. Staleness is made by `Age`, not by waiting.

mod answer;
mod case;
mod client;
pub mod fleet;
mod gate;
pub mod h2;
pub mod link;
pub mod metrics;
pub mod nginx;
mod node;
pub mod origin;
pub mod page;
mod ports;
pub mod purge;
mod recipe;
pub mod tls;
mod wire;

pub use answer::{Answer, CacheStatus, End};
pub use case::Case;
pub use client::{Ask, Client};
pub use gate::{Gate, spawn, until, until_within};
pub use node::{Node, TOKEN, binary, write};
pub use origin::{Asked, Origin, Reply};
pub use recipe::Recipe;

/// The folder of the workspace.
#[must_use]
pub fn workspace() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the workspace")
}
