//! From the configuration as written to the one meant, collecting everything that is wrong on the way.

mod files;
mod fleet;
mod host;
mod keeping;
mod rule;
mod site;
mod token;
mod vary;
mod writable;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::file::{self, File, Level, Size, Time};
use super::mistake::Mistake;
use super::walk::{Places, inside};
use super::{AdminConfig, Cache, Node, space, value};
use crate::{access_log, limits, listener};

/// What the checks found; `node` means something only when there are no mistakes.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) node: Node,
    pub(super) mistakes: Vec<Mistake>,
    pub(super) warnings: Vec<Mistake>,
}

/// Checks `written`, whose relative paths are relative to `base`; nothing is said about paths in `silent`.
pub(super) fn check(written: &File, base: &Path, places: &Places, silent: Vec<String>) -> Verdict {
    let mut check = Check {
        base,
        places,
        silent,
        mistakes: Vec::new(),
        warnings: Vec::new(),
        contents: BTreeMap::new(),
        names: Vec::new(),
    };
    let listeners = check.listeners(&written.listener);
    let mut node = Node {
        name: check.name(written.node.name.as_deref()),
        workers: written.node.workers.map_or_else(cores, count),
        cache: Cache { purges: check.purges(&written.purge), ..check.cache(&written.cache) },
        limits: check.limits(&written.limits),
        certificates: check.certificates(&written.certificate, &listeners),
        admin: written.admin.as_ref().and_then(|admin| check.admin(admin, &listeners)),
        log: check.log(&written.log),
        fleet: written.fleet.as_ref().and_then(|fleet| check.fleet(fleet, written)),
        log_level: level(written.log.level.unwrap_or(Level::Info)),
        sites: check.sites(&written.site, &listeners),
        listeners,
        contents: BTreeMap::new(),
    };
    node.cache.shares = check.shares(&node.sites);
    check.certified(&node);
    node.contents = check.contents;
    Verdict { node, mistakes: check.mistakes, warnings: check.warnings }
}

struct Check<'a> {
    base: &'a Path,
    places: &'a Places,
    silent: Vec<String>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
    contents: BTreeMap<PathBuf, u64>,
    /// The names in the certificates, lower-case.
    names: Vec<String>,
}

impl Check<'_> {
    fn wrong(&mut self, path: &str, what: impl Into<String>, fix: impl Into<String>) {
        if !self.silent.iter().any(|silent| inside(path, silent)) {
            self.mistakes.push(self.places.mistake(path, what, fix));
        }
    }

    fn warn(&mut self, path: &str, what: impl Into<String>, fix: impl Into<String>) {
        self.warnings.push(self.places.mistake(path, what, fix));
    }

    fn size(&mut self, path: &str, written: Option<&Size>, default: u64) -> u64 {
        match written {
            None => default,
            Some(Size::Bytes(bytes)) => *bytes,
            Some(Size::Text(text)) => value::size(text).unwrap_or_else(|unclear| {
                self.wrong(path, unclear.what, unclear.fix);
                default
            }),
        }
    }

    fn time(&mut self, path: &str, written: Option<&Time>, default: Duration) -> Duration {
        let Some(Time(text)) = written else { return default };
        value::time(text).unwrap_or_else(|unclear| {
            self.wrong(path, unclear.what, unclear.fix);
            default
        })
    }

    /// A time that would stop everything if it were zero.
    fn timeout(&mut self, path: &str, written: Option<&Time>, default: Duration) -> Duration {
        let time = self.time(path, written, default);
        if time.is_zero() {
            self.wrong(
                path,
                "must be longer than zero",
                format!("the default is {}", value::show_time(default)),
            );
        }
        time
    }

    fn name(&mut self, written: Option<&str>) -> String {
        let path = "node.name";
        let Some(name) = written else {
            self.wrong(path, "is missing", "[node] with name = \"edge-1\"; every node needs its own");
            return String::new();
        };
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
        let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if !starts || !letters || name.len() > limits::NODE_NAME_BYTES_MAX {
            let fix = "a letter, then letters, digits, '.', '_' or '-', 64 at the most, such as \"edge-1\"";
            self.wrong(path, format!("{name:?} cannot be a name in HTTP header fields"), fix);
        }
        name.to_owned()
    }

    fn cache(&mut self, written: &file::Cache) -> Cache {
        let memory = self.size("cache.memory", written.memory.as_ref(), limits::CACHE_MEMORY_BYTES);
        let disk_default = if written.directory.is_some() { limits::CACHE_DISK_BYTES } else { 0 };
        let disk = self.size("cache.disk", written.disk.as_ref(), disk_default);
        let least = limits::CACHE_TIER_BYTES_MIN;
        for (path, bytes, zero) in [("cache.memory", memory, false), ("cache.disk", disk, true)] {
            if bytes < least && !(zero && bytes == 0) {
                let or_zero = if zero { ", or \"0\" for memory only" } else { "" };
                self.wrong(
                    path,
                    "is too small",
                    format!("at least \"{}\"{or_zero}", value::show_size(least)),
                );
            }
        }
        if disk > 0 && written.directory.is_none() {
            let fix = "directory = \"/var/lib/larder\", or disk = \"0\" for memory only";
            self.wrong("cache.directory", "is missing", fix);
        }
        let in_memory = (memory / 8).min(limits::MEMORY_OBJECT_BYTES_MAX);
        let memory_object_max =
            self.size("cache.memory_object_max", written.memory_object_max.as_ref(), in_memory);
        let object_default = if disk > 0 { (disk / 4).max(memory_object_max) } else { memory_object_max };
        let object_max = self.size("cache.object_max", written.object_max.as_ref(), object_default);
        for (path, object, holder, bytes) in [
            ("cache.memory_object_max", memory_object_max, "memory", memory),
            ("cache.object_max", object_max, "the largest tier", disk.max(memory)),
        ] {
            if object > bytes {
                let (object, bytes) = (value::show_size(object), value::show_size(bytes));
                self.wrong(
                    path,
                    format!("{object} is more than {holder} holds"),
                    format!("at the most {bytes}"),
                );
            }
        }
        Cache {
            directory: self.directory(written.directory.as_deref(), disk),
            memory,
            disk,
            object_max,
            memory_object_max,
            io_threads: written.io_threads.map_or(limits::IO_THREADS, count),
            admission: keeping::admission(written.disk_admission),
            pinned_max: written.pinned_max_percent.map_or(limits::PINNED_MAX_PERCENT, keeping::percent),
            shares: Vec::new(),
            scrub: self.size("cache.scrub", written.scrub.as_ref(), limits::SCRUB_BYTES),
            free_min: self.size("cache.free_min", written.free_min.as_ref(), 0),
            purges: larder_store::Purges::default(),
        }
    }

    fn purges(&mut self, written: &file::Purge) -> larder_store::Purges {
        let bytes =
            self.size("purge.history_bytes", written.history_bytes.as_ref(), limits::PURGE_HISTORY_BYTES_MAX);
        let age = self.timeout("purge.history_age", written.history_age.as_ref(), limits::PURGE_HISTORY_AGE);
        let undo_window =
            self.time("purge.undo_window", written.undo_window.as_ref(), limits::PURGE_UNDO_WINDOW);
        if undo_window > age {
            self.wrong(
                "purge.undo_window",
                "is longer than purges are remembered",
                format!("at the most purge.history_age, {}", value::show_time(age)),
            );
        }
        larder_store::Purges {
            undo_window,
            history: written.history.map_or(limits::PURGE_HISTORY_MAX, count),
            history_bytes: usize::try_from(bytes).unwrap_or(usize::MAX),
            history_age: age,
        }
    }

    fn directory(&mut self, written: Option<&str>, disk: u64) -> PathBuf {
        let path = "cache.directory";
        if written.is_some_and(str::is_empty) {
            self.wrong(path, "is empty", "directory = \"/var/lib/larder\"");
        }
        let directory = self.base.join(written.unwrap_or_default());
        if disk == 0 || written.is_none() {
            return directory;
        }
        if directory.exists() && !directory.is_dir() {
            self.wrong(path, format!("{} is not a directory", directory.display()), "name a directory");
            return directory;
        }
        if let Some((there, error)) = writable::refused(&directory) {
            let what = format!("{} cannot be written to: {error}", there.display());
            self.warn(path, what, writable::fix(&error));
        } else if let Some((room, there)) = space::short(&directory, disk) {
            let (disk, room) = (value::show_size(disk), value::show_size(room));
            let what = format!("{disk} is more than {} has room for, which is {room}", there.display());
            self.warn("cache.disk", what, "less than that, or another directory");
        }
        directory
    }

    fn listeners(&mut self, written: &[file::Listener]) -> Vec<listener::Config> {
        if written.is_empty() {
            self.wrong(
                "listener",
                "needs at least one address",
                "[[listener]] with address = \"0.0.0.0:8080\"",
            );
        }
        let mut seen = HashMap::new();
        let mut listeners = Vec::new();
        for (index, listener) in written.iter().enumerate() {
            let path = format!("listener[{index}].address");
            let Some(address) = self.address(&path, listener.address.as_deref(), "0.0.0.0:8080") else {
                continue;
            };
            if let Some(first) = seen.insert(address, index).filter(|_| address.port() != 0) {
                self.wrong(
                    &path,
                    format!("{address} is taken by listener[{first}]"),
                    "remove one of the two",
                );
            }
            listeners.push(listener::Config { address, tls: listener.tls.unwrap_or(false) });
        }
        listeners
    }

    fn address(&mut self, path: &str, written: Option<&str>, example: &str) -> Option<SocketAddr> {
        let Some(text) = written else {
            self.wrong(path, "is missing", format!("address = {example:?}"));
            return None;
        };
        let parsed = text.parse().ok();
        if parsed.is_none() {
            let what = format!("{text:?} is not an IP address with a port");
            self.wrong(
                path,
                what,
                format!("{:?}", address_meant(text).unwrap_or_else(|| example.to_owned())),
            );
        }
        parsed
    }

    fn limits(&mut self, written: &file::Limits) -> listener::Limits {
        let default = listener::Limits::default();
        let mut time = |key, written: &Option<Time>, default| {
            self.timeout(&format!("limits.{key}"), written.as_ref(), default)
        };
        listener::Limits {
            connections_max: written.connections_max.map_or(default.connections_max, count),
            head_timeout: time("head_timeout", &written.head_timeout, default.head_timeout),
            idle_timeout: time("idle_timeout", &written.idle_timeout, default.idle_timeout),
            body_timeout: time("body_timeout", &written.body_timeout, default.body_timeout),
            drain_timeout: time("drain_timeout", &written.drain_timeout, default.drain_timeout),
        }
    }

    fn admin(&mut self, written: &file::Admin, listeners: &[listener::Config]) -> Option<AdminConfig> {
        let path = "admin.address";
        let token = self.token("admin.token_file", written.token_file.as_deref(), "admin.token");
        let tokens = self.tokens(&written.token, token.as_ref());
        let address = self.address(path, written.address.as_deref(), "127.0.0.1:9901")?;
        if let Some(index) = listeners.iter().position(|listener| overlap(listener.address, address)) {
            self.wrong(
                path,
                format!("{address} is taken by listener[{index}]"),
                "give admin a port of its own",
            );
        } else if public(address.ip()) {
            let fix = "127.0.0.1 or an address of a private network, or a firewall before it";
            self.warn(path, format!("{address} may be reached from everywhere"), fix);
        }
        Some(AdminConfig { address, token: token?, tokens })
    }

    fn log(&mut self, written: &file::Log) -> access_log::Config {
        let path = "log.access";
        let target = match written.access.as_deref() {
            None | Some("off") => access_log::Target::Off,
            Some("stdout") => access_log::Target::Stdout,
            Some(text) => {
                let file = self.base.join(text);
                let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
                if text.is_empty() || matches!(text, "on" | "none" | "stderr" | "syslog" | "true" | "false") {
                    self.wrong(
                        path,
                        format!("{text:?} is not a place"),
                        "\"off\", \"stdout\" or the path of a file",
                    );
                } else if file.is_dir() {
                    self.wrong(path, format!("{} is a directory", file.display()), "name a file in it");
                } else if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
                    let fix = format!("mkdir -p {}", folder.display());
                    self.wrong(path, format!("{} is not a directory", folder.display()), fix);
                }
                access_log::Target::File(file)
            }
        };
        let format = match written.format {
            None | Some(file::Format::Json) => access_log::Format::Json,
            Some(file::Format::Combined) => access_log::Format::Combined,
        };
        access_log::Config { target, format }
    }
}

fn level(written: Level) -> LevelFilter {
    match written {
        Level::Off => LevelFilter::OFF,
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A count that its schema already keeps within bounds.
fn count(written: u64) -> usize {
    usize::try_from(written).unwrap_or(usize::MAX)
}

/// `0.0.0.0:8080` for `:8080`, `8080` and `*:8080`; `127.0.0.1:8080` for `localhost:8080`; a port for a bare address.
fn address_meant(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    if let Ok(ip) = text.trim_matches(['[', ']']).parse() {
        return Some(SocketAddr::new(ip, 8080).to_string());
    }
    let port: u16 = port.trim().parse().ok()?;
    match host {
        "" | "*" => Some(format!("0.0.0.0:{port}")),
        "localhost" => Some(format!("127.0.0.1:{port}")),
        _ => host.trim_matches(['[', ']']).parse().ok().map(|ip| SocketAddr::new(ip, port).to_string()),
    }
}

/// Whether two addresses cannot both be listened on by different parts.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || (any && one.is_ipv4() == other.is_ipv4()))
}

fn public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            !(v4.is_loopback() || v4.is_private() || v4.is_link_local() || shared)
        }
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_not_understood_names_the_one_meant() {
        for (text, meant) in [
            (":8080", Some("0.0.0.0:8080")),
            ("8080", Some("0.0.0.0:8080")),
            ("*:80", Some("0.0.0.0:80")),
            ("localhost:80", Some("127.0.0.1:80")),
            ("10.0.0.1", Some("10.0.0.1:8080")),
            ("::1", Some("[::1]:8080")),
            ("edge.example.com:80", None),
            ("", None),
        ] {
            assert_eq!(address_meant(text).as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn addresses_overlap_when_one_is_all_of_the_family() {
        for (one, other, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
        ] {
            assert_eq!(overlap(one.parse().unwrap(), other.parse().unwrap()), expected, "{one} {other}");
        }
    }

    #[test]
    fn private_networks_are_not_public() {
        for ip in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "100.64.0.1", "::1", "fd00::1", "::ffff:10.0.0.1"]
        {
            assert!(!public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["0.0.0.0", "::", "8.8.8.8", "100.128.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(public(ip.parse().unwrap()), "{ip}");
        }
    }
}
