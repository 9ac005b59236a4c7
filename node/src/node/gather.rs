//! Every part's numbers in one scrape. Each name is in `docs/metrics.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Control, Totals};
use crate::error::Kind;
use crate::listener::{Refusal, Timeout};
use crate::purge::fleet::Counts;
use crate::purge::{Kind as PurgeKind, Narrow};
use crate::status::Served;
use crate::telemetry::metric::Samples;

/// Counts everything that is not counted at its place already.
pub(super) fn register(control: &Arc<Control>) {
    // The metrics live in the control's core: a strong reference would keep both for ever.
    let control_of = Arc::downgrade(control);
    control.core.metrics.gather(move |out| {
        if let Some(control) = control_of.upgrade() {
            process(&control, out);
            store(&control, out);
            purges(&control, out);
            fleet(&control, out);
            listeners(&control, out);
            origins(&control, out);
        }
    });
}

fn process(control: &Control, out: &mut Samples<'_, '_>) {
    out.gauge("uptime_seconds", "Time since the start", [([], control.started.elapsed().as_secs())]);
    out.gauge("resident_bytes", "Memory of the process", resident().map(|bytes| ([], bytes)));
    let node = control.log.as_ref().map_or(0, |log| log.dropped());
    let access = control.core.log.load().dropped();
    let dropped = [([("log", "access")], access), ([("log", "node")], node)];
    out.counter("log_lines_dropped", "Log lines that their target did not take in time", dropped);
}

/// Bytes of physical memory the process holds; nothing where the kernel does not say.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

fn store(control: &Control, out: &mut Samples<'_, '_>) {
    let now = control.core.cache.store().stats();
    let events = &now.events;
    let tier = |name: &'static str, value: u64| ([("tier", name)], value);
    out.gauge(
        "store_objects",
        "Objects stored",
        [tier("memory", now.memory_objects), tier("disk", now.disk_objects)],
    );
    out.gauge(
        "store_bytes",
        "Bytes stored",
        [tier("memory", now.memory_bytes), tier("disk", now.disk_bytes)],
    );
    out.gauge(
        "store_budget_bytes",
        "Bytes that may be stored",
        [tier("memory", now.memory_budget), tier("disk", now.disk_budget)],
    );
    out.gauge("store_flight_bytes", "Bytes of bodies being filled", [([], now.flight_bytes)]);
    out.gauge("store_behind_bytes", "Bytes of bodies waiting for the disk", [([], now.behind_bytes)]);
    out.gauge(
        "store_disk_healthy",
        "Whether the disk takes new entries",
        [([], u64::from(now.disk_healthy))],
    );
    out.gauge("flights", "Fetches that others may join", [([], control.core.flights.len() as u64)]);
    let event = |name: &'static str, value: u64| ([("event", name)], value);
    let all = [
        event("memory_hit", events.memory_hits),
        event("disk_hit", events.disk_hits),
        event("miss", events.misses),
        event("dead", events.dead),
        event("busy", events.busy),
        event("commit", events.commits),
        event("not_kept", events.not_kept),
        event("store_dropped", events.stores_dropped),
        event("not_admitted", events.not_admitted),
        event("admitted_again", events.admitted_again),
        event("eviction", events.evictions),
        event("disk_error", events.disk_errors),
        event("corrupt", events.corrupt),
        event("deduplicated", events.deduplicated),
        event("purge", events.purges),
        event("swept", events.swept),
        event("orphan", events.orphans),
        event("scrub_damaged", events.scrub_damaged),
        event("scrub_pass", events.scrub_passes),
        event("step_back", events.steps_back),
    ];
    out.gauge("store_scrub_objects", "Objects the scrub has seen in this pass", [([], now.scrub_seen)]);
    out.counter(
        "store_scrubbed_bytes",
        "Bytes on disk compared in the background",
        [([], events.scrubbed_bytes)],
    );
    out.gauge("store_pinned_bytes", "Bytes on disk that are not evicted", [([], now.disk_pinned)]);
    out.counter("store_written_bytes", "Bytes of bodies written to disk", [([], events.written_bytes)]);
    out.counter("store_events", "What happened in the store", all);
}

fn purges(control: &Control, out: &mut Samples<'_, '_>) {
    let now = control.core.cache.store().stats();
    out.gauge("purge_position", "Sequence of the newest purge", [([], now.seq)]);
    out.gauge("purge_selectors", "Selectors in the purge tables", [([], now.purge_selectors)]);
    let counts = control.purges.counts();
    let modes = [("hard", counts.purged), ("soft", counts.expired)];
    let done = modes.iter().flat_map(|(mode, counts)| {
        let kinds = PurgeKind::ALL.iter().zip(counts);
        kinds.map(move |(kind, count)| ([("kind", kind.as_str()), ("mode", *mode)], *count))
    });
    out.counter("purges", "Purges in force and durable", done);
    let orders = [
        ("repeated", counts.repeated),
        ("failed", counts.failed),
        ("invalid", counts.invalid),
        ("refused", counts.refused),
    ];
    let orders = orders.map(|(outcome, count)| ([("outcome", outcome)], count));
    out.counter("purge_orders", "Orders that were no new purge", orders);
    let refused = control.gate.as_ref().map_or(0, |gate| gate.refused());
    out.counter("admin_refused", "Admin requests without a token", [([], refused)]);
    let forbidden = control.gate.as_ref().map_or([0; Narrow::ALL.len()], |gate| gate.forbidden());
    let forbidden =
        Narrow::ALL.into_iter().zip(forbidden).map(|(why, count)| ([("reason", why.as_str())], count));
    out.counter("admin_forbidden", "Admin requests whose token was too narrow", forbidden);
}

fn fleet(control: &Control, out: &mut Samples<'_, '_>) {
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (none, fleet) = (Counts::default(), control.fleet.as_ref());
    let peers = fleet.map(|fleet| fleet.peers()).unwrap_or_default();
    let up = peers.iter().map(|(url, up)| ([("peer", url.as_str())], u64::from(*up)));
    out.gauge("fleet_peer_up", "Whether a peer's purges were read at the last try", up);
    let alone = u64::from(fleet.is_some_and(|fleet| fleet.is_alone()));
    out.gauge("fleet_alone", "Whether nobody could be asked for missed purges", [([], alone)]);
    let counts = fleet.map_or(&none, |fleet| fleet.counts());
    let events = [
        ([("event", "fetched")], of(&counts.fetched)),
        ([("event", "known")], of(&counts.known)),
        ([("event", "missing")], of(&counts.missing)),
        ([("event", "doubt")], of(&counts.doubts)),
    ];
    out.counter("fleet_events", "What happened between the nodes", events);
}

fn listeners(control: &Control, out: &mut Samples<'_, '_>) {
    let counters = control.shared.counters();
    out.gauge("connections_active", "Open client connections", [([], counters.active())]);
    out.counter("connections", "Client connections accepted", [([], counters.accepted())]);
    out.counter("connections_full", "Times accepting paused at connections_max", [([], counters.full())]);
    out.counter(
        "connections_exhausted",
        "Times accepting paused for want of descriptors or buffers",
        [([], counters.exhausted())],
    );
    out.counter("tls_handshakes_failed", "TLS handshakes that failed", [([], counters.handshakes_failed())]);
    let refused = Refusal::ALL.iter().copied().map(|why| ([("reason", why.as_str())], counters.refused(why)));
    out.counter("requests_malformed", "Requests refused before they were read as one", refused);
    let timeouts =
        Timeout::ALL.iter().copied().map(|what| ([("what", what.as_str())], counters.timeouts(what)));
    out.counter("client_timeouts", "Connections closed because the client was too slow", timeouts);
    let certificates = control.certificates.lock();
    let named = certificates.iter().map(|one| (one.cert.display().to_string(), one.not_after));
    let named: Vec<_> = named.collect();
    let ends = named.iter().map(|(cert, end)| ([("cert", cert.as_str())], *end));
    out.gauge("certificate_end_seconds", "When a certificate expires, seconds since 1970", ends);
}

fn origins(control: &Control, out: &mut Samples<'_, '_>) {
    // All workers' pools of a site count together; each has its own connections.
    let Some(first) = control.workers.first().map(|worker| worker.sites.load_full()) else { return };
    let sites: Vec<_> = first.iter().map(|site| (site.config.name.as_str(), site.pool.counters())).collect();
    let events = sites.iter().flat_map(|(site, counters)| {
        [
            ([("site", *site), ("event", "request")], counters.requests.get()),
            ([("site", *site), ("event", "connect")], counters.connects.get()),
            ([("site", *site), ("event", "reuse")], counters.reuses.get()),
            ([("site", *site), ("event", "retry")], counters.retries.get()),
            ([("site", *site), ("event", "ejection")], counters.ejections.get()),
        ]
    });
    out.counter("origin_events", "What happened towards the origin", events);
    let failures = sites.iter().flat_map(|(site, counters)| {
        Kind::ALL.map(|kind| ([("site", *site), ("kind", kind.as_str())], counters.failures(kind)))
    });
    out.counter(
        "origin_failures",
        "Requests to the origin that failed",
        failures.filter(|(_, count)| *count > 0),
    );
    let mut healthy = Vec::new();
    for site in first.iter() {
        for endpoint in site.pool.endpoints() {
            healthy.push((site.config.name.clone(), endpoint));
        }
    }
    let up = healthy.iter().map(|(site, endpoint)| {
        ([("site", site.as_str()), ("endpoint", &*endpoint.name)], u64::from(!endpoint.ejected))
    });
    out.gauge("origin_endpoint_up", "Whether an endpoint is in the rotation", up);
}

/// Everything so far, for the demo's one line.
pub(super) fn totals(control: &Control) -> Totals {
    let now = control.core.cache.store().stats();
    let mut totals = Totals {
        objects: now.memory_objects.max(now.disk_objects),
        bytes_memory: now.memory_bytes,
        bytes_disk: now.disk_bytes,
        ..Totals::default()
    };
    let config = control.config.lock();
    for site in &config.sites {
        let site = control.core.metrics.site(&site.name);
        for served in Served::ALL {
            let count = site.requests(served as usize);
            totals.requests += count;
            if matches!(served, Served::Hit | Served::Stale | Served::Revalidated) {
                totals.from_cache += count;
            }
        }
    }
    totals
}
