//! Every limit of the node, with its unit and its reason. Nothing grows without a line here.
//! What an operator may change is only the default here; the config names the same thing.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

// --- what a client may send ---

/// Bytes of one request head (line and fields): what nginx allows with four buffers of 8 KiB. More is 431.
pub const REQUEST_HEAD_BYTES_MAX: usize = 32 * KIB;
/// Fields in one request head. More is 431.
pub const REQUEST_FIELDS_MAX: usize = 100;
/// Bytes of a request target. More is 414.
pub const REQUEST_TARGET_BYTES_MAX: usize = 8 * KIB;
/// Bytes of a request body by default. More is 413.
pub const REQUEST_BODY_BYTES_MAX: u64 = 1024 * MIB as u64;
/// Time a client has for a complete request head.
pub const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time a kept-alive connection may stay idle.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest silence inside a request body or while a client takes nothing of its answer.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections of all listeners together by default.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Time between SIGTERM and the end, whatever is still in flight.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Time a connection that has asked nothing yet has for its first request when the drain begins.
pub const DRAIN_FRESH_TIMEOUT: Duration = Duration::from_secs(1);
/// Time a client has for its TLS handshake.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of a request method; the longest registered one has 17.
pub const REQUEST_METHOD_BYTES_MAX: usize = 32;
/// Bytes of one chunk-size line in a request body; its extensions mean nothing to anybody.
pub const CHUNK_LINE_BYTES_MAX: usize = 256;
/// Bytes of all trailers of a request body; they are dropped.
pub const TRAILER_BYTES_MAX: usize = 4 * KIB;

// --- connections ---

/// Connections the kernel may complete before they are accepted, for each socket; the kernel lowers it to its own limit.
pub const LISTEN_BACKLOG: i32 = 4096;
/// Rest after an accept that failed for want of descriptors or buffers.
pub const ACCEPT_REST: Duration = Duration::from_millis(50);
/// Bytes the kernel may hold for one client and not have sent; its own default is several MiB for each slow reader.
pub const SOCKET_UNSENT_BYTES_MAX: u32 = 256 * KIB as u32;
/// hyper's read and write buffer for one HTTP/1.1 connection, bytes; a whole head must fit.
pub const CONNECTION_BUFFER_BYTES_MAX: usize = 64 * KIB;
/// Time an answer may stand still when its client has closed its own side already.
pub const HALF_CLOSED_TIMEOUT: Duration = Duration::from_secs(10);
/// Time and bytes a refused client may go on sending before it is reset; it reads its answer meanwhile.
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);
/// See [`LINGER_TIMEOUT`].
pub const LINGER_BYTES_MAX: usize = 16 * MIB;

/// Time that fetches whose clients are gone have to come in after a drain.
pub const FLIGHTS_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

// --- HTTP/2 ---

/// Bytes handed to HTTP/2 at once: one frame of the usual size. What it holds for a client that takes nothing is one
/// such piece for each stream, for as long as [`BODY_TIMEOUT`].
pub const H2_PIECE_BYTES: usize = 16 * KIB;

/// Streams a client may have open on one connection.
pub const H2_STREAMS_MAX: u32 = 100;
/// Send buffer of one stream, bytes; hyper's default of 400 KiB times 100 streams would be 40 MB a connection.
pub const H2_SEND_BUFFER_BYTES: usize = 64 * KIB;
/// Receive window of one stream, bytes.
pub const H2_STREAM_WINDOW_BYTES: u32 = 64 * KIB as u32;
/// Receive window of one connection, bytes.
pub const H2_CONNECTION_WINDOW_BYTES: u32 = 256 * KIB as u32;
/// Bytes of one decoded header list, counted as RFC 9113 6.5.2 does: 32 more for each field.
pub const H2_HEADER_LIST_BYTES_MAX: u32 = REQUEST_HEAD_BYTES_MAX as u32;
/// Streams reset by the peer that may wait to be accepted (CVE-2023-44487).
pub const H2_PENDING_RESETS_MAX: usize = 20;
/// Streams reset by us for the peer's errors before the connection goes (CVE-2025-8671).
pub const H2_LOCAL_RESETS_MAX: usize = 100;

// --- origins ---

/// Bytes of an origin's answer head.
pub const ORIGIN_HEAD_BYTES_MAX: usize = 64 * KIB;
/// Fields of an origin's answer.
pub const ORIGIN_FIELDS_MAX: usize = 200;
/// Interim (1xx) answers before the final one.
pub const ORIGIN_INTERIM_MAX: usize = 16;
/// Time to connect to one endpoint, TLS included.
pub const ORIGIN_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time from the request's last byte to the first byte of the answer.
pub const ORIGIN_FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest silence inside an answer's body.
pub const ORIGIN_BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(30);
/// Time an unused origin connection is kept.
pub const ORIGIN_IDLE_TIMEOUT: Duration = Duration::from_secs(55);
/// Unused connections kept for one endpoint by one worker.
pub const ORIGIN_IDLE_MAX: usize = 64;
/// Connections of one worker to one endpoint by default.
pub const ORIGIN_CONNECTIONS_MAX: usize = 512;
/// Bytes of an origin's answer read ahead of whoever takes them, for one connection.
pub const ORIGIN_BUFFER_BYTES_MAX: usize = 128 * KIB;
/// Addresses tried for one name of an origin.
pub const ORIGIN_ADDRESSES_MAX: usize = 16;
/// Time the addresses of a name are used before they are asked for again; they stay while nobody answers.
pub const ORIGIN_ADDRESSES_TIME: Duration = Duration::from_secs(10);
/// Shortest pause between two looks for origin connections that were unused too long.
pub const ORIGIN_REAP_PAUSE_MIN: Duration = Duration::from_millis(100);
/// Addresses of a client's `X-Forwarded-For` that are passed on; in a longer list nothing can be trusted.
pub const FORWARDED_FOR_MAX: usize = 32;
/// Failures in a row that eject an endpoint.
pub const ORIGIN_EJECT_AFTER: u32 = 3;
/// Time an ejected endpoint rests before it is tried again.
pub const ORIGIN_EJECT_TIME: Duration = Duration::from_secs(10);

// --- caching ---

/// Longest time a request waits in another's flight before it goes to the origin by itself.
pub const SEAT_WAIT_MAX: Duration = Duration::from_secs(60);
/// Requests that may wait in one flight.
pub const SEATS_MAX: usize = 50_000;
/// Time a key found unshareable is passed without queueing (hit-for-miss).
pub const HIT_FOR_MISS_TIME: Duration = Duration::from_secs(120);
/// Keys remembered as unshareable, at the most.
pub const HIT_FOR_MISS_KEYS_MAX: u64 = 100_000;
/// Media types, and languages, that a site may declare to choose by: each is held against each range of a request.
pub const NEGOTIATED_MEMBERS_MAX: usize = 32;
/// Variants of one URL; the one used least leaves.
pub const VARIANTS_MAX: usize = 64;
/// Bytes of the content of a QUERY that become part of its key; with more it goes past the cache.
pub const QUERY_CONTENT_BYTES_MAX: usize = 64 * KIB;
/// Contents of QUERY requests held at a time, 64 MiB at the worst; beyond it they go past the cache.
pub const QUERIES_TAKEN_MAX: usize = 1024;
/// Paths whose `No-Vary-Search` is remembered, about 3 MiB.
pub const SEARCH_RULES_MAX: u64 = 10_000;
/// Bytes of URLs remembered as standing for others by `No-Vary-Search`.
pub const SEARCH_URLS_BYTES_MAX: u64 = 8 * MIB as u64;
/// Bytes of a secondary key made of request fields that nothing else knows; with longer ones nothing is stored.
pub const STRAY_KEY_BYTES_MAX: usize = 4 * KIB;
/// Ranges answered in one multipart answer; more and the whole body is sent (RFC 9110 14.2).
pub const RANGES_MAX: usize = 16;
/// Bytes of a block of a large answer that is fetched as far as it is asked for (`range_block`): a block costs about what
/// a round trip does, and fits the memory tier.
pub const RANGE_BLOCK_BYTES: u64 = 4 * MIB as u64;
/// Least and most bytes of such a block: each is a request to the origin, and the first byte may wait for all of it.
pub const RANGE_BLOCK_BYTES_MIN: u64 = 64 * KIB as u64;
/// See [`RANGE_BLOCK_BYTES_MIN`].
pub const RANGE_BLOCK_BYTES_MAX: u64 = 64 * MIB as u64;
/// Times a block is asked for where it left the store before it could be read.
pub const BLOCK_TRIES_MAX: u32 = 3;
/// Times a request begins anew because the origin had another version than the stored blocks; then it goes alone.
pub const RESTARTS_MAX: u32 = 2;
/// Bytes below which compressing costs more than it saves.
pub const COMPRESS_BYTES_MIN: u64 = 256;
/// Bytes above which an encoded form is streamed and not kept.
pub const COMPRESS_KEEP_BYTES_MAX: u64 = 16 * MIB as u64;
/// Bytes of input encoded at a stretch: well below a millisecond, then the worker's other connections have their turn.
pub const COMPRESS_PIECE_BYTES: usize = 64 * KIB;
/// Window of brotli and zstd, as a power of two: 512 KiB, so that one stream costs at most 3 MiB and no client refuses
/// it (RFC 9659 allows 8 MiB).
pub const COMPRESS_WINDOW_BITS_MAX: u32 = 19;
/// Bodies being encoded at a time, 96 MiB of brotli at the worst; beyond it answers go out as they are.
pub const COMPRESS_STREAMS_MAX: usize = 32;

// --- configuration ---

/// Bytes of the configuration, and of each file it refers to: far above any real one, far below harm.
pub const CONFIG_BYTES_MAX: u64 = 4 * MIB as u64;
/// Mistakes that are told of one configuration: more nobody reads, and a reload answers over the network.
pub const CONFIG_MISTAKES_MAX: usize = 200;
/// Days before a certificate's end from which `larder check` warns: two weekends.
pub const CERTIFICATE_DAYS_LEFT: u64 = 14;
/// Bytes of a node's name: it goes into three fields of every exchange.
pub const NODE_NAME_BYTES_MAX: usize = 64;
/// Bytes of objects in memory by default.
pub const CACHE_MEMORY_BYTES: u64 = 256 * MIB as u64;
/// Bytes of objects on disk by default.
pub const CACHE_DISK_BYTES: u64 = 10 * 1024 * MIB as u64;
/// Files of the cache that `larder check` counts to see whether the disk has room; with more it says nothing of it.
pub const CACHE_FILES_COUNTED_MAX: usize = 100_000;
/// Bytes of a tier below which it cannot hold what is in flight.
pub const CACHE_TIER_BYTES_MIN: u64 = 64 * KIB as u64;
/// Bytes of the largest object kept in memory by default: one large file must not displace a thousand pages.
pub const MEMORY_OBJECT_BYTES_MAX: u64 = 8 * MIB as u64;
/// Threads that read and write the disk by default.
pub const IO_THREADS: usize = 4;
/// Bytes a second of bodies on disk that are compared with their checksums, where the configuration says nothing: a
/// tenth of what a slow disk reads.
pub const SCRUB_BYTES: u64 = 10 * MIB as u64;
/// Share of the disk that pinned objects may take, percent, where the configuration says nothing.
pub const PINNED_MAX_PERCENT: u8 = 20;

/// Rules of one site: each is looked at until one matches.
pub const RULES_MAX: usize = 500;
/// Bytes of the name of a rule: it is in `Cache-Status` of every answer it matches.
pub const RULE_NAME_BYTES_MAX: usize = 64;

// --- logs ---

/// Access log lines waiting for their writer; more are dropped and counted.
pub const ACCESS_LOG_QUEUE_MAX: usize = 65_536;
/// Bytes of access log lines waiting for their writer, whatever their number.
pub const ACCESS_LOG_QUEUE_BYTES_MAX: usize = 16 * MIB;
/// Bytes of one field in an access log line; more is cut off.
pub const ACCESS_LOG_FIELD_BYTES_MAX: usize = 4 * KIB;
/// Time that lines still waiting have to be written at the end.
pub const LOG_FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// Lines of the node's own log waiting for their writer; more are dropped and counted.
pub const NODE_LOG_QUEUE_MAX: usize = 8_192;
/// Bytes of the node's own log waiting for their writer.
pub const NODE_LOG_QUEUE_BYTES_MAX: usize = 4 * MIB;

const _: () = assert!(REQUEST_TARGET_BYTES_MAX < REQUEST_HEAD_BYTES_MAX);
const _: () = assert!(REQUEST_HEAD_BYTES_MAX < CONNECTION_BUFFER_BYTES_MAX);
const _: () = assert!(REQUEST_HEAD_BYTES_MAX >= 8 * KIB, "hyper's smallest read buffer");
const _: () = assert!(ORIGIN_HEAD_BYTES_MAX < ORIGIN_BUFFER_BYTES_MAX, "a head must fit its buffer");

// --- purges and the admin listener ---

/// Bytes of a request body on the admin listener. More is 413.
pub const ADMIN_BODY_BYTES_MAX: usize = MIB;
/// Time an admin client has for its request body.
pub const ADMIN_BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the work an admin request asks for; a disk that hangs makes a 503, never a silence.
pub const ADMIN_WORK_TIMEOUT: Duration = Duration::from_secs(30);
/// Between two log lines about requests without the token, so that a flood of tries is no flood of lines.
pub const ADMIN_REFUSED_LOG_PAUSE: Duration = Duration::from_secs(10);
/// Connections to the admin listener.
pub const ADMIN_CONNECTIONS_MAX: usize = 256;
/// Selectors of one purge; more goes in several.
pub const PURGE_SELECTORS_MAX: usize = 10_000;
/// Bytes of the id of a purge: a UUID and a part number have room.
pub const PURGE_ID_BYTES_MAX: usize = 128;
/// Bytes of the author and of the reason of a purge, each.
pub const PURGE_TEXT_BYTES_MAX: usize = 1024;
/// Ids of purges remembered, so that repeating one does nothing; about 12 MiB. Four times what a log holds: nodes of a fleet
/// send each other what is in their logs, and an id that one has forgotten and another one has not would go round for ever.
pub const PURGE_IDS_MAX: usize = 40_000;
/// Purges in the history by default.
pub const PURGE_HISTORY_MAX: usize = 10_000;
/// Bytes of the history of purges by default.
pub const PURGE_HISTORY_BYTES_MAX: u64 = 32 * MIB as u64;
/// Age after which a purge leaves the history by default.
pub const PURGE_HISTORY_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// Time for which a purge can be taken back by default.
pub const PURGE_UNDO_WINDOW: Duration = Duration::from_secs(5 * 60);
/// Purges in one listing of the history.
pub const PURGES_LISTED_MAX: usize = 1000;
/// Bytes of selectors in one listing of the history.
pub const PURGES_LISTED_BYTES_MAX: usize = 4 * MIB;
/// Mistakes of one purge told one by one.
pub const PURGE_MISTAKES_TOLD_MAX: usize = 10;

// --- the fleet ---

/// Nodes of a fleet: each reads the logs of all others, and connections grow with the square.
pub const FLEET_PEERS_MAX: usize = 64;
/// Time to connect to a peer, TLS included.
pub const FLEET_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time a node lets another one wait for purges to come before it says that there are none.
pub const FLEET_WAIT: Duration = Duration::from_secs(10);
/// Longest silence of a peer beyond that; then it counts as cut off.
pub const FLEET_ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Time before a peer that could not be read is asked again, doubled up to [`FLEET_PAUSE_MAX`].
pub const FLEET_PAUSE_MIN: Duration = Duration::from_millis(100);
/// See [`FLEET_PAUSE_MIN`].
pub const FLEET_PAUSE_MAX: Duration = Duration::from_secs(2);
/// Time between two comparisons of whole logs.
pub const FLEET_COMPARE_PAUSE: Duration = Duration::from_secs(600);
/// Purges fetched one by one after such a comparison.
pub const FLEET_COMPARED_MAX: usize = 1000;
/// Purges in one page of a log.
pub const FLEET_PAGE_MAX: usize = 1000;
/// Bytes of selectors in one page of a log, unless a single purge has more.
pub const FLEET_PAGE_SELECTOR_BYTES_MAX: usize = 4 * MIB;
/// Bytes of one page as JSON: a single purge may be as large as the store takes, with every byte of it escaped.
pub const FLEET_PAGE_BYTES_MAX: usize = 64 * MIB;
/// Time to catch up before a node is ready without, by default.
pub const FLEET_CATCH_UP_TIMEOUT: Duration = Duration::from_secs(30);
/// Time to wait for the confirmations of other nodes when the caller names none.
pub const FLEET_CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);

const _: () = assert!(FLEET_WAIT.as_secs() < ADMIN_WORK_TIMEOUT.as_secs());
const _: () = assert!(FLEET_CONFIRM_TIMEOUT.as_secs() < ADMIN_WORK_TIMEOUT.as_secs());
