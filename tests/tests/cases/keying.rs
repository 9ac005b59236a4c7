//! What tells answers apart besides the URL, as a site declares it.

use larder_tests::{Ask, Reply};

use crate::stage::Stage;

async fn with_key(title: &'static str, key: &str) -> Stage {
    let s = Stage::with(title, |recipe| recipe.in_site(&format!("[site.key]\n{key}"))).await;
    // Tells what it was asked: a body that is shared by mistake shows whose it was.
    s.origin.on("/*", |asked| {
        let told = ["cookie", "x-tenant", "x-device"].map(|name| asked.get(name).unwrap_or("-"));
        Reply::new(200, format!("{} {}", asked.target, told.join(" "))).cache("max-age=60")
    });
    s
}

#[tokio::test]
async fn parameters_that_do_not_count_are_not_sent() {
    let key = "drop_tracking = true\ndrop_query = [\"ref\"]\nsort_query = true";
    let s =
        with_key("tracking parameters are neither sent nor part of the key, and order is none", key).await;
    let first = s.warm("/p?utm_source=news&b=2&gclid=x&a=1&ref=y").await;
    assert_eq!(first.text(), "/p?a=1&b=2 - - -");
    for same in ["/p?a=1&b=2", "/p?b=2&a=1&fbclid=z", "/p?b=2&_ga=1&mc_cid=2&a=1&msclkid=3"] {
        assert!(s.get(same).await.hit(), "{same}");
    }
    assert_eq!(s.origin.total(), 1);
    for other in ["/p?a=1", "/p?a=1&b=3", "/p?a=1&b=2&c", "/p?a=1&a=1&b=2", "/p", "/p?UTM_SOURCE=1&a=1&b=2"] {
        assert!(!s.get(other).await.hit(), "{other}");
    }
    let posted = s.ask(Ask::new("POST", "/p?utm_source=a&b=2").body("x")).await;
    assert!(
        posted.text().starts_with("/p?utm_source=a&b=2 "),
        "past the cache all is sent: {}",
        posted.text()
    );
}

#[tokio::test]
async fn only_the_parameters_that_count_are_sent() {
    let s = with_key("with keep_query nothing else is sent", "keep_query = [\"page\", \"q\"]").await;
    assert_eq!(s.warm("/s?x=1&page=2&y=3").await.text(), "/s?page=2 - - -");
    assert!(s.get("/s?page=2&z").await.hit());
    assert_eq!(s.get("/s?x=1").await.text(), "/s - - -");
    assert!(!s.get("/s?page=3").await.hit());
}

#[tokio::test]
async fn fields_and_cookies_that_count_make_variants() {
    let key = "headers = [\"X-Tenant\"]\ncookies = [\"currency\"]\n[[site.key.arm]]\ncookie = \"ab\"\n\
               values = [\"b\"]\ndefault = \"a\"";
    let s = with_key("a declared field, cookie or experiment makes variants, others do not", key).await;
    let ask = |tenant: &str, cookie: &str| {
        let ask = Ask::get("/p");
        let ask = if tenant.is_empty() { ask } else { ask.with("x-tenant", tenant) };
        if cookie.is_empty() { ask } else { ask.with("cookie", cookie) }
    };
    for (tenant, cookie, wanted) in [
        ("", "", "/p ab=a - -"),
        ("", "session=evil; ab=z", "/p ab=a - -"),
        ("", "ab=b", "/p ab=b - -"),
        ("", "_ga=1; currency=EUR; ab=b", "/p currency=EUR; ab=b - -"),
        ("", "ab=b; currency=EUR; session=9", "/p currency=EUR; ab=b - -"),
        ("one", "", "/p ab=a one -"),
        ("two", "", "/p ab=a two -"),
        ("two", "other=1", "/p ab=a two -"),
    ] {
        assert_eq!(s.warm_by(ask(tenant, cookie)).await.text(), wanted, "{tenant:?} {cookie:?}");
    }
    assert_eq!(s.origin.total(), 5, "one fetch for each that counts");
    s.node.purge("url", &["http://www.example.com/p"], false).await;
    for (tenant, cookie) in [("", ""), ("", "ab=b"), ("two", "")] {
        assert!(
            !s.ask(ask(tenant, cookie)).await.hit(),
            "one purge takes all variants: {tenant:?} {cookie:?}"
        );
    }
}

#[tokio::test]
async fn the_class_of_the_device_counts_and_is_told() {
    let s = with_key(
        "the origin is told the class of the device, and each class has a variant",
        "device = \"X-Device\"",
    )
    .await;
    let ask = |agent: &str| Ask::get("/p").with("user-agent", agent).with("x-device", "evil");
    let iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Mobile/15E148 Safari";
    for (agent, wanted) in [
        (iphone, "/p - - mobile"),
        ("Mozilla/5.0 (Linux; Android 15; Pixel 9) Mobile Safari", "/p - - mobile"),
        ("Mozilla/5.0 (iPad; CPU OS 17)", "/p - - tablet"),
        ("Mozilla/5.0 (X11; Linux x86_64) Firefox/130.0", "/p - - desktop"),
        ("curl/8", "/p - - desktop"),
    ] {
        assert_eq!(s.warm_by(ask(agent)).await.text(), wanted, "{agent}");
    }
    assert_eq!(s.origin.total(), 3);
    let posted =
        s.ask(Ask::new("POST", "/p").with("user-agent", iphone).with("x-device", "evil").body("x")).await;
    assert_eq!(posted.text(), "/p - - mobile");
}

#[tokio::test]
async fn every_spelling_of_a_url_is_found_by_its_operator() {
    let s = with_key(
        "purge and inspection find an entry by any spelling that counts as the same",
        "drop_tracking = true\nsort_query = true",
    )
    .await;
    let url = |target: &str| format!("http://www.example.com{target}");
    for (kind, selector) in [
        ("url", "/p?b=2&utm_source=z&a=1"),
        ("url", "/p?a=1&b=2"),
        ("prefix", "/p?b=2"),
        ("prefix", "/p?utm_source="),
        ("prefix", "/p"),
    ] {
        s.warm("/p?a=1&b=2&gclid=1").await;
        let asked = percent_encoding(&url("/p?fbclid=7&b=2&a=1"));
        let found = s.node.ask_admin(Ask::get(&format!("/cache?url={asked}"))).await.text();
        assert!(found.contains("\"stored\":true"), "{found}");
        s.node.purge(kind, &[&url(selector)], false).await;
        let before = s.origin.total();
        s.get("/p?a=1&b=2").await;
        assert_eq!(s.origin.total(), before + 1, "{kind} {selector}");
    }
    s.warm("/p?a=1&b=2").await;
    s.ask(Ask::new("POST", "/p?utm_source=x&b=2&a=1").body("x")).await;
    assert!(!s.get("/p?a=1&b=2").await.hit(), "an unsafe request invalidates what its URL counts as");
}

fn percent_encoding(text: &str) -> String {
    text.replace('%', "%25").replace('&', "%26")
}
