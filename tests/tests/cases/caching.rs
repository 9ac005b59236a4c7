//! RFC 9111: what is stored, for how long, and what an answer from the cache looks like.

use larder_tests::{Ask, Reply};

use crate::stage::{Stage, date};

#[tokio::test]
async fn a_second_request_hits() {
    let s = Stage::new("a second request hits: same bytes, Age, Cache-Status, Via").await;
    let first = s.get("/a").await;
    assert_eq!((first.status, first.cache_status().fwd()), (200, Some("uri-miss")));
    assert_eq!(first.cache_status().name, "edge-1");
    let hit = s.warm("/a").await;
    assert_eq!(hit.body, first.body);
    assert!(hit.get("age").is_some_and(|age| age.parse::<u64>().is_ok_and(|age| age < 10)));
    assert!(hit.cache_status().get("ttl").is_some_and(|ttl| ttl.parse::<i64>().is_ok_and(|t| t > 3500)));
    assert!(hit.get("via").is_some_and(|via| via.contains("edge-1")), "{:?}", hit.get("via"));
    assert_eq!(hit.all("content-length").len(), 1);
    assert_eq!(s.origin.count("/a"), 1);
}

#[tokio::test]
async fn explicit_freshness_is_stored() {
    let s = Stage::new("every explicit lifetime of RFC 9111 4.2.1 makes a hit").await;
    s.origin.page("/max-age", &[("cache-control", "max-age=60")]);
    s.origin.page("/s-maxage", &[("cache-control", "max-age=0, s-maxage=60")]);
    s.origin.page("/upper", &[("Cache-Control", "Public, MAX-AGE=60")]);
    s.origin.page("/two-lines", &[("cache-control", "public"), ("cache-control", "max-age=60")]);
    s.origin.on("/expires", |asked| Reply::page(asked).with("expires", &date(60)).with("date", &date(0)));
    for target in ["/max-age", "/s-maxage", "/upper", "/two-lines", "/expires"] {
        assert_eq!(s.warm(target).await.version(target), 1);
    }
}

#[tokio::test]
async fn what_must_not_be_stored_is_not() {
    let s = Stage::new("no-store, private, Set-Cookie and the like go to the origin each time").await;
    let table: &'static [(&str, &[(&str, &str)])] = &[
        ("/no-store", &[("cache-control", "no-store, max-age=60")]),
        ("/private", &[("cache-control", "private, max-age=60")]),
        ("/cookie", &[("cache-control", "max-age=60"), ("set-cookie", "session=1")]),
        ("/vary-star", &[("cache-control", "max-age=60"), ("vary", "*")]),
        ("/nothing", &[]),
        ("/zero", &[("cache-control", "max-age=0")]),
        ("/expired", &[("expires", "0")]),
        ("/s-zero", &[("cache-control", "max-age=60, s-maxage=0")]),
        ("/two-lines", &[("cache-control", "max-age=60"), ("cache-control", "no-store")]),
    ];
    for (target, fields) in table {
        s.origin.page(target, fields);
        let second = s.never_stored(Ask::get(target)).await;
        assert_eq!(second.version(target), 1);
        assert!(!second.cache_status().stored(), "{target}: {:?}", second.get("cache-status"));
    }
}

#[tokio::test]
async fn the_reason_for_not_storing_is_told() {
    let s = Stage::new("Cache-Status says why something was not stored").await;
    s.origin.page("/no-store", &[("cache-control", "no-store")]);
    s.origin.page("/private", &[("cache-control", "private")]);
    s.origin.page("/cookie", &[("cache-control", "max-age=60"), ("set-cookie", "a=b")]);
    for (target, reason) in [("/no-store", "no-store"), ("/private", "private"), ("/cookie", "set-cookie")] {
        let answer = s.get(target).await;
        let status = answer.get("cache-status").unwrap_or_default().to_owned();
        assert!(
            answer.cache_status().get("detail").is_some_and(|d| d.contains(reason)),
            "{target}: {status}"
        );
    }
}

#[tokio::test]
async fn authorization_is_shared_only_when_the_origin_says_so() {
    let s =
        Stage::new("an answer to a request with Authorization is shared only when the origin says so").await;
    s.origin.page("/mine", &[("cache-control", "max-age=60")]);
    let ask = |target: &str| Ask::get(target).with("authorization", "Basic dTpw");
    s.never_stored(ask("/mine")).await;
    let table =
        [("/public", "public, max-age=60"), ("/s", "s-maxage=60"), ("/must", "must-revalidate, max-age=60")];
    for (target, value) in table {
        s.origin.on(target, move |asked| Reply::page(asked).cache(value));
        s.warm_by(ask(target)).await;
    }
    assert_eq!(s.origin.last("/public").get("authorization"), Some("Basic dTpw"));
}

#[tokio::test]
async fn heuristic_freshness_comes_from_last_modified() {
    let s = Stage::new("without a lifetime, a tenth of the time since Last-Modified counts").await;
    s.origin
        .on("/old", |asked| Reply::page(asked).with("last-modified", &date(-864_000)).with("date", &date(0)));
    s.warm("/old").await;
}

#[tokio::test]
async fn keys_are_apart() {
    let s = Stage::new("query, host, case of the path and port-less host decide the key").await;
    for target in ["/k", "/k?", "/k?a=1", "/k?a=2", "/K", "/k/"] {
        assert_eq!(s.warm(target).await.version(target), 1);
    }
    let other = s.ask(Ask::get("/k").host("other.example.com")).await;
    assert!(!other.hit());
    let upper = s.ask(Ask::get("/k").host("WWW.Example.COM")).await;
    assert!(upper.hit(), "hosts are case-insensitive");
    let with_port = s.ask(Ask::get("/k").host("www.example.com:80")).await;
    assert_eq!(with_port.version("/k"), 1);
}

#[tokio::test]
async fn head_is_answered_from_a_stored_get() {
    let s =
        Stage::new("HEAD is answered from a stored GET; a HEAD miss goes to the origin and stores no body")
            .await;
    let get = s.warm("/a").await;
    let head = s.ask(Ask::head("/a")).await;
    assert!(head.hit() && head.body.is_empty());
    assert_eq!(head.get("content-length"), get.get("content-length"));
    let miss = s.ask(Ask::head("/b")).await;
    assert_eq!((miss.status, miss.body.len()), (200, 0));
    assert_eq!(s.warm("/b").await.version("/b"), 1);
}

#[tokio::test]
async fn unsafe_methods_pass() {
    let s =
        Stage::new("POST, PUT, DELETE and an unknown method pass with their bodies, never from the cache")
            .await;
    s.origin.on("/form", |asked| {
        Reply::new(200, asked.body.clone()).cache("max-age=60").with("x-method", &asked.method)
    });
    for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"] {
        let answer = s.never_stored(Ask::new(method, "/form").body("hello")).await;
        assert_eq!((answer.text().as_str(), answer.get("x-method")), ("hello", Some(method)));
        assert_eq!(answer.cache_status().fwd(), Some("method"), "{:?}", answer.get("cache-status"));
    }
}

#[tokio::test]
async fn a_stale_answer_is_revalidated_and_freshened() {
    let s = Stage::new("a stale answer is revalidated: 304 freshens the stored head, 200 replaces it").await;
    s.origin.on("/a", |asked| match asked.get("if-none-match") {
        Some("\"v1\"") if asked.version == 1 => {
            Reply::new(304, "").cache("max-age=60").with("x-seen", "twice")
        }
        _ => Reply::validated(asked).stale("").with("x-seen", "once"),
    });
    assert_eq!(s.get("/a").await.version("/a"), 1);
    let revalidated = s.get("/a").await;
    assert_eq!(revalidated.version("/a"), 1);
    assert_eq!(revalidated.get("x-seen"), Some("twice"), "the 304's fields replace the stored ones");
    assert_eq!(revalidated.cache_status().fwd(), Some("stale"));
    assert_eq!(s.origin.last("/a").get("if-none-match"), Some("\"v1\""));
    assert_eq!(s.warm("/a").await.get("x-seen"), Some("twice"));
    assert_eq!(s.origin.count("/a"), 2);
}

#[tokio::test]
async fn a_changed_page_replaces_the_stale_one() {
    let s = Stage::new("a 200 on revalidation replaces the stored answer").await;
    s.origin.on("/a", |asked| Reply::validated(asked).stale(""));
    assert_eq!(s.get("/a").await.version("/a"), 1);
    s.origin.bump("/a");
    assert_eq!(s.get("/a").await.version("/a"), 2);
    assert_eq!(s.get("/a").await.version("/a"), 2);
    assert_eq!(s.origin.count("/a"), 3);
}

#[tokio::test]
async fn last_modified_alone_revalidates() {
    let s = Stage::new("without an ETag, If-Modified-Since revalidates").await;
    let modified = date(-1000);
    let fields = modified.clone();
    s.origin.on("/a", move |asked| {
        let same = asked.get("if-modified-since") == Some(&fields);
        let reply = if same { Reply::new(304, "") } else { Reply::page(asked) };
        reply.stale("").with("last-modified", &fields)
    });
    s.get("/a").await;
    assert_eq!(s.get("/a").await.version("/a"), 1);
    assert_eq!(s.origin.last("/a").get("if-modified-since"), Some(modified.as_str()));
}

#[tokio::test]
async fn client_directives_count() {
    let s = Stage::new("no-cache, max-age=0, no-store and only-if-cached of a client count").await;
    s.origin.on("/a", |asked| Reply::validated(asked).cache("max-age=3600"));
    s.warm("/a").await;
    for (name, value) in
        [("cache-control", "no-cache"), ("cache-control", "max-age=0"), ("pragma", "no-cache")]
    {
        let before = s.origin.count("/a");
        let answer = s.ask(Ask::get("/a").with(name, value)).await;
        assert_eq!(answer.version("/a"), 1);
        assert_eq!(s.origin.count("/a"), before + 1, "{name}: {value}");
    }
    let only = s.ask(Ask::get("/cold").with("cache-control", "only-if-cached")).await;
    assert_eq!((only.status, s.origin.count("/cold")), (504, 0));
    assert!(s.ask(Ask::get("/a").with("cache-control", "only-if-cached")).await.hit());
    s.never_stored(Ask::get("/b").with("cache-control", "no-store")).await;
}

#[tokio::test]
async fn no_cache_is_stored_but_always_revalidated() {
    let s = Stage::new("no-cache is stored and revalidated on each use").await;
    s.origin.on("/a", |asked| Reply::validated(asked).cache("no-cache"));
    s.get("/a").await;
    for round in 2..5 {
        assert_eq!(s.get("/a").await.version("/a"), 1);
        assert_eq!(s.origin.count("/a"), round);
        assert_eq!(s.origin.last("/a").get("if-none-match"), Some("\"v1\""));
    }
}

#[tokio::test]
async fn age_adds_up() {
    let s = Stage::new("Age of the origin is added to our own").await;
    s.origin.page("/a", &[("cache-control", "max-age=3600"), ("age", "1000")]);
    let hit = s.warm("/a").await;
    let age: u64 = hit.get("age").unwrap().parse().unwrap();
    assert!((1000..1010).contains(&age), "{age}");
    assert_eq!(hit.all("age").len(), 1);
}

#[tokio::test]
async fn other_statuses_are_stored_with_a_lifetime() {
    let s =
        Stage::new("redirects, 404 and 410 with a lifetime are stored; 5xx and 206 are not made into pages")
            .await;
    for status in [203, 301, 302, 307, 404, 405, 410, 414, 501] {
        let target = format!("/{status}");
        s.origin.on(&target, move |asked| Reply::page(asked).cache("max-age=60").status(status));
        assert_eq!(s.warm(&target).await.status, status);
    }
    s.origin.on("/500", |asked| Reply::page(asked).status(500));
    assert_eq!(s.never_stored(Ask::get("/500")).await.status, 500);
}

#[tokio::test]
async fn a_no_content_answer_is_stored() {
    let s = Stage::new("204 is stored and has neither body nor Content-Length").await;
    s.origin.on("/204", |_| Reply::new(204, "").cache("max-age=60"));
    let hit = s.warm("/204").await;
    assert_eq!((hit.status, hit.get("content-length"), hit.get("transfer-encoding")), (204, None, None));
}

#[tokio::test]
async fn an_empty_and_a_chunked_body_are_stored() {
    let s = Stage::new(
        "an empty body and a chunked one are stored; one that only its connection's end ends is not",
    )
    .await;
    s.origin.on("/empty", |_| Reply::new(200, "").cache("max-age=60"));
    s.origin.on("/chunked", |asked| Reply::page(asked).cache("max-age=60").chunked());
    s.origin.on("/close", |asked| Reply::page(asked).cache("max-age=60").until_close());
    assert_eq!(s.warm("/empty").await.get("content-length"), Some("0"));
    let hit = s.warm("/chunked").await;
    assert_eq!(hit.version("/chunked"), 1);
    assert_eq!(hit.get("content-length"), Some(hit.body.len().to_string().as_str()));
    // Nothing tells such a body from a cut one (RFC 9112 6.3, 8).
    assert_eq!(s.never_stored(Ask::get("/close")).await.version("/close"), 1);
}

#[tokio::test]
async fn a_head_tells_about_the_stored_get() {
    let s = Stage::new("a HEAD that goes to the origin freshens the stored GET, or makes it stale").await;
    for (target, length) in [("/same", 1000), ("/other", 999)] {
        s.origin.on(target, move |asked| match asked.method.as_str() {
            "HEAD" => Reply::new(200, "x".repeat(length)).cache("max-age=3600"),
            _ => Reply::new(200, "x".repeat(1000)).stale("stale-if-error=60").with("x-kept", "yes"),
        });
        assert_eq!(s.get(target).await.status, 200);
        assert_eq!(s.ask(Ask::head(target)).await.status, 200);
        assert_eq!(s.origin.last(target).method, "HEAD", "nothing to ask about: no GET for a HEAD");
    }
    let hit = s.get("/same").await;
    assert!(hit.hit(), "freshened: {:?}", hit.get("cache-status"));
    assert_eq!((hit.get("x-kept"), hit.body.len()), (Some("yes"), 1000));
    assert!(!s.get("/other").await.hit());
}

#[tokio::test]
async fn a_head_that_disagrees_makes_a_fresh_get_stale() {
    let s = Stage::new("a HEAD with another length makes what is fresh stale").await;
    s.origin.on("/a", |asked| match asked.method.as_str() {
        "HEAD" => Reply::new(200, "another"),
        _ => Reply::page(asked).cache("max-age=3600"),
    });
    s.warm("/a").await;
    s.ask(Ask::head("/a").with("cache-control", "no-cache")).await;
    assert_eq!(s.get("/a").await.cache_status().fwd(), Some("stale"));
}

#[tokio::test]
async fn set_cookie_as_the_site_says() {
    for (choice, kept) in [("strip", None), ("keep", Some("a=b"))] {
        let s = Stage::with("Set-Cookie is stripped from hits or kept, as the site says", |recipe| {
            recipe.in_site(&format!("[site.cache]\nset_cookie = \"{choice}\""))
        })
        .await;
        s.origin.page("/a", &[("cache-control", "max-age=60"), ("set-cookie", "a=b")]);
        assert_eq!(s.get("/a").await.all("set-cookie"), ["a=b"], "whose request fetched it gets it");
        assert_eq!(s.warm("/a").await.get("set-cookie"), kept, "{choice}");
    }
}
