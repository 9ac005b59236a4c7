use super::super::fields;
use super::*;

/// 2026-11-23T08:00:00Z
const NOW: u64 = 1_795_420_800;

/// Replaces `{-60}` by the HTTP date 60 seconds before now.
fn dated(lines: &str) -> HeaderMap {
    let mut text = String::new();
    let mut parts = lines.split('{');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (offset, rest) = part.split_once('}').unwrap();
        let at = NOW.checked_add_signed(offset.parse().unwrap()).unwrap();
        text.push_str(&httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(at)));
        text.push_str(rest);
    }
    fields(&text)
}

fn at(seconds: u64) -> Timestamp {
    Timestamp(seconds * 1000)
}

fn judged(request: &str, status: u16, response: &str, delay: u64) -> Freshness {
    let status = StatusCode::from_u16(status).unwrap();
    freshness(&Config::default(), &dated(request), status, &dated(response), at(NOW - delay), at(NOW))
}

const LIFETIMES: &[(&str, &str, u64)] = &[
    ("4.2.1: s-maxage first", "Cache-Control: max-age=2, s-maxage=1|Expires: {+9}|Date: {0}", 1),
    ("4.2.1: s-maxage first, also when longer", "Cache-Control: max-age=0, s-maxage=5|Expires: {-9}", 5),
    ("4.2.1: max-age before Expires", "Cache-Control: max-age=2|Expires: {+9}|Date: {0}", 2),
    ("5.3: max-age overrules a past Expires", "Cache-Control: max-age=2|Expires: {-9}|Date: {0}", 2),
    ("5.3: max-age overrules an invalid Expires", "Cache-Control: max-age=2|Expires: 0", 2),
    ("5.3: max-age=0 overrules a future Expires", "Cache-Control: max-age=0|Expires: {+9}", 0),
    ("4.2.1: Expires minus Date", "Expires: {+100}|Date: {+40}", 60),
    ("4.2.1: Expires minus Date, both past", "Expires: {-100}|Date: {-140}", 40),
    ("4.2.1: Expires before Date", "Expires: {+300}|Date: {+400}", 0),
    ("4.2.1: Expires at Date", "Expires: {0}|Date: {0}", 0),
    ("5.3: Expires in a past", "Expires: {-9}|Date: {0}", 0),
    ("5.3: invalid, especially 0", "Expires: 0|Date: {0}", 0),
    ("5.3: invalid, another zone", "Expires: Thu, 18 Aug 2050 02:01:18 AEST|Date: {0}", 0),
    ("4.2.1: one of two invalid", "Expires: {+9}|Expires: x|Date: {0}", 0),
    ("4.2.1: the earlier of two", "Expires: {+9}|Expires: {+5}|Date: {0}", 5),
    ("6.6.1 of 9110: without Date, reception", "Expires: {+9}", 9),
    ("6.6.1 of 9110: with an invalid Date, reception", "Expires: {+9}|Date: foo", 9),
    ("1.2.2: the year 9999 is 2^31 seconds", "Expires: Fri, 31 Dec 9999 23:59:59 GMT|Date: {0}", 1 << 31),
    ("4.2: RFC 850 form", "Expires: Monday, 23-Nov-26 08:01:00 GMT|Date: {0}", 60),
    ("4.2: asctime form", "Expires: Mon Nov 23 08:01:00 2026|Date: {0}", 60),
    ("9213 2.2: a target overrules Expires", "CDN-Cache-Control: foo|Expires: {+9}|Date: {0}", 0),
    (
        "9213 2.2: a target overrules Cache-Control",
        "CDN-Cache-Control: max-age=7|Cache-Control: max-age=1",
        7,
    ),
];

#[test]
fn explicit_lifetimes() {
    for (rule, lines, expected) in LIFETIMES {
        let found = judged("", 200, lines, 0);
        assert_eq!((found.lifetime.as_secs(), found.heuristic), (*expected, false), "{rule}: {lines}");
    }
}

const OLD: &str = "Last-Modified: {-86400}|Date: {0}";

const HEURISTICS: &[(&str, &str, u16, &str, u64)] = &[
    ("4.2.2: a tenth of the time since Last-Modified", "", 200, OLD, 8640),
    ("4.2.2: no Last-Modified, no guess", "", 200, "Date: {0}", 0),
    ("4.2.2: not beside explicit max-age", "", 200, "Cache-Control: max-age=1|Last-Modified: {-86400}", 1),
    ("4.2.2: not beside explicit Expires", "", 200, "Expires: 0|Last-Modified: {-86400}", 0),
    ("4.2.2: the status must allow it", "", 201, OLD, 0),
    ("4.2.2: the status must allow it", "", 302, OLD, 0),
    ("4.2.2: the status must allow it", "", 403, OLD, 0),
    ("4.2.2: the status must allow it", "", 503, OLD, 0),
    ("4.2.2: the status must allow it", "", 599, OLD, 0),
    ("4.2.2: or public", "", 599, "Cache-Control: public|Last-Modified: {-86400}|Date: {0}", 8640),
    ("9110 15.1: 203", "", 203, OLD, 8640),
    ("9110 15.1: 204", "", 204, OLD, 8640),
    ("9110 15.1: 300", "", 300, OLD, 8640),
    ("9110 15.1: 301", "", 301, OLD, 8640),
    ("9110 15.1: 308", "", 308, OLD, 8640),
    ("9110 15.1: 404", "", 404, OLD, 8640),
    ("9110 15.1: 405", "", 405, OLD, 8640),
    ("9110 15.1: 410", "", 410, OLD, 8640),
    ("9110 15.1: 414", "", 414, OLD, 8640),
    ("9110 15.1: 501", "", 501, OLD, 8640),
    ("ours: at most a day", "", 200, "Last-Modified: {-86400000}|Date: {0}", 86_400),
    ("a Last-Modified in the future", "", 200, "Last-Modified: {+9}|Date: {0}", 0),
    ("an invalid Last-Modified", "", 200, "Last-Modified: yesterday|Date: {0}", 0),
    ("counted from Date", "", 200, "Last-Modified: {-1000}|Date: {-500}", 50),
    ("ours: Pragma: no-cache alone forbids it", "", 200, "Pragma: no-cache|Last-Modified: {-86400}", 0),
    (
        "5.4: but not beside Cache-Control",
        "",
        200,
        "Pragma: no-cache|Cache-Control: x|Last-Modified: {-1000}",
        100,
    ),
    ("ours: not for a request with a cookie", "Cookie: a=b", 200, OLD, 0),
    ("ours: not for a request with credentials", "Authorization: x", 200, OLD, 0),
];

#[test]
fn heuristic_lifetimes() {
    for (rule, request, status, lines, expected) in HEURISTICS {
        let found = judged(request, *status, lines, 0);
        assert_eq!(found.lifetime.as_secs(), *expected, "{rule}: {status} {lines}");
        let explicit = lines.contains("max-age");
        assert_eq!(found.heuristic, *expected > 0 && !explicit, "{rule}: {status} {lines}");
    }
}

const AGES: &[(&str, &str, u64, u64)] = &[
    ("4.2.3: no Age, no delay", "Date: {0}", 0, 0),
    ("4.2.3: Age", "Date: {0}|Age: 30", 0, 30),
    ("4.2.3: Age and the response delay", "Date: {0}|Age: 30", 4, 34),
    ("4.2.3: the delay alone", "Date: {0}", 4, 4),
    ("4.2.3: apparent age", "Date: {-7200}", 0, 7200),
    ("4.2.3: the larger of both", "Date: {-7200}|Age: 30", 4, 7200),
    ("4.2.3: the larger of both", "Date: {-10}|Age: 25", 0, 25),
    ("4.2.3: a Date in the future", "Date: {+10}|Age: 15", 0, 15),
    ("4.2.3: an invalid Date", "Date: foo", 0, 0),
    ("4.2.3: no Date", "Age: 1", 0, 1),
    ("5.1: a list: its first member", "Date: {0}|Age: 7200, 0", 0, 7200),
    ("5.1: a list: its first member", "Date: {0}|Age: 0,7200", 0, 0),
    ("5.1: lines: the first", "Date: {0}|Age: 7200|Age: 0", 0, 7200),
    ("5.1: lines: the first", "Date: {0}|Age: 0|Age: 7200", 0, 0),
    ("5.1: invalid is ignored: letters", "Date: {0}|Age: abc", 0, 0),
    ("5.1: invalid is ignored: negative", "Date: {0}|Age: -7200", 0, 0),
    ("5.1: invalid is ignored: a fraction", "Date: {0}|Age: 7200.0", 0, 0),
    ("5.1: invalid is ignored: parameters", "Date: {0}|Age: 7200;foo=1", 0, 0),
    ("1.2.2: huge is 2^31", "Date: {0}|Age: 99999999999999999999", 0, 1 << 31),
];

#[test]
fn ages() {
    for (rule, lines, delay, expected) in AGES {
        let found = judged("", 200, &format!("{lines}|Cache-Control: max-age=9"), *delay);
        assert_eq!(found.corrected_age.as_secs(), *expected, "{rule}: {lines}");
        assert_eq!(found.age(at(NOW + 5)).as_secs(), expected + 5, "4.2.3: resident time: {lines}");
    }
}

#[test]
fn fresh_while_the_lifetime_exceeds_the_age() {
    let found = judged("", 200, "Cache-Control: max-age=10|Date: {0}|Age: 4", 0);
    for (after, fresh, ttl) in
        [(0, true, 6), (5_999, true, 0), (6_000, false, 0), (6_001, false, -1), (60_000, false, -54)]
    {
        let now = Timestamp(NOW * 1000 + after);
        assert_eq!((found.is_fresh(now), found.ttl(now)), (fresh, ttl), "after {after} ms");
    }
    assert_eq!(found.staleness(at(NOW + 9)).as_secs(), 3);
    assert_eq!(found.staleness(at(NOW)).as_secs(), 0);
    let huge = judged("", 200, "Cache-Control: max-age=99999999999|Age: 99999999999", 0);
    assert!(!huge.is_fresh(at(NOW)), "1.2.2: 2^31 against 2^31");
    assert!(huge.age(Timestamp(u64::MAX)) > huge.lifetime, "no overflow");
    assert!(found.is_fresh(Timestamp(0)), "a clock that went back makes nothing older, and nothing panics");
}

#[test]
fn flags_and_windows() {
    for (rule, lines, no_cache, must_revalidate, immutable) in [
        ("5.2.2.4: no-cache", "Cache-Control: no-cache", true, false, false),
        ("5.2.2.4: qualified is not for the whole", "Cache-Control: no-cache=\"a\"", false, false, false),
        ("5.2.2.2: must-revalidate", "Cache-Control: must-revalidate", false, true, false),
        ("5.2.2.8: proxy-revalidate", "Cache-Control: proxy-revalidate", false, true, false),
        ("5.2.2.10: s-maxage implies it", "Cache-Control: s-maxage=1", false, true, false),
        ("8246: immutable", "Cache-Control: immutable", false, false, true),
        (
            "9213: of the target only",
            "CDN-Cache-Control: max-age=1|Cache-Control: no-cache",
            false,
            false,
            false,
        ),
    ] {
        let found = judged("", 200, lines, 0);
        let flags = (found.no_cache, found.must_revalidate, found.immutable);
        assert_eq!(flags, (no_cache, must_revalidate, immutable), "{rule}");
    }
    let site = Config {
        stale_while_revalidate: Duration::from_secs(7),
        stale_if_error: Duration::from_secs(8),
        ..Config::default()
    };
    for (rule, lines, revalidate, error) in [
        ("the site's where the origin says nothing", "", 7, 8),
        ("5861 3: the origin's", "Cache-Control: stale-while-revalidate=1", 1, 8),
        ("5861 4: the origin's", "Cache-Control: stale-if-error=1", 7, 1),
        ("the origin's zero is a word", "Cache-Control: stale-while-revalidate=0, stale-if-error=0", 0, 0),
    ] {
        let found = freshness(&site, &HeaderMap::new(), StatusCode::OK, &fields(lines), at(NOW), at(NOW));
        let windows = (found.stale_while_revalidate.as_secs(), found.stale_if_error.as_secs());
        assert_eq!(windows, (revalidate, error), "{rule}");
    }
}

#[test]
fn a_missing_date_is_the_time_of_reception() {
    let mut headers = HeaderMap::new();
    ensure_date(&mut headers, at(784_111_777));
    assert_eq!(headers.get(DATE).unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT");
    ensure_date(&mut headers, at(NOW));
    assert_eq!(headers.get(DATE).unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT", "what the origin sent stays");
}

#[test]
fn jitter_only_ever_shortens_and_spreads() {
    let whole = Freshness { lifetime: Duration::from_secs(1000), ..Freshness::default() };
    assert_eq!(whole.jittered(0, 77), whole);
    let lifetimes: Vec<u64> =
        (0..1000).map(|seed| whole.jittered(10, seed).lifetime.as_millis() as u64).collect();
    assert!(lifetimes.iter().all(|lifetime| (900_000..=1_000_000).contains(lifetime)));
    let in_tenth = |tenth: u64| {
        let from = 900_000 + tenth * 10_000;
        lifetimes.iter().filter(|lifetime| (from..from + 10_000).contains(lifetime)).count()
    };
    assert!((0..10).all(|tenth| in_tenth(tenth) > 50), "spread over all of it");
    let forever = Freshness { lifetime: Duration::MAX, ..Freshness::default() };
    assert!(forever.jittered(50, 1).lifetime >= Duration::MAX / 2 - Duration::from_secs(1));
}
