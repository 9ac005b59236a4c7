//! Why a request was refused before anyone looked at its meaning, and why a connection ran out of time.

use http::StatusCode;

macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every reason, for the label sets of metrics, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The spelling for answer, log and metric.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

reasons! {
    /// Why a request was refused. RFC 9112 unless another is named.
    Refusal {
        /// More than one empty line before the request line (2.2).
        BlankLines = "blank-lines",
        /// A line ended by LF alone (2.2).
        BareLf = "bare-lf",
        /// A CR that no LF follows (2.2).
        BareCr = "bare-cr",
        /// Not `method SP target SP version` (3).
        RequestLine = "request-line",
        /// The method is no token or too long (3.1).
        Method = "method",
        /// `CONNECT`: a cache is no tunnel (RFC 9110 9.3.6).
        Connect = "connect",
        /// The target has a form or a byte it may not have (3.2).
        Target = "target",
        /// The target is longer than allowed: 414.
        TargetTooLong = "target-too-long",
        /// Neither `HTTP/1.0` nor `HTTP/1.1` (2.3).
        Version = "version",
        /// A line that continues the one before (5.2).
        Folded = "folded",
        /// A field without a name, without a colon, or with a name that is no token (5).
        FieldName = "field-name",
        /// White space between name and colon (5.1).
        SpaceBeforeColon = "space-before-colon",
        /// A control character in a field value (RFC 9110 5.5).
        Control = "control",
        /// `Content-Length` repeated, a list, not digits or too large (6.2).
        ContentLength = "content-length",
        /// Both `Content-Length` and `Transfer-Encoding` (6.1).
        LengthAndEncoding = "length-and-encoding",
        /// `Transfer-Encoding` other than exactly `chunked`, repeated, or in HTTP/1.0 (6.1).
        TransferEncoding = "transfer-encoding",
        /// No `Host` (3.2).
        HostMissing = "host-missing",
        /// More than one `Host` (3.2).
        HostRepeated = "host-repeated",
        /// A `Host` that is no host and port (3.2).
        Host = "host",
        /// The target (or `:authority`, RFC 9113 8.3.1) names another host than `Host`.
        HostDiffers = "host-differs",
        /// The head is longer than allowed: 431.
        HeadTooLarge = "head-too-large",
        /// More fields than allowed: 431.
        TooManyFields = "too-many-fields",
        /// The head did not arrive in time: 408.
        HeadTimeout = "head-timeout",
        /// Broken chunk framing or trailers (7.1): the connection ends.
        Chunk = "chunk",
        /// What the parser behind the guard refused.
        Unparsable = "unparsable",
    }
}

impl Refusal {
    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge | Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HeadTimeout => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    pub(super) fn from_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Unparsable)
    }
}

reasons! {
    /// Which patience ended.
    Timeout {
        /// With the TLS handshake.
        Handshake = "handshake",
        /// With a request head, begun or never begun.
        Head = "head",
        /// With a kept-alive connection.
        Idle = "idle",
        /// With a silent request body.
        Body = "body",
        /// With a client that takes nothing of its answer.
        Write = "write",
        /// With an exchange whose client had already closed its side.
        HalfClosed = "half-closed",
        /// With what was still open at the end of the drain.
        Drain = "drain",
    }
}
