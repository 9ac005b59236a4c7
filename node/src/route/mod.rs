//! Which site a request belongs to, and which of its rules.

pub mod matcher;
pub mod rule;

use std::sync::Arc;

use ipnet::IpNet;

use crate::policy::vary::Selecting;
use crate::{origin, policy, transform};

pub use matcher::Sites;
use rule::Rule;

/// Who may purge by requests to the site itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Purging {
    /// From where.
    pub networks: Vec<IpNet>,
    /// Or with what in `Authorization: Bearer` or `Fastly-Key`.
    pub token: Option<Arc<str>>,
    /// By tag as well, which reaches every site of the node.
    pub tags: bool,
}

impl std::fmt::Debug for Purging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.as_ref().map(|_| "(secret)");
        f.debug_struct("Purging")
            .field("networks", &self.networks)
            .field("token", &token)
            .field("tags", &self.tags)
            .finish()
    }
}

/// One site, as meant: the hosts it answers for and what it says to every part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteConfig {
    /// The name in logs and metrics: the first host unless the file names it.
    pub name: String,
    /// `www.example.com`, `*.example.com` or `*`, lower case.
    pub hosts: Vec<String>,
    /// Where answers come from.
    pub origin: origin::Config,
    /// What the origin chooses them by.
    pub vary: policy::negotiate::Config,
    /// How they are cached.
    pub policy: policy::Config,
    /// What is different for some requests, in the order of the file.
    pub rules: Vec<Rule>,
    /// The rule that this is the site of, for a site as it is where a rule holds.
    pub rule: Option<Rule>,
    /// How they are compressed.
    pub compress: transform::compress::Config,
    /// Bytes of a request body, at the most.
    pub request_body_max: u64,
    /// Who may send it `PURGE`; without it nobody.
    pub purge: Option<Purging>,
    /// Bytes of the blocks in which a large answer is fetched when a range of it is asked for; 0 fetches answers whole.
    pub range_block: u64,
    /// Whether clients see `Surrogate-Key`, `Cache-Tag` and `Cache-Groups`.
    pub show_tags: bool,
}

impl SiteConfig {
    /// The site as it is where `rule` holds: everything below works with it as with any other site.
    #[must_use]
    pub fn under(&self, rule: &Rule) -> Self {
        Self { policy: rule.policy.clone(), rules: Vec::new(), rule: Some(rule.clone()), ..self.clone() }
    }

    /// What selects a stored answer here besides the URL.
    #[must_use]
    pub fn selecting(&self) -> Selecting<'_> {
        Selecting { own_encoding: self.compress.enabled, keying: &self.policy.keying }
    }

    /// What `Cache-Status` and the log say of the rule, where there is one.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.rule.as_ref().map(|rule| &*rule.detail)
    }
}
