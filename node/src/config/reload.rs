//! What a reload changes, in words; and what only a restart can change.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::{Node, value};
use crate::route::rule::Rule;
use crate::{access_log, listener, route};

/// The difference between two configurations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// What is different from now on, such as `site "shop": added`.
    pub applied: Vec<String>,
    /// What stays as it was until the node is restarted.
    pub needs_restart: Vec<String>,
}

impl Changes {
    /// Whether the two configurations mean the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.needs_restart.is_empty()
    }

    /// Everything in words, for the log and for the answer to `POST /reload`.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let waiting = self.needs_restart.iter().map(|change| format!("{change} (needs a restart)"));
        self.applied.iter().cloned().chain(waiting).collect()
    }
}

/// Compares `new` to `old`, and takes over into `new` what cannot change while the node runs: its name, workers,
/// listeners, the cache and the admin address. What is then in `new` is what the node runs with.
pub fn apply(old: &Node, new: &mut Node) -> Changes {
    let mut changes = Changes::default();
    keep(&mut changes.needs_restart, "node.name", &old.name, &mut new.name);
    keep(&mut changes.needs_restart, "node.workers", &old.workers, &mut new.workers);
    keep_cache(&mut changes.needs_restart, old, new);
    keep_listeners(&mut changes.needs_restart, old, new);
    keep_certificates(&mut changes.needs_restart, old, new);
    keep_admin(&mut changes, old, new);
    keep(&mut changes.needs_restart, "fleet", &old.fleet, &mut new.fleet);
    let applied = &mut changes.applied;
    differ(applied, "cache.pinned_max_percent", &old.cache.pinned_max, &new.cache.pinned_max);
    limits(applied, &old.limits, &new.limits);
    certificates(applied, old, new);
    differ(applied, "log.access", &target(&old.log), &target(&new.log));
    differ(applied, "log.format", &format(&old.log), &format(&new.log));
    differ(applied, "log.level", &old.log_level.to_string(), &new.log_level.to_string());
    sites(applied, old, new);
    changes
}

fn differ<V: PartialEq + Debug>(changes: &mut Vec<String>, path: &str, old: &V, new: &V) {
    if old != new {
        changes.push(format!("{path}: {old:?} -> {new:?}"));
    }
}

/// Notes the difference and undoes it.
fn keep<V: PartialEq + Debug + Clone>(changes: &mut Vec<String>, path: &str, old: &V, new: &mut V) {
    differ(changes, path, old, new);
    new.clone_from(old);
}

fn keep_cache(changes: &mut Vec<String>, old: &Node, new: &mut Node) {
    keep(changes, "cache.directory", &old.cache.directory, &mut new.cache.directory);
    for (path, old, new) in [
        ("cache.memory", old.cache.memory, &mut new.cache.memory),
        ("cache.disk", old.cache.disk, &mut new.cache.disk),
        ("cache.object_max", old.cache.object_max, &mut new.cache.object_max),
        ("cache.scrub", old.cache.scrub, &mut new.cache.scrub),
        ("cache.free_min", old.cache.free_min, &mut new.cache.free_min),
        ("cache.memory_object_max", old.cache.memory_object_max, &mut new.cache.memory_object_max),
    ] {
        if old != *new {
            changes.push(format!("{path}: {} -> {}", value::show_size(old), value::show_size(*new)));
            *new = old;
        }
    }
    let (was, is) = (old.cache.purges, &mut new.cache.purges);
    for (key, old, new) in [
        ("purge.undo_window", was.undo_window, &mut is.undo_window),
        ("purge.history_age", was.history_age, &mut is.history_age),
    ] {
        if old != *new {
            changes.push(format!("{key}: {} -> {}", value::show_time(old), value::show_time(*new)));
            *new = old;
        }
    }
    keep(changes, "purge.history", &was.history, &mut is.history);
    keep(changes, "purge.history_bytes", &was.history_bytes, &mut is.history_bytes);
    keep(changes, "cache.io_threads", &old.cache.io_threads, &mut new.cache.io_threads);
    keep(changes, "cache.disk_admission", &old.cache.admission, &mut new.cache.admission);
}

fn keep_listeners(changes: &mut Vec<String>, old: &Node, new: &mut Node) {
    let shown = |config: &listener::Config| {
        format!("{}{}", config.address, if config.tls { " with TLS" } else { "" })
    };
    let added = new.listeners.iter().filter(|one| !old.listeners.contains(one));
    let removed = old.listeners.iter().filter(|one| !new.listeners.contains(one));
    changes.extend(added.map(|one| format!("listener {}: added", shown(one))));
    changes.extend(removed.map(|one| format!("listener {}: removed", shown(one))));
    new.listeners.clone_from(&old.listeners);
}

/// The listeners stay, and those with TLS need a certificate.
fn keep_certificates(changes: &mut Vec<String>, old: &Node, new: &mut Node) {
    if new.certificates.is_empty() && !old.certificates.is_empty() {
        changes.push("certificate: removed".into());
        new.certificates.clone_from(&old.certificates);
        for pair in &old.certificates {
            let content = old.contents.get(&pair.cert).map(|content| (pair.cert.clone(), *content));
            new.contents.extend(content);
        }
    }
}

fn certificates(changes: &mut Vec<String>, old: &Node, new: &Node) {
    if old.certificates != new.certificates {
        let names = |node: &Node| -> Vec<String> {
            node.certificates.iter().map(|pair| pair.cert.display().to_string()).collect()
        };
        let (old, new) = (names(old).join(", "), names(new).join(", "));
        changes.push(format!("certificate: [{old}] -> [{new}]"));
        return;
    }
    for pair in &new.certificates {
        if old.contents.get(&pair.cert) != new.contents.get(&pair.cert) {
            changes.push(format!("certificate {}: another content", pair.cert.display()));
        }
    }
}

fn keep_admin(changes: &mut Changes, old: &Node, new: &mut Node) {
    match (&old.admin, &mut new.admin) {
        (Some(old), Some(new)) => {
            keep(&mut changes.needs_restart, "admin.address", &old.address, &mut new.address);
            if old.token != new.token {
                changes.applied.push("admin.token_file: another token".into());
            }
            if old.tokens != new.tokens {
                changes.applied.push("admin.token: other tokens".into());
            }
        }
        (None, None) => {}
        (old, new) => {
            let word = if new.is_some() { "added" } else { "removed" };
            changes.needs_restart.push(format!("admin: {word}"));
            new.clone_from(old);
        }
    }
}

fn target(log: &access_log::Config) -> String {
    match &log.target {
        access_log::Target::Off => "off".into(),
        access_log::Target::Stdout => "stdout".into(),
        access_log::Target::File(file) => file.display().to_string(),
    }
}

fn format(log: &access_log::Config) -> &'static str {
    match log.format {
        access_log::Format::Json => "json",
        access_log::Format::Combined => "combined",
    }
}

fn limits(changes: &mut Vec<String>, old: &listener::Limits, new: &listener::Limits) {
    differ(changes, "limits.connections_max", &old.connections_max, &new.connections_max);
    for (path, old, new) in [
        ("limits.head_timeout", old.head_timeout, new.head_timeout),
        ("limits.idle_timeout", old.idle_timeout, new.idle_timeout),
        ("limits.body_timeout", old.body_timeout, new.body_timeout),
        ("limits.drain_timeout", old.drain_timeout, new.drain_timeout),
    ] {
        if old != new {
            changes.push(format!("{path}: {} -> {}", value::show_time(old), value::show_time(new)));
        }
    }
}

fn sites(changes: &mut Vec<String>, old_node: &Node, new_node: &Node) {
    fn by_name(node: &Node) -> BTreeMap<&str, &route::SiteConfig> {
        node.sites.iter().map(|site| (site.name.as_str(), site)).collect()
    }
    let (old, new) = (by_name(old_node), by_name(new_node));
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        changes.push(format!("site {name:?}: removed"));
    }
    for (name, site) in &new {
        match old.get(name) {
            None => changes.push(format!("site {name:?}: added")),
            Some(before) => {
                let parts = [
                    ("hosts", before.hosts != site.hosts),
                    ("origin", before.origin != site.origin),
                    (
                        "content of ca_file",
                        before.origin == site.origin && !new_node.keeps_origin_of(old_node, name),
                    ),
                    ("vary", before.vary != site.vary),
                    ("cache", !before.policy.caches_like(&site.policy)),
                    ("key", before.policy.keying != site.policy.keying),
                    ("compression", before.compress != site.compress),
                    ("request_body_max", before.request_body_max != site.request_body_max),
                    ("range_block", before.range_block != site.range_block),
                    ("show_tags", before.show_tags != site.show_tags),
                    ("purge", before.purge != site.purge),
                ];
                let changed = parts.iter().filter(|(_, changed)| *changed).map(|(part, _)| *part);
                let changed = changed.collect::<Vec<_>>().join(", ");
                if !changed.is_empty() {
                    changes.push(format!("site {name:?}: changed {changed}"));
                }
                rules(changes, name, &before.rules, &site.rules);
            }
        }
    }
}

/// Rules by name, and their order, which decides.
fn rules(changes: &mut Vec<String>, site: &str, old: &[Rule], new: &[Rule]) {
    let find = |rules: &'_ [Rule], name: &str| rules.iter().position(|rule| rule.name() == name);
    for rule in old.iter().filter(|rule| find(new, rule.name()).is_none()) {
        changes.push(format!("site {site:?}: rule {:?} removed", rule.name()));
    }
    for rule in new {
        let Some(before) = find(old, rule.name()).and_then(|at| old.get(at)) else {
            changes.push(format!("site {site:?}: rule {:?} added", rule.name()));
            continue;
        };
        let parts = [
            ("what it is for", before.scope != rule.scope),
            ("what it passes", before.pass != rule.pass),
            ("its key", before.policy.keying != rule.policy.keying),
            (
                "how it caches",
                before.policy.overrides != rule.policy.overrides
                    || before.policy.set_cookie != rule.policy.set_cookie,
            ),
        ];
        let changed: Vec<_> = parts.iter().filter(|(_, changed)| *changed).map(|(part, _)| *part).collect();
        if !changed.is_empty() {
            changes.push(format!("site {site:?}: rule {:?} changed {}", rule.name(), changed.join(", ")));
        }
    }
    let order = |rules: &[Rule], others: &[Rule]| -> Vec<String> {
        let kept = rules.iter().filter(|rule| find(others, rule.name()).is_some());
        kept.map(|rule| rule.name().to_owned()).collect()
    };
    if order(old, new) != order(new, old) {
        changes.push(format!("site {site:?}: rules in another order"));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const BEFORE: &str = r#"
        [node]
        name = "edge-1"
        workers = 2
        [cache]
        disk = "0"
        memory = "64MiB"
        [[listener]]
        address = "127.0.0.1:8080"
        [[site]]
        hosts = ["a.example"]
        [site.origin]
        endpoints = ["http://127.0.0.1:9000"]
        [[site]]
        hosts = ["b.example"]
        [site.origin]
        endpoints = ["http://127.0.0.1:9001"]
    "#;

    fn node(text: &str) -> Node {
        crate::config::parse(Path::new("edge.toml"), text).unwrap().node
    }

    #[test]
    fn the_same_file_changes_nothing() {
        assert!(apply(&node(BEFORE), &mut node(BEFORE)).is_empty());
    }

    #[test]
    fn what_can_change_is_applied_and_told() {
        let after = BEFORE
            .replace("b.example", "c.example")
            .replace("9000\"]", "9000\", \"http://127.0.0.1:9002\"]\n[site.cache]\nkeep = \"1d\"")
            .replace("[cache]", "[limits]\nidle_timeout = \"2m\"\n[log]\nlevel = \"debug\"\n[cache]");
        let mut new = node(&after);
        let changes = apply(&node(BEFORE), &mut new);
        assert_eq!(
            changes.applied,
            [
                "limits.idle_timeout: 1m -> 2m",
                "log.level: \"info\" -> \"debug\"",
                "site \"b.example\": removed",
                "site \"a.example\": changed origin, cache",
                "site \"c.example\": added",
            ]
        );
        assert_eq!(changes.needs_restart, [""; 0]);
        assert_eq!(new, node(&after), "nothing was taken back");
    }

    #[test]
    fn what_cannot_change_stays_and_is_told() {
        let after = BEFORE
            .replace("edge-1", "edge-2")
            .replace("workers = 2", "workers = 3")
            .replace("64MiB", "32MiB")
            .replace(":8080\"", ":8081\"");
        let (old, mut new) = (node(BEFORE), node(&after));
        let changes = apply(&old, &mut new);
        assert_eq!(
            changes.needs_restart,
            [
                "node.name: \"edge-1\" -> \"edge-2\"",
                "node.workers: 2 -> 3",
                "cache.memory: 64MiB -> 32MiB",
                "cache.object_max: 8MiB -> 4MiB",
                "cache.memory_object_max: 8MiB -> 4MiB",
                "listener 127.0.0.1:8081: added",
                "listener 127.0.0.1:8080: removed",
            ]
        );
        assert_eq!(changes.applied, [""; 0]);
        assert_eq!(new, old);
    }

    #[test]
    fn a_token_may_change_and_an_address_may_not() {
        let admin = |address: &str, token: &str| {
            let mut node = node(BEFORE);
            let address = address.parse().unwrap();
            node.admin =
                Some(crate::config::AdminConfig { address, token: token.into(), tokens: Vec::new() });
            node
        };
        let (old, mut new) = (admin("127.0.0.1:1", "hunter2"), admin("127.0.0.1:2", "second-secret"));
        let changes = apply(&old, &mut new);
        assert_eq!(changes.applied, ["admin.token_file: another token"]);
        assert_eq!(changes.needs_restart, ["admin.address: 127.0.0.1:1 -> 127.0.0.1:2"]);
        let restart = "admin.address: 127.0.0.1:1 -> 127.0.0.1:2 (needs a restart)";
        assert_eq!(changes.lines(), ["admin.token_file: another token", restart]);
        assert_eq!(new, admin("127.0.0.1:1", "second-secret"));

        let mut without = node(BEFORE);
        assert_eq!(apply(&old, &mut without).needs_restart, ["admin: removed"]);
        assert_eq!(without.admin, old.admin);
        assert!(!format!("{old:?}").contains("hunter2"), "a token is never printed");
    }
}
