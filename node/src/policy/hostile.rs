//! Whatever the bytes: no panic, no overflow, nothing private kept.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use proptest::prelude::*;

use super::freshness::{ensure_date, freshness};
use super::serving::{is_kept, may_serve_after, may_serve_on_error, only_if_cached, serve};
use super::storing::{may_store, may_store_post, stored_fields};
use super::validation::{add_validators, evaluate, head_effect, if_range_allows, merge_304, selects};
use super::vary::{self, Vary};
use super::{Config, SetCookie, invalidation};
use crate::clock::Timestamp;
use crate::error::Kind;

const NAMES: &[&str] = &[
    "age",
    "accept-language",
    "authorization",
    "cache-control",
    "cdn-cache-control",
    "connection",
    "content-language",
    "content-length",
    "content-location",
    "cookie",
    "date",
    "etag",
    "expires",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "last-modified",
    "location",
    "pragma",
    "set-cookie",
    "surrogate-control",
    "vary",
];

/// Values that mean something, values that almost do, and bytes.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-z*=\\\\\",; 0-9:/?#.-]{0,40}".prop_map(String::into_bytes),
        "(max-age|s-maxage|stale-if-error)=[0-9]{0,25}".prop_map(String::into_bytes),
        "(Mon|Monday), [0-9]{2}[ -](Nov|Feb)[ -][0-9]{2,4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
            .prop_map(String::into_bytes),
        "[0-9]{0,30}".prop_map(String::into_bytes),
        "(https?:)?//[a-z\\[\\]:@.]{0,10}(/[a-z./]{0,20})?".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

fn head() -> impl Strategy<Value = HeaderMap> {
    let field = (proptest::sample::select(NAMES), value());
    proptest::collection::vec(field, 0..8).prop_map(|fields| {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        headers
    })
}

fn configs() -> impl Strategy<Value = Config> {
    (any::<u32>(), any::<bool>(), any::<bool>(), 0..3).prop_map(|(percent, directives, staleness, cookie)| {
        Config {
            heuristic_percent: percent,
            client_directives: directives,
            client_staleness: staleness,
            set_cookie: [SetCookie::Refuse, SetCookie::Strip, SetCookie::Keep]
                [usize::try_from(cookie).unwrap()],
            ..Config::default()
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn storing_and_serving(
        config in configs(), request in head(), response in head(), code in 100_u16..1000,
        sent: u64, came: u64, now: u64, expired: bool,
    ) {
        let status = StatusCode::from_u16(code).unwrap();
        let stored = may_store(&config, &Method::GET, &request, status, &response);
        let _ = may_store_post(&config, "http://a:80/", &request, status, &response);
        let found = freshness(&config, &request, status, &response, Timestamp(sent), Timestamp(came));
        let now = Timestamp(now);
        let _ = (found.ttl(now), found.is_fresh(now), found.staleness(now));
        let _ = (serve(&config, &request, &found, expired, now), only_if_cached(&config, &request));
        let on_error = may_serve_on_error(&config, &request, &found, expired, now);
        let refused = may_serve_after(Kind::ConnectRefused, &config, &request, &found, expired, now);
        prop_assert!(!on_error || refused);
        prop_assert!(!refused || config.client_staleness || is_kept(&config, &found, now));
        prop_assert!(found.lifetime.as_secs() <= 1 << 31);
        let kept = stored_fields(&config, &response);
        prop_assert!(!kept.contains_key("connection"));
        prop_assert!(config.set_cookie == SetCookie::Keep || !kept.contains_key("set-cookie"));
        if stored.is_ok() {
            prop_assert!(vary::parse(&response) != Vary::Star);
        }
        let mut dated = kept;
        ensure_date(&mut dated, Timestamp(came));
        prop_assert!(dated.contains_key("date"));
    }

    #[test]
    fn conditions_and_keys(config in configs(), request in head(), stored in head(), update in head(), code in 100_u16..1000) {
        let status = StatusCode::from_u16(code).unwrap();
        let _ = evaluate(&Method::GET, &request, status, &stored);
        let _ = (selects(&stored, &update), if_range_allows(&request, &stored));
        let _ = head_effect(&stored, 7, status, &update);
        let merged = merge_304(&config, &stored, &update);
        let length = merged.get("content-length");
        prop_assert!(length.is_none() || length == stored.get("content-length"));
        let mut asking = request.clone();
        let any = add_validators(&mut asking, &stored);
        prop_assert_eq!(any, asking.contains_key("if-none-match") || asking.contains_key("if-modified-since"));
        if let Vary::Names(names) = vary::parse(&stored) {
            let key = vary::variant("", &names, &request, false);
            prop_assert!(key.is_ascii() && !key.contains('\n'));
            let _ = vary::language_of_request(&names, &request, false);
            let _ = vary::language_of_answer(&names, &request, &stored, false);
            let text = vary::VaryNames::from_text(names.as_str());
            prop_assert_eq!(text, names);
        }
        for target in invalidation::targets("http://a:80/b", &stored) {
            prop_assert!(target.starts_with("http://a:80/"), "{}", target);
        }
    }
}
