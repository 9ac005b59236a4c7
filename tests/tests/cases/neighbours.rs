//! What one client asks harms nobody who asks the same.

use larder_tests::{Ask, Client, Gate, Reply, spawn, until};

use crate::stage::Stage;

/// One client's request first, then `count` plain ones for the same cold URL while its fetch is held.
async fn behind(s: &Stage, first: Ask, target: &'static str, count: usize, gate: &Gate) -> usize {
    let address = s.node.http();
    let leader = spawn(async move { Client::connect(address).await.ask(first).await });
    gate.reached(1).await;
    let one = |_| spawn(async move { Client::connect(address).await.ask(Ask::get(target)).await });
    let others: Vec<_> = (0..count).map(one).collect();
    until("all clients to be accepted", || s.node.descriptors() > count).await;
    gate.open();
    assert_eq!(leader.await.expect("the first client's answer").version(target), 1);
    for other in others {
        assert_eq!(other.await.expect("another client's answer").version(target), 1);
    }
    s.origin.count(target)
}

#[tokio::test]
async fn a_client_that_stores_nothing_does_not_scatter_the_others() {
    let s =
        Stage::new("a first request with no-store or Authorization: the others still share one fetch").await;
    for (target, name, value) in
        [("/no-store", "cache-control", "no-store"), ("/login", "authorization", "Basic dTpw")]
    {
        let gate = Gate::shut();
        let held = gate.clone();
        s.origin.on(target, move |asked| Reply::page(asked).cache("max-age=60").held_by(&held));
        let asked = behind(&s, Ask::get(target).with(name, value), target, 30, &gate).await;
        assert_eq!(asked, 2, "{target}: one for the first alone, one for all others");
        assert!(s.get(target).await.hit());
    }
}

#[tokio::test]
async fn a_cookie_on_a_page_without_lifetime_does_not_scatter_those_without() {
    let s =
        Stage::new("a first request with a cookie for a heuristic page: those without share the next").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/guess", move |asked| {
        Reply::page(asked).with("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT").held_by(&held)
    });
    let asked = behind(&s, Ask::get("/guess").with("cookie", "id=1"), "/guess", 30, &gate).await;
    assert_eq!(asked, 2);
}

#[tokio::test]
async fn a_client_cannot_delete_what_is_stored() {
    let s = Stage::new("no-cache with no-store revalidates for this client and leaves the entry").await;
    s.origin.on("/page", |asked| Reply::validated(asked).cache("max-age=600"));
    s.warm("/page").await;
    for (name, value) in [("x-none", "1"), ("authorization", "Basic dTpw")] {
        let ask = Ask::get("/page").with("cache-control", "no-cache, no-store").with(name, value);
        assert_eq!(s.ask(ask).await.version("/page"), 1);
        assert!(s.get("/page").await.hit(), "after {name}");
    }
}

#[tokio::test]
async fn who_comes_after_the_head_asks_again_where_it_must() {
    let s =
        Stage::new("no-cache, of the answer or of the client: who boards after the landing asks the origin")
            .await;
    for (target, answer, client) in [("/a", "no-cache, max-age=60", "x"), ("/b", "max-age=60", "no-cache")] {
        let gate = Gate::shut();
        let held = gate.clone();
        s.origin
            .on(target, move |asked| Reply::page_of(asked, 200_000).cache(answer).paused_at(100_000, &held));
        let mut first = s.node.client().await;
        first.send(&Ask::get(target)).await;
        let head = first.answer_head().await.unwrap();
        s.origin.bump(target);
        s.origin.on(target, move |asked| Reply::page(asked).cache(answer));
        let late = s.ask(Ask::get(target).with("cache-control", client)).await;
        assert_eq!(late.version(target), 2, "{target}");
        gate.open();
        first.body_after_head(&head, |_| {}).await.unwrap();
    }
}

#[tokio::test]
async fn a_304_that_varies_moves_the_answer_out_of_the_way() {
    let s = Stage::new("a 304 brings Vary: what was stored for everyone is for nobody now").await;
    s.origin.on("/page", |asked| Reply::validated(asked).cache("max-age=0"));
    s.get("/page").await;
    s.origin.on("/page", |asked| {
        let who = asked.get("cookie").unwrap_or("nobody").to_owned();
        if asked.get("if-none-match").is_some() {
            return Reply::new(304, "").with("etag", "\"v1\"").with("vary", "cookie").cache("max-age=600");
        }
        Reply::new(200, who).with("etag", "\"v1\"").with("vary", "cookie").cache("max-age=600")
    });
    assert_eq!(s.ask(Ask::get("/page").with("cookie", "alice")).await.text(), "alice");
    assert_eq!(s.ask(Ask::get("/page").with("cookie", "bob")).await.text(), "bob");
}

#[tokio::test]
async fn an_invalidation_reaches_variants_that_no_list_names() {
    let s =
        Stage::new("variants outlive the list that names them: an unsafe request reaches them all the same")
            .await;
    let vary = |asked: &larder_tests::Asked| Reply::page(asked).cache("max-age=600").with("vary", "x-k");
    s.origin.on("/page", move |asked| match asked.method.as_str() {
        "POST" => Reply::new(200, ""),
        _ => vary(asked),
    });
    let with = |k: &str| Ask::get("/page").with("x-k", k);
    s.warm_by(with("a")).await;
    // An answer without Vary takes the place of the list and goes again.
    s.origin.on("/page", |asked| Reply::page(asked).cache("max-age=0").with("etag", "\"plain\""));
    s.ask(with("c")).await;
    s.origin.on("/page", |_| Reply::new(404, "").cache("no-store"));
    s.ask(with("c")).await;
    s.origin.on("/page", move |asked| match asked.method.as_str() {
        "POST" => Reply::new(200, ""),
        _ => vary(asked),
    });
    s.origin.bump("/page");
    s.ask(Ask::new("POST", "/page").body("x")).await;
    s.warm_by(with("b")).await;
    assert_eq!(s.ask(with("a")).await.version("/page"), 2);
}

#[tokio::test]
async fn what_was_purged_meanwhile_rescues_nobody() {
    let s = Stage::new("an error of the origin is not covered with what was purged while it was waited for")
        .await;
    s.origin.on("/page", |asked| Reply::validated(asked).cache("max-age=0, stale-if-error=600"));
    s.get("/page").await;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/page", move |_| Reply::new(503, "trouble").held_by(&held));
    let address = s.node.http();
    let waiting = spawn(async move { Client::connect(address).await.ask(Ask::get("/page")).await });
    gate.reached(1).await;
    s.node.purge("all", &[], false).await;
    gate.open();
    assert!(waiting.await.unwrap().status >= 500);
}

#[tokio::test]
async fn who_comes_late_to_an_answer_too_large_to_keep_gets_all_of_it() {
    let s = Stage::with(
        "an answer larger than one object may be: each client gets the whole, early or late",
        |recipe| recipe.cache("object_max = \"1MiB\""),
    )
    .await;
    const SIZE: usize = 9_000_000;
    let gate = Gate::shut();
    let held = gate.clone();
    s.origin.on("/large", move |asked| {
        Reply::page_of(asked, SIZE).chunked().cache("max-age=60").paused_at(8_000_000, &held)
    });
    let mut first = s.node.client().await;
    first.send(&Ask::get("/large")).await;
    let head = first.answer_head().await.unwrap();
    let address = s.node.http();
    let early = spawn(async move {
        let mut body = 0;
        first.body_after_head(&head, |piece| body += piece.len()).await.unwrap();
        body
    });
    gate.reached(1).await;
    s.origin.on("/large", |asked| Reply::page_of(asked, SIZE).chunked().cache("max-age=60"));
    let late = spawn(async move { Client::connect(address).await.ask(Ask::get("/large")).await });
    assert_eq!(late.await.unwrap().page().target, "/large");
    gate.open();
    assert!(early.await.unwrap() >= SIZE, "a page has a line about itself and then its size");
}

#[tokio::test]
async fn a_body_on_a_get_bypasses_nothing_that_is_stored() {
    let s =
        Stage::new("a GET with a body for a stored page is a hit, its body never read as a request").await;
    s.origin.on("/page", |asked| Reply::page(asked).cache("max-age=600"));
    s.warm("/page").await;
    let asked = s.origin.total();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let answer = s.ask(Ask::get("/page").body(smuggled)).await;
    assert!(answer.hit());
    assert_eq!(s.origin.total(), asked);
    let fetched = s.ask(Ask::get("/other").body("x")).await;
    assert_eq!(fetched.cache_status().fwd(), Some("bypass"));
}

#[tokio::test]
async fn a_refusal_says_why() {
    let s = Stage::new("what the node refuses itself has its word in Cache-Status").await;
    let answer = s.ask(Ask::get("/none").with("cache-control", "only-if-cached")).await;
    assert_eq!(
        (answer.status, answer.get("cache-status").unwrap_or_default()),
        (504, "edge-1; detail=only-if-cached")
    );
    s.origin.on("/page", |asked| Reply::validated(asked).cache("max-age=0"));
    s.get("/page").await;
    let confirmed = s.get("/page").await;
    assert!(
        confirmed.get("cache-status").unwrap_or_default().contains("fwd=stale; fwd-status=304"),
        "{confirmed:?}"
    );
}
