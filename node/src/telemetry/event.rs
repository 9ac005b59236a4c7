//! What happens in the node, one struct an event: `emit` writes its log line and counts it, in the same words.

use std::fmt::Display;
use std::time::Duration;

use super::metric::{Metrics, Site};

/// An exchange is over. Its log line is the access log's.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// The counters of the site it belongs to.
    pub site: &'a Site,
    /// How it was served: the position in the label set (`Served::Hit as usize`).
    pub served: usize,
    /// Bytes of the body given to the connection.
    pub bytes: u64,
    /// From the complete request head to the last byte given to the connection.
    pub duration: Duration,
}

impl Exchange<'_> {
    /// Counts it.
    pub fn emit(&self) {
        self.site.record(self.served, self.bytes, self.duration);
    }
}

/// An answer was not stored.
#[derive(Debug)]
pub struct NotStored<'a> {
    /// The spelling of `status::NotStored`.
    pub reason: &'static str,
    /// The cache key's URL.
    pub url: &'a str,
}

impl NotStored<'_> {
    /// Logs it for whoever looks for it, and counts it.
    pub fn emit(&self, metrics: &Metrics) {
        tracing::debug!(reason = self.reason, url = self.url, "not stored");
        metrics.not_stored(self.reason);
    }
}

/// A request was answered by another one's fetch.
#[derive(Debug)]
pub struct Collapsed<'a> {
    /// The cache key's URL.
    pub url: &'a str,
}

impl Collapsed<'_> {
    /// Logs it for whoever looks for it, and counts it.
    pub fn emit(&self, metrics: &Metrics) {
        tracing::trace!(url = self.url, "collapsed");
        metrics.collapsed();
    }
}

/// An exchange failed.
pub struct Failed<'a> {
    /// The spelling of `error::Kind`.
    pub kind: &'static str,
    /// Whether the client caused it: nothing an operator has to look at.
    pub by_client: bool,
    /// The site's name.
    pub site: &'a str,
    /// The URL asked for.
    pub url: &'a str,
    /// The particulars.
    pub detail: &'a dyn Display,
}

impl Failed<'_> {
    /// Logs it, as a warning unless the client caused it, and counts it.
    pub fn emit(&self, metrics: &Metrics) {
        let Self { kind, site, url, detail, .. } = self;
        if self.by_client {
            tracing::debug!(kind, site, url, %detail, "failed");
        } else {
            tracing::warn!(kind, site, url, %detail, "failed");
        }
        metrics.error(self.kind);
    }
}

/// The configuration was read again.
#[derive(Debug)]
pub enum Reloaded<'a> {
    /// It holds now.
    Applied {
        /// What changed.
        changed: &'a [String],
        /// What is hardly meant.
        warnings: &'a [String],
    },
    /// The old one stays; why.
    Refused(&'a [String]),
}

impl Reloaded<'_> {
    /// Logs and counts it, in the words with which `POST /reload` is answered.
    pub fn emit(&self, metrics: &Metrics) {
        match self {
            Self::Applied { changed, warnings } => {
                tracing::info!(changed = changed.join("; "), "configuration reloaded");
                for warning in *warnings {
                    tracing::warn!(warning, "configuration");
                }
            }
            Self::Refused(reasons) => {
                tracing::error!(reasons = reasons.join("; "), "configuration refused, the old one stays");
            }
        }
        metrics.reloaded(matches!(self, Self::Applied { .. }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metric::Labels;

    #[test]
    fn every_event_is_counted_under_its_name() {
        let labels = Labels { served: vec!["hit"], not_stored: vec!["private"], errors: vec!["loop"] };
        let metrics = Metrics::new(labels, 1);
        let site = metrics.site("www");
        Exchange { site: &site, served: 0, bytes: 5, duration: Duration::ZERO }.emit();
        NotStored { reason: "private", url: "http://a:80/" }.emit(&metrics);
        Collapsed { url: "http://a:80/" }.emit(&metrics);
        Failed { kind: "loop", by_client: false, site: "www", url: "u", detail: &"d" }.emit(&metrics);
        Reloaded::Applied { changed: &[], warnings: &[] }.emit(&metrics);
        let text = metrics.encode();
        for line in [
            "larder_requests_total{site=\"www\",served=\"hit\"} 1",
            "larder_not_stored_total{reason=\"private\"} 1",
            "larder_collapsed_total 1",
            "larder_errors_total{kind=\"loop\"} 1",
            "larder_reloads_total{outcome=\"applied\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
