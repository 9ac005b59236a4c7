//! What went wrong, whose fault it is, and whether trying again may help.

use std::fmt;

/// What went wrong between the node and an origin, or inside the node, for one exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No endpoint accepts connections or all are ejected.
    NoEndpoint,
    /// The endpoint's name has no address, or no name server said so.
    Dns,
    /// The connection was refused or the host unreachable.
    ConnectRefused,
    /// The connection was not there in time.
    ConnectTimeout,
    /// The endpoint's handshake was not acceptable.
    Tls,
    /// The endpoint's certificate was not acceptable.
    TlsCertificate,
    /// The connection closed before any byte of an answer.
    ClosedEarly,
    /// No first byte in time.
    FirstByteTimeout,
    /// The answer's body broke off or stalled.
    BodyCut,
    /// The answer was not HTTP as it should be.
    BadAnswer,
    /// The origin answered with a 5xx in whose place something stored may be served (RFC 5861 4).
    ErrorStatus,
    /// The request came back to us (RFC 8586).
    Loop,
    /// The client's request body broke off.
    RequestBody,
    /// The client's request body is larger than allowed.
    RequestTooLarge,
    /// The wait in a flight was longer than allowed.
    WaitTimeout,
    /// The flight one waited in ended without a result.
    FlightFailed,
}

impl Kind {
    /// The spelling for header, log and metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoEndpoint => "no-endpoint",
            Self::Dns => "dns",
            Self::ConnectRefused => "connect-refused",
            Self::ConnectTimeout => "connect-timeout",
            Self::Tls => "tls",
            Self::TlsCertificate => "tls-certificate",
            Self::ClosedEarly => "closed-early",
            Self::FirstByteTimeout => "first-byte-timeout",
            Self::BodyCut => "body-cut",
            Self::BadAnswer => "bad-answer",
            Self::ErrorStatus => "error-status",
            Self::Loop => "loop",
            Self::RequestBody => "request-body",
            Self::RequestTooLarge => "request-too-large",
            Self::WaitTimeout => "wait-timeout",
            Self::FlightFailed => "flight-failed",
        }
    }

    /// Every kind, for the label sets of metrics.
    pub const ALL: [Self; 16] = [
        Self::NoEndpoint,
        Self::Dns,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::Tls,
        Self::TlsCertificate,
        Self::ClosedEarly,
        Self::FirstByteTimeout,
        Self::BodyCut,
        Self::BadAnswer,
        Self::ErrorStatus,
        Self::Loop,
        Self::RequestBody,
        Self::RequestTooLarge,
        Self::WaitTimeout,
        Self::FlightFailed,
    ];
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Client,
    /// This node's.
    Node,
    /// The origin's.
    Origin,
}

/// Whether the same request may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Nothing of the request reached an application: any method may be sent again.
    Safe,
    /// Only an idempotent method with a body we still have.
    Idempotent,
    /// No.
    Never,
}

/// An error and its causes on one line, for whoever has no log at hand.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

/// One failure. `Display` says its own level only; the log prints the chain.
#[derive(Debug, Clone)]
pub struct Error {
    /// What.
    pub kind: Kind,
    /// Whose fault.
    pub side: Side,
    /// Again?
    pub retry: Retry,
    /// The status that the origin answered with, where it is the error.
    pub status: Option<u16>,
    /// The particulars, for the log.
    pub detail: std::sync::Arc<str>,
}

impl Error {
    /// A failure of the origin's side.
    pub fn origin(kind: Kind, retry: Retry, detail: impl fmt::Display) -> Self {
        Self { kind, side: Side::Origin, retry, status: None, detail: detail.to_string().into() }
    }

    /// A failure the client caused.
    pub fn client(kind: Kind, detail: impl fmt::Display) -> Self {
        Self {
            kind,
            side: Side::Client,
            retry: Retry::Never,
            status: None,
            detail: detail.to_string().into(),
        }
    }

    /// A failure of this node.
    pub fn node(kind: Kind, detail: impl fmt::Display) -> Self {
        Self { kind, side: Side::Node, retry: Retry::Never, status: None, detail: detail.to_string().into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.detail)
    }
}

impl std::error::Error for Error {}
