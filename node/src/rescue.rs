//! One table: failure -> answer.

use http::{HeaderValue, StatusCode, header};

use crate::context::Facts;
use crate::error::{Error, Kind};
use crate::http::{Body, Response};
use crate::status::{ProxyError, Served};

/// Why the node itself answers a request before the cache is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The request's target or host is not one a site can have.
    BadRequest,
    /// No site for this host, or TLS was set up for another.
    Misdirected,
    /// CONNECT, TRACE and the like.
    Method,
    /// The target is longer than allowed.
    TargetTooLong,
    /// The body is larger than allowed.
    BodyTooLarge,
    /// It expects something other than `100-continue` (RFC 9110 10.1.1).
    Expectation,
    /// It came back to us (RFC 8586).
    Loop,
    /// `only-if-cached` and nothing to serve (RFC 9111 5.2.1.7).
    OnlyIfCached,
}

impl Refusal {
    /// The status and the words of a refusal.
    #[must_use]
    pub const fn told(self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request"),
            Self::Misdirected => (StatusCode::MISDIRECTED_REQUEST, "misdirected"),
            Self::Method => (StatusCode::NOT_IMPLEMENTED, "method"),
            Self::TargetTooLong => (StatusCode::URI_TOO_LONG, "target-too-long"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
            Self::Expectation => (StatusCode::EXPECTATION_FAILED, "expectation"),
            Self::Loop => (StatusCode::LOOP_DETECTED, "loop"),
            Self::OnlyIfCached => (StatusCode::GATEWAY_TIMEOUT, "only-if-cached"),
        }
    }
}

impl Refusal {
    /// What `Proxy-Status` calls it (RFC 9209 2.3).
    #[must_use]
    pub const fn proxy_error(self) -> ProxyError {
        match self {
            Self::BadRequest
            | Self::Misdirected
            | Self::TargetTooLong
            | Self::BodyTooLarge
            | Self::Expectation => ProxyError::HttpRequestError,
            Self::Loop => ProxyError::ProxyLoopDetected,
            Self::Method | Self::OnlyIfCached => ProxyError::ProxyInternalResponse,
        }
    }
}

/// The status a failure is answered with.
#[must_use]
pub const fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::ConnectTimeout | Kind::FirstByteTimeout | Kind::WaitTimeout => StatusCode::GATEWAY_TIMEOUT,
        Kind::NoEndpoint => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Loop => StatusCode::LOOP_DETECTED,
        Kind::RequestBody => StatusCode::BAD_REQUEST,
        Kind::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::ConnectRefused
        | Kind::Dns
        | Kind::Tls
        | Kind::TlsCertificate
        | Kind::ClosedEarly
        | Kind::BodyCut
        | Kind::BadAnswer
        | Kind::ErrorStatus
        | Kind::FlightFailed => StatusCode::BAD_GATEWAY,
    }
}

/// What `Proxy-Status` calls a failure (RFC 9209 2.3).
#[must_use]
pub const fn proxy_error(kind: Kind) -> ProxyError {
    match kind {
        Kind::NoEndpoint => ProxyError::DestinationUnavailable,
        Kind::Dns => ProxyError::DnsError,
        Kind::ConnectRefused => ProxyError::ConnectionRefused,
        Kind::ConnectTimeout => ProxyError::ConnectionTimeout,
        Kind::Tls => ProxyError::TlsProtocolError,
        Kind::TlsCertificate => ProxyError::TlsCertificateError,
        Kind::ClosedEarly => ProxyError::ConnectionTerminated,
        Kind::FirstByteTimeout | Kind::WaitTimeout => ProxyError::HttpResponseTimeout,
        Kind::BodyCut => ProxyError::HttpResponseIncomplete,
        Kind::BadAnswer | Kind::ErrorStatus => ProxyError::HttpProtocolError,
        Kind::Loop => ProxyError::ProxyLoopDetected,
        Kind::RequestBody | Kind::RequestTooLarge => ProxyError::HttpRequestError,
        Kind::FlightFailed => ProxyError::ProxyInternalError,
    }
}

/// The answer to a failure: its status and its one word, never the particulars (they are in the log).
#[must_use]
pub fn failed(error: &Error, facts: &mut Facts) -> Response {
    (facts.served, facts.detail) = (Served::Failed, Some(error.kind.as_str()));
    facts.proxy_error = Some(proxy_error(error.kind));
    facts.forward_status = error.status;
    page(status(error.kind), error.kind.as_str())
}

/// The answer to a refusal; the connection closes where the rest of the request may still be under way.
#[must_use]
pub fn refused(refusal: Refusal, facts: &mut Facts) -> Response {
    let (status, word) = refusal.told();
    (facts.served, facts.detail) = (Served::Refused, Some(word));
    facts.proxy_error = Some(refusal.proxy_error());
    let mut response = page(status, word);
    use Refusal::{BadRequest, BodyTooLarge, Expectation, TargetTooLong};
    if matches!(refusal, BadRequest | TargetTooLong | BodyTooLarge | Expectation) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn page(status: StatusCode, word: &str) -> Response {
    let reason = status.canonical_reason().unwrap_or("Error");
    let text = format!("{} {reason} ({word})\n", status.as_u16());
    let mut response = Response::new(Body::Full(text.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
