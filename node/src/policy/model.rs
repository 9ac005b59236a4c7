//! RFC 9111 once more, read from its text and from docs/http-caching.md alone: nothing here uses the rest of `policy`, and
//! where both disagree about a random exchange, one of them misread it. Slow and plain on purpose.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, Method, StatusCode};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::{Config, fields};
use crate::clock::Timestamp;
use crate::status::NotStored;

/// 2026-11-23T08:00:00Z: when the answer came.
const NOW: u64 = 1_795_420_800;
const DAY: u64 = 86_400;

/// Directives by lower-case name; every value that was given, in order. `None`: none was.
type Directives = BTreeMap<String, Vec<Option<String>>>;

/// 5.2 with 9110 5.6.1 and 5.6.4, a state machine over characters.
fn directives(lines: &[&str]) -> Directives {
    let mut found = Directives::new();
    for line in lines {
        let (mut members, mut quoted, mut escaped) = (vec![String::new()], false, false);
        for c in line.chars() {
            let member = members.last_mut().unwrap();
            match c {
                _ if escaped => escaped = false,
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ',' if !quoted => {
                    members.push(String::new());
                    continue;
                }
                _ => {}
            }
            member.push(c);
        }
        for member in members.iter().map(|member| member.trim()).filter(|member| !member.is_empty()) {
            let (name, value) =
                member.split_once('=').map_or((member, None), |(name, value)| (name, Some(value)));
            let value =
                value.map(|value| match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
                    Some(inside) => inside.to_owned(),
                    None => value.to_owned(),
                });
            found.entry(name.to_ascii_lowercase()).or_default().push(value);
        }
    }
    found
}

/// 1.2.2 and 4.2.1: digits, at most 2^31; what is no number is 0, and of several the least counts.
fn seconds(directives: &Directives, name: &str) -> Option<u64> {
    let number = |value: &Option<String>| {
        let digits =
            value.as_deref().filter(|text| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit()));
        digits.map_or(0, |text| text.parse::<u128>().map_or(1 << 31, |n| n.min(1 << 31) as u64))
    };
    directives.get(name)?.iter().map(number).min()
}

/// Whether the directive stands there without a list of fields.
fn unqualified(directives: &Directives, name: &str) -> bool {
    directives
        .get(name)
        .is_some_and(|values| values.iter().any(|value| value.as_deref().unwrap_or("").is_empty()))
}

fn lines<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

fn date(text: &str) -> Option<u64> {
    let at = httpdate::parse_http_date(text).ok()?;
    at.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

struct Exchange {
    request: HeaderMap,
    status: u16,
    response: HeaderMap,
    /// Seconds from the request to the answer.
    delay: u64,
    said: Directives,
    targeted: bool,
}

impl Exchange {
    fn new(request: HeaderMap, status: u16, response: HeaderMap, delay: u64) -> Self {
        // 9213 2.1 and 2.2: the pool below has only valid targets, and one that is not.
        let target = lines(&response, "cdn-cache-control");
        let targeted = !target.is_empty() && !target.contains(&"MAX-AGE=60");
        let general = lines(&response, "cache-control");
        let said = directives(if targeted { &target } else { &general });
        Self { request, status, response, delay, said, targeted }
    }

    fn says(&self, name: &str) -> bool {
        self.said.contains_key(name)
    }

    /// 9110 15.1.
    fn heuristic_status(&self) -> bool {
        [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501].contains(&self.status)
    }

    fn expires(&self) -> Option<u64> {
        let all = lines(&self.response, "expires");
        let at = all.iter().map(|text| date(text).unwrap_or(0)).min();
        at.filter(|_| !self.targeted)
    }

    fn explicit(&self) -> bool {
        self.says("max-age") || self.says("s-maxage") || self.expires().is_some()
    }

    fn date(&self) -> u64 {
        lines(&self.response, "date").first().and_then(|text| date(text)).unwrap_or(NOW)
    }

    fn personal(&self) -> bool {
        self.request.contains_key("cookie") || self.request.contains_key("authorization")
    }

    /// 4.2.1 and 4.2.2.
    fn lifetime(&self) -> u64 {
        if let Some(lifetime) = seconds(&self.said, "s-maxage").or_else(|| seconds(&self.said, "max-age")) {
            return lifetime;
        }
        if let Some(expires) = self.expires() {
            return expires.saturating_sub(self.date()).min(1 << 31);
        }
        let pragma = lines(&self.response, "pragma").contains(&"no-cache");
        let old = pragma && !self.response.contains_key("cache-control");
        if !(self.heuristic_status() || self.says("public")) || self.personal() || old {
            return 0;
        }
        let modified = lines(&self.response, "last-modified").first().and_then(|text| date(text));
        modified.map_or(0, |modified| (self.date().saturating_sub(modified) / 10).min(DAY))
    }

    fn age_value(&self) -> u64 {
        let first =
            lines(&self.response, "age").first().map_or("", |line| line.split(',').next().unwrap().trim());
        seconds(&Directives::from([("age".into(), vec![Some(first.into())])]), "age").unwrap()
    }

    /// 4.2.3, at the moment the answer came.
    fn initial_age(&self) -> u64 {
        let apparent = NOW.saturating_sub(self.date());
        apparent.max(self.age_value() + self.delay)
    }

    fn forbids_stale(&self) -> bool {
        ["must-revalidate", "proxy-revalidate", "s-maxage"].iter().any(|name| self.says(name))
    }

    /// Section 3 in its order, then what docs/http-caching.md adds.
    fn refusal(&self) -> Option<NotStored> {
        // "the response status code is final", 3.3, and those about one request only.
        let never = [401, 407, 408, 411, 412, 413, 416, 417, 421, 425, 426, 428, 429, 431, 511, 206, 304];
        if self.status < 200 || never.contains(&self.status) {
            return Some(NotStored::Status);
        }
        // 5.2.2.3: "only if it understands"; 9110 15 has these.
        let known = [200..=206, 300..=308, 400..=417, 421..=422, 426..=426, 500..=505];
        let gaps = [304, 306, 418];
        let understood =
            known.iter().any(|range| range.contains(&self.status)) && !gaps.contains(&self.status);
        if self.says("must-understand") && !understood {
            return Some(NotStored::Status);
        }
        let asked = directives(&lines(&self.request, "cache-control"));
        if asked.contains_key("no-store") {
            return Some(NotStored::RequestNoStore);
        }
        if self.says("no-store") && !self.says("must-understand") {
            return Some(NotStored::NoStore);
        }
        if unqualified(&self.said, "private") {
            return Some(NotStored::Private);
        }
        let authorized = self.request.contains_key("authorization");
        if authorized && !["public", "must-revalidate", "s-maxage"].iter().any(|name| self.says(name)) {
            return Some(NotStored::Authorization);
        }
        if !(self.says("public") || self.explicit() || self.heuristic_status()) {
            return Some(NotStored::NoFreshness);
        }
        if lines(&self.response, "vary").iter().any(|line| line.contains('*')) {
            return Some(NotStored::VaryStar);
        }
        let lists_cookie = |name: &str| {
            let values = self.said.get(name).into_iter().flatten().flatten();
            values.into_iter().any(|value| value.contains("set-cookie"))
        };
        let for_all = self.says("public") || self.says("s-maxage");
        let named = lists_cookie("private") || lists_cookie("no-cache");
        if self.response.contains_key("set-cookie") && !for_all && !named {
            return Some(NotStored::SetCookie);
        }
        if !self.everyones() && authorized {
            return Some(NotStored::Authorization);
        }
        if !self.everyones() && self.request.contains_key("cookie") {
            return Some(NotStored::Cookie);
        }
        self.useless()
    }

    /// Ours: what one user asked for is everyone's only if the origin says for how long, and that it need not be asked.
    fn everyones(&self) -> bool {
        let lifetime = seconds(&self.said, "s-maxage").or_else(|| seconds(&self.said, "max-age"));
        let lives = match (lifetime, self.expires()) {
            (Some(lifetime), _) => lifetime > 0,
            (None, Some(expires)) => {
                let date = lines(&self.response, "date").first().map(|text| date(text).unwrap_or(0));
                date.is_some_and(|date| expires > date)
            }
            (None, None) => false,
        };
        lives && !unqualified(&self.said, "no-cache")
    }

    /// Ours: an answer nobody could ever be given is not kept.
    fn useless(&self) -> Option<NotStored> {
        let validator = self.response.contains_key("etag") || self.response.contains_key("last-modified");
        let windows = ["stale-while-revalidate", "stale-if-error"];
        let window = windows.iter().any(|name| seconds(&self.said, name).is_some_and(|seconds| seconds > 0));
        let served_stale = window && !self.forbids_stale();
        let lifetime = seconds(&self.said, "s-maxage").or_else(|| seconds(&self.said, "max-age"));
        let lives = match (lifetime, self.expires()) {
            (Some(lifetime), _) => lifetime > self.age_value(),
            (None, Some(expires)) => {
                expires > lines(&self.response, "date").first().and_then(|d| date(d)).unwrap_or(0)
            }
            (None, None) => false,
        };
        let asked_first = unqualified(&self.said, "no-cache");
        match () {
            () if validator || (!asked_first && (lives || served_stale)) => None,
            () if self.explicit() => Some(NotStored::Expired),
            () => Some(NotStored::NoFreshness),
        }
    }

    /// What becomes of a later request, `later` seconds after the answer came: 4.2, 4.2.4, 5.2.1, 5861 3.
    fn use_of(&self, later: &HeaderMap, after: u64) -> &'static str {
        let age = self.initial_age() + after;
        let asked_first = unqualified(&self.said, "no-cache");
        let fresh = self.lifetime() > age && !asked_first;
        let client = directives(&lines(later, "cache-control"));
        let pragma = !later.contains_key("cache-control") && lines(later, "pragma").contains(&"no-cache");
        if client.contains_key("no-cache") || pragma {
            return "request";
        }
        let reload = fresh && self.says("immutable");
        if let Some(most) = seconds(&client, "max-age")
            && !reload
            && (most == 0 || age > most)
        {
            return "request";
        }
        if fresh {
            return "fresh";
        }
        let window = seconds(&self.said, "stale-while-revalidate").unwrap_or(0);
        let over = age.saturating_sub(self.lifetime());
        if window > 0 && over <= window && !self.forbids_stale() && !asked_first {
            "meanwhile"
        } else {
            "stale"
        }
    }
}

const SAID: &[&str] = &[
    "max-age=60",
    "MAX-AGE=5",
    "max-age=\"30\"",
    "max-age=0",
    "max-age",
    "max-age=-1",
    "max-age=1.5",
    "max-age=99999999999",
    "s-maxage=90",
    "S-MaxAge=0",
    "public",
    "Private",
    "private=\"set-cookie\"",
    "private=\"x-user\"",
    "no-store",
    "NO-cache",
    "no-cache=\"set-cookie, x-user\"",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "immutable",
    "stale-while-revalidate=30",
    "stale-if-error=30",
    "stale-while-revalidate=0",
    "x=\"a, no-store, b\"",
    "x=\"\\\", max-age=9\"",
    "no-transform",
    "unknown=1",
    "",
];
const MORE: &[&str] = &[
    "ETag: \"1\"",
    "Last-Modified: {-40000}",
    "Last-Modified: {+50}",
    "Expires: {+100}",
    "Expires: {-100}",
    "Expires: 0",
    "Date: {0}",
    "Date: {-20}",
    "Date: {+20}",
    "Date: never",
    "Age: 10",
    "Age: 70",
    "Age: x",
    "Age: 7, 900",
    "Age: 99999999999",
    "Vary: Foo",
    "Vary: Foo, *",
    "Set-Cookie: a=b",
    "Pragma: no-cache",
    "CDN-Cache-Control: max-age=20",
    "CDN-Cache-Control: no-store",
    "CDN-Cache-Control: MAX-AGE=60",
    "CDN-Cache-Control: private, max-age=9",
];
const ASKED: &[&str] =
    &["Authorization: Basic eDp5", "Cookie: a=b", "Cache-Control: no-store", "Accept: a/b"];
const LATER: &[&str] = &[
    "",
    "Cache-Control: no-cache",
    "Cache-Control: max-age=0",
    "Cache-Control: Max-Age=25",
    "Pragma: no-cache",
    "Pragma: no-cache|Cache-Control: x",
    "Cache-Control: max-stale",
    "Cache-Control: min-fresh=99999",
    "Cache-Control: no-store",
    "Cookie: c=d",
];
const STATUSES: &[u16] = &[
    200, 200, 200, 200, 201, 203, 204, 206, 301, 302, 304, 308, 401, 404, 418, 429, 451, 500, 501, 503, 599,
    799,
];

fn dated(text: &str) -> String {
    let mut out = String::new();
    for (at, part) in text.split('{').enumerate() {
        let Some((offset, rest)) = part.split_once('}').filter(|_| at > 0) else {
            out.push_str(part);
            continue;
        };
        let seconds = NOW.checked_add_signed(offset.parse().unwrap()).unwrap();
        out.push_str(&httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds)));
        out.push_str(rest);
    }
    out
}

fn response() -> impl Strategy<Value = String> {
    let said = proptest::collection::vec(select(SAID), 0..4);
    (said, any::<bool>(), subsequence(MORE, 0..5)).prop_map(|(said, split, more)| {
        let mut all: Vec<String> = more.into_iter().map(str::to_owned).collect();
        let joined = said.join(if split { "|Cache-Control: " } else { " , " });
        all.extend((!said.is_empty()).then(|| format!("Cache-Control: {joined}")));
        dated(&all.join("|"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40_000))]

    #[test]
    fn the_model_and_the_policy_agree(
        asked in subsequence(ASKED, 0..3), status in select(STATUSES), response in response(),
        delay in 0_u64..9, later in select(LATER), after in select(&[0_u64, 1, 9, 30, 59, 60, 61, 100, 5000][..]),
    ) {
        let config = Config::default();
        let (request, answer, later) = (fields(&asked.join("|")), fields(&response), fields(later));
        let code = StatusCode::from_u16(status).unwrap();
        let model = Exchange::new(request.clone(), status, answer.clone(), delay);
        let stored = super::storing::may_store(&config, &Method::GET, &request, code, &answer);
        prop_assert_eq!(stored.err(), model.refusal(), "{} {:?}", status, response);
        let at = |seconds: u64| Timestamp(seconds * 1000);
        let found = super::freshness::freshness(&config, &request, code, &answer, at(NOW - delay), at(NOW));
        prop_assert_eq!(found.lifetime.as_secs(), model.lifetime(), "lifetime of {:?}", response);
        prop_assert_eq!(found.corrected_age.as_secs(), model.initial_age(), "age of {:?}", response);
        let verdict = match super::serving::serve(&config, &later, &found, false, at(NOW + after)) {
            super::serving::Serve::Fresh => "fresh",
            super::serving::Serve::Stale(_) => "meanwhile",
            super::serving::Serve::Revalidate(why) => why.as_str(),
        };
        prop_assert_eq!(verdict, model.use_of(&later, after), "{:?} {:?} after {}", response, later, after);
    }
}
