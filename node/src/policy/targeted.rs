//! Directives meant for this cache in particular: `CDN-Cache-Control` and other targets (RFC 9213), and the older
//! `Surrogate-Control` (W3C Edge Architecture 1.0).

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Config;
use super::directives::{Argument, Directives, delta_seconds, list, trim};
use super::structured::{Item, dictionary};

/// The target every CDN cache listens to (RFC 9213 3.1).
pub const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// The field of the Edge Architecture; its members may be addressed to one device.
pub const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// Tells origins that `Surrogate-Control` is obeyed, and under which name.
pub const SURROGATE_CAPABILITY: HeaderName = HeaderName::from_static("surrogate-capability");

/// What [`SURROGATE_CAPABILITY`] says: [`SURROGATE_DEVICE`] and the version of the architecture.
pub const OUR_CAPABILITY: HeaderValue = HeaderValue::from_static("larder=\"Surrogate/1.0\"");

/// The name we answer to in `Surrogate-Control`.
pub const SURROGATE_DEVICE: &str = "larder";

/// What an answer says to this cache.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// The directives that count.
    pub directives: Directives,
    /// Whether they came from a targeted field, so that `Cache-Control` and `Expires` are not there for us
    /// (RFC 9213 2.2).
    pub targeted: bool,
}

/// The directives that count for this cache: those of the first target with a valid, non-empty value, else those of
/// `Cache-Control` (RFC 9213 2.2).
#[must_use]
pub fn directives(config: &Config, response: &HeaderMap) -> Said {
    let mut said = told(config, response);
    config.overrides.silence(&mut said);
    said
}

fn told(config: &Config, response: &HeaderMap) -> Said {
    for target in &config.targets {
        if !response.contains_key(target) {
            continue;
        }
        let found =
            if *target == SURROGATE_CONTROL { surrogate(response) } else { structured(response, target) };
        if let Some(directives) = found {
            return Said { directives, targeted: true };
        }
    }
    Said { directives: Directives::response(response), targeted: false }
}

/// A targeted field as a structured dictionary; `None` when it is empty or breaks the grammar (RFC 9213 2.1).
fn structured(response: &HeaderMap, target: &HeaderName) -> Option<Directives> {
    let mut text = Vec::new();
    for value in response.get_all(target) {
        if !text.is_empty() {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(value.as_bytes());
    }
    let members = dictionary(&text)?;
    if members.is_empty() {
        return None;
    }
    let mut found = Directives::default();
    for (key, item) in &members {
        match item {
            Item::Boolean(true) if is_time(key) => return None,
            Item::Boolean(false) => {}
            Item::Boolean(true) => found.add_response(key, &Argument::None),
            Item::Integer(seconds) => {
                let digits = seconds.to_string();
                found.add_response(key, &Argument::Token(digits.as_bytes()));
            }
            _ if is_time(key) => return None,
            Item::Token(text) | Item::Text(text) => found.add_response(key, &Argument::Token(text)),
            Item::List(_) | Item::Other => found.add_response(key, &Argument::None),
        }
    }
    Some(found)
}

/// Directives whose value is a number of seconds: any other type makes the whole field invalid.
fn is_time(key: &[u8]) -> bool {
    [&b"max-age"[..], b"s-maxage", b"stale-while-revalidate", b"stale-if-error"].contains(&key)
}

/// `Surrogate-Control`: members that carry parameters are for the devices named there.
fn surrogate(response: &HeaderMap) -> Option<Directives> {
    let mut found = Directives::default();
    let mut any = false;
    for value in response.get_all(&SURROGATE_CONTROL) {
        for member in list(value.as_bytes()) {
            let mut parts = member.split(|byte| *byte == b';').map(trim);
            let directive = parts.next().unwrap_or_default();
            let mut devices = parts.peekable();
            let ours = |device: &[u8]| device.eq_ignore_ascii_case(SURROGATE_DEVICE.as_bytes());
            if devices.peek().is_some() && !devices.any(ours) {
                continue;
            }
            any |= add_surrogate(&mut found, directive);
        }
    }
    any.then_some(found)
}

/// `max-age=60` or `max-age=60+30` (the second number is not a lifetime), `no-store`. False for what says nothing
/// about caching, such as `content="ESI/1.0"`.
fn add_surrogate(found: &mut Directives, directive: &[u8]) -> bool {
    if directive.eq_ignore_ascii_case(b"no-store") {
        found.add_response(b"no-store", &Argument::None);
        return true;
    }
    let Some((name, value)) = directive.split_at_checked(b"max-age=".len()) else { return false };
    let lifetime = value.split(|byte| *byte == b'+').next().unwrap_or_default();
    if !name.eq_ignore_ascii_case(b"max-age=") || delta_seconds(lifetime).is_none() {
        return false;
    }
    found.add_response(b"max-age", &Argument::Token(lifetime));
    true
}

#[cfg(test)]
mod tests {
    use super::super::fields;
    use super::*;

    /// What an answer says, in short.
    fn said(lines: &str) -> String {
        let said = directives(&Config::default(), &fields(lines));
        let d = &said.directives;
        let mut words = vec![if said.targeted { "targeted" } else { "general" }.to_owned()];
        words.extend(d.max_age.map(|age| format!("max-age={age}")));
        for (set, word) in [(d.no_store, "no-store"), (d.private, "private"), (d.no_cache, "no-cache")] {
            words.extend(set.then(|| word.to_owned()));
        }
        words.extend(d.no_cache_fields.iter().map(|name| format!("no-cache={name}")));
        words.join(" ")
    }

    const ROWS: &[(&str, &str, &str)] = &[
        ("9213 2.2: no target present", "Cache-Control: max-age=1", "general max-age=1"),
        (
            "9213 2.2: the target replaces Cache-Control",
            "Cache-Control: no-store|CDN-Cache-Control: max-age=60",
            "targeted max-age=60",
        ),
        (
            "9213 2.2: also where it restricts",
            "Cache-Control: max-age=9|CDN-Cache-Control: private",
            "targeted private",
        ),
        (
            "9213 2.2: the first target that is valid",
            "CDN-Cache-Control: max-age=1|Surrogate-Control: max-age=2",
            "targeted max-age=1",
        ),
        ("9213 2.1: empty is ignored", "Cache-Control: max-age=1|CDN-Cache-Control:", "general max-age=1"),
        (
            "9213 2.1: a parse error is ignored",
            "Cache-Control: no-store|CDN-Cache-Control: max-age=1, &&",
            "general no-store",
        ),
        (
            "9213 2.1: keys are lower-case",
            "Cache-Control: max-age=1|CDN-Cache-Control: MaX-aGe=60",
            "general max-age=1",
        ),
        (
            "9213 2.1: a wrong type is an error",
            "Cache-Control: no-store|CDN-Cache-Control: max-age=\"60\"",
            "general no-store",
        ),
        (
            "9213 2.1: a time needs a number",
            "Cache-Control: no-store|CDN-Cache-Control: max-age",
            "general no-store",
        ),
        (
            "9213 2.1: unknown members are ignored",
            "CDN-Cache-Control: foo, max-age=60;p=1",
            "targeted max-age=60",
        ),
        (
            "9213 2.1: lines are one field",
            "CDN-Cache-Control: max-age=60|CDN-Cache-Control: no-cache",
            "targeted max-age=60 no-cache",
        ),
        (
            "9111 5.2.2.4: qualified form as string",
            "CDN-Cache-Control: no-cache=\"a, b\"",
            "targeted no-cache=a no-cache=b",
        ),
        (
            "9651 3.2: the last of equal keys",
            "CDN-Cache-Control: max-age=60, max-age=5",
            "targeted max-age=5",
        ),
        (
            "9111 1.2.2: too large is 2^31",
            "CDN-Cache-Control: max-age=99999999999",
            "targeted max-age=2147483648",
        ),
        ("9111 4.2.1: a negative time is stale", "CDN-Cache-Control: max-age=-1", "targeted max-age=0"),
        ("9651: ?0 takes the flag away", "CDN-Cache-Control: no-store=?0, max-age=3", "targeted max-age=3"),
        (
            "Edge Architecture: max-age",
            "Surrogate-Control: content=\"ESI/1.0\", MaX-aGe=3600",
            "targeted max-age=3600",
        ),
        ("Edge Architecture: with an extension", "Surrogate-Control: max-age=60+30", "targeted max-age=60"),
        (
            "Edge Architecture: for us",
            "Cache-Control: no-store|Surrogate-Control: max-age=9;larder",
            "targeted max-age=9",
        ),
        (
            "Edge Architecture: for another",
            "Cache-Control: no-cache|Surrogate-Control: max-age=9;other",
            "general no-cache",
        ),
        (
            "Edge Architecture: blanks are no grammar",
            "Cache-Control: max-age=1|Surrogate-Control: max-age =9",
            "general max-age=1",
        ),
        (
            "Edge Architecture: no-store",
            "Cache-Control: max-age=1|Surrogate-Control: no-store",
            "targeted no-store",
        ),
    ];

    #[test]
    fn targets_as_rfc_9213_says() {
        for (rule, lines, expected) in ROWS {
            assert_eq!(said(lines), *expected, "{rule}: {lines}");
        }
    }

    #[test]
    fn a_target_of_the_site_comes_first() {
        let own = HeaderName::from_static("larder-cache-control");
        let config = Config { targets: vec![own, CDN_CACHE_CONTROL], ..Config::default() };
        let answer = fields("CDN-Cache-Control: max-age=1|Larder-Cache-Control: max-age=2");
        assert_eq!(directives(&config, &answer).directives.max_age, Some(2));
        let config = Config { targets: Vec::new(), ..Config::default() };
        assert_eq!(directives(&config, &answer).directives.max_age, None);
    }
}
