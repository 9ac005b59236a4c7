//! A node's part in a fleet, against pages of logs as its peers would send them.

use larder_store::{Config as Store, Purge, Recorded, Selector, Seq};

use super::state::Place;
use super::*;
use crate::clock::Timestamp;
use crate::purge::Note;
use crate::purge::tests::{Fake, purges};

struct Stage {
    fleet: Arc<Fleet>,
    fence: Arc<Fence>,
    ledger: Fake,
}

/// A node with the peers `a` and `b`, that keeps what it remembers in `directory`.
fn stage(directory: &std::path::Path, ledger: &Fake, catch_up_timeout: Duration) -> Stage {
    let fence: Arc<Fence> = Arc::default();
    let peer = |host: &str| Endpoint { tls: false, host: host.into(), port: 9901 };
    let config =
        Config { peers: vec![peer("a"), peer("b")], token: "t".into(), ca_file: None, catch_up_timeout };
    let memo = Memo::new(&Store::new(directory, 1 << 20, 1 << 20), "fleet");
    let clock = Clock::manual(Timestamp(0));
    let fleet = Fleet::new(config, purges(ledger), Arc::clone(&fence), memo, &clock, false).unwrap();
    Stage { fleet, fence, ledger: ledger.clone() }
}

const NEVER: Duration = Duration::from_secs(3600);

fn recorded(seq: u64, id: &str, tag: &str) -> Recorded {
    let note = Note { id: id.into(), time: "then".into(), author: Some("them".into()), ..Note::default() };
    let purge = Purge { selectors: vec![Selector::Tag(tag.into())], soft: false };
    Recorded { seq: Seq(seq), purge, note: note.encode(), time: 0, undoes: None }
}

/// The whole log of a node that has caught up.
fn page(node: &str, log: &str, purges: Vec<Recorded>) -> Page {
    let upto = purges.last().map_or(0, |recorded| recorded.seq.0);
    Page { node: node.into(), log: log.into(), complete_after: 0, upto, more: false, caught_up: true, purges }
}

impl Stage {
    /// What happens when a source has answered.
    async fn read(&self, index: usize, page: Page) {
        let source = &self.fleet.sources[index];
        let place = self.fleet.state.lock().place(&source.peer.url);
        self.fleet.take(source, &place, page).await.unwrap();
        source.about.lock().tried = true;
        self.fleet.settle().await;
    }

    async fn fail(&self, index: usize) {
        let about = About { tried: true, error: Some("refused".into()), ..About::default() };
        *self.fleet.sources[index].about.lock() = about;
        self.fleet.settle().await;
    }

    fn ids(&self) -> Vec<String> {
        self.ledger.written.lock().iter().map(|recorded| Note::decode(&recorded.note).id).collect()
    }

    fn doubts(&self, born: u64) -> bool {
        self.fence.doubts(Seq(born))
    }

    fn is_ready(&self) -> bool {
        self.fleet.reasons().is_empty()
    }
}

#[tokio::test]
async fn a_node_applies_what_it_missed_before_it_is_ready() {
    let directory = tempfile::tempdir().unwrap();
    let stage = stage(directory.path(), &Fake::open(), NEVER);
    assert!(!stage.is_ready() && stage.doubts(1_000_000));
    assert!(stage.fleet.reasons()[0].contains("http://a:9901: asking"), "{:?}", stage.fleet.reasons());
    let log = vec![recorded(1, "x", "t"), recorded(2, "", "journal"), recorded(4, "y", "u")];
    stage.read(0, page("edge-a", "L1", log.clone())).await;
    assert!(!stage.is_ready(), "the other one is being asked");
    stage.fail(1).await;
    assert!(stage.is_ready() && !stage.doubts(0));
    assert_eq!(stage.ids(), ["x", "y"]);
    let same = vec![recorded(7, "y", "u"), recorded(8, "x", "t"), recorded(9, "z", "v")];
    stage.read(1, page("edge-b", "L2", same)).await;
    assert_eq!(stage.ids(), ["x", "y", "z"], "in another order with other positions it is the same set");
    let written = stage.ledger.written.lock();
    let note = Note::decode(&written[0].note);
    assert_eq!((note.author.as_deref(), note.time.as_str()), (Some("them"), "then"));
}

#[tokio::test]
async fn places_are_kept_and_a_repeated_page_does_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Fake::open();
    let before = stage(directory.path(), &ledger, NEVER);
    before.read(0, page("edge-a", "L1", vec![recorded(5, "x", "t")])).await;
    let own = before.fleet.state.lock().log.clone();
    let after = stage(directory.path(), &ledger, NEVER);
    assert_eq!(after.fleet.state.lock().log, own);
    let place = after.fleet.state.lock().place("http://a:9901");
    assert_eq!((place.log.as_str(), place.sequence, place.gap), ("L1", 5, false));
    after.read(0, page("edge-a", "L1", vec![recorded(5, "x", "t"), recorded(6, "y", "t")])).await;
    assert_eq!(after.ids(), ["x", "y"]);
}

#[tokio::test]
async fn what_is_not_durable_is_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let stage = stage(directory.path(), &Fake::open(), NEVER);
    let full = larder_store::PurgeError::NotDurable(Arc::new(std::io::Error::other("full")));
    stage.ledger.failures.lock().push_back(full);
    let source = &stage.fleet.sources[0];
    let both = page("edge-a", "L1", vec![recorded(1, "x", "t"), recorded(2, "y", "t")]);
    let error = stage.fleet.take(source, &Place::default(), both.clone()).await.unwrap_err();
    assert!(error.contains("a purge was not applied"), "{error}");
    assert_eq!(stage.fleet.state.lock().place(&source.peer.url), Place::default());
    stage.read(0, both).await;
    assert_eq!(stage.ids(), ["y", "x"]);
}

#[tokio::test]
async fn cut_off_for_longer_than_all_remember_nothing_stored_is_believed() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Fake::open();
    let stage = stage(directory.path(), &ledger, NEVER);
    stage.read(0, page("edge-a", "L1", vec![recorded(5, "x", "t")])).await;
    stage.read(1, page("edge-b", "L2", vec![recorded(3, "x", "t")])).await;
    assert!(stage.is_ready() && !stage.doubts(0));
    let later = Page { complete_after: 8, ..page("edge-a", "L1", vec![recorded(9, "y", "t")]) };
    stage.read(0, later).await;
    assert!(!stage.doubts(0), "the other one remembers");
    stage.fail(1).await;
    let later = Page { complete_after: 10, ..page("edge-a", "L1", vec![recorded(12, "z", "t")]) };
    stage.read(0, later).await;
    let fence = stage.fleet.state.lock().fence;
    assert_eq!(fence, stage.ledger.written.lock().len() as u64);
    assert!(stage.doubts(fence - 1) && !stage.doubts(fence));
    let mark = Note::decode(&stage.ledger.written.lock().last().unwrap().note);
    assert!(mark.id.is_empty() && mark.reason.unwrap().contains("revalidated before it is served"));

    let again = self::stage(directory.path(), &ledger, NEVER);
    assert!(again.doubts(fence), "everything, until it has caught up");
    again.read(0, page("edge-a", "L1", vec![recorded(12, "z", "t")])).await;
    again.fail(1).await;
    assert!(
        again.is_ready() && again.doubts(fence - 1) && !again.doubts(fence),
        "a restart forgets no fence"
    );
}

#[tokio::test]
async fn a_gap_is_not_forgotten_by_a_crash_before_something_was_done_about_it() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Fake::open();
    let before = stage(directory.path(), &ledger, NEVER);
    before.read(0, page("edge-a", "L1", vec![recorded(1, "x", "t")])).await;
    let later = Page { complete_after: 8, ..page("edge-a", "L1", vec![recorded(9, "y", "t")]) };
    before.read(0, later).await;
    assert!(!before.is_ready(), "the other one may know");
    let after = stage(directory.path(), &ledger, NEVER);
    after.read(0, page("edge-a", "L1", vec![recorded(9, "y", "t")])).await;
    after.read(1, Page { complete_after: 3, ..page("edge-b", "L2", vec![recorded(4, "y", "t")]) }).await;
    assert!(after.is_ready() && after.fleet.state.lock().fence > 0);
}

#[tokio::test]
async fn alone_a_node_is_ready_in_time_and_believes_again_when_somebody_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let stage = stage(directory.path(), &Fake::open(), Duration::ZERO);
    stage.fail(0).await;
    stage.fail(1).await;
    assert!(stage.is_ready() && stage.fleet.is_alone());
    let position = stage.fleet.purges.sequence();
    assert!(stage.doubts(position - 1) && !stage.doubts(position), "what is fetched now is good");
    assert_eq!(stage.fleet.state.lock().fence, 0, "not for ever");
    stage.read(0, page("edge-a", "L1", vec![recorded(1, "x", "t")])).await;
    assert!(!stage.fleet.is_alone() && !stage.doubts(0));
    assert_eq!(stage.ids().last().unwrap(), "x");
}

#[tokio::test]
async fn what_was_remembered_and_is_damaged_is_made_up_for() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Fake::open();
    stage(directory.path(), &ledger, NEVER).read(0, page("a", "L1", vec![recorded(1, "x", "t")])).await;
    let file = directory.path().join("memo-fleet");
    let text = std::fs::read_to_string(&file).unwrap().replace("L1", "L2");
    #[expect(clippy::disallowed_methods, reason = "a test damages a file")]
    std::fs::write(&file, text).unwrap();
    let stage = stage(directory.path(), &ledger, NEVER);
    stage.read(0, page("a", "L1", vec![recorded(1, "x", "t")])).await;
    stage.read(1, page("b", "L3", vec![])).await;
    let fence = stage.fleet.state.lock().fence;
    assert!(fence > 0 && stage.doubts(fence - 1) && stage.is_ready());
}

#[tokio::test]
async fn a_log_that_is_another_one_is_read_from_its_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let stage = stage(directory.path(), &Fake::open(), NEVER);
    stage.read(0, page("edge-a", "L1", vec![recorded(7, "x", "t")])).await;
    stage.read(1, page("edge-b", "L2", vec![])).await;
    stage.read(0, page("edge-a", "new", vec![recorded(1, "y", "t")])).await;
    assert_eq!(stage.ids(), ["x", "y"]);
    assert!(!stage.doubts(0), "a new log begins with nothing missing");
    stage.read(0, page("edge-a", "new", vec![])).await;
    assert_eq!(stage.fleet.state.lock().place("http://a:9901").sequence, 0, "it has gone back");
    assert!(
        stage
            .fleet
            .take(&stage.fleet.sources[0], &Place::default(), page("edge-1", "L", vec![]))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn one_id_for_two_purges_is_both_everywhere() {
    let directory = tempfile::tempdir().unwrap();
    let stage = stage(directory.path(), &Fake::open(), NEVER);
    stage.read(0, page("edge-a", "L1", vec![recorded(1, "x", "t")])).await;
    stage.read(1, page("edge-b", "L2", vec![recorded(1, "x", "u")])).await;
    stage.read(1, page("edge-b", "L2", vec![recorded(1, "x", "u")])).await;
    let ids = stage.ids();
    assert_eq!((ids.len(), ids[0].as_str()), (2, "x"));
    assert!(ids[1].starts_with("x~"), "{ids:?}");
}

#[tokio::test]
async fn a_node_has_confirmed_when_it_asks_for_what_comes_after() {
    let directory = tempfile::tempdir().unwrap();
    let stage = stage(directory.path(), &Fake::open(), NEVER);
    let fleet = &stage.fleet;
    stage.read(0, page("edge-a", "L1", vec![recorded(1, "x", "t")])).await;
    let own = fleet.state.lock().log.clone();
    let soon = Duration::from_millis(1);
    let first = fleet.confirmed(1, Wait::All, soon).await;
    assert_eq!((first.done, first.confirmed.len()), (false, 1));
    assert_eq!(first.missing, ["edge-a", "http://b:9901"]);
    fleet.page("another log", 1, soon, "edge-a").await;
    fleet.page(&own, 1, soon, "edge-z").await;
    assert_eq!(
        fleet.confirmed(1, Wait::Quorum, soon).await.confirmed,
        ["edge-1"],
        "of another log, of no peer"
    );
    fleet.page(&own, 1, soon, "edge-a").await;
    let quorum = fleet.confirmed(1, Wait::Quorum, soon).await;
    assert_eq!((quorum.done, quorum.missing), (true, vec!["http://b:9901".to_owned()]));
    assert!(!fleet.confirmed(1, Wait::All, soon).await.done);
    stage.read(1, page("edge-b", "L2", vec![])).await;
    let late = tokio::join!(fleet.confirmed(1, Wait::All, NEVER), fleet.page(&own, 1, soon, "edge-b"));
    assert_eq!((late.0.done, late.0.missing), (true, vec![]));
    assert!(!fleet.confirmed(2, Wait::Quorum, soon).await.done);
}
