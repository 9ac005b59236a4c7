//! What a site's rules change.

use larder_tests::{Ask, Recipe, Reply};

use crate::stage::Stage;

async fn with_rules(title: &'static str, rules: &str) -> Stage {
    Stage::with(title, |recipe| recipe.in_site(rules)).await
}

#[tokio::test]
async fn the_first_rule_that_matches_is_the_only_one() {
    let s = with_rules(
        "of several rules the first that matches counts, and Cache-Status names it",
        "[[site.rule]]\nname = \"never\"\npaths = [\"/static/private/*\"]\npass = true\n\
         [[site.rule]]\nname = \"static\"\npaths = [\"/static/*\"]\nttl = \"1h\"\n\
         [[site.rule]]\nname = \"images\"\nextensions = [\"txt\"]\nttl = \"2h\"\nmethods = [\"GET\"]",
    )
    .await;
    s.origin
        .on("/*", |asked| Reply::page(asked).cache("max-age=1, stale-while-revalidate=0").with("age", "1"));
    for (target, ttl, rule) in [
        ("/static/a.txt", "3600", Some("rule:static")),
        ("/static/b", "3600", Some("rule:static")),
        ("/img/a.TXT?v=1", "7200", Some("rule:images")),
    ] {
        let answer = s.warm(target).await;
        let status = answer.cache_status();
        assert_eq!((status.get("detail"), answer.status), (rule, 200), "{target}");
        let left: u64 = status.get("ttl").unwrap().parse().unwrap();
        assert!(left <= ttl.parse().unwrap() && left + 60 > ttl.parse::<u64>().unwrap(), "{target} {left}");
    }
    let passed = s.never_stored(Ask::get("/static/private/x")).await.cache_status();
    assert_eq!((passed.fwd(), passed.get("detail")), (Some("bypass"), Some("rule:never")));
    let plain = s.get("/other").await.cache_status();
    assert_ne!(plain.get("detail"), Some("rule:images"));
}

#[tokio::test]
async fn cookies_and_fields_send_past_the_cache() {
    let s = with_rules(
        "requests with a session go past the cache, others share an answer without their cookies",
        "[[site.rule]]\nname = \"pages\"\npass_cookies = [\"session*\", \"preview=1\"]\n\
         pass_headers = [\"X-Preview\"]\nignore_cookies = [\"*\"]\nttl = \"1h\"",
    )
    .await;
    s.origin.on("/*", |asked| Reply::new(200, format!("cookie {}", asked.get("cookie").unwrap_or("none"))));
    let with = |name: &str, value: &str| Ask::get("/p").with(name, value);
    assert_eq!(s.warm_by(with("cookie", "_ga=1; theme=dark")).await.text(), "cookie none");
    assert!(s.get("/p").await.hit());
    for ask in
        [with("cookie", "theme=dark; session_id=7"), with("cookie", "preview=1"), with("x-preview", "yes")]
    {
        let answer = s.never_stored(ask).await;
        assert_eq!(answer.cache_status().fwd(), Some("bypass"));
    }
    let own = s.ask(with("cookie", "theme=dark; session_id=7")).await;
    assert_eq!(own.text(), "cookie theme=dark; session_id=7", "untouched past the cache");
    assert!(s.ask(with("cookie", "preview=0")).await.hit());
}

#[tokio::test]
async fn statuses_have_lifetimes_of_their_own() {
    let s = with_rules(
        "status_ttl keeps a 404 and refuses a 5xx whatever the origin says",
        "[[site.rule]]\nstatus_ttl = { 404 = \"30s\", 5xx = \"0s\", 302 = \"1m\" }",
    )
    .await;
    s.origin.on("/404", |asked| Reply::page(asked).status(404));
    s.origin.on("/503", |asked| Reply::page(asked).status(503).cache("max-age=600"));
    s.origin.on("/302", |asked| Reply::page(asked).status(302).with("location", "/x"));
    assert_eq!(s.warm("/404").await.status, 404);
    assert_eq!(s.warm("/302").await.status, 302);
    let never = s.never_stored(Ask::get("/503")).await;
    assert_eq!(never.cache_status().get("detail"), Some("rule:1"));
}

#[tokio::test]
async fn browsers_have_a_lifetime_of_their_own() {
    let s = with_rules(
        "browser_ttl is what clients are told, ttl what the node does; nothing of the origin's is left",
        "[[site.rule]]\nttl = \"1h\"\nbrowser_ttl = \"5m\"",
    )
    .await;
    s.origin.on("/*", |asked| {
        Reply::validated(asked)
            .cache("public, max-age=10, s-maxage=20")
            .with("expires", "Thu, 01 Jan 1970 00:00:00 GMT")
            .with("pragma", "no-cache")
            .with("age", "9")
    });
    s.origin.on("/private", |asked| Reply::page(asked).cache("private, max-age=10"));
    let first = s.get("/a").await;
    let later = s.warm("/a").await;
    let confirmed = s.ask(Ask::get("/a").with("if-none-match", "\"v1\"")).await;
    assert_eq!(confirmed.status, 304);
    for answer in [first, later, confirmed] {
        assert_eq!(answer.all("cache-control"), ["max-age=300"]);
        assert_eq!((answer.get("expires"), answer.get("pragma"), answer.get("age")), (None, None, None));
        assert_eq!(answer.all("date").len(), 1);
    }
    let own = s.never_stored(Ask::get("/private")).await;
    assert_eq!(own.get("cache-control"), Some("private, max-age=10"));
}

#[tokio::test]
async fn what_an_origin_forbids_is_stored_only_by_name() {
    let s = with_rules(
        "ignore_cache_control lifts no-cache but not private; store_despite lifts what it names",
        "[[site.rule]]\nname = \"despite\"\npaths = [\"/despite/*\"]\nttl = \"1h\"\nstore_despite = [\"private\", \"authorization\"]\n\
         set_cookie = \"strip\"\n[[site.rule]]\nname = \"ignore\"\nttl = \"1h\"\nignore_cache_control = true",
    )
    .await;
    s.origin.on("/*", |asked| {
        let value = asked.target.rsplit('/').next().unwrap_or_default().replace('+', ", ");
        Reply::page(asked).cache(&value)
    });
    s.origin.on("/despite/cookie", |asked| Reply::page(asked).with("set-cookie", "id=1"));
    for target in ["/no-cache", "/max-age=0+must-revalidate", "/despite/private", "/despite/cookie"] {
        let answer = s.warm(target).await;
        assert_eq!(answer.get("set-cookie"), None, "{target}");
    }
    s.warm_by(Ask::get("/despite/public").with("authorization", "Basic eA==")).await;
    for (target, why) in
        [("/private", "private"), ("/no-store", "no-store"), ("/despite/no-store", "no-store")]
    {
        let answer = s.never_stored(Ask::get(target)).await;
        assert_eq!(answer.cache_status().get("detail"), Some(why), "{target}");
    }
}

#[tokio::test]
async fn a_rule_tags_what_it_stores() {
    let s = with_rules(
        "the tags of a rule purge what it stored, also after a 304 and in a compressed form",
        "[[site.rule]]\npaths = [\"/shop/*\"]\ntags = [\"shop\"]",
    )
    .await;
    s.origin.on("/*", |asked| Reply::validated(asked).cache("max-age=3600").with("surrogate-key", "page"));
    let gzip = || Ask::get("/shop/a").with("accept-encoding", "gzip");
    s.warm("/shop/a").await;
    s.warm_by(gzip()).await;
    s.warm("/other").await;
    s.node.purge("tag", &["shop"], true).await;
    s.warm("/shop/a").await;
    let before = s.origin.total();
    s.node.purge("tag", &["shop"], false).await;
    assert!(!s.ask(gzip()).await.hit());
    assert_eq!(s.origin.total(), before + 1);
    assert!(s.get("/other").await.hit());
    assert_eq!(s.get("/shop/a").await.get("surrogate-key"), None, "tags are the operator's");
}

#[tokio::test]
async fn a_reload_tells_which_rules_changed_and_applies_them() {
    let rule =
        |ttl: &str| format!("[[site.rule]]\nname = \"static\"\npaths = [\"/static/*\"]\nttl = \"{ttl}\"\n");
    let mut s =
        with_rules("a reload tells which rules changed, and the next answer obeys", &rule("1h")).await;
    s.origin.on("/*", |asked| Reply::page(asked).cache("max-age=10"));
    s.warm("/static/a").await;
    let again =
        Recipe::new(&s.origin).in_site(&rule("0s")).in_site("[[site.rule]]\nname = \"more\"\npass = true");
    s.node.rewrite(again);
    let told = s.node.ask_admin(Ask::new("POST", "/reload")).await.text();
    assert!(told.contains("rule \\\"static\\\" changed how it caches"), "{told}");
    assert!(told.contains("rule \\\"more\\\" added"), "{told}");
    s.never_stored(Ask::get("/static/b")).await;
    let bad = Recipe::new(&s.origin).in_site("[[site.rule]]\npaths = [\"static\"]\nttl = \"1h\"");
    s.node.rewrite(bad);
    let told = s.node.ask_admin(Ask::new("POST", "/reload")).await;
    assert!(told.status >= 400 && told.text().contains("site[0].rule[0].paths[0]"), "{}", told.text());
}
