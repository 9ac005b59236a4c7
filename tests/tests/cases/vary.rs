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
