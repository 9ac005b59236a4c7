//! Orders against a ledger whose answers a test holds back or spoils.

use std::collections::VecDeque;
use std::time::Duration;

use larder_store::{Page, Past, Recorded, Selector, Seq, Told};
use tokio::sync::Semaphore;

use super::*;
use crate::clock::Timestamp;

/// A ledger in memory; `gate` holds writes back, `failures` spoils the next ones.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) written: Arc<Mutex<Vec<Recorded>>>,
    pub(crate) gate: Arc<Semaphore>,
    pub(crate) failures: Arc<Mutex<VecDeque<PurgeError>>>,
    /// What came before is no longer in the log.
    pub(crate) forgotten: Arc<Mutex<Seq>>,
}

impl Fake {
    pub(crate) fn open() -> Self {
        let fake = Self::shut();
        fake.gate.add_permits(Semaphore::MAX_PERMITS);
        fake
    }

    pub(crate) fn shut() -> Self {
        Self {
            written: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
            failures: Arc::default(),
            forgotten: Arc::default(),
        }
    }
}

impl Ledger for Fake {
    fn sequence(&self) -> Seq {
        Seq(self.written.lock().len() as u64)
    }

    fn apply(&self, purge: Purge, note: String) -> Pending<Result<Seq, PurgeError>> {
        let this = self.clone();
        Box::pin(async move {
            this.gate.acquire().await.unwrap().forget();
            if let Some(failure) = this.failures.lock().pop_front() {
                return Err(failure);
            }
            let mut written = this.written.lock();
            let seq = Seq(written.len() as u64 + 1);
            written.push(Recorded { seq, purge, note, time: 0, undoes: None });
            Ok(seq)
        })
    }

    fn undo(&self, undone: Seq, note: String) -> Pending<Result<Seq, PurgeError>> {
        let mut written = self.written.lock();
        let seq = Seq(written.len() as u64 + 1);
        let purge = Purge { selectors: Vec::new(), soft: false };
        written.push(Recorded { seq, purge, note, time: 0, undoes: Some(undone) });
        Box::pin(async move { Ok(seq) })
    }

    fn survey(&self, purge: Purge) -> Pending<Reach> {
        Box::pin(async move { Reach { objects: purge.selectors.len() as u64, bytes: 1234 } })
    }

    fn history(&self) -> Vec<Recorded> {
        self.written.lock().clone()
    }

    fn past(&self, after: Seq) -> Past {
        let written = self.written.lock();
        let (forgotten, upto) = (*self.forgotten.lock(), Seq(written.len() as u64));
        let later = written.iter().filter(|recorded| recorded.seq > after.max(forgotten));
        Past { purges: later.cloned().collect(), complete_after: forgotten, upto, more: false }
    }

    fn page(&self, after: Option<Seq>, limit: usize, _bytes: usize) -> Page {
        let written = self.written.lock();
        let all = written.iter().filter(|recorded| after.is_none_or(|after| recorded.seq > after));
        let told = |recorded: &Recorded| Told { recorded: recorded.clone(), undone: None, undoable: None };
        let mut purges: Vec<Told> = all.map(told).collect();
        if after.is_none() {
            purges.drain(..purges.len().saturating_sub(limit));
        }
        purges.truncate(limit);
        Page { purges, seq: Seq(written.len() as u64), ..Page::default() }
    }
}

/// Purges of a node `edge-1` at 2026-11-23T08:00:00Z.
pub(crate) fn purges(fake: &Fake) -> Arc<Purges> {
    let clock = Clock::manual(Timestamp(1_795_420_800_000));
    Arc::new(Purges::new("edge-1".into(), clock, fake.clone()))
}

fn order(json: &str) -> Order {
    Order::parse(json.as_bytes()).unwrap()
}

fn tag(id: &str, tag: &str) -> Order {
    order(&format!(r#"{{"kind":"tag","selectors":["{tag}"],"id":"{id}"}}"#))
}

#[tokio::test]
async fn an_order_is_done_once_however_often_it_comes() {
    let fake = Fake::open();
    let purges = purges(&fake);
    let first = purges.carry_out(tag("a", "x")).await.unwrap();
    assert_eq!((first.sequence, first.repeated, first.objects), (1, false, None));
    assert_eq!(first.applied_at, "2026-11-23T08:00:00Z");
    let second = purges.carry_out(tag("a", "x")).await.unwrap();
    assert_eq!(second, Receipt { repeated: true, ..first });
    assert_eq!(purges.carry_out(tag("b", "x")).await.unwrap().sequence, 2);
    assert_eq!(fake.written.lock().len(), 2);
    let counts = purges.counts();
    assert_eq!((counts.purged[Kind::Tag as usize], counts.repeated, counts.failed), (2, 1, 0));
}

#[tokio::test]
async fn an_id_is_remembered_over_a_restart() {
    let fake = Fake::open();
    let first = purges(&fake).carry_out(tag("a", "x")).await.unwrap();
    let after = purges(&fake).carry_out(tag("a", "x")).await.unwrap();
    assert_eq!(after, Receipt { repeated: true, ..first });
    assert_eq!(fake.written.lock().len(), 1);
}

#[tokio::test]
async fn an_id_stands_for_one_purge_only() {
    let fake = Fake::open();
    let purges = purges(&fake);
    purges.carry_out(tag("a", "x")).await.unwrap();
    let other = purges.carry_out(tag("a", "y")).await.unwrap_err();
    assert_eq!(other.to_string(), "id: \"a\" was used for another purge");
    let soft = order(r#"{"kind":"tag","selectors":["x"],"id":"a","soft":true}"#);
    assert!(matches!(purges.carry_out(soft).await, Err(Failed::Id(_))));
    assert_eq!(fake.written.lock().len(), 1);
}

#[tokio::test]
async fn the_same_id_at_the_same_time_is_written_once() {
    let fake = Fake::shut();
    let purges = purges(&fake);
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let purges = Arc::clone(&purges);
            tasks::spawn("test", async move { purges.carry_out(tag("a", "x")).await.unwrap() })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(fake.written.lock().is_empty());
    fake.gate.add_permits(50);
    let mut fresh = 0;
    for task in tasks {
        fresh += usize::from(!task.await.unwrap().repeated);
    }
    assert_eq!((fresh, fake.written.lock().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_stops_nothing() {
    let fake = Fake::shut();
    let purges = purges(&fake);
    let left = tokio::time::timeout(Duration::from_millis(1), purges.carry_out(tag("a", "x"))).await;
    assert!(left.is_err());
    fake.gate.add_permits(9);
    let again = purges.carry_out(tag("a", "x")).await.unwrap();
    assert_eq!((again.sequence, again.repeated, fake.written.lock().len()), (1, true, 1));
}

#[tokio::test]
async fn a_failure_is_not_remembered() {
    let fake = Fake::open();
    let full = std::io::Error::other("no space left");
    fake.failures.lock().push_back(PurgeError::NotDurable(Arc::new(full)));
    let purges = purges(&fake);
    let failed = purges.carry_out(tag("a", "x")).await.unwrap_err();
    assert_eq!(failed.to_string(), "applied, but not durable: no space left");
    let again = purges.carry_out(tag("a", "x")).await.unwrap();
    assert_eq!((again.sequence, again.repeated), (1, false));
    assert_eq!(purges.counts().failed, 1);
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let fake = Fake::open();
    let purges = purges(&fake);
    let receipt = purges.carry_out(Order { dry_run: true, ..tag("a", "x") }).await.unwrap();
    assert_eq!((receipt.objects, receipt.bytes, receipt.dry_run), (Some(1), Some(1234), true));
    assert!(fake.written.lock().is_empty());
    let real = purges.carry_out(tag("a", "x")).await.unwrap();
    assert!(!real.repeated, "a dry run does not use up its id");
}

#[tokio::test]
async fn orders_without_an_id_get_one_each() {
    let fake = Fake::open();
    let purges = purges(&fake);
    let all = || order(r#"{"kind":"all"}"#);
    let (one, two) = (purges.carry_out(all()).await.unwrap(), purges.carry_out(all()).await.unwrap());
    assert_ne!(one.id, two.id);
    assert!(one.id.starts_with("edge-1:"));
    assert_eq!((one.repeated, two.repeated, two.sequence), (false, false, 2));
}

#[tokio::test]
async fn an_undo_names_a_purge_that_was_done_and_is_done_once() {
    let fake = Fake::open();
    let purges = purges(&fake);
    let undo = |id: &str| order(&format!(r#"{{"kind":"undo","selectors":["a"],"id":"{id}"}}"#));
    let unknown = purges.carry_out(undo("u")).await.unwrap_err();
    assert_eq!(unknown.to_string(), "not undone: no such purge is remembered");
    purges.carry_out(tag("a", "x")).await.unwrap();
    let receipt = purges.carry_out(undo("u")).await.unwrap();
    assert_eq!((receipt.sequence, receipt.kind, receipt.selectors), (2, Kind::Undo, 1));
    assert_eq!(fake.written.lock()[1].undoes, Some(Seq(1)));
    assert!(purges.carry_out(undo("u")).await.unwrap().repeated);
    let after = Purges::new("edge-1".into(), Clock::system(), fake.clone());
    assert!(Arc::new(after).carry_out(undo("u")).await.unwrap().repeated, "also after a restart");
    assert_eq!(fake.written.lock().len(), 2);
}

#[test]
fn every_kind_counts_in_its_own_place() {
    for (i, kind) in Kind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, i);
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
}

#[test]
fn only_the_last_ids_are_remembered() {
    let mut seen = Seen::new(2);
    let first = seen.slot("a");
    seen.slot("b");
    assert!(Arc::ptr_eq(&first, &seen.slot("a")));
    seen.slot("c");
    assert!(!Arc::ptr_eq(&first, &seen.slot("a")), "a was the oldest");
}

#[test]
fn bodies_become_orders() {
    let got = order(
        r#"{"kind":"url","selectors":["HTTPS://A/x","http://b"],"soft":true,"dry_run":true,
            "id":"i-1","author":"me","reason":"why"}"#,
    );
    let selectors = vec![Selector::Url("https://a:443/x".into()), Selector::Url("http://b:80/".into())];
    assert_eq!(got.purge, Purge { selectors, soft: true });
    assert!(got.dry_run);
    let texts = (got.id.as_deref(), got.author.as_deref(), got.reason.as_deref());
    assert_eq!(texts, (Some("i-1"), Some("me"), Some("why")));
    assert_eq!(order(r#"{"kind":"all"}"#).purge, Purge { selectors: vec![Selector::All], soft: false });
}

#[test]
fn what_is_no_order_is_told_with_the_selector_that_is_none() {
    let rows = [
        ("", "the body is not a purge: EOF"),
        ("[]", "the body is not a purge: "),
        (r#"{"selectors":["a"]}"#, "the body is not a purge: missing field `kind`"),
        (
            r#"{"kind":"ban","selectors":["a"]}"#,
            "the body is not a purge: unknown variant `ban`, expected one of",
        ),
        (r#"{"kind":"tag","selectors":["a"],"soft":1}"#, "the body is not a purge: invalid type"),
        (r#"{"kind":"tag","selectors":["a"],"sotf":true}"#, "the body is not a purge: unknown field `sotf`"),
        (r#"{"kind":"tag","selectors":["a"]} x"#, "the body is not a purge: trailing"),
        (r#"{"kind":"tag"}"#, "selectors: empty; kind \"tag\" needs"),
        (r#"{"kind":"all","selectors":["x"]}"#, "selectors[0]: kind \"all\" takes none: \"x\""),
        (r#"{"kind":"tag","selectors":["a",5]}"#, "selectors[1]: not a string: 5"),
        (
            r#"{"kind":"url","selectors":["http://a/","http://b/","foo"]}"#,
            "selectors[2]: not an absolute http or https URL: \"foo\"",
        ),
        (r#"{"kind":"url","selectors":["x","http://a/","http://u@b/"]}"#, "selectors[0]: not an absolute"),
        (r#"{"kind":"prefix","selectors":["/img/"]}"#, "selectors[0]: not an absolute"),
        (r#"{"kind":"host","selectors":["http://a/"]}"#, "selectors[0]: "),
        (r#"{"kind":"tag","selectors":["a b"]}"#, "selectors[0]: "),
        (r#"{"kind":"regex","selectors":["[a-"]}"#, "selectors[0]: not a regular expression: \"[a-\": "),
        (r#"{"kind":"undo","selectors":[]}"#, "selectors: 0; kind \"undo\" needs one id"),
        (r#"{"kind":"undo","selectors":["a b"]}"#, "id: not an id: \"a b\""),
        (r#"{"kind":"tag","selectors":["a"],"id":""}"#, "id: not an id: \"\""),
        (r#"{"kind":"tag","selectors":["a"],"id":"a\nb"}"#, "id: not an id: \"a\\nb\""),
    ];
    for (body, start) in rows {
        let error = Order::parse(body.as_bytes()).unwrap_err().error;
        assert!(error.starts_with(start), "{body}\n expected {start}\n      got {error}");
    }
    let long = format!(r#"{{"kind":"tag","selectors":["a"],"reason":"{}"}}"#, "r".repeat(1025));
    assert!(Order::parse(long.as_bytes()).unwrap_err().error.starts_with("reason: longer"));
}

#[test]
fn selectors_are_brought_into_the_form_of_the_keys() {
    let rows = [
        ("url", "HTTP://A./x/../caf%c3%a9", Ok(vec![Selector::Url("http://a:80/caf%C3%A9".into())])),
        ("url", "http://a/%7Eé", Ok(vec![Selector::Url("http://a:80/~%C3%A9".into())])),
        ("url", "http://a/%zz", Err("selectors[0]: broken escape: \"http://a/%zz\"")),
        ("prefix", "http://a/%7e/..", Ok(vec![Selector::Prefix("http://a:80/~/..".into())])),
        (
            "prefix",
            "http://a/?%7e",
            Ok(vec![Selector::Prefix("http://a:80/?~".into()), Selector::Prefix("http://a:80/?%7e".into())]),
        ),
        ("prefix", "http://a/caf%c3%a", Err("selectors[0]: ends inside an escape")),
        ("host", "A.example.", Ok(vec![Selector::Host("a.example".into())])),
        ("host", "bücher.example", Err("selectors[0]: not a host: \"bücher.example\"")),
        ("tag", "café", Ok(vec![Selector::Tag("café".into())])),
    ];
    for (kind, text, wanted) in rows {
        let body = serde_json::json!({ "kind": kind, "selectors": [text] }).to_string();
        match (Order::parse(body.as_bytes()), wanted) {
            (Ok(order), Ok(wanted)) => assert_eq!(order.purge.selectors, wanted, "{text}"),
            (Err(why), Err(start)) => assert!(why.error.starts_with(start), "{text}: {}", why.error),
            (got, _) => panic!("{text}: {got:?}"),
        }
    }
}

#[test]
fn many_mistakes_are_told_shortly() {
    let selectors: Vec<String> = (0..500).map(|i| format!("\"{i}{}\"", "y".repeat(3000))).collect();
    let body = format!(r#"{{"kind":"url","selectors":[{}]}}"#, selectors.join(","));
    let error = Order::parse(body.as_bytes()).unwrap_err().error;
    assert!(error.ends_with("; and 490 more") && error.len() < 4000, "{} bytes", error.len());
    let word = format!(r#"{{"kind":"{}"}}"#, "k".repeat(100_000));
    assert!(Order::parse(word.as_bytes()).unwrap_err().error.len() < 1000);
    let many = vec!["\"a\""; limits::PURGE_SELECTORS_MAX + 1].join(",");
    let body = format!(r#"{{"kind":"tag","selectors":[{many}]}}"#);
    assert_eq!(Order::parse(body.as_bytes()).unwrap_err().error, "selectors: 10001, more than 10000");
}

/// A head of nothing, enough to open a real store.
struct Bare;

impl larder_store::Head for Bare {
    fn encode(&self, _out: &mut Vec<u8>) {}

    fn decode(_bytes: &[u8]) -> Option<Self> {
        Some(Self)
    }

    fn weight(&self) -> usize {
        0
    }
}

#[tokio::test]
async fn the_store_is_a_ledger() {
    let store = larder_store::Store::<Bare>::open(larder_store::Config::new("", 1 << 20, 0)).unwrap();
    let key = larder_store::Key::new("http://a:80/x", "");
    let mut writer = store.writer(key, Bare, vec!["x".to_owned()], store.seq(), None);
    writer.write(bytes::Bytes::from_static(b"body")).await.unwrap();
    writer.commit().await.unwrap();
    let purges = Arc::new(Purges::new("edge-1".into(), Clock::system(), store.clone()));
    let counted = purges.carry_out(Order { dry_run: true, ..tag("a", "x") }).await.unwrap();
    assert_eq!((counted.objects, counted.bytes), (Some(1), Some(4)));
    let receipt = purges.carry_out(tag("a", "x")).await.unwrap();
    assert_eq!((receipt.sequence, purges.sequence()), (store.seq().0, store.seq().0));
    let key = larder_store::KeyRef::new("http://a:80/x", "");
    assert!(matches!(store.load(key).await, larder_store::Load::Miss));
    let listed = purges.listing(Some(0), 9);
    assert_eq!((listed.purges[0].id.as_str(), &listed.purges[0].selectors[..]), ("a", &["x".to_owned()][..]));
    assert_eq!((listed.complete, listed.more, listed.purges.len()), (true, false, 1));
    let after = Arc::new(Purges::new("edge-1".into(), Clock::system(), store));
    assert_eq!(after.carry_out(tag("a", "x")).await.unwrap(), Receipt { repeated: true, ..receipt });
}

#[tokio::test]
async fn invalidated_groups_are_told_to_the_fleet_and_urls_are_not() {
    let fake = Fake::open();
    let purges = purges(&fake);
    let of = |selectors: &[Selector]| Purge { selectors: selectors.to_vec(), soft: false };
    let (url, group) = (Selector::Url("http://a:80/".into()), Selector::Tag("g".into()));
    assert_eq!(purges.invalidate(of(std::slice::from_ref(&url))).await.unwrap(), Seq(1));
    assert_eq!(purges.ids(), [], "a record without an id concerns no other node");
    assert_eq!(purges.invalidate(of(&[group, url])).await.unwrap(), Seq(2));
    assert_eq!(purges.ids().iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [2]);
    let note = Note::decode(&fake.written.lock()[1].note);
    assert_eq!(note.author.as_deref(), Some("rfc9875"));
}
