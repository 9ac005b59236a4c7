//! Which fields of a request an origin does not get as its client sent them. What is forwarded and what selects a
//! variant have to agree on this.

/// Fields by which a client could make an origin answer for another URL, host, method or client than the cache key
/// says. Spellings with `_` are removed as well: CGI and its heirs cannot tell them from `-`.
pub const STRIPPED: [&str; 32] = [
    "base-url",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "front-end-https",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-forwarded-by",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-protocol",
    "x-forwarded-scheme",
    "x-forwarded-server",
    "x-forwarded-ssl",
    "x-forwarded-uri",
    "x-forwarded-url",
    "x-host",
    "x-http-destinationurl",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-real-ip",
    "x-real-url",
    "x-rewrite-url",
    "x-url-scheme",
];

/// Fields of a request that are for the next hop only (RFC 9110 7.6.1), and `Proxy`, which CGI programs take for a
/// setting of their environment (CVE-2016-5385). `Trailer` goes because trailers do not pass.
pub const REQUEST_HOP_BY_HOP: [&str; 12] = [
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields that the node writes itself, from the client's address, its connection and what its own field said: two
/// requests that look alike here do not look alike to the origin.
pub const REWRITTEN: [&str; 6] =
    ["cdn-loop", "forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];

/// Whether the (lower-case) name is in the sorted list, with `_` read as `-`.
#[must_use]
pub fn is_one_of(name: &str, sorted: &[&str]) -> bool {
    if name.contains('_') {
        return sorted.binary_search(&name.replace('_', "-").as_str()).is_ok();
    }
    sorted.binary_search(&name).is_ok()
}
