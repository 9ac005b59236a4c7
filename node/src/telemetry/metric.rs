//! Counters and histograms. On the hit path: three relaxed additions to cells that no other worker writes. Sums are
//! made when somebody scrapes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

/// The `Content-Type` of what [`Metrics::encode`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the duration buckets, microseconds: from a hit in memory to a client at walking pace.
const BOUNDS_MICROS: [u64; 18] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// The closed sets of label values, in the order of their enums (`Served::ALL` and so on).
#[derive(Debug, Clone, Default)]
pub struct Labels {
    /// `served` of requests; a position in this list is what [`Site::record`] takes.
    pub served: Vec<&'static str>,
    /// `reason` of answers not stored.
    pub not_stored: Vec<&'static str>,
    /// `kind` of failures.
    pub errors: Vec<&'static str>,
}

/// Every metric of the node. Clones share it.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    served: Vec<&'static str>,
    workers: usize,
    sites: RwLock<BTreeMap<String, Arc<Site>>>,
    not_stored: Table,
    errors: Table,
    reloads: Table,
    collapsed: AtomicU64,
    gatherers: RwLock<Vec<Gatherer>>,
}

/// A reader of another part's values at scrape time.
pub type Gatherer = Box<dyn Fn(&mut Samples<'_, '_>) + Send + Sync>;

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("workers", &self.workers).finish_non_exhaustive()
    }
}

impl Metrics {
    /// `workers`: threads that record without getting into each other's way.
    #[must_use]
    pub fn new(labels: Labels, workers: usize) -> Self {
        Self(Arc::new(Inner {
            served: labels.served,
            workers: workers.max(1),
            sites: RwLock::default(),
            not_stored: Table::new(labels.not_stored),
            errors: Table::new(labels.errors),
            reloads: Table::new(vec!["applied", "refused"]),
            collapsed: AtomicU64::new(0),
            gatherers: RwLock::default(),
        }))
    }

    /// The counters of a site, made at its first mention; ask once per site, not per request.
    #[must_use]
    pub fn site(&self, name: &str) -> Arc<Site> {
        if let Some(site) = self.0.sites.read().get(name) {
            return Arc::clone(site);
        }
        let mut sites = self.0.sites.write();
        let cells = || (0..self.0.workers * self.0.served.len()).map(|_| Cell::default()).collect();
        let new = || Arc::new(Site { served: self.0.served.len(), cells: cells() });
        Arc::clone(sites.entry(name.to_owned()).or_insert_with(new))
    }

    /// Forgets the sites that a reload took away, so that reloads do not grow the scrape for ever.
    pub fn keep_sites(&self, is_configured: impl Fn(&str) -> bool) {
        self.0.sites.write().retain(|name, _| is_configured(name));
    }

    /// An answer was not stored, `reason` as in [`Labels::not_stored`].
    pub fn not_stored(&self, reason: &str) {
        self.0.not_stored.count(reason);
    }

    /// An exchange failed, `kind` as in [`Labels::errors`].
    pub fn error(&self, kind: &str) {
        self.0.errors.count(kind);
    }

    /// A request was answered by another one's fetch.
    pub fn collapsed(&self) {
        self.0.collapsed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reloaded(&self, applied: bool) {
        self.0.reloads.count(if applied { "applied" } else { "refused" });
    }

    /// Adds a reader of values that live in another part; called at every scrape, off the hot path. The families of
    /// all readers must have different names.
    pub fn gather(&self, gatherer: impl Fn(&mut Samples<'_, '_>) + Send + Sync + 'static) {
        self.0.gatherers.write().push(Box::new(gatherer));
    }

    /// Everything as OpenMetrics text, which a Prometheus of any age reads.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut registry = Registry::with_prefix("larder");
        registry.register_collector(Box::new(Arc::clone(&self.0)));
        let mut text = String::with_capacity(16 * 1024);
        if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
            tracing::error!("metrics could not be encoded");
        }
        text
    }
}

/// The counters of one site.
#[derive(Debug)]
pub struct Site {
    served: usize,
    /// Worker by worker, in each the ways of serving.
    cells: Box<[Cell]>,
}

/// Aligned so that no two share a cache line (two lines, as processors fetch them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Cell {
    bytes: AtomicU64,
    micros: AtomicU64,
    /// The last is for what is longer than all bounds. Their sum is the number of requests.
    buckets: [AtomicU64; BOUNDS_MICROS.len() + 1],
}

thread_local! {
    /// The cells a thread writes to, dealt out in the order threads first record.
    static THREAD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

impl Site {
    /// One exchange is over. `served`: the position in [`Labels::served`] (`Served::Hit as usize`); another one is not
    /// counted. `duration`: from the complete request head to the last byte given to the connection.
    pub fn record(&self, served: usize, bytes: u64, duration: Duration) {
        let workers = self.cells.len() / self.served.max(1);
        let worker = THREAD.with(|thread| thread % workers.max(1));
        if served >= self.served {
            return;
        }
        let Some(cell) = self.cells.get(worker * self.served + served) else { return };
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_MICROS.partition_point(|&bound| bound < micros);
        cell.bytes.fetch_add(bytes, Ordering::Relaxed);
        cell.micros.fetch_add(micros, Ordering::Relaxed);
        cell.buckets[bucket].fetch_add(1, Ordering::Relaxed);
    }

    /// Requests served in one way so far.
    #[must_use]
    pub fn requests(&self, served: usize) -> u64 {
        self.total(served).buckets.iter().sum()
    }

    fn total(&self, served: usize) -> Total {
        let mut total = Total::default();
        for cell in self.cells.iter().skip(served).step_by(self.served.max(1)) {
            total.bytes = total.bytes.wrapping_add(cell.bytes.load(Ordering::Relaxed));
            total.micros = total.micros.wrapping_add(cell.micros.load(Ordering::Relaxed));
            for (sum, bucket) in total.buckets.iter_mut().zip(&cell.buckets) {
                *sum = sum.wrapping_add(bucket.load(Ordering::Relaxed));
            }
        }
        total
    }
}

#[derive(Default)]
struct Total {
    bytes: u64,
    micros: u64,
    buckets: [u64; BOUNDS_MICROS.len() + 1],
}

/// Counters for a closed set of names; what is none of them is `other`.
#[derive(Debug)]
struct Table {
    names: Vec<&'static str>,
    counts: Box<[AtomicU64]>,
}

impl Table {
    fn new(mut names: Vec<&'static str>) -> Self {
        names.push("other");
        let counts = names.iter().map(|_| AtomicU64::new(0)).collect();
        Self { names, counts }
    }

    fn count(&self, name: &str) {
        let position = self.names.iter().position(|known| *known == name).unwrap_or(self.names.len() - 1);
        if let Some(count) = self.counts.get(position) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn samples<'a>(&'a self, label: &'a str) -> impl Iterator<Item = ([(&'a str, &'a str); 1], u64)> {
        let all = self.names.iter().zip(&self.counts);
        all.map(move |(name, count)| ([(label, *name)], count.load(Ordering::Relaxed)))
            .filter(|(labels, count)| *count > 0 || labels[0].1 != "other")
    }
}

/// What a gatherer writes into: one call for each family. Names come without `larder_` and counters without `_total`.
pub struct Samples<'a, 'b>(&'b mut DescriptorEncoder<'a>);

impl Samples<'_, '_> {
    /// A family of values that only grow: `out.counter("evictions", "Help", [([("tier", "disk")], 5_u64)])`.
    pub fn counter<'l, const N: usize, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'l str, &'l str); N], V)>,
    ) {
        self.family(name, help, MetricType::Counter, samples, |encoder, value| {
            encoder.encode_counter::<NoLabelSet, V, f64>(&value, None)
        });
    }

    /// A family of values that go up and down: `out.gauge("connections", "Help", [([], 7_u64)])`.
    pub fn gauge<'l, const N: usize, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'l str, &'l str); N], V)>,
    ) {
        self.family(name, help, MetricType::Gauge, samples, |encoder, value| encoder.encode_gauge(&value));
    }

    fn histogram<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'l str, &'l str); N], Total)>,
    ) {
        self.family(name, help, MetricType::Histogram, samples, |encoder, total| {
            let bounds = BOUNDS_MICROS.iter().map(|&micros| micros as f64 / 1e6).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = bounds.zip(total.buckets).collect();
            let count = total.buckets.iter().sum();
            encoder.encode_histogram::<NoLabelSet>(total.micros as f64 / 1e6, count, &buckets, None)
        });
    }

    fn family<'l, const N: usize, V>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = ([(&'l str, &'l str); N], V)>,
        mut encode: impl FnMut(&mut MetricEncoder<'_>, V) -> fmt::Result,
    ) {
        let write = || -> fmt::Result {
            let mut family = self.0.encode_descriptor(name, help, None, kind)?;
            for (labels, value) in samples {
                if N == 0 {
                    encode(&mut family, value)?;
                } else {
                    encode(&mut family.encode_family(&labels)?, value)?;
                }
            }
            Ok(())
        };
        // Writing into a string cannot fail.
        if write().is_err() {
            tracing::error!(metric = name, "could not be encoded");
        }
    }
}

impl Collector for Inner {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Samples(&mut encoder);
        let sites = self.sites.read().clone();
        let served = || {
            let each = |site| self.served.iter().enumerate().map(move |(i, served)| (site, i, *served));
            sites.iter().flat_map(each)
        };
        let label = |name, served| [("site", name), ("served", served)];

        let requests =
            served().map(|((name, site), i, served)| (label(name.as_str(), served), site.requests(i)));
        out.counter("requests", "Exchanges, by how they were served", requests);
        let bytes =
            served().map(|((name, site), i, served)| (label(name.as_str(), served), site.total(i).bytes));
        out.counter("response_bytes", "Bytes of answer bodies given to connections", bytes);
        let durations = served()
            .map(|((name, site), i, served)| (label(name.as_str(), served), site.total(i)))
            .filter(|(_, total)| total.buckets.iter().any(|&count| count > 0));
        out.histogram(
            "request_duration_seconds",
            "From the complete request head to the last byte given to the connection",
            durations,
        );

        out.counter("not_stored", "Answers not stored, by reason", self.not_stored.samples("reason"));
        out.counter("errors", "Failures of exchanges, by kind", self.errors.samples("kind"));
        let collapsed = self.collapsed.load(Ordering::Relaxed);
        out.counter("collapsed", "Requests answered by another one's fetch", [([], collapsed)]);
        out.counter("reloads", "Reloads of the configuration", self.reloads.samples("outcome"));
        let version = [([("version", env!("CARGO_PKG_VERSION"))], 1_u64)];
        out.gauge("build_info", "Always 1; the label is the version", version);

        for gatherer in self.gatherers.read().iter() {
            gatherer(&mut out);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(workers: usize) -> Metrics {
        let labels =
            Labels { served: vec!["hit", "miss"], not_stored: vec!["no-store"], errors: vec!["tls"] };
        Metrics::new(labels, workers)
    }

    fn has(text: &str, line: &str) -> bool {
        text.lines().any(|found| found == line)
    }

    #[test]
    fn exact_lines() {
        let metrics = metrics(2);
        let site = metrics.site("www");
        site.record(0, 100, Duration::from_micros(100));
        site.record(0, 50, Duration::from_micros(101));
        site.record(1, 7, Duration::from_secs(100));
        site.record(2, 7, Duration::ZERO);
        metrics.not_stored("no-store");
        metrics.not_stored("never heard of");
        metrics.error("tls");
        metrics.collapsed();
        metrics.reloaded(false);
        metrics.gather(|out| {
            out.gauge("store_bytes", "Bytes kept", [([("tier", "memory")], 5_u64), ([("tier", "disk")], 6)]);
            out.counter("connections", "Connections", [([], 3_u64)]);
        });
        let text = metrics.encode();
        for line in [
            "# TYPE larder_requests counter",
            "larder_requests_total{site=\"www\",served=\"hit\"} 2",
            "larder_requests_total{site=\"www\",served=\"miss\"} 1",
            "larder_response_bytes_total{site=\"www\",served=\"hit\"} 150",
            "larder_request_duration_seconds_sum{site=\"www\",served=\"hit\"} 0.000201",
            "larder_request_duration_seconds_count{site=\"www\",served=\"hit\"} 2",
            "larder_request_duration_seconds_bucket{le=\"0.0001\",site=\"www\",served=\"hit\"} 1",
            "larder_request_duration_seconds_bucket{le=\"0.00025\",site=\"www\",served=\"hit\"} 2",
            "larder_request_duration_seconds_bucket{le=\"60.0\",site=\"www\",served=\"miss\"} 0",
            "larder_request_duration_seconds_bucket{le=\"+Inf\",site=\"www\",served=\"miss\"} 1",
            "larder_not_stored_total{reason=\"no-store\"} 1",
            "larder_not_stored_total{reason=\"other\"} 1",
            "larder_errors_total{kind=\"tls\"} 1",
            "larder_collapsed_total 1",
            "larder_reloads_total{outcome=\"refused\"} 1",
            "larder_store_bytes{tier=\"memory\"} 5",
            "larder_store_bytes{tier=\"disk\"} 6",
            "larder_connections_total 3",
        ] {
            assert!(has(&text, line), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        assert!(text.lines().all(|line| line.starts_with("larder_") || line.starts_with('#')), "{text}");
    }

    #[test]
    fn every_label_is_there_before_its_first_count() {
        let metrics = metrics(1);
        let _ = metrics.site("www");
        let text = metrics.encode();
        assert!(has(&text, "larder_requests_total{site=\"www\",served=\"miss\"} 0"));
        assert!(has(&text, "larder_not_stored_total{reason=\"no-store\"} 0"));
        assert!(!text.contains("\"other\""), "{text}");
        assert!(!text.contains("_bucket"), "no empty histograms");
    }

    #[test]
    fn a_site_keeps_its_counts_over_a_reload_and_goes_when_removed() {
        let metrics = metrics(1);
        metrics.site("a").record(0, 1, Duration::ZERO);
        metrics.site("b").record(0, 1, Duration::ZERO);
        metrics.keep_sites(|name| name == "a");
        assert_eq!(metrics.site("a").requests(0), 1);
        assert!(!metrics.encode().contains("site=\"b\""));
    }

    #[test]
    fn label_values_are_escaped() {
        let metrics = metrics(1);
        let _ = metrics.site("a\"b\\c\nd");
        let text = metrics.encode();
        assert!(has(&text, "larder_requests_total{site=\"a\\\"b\\\\c\\nd\",served=\"hit\"} 0"), "{text}");
    }

    #[test]
    fn threads_add_up() {
        let metrics = metrics(2);
        let site = metrics.site("www");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        site.record(1, 2, Duration::from_millis(1));
                    }
                });
            }
        });
        assert_eq!(site.requests(1), 4000);
        assert_eq!(site.requests(0), 0);
        assert_eq!(site.total(1).bytes, 8000);
    }

    #[test]
    fn no_labels_no_trouble() {
        let metrics = Metrics::new(Labels::default(), 0);
        metrics.site("www").record(0, 1, Duration::ZERO);
        assert!(metrics.encode().contains("larder_collapsed_total 0"));
    }
}
