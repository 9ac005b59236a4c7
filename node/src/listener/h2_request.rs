//! What a request over HTTP/2 must be beyond what the h2 crate checks (RFC 9113 8.2, 8.3).

use http::{HeaderMap, HeaderValue, Method, Request, header};

use super::guard::is_host;
use super::refusal::Refusal;
use crate::limits;

/// Refuses what could be read in two ways, and makes the rest look like HTTP/1.1: one `Host`, one `Cookie`.
pub(super) fn check<B>(request: &mut Request<B>) -> Result<(), Refusal> {
    if request.method() == Method::CONNECT {
        return Err(Refusal::Connect);
    }
    if request.headers().len() > limits::REQUEST_FIELDS_MAX {
        return Err(Refusal::TooManyFields);
    }
    check_target(request)?;
    check_length(request.headers())?;
    check_host(request)?;
    join_cookies(request.headers_mut());
    Ok(())
}

fn check_target<B>(request: &Request<B>) -> Result<(), Refusal> {
    let uri = request.uri();
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    if target.len() > limits::REQUEST_TARGET_BYTES_MAX {
        return Err(Refusal::TargetTooLong);
    }
    let formed = target.starts_with('/') || (target == "*" && request.method() == Method::OPTIONS);
    let clean = target.bytes().all(|byte| byte.is_ascii_graphic());
    // HTTP/2 is only spoken over TLS here.
    let secure = uri.scheme_str().is_none_or(|scheme| scheme.eq_ignore_ascii_case("https"));
    if formed && clean && secure { Ok(()) } else { Err(Refusal::Target) }
}

fn check_length(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let (first, second) = (lengths.next(), lengths.next());
    let fits = |value: &HeaderValue| {
        let value = value.as_bytes();
        (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit)
    };
    if second.is_some() || !first.is_none_or(fits) { Err(Refusal::ContentLength) } else { Ok(()) }
}

/// RFC 9113 8.3.1: `Host` and `:authority` must agree; afterwards there is always exactly one `Host`.
fn check_host<B>(request: &mut Request<B>) -> Result<(), Refusal> {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Refusal::HostRepeated);
    }
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    match (authority, host.map(HeaderValue::as_bytes)) {
        (None, None) => return Err(Refusal::HostMissing),
        (Some(name), _) | (None, Some(name)) if !is_host(name) => return Err(Refusal::Host),
        (Some(name), Some(host)) if !name.eq_ignore_ascii_case(host) => return Err(Refusal::HostDiffers),
        (Some(name), None) => {
            let value = HeaderValue::from_bytes(name).map_err(|_| Refusal::Host)?;
            request.headers_mut().insert(header::HOST, value);
        }
        _ => {}
    }
    Ok(())
}

/// RFC 9113 8.2.3: crumbs are one field before anything that is not HTTP/2 sees them.
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, joined);
    }
}
