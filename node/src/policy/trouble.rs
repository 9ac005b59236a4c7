//! Which failures of an origin count as errors for `stale-if-error` (RFC 5861 4: "any condition"), as a site says.

use http::StatusCode;

use crate::error::Kind;

/// The conditions of a site. The default is every one, with the statuses of RFC 5861 4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    statuses: Vec<u16>,
    conditions: Vec<Condition>,
}

/// What can go wrong apart from a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    /// No endpoint can be reached.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection closed before or inside an answer.
    Closed,
    /// The answer is not HTTP as it should be.
    Invalid,
}

impl Condition {
    const ALL: [Self; 4] = [Self::Connect, Self::Timeout, Self::Closed, Self::Invalid];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Invalid => "invalid",
        }
    }

    /// The condition a failure is; `None` for those that are nobody's but the client's.
    const fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::NoEndpoint
            | Kind::Dns
            | Kind::ConnectRefused
            | Kind::ConnectTimeout
            | Kind::Tls
            | Kind::TlsCertificate => Some(Self::Connect),
            Kind::FirstByteTimeout | Kind::WaitTimeout => Some(Self::Timeout),
            Kind::ClosedEarly | Kind::BodyCut | Kind::FlightFailed => Some(Self::Closed),
            Kind::BadAnswer => Some(Self::Invalid),
            Kind::ErrorStatus | Kind::Loop | Kind::RequestBody | Kind::RequestTooLarge => None,
        }
    }
}

impl Default for Trouble {
    fn default() -> Self {
        Self { statuses: vec![500, 502, 503, 504], conditions: Condition::ALL.to_vec() }
    }
}

impl Trouble {
    /// Nothing at all.
    #[must_use]
    pub const fn none() -> Self {
        Self { statuses: Vec::new(), conditions: Vec::new() }
    }

    /// Adds a condition as a site writes it: `connect`, `timeout`, `closed`, `invalid`, or a status from 400 to 599.
    /// False if it is none of these.
    pub fn add(&mut self, text: &str) -> bool {
        if let Some(condition) = Condition::ALL.into_iter().find(|condition| condition.as_str() == text) {
            self.conditions.push(condition);
            return true;
        }
        let status =
            text.parse::<u16>().ok().filter(|status| text.len() == 3 && (400..=599).contains(status));
        self.statuses.extend(status);
        status.is_some()
    }

    /// Whether an answer with this status is an error.
    #[must_use]
    pub fn is_error(&self, status: StatusCode) -> bool {
        self.statuses.contains(&status.as_u16())
    }

    /// Whether a failed fetch is an error; what [`Trouble::is_error`] has said of a status is not asked again.
    #[must_use]
    pub fn counts(&self, kind: Kind) -> bool {
        kind == Kind::ErrorStatus
            || Condition::of(kind).is_some_and(|condition| self.conditions.contains(&condition))
    }
}

/// Whether the origin cannot be had at all: no connection, or no byte of an answer (RFC 9111 4.2.4: a disconnected
/// cache).
#[must_use]
pub const fn is_unreachable(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::NoEndpoint
            | Kind::Dns
            | Kind::ConnectRefused
            | Kind::ConnectTimeout
            | Kind::Tls
            | Kind::TlsCertificate
            | Kind::ClosedEarly
            | Kind::FirstByteTimeout
            | Kind::WaitTimeout
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_says_what_is_an_error() {
        let status = |code| StatusCode::from_u16(code).unwrap();
        let errors =
            |trouble: &Trouble| (100..600).filter(|code| trouble.is_error(status(*code))).collect::<Vec<_>>();
        assert_eq!(errors(&Trouble::default()), [500, 502, 503, 504], "5861 4");
        assert!(Trouble::default().counts(Kind::ConnectRefused));
        let mut trouble = Trouble::none();
        for (text, good) in [
            ("429", true),
            ("503", true),
            ("timeout", true),
            ("200", false),
            ("600", false),
            ("+50", false),
            ("5xx", false),
            ("Timeout", false),
            ("", false),
        ] {
            assert_eq!(trouble.add(text), good, "{text}");
        }
        assert_eq!(errors(&trouble), [429, 503]);
        let counting = Kind::ALL.into_iter().filter(|kind| trouble.counts(*kind)).collect::<Vec<_>>();
        assert_eq!(counting, [Kind::FirstByteTimeout, Kind::ErrorStatus, Kind::WaitTimeout]);
    }
}
