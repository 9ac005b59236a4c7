//! Tables over the heads that cross the node.

use super::*;
use crate::policy::upstream::REWRITTEN;

fn map(fields: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a field name");
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a field value"));
    }
    headers
}

fn lines(headers: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    lines.sort();
    lines
}

const FACTS: Facts<'static> = Facts {
    node_name: "edge-1",
    client_ip: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
    version: http::Version::HTTP_11,
    tls: false,
    host: "www.example.com:8080",
    host_override: None,
};

fn upstream(client: &[(&str, &str)]) -> HeaderMap {
    request_head(Method::GET, "/a?b", &map(client), &FACTS).expect("a good head").headers
}

/// The fields of the client that arrive, without those that are always there.
fn passed(client: &[(&str, &str)]) -> Vec<String> {
    let mut headers = upstream(client);
    for name in WRITTEN {
        headers.remove(name);
    }
    lines(&headers)
}

#[test]
fn the_lists_are_sorted_for_the_search() {
    assert!(REQUEST_HOP_BY_HOP.is_sorted() && RESPONSE_HOP_BY_HOP.is_sorted());
    assert!(STRIPPED.is_sorted() && WRITTEN.is_sorted() && REWRITTEN.is_sorted());
}

#[test]
fn what_is_written_here_selects_no_variant() {
    let others = WRITTEN.iter().filter(|name| !REWRITTEN.contains(name)).copied();
    assert_eq!(others.collect::<Vec<_>>(), ["content-length", "host"], "framing, and what the URL says");
    assert!(REWRITTEN.iter().all(|name| WRITTEN.contains(name)));
}

#[test]
fn an_origin_is_told_who_asks_for_what_by_whom() {
    let head = request_head(Method::PUT, "//a/../b?c=d&", &HeaderMap::new(), &FACTS).expect("a good head");
    assert_eq!((head.method, head.uri.to_string().as_str()), (Method::PUT, "//a/../b?c=d&"));
    assert_eq!(
        lines(&head.headers),
        [
            "cdn-loop: edge-1",
            "forwarded: for=192.0.2.7;host=\"www.example.com:8080\";proto=http",
            "host: www.example.com:8080",
            "via: 1.1 edge-1",
            "x-forwarded-for: 192.0.2.7",
            "x-forwarded-host: www.example.com:8080",
            "x-forwarded-proto: http",
        ]
    );
}

#[test]
fn another_host_upstream_leaves_the_one_the_client_asked_for_in_the_forwarded_fields() {
    let facts = Facts {
        client_ip: "2001:db8::1".parse().expect("an address"),
        version: http::Version::HTTP_2,
        tls: true,
        host: "www.example.com",
        host_override: Some("backend.internal"),
        ..FACTS
    };
    let head = request_head(Method::GET, "/", &map(&[("host", "evil")]), &facts).expect("a good head");
    assert_eq!(
        lines(&head.headers),
        [
            "cdn-loop: edge-1",
            "forwarded: for=\"[2001:db8::1]\";host=www.example.com;proto=https",
            "host: backend.internal",
            "via: 2.0 edge-1",
            "x-forwarded-for: 2001:db8::1",
            "x-forwarded-host: www.example.com",
            "x-forwarded-proto: https",
        ]
    );
}

#[test]
fn an_ipv4_client_of_an_ipv6_socket_is_an_ipv4_client() {
    let facts = Facts { client_ip: "::ffff:192.0.2.7".parse().expect("an address"), ..FACTS };
    let head = request_head(Method::GET, "/", &HeaderMap::new(), &facts).expect("a good head");
    assert_eq!(head.headers, upstream(&[]));
}

#[test]
fn what_cannot_be_a_head_is_an_error() {
    for (target, host) in [("a b", "ok"), ("http://x/", "ok"), ("/ü\u{7f}", "ok"), ("/", "a\r\nb: c")] {
        let facts = Facts { host, ..FACTS };
        assert!(request_head(Method::GET, target, &HeaderMap::new(), &facts).is_err(), "{target:?} {host:?}");
    }
}

#[test]
fn end_to_end_fields_pass_in_their_order_and_number() {
    let client = [
        ("accept", "a"),
        ("cookie", "c=1"),
        ("authorization", "Basic x"),
        ("if-none-match", "\"e\""),
        ("range", "bytes=0-1"),
        ("x-own", "1"),
        ("x-own", "2"),
        ("x-own", "\u{e4}"),
    ];
    let headers = upstream(&client);
    let own: Vec<_> = headers.get_all("x-own").iter().map(HeaderValue::as_bytes).collect();
    assert_eq!(own, [b"1".as_slice(), b"2", "\u{e4}".as_bytes()]);
    assert_eq!(passed(&client).len(), client.len());
}

#[test]
fn hop_by_hop_and_unkeyed_fields_stay_here() {
    let rows: &[&[(&str, &str)]] = &[
        &[("Connection", "close, X-Secret, keep-alive"), ("X-SECRET", "1"), ("Keep-Alive", "5")],
        &[("connection", "x-a"), ("connection", " ,X-B ,"), ("x-a", "1"), ("x-b", "2")],
        &[("te", "trailers"), ("trailer", "x"), ("transfer-encoding", "chunked"), ("content-length", "3")],
        &[("upgrade", "h2c"), ("http2-settings", "AAA"), ("connection", "upgrade, http2-settings")],
        &[("expect", "100-continue"), ("proxy", "http://evil"), ("proxy-connection", "close")],
        &[("proxy-authorization", "Basic x"), ("proxy-authenticate", "Basic")],
        &[("forwarded", "for=evil"), ("X-Original-URL", "/admin"), ("x-rewrite-url", "/admin")],
        &[("x-http-method-override", "DELETE"), ("x-http-method", "PUT"), ("x-method-override", "PUT")],
        &[("x-forwarded-server", "e"), ("x-forwarded-port", "1"), ("x-forwarded-scheme", "nothttps")],
        &[("x-forwarded-prefix", "/x"), ("x-forwarded-host", "evil"), ("x-forwarded-proto", "ftp")],
        &[
            ("x_original_url", "/admin"),
            ("X_Forwarded_For", "evil"),
            ("content_length", "5"),
            ("x_host", "e"),
        ],
    ];
    for client in rows {
        assert_eq!(passed(client), Vec::<String>::new(), "{client:?}");
        let headers = upstream(client);
        assert_eq!(headers.len(), WRITTEN.len() - 1, "nothing but our own: {headers:?}");
        assert_eq!(headers["x-forwarded-host"], FACTS.host);
    }
}

#[test]
fn connection_cannot_take_away_what_is_for_everybody() {
    let client =
        [("connection", "cookie, authorization, cache-control, host, via, cdn-loop, x-forwarded-for")];
    let kept = [("cookie", "c"), ("authorization", "a"), ("cache-control", "no-store")];
    assert_eq!(passed(&[&client[..], &kept].concat()).len(), kept.len());
    let looping = [&client[..], &[("via", "1.0 a"), ("cdn-loop", "edge-0"), ("x-forwarded-for", "10.0.0.1")]];
    let headers = upstream(&looping.concat());
    assert_eq!(headers["via"], "1.0 a, 1.1 edge-1");
    assert_eq!(headers["cdn-loop"], "edge-0, edge-1");
    assert_eq!(headers["x-forwarded-for"], "10.0.0.1, 192.0.2.7");
}

#[test]
fn claims_about_the_client_are_passed_only_if_they_are_addresses() {
    let rows: &[(&[&str], &str)] = &[
        (&[], ""),
        (&[""], ""),
        (&["10.0.0.1"], "10.0.0.1, "),
        (&["10.0.0.1, 2001:db8::1", "unknown"], "10.0.0.1, 2001:db8::1, unknown, "),
        (&["[2001:db8::1]:80,10.0.0.1:443, [::1]"], "[2001:db8::1]:80, 10.0.0.1:443, [::1], "),
        (&["10.0.0.1, <script>"], ""),
        (&["10.0.0.1,,10.0.0.2"], ""),
        (&["10.0.0.1\u{e4}"], ""),
        (&["localhost"], ""),
    ];
    for (claimed, expected) in rows {
        let client: Vec<_> = claimed.iter().map(|value| ("x-forwarded-for", *value)).collect();
        assert_eq!(upstream(&client)["x-forwarded-for"], format!("{expected}192.0.2.7"), "{claimed:?}");
    }
    let many = vec!["10.0.0.1"; limits::FORWARDED_FOR_MAX + 1].join(",");
    assert_eq!(upstream(&[("x-forwarded-for", &many)])["x-forwarded-for"], "192.0.2.7");
}

#[test]
fn loops_are_seen_in_every_spelling() {
    let rows: &[(&[&str], bool)] = &[
        (&[], false),
        (&["edge-1"], true),
        (&["EDGE-1"], true),
        (&["edge-10"], false),
        (&["edge-0, edge-1;a=b , edge-2"], true),
        (&["edge-0", "x,edge-1"], true),
        (&["cdn.example:8080; n=\"a, edge-1\""], false),
        (&["cdn.example; n=\"a\\\", edge-1\", y"], false),
        (&["x;n=\"a\\\\\", edge-1"], true),
        (&["edge-2;by=edge-1"], false),
        (&["\u{e4},edge-1"], true),
    ];
    for (values, expected) in rows {
        let client: Vec<_> = values.iter().map(|value| ("cdn-loop", *value)).collect();
        assert_eq!(looped(&map(&client), "edge-1"), *expected, "{values:?}");
    }
    let once = upstream(&[("cdn-loop", "edge-0;a=b")]);
    assert!(looped(&once, "edge-1") && looped(&once, "edge-0") && !looped(&once, "edge-2"));
}

#[test]
fn a_cleaned_request_is_what_the_origin_will_see() {
    let client = [
        ("connection", "accept-language, cookie, cdn-loop"),
        ("accept-language", "fr"),
        ("cookie", "c"),
        ("cdn-loop", "edge-1"),
        ("x-rewrite-url", "/admin"),
        ("x_rewrite_url", "/admin"),
        ("te", "trailers"),
        ("x-forwarded-for", "10.0.0.1"),
        ("host", "www.example.com"),
    ];
    let mut headers = map(&client);
    clean_request(&mut headers);
    assert_eq!(
        lines(&headers),
        ["cdn-loop: edge-1", "cookie: c", "host: www.example.com", "x-forwarded-for: 10.0.0.1"]
    );
}

#[test]
fn any_line_of_connection_may_name_fields() {
    for (lines, wanted) in [
        (&[][..], false),
        (&["keep-alive"], false),
        (&["Keep-Alive, close", "CLOSE", ""], false),
        (&["keep-alive, foo"], true),
        (&["foo"], true),
        (&["keep-alive", "foo"], true),
        (&["close", "Keep-Alive", ",foo"], true),
        (&["keep-alive;foo"], true),
    ] {
        let fields: Vec<_> = lines.iter().map(|line| ("connection", *line)).collect();
        assert_eq!(names_fields(&map(&fields)), wanted, "{lines:?}");
    }
}

#[test]
fn an_answer_loses_what_was_between_the_origin_and_us() {
    let mut headers = map(&[
        ("Connection", "X-Hop, Cache-Control, set-cookie, close"),
        ("x-hop", "1"),
        ("x-hop", "2"),
        ("cache-control", "no-store"),
        ("set-cookie", "a=b"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("proxy-authentication-info", "x"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("trailer", "x"),
        ("upgrade", "h2"),
        ("via", "1.1 backend"),
        ("etag", "\"e\""),
    ]);
    clean_response(&mut headers);
    assert_eq!(
        lines(&headers),
        ["cache-control: no-store", "etag: \"e\"", "set-cookie: a=b", "via: 1.1 backend"]
    );
}
