//! Purges that are taken back, and those that are not; regular expressions.

use std::sync::Arc;
use std::time::Duration;

use larder_store::fault::Faults;
use larder_store::{NotUndoable, Purge, PurgeError, Purges, Selector, Seq};

use crate::support::*;

/// A store whose purges can be taken back for `window`, swept and folded at once when they cannot any more.
fn open_undoable(directory: &std::path::Path, window: Duration, faults: &Arc<Faults>) -> Shop {
    let purges = Purges { undo_window: window, ..Purges::default() };
    open_with(larder_store::Config { purges, ..config(directory, 8 * MIB, 64 * MIB) }, faults)
}

const LONG: Duration = Duration::from_secs(3600);

fn why(result: Result<larder_store::Receipt, PurgeError>) -> NotUndoable {
    match result {
        Err(PurgeError::NotUndoable(why)) => why,
        other => panic!("{other:?}"),
    }
}

async fn state(store: &Shop, path: &str) -> &'static str {
    match find(store, path).await {
        None => "gone",
        Some(hit) if hit.expired => "stale",
        Some(_) => "fresh",
    }
}

/// Each kind, hard and soft, in memory, on disk and over a restart between the purge and the undo.
#[tokio::test]
async fn what_was_purged_comes_back_as_it_was() {
    let selectors = [
        Selector::Url(url("x/1")),
        Selector::Prefix(url("x/")),
        Selector::Tag("t".into()),
        Selector::Host("a".into()),
        Selector::Regex("/x/[0-9]$".into()),
        Selector::All,
    ];
    let faults = Arc::new(Faults::default());
    for selector in selectors {
        for (soft, reopen) in [(false, false), (false, true), (true, false), (true, true)] {
            let directory = tempfile::tempdir().unwrap();
            let mut store = open_undoable(directory.path(), LONG, &faults);
            put_tagged(&store, "x/1", &body("x/1", 5000), &["t"]).await.unwrap();
            settled(&store);
            let purge = Purge { selectors: vec![selector.clone()], soft };
            let seq = store.purge(&purge, "").await.unwrap().seq;
            let wanted = if soft { "stale" } else { "gone" };
            assert_eq!(state(&store, "x/1").await, wanted, "{selector:?}");
            if reopen {
                store.close().await;
                store = open_undoable(directory.path(), LONG, &faults);
                assert_eq!(state(&store, "x/1").await, wanted, "{selector:?}");
            }
            store.undo(seq, "").await.unwrap();
            assert_eq!(state(&store, "x/1").await, "fresh", "{selector:?} {soft} {reopen}");
            assert_eq!(why(store.undo(seq, "").await), NotUndoable::Undone);
            assert_eq!(why(store.undo(Seq(2), "").await), NotUndoable::Undo);
            assert_eq!(why(store.undo(Seq(9), "").await), NotUndoable::Unknown);
            store.close().await;
            let store = open_undoable(directory.path(), LONG, &faults);
            assert_eq!(state(&store, "x/1").await, "fresh", "after a restart");
            store.close().await;
        }
    }
}

#[tokio::test]
async fn what_was_fetched_since_stays() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_undoable(directory.path(), LONG, &Arc::default());
    put(&store, "a", &body("old", 100)).await.unwrap();
    let seq = store.purge(&hard(Selector::All), "").await.unwrap().seq;
    put(&store, "a", &body("new", 100)).await.unwrap();
    store.undo(seq, "").await.unwrap();
    assert_eq!(get(&store, "a").await.unwrap(), body("new", 100));
    store.close().await;
    let store = open_undoable(directory.path(), LONG, &Arc::default());
    assert_eq!(get(&store, "a").await.unwrap(), body("new", 100));
    store.close().await;
}

/// Random purges, overlapping, soft and hard, and undos of them in any order: the state is that of those which stand.
#[tokio::test]
async fn purges_and_undos_in_any_order() {
    let faults = Arc::new(Faults::default());
    for seed in 1..=12_u64 {
        let mut random = Random(seed);
        let mut draw = |below: u64| random.below(below);
        let directory = tempfile::tempdir().unwrap();
        let mut store = open_undoable(directory.path(), LONG, &faults);
        let paths = ["x/1", "x/2", "y"];
        for path in paths {
            put_tagged(&store, path, &body(path, 300), &[if path == "y" { "s" } else { "t" }]).await.unwrap();
        }
        settled(&store);
        let mut standing: Vec<(Seq, Purge)> = Vec::new();
        for step in 0..40 {
            if draw(3) > 0 || standing.is_empty() {
                let selector = match draw(6) {
                    0 => Selector::Url(url(paths[draw(3) as usize])),
                    1 => Selector::Prefix(url("x/")),
                    2 => Selector::Tag(["s", "t"][draw(2) as usize].into()),
                    3 => Selector::Host("a".into()),
                    4 => Selector::Regex("/(x/1|y)$".into()),
                    _ => Selector::All,
                };
                let purge = Purge { selectors: vec![selector], soft: draw(2) == 0 };
                standing.push((store.purge(&purge, "").await.unwrap().seq, purge));
            } else {
                let (seq, _) = standing.swap_remove(draw(standing.len() as u64) as usize);
                store.undo(seq, "").await.unwrap();
            }
            if draw(8) == 0 {
                store.close().await;
                store = open_undoable(directory.path(), LONG, &faults);
            }
            for path in paths {
                let tags = [if path == "y" { "s" } else { "t" }];
                let hit = |soft| {
                    let of = |(_, purge): &(Seq, Purge)| {
                        purge.soft == soft && purge.selectors[0].matches(&url(path), &tags)
                    };
                    standing.iter().any(of)
                };
                let wanted = if hit(false) {
                    "gone"
                } else if hit(true) {
                    "stale"
                } else {
                    "fresh"
                };
                assert_eq!(
                    state(&store, path).await,
                    wanted,
                    "seed {seed}, step {step}, {path}: {standing:?}"
                );
            }
        }
        store.close().await;
    }
}

/// The window is over: swept, folded, and for good.
#[tokio::test]
async fn after_the_window_a_purge_is_carried_out() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let store = open_undoable(directory.path(), Duration::from_millis(1), &faults);
    put_tagged(&store, "a", &body("a", 100), &["t"]).await.unwrap();
    put_tagged(&store, "b", &body("b", 100), &["u"]).await.unwrap();
    settled(&store);
    let seq = store.purge(&hard(Selector::Tag("t".into())), "").await.unwrap().seq;
    store.purge(&soft(Selector::Regex("/b$".into())), "").await.unwrap();
    until("it is swept and folded", || store.stats().purge_selectors == 0);
    assert_eq!(why(store.undo(seq, "").await), NotUndoable::Late);
    assert_eq!((state(&store, "a").await, state(&store, "b").await), ("gone", "stale"));
    assert_eq!(store.stats().disk_objects, 1);
    store.close().await;
    let store = open_undoable(directory.path(), LONG, &faults);
    assert_eq!((state(&store, "a").await, state(&store, "b").await), ("gone", "stale"));
    store.close().await;
}

/// Sweeps go on over entries that are hidden, and nothing is lost that could come back.
#[tokio::test]
async fn a_sweep_leaves_what_may_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let store = open_undoable(directory.path(), Duration::from_millis(300), &faults);
    for path in ["a", "b"] {
        put_tagged(&store, path, &body(path, 100), &[path]).await.unwrap();
    }
    settled(&store);
    store.purge(&hard(Selector::Tag("b".into())), "").await.unwrap();
    until("the first purge is settled and swept", || store.stats().disk_objects == 1);
    let seq = store.purge(&hard(Selector::Tag("a".into())), "").await.unwrap().seq;
    until("the first purge is folded", || store.stats().purge_selectors == 1);
    if store.undo(seq, "").await.is_ok() {
        assert_eq!(state(&store, "a").await, "fresh");
    }
    store.close().await;
}

#[tokio::test]
async fn an_undo_that_cannot_be_written_leaves_the_purge() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let store = open_undoable(directory.path(), LONG, &faults);
    put(&store, "a", &body("a", 100)).await.unwrap();
    let seq = store.purge(&hard(Selector::All), "").await.unwrap().seq;
    faults.fail_all(true);
    assert!(matches!(store.undo(seq, "").await, Err(PurgeError::NotUndone(_))));
    faults.fail_all(false);
    assert_eq!(state(&store, "a").await, "gone");
    store.undo(seq, "").await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn regular_expressions_are_bounded_in_number() {
    let store = Shop::open(larder_store::Config { disk: 0, ..larder_store::Config::default() }).unwrap();
    let ban = |number: usize| hard(Selector::Regex(format!("/{number}$")));
    for number in 0..128 {
        store.purge(&ban(number), "").await.unwrap();
    }
    assert!(matches!(store.purge(&ban(128), "").await, Err(PurgeError::Bans { held: 128, max: 128 })));
    store.purge(&ban(5), "the same once more").await.unwrap();
    put(&store, "128", &body("128", 10)).await.unwrap();
    assert_eq!(state(&store, "128").await, "fresh");
    store.close().await;
}
