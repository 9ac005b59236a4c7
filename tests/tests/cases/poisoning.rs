//! What one client sends is not what another gets: unkeyed fields, cookies, refused requests, deceptive paths.

use std::collections::BTreeSet;

use larder_tests::{Ask, Reply, until};

use crate::stage::Stage;

/// Names that origins and frameworks have been seen to act on, and forms of names to make thousands of.
const WORDS: [&str; 40] = [
    "forwarded",
    "host",
    "original-url",
    "rewrite-url",
    "url",
    "uri",
    "path",
    "scheme",
    "proto",
    "port",
    "prefix",
    "server",
    "method",
    "http-method-override",
    "ip",
    "client-ip",
    "real-ip",
    "user",
    "role",
    "admin",
    "debug",
    "test",
    "lang",
    "country",
    "theme",
    "device",
    "api-version",
    "version",
    "token",
    "session",
    "key",
    "id",
    "origin-url",
    "redirect",
    "callback",
    "base-url",
    "cdn",
    "edge",
    "backend",
    "feature",
];
const FORMS: [&str; 25] = [
    "x-",
    "",
    "x-forwarded-",
    "x-original-",
    "x-http-",
    "http-",
    "cf-",
    "true-",
    "fastly-",
    "akamai-",
    "x-azure-",
    "x-amz-",
    "x-envoy-",
    "x-nginx-",
    "x-rails-",
    "x-wp-",
    "x-drupal-",
    "x-magento-",
    "x-app-",
    "x-my-",
    "x_",
    "client-",
    "proxy-",
    "x-real-",
    "x-custom-",
];
/// Those that every client sends, too.
const STANDARD: [&str; 26] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "cache-control",
    "pragma",
    "cookie",
    "origin",
    "referer",
    "from",
    "date",
    "dnt",
    "via",
    "cdn-loop",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "traceparent",
    "x-request-id",
    "priority",
    "prefer",
    "range",
    "if-none-match",
    "if-range",
    "sec-fetch-mode",
    "x-requested-with",
];

#[tokio::test]
async fn no_field_of_one_client_is_seen_by_another() {
    let s = Stage::new(
        "whatever field of a request an origin repeats in a page for all, no other client sees it",
    )
    .await;
    s.origin.on("/*", |asked| {
        let told: Vec<_> = asked.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        Reply::new(200, told.join("\n"))
            .cache("max-age=3600")
            .with("x-echo", asked.get("x-host").unwrap_or("-"))
    });
    let mut names: BTreeSet<String> =
        FORMS.iter().flat_map(|form| WORDS.iter().map(move |word| format!("{form}{word}"))).collect();
    names.extend((0..1400).map(|number| format!("x-param-{number}")));
    names.extend(STANDARD.map(str::to_owned));
    // What frames a message is another matter.
    for framing in ["host", "http-method", "proxy-connection"] {
        names.remove(framing);
    }
    let names: Vec<_> = names.into_iter().collect();
    assert!(names.len() > 2300, "{} names", names.len());
    let (mut dirty, mut clean) = (s.node.client().await, s.node.client().await);
    for (batch, names) in names.chunks(60).enumerate() {
        let target = format!("/p/{batch}");
        let ask = names.iter().fold(Ask::get(&target), |ask, name| ask.with(name, "canary-7f3a"));
        for ask in [ask.clone(), ask] {
            assert_eq!(dirty.ask(ask).await.status, 200, "batch {batch}");
        }
        let plain = Ask::get(&target).with("user-agent", "curl/8").with("accept", "*/*");
        let seen = clean.ask(plain.clone()).await;
        assert!(!format!("{:?}", seen.fields).contains("canary"), "batch {batch}: {:?}", seen.fields);
        assert!(!seen.text().contains("canary"), "batch {batch}:\n{}", seen.text());
    }
    // The same for each alone, where it was the first and where it renews what is there.
    for name in STANDARD {
        let target = format!("/alone/{name}");
        dirty.ask(Ask::get(&target).with(name, "canary-7f3a")).await;
        dirty.ask(Ask::head(&target).with(name, "canary-7f3a")).await;
        let seen = clean.ask(Ask::get(&target)).await;
        assert!(!seen.text().contains("canary"), "{name}:\n{}", seen.text());
        s.node.purge("url", &[&format!("http://www.example.com{target}")], true).await;
        dirty.ask(Ask::get(&target).with(name, "canary-7f3a")).await;
        let seen = clean.ask(Ask::get(&target)).await;
        assert!(!seen.text().contains("canary"), "renewed by {name}:\n{}", seen.text());
    }
}

#[tokio::test]
async fn clients_with_the_same_strays_share_and_a_site_may_call_them_harmless() {
    let harmless = "[site.key]\nharmless_headers = [\"x-app-*\"]";
    let s =
        Stage::with("the same unknown fields share an answer; harmless ones make no difference", |recipe| {
            recipe.in_site(harmless)
        })
        .await;
    s.origin.on("/*", |asked| {
        Reply::new(200, asked.get("x-api-version").unwrap_or("none").to_owned()).cache("max-age=60")
    });
    let version = |number: &str| Ask::get("/api").with("x-api-version", number);
    assert_eq!(s.warm_by(version("1")).await.text(), "1");
    assert_eq!(s.warm_by(version("2")).await.text(), "2");
    assert!(s.ask(version("1")).await.hit());
    assert_eq!(s.origin.total(), 2);
    for number in ["1", "2", "3"] {
        let answer = s.ask(Ask::get("/page").with("x-app-build", number)).await;
        assert_eq!(answer.text(), "none");
        until("it is stored", || s.origin.count("/page") == 1).await;
    }
    let asked = s.origin.last("/page");
    assert_eq!(asked.get("x-app-build"), Some("1"), "harmless, and sent on");
    s.node.purge("url", &["http://www.example.com/api"], false).await;
    for number in ["1", "2"] {
        assert!(!s.ask(version(number)).await.hit(), "a purge of the URL takes them all");
    }
}

#[tokio::test]
async fn what_cookies_make_is_for_those_cookies() {
    let s = Stage::new("an answer to a cookie is shared with others only where its origin says so").await;
    s.origin.on("/*", |asked| {
        let value = if asked.path() == "/all" { "public, max-age=60" } else { "max-age=60" };
        Reply::new(200, format!("for {}", asked.get("cookie").unwrap_or("nobody"))).cache(value)
    });
    let by = |target: &str, who: &str| Ask::get(target).with("cookie", &format!("id={who}"));
    assert_eq!(s.warm_by(by("/own", "a")).await.text(), "for id=a");
    assert_eq!(s.ask(by("/own", "b")).await.text(), "for id=b");
    assert_eq!(s.warm("/own").await.text(), "for nobody");
    assert_eq!(s.warm_by(by("/all", "a")).await.text(), "for id=a");
    assert!(s.get("/all").await.hit(), "public is for all");
}

#[tokio::test]
async fn refusals_of_odd_requests_are_not_stored() {
    let s = Stage::new("a refusal that an odd field provokes is not what others get").await;
    s.origin.on("/*", |asked| {
        let odd =
            asked.get("x-bad").is_some() || asked.get("accept").is_some_and(|value| !value.contains('/'));
        let large = asked.fields.iter().any(|(_, value)| value.len() > 4000);
        match (odd, large) {
            (true, _) => Reply::new(400, "bad").cache("max-age=60"),
            (_, true) => Reply::new(503, "large").cache("max-age=60"),
            _ => Reply::page(asked).cache("max-age=60"),
        }
    });
    let long = "a".repeat(5000);
    for (number, (name, value)) in
        [("x-bad", "1"), ("accept", "bad"), ("user-agent", &long), ("x-long", &long)].into_iter().enumerate()
    {
        let target = format!("/{number}");
        let refused = s.never_stored(Ask::get(&target).with(name, value)).await;
        assert_eq!(refused.cache_status().get("detail"), Some("odd-request"), "{name}");
        assert_eq!(s.get(&target).await.status, 200, "{name}");
    }
}

#[tokio::test]
async fn a_body_on_a_get_makes_no_answer_for_others() {
    let s = Stage::new("the answer to a GET with a body is nobody else's").await;
    s.origin.on("/*", |asked| Reply::new(200, asked.body.clone()).cache("max-age=60"));
    let fat = s.ask(Ask::get("/a").body("canary")).await;
    assert_eq!(fat.text(), "canary");
    assert_eq!(s.get("/a").await.text(), "");
}

#[tokio::test]
async fn nobody_gets_anothers_page_by_a_path_that_looks_like_a_file() {
    let s = Stage::with(
        "pages under paths that look like files are nobody else's, though a rule caches files",
        |recipe| {
            recipe.in_site(
                "[[site.rule]]\nname = \"static\"\nextensions = [\"css\", \"js\", \"png\"]\nttl = \"1h\"",
            )
        },
    )
    .await;
    s.origin.on("/*", |asked| {
        let who = asked.get("cookie").unwrap_or("nobody");
        Reply::new(200, format!("account of {who}")).with("content-type", "text/html")
    });
    s.origin.on("/real.css", |_| Reply::new(200, "a{}").with("content-type", "text/css"));
    for path in [
        "/account/x.css",
        "/account/x.js",
        "/account/x.png?v=1",
        "/account;x.css",
        "/account%2fx.css",
        "/account%5cx.js",
        "/account%0ax.css",
        "/account%23x.css",
        "/account%3fx.png",
        "/account/%2e%2e%2fx.css",
        "/account%3bx.css",
    ] {
        // With a cookie the cookie is the reason; without one the page may still be the visitor's, by address or more.
        for ask in [Ask::get(path), Ask::get(path).with("cookie", "id=victim")] {
            let answer = s.never_stored(ask).await;
            let why = answer.cache_status().get("detail").unwrap_or_default().to_owned();
            assert!(["type-mismatch", "ambiguous-path", "cookie"].contains(&why.as_str()), "{path}: {why}");
        }
        assert_eq!(s.get(path).await.text(), "account of nobody", "{path}");
    }
    assert_eq!(s.get("/account%00x.css").await.status, 400);
    assert_eq!(s.warm("/real.css").await.cache_status().get("detail"), Some("rule:static"));
}
