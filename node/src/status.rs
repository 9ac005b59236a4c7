//! How an exchange was served and why not otherwise: closed enums, one spelling for header, log and metric.

/// How the answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Served {
    /// From the cache, fresh.
    Hit,
    /// From the cache, stale, as RFC 5861 or the site allows.
    Stale,
    /// From the cache after the origin said 304.
    Revalidated,
    /// From the origin (or from a flight to it), through the cache.
    Miss,
    /// From the origin, past the cache.
    Pass,
    /// By the node itself: a refusal or a redirect before the cache.
    Refused,
    /// By the node itself, because something failed.
    Failed,
    /// By the node itself: a purge, done or refused.
    Purge,
}

impl Served {
    /// Every way, for the label sets of metrics.
    pub const ALL: [Self; 8] = [
        Self::Hit,
        Self::Stale,
        Self::Revalidated,
        Self::Miss,
        Self::Pass,
        Self::Refused,
        Self::Failed,
        Self::Purge,
    ];

    /// The spelling for log and metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Revalidated => "revalidated",
            Self::Miss => "miss",
            Self::Pass => "pass",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Purge => "purge",
        }
    }
}

/// Why a request went to the origin: the `fwd` values of RFC 9211 2.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Forward {
    /// The cache was not to handle this request (configuration, hit-for-miss).
    Bypass,
    /// The method cannot be answered from the cache.
    Method,
    /// Nothing stored for the URL.
    UriMiss,
    /// Something stored for the URL, but no variant fits.
    VaryMiss,
    /// Something fits but the request's own directives forbid it.
    Request,
    /// Something fits but it is stale.
    Stale,
    /// Something fits but has not all the bytes that were asked for.
    Partial,
}

impl Forward {
    /// The spelling of RFC 9211.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

/// Why an answer was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotStored {
    /// The request's method is not one whose answers are stored.
    Method,
    /// The answer's status is not final, not understood, or partial.
    Status,
    /// `no-store` in the request.
    RequestNoStore,
    /// `no-store` in the answer.
    NoStore,
    /// `private` in the answer (RFC 9111 5.2.2.7).
    Private,
    /// The request carried `Authorization` and nothing allows sharing (RFC 9111 3.5).
    Authorization,
    /// `Set-Cookie` in the answer.
    SetCookie,
    /// The request carried a cookie and the answer has no explicit freshness.
    Cookie,
    /// `Vary: *`.
    VaryStar,
    /// Neither explicit freshness nor a heuristic nor a validator.
    NoFreshness,
    /// Older than its lifetime on arrival and nothing to revalidate with.
    Expired,
    /// Larger than one object may be.
    TooLarge,
    /// More tags than are kept with one object.
    TooManyTags,
    /// A purge came while it was fetched.
    Purged,
    /// Only the end of the connection says where the body ends: a cut looks the same as an end (RFC 9112 6.3).
    CloseDelimited,
    /// The body was cut.
    Cut,
    /// The store had no room or its disk was in trouble.
    StoreBusy,
    /// The site's configuration says so.
    Configured,
    /// The request carried a field that neither the key nor `Vary` knows, and the answer varies by others.
    UnkeyedField,
    /// An error in answer to such a request: the field may be what the origin did not like.
    OddRequest,
    /// The path looks like a file of another type than the answer has.
    TypeMismatch,
    /// The path looks like a file to some and like another path to others.
    AmbiguousPath,
}

impl NotStored {
    /// Whether the reason is in the request of the one who asked and not in the answer.
    #[must_use]
    pub const fn is_the_askers(self) -> bool {
        matches!(
            self,
            Self::RequestNoStore | Self::Cookie | Self::Authorization | Self::UnkeyedField | Self::OddRequest
        )
    }

    /// Every reason, for the label sets of metrics.
    pub const ALL: [Self; 22] = [
        Self::Method,
        Self::Status,
        Self::RequestNoStore,
        Self::NoStore,
        Self::Private,
        Self::Authorization,
        Self::SetCookie,
        Self::Cookie,
        Self::VaryStar,
        Self::NoFreshness,
        Self::Expired,
        Self::TooLarge,
        Self::TooManyTags,
        Self::Purged,
        Self::CloseDelimited,
        Self::Cut,
        Self::StoreBusy,
        Self::Configured,
        Self::UnkeyedField,
        Self::OddRequest,
        Self::TypeMismatch,
        Self::AmbiguousPath,
    ];

    /// The spelling for header, log and metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Status => "status",
            Self::RequestNoStore => "request-no-store",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::SetCookie => "set-cookie",
            Self::Cookie => "cookie",
            Self::VaryStar => "vary-star",
            Self::NoFreshness => "no-freshness",
            Self::Expired => "expired",
            Self::TooLarge => "too-large",
            Self::TooManyTags => "too-many-tags",
            Self::Purged => "purged",
            Self::CloseDelimited => "close-delimited",
            Self::Cut => "cut",
            Self::StoreBusy => "store-busy",
            Self::Configured => "configured",
            Self::UnkeyedField => "unkeyed-field",
            Self::OddRequest => "odd-request",
            Self::TypeMismatch => "type-mismatch",
            Self::AmbiguousPath => "ambiguous-path",
        }
    }
}

/// Why the node answers itself, in the words of RFC 9209 2.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyError {
    /// No name server gave an address.
    DnsError,
    /// No endpoint is in the rotation.
    DestinationUnavailable,
    /// The endpoint refused the connection.
    ConnectionRefused,
    /// There was no connection in time.
    ConnectionTimeout,
    /// The connection closed before any byte of an answer.
    ConnectionTerminated,
    /// The handshake failed.
    TlsProtocolError,
    /// The endpoint's certificate was not believed.
    TlsCertificateError,
    /// The client's request is at fault.
    HttpRequestError,
    /// The answer broke off.
    HttpResponseIncomplete,
    /// There was no answer in time.
    HttpResponseTimeout,
    /// The answer was not HTTP as it should be.
    HttpProtocolError,
    /// The request came back to this node.
    ProxyLoopDetected,
    /// The node's own answer, without having asked anybody.
    ProxyInternalResponse,
    /// The node's own fault.
    ProxyInternalError,
}

impl ProxyError {
    /// The spelling of RFC 9209.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DnsError => "dns_error",
            Self::DestinationUnavailable => "destination_unavailable",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionTimeout => "connection_timeout",
            Self::ConnectionTerminated => "connection_terminated",
            Self::TlsProtocolError => "tls_protocol_error",
            Self::TlsCertificateError => "tls_certificate_error",
            Self::HttpRequestError => "http_request_error",
            Self::HttpResponseIncomplete => "http_response_incomplete",
            Self::HttpResponseTimeout => "http_response_timeout",
            Self::HttpProtocolError => "http_protocol_error",
            Self::ProxyLoopDetected => "proxy_loop_detected",
            Self::ProxyInternalResponse => "proxy_internal_response",
            Self::ProxyInternalError => "proxy_internal_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_in_all_is_the_number() {
        assert!(Served::ALL.iter().enumerate().all(|(at, served)| *served as usize == at));
    }
}
