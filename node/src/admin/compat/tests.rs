//! The requests that plugins send, as they send them.

use http_body_util::Full;
use larder_store::Selector;
use serde_json::json;

use super::super::tests::{Answer, Stage, stage};
use super::*;
use crate::purge::tests::Fake;

type Fields<'a> = &'a [(&'a str, &'a str)];

async fn send(stage: &Stage, method: &str, path: &str, fields: Fields<'_>, body: &'static str) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    stage.send(request.body(Full::from(body)).unwrap()).await
}

/// What was purged last, and how many purges there were.
fn last(stage: &Stage) -> (Vec<String>, bool, usize) {
    let written = stage.ledger.written.lock();
    let last = written.last().expect("a purge");
    let text = |selector: &Selector| format!("{} {}", selector.kind(), selector.text()).trim_end().to_owned();
    (last.purge.selectors.iter().map(text).collect(), last.purge.soft, written.len())
}

const KEY: (&str, &str) = ("fastly-key", "s3cret");
const BEARER: (&str, &str) = ("authorization", "Bearer s3cret");

#[tokio::test]
async fn fastly_urls_keys_and_everything() {
    let stage = stage(Fake::open());
    let url = send(&stage, "POST", "/purge/www.example.com/a?b=1", &[KEY], "").await;
    assert_eq!((url.status, url.json()["status"].as_str()), (200, Some("ok")), "{}", url.text);
    assert!(url.json()["id"].is_string());
    let wanted = ["url http://www.example.com:80/a?b=1", "url https://www.example.com:443/a?b=1"];
    assert_eq!(last(&stage), (wanted.map(str::to_owned).to_vec(), false, 1));

    let soft = [KEY, ("fastly-soft-purge", "1")];
    assert_eq!(send(&stage, "POST", "/service/www/purge/post-1%2F2", &soft, "").await.status, 200);
    assert_eq!(last(&stage), (vec!["tag post-1/2".to_owned()], true, 2));

    let fields = [KEY, ("surrogate-key", "a b"), ("surrogate-key", "c")];
    let keys = send(&stage, "POST", "/service/www/purge", &fields, r#"{"surrogate_keys":["d"]}"#).await;
    let ids: Vec<_> = keys.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!((keys.status, ids), (200, ["a", "b", "c", "d"].map(str::to_owned).to_vec()));
    assert_eq!(last(&stage).0, ["tag a", "tag b", "tag c", "tag d"]);

    for (service, wanted) in [("www", vec!["host a", "host b"]), ("all", vec!["all"]), ("any", vec!["all"])] {
        let path = format!("/service/{service}/purge_all");
        assert_eq!(send(&stage, "POST", &path, &[KEY], "").await.status, 200, "{service}");
        assert_eq!(last(&stage).0, wanted);
    }
}

#[tokio::test]
async fn fastly_refusals_are_in_its_words_and_without_effect() {
    let stage = stage(Fake::open());
    let rows: [(&str, Fields<'_>, &str, u16, &str); 6] = [
        ("/service/www/purge/a", &[], "", 401, "token missing or wrong"),
        ("/service/www/purge/a", &[("fastly-key", "guess")], "", 401, "token missing or wrong"),
        ("/service/www/purge/a", &[KEY, BEARER], "", 401, "token missing or wrong"),
        ("/service/www/purge", &[KEY], "", 400, "no surrogate keys"),
        ("/service/nobody/purge_all", &[KEY], "", 404, "no site is named \"nobody\""),
        ("/service/below/purge_all", &[KEY], "", 400, "the site \"below\" has the hosts \"*.c\""),
    ];
    for (path, fields, body, status, msg) in rows {
        let answer = send(&stage, "POST", path, fields, body).await;
        assert_eq!(answer.status, status, "{path} {}", answer.text);
        assert!(answer.json()["msg"].as_str().unwrap().starts_with(msg), "{}", answer.text);
    }
    let narrow = [("fastly-key", "narrow"), ("fastly-soft-purge", "1")];
    assert_eq!(send(&stage, "POST", "/service/www/purge/a", &narrow, "").await.status, 403);
    for (method, path) in
        [("GET", "/service/www/purge/a"), ("POST", "/service//purge/a"), ("POST", "/service/www/purge/")]
    {
        assert_eq!(send(&stage, method, path, &[KEY], "").await.status, 404, "{method} {path}");
    }
    assert!(stage.ledger.written.lock().is_empty());
}

#[tokio::test]
async fn cloudflare_purges_by_each_of_its_kinds() {
    let stage = stage(Fake::open());
    let rows: [(&'static str, &[&str]); 6] = [
        (
            r#"{"files":["https://a/x",{"url":"http://a/y","headers":{"Origin":"z"}}]}"#,
            &["url https://a:443/x", "url http://a:80/y"],
        ),
        (r#"{"tags":["t","u"]}"#, &["tag t", "tag u"]),
        (r#"{"hosts":["A"]}"#, &["host a"]),
        (r#"{"prefixes":["a/img"]}"#, &["prefix http://a:80/img", "prefix https://a:443/img"]),
        (r#"{"purge_everything":true}"#, &["host a", "host b"]),
        (r#"{"tags":["t"],"purge_everything":false}"#, &["tag t"]),
    ];
    for (number, (body, wanted)) in rows.into_iter().enumerate() {
        let answer = send(&stage, "POST", "/client/v4/zones/www/purge_cache", &[BEARER], body).await;
        assert_eq!(answer.status, 200, "{body} {}", answer.text);
        let id = answer.json()["result"]["id"].clone();
        let envelope = json!({ "success": true, "errors": [], "messages": [], "result": { "id": id } });
        assert!(id.is_string());
        assert_eq!(answer.json(), envelope);
        assert_eq!(last(&stage), (wanted.iter().map(|t| (*t).to_owned()).collect(), false, number + 1));
    }
}

#[tokio::test]
async fn cloudflare_refusals_are_in_its_envelope_and_without_effect() {
    let stage = stage(Fake::open());
    let path = "/client/v4/zones/www/purge_cache";
    let rows: [(Fields<'_>, &'static str, u16, u16); 7] = [
        (&[], r#"{"tags":["t"]}"#, 401, 10_000),
        (&[("authorization", "Bearer narrow")], r#"{"tags":["t"]}"#, 403, 10_000),
        (&[BEARER], "{}", 400, 400),
        (&[BEARER], "[]", 400, 400),
        (&[BEARER], r#"{"tags":["t"],"hosts":["a"]}"#, 400, 400),
        (&[BEARER], r#"{"files":["https://a/","/x"]}"#, 400, 400),
        (&[BEARER], r#"{"files":["https://unknown/"]}"#, 400, 400),
    ];
    for (fields, body, status, code) in rows {
        let answer = send(&stage, "POST", path, fields, body).await;
        assert_eq!(answer.status, status, "{body} {}", answer.text);
        let told = answer.json();
        assert_eq!((&told["success"], &told["result"]), (&json!(false), &Value::Null));
        assert_eq!(told["errors"][0]["code"], code, "{body}");
    }
    assert!(stage.ledger.written.lock().is_empty());
}

#[tokio::test]
async fn events_of_the_invalidation_draft() {
    let stage = stage(Fake::open());
    let rows: [(&'static str, u16, &[&str]); 5] = [
        (r#"{"type":"uri","selectors":["https://a/fo%6f/../b"],"new":1}"#, 200, &["url https://a:443/b"]),
        (r#"{"type":"uri-prefix","selectors":["https://a/foo"]}"#, 200, &["prefix https://a:443/foo"]),
        (r#"{"type":"origin","selectors":["http://a:80"]}"#, 200, &["prefix http://a:80/"]),
        (r#"{"type":"group","selectors":["http://a:80"],"groups":["g"]}"#, 200, &["tag g"]),
        (r#"{"type":"uri","selectors":["https://a/"],"purge":true}"#, 202, &["url https://a:443/"]),
    ];
    for (body, status, wanted) in rows {
        let answer = send(&stage, "POST", "/invalidate", &[BEARER], body).await;
        assert_eq!((answer.status, answer.text.as_str()), (status, ""), "{body}");
        assert_eq!(last(&stage).0, wanted);
    }
    let before = stage.ledger.written.lock().len();
    for (body, status) in [
        (r#"{"type":"glob","selectors":["*"]}"#, 501),
        (r#"{"type":"group","selectors":["http://a:80"]}"#, 400),
        (r#"{"type":"origin","selectors":["http://a:80/x"]}"#, 400),
        (r#"{"type":"uri"}"#, 400),
        (r#"{"type":"uri","selectors":["/x"]}"#, 400),
    ] {
        assert_eq!(send(&stage, "POST", "/invalidate", &[BEARER], body).await.status, status, "{body}");
    }
    assert_eq!(send(&stage, "POST", "/invalidate", &[], rows[0].0).await.status, 401);
    assert_eq!(stage.ledger.written.lock().len(), before);
    let told = send(&stage, "GET", "/invalidate", &[BEARER, ("host", "edge:9901")], "").await.json();
    assert_eq!(told["invalidation"]["uri"], "http://edge:9901/invalidate");
    assert_eq!(told["targeted-cc"], json!(["cdn-cache-control", "surrogate-control"]));
}
