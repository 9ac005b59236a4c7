//! Heads as they cross the node: what is between two neighbours stays there (RFC 9110 7.6.1), what an origin is told
//! of the client is told by us, and what an origin might believe but no cache key holds never gets there.

use std::net::{IpAddr, SocketAddr};

use http::header::{self, CONNECTION, HeaderName};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri, Version, request};

use crate::limits;
use crate::policy::upstream::{REQUEST_HOP_BY_HOP, STRIPPED, is_one_of};

/// Fields of an answer that are for the next hop only.
pub const RESPONSE_HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields that [`request_head`] writes itself, from [`Facts`] and from what the client's fields may add.
const WRITTEN: [&str; 8] = [
    "cdn-loop",
    "content-length",
    "forwarded",
    "host",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
];

/// Fields that are for everybody: a neighbour that lists them in `Connection` (which RFC 9110 7.6.1 forbids) could
/// otherwise turn a private answer into a public one, or a request into another.
const END_TO_END: [&str; 18] = [
    "age",
    "authorization",
    "cache-control",
    "cdn-cache-control",
    "cdn-loop",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expires",
    "host",
    "pragma",
    "set-cookie",
    "vary",
    "via",
];

/// What the node knows of an exchange and the origin is told.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// This node, for `Via` and `CDN-Loop`.
    pub node_name: &'a str,
    /// The client's address.
    pub client_ip: IpAddr,
    /// The version of HTTP that the client speaks with us.
    pub version: Version,
    /// Whether the client speaks TLS with us.
    pub tls: bool,
    /// The authority the client asked for.
    pub host: &'a str,
    /// The `Host` the site's configuration sends instead.
    pub host_override: Option<&'a str>,
}

/// The head an origin gets for a client's request. Framing fields are left to [`Pool::send`](super::Pool::send).
///
/// # Errors
/// `target` is no path and query, or a fact cannot be the value of a field.
pub fn request_head(
    method: Method,
    target: &str,
    client: &HeaderMap,
    facts: &Facts<'_>,
) -> Result<request::Parts, http::Error> {
    let mut head = http::Request::new(()).into_parts().0;
    head.method = method;
    head.version = Version::HTTP_11;
    head.uri = Uri::from(PathAndQuery::try_from(target)?);
    let mut headers = HeaderMap::with_capacity(client.len() + WRITTEN.len());
    headers.insert(header::HOST, HeaderValue::from_str(facts.host_override.unwrap_or(facts.host))?);
    let named = connection_options(client);
    for (name, value) in client {
        if !stays_here(name, &named) {
            headers.append(name, value.clone());
        }
    }
    let proto = if facts.tls { "https" } else { "http" };
    append(&mut headers, header::VIA, client, &format!("{} {}", protocol(facts.version), facts.node_name))?;
    append(&mut headers, CDN_LOOP, client, facts.node_name)?;
    headers.insert(header::FORWARDED, forwarded(facts, proto)?);
    headers.insert(FORWARDED_FOR, forwarded_for(client, facts.client_ip)?);
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(proto));
    headers.insert(FORWARDED_HOST, HeaderValue::from_str(facts.host)?);
    head.headers = headers;
    Ok(head)
}

/// How `Via` spells a version (RFC 9110 7.6.3, 2.5).
const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 | Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2.0",
        Version::HTTP_3 => "3.0",
        _ => "1.1",
    }
}

const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Removes from a client's request what no origin will see, so that cache key and policy judge the request that is
/// really sent: a client that names `Accept-Language` in `Connection` must not choose a variant with it.
pub fn clean_request(headers: &mut HeaderMap) {
    let named = connection_options(headers);
    let leaving = |name: &HeaderName| {
        is_one_of(name.as_str(), &REQUEST_HOP_BY_HOP)
            || is_one_of(name.as_str(), &STRIPPED)
            || is_named(name, &named)
    };
    remove_all(headers, leaving);
}

/// Removes from an origin's answer what is not for clients: hop-by-hop fields and those `Connection` names.
pub fn clean_response(headers: &mut HeaderMap) {
    let named = connection_options(headers);
    remove_all(headers, |name| is_one_of(name.as_str(), &RESPONSE_HOP_BY_HOP) || is_named(name, &named));
}

/// Whether this node has forwarded the request before (RFC 8586).
#[must_use]
pub fn looped(client: &HeaderMap, node_name: &str) -> bool {
    client
        .get_all(CDN_LOOP)
        .iter()
        .flat_map(|value| members(value.as_bytes()))
        .filter_map(|member| member.split(|byte| *byte == b';').next())
        .any(|id| id.trim_ascii().eq_ignore_ascii_case(node_name.as_bytes()))
}

/// The members of a list, without those commas that are inside quotes.
fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    list.split(move |byte| {
        let was_escaped = std::mem::take(&mut escaped);
        match byte {
            b'"' if !was_escaped => quoted = !quoted,
            b'\\' if quoted && !was_escaped => escaped = true,
            b',' => return !quoted,
            _ => {}
        }
        false
    })
}

fn remove_all(headers: &mut HeaderMap, leaving: impl Fn(&HeaderName) -> bool) {
    let leaving: Vec<HeaderName> = headers.keys().filter(|name| leaving(name)).cloned().collect();
    for name in leaving {
        headers.remove(name);
    }
}

fn stays_here(name: &HeaderName, named: &[String]) -> bool {
    let text = name.as_str();
    is_one_of(text, &REQUEST_HOP_BY_HOP)
        || is_one_of(text, &STRIPPED)
        || is_one_of(text, &WRITTEN)
        || is_named(name, named)
}

/// Whether a `Connection` field names other fields, so that [`clean_request`] has something to do that matters.
#[must_use]
pub fn names_fields(headers: &HeaderMap) -> bool {
    named_options(headers).next().is_some()
}

/// What the `Connection` fields name, in lower case.
fn connection_options(headers: &HeaderMap) -> Vec<String> {
    let text = |option| std::str::from_utf8(option).ok();
    named_options(headers).filter_map(text).map(str::to_ascii_lowercase).collect()
}

/// The members of every `Connection` line but those that are about the connection itself.
fn named_options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(CONNECTION).iter();
    let options = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    options.filter(|option| {
        let own = [&b""[..], b"close", b"keep-alive"];
        !own.iter().any(|own| option.eq_ignore_ascii_case(own))
    })
}

fn is_named(name: &HeaderName, named: &[String]) -> bool {
    named.iter().any(|option| option == name.as_str()) && !END_TO_END.contains(&name.as_str())
}

/// The client's lines of this field and one of ours after them.
fn append(
    headers: &mut HeaderMap,
    name: HeaderName,
    client: &HeaderMap,
    ours: &str,
) -> Result<(), http::Error> {
    let mut line = Vec::with_capacity(ours.len());
    for value in client.get_all(&name).iter().filter(|value| !value.is_empty()) {
        line.extend_from_slice(value.as_bytes());
        line.extend_from_slice(b", ");
    }
    line.extend_from_slice(ours.as_bytes());
    headers.insert(name, HeaderValue::from_bytes(&line)?);
    Ok(())
}

/// One element by us (RFC 7239); the client's own are not believed.
fn forwarded(facts: &Facts<'_>, proto: &str) -> Result<HeaderValue, http::Error> {
    let client = match facts.client_ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("\"[{ip}]\""),
    };
    let host = facts.host;
    let line = if host.bytes().all(is_token_byte) {
        format!("for={client};host={host};proto={proto}")
    } else {
        let host = host.replace('\\', "\\\\").replace('"', "\\\"");
        format!("for={client};host=\"{host}\";proto={proto}")
    };
    Ok(HeaderValue::from_str(&line)?)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The addresses the client's proxies claim, and the client's. A list with anything else in it is not passed on: an
/// origin may print what it finds there into an answer that everybody gets.
fn forwarded_for(client: &HeaderMap, ip: IpAddr) -> Result<HeaderValue, http::Error> {
    let claimed: Option<Vec<&str>> = client
        .get_all(FORWARDED_FOR)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|member| std::str::from_utf8(member.trim_ascii()).ok().filter(|member| is_address(member)))
        .collect();
    let mut line = String::new();
    for member in claimed.filter(|claimed| claimed.len() <= limits::FORWARDED_FOR_MAX).into_iter().flatten() {
        line.push_str(member);
        line.push_str(", ");
    }
    line.push_str(&ip.to_canonical().to_string());
    Ok(HeaderValue::from_str(&line)?)
}

fn is_address(text: &str) -> bool {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    text == "unknown" || bare.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok()
}

#[cfg(test)]
mod tests;
