//! Which site a request belongs to.

pub mod matcher;

use crate::{origin, policy, transform};

pub use matcher::Sites;

/// One site, as meant: the hosts it answers for and what it says to every part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteConfig {
    /// The name in logs and metrics: the first host unless the file names it.
    pub name: String,
    /// `www.example.com`, `*.example.com` or `*`, lower case.
    pub hosts: Vec<String>,
    /// Where answers come from.
    pub origin: origin::Config,
    /// How they are cached.
    pub policy: policy::Config,
    /// How they are compressed.
    pub compress: transform::compress::Config,
    /// Bytes of a request body, at the most.
    pub request_body_max: u64,
    /// Whether clients see `Surrogate-Key`, `Cache-Tag` and `Cache-Groups`.
    pub show_tags: bool,
}
