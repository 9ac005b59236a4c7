use super::super::fields;
use super::*;

/// "stored" or the reason.
fn verdict(config: &Config, method: &str, request: &str, status: u16, response: &str) -> &'static str {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let status = StatusCode::from_u16(status).unwrap();
    match may_store(config, &method, &fields(request), status, &fields(response)) {
        Ok(()) => "stored",
        Err(reason) => reason.as_str(),
    }
}

const LM: &str = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT";

const ROWS: &[(&str, &str, u16, &str, &str)] = &[
    // rule, request, status, answer, verdict
    ("3: max-age", "", 200, "Cache-Control: max-age=1", "stored"),
    ("3: s-maxage", "", 200, "Cache-Control: s-maxage=1", "stored"),
    ("3: Expires", "", 200, "Expires: Thu, 18 Aug 2050 02:01:18 GMT", "stored"),
    ("3: a heuristic status", "", 200, LM, "stored"),
    ("3: public", "", 599, "Cache-Control: public|Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "stored"),
    ("3: any final status with freshness", "", 299, "Cache-Control: max-age=1", "stored"),
    ("3: any final status with freshness", "", 302, "Cache-Control: max-age=1", "stored"),
    ("3: any final status with freshness", "", 400, "Cache-Control: max-age=1", "stored"),
    ("3: any final status with freshness", "", 500, "Cache-Control: max-age=1", "stored"),
    ("3: any final status with freshness", "", 599, "Cache-Control: max-age=1", "stored"),
    ("3: another status without", "", 302, "ETag: \"a\"", "no-freshness"),
    ("3: another status without", "", 503, LM, "no-freshness"),
    ("3: the status is final", "", 103, "Cache-Control: max-age=1", "status"),
    ("3.3: an incomplete answer", "", 206, "Cache-Control: max-age=1", "status"),
    ("4.3.4: a 304 is no representation", "", 304, "Cache-Control: max-age=1", "status"),
    ("ours: about credentials", "", 401, "Cache-Control: max-age=1", "status"),
    ("ours: about preconditions", "", 412, "Cache-Control: max-age=1", "status"),
    ("ours: about a range", "", 416, "Cache-Control: max-age=1", "status"),
    ("6585 3: 428", "", 428, "Cache-Control: max-age=1", "status"),
    ("6585 4: 429", "", 429, "Cache-Control: max-age=1", "status"),
    ("6585 5: 431", "", 431, "Cache-Control: max-age=1", "status"),
    ("6585 6: 511", "", 511, "Cache-Control: max-age=1", "status"),
    (
        "5.2.2.3: must-understand, not understood",
        "",
        599,
        "Cache-Control: max-age=9, must-understand",
        "status",
    ),
    ("5.2.2.3: and no-store", "", 599, "Cache-Control: max-age=9, must-understand, no-store", "status"),
    (
        "5.2.2.3: understood, no-store ignored",
        "",
        200,
        "Cache-Control: max-age=9, must-understand, no-store",
        "stored",
    ),
    ("5.2.2.5: no-store", "", 200, "Cache-Control: no-store", "no-store"),
    ("5.2.2.5: in any case", "", 200, "Cache-Control: No-StOrE", "no-store"),
    ("5.2.2.5: whatever else", "", 200, "Cache-Control: max-age=9, no-store|ETag: \"a\"", "no-store"),
    (
        "9213: no-store of the target",
        "",
        200,
        "CDN-Cache-Control: no-store|Cache-Control: max-age=9",
        "no-store",
    ),
    ("9213: no-store for others", "", 200, "CDN-Cache-Control: max-age=9|Cache-Control: no-store", "stored"),
    (
        "5.2.1.5: no-store of the request",
        "Cache-Control: no-store",
        200,
        "Cache-Control: max-age=9",
        "request-no-store",
    ),
    ("5.2.2.7: private", "", 200, "Cache-Control: private, max-age=9", "private"),
    ("5.2.2.7: qualified", "", 200, "Cache-Control: private=\"a\", max-age=9", "stored"),
    ("3.5: Authorization", "Authorization: x", 200, "Cache-Control: max-age=9", "authorization"),
    (
        "3.5: Expires is no leave",
        "Authorization: x",
        200,
        "Expires: Thu, 18 Aug 2050 02:01:18 GMT",
        "authorization",
    ),
    ("3.5: public", "Authorization: x", 200, "Cache-Control: max-age=9, public", "stored"),
    ("3.5: must-revalidate", "Authorization: x", 200, "Cache-Control: max-age=9, must-revalidate", "stored"),
    (
        "3.5: must-revalidate is no freshness",
        "Authorization: x",
        201,
        "Cache-Control: must-revalidate",
        "no-freshness",
    ),
    ("3.5: s-maxage", "Authorization: x", 200, "Cache-Control: s-maxage=9", "stored"),
    (
        "3.5: proxy-revalidate is no leave",
        "Authorization: x",
        200,
        "Cache-Control: max-age=9, proxy-revalidate",
        "authorization",
    ),
    (
        "ours: leave without a lifetime",
        "Authorization: x",
        200,
        "Cache-Control: public|ETag: \"a\"",
        "authorization",
    ),
    ("4.1: Vary: *", "", 200, "Cache-Control: max-age=9|Vary: foo, *", "vary-star"),
    ("ours: a cookie and no lifetime", "Cookie: a=b", 200, LM, "cookie"),
    ("ours: a cookie and only a validator", "Cookie: a=b", 200, "ETag: \"a\"", "cookie"),
    ("a cookie and a lifetime", "Cookie: a=b", 200, "Cache-Control: max-age=9", "stored"),
    (
        "ours: a cookie and no life in it",
        "Cookie: a=b",
        200,
        "Cache-Control: max-age=0|ETag: \"a\"",
        "cookie",
    ),
    (
        "ours: a cookie, to be asked about each time",
        "Cookie: a=b",
        200,
        "Cache-Control: max-age=9, no-cache|ETag: \"a\"",
        "cookie",
    ),
    (
        "ours: a cookie, s-maxage first",
        "Cookie: a=b",
        200,
        "Cache-Control: max-age=9, s-maxage=0|ETag: \"a\"",
        "cookie",
    ),
    (
        "ours: a cookie, expired from the start",
        "Cookie: a=b",
        200,
        "Expires: Mon, 26 Jul 1997 05:00:00 GMT|Date: Mon, 23 Nov 2026 08:00:00 GMT|ETag: \"a\"",
        "cookie",
    ),
    (
        "ours: credentials, to be asked about each time",
        "Authorization: x",
        200,
        "Cache-Control: max-age=0, must-revalidate|ETag: \"a\"",
        "authorization",
    ),
    (
        "without either it is kept to be asked about",
        "",
        200,
        "Cache-Control: max-age=0|ETag: \"a\"",
        "stored",
    ),
    ("4.2.1: a validator is enough", "", 200, "ETag: \"a\"|Cache-Control: max-age=0", "stored"),
    ("4.3: no-cache with a validator", "", 200, "ETag: \"a\"|Cache-Control: no-cache", "stored"),
    ("ours: no-cache without one is useless", "", 200, "Cache-Control: no-cache, max-age=9", "expired"),
    ("ours: nothing to go by", "", 200, "", "no-freshness"),
    ("ours: stale for good", "", 200, "Cache-Control: max-age=0", "expired"),
    ("ours: stale for good", "", 200, "Cache-Control: max-age=9|Age: 9", "expired"),
    ("ours: stale for good", "", 200, "Expires: 0", "expired"),
    (
        "ours: stale for good",
        "",
        200,
        "Expires: Thu, 18 Aug 2050 02:01:18 GMT|Date: Thu, 18 Aug 2050 02:01:18 GMT",
        "expired",
    ),
    ("ours: an RFC 850 year", "", 200, "Expires: Thursday, 18-Aug-50 02:01:18 GMT", "stored"),
    ("5861: stale but usable", "", 200, "Cache-Control: max-age=0, stale-if-error=9", "stored"),
    ("5861: stale but usable", "", 200, "Cache-Control: max-age=0, stale-while-revalidate=9", "stored"),
    ("4.2.4: stale and forbidden", "", 200, "Cache-Control: s-maxage=0, stale-if-error=9", "expired"),
    ("ours: Set-Cookie", "", 200, "Cache-Control: max-age=9|Set-Cookie: a=b", "set-cookie"),
    ("6265: Set-Cookie2 is history", "", 200, "Cache-Control: max-age=9|Set-Cookie2: a=b", "stored"),
    ("ours: Set-Cookie, public", "", 200, "Cache-Control: max-age=9, public|Set-Cookie: a=b", "stored"),
    ("ours: Set-Cookie, s-maxage", "", 200, "Cache-Control: s-maxage=9|Set-Cookie: a=b", "stored"),
    (
        "ours: Set-Cookie withheld",
        "",
        200,
        "Cache-Control: max-age=9, no-cache=\"Set-Cookie\"|Set-Cookie: a=b",
        "stored",
    ),
    (
        "ours: Set-Cookie withheld",
        "",
        200,
        "Cache-Control: max-age=9, private=set-cookie|Set-Cookie: a=b",
        "stored",
    ),
];

#[test]
fn answers_to_get() {
    for (rule, request, status, response, expected) in ROWS {
        let found = verdict(&Config::default(), "GET", request, *status, response);
        assert_eq!(found, *expected, "{rule}: {status} {response}");
    }
}

#[test]
fn other_methods() {
    for method in ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "QUERY", "get"] {
        let found = verdict(&Config::default(), method, "", 200, "Cache-Control: max-age=9");
        assert_eq!(found, "method", "3: {method}");
    }
}

#[test]
fn a_site_that_does_not_hear_clients() {
    let deaf = Config { client_directives: false, ..Config::default() };
    let answer = "Cache-Control: max-age=9";
    assert_eq!(verdict(&deaf, "GET", "Cache-Control: no-store", 200, answer), "stored");
}

#[test]
fn a_site_that_serves_stale_stores_what_is_stale() {
    let site = Config { stale_if_error: Duration::from_secs(9), ..Config::default() };
    assert_eq!(verdict(&site, "GET", "", 200, "Cache-Control: max-age=0"), "stored");
    assert_eq!(verdict(&site, "GET", "", 200, "Cache-Control: max-age=0, stale-if-error=0"), "expired");
}

#[test]
fn cookies_as_the_site_says() {
    let answer = "Cache-Control: max-age=9|Set-Cookie: a=b|A: 1";
    for (choice, expected, kept) in [
        (SetCookie::Refuse, "set-cookie", false),
        (SetCookie::Strip, "stored", false),
        (SetCookie::Keep, "stored", true),
    ] {
        let config = Config { set_cookie: choice, ..Config::default() };
        assert_eq!(verdict(&config, "GET", "", 200, answer), expected, "7.3: {choice:?}");
        let stored = stored_fields(&config, &fields(answer));
        assert_eq!(stored.contains_key(SET_COOKIE), kept, "{choice:?}");
        assert!(stored.contains_key("a"));
    }
}

const POST: &str = "http://a:80/b";

#[test]
fn answers_to_post() {
    for (rule, status, response, expected) in [
        (
            "9110 9.3.3: lifetime and Content-Location",
            200,
            "Cache-Control: max-age=9|Content-Location: /b",
            "stored",
        ),
        ("9110 9.3.3: absolute", 200, "Cache-Control: max-age=9|Content-Location: http://A/b", "stored"),
        ("9110 9.3.3: empty is itself", 200, "Cache-Control: max-age=9|Content-Location: ", "stored"),
        ("9110 9.3.3: another URL", 200, "Cache-Control: max-age=9|Content-Location: /c", "method"),
        ("9110 9.3.3: no Content-Location", 200, "Cache-Control: max-age=9", "method"),
        ("9110 9.3.3: no lifetime", 200, "ETag: \"a\"|Content-Location: /b", "method"),
        ("ours: only 200", 201, "Cache-Control: max-age=9|Content-Location: /b", "method"),
        ("3: and all else", 200, "Cache-Control: max-age=9, private|Content-Location: /b", "private"),
    ] {
        let (request, status) = (HeaderMap::new(), StatusCode::from_u16(status).unwrap());
        let found = may_store_post(&Config::default(), POST, &request, status, &fields(response));
        assert_eq!(found.map_or_else(NotStored::as_str, |()| "stored"), expected, "{rule}: {response}");
    }
}

#[test]
fn fields_that_are_kept() {
    for (rule, response, expected) in [
        ("3.1: all fields, unknown ones too", "A: 1|A: 2|Age: 3", "A: 1|A: 2|Age: 3"),
        ("3.1: not Connection and what it names", "Connection: a, B|A: 1|B: 2|C: 3", "C: 3"),
        (
            "9110 7.6.1: not what it should have named",
            "Keep-Alive: 1|TE: x|Upgrade: y|Trailer: z|C: 3",
            "C: 3",
        ),
        (
            "3.1: not what is for proxies",
            "Proxy-Authenticate: x|Proxy-Authentication-Info: y|Proxy-Authorization: z",
            "",
        ),
        ("9112 6.1: not the framing", "Transfer-Encoding: chunked|Content-Length: 3", "Content-Length: 3"),
        (
            "5.2.2.4: not what is withheld",
            "Cache-Control: no-cache=\"a, b\"|A: 1|B: 2|C: 3",
            "Cache-Control: no-cache=\"a, b\"|C: 3",
        ),
        (
            "5.2.2.7: not what is withheld",
            "Cache-Control: private=a|A: 1|C: 3",
            "Cache-Control: private=a|C: 3",
        ),
        ("9213: as the target says", "CDN-Cache-Control: private=a|A: 1", "CDN-Cache-Control: private=a"),
        ("ours: no cookies", "Set-Cookie: a=b|Set-Cookie: c=d|C: 3", "C: 3"),
    ] {
        assert_eq!(stored_fields(&Config::default(), &fields(response)), fields(expected), "{rule}");
    }
}
