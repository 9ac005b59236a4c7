//! Larder's policy against `http-cache-semantics` on the raw fields of random exchanges. Every disagreement must be one
//! of [`DIFFERENCES`], and every difference named there must be the only explanation at least once.

use std::time::{Duration, UNIX_EPOCH};

use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_cache_semantics::{AfterResponse, CacheOptions, CachePolicy};

use super::freshness::{freshness, is_heuristically_cacheable};
use super::serving::{Serve, serve};
use super::storing::may_store;
use super::validation::merge_304;
use super::vary::{VaryNames, variant};
use super::{Config, fields};
use crate::clock::Timestamp;
use crate::status::Forward;

const SEED: u64 = 0x9111_9110_5861_9213;
const CASES: u32 = 60_000;

/// 2026-11-23T08:00:00Z, a Monday.
const NOW: u64 = 1_795_420_800;
/// The stored answer is asked for three seconds later.
const LATER: u64 = NOW + 3;

struct Difference {
    name: &'static str,
    /// Who follows the RFC: "larder", or "both" where it leaves a choice.
    right: &'static str,
    why: &'static str,
    applies: fn(&Case) -> bool,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "head",
        right: "both",
        why: "9111 2: we keep answers to GET; a HEAD is answered from them",
        applies: |case| case.method == "HEAD",
    },
    Difference {
        name: "post",
        right: "larder",
        why: "9110 9.3.3: a POST's answer needs a Content-Location that is its URL, and then answers GETs",
        applies: |case| case.method == "POST",
    },
    Difference {
        name: "status",
        right: "larder",
        why: "9111 3: any final status may be stored with explicit freshness, not only the known ones",
        applies: |case| [201, 400, 500, 503, 599].contains(&case.status),
    },
    Difference {
        name: "case",
        right: "larder",
        why: "9111 5.2: directive names are case-insensitive",
        applies: |case| case.says(&["No-Store", "MAX-AGE"]) || case.request.contains("NO-STORE"),
    },
    Difference {
        name: "quoted-comma",
        right: "larder",
        why: "9110 5.6.4: a comma inside a quoted string separates nothing",
        applies: |case| case.says(&["\"a, no-store, b\"", "\"a, max-age=9, b\""]),
    },
    Difference {
        name: "qualified",
        right: "larder",
        why: "9111 5.2.2.4 and 5.2.2.7: a qualified directive is about the fields it names, which we drop",
        applies: |case| case.says(&["private=\"x\"", "no-cache=\"x\""]),
    },
    Difference {
        name: "must-understand",
        right: "larder",
        why: "9111 5.2.2.3: forbids what is not understood, and lifts no-store for what is",
        applies: |case| case.says(&["must-understand"]),
    },
    Difference {
        name: "targeted",
        right: "larder",
        why: "9213 2.2: a target's field replaces Cache-Control and Expires",
        applies: |case| case.says(&["CDN-Cache-Control"]),
    },
    Difference {
        name: "proxy-revalidate",
        right: "larder",
        why: "9111 5.2.2.8: like must-revalidate it binds once the answer is stale, not before",
        applies: |case| case.says(&["proxy-revalidate"]),
    },
    Difference {
        name: "duplicates",
        right: "both",
        why: "9111 4.2.1: the first or stale; with the least we are fresh only while both would be",
        applies: |case| case.says(&["max-age=60, max-age=1", "Expires: x|Expires"]) || case.repeats_expires(),
    },
    Difference {
        name: "signed",
        right: "larder",
        why: "9111 1.2.2: delta-seconds are digits; what is no number is stale (4.2.1)",
        applies: |case| case.says(&["max-age=+60"]),
    },
    Difference {
        name: "blank-around-equals",
        right: "both",
        why: "9111 5.2: the grammar has no blank there; 4.2.1 encourages to read it as stale",
        applies: |case| case.says(&["max-age = 60"]),
    },
    Difference {
        name: "too-large",
        right: "larder",
        why: "9111 1.2.2: too large to represent is 2^31, not invalid",
        applies: |case| case.says(&["max-age=99999999999999999999"]),
    },
    Difference {
        name: "no-argument",
        right: "larder",
        why: "9111 4.2.1: an s-maxage without a value is invalid and stale, not absent",
        applies: |case| case.says(&["s-maxage,"]),
    },
    Difference {
        name: "pragma",
        right: "larder",
        why: "9111 5.4: Pragma of an answer never meant anything; we only withhold a heuristic from it",
        applies: |case| case.says(&["Pragma"]),
    },
    Difference {
        name: "date-form",
        right: "larder",
        why: "9110 5.6.7: the RFC 850 and asctime forms are dates too",
        applies: |case| case.says(&["23-Nov-26 09:00:00", "Nov 23 09:00:00 2026"]),
    },
    Difference {
        name: "zone",
        right: "larder",
        why: "9111 4.2: a zone other than GMT makes the date invalid",
        applies: |case| case.says(&["09:00:00 +0000"]),
    },
    Difference {
        name: "apparent-age",
        right: "larder",
        why: "9111 4.2.3: an answer is at least as old as its Date says",
        applies: |case| case.says(&["Date: Mon, 23 Nov 2026 07:00:00 GMT"]),
    },
    Difference {
        name: "age-list",
        right: "larder",
        why: "9111 5.1: the first member of a list-based Age counts",
        applies: |case| case.says(&["Age: 7200, 0"]),
    },
    Difference {
        name: "immutable",
        right: "larder",
        why: "8246 2: immutable is no lifetime; the crate takes it for a day",
        applies: |case| case.says(&["immutable"]),
    },
    Difference {
        name: "set-cookie",
        right: "both",
        why: "9111 7.3: cacheable; we refuse it without public or s-maxage, the crate makes it stale",
        applies: |case| case.says(&["Set-Cookie"]),
    },
    Difference {
        name: "vary-star",
        right: "both",
        why: "9111 4.1: never selected again, so we do not keep it",
        applies: |case| case.says(&["Vary: *", "Vary: foo, *"]),
    },
    Difference {
        name: "personal",
        right: "both",
        why: "ours: no guessed lifetime for a request that names its user",
        applies: |case| case.request.contains("Cookie") || case.request.contains("Authorization"),
    },
    Difference {
        name: "heuristic-limit",
        right: "both",
        why: "9111 4.2.2: only a fraction is suggested; ours is at most a day",
        applies: |case| case.says(&["Age: 90000"]),
    },
    Difference {
        name: "useless",
        right: "both",
        why: "ours: without a lifetime, a validator or leave to be stale it could never be used",
        applies: |case| {
            !case.says(&["ETag", "Last-Modified"])
                && case.larder() == (false, false)
                && case.semantics() == (true, false)
        },
    },
];

struct Case {
    method: &'static str,
    status: u16,
    request: String,
    response: String,
}

impl Case {
    fn says(&self, pieces: &[&str]) -> bool {
        pieces.iter().any(|piece| self.response.contains(piece))
    }

    fn repeats_expires(&self) -> bool {
        self.response.matches("Expires").count() > 1
    }

    fn larder(&self) -> (bool, bool) {
        let (config, request, response) = (Config::default(), fields(&self.request), fields(&self.response));
        let (method, status) = (Method::from_bytes(self.method.as_bytes()).unwrap(), self.status());
        let stored = may_store(&config, &method, &request, status, &response).is_ok();
        let at = |seconds| Timestamp(seconds * 1000);
        let freshness = freshness(&config, &request, status, &response, at(NOW), at(NOW));
        let fresh = serve(&config, &HeaderMap::new(), &freshness, false, at(LATER)) == Serve::Fresh;
        (stored, stored && fresh)
    }

    fn policy(&self) -> CachePolicy {
        let mut request = Request::builder().method(self.method).uri("http://a/").body(()).unwrap();
        *request.headers_mut() = fields(&self.request);
        let mut response = Response::builder().status(self.status).body(()).unwrap();
        *response.headers_mut() = fields(&self.response);
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        CachePolicy::new_options(&request, &response, now, CacheOptions::default())
    }

    fn semantics(&self) -> (bool, bool) {
        let policy = self.policy();
        let later = UNIX_EPOCH + Duration::from_secs(LATER);
        (policy.is_storable(), policy.is_storable() && !policy.is_stale(later))
    }

    fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap()
    }

    /// A random exchange: mostly plain, now and then one thing of each list.
    fn draw(random: &mut Random) -> Self {
        let mut directives: Vec<&str> = Vec::new();
        directives.extend(random.maybe(2, LIFETIMES));
        directives.extend(random.maybe(6, FLAGS));
        directives.extend(random.maybe(12, FLAGS));
        directives.extend(random.maybe(10, ODDITIES));
        let mut lines: Vec<String> = Vec::new();
        if !directives.is_empty() {
            lines.push(format!("Cache-Control: {}", directives.join(", ")));
        }
        for (one_in, choices) in
            [(2, DATES), (3, EXPIRES), (12, EXPIRES), (3, VALIDATORS), (6, AGES), (12, OTHERS)]
        {
            lines.extend(random.maybe(one_in, choices).map(str::to_owned));
        }
        Self {
            method: random.maybe(12, &["HEAD", "POST"]).unwrap_or("GET"),
            status: random.maybe(5, STATUSES).unwrap_or(200),
            request: random.maybe(8, REQUESTS).unwrap_or_default().to_owned(),
            response: lines.join("|"),
        }
    }
}

const STATUSES: &[u16] = &[201, 204, 206, 302, 400, 404, 410, 500, 503, 599];
const REQUESTS: &[&str] = &[
    "Cookie: a=b",
    "Authorization: x",
    "Cache-Control: no-store",
    "Cache-Control: NO-STORE",
    "Cache-Control: x",
];
const LIFETIMES: &[&str] =
    &["max-age=60", "max-age=0", "s-maxage=60", "s-maxage=1, max-age=60", "s-maxage=x", "max-age=-1"];
const FLAGS: &[&str] = &[
    "no-store",
    "no-cache",
    "private",
    "public",
    "must-revalidate",
    "proxy-revalidate",
    "foo",
    "must-understand",
];
const ODDITIES: &[&str] = &[
    "No-Store",
    "MAX-AGE=60",
    "x=\"a, no-store, b\"",
    "x=\"a, max-age=9, b\"",
    "private=\"x\"",
    "no-cache=\"x\"",
    "max-age=60, max-age=1",
    "max-age=+60",
    "max-age = 60",
    "max-age=99999999999999999999",
    "s-maxage, max-age=60",
    "immutable",
    "max-age=\"60\"",
    "no-store, must-understand",
];
const DATES: &[&str] =
    &["Date: Mon, 23 Nov 2026 08:00:00 GMT", "Date: Mon, 23 Nov 2026 07:00:00 GMT", "Date: x"];
const EXPIRES: &[&str] = &[
    "Expires: Mon, 23 Nov 2026 09:00:00 GMT",
    "Expires: Mon, 23 Nov 2026 06:00:00 GMT",
    "Expires: x",
    "Expires: 0",
    "Expires: Monday, 23-Nov-26 09:00:00 GMT",
    "Expires: Mon Nov 23 09:00:00 2026",
    "Expires: Mon, 23 Nov 2026 09:00:00 +0000",
];
const VALIDATORS: &[&str] = &[
    "ETag: \"a\"",
    "Last-Modified: Sun, 22 Nov 2026 08:00:00 GMT",
    "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT",
];
const AGES: &[&str] = &["Age: 7200", "Age: 7200, 0", "Age: x", "Age: 0", "Age: 90000"];
const OTHERS: &[&str] = &[
    "Vary: *",
    "Vary: foo, *",
    "Vary: foo",
    "Set-Cookie: a=b",
    "Pragma: no-cache",
    "CDN-Cache-Control: max-age=60",
    "CDN-Cache-Control: no-store",
];

/// xorshift64*: enough to choose from lists, and the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % limit
    }

    fn maybe<T: Copy>(&mut self, one_in: usize, choices: &[T]) -> Option<T> {
        (self.below(one_in) == 0).then(|| choices[self.below(choices.len())])
    }
}

#[test]
fn every_disagreement_has_a_name() {
    println!("seed {SEED:#x}");
    let mut random = Random(SEED);
    let mut alone = vec![0_u32; DIFFERENCES.len()];
    let mut disagreements = 0;
    for _ in 0..CASES {
        let case = Case::draw(&mut random);
        let (larder, semantics) = (case.larder(), case.semantics());
        if larder == semantics {
            continue;
        }
        disagreements += 1;
        let names: Vec<usize> =
            (0..DIFFERENCES.len()).filter(|at| (DIFFERENCES[*at].applies)(&case)).collect();
        assert!(
            !names.is_empty(),
            "unnamed: {} {} {:?} -> {:?}: (stored, fresh) larder {larder:?}, crate {semantics:?}",
            case.method,
            case.status,
            case.request,
            case.response
        );
        if let [only] = names[..] {
            alone[only] += 1;
        }
    }
    println!("{CASES} exchanges, {disagreements} disagreements");
    for (difference, count) in DIFFERENCES.iter().zip(&alone) {
        println!(
            "{:20} {:6} alone; right: {:6} {}",
            difference.name, count, difference.right, difference.why
        );
        assert!(*count > 0, "{} explains nothing by itself", difference.name);
    }
}

/// Where nothing is odd, both agree: the base we build on is the one we think it is.
#[test]
fn plain_exchanges_agree() {
    for lifetime in ["max-age=60", "max-age=0", "s-maxage=60", "s-maxage=1, max-age=60"] {
        for flag in ["", ", no-store", ", private", ", public", ", must-revalidate"] {
            for status in [200, 203, 204, 301, 302, 404, 410] {
                let response = format!("Cache-Control: {lifetime}{flag}|ETag: \"a\"");
                let case = Case { method: "GET", status, request: String::new(), response };
                assert_eq!(case.larder(), case.semantics(), "{status} {}", case.response);
            }
        }
    }
    for status in (200..600).filter(|code| is_heuristically_cacheable(StatusCode::from_u16(*code).unwrap())) {
        let response =
            "Last-Modified: Sun, 22 Nov 2026 08:00:00 GMT|Date: Mon, 23 Nov 2026 08:00:00 GMT".to_owned();
        let case = Case { method: "GET", status, request: String::new(), response };
        assert_eq!(case.larder(), case.semantics(), "{status}");
    }
}

/// Not in the random lists, because it takes the process down.
#[test]
fn a_huge_age_panics_in_the_crate_and_is_2_31_here() {
    let response = "Cache-Control: max-age=60|Age: 18446744073709551615".to_owned();
    let case = Case { method: "GET", status: 200, request: String::new(), response };
    assert!(std::panic::catch_unwind(|| case.semantics()).is_err());
    assert_eq!(case.larder(), (false, false));
}

/// What a 304 brings that was not stored before is lost there (9111 3.2).
#[test]
fn new_fields_of_a_304_are_dropped_in_the_crate_and_kept_here() {
    let (stored, update) = ("ETag: \"a\"|A: 1", "ETag: \"a\"|A: 2|B: 3");
    let case = Case { method: "GET", status: 200, request: String::new(), response: stored.to_owned() };
    let request = Request::get("http://a/").body(()).unwrap();
    let mut response = Response::builder().status(304).body(()).unwrap();
    *response.headers_mut() = fields(update);
    let now = UNIX_EPOCH + Duration::from_secs(LATER);
    let AfterResponse::NotModified(_, parts) = case.policy().after_response(&request, &response, now) else {
        panic!("the crate selects by the same tag")
    };
    assert!(parts.headers.contains_key("a") && !parts.headers.contains_key("b"));
    let merged = merge_304(&Config::default(), &fields(stored), &fields(update));
    assert_eq!(merged, fields("ETag: \"a\"|A: 2|B: 3"));
}

/// Only the first line of a field named by `Vary` is compared there (9110 5.3).
#[test]
fn further_lines_of_a_selecting_field_are_ignored_in_the_crate_and_compared_here() {
    let (one, other) = ("Foo: 1|Foo: 2", "Foo: 1|Foo: 3");
    let response = "Cache-Control: max-age=60|Vary: Foo".to_owned();
    let case = Case { method: "GET", status: 200, request: one.to_owned(), response };
    let mut request = Request::get("http://a/").body(()).unwrap();
    *request.headers_mut() = fields(other);
    let now = UNIX_EPOCH + Duration::from_secs(LATER);
    assert!(case.policy().before_request(&request, now).satisfies_without_revalidation());
    let names = VaryNames::from_text("foo");
    assert_ne!(variant("", &names, &fields(one), false), variant("", &names, &fields(other), false));
}

/// A client's `max-stale` outranks `no-cache` of the answer there (9111 4.2.4).
#[test]
fn max_stale_outranks_no_cache_in_the_crate_and_not_here() {
    let response = "Cache-Control: no-cache, max-age=60".to_owned();
    let case = Case { method: "GET", status: 200, request: String::new(), response };
    let mut request = Request::get("http://a/").body(()).unwrap();
    *request.headers_mut() = fields("Cache-Control: max-stale");
    let now = UNIX_EPOCH + Duration::from_secs(LATER);
    assert!(case.policy().before_request(&request, now).satisfies_without_revalidation());
    let (lax, at) = (Config { client_staleness: true, ..Config::default() }, Timestamp(NOW * 1000));
    let found = freshness(&lax, &HeaderMap::new(), StatusCode::OK, &fields(&case.response), at, at);
    let verdict = serve(&lax, request.headers(), &found, false, Timestamp(LATER * 1000));
    assert_eq!(verdict, Serve::Revalidate(Forward::Stale));
}
