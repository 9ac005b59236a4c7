use super::*;
use crate::clock::Timestamp;
use crate::policy::{Config, fields, freshness, storing};
use crate::status::NotStored;

const SECOND: Duration = Duration::from_secs(1);
const NOW: Timestamp = Timestamp(1_795_420_800_000);

fn config(overrides: Overrides) -> Config {
    Config { overrides, ..Config::default() }
}

fn verdict(config: &Config, request: &str, status: u16, response: &str) -> Result<u64, NotStored> {
    let (request, response) = (fields(request), fields(response));
    let status = StatusCode::from_u16(status).unwrap();
    storing::may_store(config, &http::Method::GET, &request, status, &response)?;
    let found = freshness::freshness(config, &request, status, &response, NOW, NOW);
    Ok(found.lifetime.saturating_sub(found.corrected_age).as_secs())
}

#[test]
fn what_a_rule_says_of_an_answer() {
    let none = config(Overrides::default());
    let forced = config(Overrides { ttl: Some(60 * SECOND), ..Overrides::default() });
    let clamped =
        config(Overrides { ttl_min: Some(10 * SECOND), ttl_max: Some(100 * SECOND), ..Overrides::default() });
    let ignoring =
        config(Overrides { ttl: Some(60 * SECOND), ignore_cache_control: true, ..Overrides::default() });
    let despite = config(Overrides {
        ttl: Some(60 * SECOND),
        despite_no_store: true,
        despite_private: true,
        despite_authorization: true,
        ..Overrides::default()
    });
    let statuses = config(Overrides {
        ttl: Some(60 * SECOND),
        status_ttl: vec![
            (Statuses::One(404), 30 * SECOND),
            (Statuses::Class(4), 5 * SECOND),
            (Statuses::Class(5), Duration::ZERO),
            (Statuses::One(302), 7 * SECOND),
        ],
        ..Overrides::default()
    });
    let never = config(Overrides { ttl: Some(Duration::ZERO), ..Overrides::default() });
    type Row<'a> = (&'a str, &'a Config, &'a str, u16, &'a str, Result<u64, NotStored>);
    let rows: [Row<'_>; 32] = [
        ("no rule", &none, "", 200, "Cache-Control: max-age=5", Ok(5)),
        ("no rule", &none, "", 200, "", Err(NotStored::NoFreshness)),
        ("ttl instead of a lifetime", &forced, "", 200, "Cache-Control: max-age=5", Ok(60)),
        ("ttl instead of s-maxage", &forced, "", 200, "Cache-Control: s-maxage=5", Ok(60)),
        ("ttl where there is none", &forced, "", 200, "", Ok(60)),
        ("ttl counts from now", &forced, "", 200, "Cache-Control: max-age=5|Age: 900", Ok(60)),
        ("ttl for a status that is no 200", &forced, "", 302, "", Ok(60)),
        ("ttl is not for errors", &forced, "", 500, "", Err(NotStored::NoFreshness)),
        ("ttl is not for errors with a lifetime", &forced, "", 404, "Cache-Control: max-age=5", Ok(5)),
        ("no-store still counts", &forced, "", 200, "Cache-Control: no-store", Err(NotStored::NoStore)),
        ("private still counts", &forced, "", 200, "Cache-Control: private", Err(NotStored::Private)),
        ("Authorization still counts", &forced, "Authorization: x", 200, "", Err(NotStored::Authorization)),
        ("a cookie that nobody declared", &forced, "Cookie: a=b", 200, "", Err(NotStored::Cookie)),
        ("Set-Cookie still counts", &forced, "", 200, "Set-Cookie: a=b", Err(NotStored::SetCookie)),
        ("Vary: * still counts", &forced, "", 200, "Vary: *", Err(NotStored::VaryStar)),
        ("no status about one request", &forced, "", 206, "", Err(NotStored::Status)),
        ("at least", &clamped, "", 200, "Cache-Control: max-age=1", Ok(10)),
        ("at least where there is none", &clamped, "", 200, "", Ok(10)),
        ("between", &clamped, "", 200, "Cache-Control: max-age=50", Ok(50)),
        ("at most", &clamped, "", 200, "Cache-Control: max-age=900", Ok(100)),
        ("at most, of what is left", &clamped, "", 200, "Cache-Control: max-age=900|Age: 850", Ok(50)),
        ("ignoring: no-cache", &ignoring, "", 200, "Cache-Control: no-cache", Ok(60)),
        ("ignoring: but not private", &ignoring, "", 200, "Cache-Control: private", Err(NotStored::Private)),
        ("ignoring: a target too", &ignoring, "", 200, "CDN-Cache-Control: max-age=0", Ok(60)),
        ("despite no-store", &despite, "", 200, "Cache-Control: no-store", Ok(60)),
        ("despite private", &despite, "", 200, "Cache-Control: private", Ok(60)),
        ("despite Authorization", &despite, "Authorization: x", 200, "", Ok(60)),
        ("a status of its own", &statuses, "", 404, "", Ok(30)),
        ("its class", &statuses, "", 403, "", Ok(5)),
        ("zero is not stored", &statuses, "", 503, "Cache-Control: max-age=9", Err(NotStored::Configured)),
        ("a status before ttl", &statuses, "", 302, "", Ok(7)),
        ("never", &never, "", 200, "Cache-Control: max-age=9", Err(NotStored::Configured)),
    ];
    for (rule, config, request, status, response, wanted) in rows {
        assert_eq!(verdict(config, request, status, response), wanted, "{rule}: {status} {response}");
    }
}

#[test]
fn a_forced_lifetime_lifts_no_cache_only_where_that_is_said() {
    let of = |overrides: Overrides| {
        let response = fields("Cache-Control: no-cache, must-revalidate, s-maxage=3|ETag: \"1\"");
        let config = config(overrides);
        freshness::freshness(&config, &HeaderMap::new(), StatusCode::OK, &response, NOW, NOW)
    };
    let forced = Overrides { ttl: Some(60 * SECOND), ..Overrides::default() };
    assert!(of(forced.clone()).no_cache && of(forced.clone()).must_revalidate);
    let ignoring = of(Overrides { ignore_cache_control: true, ..forced });
    assert!(!ignoring.no_cache && !ignoring.must_revalidate);
}

#[test]
fn clients_are_told_their_own_lifetime() {
    let date = HeaderValue::from_static("Wed, 25 Nov 2026 12:00:00 GMT");
    let mut headers = fields("Cache-Control: public, s-maxage=900|Expires: 0|Pragma: x|Age: 70|Date: old");
    Overrides::default().tell_client(&mut headers, date.clone());
    assert_eq!(headers.len(), 5, "no rule, no change");
    Overrides { browser_ttl: Some(300 * SECOND), ..Overrides::default() }
        .tell_client(&mut headers, date.clone());
    assert_eq!(headers, fields("Date: Wed, 25 Nov 2026 12:00:00 GMT|Cache-Control: max-age=300"));
    Overrides { browser_ttl: Some(Duration::ZERO), ..Overrides::default() }.tell_client(&mut headers, date);
    assert_eq!(headers.get(CACHE_CONTROL).unwrap(), "no-cache");
}

#[test]
fn tags_are_added_once() {
    let overrides = Overrides { tags: vec!["static".into(), "v2".into()], ..Overrides::default() };
    let mut headers = fields("Surrogate-Key: page a");
    overrides.tag(&mut headers);
    overrides.tag(&mut headers);
    assert_eq!(crate::policy::tags::of(&headers).unwrap(), ["page", "a", "static", "v2"]);
    assert_eq!(headers.len(), 3);
}
