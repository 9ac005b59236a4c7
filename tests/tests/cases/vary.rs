//! RFC 9111 4.1: several answers for one URL.

use larder_tests::{Ask, Reply};

use crate::stage::Stage;

fn ask(language: &str) -> Ask {
    Ask::get("/a").with("accept-language", language)
}

async fn stage(title: &'static str) -> Stage {
    let s = Stage::new(title).await;
    s.origin.on("/a", |asked| {
        let language = asked.get("accept-language").unwrap_or("none");
        Reply::new(200, language.to_owned()).cache("max-age=60").with("vary", "Accept-Language")
    });
    s
}

#[tokio::test]
async fn variants_live_side_by_side() {
    let s = stage("variants live side by side and each hits for its own clients").await;
    for language in ["de", "en", "fr"] {
        assert_eq!(s.warm_by(ask(language)).await.text(), language);
    }
    assert_eq!(s.warm("/a").await.text(), "none");
    for language in ["de", "en", "fr"] {
        let hit = s.ask(ask(language)).await;
        assert!(hit.hit() && hit.text() == language);
    }
    assert_eq!(s.origin.count("/a"), 4);
}

#[tokio::test]
async fn a_missing_variant_is_a_vary_miss() {
    let s = stage("a variant that is not there is a vary-miss").await;
    s.warm_by(ask("de")).await;
    assert_eq!(s.ask(ask("it")).await.cache_status().fwd(), Some("vary-miss"));
}

#[tokio::test]
async fn order_of_lines_and_white_space_do_not_make_variants() {
    let s = stage("white space around a value does not make another variant").await;
    s.warm_by(ask("de, en")).await;
    let hit = s.ask(Ask::get("/a").with("Accept-Language", "  de, en  ")).await;
    assert!(hit.hit());
}

#[tokio::test]
async fn a_changed_vary_takes_effect() {
    let s = Stage::new("when the origin changes its Vary, the newer one decides").await;
    s.origin.on("/a", |asked| {
        let reply = Reply::page(asked).cache("max-age=60");
        reply.with("vary", if asked.version == 1 { "x-one" } else { "x-two" })
    });
    s.warm_by(Ask::get("/a").with("x-one", "1")).await;
    s.origin.bump("/a");
    let one = Ask::get("/a").with("x-one", "2").with("x-two", "1");
    assert_eq!(s.warm_by(one).await.version("/a"), 2);
    let other = s.ask(Ask::get("/a").with("x-one", "2").with("x-two", "2")).await;
    assert!(!other.hit(), "x-two decides now");
}

#[tokio::test]
async fn collapsed_waiters_get_their_own_variant() {
    let s = Stage::new("a waiter whose own Vary does not match gets its own variant").await;
    let gate = larder_tests::Gate::shut();
    let held = gate.clone();
    s.origin.on("/a", move |asked| {
        let language = asked.get("accept-language").unwrap_or("none");
        let reply = Reply::new(200, language.to_owned()).cache("max-age=60").with("vary", "Accept-Language");
        reply.held_by(&held)
    });
    let address = s.node.http();
    let asking: Vec<_> = (0..40)
        .map(|number| {
            let language = ["de", "en", "fr", "it"][number % 4];
            larder_tests::spawn(async move {
                let answer = larder_tests::Client::connect(address).await.ask(ask(language)).await;
                (language, answer)
            })
        })
        .collect();
    gate.reached(1).await;
    gate.open();
    for task in asking {
        let (language, answer) = task.await.unwrap();
        assert_eq!(answer.text(), language);
    }
    assert!(s.origin.count("/a") <= 40);
}

#[tokio::test]
async fn the_language_a_client_likes_best_will_do() {
    let s = Stage::new("an answer in just the language the client likes best is a hit for it").await;
    s.origin.on("/a", |asked| {
        let reply = Reply::new(200, "Seite").cache("max-age=60").with("vary", "Accept-Language");
        reply.with("content-language", if asked.version == 1 { "de" } else { "en" })
    });
    s.warm_by(ask("en, de")).await;
    for good in ["fr;q=0.5, de;q=1.0", "DE", "de, *;q=0.1"] {
        assert!(s.ask(ask(good)).await.hit(), "{good}");
    }
    assert_eq!(s.origin.count("/a"), 1);
    s.origin.bump("/a");
    for other in ["de-AT", "*", "de, fr", "fr;q=0.9"] {
        assert!(!s.ask(ask(other)).await.hit(), "{other}");
    }
}

#[tokio::test]
async fn accept_encoding_alone_makes_no_variants() {
    let s = Stage::new("Vary: Accept-Encoding of the origin makes no variants: the node compresses").await;
    s.origin.on("/a", |asked| Reply::page(asked).cache("max-age=60").with("vary", "Accept-Encoding"));
    s.warm("/a").await;
    let packed = s.ask(Ask::get("/a").with("accept-encoding", "gzip")).await;
    assert!(packed.hit());
    assert_eq!(packed.get("vary").map(str::to_ascii_lowercase).as_deref(), Some("accept-encoding"));
    assert_eq!((s.origin.count("/a"), s.origin.last("/a").get("accept-encoding")), (1, None));
}

#[tokio::test]
async fn a_304_with_a_strong_tag_freshens_every_variant_with_it() {
    let s = Stage::new("a 304 with a strong tag freshens every variant that has it, and no other").await;
    s.origin.on("/a", |asked| {
        let tag = if asked.get("accept-language") == Some("fr") { "\"other\"" } else { "\"same\"" };
        let reply = match asked.get("if-none-match") {
            Some(_) => Reply::new(304, "").cache("max-age=3600"),
            None => Reply::page(asked).stale(""),
        };
        reply.with("vary", "Accept-Language").with("etag", tag)
    });
    for language in ["de", "en", "fr"] {
        assert_eq!(s.ask(ask(language)).await.status, 200);
    }
    larder_tests::until_within(std::time::Duration::from_secs(10), "de to be freshened", async || {
        let before = s.origin.total();
        let hit = s.ask(ask("de")).await.hit();
        hit && s.origin.total() == before
    })
    .await;
    assert!(s.ask(ask("en")).await.hit(), "the same tag");
    assert!(!s.ask(ask("fr")).await.hit(), "another tag");
}

#[tokio::test]
async fn what_the_node_writes_itself_selects_nothing() {
    let s = Stage::new("Vary by a field that the node writes for each client is Vary: *").await;
    for name in ["X-Forwarded-For", "Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto", "Via", "CDN-Loop"] {
        let target = format!("/{name}");
        s.origin.on(&target, move |asked| Reply::page(asked).cache("max-age=60").with("vary", name));
        let answer = s.never_stored(Ask::get(&target)).await;
        assert!(answer.get("vary").is_some_and(|vary| vary.contains(name)), "{:?}", answer.fields);
    }
}

#[tokio::test]
async fn what_no_origin_gets_selects_nothing() {
    let s = Stage::new("Vary by a field that no origin gets makes no variants").await;
    s.origin.on("/a", |asked| {
        assert_eq!(asked.get("x-original-url"), None);
        Reply::page(asked).cache("max-age=60").with("vary", "X-Original-URL")
    });
    s.warm("/a").await;
    assert!(s.ask(Ask::get("/a").with("x-original-url", "/b")).await.hit());
}

#[tokio::test]
async fn blanks_around_commas_make_no_variants() {
    let s = Stage::new("blanks around the commas of a field make no variants, empty members do").await;
    s.origin.on("/a", |asked| {
        let name = asked.get("x-name").unwrap_or("none");
        Reply::new(200, name.to_owned()).cache("max-age=60").with("vary", "X-Name")
    });
    for name in ["1,2", "1,, 2", "\"1,2\"", "\"1, 2\""] {
        assert_eq!(s.warm_by(Ask::get("/a").with("x-name", name)).await.text(), name);
    }
    assert!(s.ask(Ask::get("/a").with("x-name", "1 , 2")).await.hit());
    assert_eq!(s.origin.count("/a"), 4);
}

#[tokio::test]
async fn declared_languages_and_types_are_all_an_origin_hears_of() {
    let s =
        Stage::with("requests are reduced to what the site declares, for the key and the origin", |recipe| {
            let vary =
                "[site.vary]\naccept_language = [\"en\", \"de\"]\naccept = [\"image/avif\", \"image/webp\"]";
            recipe.in_site(vary)
        })
        .await;
    s.origin.on("/a", |asked| {
        let heard = |name| asked.get(name).unwrap_or("none").to_owned();
        let body = format!("{} {}", heard("accept-language"), heard("accept"));
        Reply::new(200, body).cache("max-age=60").with("vary", "Accept-Language, Accept")
    });
    let ask = |language: &str, accept: &str| {
        Ask::get("/a").with("accept-language", language).with("accept", accept)
    };
    let classes = [
        ("de-CH, de;q=0.9, en;q=0.5", "image/avif,image/webp", "de image/avif"),
        ("en", "image/webp,image/png", "en image/webp"),
        ("ja", "*/*", "none none"),
    ];
    for (language, accept, heard) in classes {
        assert_eq!(s.warm_by(ask(language, accept)).await.text(), heard);
    }
    for (language, accept, heard) in [
        ("fr, DE;q=0.3", "image/webp;q=0.5, image/avif", "de image/avif"),
        ("en-GB;q=0.1", "text/html, image/webp", "en image/webp"),
        ("*", "image/*", "none none"),
    ] {
        let answer = s.ask(ask(language, accept)).await;
        assert!(answer.hit() && answer.text() == heard, "{language} {accept}: {}", answer.text());
    }
    assert_eq!(s.origin.count("/a"), 3);
}

#[tokio::test]
async fn without_compression_codings_make_a_few_classes() {
    let s = Stage::with("where the origin encodes, Accept-Encoding is reduced to classes", |recipe| {
        recipe.in_site("[site.compression]\nenabled = false")
    })
    .await;
    s.origin.on("/a", |asked| {
        let heard = asked.get("accept-encoding").unwrap_or("none").to_owned();
        Reply::new(200, heard).cache("max-age=60").with("vary", "Accept-Encoding")
    });
    let ask = |codings: &str| Ask::get("/a").with("accept-encoding", codings);
    assert_eq!(s.warm_by(ask("gzip, deflate, br")).await.text(), "br, gzip");
    assert_eq!(s.warm_by(ask("identity")).await.text(), "none");
    for (codings, heard) in [("br;q=0.9, gzip;q=0.1", "br, gzip"), ("deflate", "none"), ("", "none")] {
        let answer = s.ask(ask(codings)).await;
        assert!(answer.hit() && answer.text() == heard, "{codings}: {}", answer.text());
    }
    assert_eq!(s.origin.count("/a"), 2);
}

#[tokio::test]
async fn of_several_answers_that_fit_the_newest_is_given() {
    let s = Stage::new("of several stored answers that fit, the one the origin made last is given").await;
    s.origin.on("/a", |asked| {
        let (vary, age) = if asked.get("x-late").is_some() { ("X-Late", "5") } else { ("X-Early", "30") };
        Reply::page(asked).cache("max-age=600").with("vary", vary).with("age", age)
    });
    let both = Ask::get("/a").with("x-early", "1").with("x-late", "1");
    s.warm_by(Ask::get("/a").with("x-early", "1")).await;
    s.origin.bump("/a");
    s.warm_by(Ask::get("/a").with("x-early", "2").with("x-late", "1")).await;
    // Another variant by the first list makes that list the newer one; its older answer fits all the same.
    s.warm_by(Ask::get("/a").with("x-early", "3")).await;
    assert_eq!(s.ask(both).await.version("/a"), 2, "RFC 9111 4: the most recent one");
}

/// How many requests of the flood for one of the hot set; `VARIANTS=100000` makes the flood as long as that.
#[tokio::test]
async fn a_flood_of_variants_leaves_the_hot_ones() {
    let s = Stage::new("a flood of variants and query strings leaves those alone that are in use").await;
    s.origin.on("/a", |asked| {
        let name = asked.get("x-name").unwrap_or("none").to_owned();
        Reply::new(200, name).cache("max-age=3600").with("vary", "X-Name")
    });
    s.origin.on("/q", |asked| Reply::page(asked).cache("max-age=3600"));
    let flood = std::env::var("VARIANTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1500_u64);
    let mut client = s.node.client().await;
    let (mut asked, mut hits) = (0, 0);
    for number in 0..flood {
        let name = format!("cold-{number}");
        assert_eq!(client.ask(Ask::get("/a").with("x-name", &name)).await.text(), name);
        let target = format!("/q?{}", s.case.draw(1 << 60));
        assert_eq!(client.ask(Ask::get(&target)).await.version(&target), 1);
        if number % 4 == 0 {
            let name = format!("hot-{}", (number / 4) % 20);
            let answer = client.ask(Ask::get("/a").with("x-name", &name)).await;
            assert_eq!(answer.text(), name);
            asked += 1;
            hits += u64::from(answer.hit());
        }
    }
    // Twice each, until it is known that they come back.
    let warm = asked - 40;
    assert!(hits * 100 >= warm * 95, "{hits} hits of {warm}");
}
