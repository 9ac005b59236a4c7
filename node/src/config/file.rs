//! The configuration as written: one struct a section, nothing interpreted.
//!
//! The comments here are the descriptions of `larder schema`; a default named in one is held to the real default by
//! a test. A key left out is `None`, so that `check` alone knows the defaults.

pub mod rule;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// Configuration of a Larder node. Relative paths are relative to this file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    /// Who this node is.
    pub node: Node,
    /// The cache in memory and on disk.
    pub cache: Cache,
    /// Addresses that clients connect to; at least one.
    pub listener: Vec<Listener>,
    /// Certificates for the listeners with TLS, chosen by SNI from the names inside them.
    pub certificate: Vec<Certificate>,
    /// What all listeners together allow.
    pub limits: Limits,
    /// The operator's own listener: health, metrics, purge, reload. Left out, there is none.
    pub admin: Option<Admin>,
    /// How purges are remembered.
    pub purge: Purge,
    /// Logs.
    pub log: Log,
    /// The other nodes, so that a purge on one of them is a purge here. Left out, this node is alone.
    pub fleet: Option<Fleet>,
    /// What is served, and from where; at least one.
    pub site: Vec<Site>,
}

/// Who this node is.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Node {
    /// Name of this node in Cache-Status, Via and CDN-Loop: a letter, then letters, digits, `.`, `_` or `-`.
    /// Every node needs its own: a request that meets the same name again is a loop.
    pub name: Option<String>,
    /// Worker threads, each with its own event loop and sockets. Default: one for each core.
    #[schemars(range(min = 1, max = 1024))]
    pub workers: Option<u64>,
}

/// The cache in memory and on disk.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Directory of the cache on disk; Larder owns everything in it.
    pub directory: Option<String>,
    /// Bytes of objects kept in memory. Default: `256MiB`.
    pub memory: Option<Size>,
    /// Bytes of objects kept on disk; `0` is memory only and needs no directory. Default: `10GiB`.
    pub disk: Option<Size>,
    /// Largest object that is cached; larger ones pass through. Default: a quarter of `disk`.
    pub object_max: Option<Size>,
    /// Largest object that is kept in memory. Default: an eighth of `memory`, at the most 8 MiB.
    pub memory_object_max: Option<Size>,
    /// Threads that read and write the disk. Default: `4`.
    #[schemars(range(min = 1, max = 256))]
    pub io_threads: Option<u64>,
    /// Which new objects are written to disk: `auto` is all while a tenth of `disk` is free, then those asked for a
    /// second time; `all`; `second` is those asked for a second time, always. Default: `auto`.
    pub disk_admission: Option<DiskAdmission>,
    /// Bytes a second of bodies on disk that are compared with their checksums in the background, every few hours all
    /// of them; `0` is none. Default: `10MiB`.
    pub scrub: Option<Size>,
    /// Bytes that stay free on the file system of `directory`, and one in a hundred inodes: below that nothing is stored
    /// and the cache makes room; `0` is not looked at. Default: `0`.
    pub free_min: Option<Size>,
    /// Share of `disk` that pinned objects may take, in percent. Default: `20`.
    #[schemars(range(min = 0, max = 90))]
    pub pinned_max_percent: Option<u64>,
}

/// Which new objects are written to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiskAdmission {
    /// All while there is room; then those that are asked for a second time.
    Auto,
    /// All.
    All,
    /// Those that are asked for a second time.
    Second,
}

/// An address that clients connect to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listener {
    /// IP address and port, such as `0.0.0.0:80` or `[::]:443`; port 0 takes a free one.
    pub address: Option<String>,
    /// Speak TLS with ALPN h2 and http/1.1. Default: `false`.
    pub tls: Option<bool>,
}

/// A certificate with its key.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Certificate {
    /// PEM file of the certificate chain, the leaf first.
    pub cert: Option<String>,
    /// PEM file of the private key.
    pub key: Option<String>,
}

/// What all listeners together allow.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open client connections. Default: `10000`.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub connections_max: Option<u64>,
    /// Time a client has for a complete request head. Default: `10s`.
    pub head_timeout: Option<Time>,
    /// Time a kept-alive connection may stay idle. Default: `60s`.
    pub idle_timeout: Option<Time>,
    /// Longest silence inside a request body, or while a client takes nothing of its answer. Default: `30s`.
    pub body_timeout: Option<Time>,
    /// Time between SIGTERM and the end, whatever is still in flight. Default: `30s`.
    pub drain_timeout: Option<Time>,
}

/// The operator's own listener. Keep it off public addresses.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// IP address and port, such as `127.0.0.1:9901`.
    pub address: Option<String>,
    /// File with the token that `Authorization: Bearer` must carry; readable by its owner only. It may do everything.
    pub token_file: Option<String>,
    /// Further tokens, each for some purges only.
    pub token: Vec<Token>,
}

/// How purges are remembered.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Purge {
    /// Time for which a purge can be taken back; what it hit is kept that long and not served. `0s` = never.
    /// Default: `5m`.
    pub undo_window: Option<Time>,
    /// Purges in the history, for `larder-purge log` and for nodes that missed some. Default: `10000`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub history: Option<u64>,
    /// Bytes of the history. Default: `32MiB`.
    pub history_bytes: Option<Size>,
    /// Age after which a purge leaves the history. Default: `30d`.
    pub history_age: Option<Time>,
}

/// A token for some purges only: of a content management system, of a deployment.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Token {
    /// Who has it: stands as the author in the history of purges.
    pub name: Option<String>,
    /// File with the token; readable by its owner only.
    pub file: Option<String>,
    /// Hosts it may purge, such as `www.example.com` or `*.example.com`; tags reach every host, so they need `*`.
    /// Default: every host.
    pub hosts: Option<Vec<String>>,
    /// Kinds of purges: `url`, `tag`, `prefix`, `host`, `all`, `regex`. Default: every kind.
    pub kinds: Option<Vec<String>>,
    /// Only soft purges. Default: `false`.
    pub soft_only: Option<bool>,
    /// Purges a second, dry runs included; more are answered with 429. Default: no bound.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub rate: Option<u64>,
}

/// The other nodes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fleet {
    /// Admin listeners of the other nodes, such as `http://10.0.0.2:9901`; this node's own may be among them.
    pub peers: Vec<String>,
    /// File with the token that all nodes of the fleet show each other; readable by its owner only.
    pub token_file: Option<String>,
    /// PEM file of the CA certificates trusted for `https` peers. Default: those of the system.
    pub ca_file: Option<String>,
    /// Time to catch up on missed purges after a start. Then the node is ready without, but serves what it had stored only
    /// when the origin has confirmed it. Default: `30s`.
    pub catch_up_timeout: Option<Time>,
}

/// Logs.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// Access log: `off`, `stdout` or a file, which is reopened on SIGHUP. Default: `off`.
    pub access: Option<String>,
    /// Form of an access line. Default: `json`.
    pub format: Option<Format>,
    /// How much the node says of itself on stderr. Default: `info`.
    pub level: Option<Level>,
}

/// Form of an access line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// The combined format of Apache and nginx.
    Combined,
}

/// How much the node says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing.
    Off,
    /// What needs a hand.
    Error,
    /// What may soon need one.
    Warn,
    /// Start, stop, reload, purges, endpoints that come and go.
    Info,
    /// Why each request went the way it went.
    Debug,
    /// Everything.
    Trace,
}

/// One site: the hosts it answers for and what is done for them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Site {
    /// Name in logs and metrics. Default: the first of `hosts`.
    pub name: Option<String>,
    /// Hosts, such as `www.example.com`, `*.example.com` (any depth below it) or `*` (any host).
    /// The exact one wins, then the longest `*.`, then `*`.
    pub hosts: Vec<String>,
    /// Largest request body; more is answered with 413. Default: `1GiB`.
    pub request_body_max: Option<Size>,
    /// Blocks in which a large answer is fetched when a range of it is asked for, 64KiB to 64MiB; `0` fetches every answer
    /// whole. Default: `4MiB`.
    pub range_block: Option<Size>,
    /// Send Surrogate-Key, Cache-Tag and Cache-Groups on to clients. Default: `false`.
    pub show_tags: Option<bool>,
    /// Where answers come from.
    pub origin: Origin,
    /// How answers are cached.
    pub cache: SiteCache,
    /// What the origin chooses its answers by.
    pub vary: SiteVary,
    /// How answers are compressed.
    pub compression: Compression,
    /// What tells answers apart besides scheme, host, port, path and query.
    pub key: rule::Key,
    /// What is special about some paths; the first that matches a request is the only one.
    pub rule: Vec<rule::Rule>,
    /// Who may send `PURGE` to the site itself. Left out, nobody: it is answered with 405.
    pub purge: Option<SitePurge>,
}

/// Who may send `PURGE` to the site itself: the networks, or whoever has the token.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SitePurge {
    /// Networks or addresses, such as `10.0.0.0/8`; of the connection, whatever a request says of itself.
    pub networks: Vec<String>,
    /// File with a token for `Authorization: Bearer` or `Fastly-Key`; readable by its owner only.
    pub token_file: Option<String>,
    /// Take tags in Surrogate-Key, Cache-Tag or xkey; they reach every site. Default: where the node has one site only.
    pub tags: Option<bool>,
}

/// Where answers come from.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Origin {
    /// Servers that are tried in turn, such as `http://127.0.0.1:9000` or `https://origin.example.com`; no path.
    pub endpoints: Vec<String>,
    /// `Host` sent to the origin. Default: the one the client asked for.
    pub host: Option<String>,
    /// PEM file of the CA certificates trusted for `https` endpoints. Default: those of the system.
    pub ca_file: Option<String>,
    /// Name asked for and verified in TLS. Default: the endpoint's host.
    pub server_name: Option<String>,
    /// Time to connect, TLS included. Default: `3s`.
    pub connect_timeout: Option<Time>,
    /// Time from the request's last byte to the answer's head. Default: `30s`.
    pub first_byte_timeout: Option<Time>,
    /// Longest silence inside an answer's body. Default: `30s`.
    pub between_bytes_timeout: Option<Time>,
    /// Time an unused connection is kept. Default: `55s`.
    pub idle_timeout: Option<Time>,
    /// Connections of one worker to one endpoint. Default: `512`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_max: Option<u64>,
    /// Failures in a row that eject an endpoint. Default: `3`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub eject_after: Option<u64>,
    /// How long an ejected endpoint rests before it is tried again. Default: `10s`.
    pub eject_time: Option<Time>,
}

/// How answers are cached, where the origin leaves it open.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SiteCache {
    /// Share of the time since Last-Modified that is taken for a lifetime where the origin names none, in percent
    /// (RFC 9111 4.2.2); 0 turns it off. Default: `10`.
    #[schemars(range(min = 0, max = 100))]
    pub heuristic_percent: Option<u64>,
    /// Longest lifetime found that way. Default: `1d`.
    pub heuristic_max: Option<Time>,
    /// Default of both `stale_while_revalidate` and `stale_if_error`: how long past its lifetime an answer is served
    /// while it is refreshed, or instead of an error. Default: `0s`.
    pub grace: Option<Time>,
    /// `stale-while-revalidate` (RFC 5861) where the origin names none. Default: that of `grace`.
    pub stale_while_revalidate: Option<Time>,
    /// `stale-if-error` (RFC 5861) where the origin names none. Default: that of `grace`.
    pub stale_if_error: Option<Time>,
    /// What counts as an error for `stale_if_error`: `connect`, `timeout`, `closed`, `invalid`, and statuses from 400 to
    /// 599. Default: the four words, and 500, 502, 503, 504.
    pub stale_if_error_on: Option<Vec<String>>,
    /// While no endpoint can be reached at all, serve what is stored however stale it is, even if its origin forbade
    /// that with must-revalidate, proxy-revalidate or s-maxage. Never what it keeps from caches, what it wants to be
    /// asked about each time, or what is purged. Default: `false`.
    pub serve_stored_if_down: Option<bool>,
    /// Obey no-cache, no-store, max-age and only-if-cached of clients. Default: `true`.
    pub client_directives: Option<bool>,
    /// Obey max-stale and min-fresh of clients. Default: `false`.
    pub client_staleness: Option<bool>,
    /// Time past its lifetime that an answer is served while the origin gives no answer at all, unless the origin
    /// forbade it (RFC 9111 4.2.4). Default: `1d`.
    pub stale_if_unreachable: Option<Time>,
    /// How long an answer is kept for revalidation after its lifetime; longer where it may be served stale for longer.
    /// Default: `7d`.
    pub keep: Option<Time>,
    /// Answers with Set-Cookie: `refuse` to store them unless the origin says they are for all, `strip` the field, or
    /// `keep` it for everyone. Default: `refuse`.
    pub set_cookie: Option<SetCookie>,
    /// Fields that replace Cache-Control and Expires for this node, the first valid one wins (RFC 9213). Default:
    /// CDN-Cache-Control, then Surrogate-Control.
    pub targets: Option<Vec<String>>,
    /// Up to this part of a lifetime, in percent, is taken off each answer, so that what came together does not
    /// expire together. Default: `0`.
    #[schemars(range(min = 0, max = 50))]
    pub ttl_jitter_percent: Option<u64>,
    /// Part of the disk, in percent, that other sites cannot take from this one; it may have more while they need less.
    /// Left out, the site shares what is left with all others.
    #[schemars(range(min = 1, max = 100))]
    pub disk_share_percent: Option<u64>,
    /// Paths whose answers stay on disk until they are purged or too old, such as `/app.js` or `/core/*`; up to
    /// `cache.pinned_max_percent`.
    pub pin_paths: Option<Vec<String>>,
    /// Tags of answers that stay on disk in the same way.
    pub pin_tags: Option<Vec<String>>,
}

/// What the origin chooses its answers by: requests are reduced to the members named here (RFC 9110 12.5), for the key
/// of the cache and for the origin alike.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SiteVary {
    /// Media types the origin chooses among by Accept, its favourite first, such as `image/avif`. Left out, Accept stays
    /// as the client sent it.
    pub accept: Vec<String>,
    /// Languages the origin chooses among by Accept-Language, its favourite first, such as `en` or `pt-BR`. Left out,
    /// Accept-Language stays as the client sent it.
    pub accept_language: Vec<String>,
}

/// What becomes of answers with `Set-Cookie`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SetCookie {
    /// Not stored, unless the origin says that they are for everyone; then without the field.
    Refuse,
    /// Stored without the field.
    Strip,
    /// Stored with the field.
    Keep,
}

/// How answers are compressed on their way out.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Compression {
    /// Compress with gzip, brotli or zstd, as the client prefers. Default: `true`.
    pub enabled: Option<bool>,
    /// Smallest answer that is compressed. Default: `256B`.
    pub min_size: Option<Size>,
    /// Media types that are compressed; `text/*` is all of a kind. Default: text, JSON, XML, JavaScript,
    /// WebAssembly, SVG and plain fonts.
    pub types: Option<Vec<String>>,
    /// gzip level. Default: `6`.
    #[schemars(range(min = 1, max = 9))]
    pub gzip_level: Option<u64>,
    /// brotli quality; above 6 a page waits noticeably. Default: `5`.
    #[schemars(range(min = 0, max = 11))]
    pub brotli_level: Option<u64>,
    /// zstd level. Default: `3`.
    #[schemars(range(min = 1, max = 19))]
    pub zstd_level: Option<u64>,
}

/// A number of bytes as written: `512KiB`, `10GiB`, or plain bytes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Size {
    /// Plain bytes.
    Bytes(u64),
    /// A number and a unit.
    Text(String),
}

/// A time as written: `500ms`, `10s`, `5m`, `12h`, `7d`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Time(pub String);

impl JsonSchema for Size {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A whole number and B, KiB, MiB, GiB or TiB; without a unit it is bytes.",
            "type": ["string", "integer"],
            "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB)?$",
            "minimum": 0,
            "examples": ["512KiB", "256MiB", "10GiB"],
        })
    }
}

impl JsonSchema for Time {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A whole number and ms, s, m, h or d.",
            "type": "string",
            "pattern": "^[0-9]+(ms|s|m|h|d)$",
            "examples": ["500ms", "10s", "5m", "12h", "7d"],
        })
    }
}
