use super::super::fields;
use super::super::vary::VaryNames;
use super::*;

fn key(keying: &Keying, lines: &str) -> Option<String> {
    of(keying, &fields(lines)).map(|strays| strays.key)
}

#[test]
fn what_is_a_stray() {
    let none = Keying::default();
    let declared = Keying {
        names: VaryNames::from_text("x-tenant,cookie"),
        harmless: vec![pattern::Pattern::new("x-app-*")],
        ..Keying::default()
    };
    for (keying, lines, wanted) in [
        (&none, "", None),
        (&none, "Host: a|Accept: */*|User-Agent: curl/8|Accept-Language: de|Sec-Fetch-Mode: cors", None),
        (&none, "Connection: close|TE: trailers|Proxy-Authorization: x|Expect: 100-continue", None),
        (&none, "X-Forwarded-Host: evil|X-Original-URL: /evil|X-Real-IP: 1.2.3.4|Via: 1.1 evil", None),
        (&none, "traceparent: 00-1-2-01|X-Request-Id: 7|X-B3-TraceId: 1", None),
        (&none, "Range: bytes=0-1|If-None-Match: \"1\"|Authorization: Basic eA==", None),
        (&none, "Content-Type: a/b|Content-Encoding: x|Content-Language: de", None),
        (&none, "X-Tenant: one", Some("+x-tenant=one")),
        (&none, "X-B: 2|X-A: 1|X-A: 3", Some("+x-a=1&x-a=3&x-b=2")),
        (&none, "Accept: canary", Some("+accept=canary")),
        (&none, "Cookie: a=b", Some("+cookie=a%3Db")),
        (&none, "Origin: https://a.example", Some("+origin=https://a.example")),
        (&none, "CDN-Loop: cloudflare; loops=1, Fastly", None),
        (&none, "CDN-Loop: cloudflare, canary", Some("+cdn-loop=cloudflare%2C canary")),
        (&declared, "X-Tenant: one|Cookie: a=b|X-App-Version: 7", None),
        (&declared, "X-Apps: 1", Some("+x-apps=1")),
    ] {
        assert_eq!(key(keying, lines).as_deref(), wanted, "{lines}");
    }
    let long = format!("X-A: {}", "a".repeat(STRAY_KEY_BYTES_MAX));
    assert_eq!(of(&none, &fields(&long)).unwrap().key(), None);
    assert_eq!(of(&none, &fields("Cookie: a=b")).unwrap().flight(), None, "waits with everybody");
    assert_eq!(of(&none, &fields("X-A: b|Cookie: a=b")).unwrap().flight(), Some("+cookie=a%3Db&x-a=b"));
}

#[test]
fn where_an_answer_to_strays_lies() {
    for (request, status, response, varies, wanted) in [
        ("Accept: */*", 200, "", false, "everyone's"),
        ("X-A: 1", 200, "Cache-Control: max-age=9", false, "+x-a=1"),
        ("X-A: 1", 200, "Cache-Control: public, max-age=9", false, "+x-a=1"),
        ("X-A: 1", 200, "Vary: Accept", true, "unkeyed-field"),
        ("X-A: 1", 200, "Vary: X-Own", true, "everyone's"),
        ("X-A: 1", 200, "Vary: Accept-Encoding", false, "+x-a=1"),
        ("X-A: 1", 404, "", false, "odd-request"),
        ("X-A: 1", 503, "Cache-Control: max-age=9", false, "odd-request"),
        ("Accept: canary", 406, "Cache-Control: max-age=9", false, "odd-request"),
        ("Accept: */*", 404, "", false, "everyone's"),
        ("Cookie: a=1", 200, "Cache-Control: max-age=9", false, "+cookie=a%3D1"),
        ("Cookie: a=1", 200, "Cache-Control: max-age=9, public", false, "everyone's"),
        ("Cookie: a=1", 200, "Cache-Control: s-maxage=9", false, "everyone's"),
        ("Cookie: a=1", 200, "CDN-Cache-Control: max-age=9", false, "everyone's"),
        ("Cookie: a=1", 200, "Cache-Control: max-age=9|Vary: Cookie", true, "everyone's"),
        ("Cookie: a=1", 200, "Cache-Control: max-age=9|Vary: Accept", true, "unkeyed-field"),
        ("Origin: https://b", 200, "", false, "+origin=https://b"),
        ("Origin: https://b", 200, "Access-Control-Allow-Origin: *", false, "everyone's"),
        ("Origin: https://b", 200, "Access-Control-Allow-Origin: https://b", false, "+origin=https://b"),
        ("Origin: https://b", 200, "Access-Control-Allow-Origin: https://b|Vary: Origin", true, "everyone's"),
    ] {
        let (config, status) = (Config::default(), StatusCode::from_u16(status).unwrap());
        let found = match place(&config, &fields(request), status, &fields(response), varies) {
            Ok(None) => "everyone's".to_owned(),
            Ok(Some(key)) => key,
            Err(why) => why.as_str().to_owned(),
        };
        assert_eq!(found, wanted, "{request} | {status} {response}");
    }
}

#[test]
fn what_a_fetch_for_many_carries() {
    let keying = Keying { harmless: vec![pattern::Pattern::new("x-trace-id")], ..Keying::default() };
    let asked = "Accept: a/b|Via: evil|traceparent: 1|X-Request-Id: 2|X-Trace-Id: 3|X-A: 4|Cookie: c=5|\
                 Cache-Control: canary, max-age=0|Pragma: canary";
    let sent = |renews: Option<(&str, &str)>| {
        let stored = renews.map(|(variant, lines)| (variant, fields(lines)));
        let sent =
            shared(&keying, &fields(asked), stored.as_ref().map(|(variant, stored)| (*variant, stored)));
        let mut names: Vec<_> =
            sent.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        names.sort();
        names.join("|")
    };
    assert_eq!(sent(None), "accept: a/b|cache-control: max-age=0|cookie: c=5|x-a: 4|x-trace-id: 3");
    assert_eq!(sent(Some(("", "ETag: \"1\""))), "accept: a/b|cache-control: max-age=0|x-trace-id: 3");
    assert_eq!(
        sent(Some(("cookie=c", "Vary: Cookie"))),
        "accept: a/b|cache-control: max-age=0|cookie: c=5|x-trace-id: 3",
        "what selects the stored answer is part of the question"
    );
    assert_eq!(sent(Some(("+x-a=4", ""))), sent(None), "the answer was made to them");
}
