//! Checks of `[[site]]`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use http::HeaderName;
use rustls_pki_types::ServerName;

use super::{Check, count, host, overlap};
use crate::config::file::{self, Time};
use crate::policy::trouble::Trouble;
use crate::{limits, listener, origin, policy, route, transform};

impl Check<'_> {
    pub(super) fn sites(
        &mut self,
        written: &[file::Site],
        listeners: &[listener::Config],
    ) -> Vec<route::SiteConfig> {
        if written.is_empty() {
            self.wrong(
                "site",
                "needs at least one site",
                "[[site]] with hosts = [\"*\"] and a [site.origin]",
            );
        }
        let mut hosts = HashMap::new();
        let mut names = HashMap::new();
        let mut sites = Vec::new();
        for (index, site) in written.iter().enumerate() {
            let mut site = self.site(&format!("site[{index}]"), site, listeners, &mut hosts);
            site.purge = self.site_purge(index, written);
            if let Some(first) = names.insert(site.name.clone(), index).filter(|_| !site.name.is_empty()) {
                let path = format!("site[{index}].name");
                self.wrong(
                    &path,
                    format!("{:?} is the name of site[{first}]", site.name),
                    "names are unique",
                );
            }
            sites.push(site);
        }
        sites
    }

    fn site(
        &mut self,
        path: &str,
        written: &file::Site,
        listeners: &[listener::Config],
        taken: &mut HashMap<String, String>,
    ) -> route::SiteConfig {
        let hosts = self.hosts(&format!("{path}.hosts"), &written.hosts, taken);
        let name = written.name.clone().or_else(|| hosts.first().cloned()).unwrap_or_default();
        if written.name.is_some() && (name.is_empty() || name.len() > 100 || name.contains(char::is_control))
        {
            self.wrong(
                &format!("{path}.name"),
                "is empty, too long or not printable",
                "a short name, such as \"shop\"",
            );
        }
        let keeping = self.keeping(&format!("{path}.cache"), &name, &written.cache);
        let body_max = limits::REQUEST_BODY_BYTES_MAX;
        let mut policy = self.policy(&format!("{path}.cache"), &written.cache);
        policy.keeping = keeping;
        policy.keying = self.keying(&format!("{path}.key"), &written.key);
        let rules = self.rules(&format!("{path}.rule"), &written.rule, &policy);
        route::SiteConfig {
            name,
            hosts,
            origin: self.origin(&format!("{path}.origin"), &written.origin, listeners),
            vary: self.vary(&format!("{path}.vary"), &written.vary),
            policy,
            rules,
            rule: None,
            compress: self.compress(&format!("{path}.compression"), &written.compression),
            request_body_max: self.size(
                &format!("{path}.request_body_max"),
                written.request_body_max.as_ref(),
                body_max,
            ),
            range_block: self.range_block(&format!("{path}.range_block"), written.range_block.as_ref()),
            show_tags: written.show_tags.unwrap_or(false),
            purge: None,
        }
    }

    fn range_block(&mut self, path: &str, written: Option<&file::Size>) -> u64 {
        let size = self.size(path, written, limits::RANGE_BLOCK_BYTES);
        let sane = limits::RANGE_BLOCK_BYTES_MIN..=limits::RANGE_BLOCK_BYTES_MAX;
        if size > 0 && !sane.contains(&size) {
            self.wrong(path, "is no size for a block", "64KiB to 64MiB, or 0 to fetch answers whole");
        }
        size
    }

    fn hosts(&mut self, path: &str, written: &[String], taken: &mut HashMap<String, String>) -> Vec<String> {
        if written.is_empty() {
            self.wrong(path, "needs at least one host", "hosts = [\"www.example.com\"], or [\"*\"] for any");
        }
        let mut hosts = Vec::new();
        for (index, text) in written.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match host::pattern(text) {
                Ok(host) => {
                    if let Some(first) = taken.get(&host) {
                        let what = format!("{host:?} is already at {first}");
                        self.wrong(&path, what, "keep it at the site that answers for it");
                        continue;
                    }
                    taken.insert(host.clone(), path);
                    hosts.push(host);
                }
                Err(unclear) => self.wrong(&path, unclear.what, unclear.fix),
            }
        }
        hosts
    }

    fn origin(
        &mut self,
        path: &str,
        written: &file::Origin,
        listeners: &[listener::Config],
    ) -> origin::Config {
        let endpoints = self.endpoints(&format!("{path}.endpoints"), &written.endpoints, listeners);
        let tls = endpoints.iter().any(|endpoint| endpoint.tls);
        for (key, given) in
            [("ca_file", written.ca_file.is_some()), ("server_name", written.server_name.is_some())]
        {
            if given && !tls && !endpoints.is_empty() {
                let fix = "an https:// endpoint, or leave it out";
                self.warn(&format!("{path}.{key}"), "has no effect: no endpoint is https", fix);
            }
        }
        let ca_file = written.ca_file.as_deref().map(|file| self.ca_file(&format!("{path}.ca_file"), file));
        let host = written.host.as_deref().and_then(|text| match host::authority(text) {
            Ok(authority) => Some(authority),
            Err(unclear) => {
                self.wrong(&format!("{path}.host"), unclear.what, unclear.fix);
                None
            }
        });
        if let Some(name) = written.server_name.as_deref().filter(|name| ServerName::try_from(*name).is_err())
        {
            let what = format!("{name:?} is not a name for TLS");
            self.wrong(&format!("{path}.server_name"), what, "a host name without port");
        }
        let default = origin::Config::default();
        let mut time = |key: &str, written: &Option<Time>, default: Duration| {
            self.timeout(&format!("{path}.{key}"), written.as_ref(), default)
        };
        origin::Config {
            endpoints,
            host,
            ca_file,
            server_name: written.server_name.clone(),
            connect_timeout: time("connect_timeout", &written.connect_timeout, default.connect_timeout),
            first_byte_timeout: time(
                "first_byte_timeout",
                &written.first_byte_timeout,
                default.first_byte_timeout,
            ),
            between_bytes_timeout: time(
                "between_bytes_timeout",
                &written.between_bytes_timeout,
                default.between_bytes_timeout,
            ),
            idle_timeout: time("idle_timeout", &written.idle_timeout, default.idle_timeout),
            connections_max: written.connections_max.map_or(default.connections_max, count),
            eject_after: written.eject_after.map_or(default.eject_after, small),
            eject_time: time("eject_time", &written.eject_time, default.eject_time),
        }
    }

    fn endpoints(
        &mut self,
        path: &str,
        written: &[String],
        listeners: &[listener::Config],
    ) -> Vec<origin::Endpoint> {
        if written.is_empty() {
            self.wrong(path, "needs at least one endpoint", "endpoints = [\"http://127.0.0.1:9000\"]");
        }
        let mut endpoints = Vec::new();
        for (index, text) in written.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let endpoint = match host::endpoint(text) {
                Ok(endpoint) => endpoint,
                Err(unclear) => {
                    self.wrong(&path, unclear.what, unclear.fix);
                    continue;
                }
            };
            if endpoints.contains(&endpoint) {
                self.wrong(&path, format!("{text:?} is already in the list"), "keep one of the two");
            }
            let address = endpoint.host.parse::<IpAddr>().map(|ip| (ip, endpoint.port).into());
            if address
                .is_ok_and(|address| listeners.iter().any(|listener| overlap(listener.address, address)))
            {
                let fix = "the address of the server behind this node";
                self.warn(&path, format!("{text:?} is this node's own listener: a loop"), fix);
            }
            endpoints.push(endpoint);
        }
        endpoints
    }

    fn policy(&mut self, path: &str, written: &file::SiteCache) -> policy::Config {
        let default = policy::Config::default();
        let targets = self.targets(&format!("{path}.targets"), written.targets.as_deref());
        let on = self.trouble(&format!("{path}.stale_if_error_on"), written.stale_if_error_on.as_deref());
        let mut time = |key: &str, written: &Option<Time>, default: Duration| {
            self.time(&format!("{path}.{key}"), written.as_ref(), default)
        };
        let grace = time("grace", &written.grace, default.stale_while_revalidate);
        policy::Config {
            heuristic_percent: written.heuristic_percent.map_or(default.heuristic_percent, small),
            heuristic_max: time("heuristic_max", &written.heuristic_max, default.heuristic_max),
            stale_while_revalidate: time("stale_while_revalidate", &written.stale_while_revalidate, grace),
            stale_if_error: time("stale_if_error", &written.stale_if_error, grace),
            stale_if_error_on: on.unwrap_or(default.stale_if_error_on),
            serve_stored_if_down: written.serve_stored_if_down.unwrap_or(default.serve_stored_if_down),
            stale_if_unreachable: time(
                "stale_if_unreachable",
                &written.stale_if_unreachable,
                default.stale_if_unreachable,
            ),
            client_directives: written.client_directives.unwrap_or(default.client_directives),
            client_staleness: written.client_staleness.unwrap_or(default.client_staleness),
            keep: time("keep", &written.keep, default.keep),
            set_cookie: written.set_cookie.map_or(default.set_cookie, super::rule::set_cookie),
            targets: targets.unwrap_or(default.targets),
            keying: default.keying,
            overrides: default.overrides,
            ttl_jitter_percent: written.ttl_jitter_percent.map_or(default.ttl_jitter_percent, small),
            keeping: default.keeping,
        }
    }

    fn trouble(&mut self, path: &str, written: Option<&[String]>) -> Option<Trouble> {
        let mut trouble = Trouble::none();
        for (index, text) in written?.iter().enumerate() {
            if !trouble.add(text) {
                let fix = "connect, timeout, closed, invalid, or a status from 400 to 599 such as \"503\"";
                self.wrong(&format!("{path}[{index}]"), format!("{text:?} is no condition"), fix);
            }
        }
        Some(trouble)
    }

    fn targets(&mut self, path: &str, written: Option<&[String]>) -> Option<Vec<HeaderName>> {
        let mut targets = Vec::new();
        for (index, text) in written?.iter().enumerate() {
            match HeaderName::from_bytes(text.as_bytes()) {
                Ok(name) if name == http::header::CACHE_CONTROL || name == http::header::EXPIRES => {
                    let fix = "leave it out: it counts where no target does";
                    self.wrong(&format!("{path}[{index}]"), format!("{text:?} is no target"), fix);
                }
                Ok(name) => targets.push(name),
                Err(_) => self.wrong(
                    &format!("{path}[{index}]"),
                    format!("{text:?} is not a field name"),
                    "such as \"cdn-cache-control\"",
                ),
            }
        }
        Some(targets)
    }

    fn compress(&mut self, path: &str, written: &file::Compression) -> transform::compress::Config {
        let default = transform::compress::Config::default();
        for (index, text) in written.types.iter().flatten().enumerate() {
            let part = |part: &str| {
                let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b);
                !part.is_empty() && part.bytes().all(token)
            };
            let known =
                text.split_once('/').is_some_and(|(kind, sub)| part(kind) && (sub == "*" || part(sub)));
            if !known {
                let what = format!("{text:?} is not a media type");
                self.wrong(&format!("{path}.types[{index}]"), what, "such as \"text/html\" or \"text/*\"");
            }
        }
        let types =
            written.types.as_ref().map(|types| types.iter().map(|text| text.to_ascii_lowercase()).collect());
        transform::compress::Config {
            enabled: written.enabled.unwrap_or(default.enabled),
            bytes_min: self.size(&format!("{path}.min_size"), written.min_size.as_ref(), default.bytes_min),
            types: types.unwrap_or(default.types),
            gzip_level: written.gzip_level.map_or(default.gzip_level, small),
            brotli_level: written.brotli_level.map_or(default.brotli_level, small),
            zstd_level: written.zstd_level.map_or(default.zstd_level, small),
        }
    }
}

/// A number that its schema already keeps within bounds.
fn small(written: u64) -> u32 {
    u32::try_from(written).unwrap_or(u32::MAX)
}
