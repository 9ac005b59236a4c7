//! What the origin and the client see of the node between them.

use larder_tests::{Ask, Reply};

use crate::stage::Stage;

#[tokio::test]
async fn the_origin_sees_who_asked() {
    let s = Stage::new("Host, Via, CDN-Loop, Forwarded and X-Forwarded-* tell the origin who asked").await;
    s.get("/a").await;
    let asked = s.origin.last("/a");
    assert_eq!(asked.get("host"), Some("www.example.com"));
    assert!(asked.get("via").is_some_and(|via| via.contains("edge-1")), "{:?}", asked.fields);
    assert!(asked.get("cdn-loop").is_some_and(|own| own.contains("edge-1")), "{:?}", asked.fields);
    assert!(asked.get("forwarded").is_some_and(|f| f.contains("127.0.0.1")), "{:?}", asked.fields);
    assert_eq!(asked.get("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(asked.get("x-forwarded-proto"), Some("http"));
    assert_eq!(asked.get("x-forwarded-host"), Some("www.example.com"));
    assert_eq!(asked.all("host").len(), 1);
}

#[tokio::test]
async fn every_spelling_of_a_host_is_sent_as_one() {
    let s = Stage::new("spellings of Host that share a key are sent alike, also past the cache").await;
    s.origin.on("/*", |asked| {
        let told = ["host", "x-forwarded-host", "forwarded"].map(|name| asked.get(name).unwrap_or("none"));
        let reply = Reply::new(200, told.join(" "));
        reply.cache(if asked.target.starts_with("/pass") { "no-store" } else { "max-age=60" })
    });
    let spellings = ["WWW.Example.COM", "www.example.com.", "www.example.com:80", "Www.example.com.:0080"];
    for path in ["/flight", "/pass"] {
        for (number, spelling) in spellings.into_iter().enumerate() {
            let target = format!("{path}/{number}");
            let told = s.ask(Ask::get(&target).host(spelling)).await.text();
            let wanted =
                "www.example.com www.example.com for=127.0.0.1;host=www.example.com;proto=http".to_owned();
            assert_eq!(told, wanted, "{path} {spelling}");
        }
    }
    let posted = s.ask(Ask::new("POST", "/pass").host("WWW.example.com.:80").body("x")).await.text();
    assert!(posted.starts_with("www.example.com www.example.com for="), "{posted}");
    let elsewhere = s.ask(Ask::get("/flight/port").host("WWW.example.com:8080")).await.text();
    assert!(elsewhere.starts_with("www.example.com:8080 www.example.com:8080 for="), "{elsewhere}");
    assert!(elsewhere.contains("host=\"www.example.com:8080\""), "{elsewhere}");
}

#[tokio::test]
async fn hop_by_hop_fields_stay_on_their_hop() {
    let s = Stage::new("hop-by-hop fields, also those that Connection names, stay on their hop").await;
    s.origin.on("/a", |asked| {
        Reply::page(asked)
            .cache("max-age=60")
            .with("connection", "x-hop")
            .with("x-hop", "1")
            .with("keep-alive", "timeout=5")
            .with("proxy-authenticate", "Basic")
            .with("x-end", "2")
    });
    let ask = Ask::get("/a")
        .with("connection", "x-secret")
        .with("x-secret", "1")
        .with("keep-alive", "1")
        .with("te", "trailers")
        .with("proxy-authorization", "Basic eA==")
        .with("proxy-connection", "keep-alive")
        .with("x-kept", "2");
    let answer = s.ask(ask).await;
    let asked = s.origin.last("/a");
    for name in ["x-secret", "keep-alive", "proxy-authorization", "proxy-connection", "te"] {
        assert_eq!(asked.get(name), None, "{name}");
    }
    assert_eq!(asked.get("x-kept"), Some("2"));
    for answer in [answer, s.warm("/a").await] {
        for name in ["x-hop", "keep-alive"] {
            assert_eq!(answer.get(name), None, "{name}");
        }
        assert_eq!(answer.get("x-end"), Some("2"));
    }
}

#[tokio::test]
async fn what_connection_names_selects_no_variant() {
    let s = Stage::new("a field that any line of Connection names selects no variant").await;
    s.origin.on("/*", |asked| {
        let language = asked.get("accept-language").unwrap_or("none");
        Reply::new(200, language.to_owned()).cache("max-age=60").with("vary", "Accept-Language")
    });
    for (number, lines) in [
        &["keep-alive", "accept-language"][..],
        &["Keep-Alive, Accept-Language"],
        &["close", "", "accept-language"],
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/{number}");
        let hidden = Ask::get(&target).with("accept-language", "fr");
        let hidden = lines.iter().fold(hidden, |ask, line| ask.with("connection", line));
        assert_eq!(s.ask(hidden).await.text(), "none", "{lines:?}");
        let french = s.warm_by(Ask::get(&target).with("accept-language", "fr")).await;
        assert_eq!(french.text(), "fr", "{lines:?}");
    }
}

#[tokio::test]
async fn a_loop_ends_after_one_turn() {
    let s = Stage::new("a request that passed this node before is 508").await;
    let answer = s.ask(Ask::get("/a").with("cdn-loop", "other, edge-1")).await;
    assert_eq!((answer.status, s.origin.total()), (508, 0));
    assert_eq!(s.ask(Ask::get("/a").with("cdn-loop", "other")).await.version("/a"), 1);
    let own = s.origin.last("/a").all("cdn-loop").join(", ");
    assert!(own.contains("other") && own.contains("edge-1"), "{own}");
}

#[tokio::test]
async fn interim_answers_do_no_harm() {
    let s = Stage::new("103 and 100 of the origin before the answer do no harm").await;
    s.origin.on("/a", |asked| {
        let interim = "HTTP/1.1 103 Early Hints\r\nlink: </s.css>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
        Reply::page(asked).cache("max-age=60").interim(interim)
    });
    assert_eq!(s.warm("/a").await.version("/a"), 1);
}

#[tokio::test]
async fn fields_and_paths_arrive_as_they_were_sent() {
    let s = Stage::new("odd but legal paths and repeated fields arrive unchanged").await;
    for target in ["/a%2Fb", "/a//b", "/~joe", "/a;p=1", "/a?b=c&b=d", "/a?%20+", "/a?/../x", "/*"] {
        assert_eq!(s.get(target).await.status, 200);
        assert!(s.origin.count(target) == 1, "{target}: {:?}", s.origin.seen().last());
    }
    s.ask(Ask::get("/m").with("x-a", "1").with("x-a", "2")).await;
    assert_eq!(s.origin.last("/m").all("x-a").join(","), "1,2");
    s.origin.on("/cookies", |asked| Reply::page(asked).with("set-cookie", "a=1").with("set-cookie", "b=2"));
    assert_eq!(s.get("/cookies").await.all("set-cookie"), ["a=1", "b=2"]);
}

#[tokio::test]
async fn forms_called_equal_are_sent_equal() {
    let s =
        Stage::new("two forms of a URL either are sent as they came or share one form and one entry").await;
    for (one, other) in
        [("/%7Ejoe", "/~joe"), ("/a/../b", "/b"), ("/%61", "/a"), ("/%2f", "/%2F"), ("/c/.", "/c/")]
    {
        s.warm(one).await;
        let first = s.origin.seen().pop().unwrap().target;
        let answer = s.get(other).await;
        let second = s.origin.seen().pop().unwrap().target;
        assert!(answer.hit() == (first == second), "{one} was sent as {first}, {other} as {second}");
        assert_eq!(answer.version(if answer.hit() { &first } else { other }), 1);
    }
}

#[tokio::test]
async fn cache_status_of_an_upstream_cache_is_kept() {
    let s = Stage::new("an upstream cache's Cache-Status stays, ours comes last").await;
    s.origin.page("/a", &[("cache-control", "max-age=60"), ("cache-status", "upstream; hit")]);
    let answer = s.get("/a").await;
    assert!(answer.all("cache-status").join(", ").starts_with("upstream"), "{:?}", answer.fields);
    assert_eq!(answer.cache_status().name, "edge-1");
}

#[tokio::test]
async fn the_origin_is_told_which_surrogate_asks() {
    let s = Stage::new("Surrogate-Capability is the node's own, and Surrogate-Control for it counts").await;
    s.origin.on("/a", |asked| {
        Reply::page(asked).cache("no-store").with("surrogate-control", "max-age=60;larder, no-store;other")
    });
    s.warm_by(Ask::get("/a").with("surrogate-capability", "evil=\"Surrogate/1.0\"")).await;
    let said = s.origin.last("/a");
    assert_eq!(said.get("surrogate-capability"), Some("larder=\"Surrogate/1.0\""));
}
