//! Purges: what they hit, when, and for how long.

use std::sync::Arc;

use larder_store::fault::Faults;
use larder_store::{Key, NotKept, Purge, PurgeError, Selector, Seq, Survey, TAGS_MAX};

use crate::support::*;

#[tokio::test]
async fn each_kind_hits_what_it_names_in_both_tiers() {
    let selectors = [
        (Selector::Url(url("x/1")), vec!["x/1"]),
        (Selector::Prefix(url("x/")), vec!["x/1", "x/2"]),
        (Selector::Tag("t".into()), vec!["x/2", "y"]),
        (Selector::Host("a".into()), vec!["x/1", "x/2", "y"]),
        (Selector::Host("b".into()), vec![]),
        (Selector::All, vec!["x/1", "x/2", "y"]),
    ];
    for (selector, hits) in selectors {
        for reopen in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let mut store = open(directory.path(), 8 * MIB, 64 * MIB);
            for (path, tags) in [("x/1", &[][..]), ("x/2", &["t"]), ("y", &["s", "t"])] {
                put_tagged(&store, path, &body(path, 5000), tags).await.unwrap();
            }
            if reopen {
                store.close().await;
                store = open(directory.path(), 8 * MIB, 64 * MIB);
            }
            let survey = store.survey(&hard(selector.clone())).await;
            assert_eq!(survey, Survey { objects: hits.len() as u64, bytes: 5000 * hits.len() as u64 });
            store.purge(&hard(selector.clone()), "note").await.unwrap();
            for path in ["x/1", "x/2", "y"] {
                assert_eq!(
                    get(&store, path).await.is_none(),
                    hits.contains(&path),
                    "{selector:?} {path} {reopen}"
                );
            }
            store.close().await;
            let store = open(directory.path(), 8 * MIB, 64 * MIB);
            for path in ["x/1", "x/2", "y"] {
                assert_eq!(get(&store, path).await.is_none(), hits.contains(&path), "after a restart");
            }
            assert_eq!(store.history().len(), 1);
            assert_eq!(store.history()[0].note, "note");
            store.close().await;
        }
    }
}

#[tokio::test]
async fn a_soft_purge_expires_until_the_next_body() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), 8 * MIB, 64 * MIB);
    put(&store, "a", &body("a", 10)).await.unwrap();
    put(&store, "b", &body("b", 10)).await.unwrap();
    store.purge(&soft(Selector::Url(url("a"))), "").await.unwrap();
    for round in 0..2 {
        assert!(find(&store, "a").await.unwrap().expired, "{round}");
        assert!(!find(&store, "b").await.unwrap().expired);
        store.close().await;
        store = open(directory.path(), 8 * MIB, 64 * MIB);
    }
    let old = find(&store, "a").await.unwrap().entry;
    let new = store.refresh(&old, Label("a".into()), vec![], store.seq()).await.unwrap();
    assert_eq!(new.born(), Seq(1));
    assert!(!find(&store, "a").await.unwrap().expired);
    store.close().await;
}

#[tokio::test]
async fn a_fetch_in_flight_cannot_bring_the_old_body_back() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 4 * MIB, 64 * MIB);
    for size in [1000, 3 * MIB] {
        let mut writer = store.writer(Key::new(&url("a"), ""), Label("a".into()), vec![], store.seq(), None);
        writer.write(body("a", size)).await.unwrap();
        let reader = writer.tap().reader(0).unwrap();
        store.purge(&hard(Selector::Url(url("a"))), "").await.unwrap();
        assert_eq!(writer.commit().await.unwrap_err(), NotKept::Purged);
        assert_eq!(read(reader).await.unwrap(), body("a", size), "its readers are served");
        assert!(get(&store, "a").await.is_none());
        put(&store, "a", &body("a", size)).await.unwrap();
        assert!(get(&store, "a").await.is_some(), "what is born later lives");
    }
    store.close().await;
}

/// Many purges, sweeps that fold them away at once, and entries that come and go: what is dead stays dead.
#[tokio::test]
async fn folded_purges_stay_in_force_and_the_tables_stay_small() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let mut store = open_with(config(directory.path(), 8 * MIB, 64 * MIB), &faults);
    for path in ["dead", "soft", "alive", "dead-large"] {
        let size = if path == "dead-large" { 3 * MIB } else { 100 };
        put_tagged(&store, path, &body(path, size), &[path]).await.unwrap();
    }
    settled(&store);
    let early = store.writer(Key::new(&url("early"), ""), Label("early".into()), vec![], store.seq(), None);
    store.purge(&hard(Selector::Tag("dead".into())), "").await.unwrap();
    store.purge(&hard(Selector::Url(url("dead-large"))), "").await.unwrap();
    store.purge(&soft(Selector::Tag("soft".into())), "").await.unwrap();
    until("the purges are folded", || store.stats().purge_selectors == 0);
    until("the space is given back", || store.stats().disk_objects == 2);
    for round in 0..2 {
        assert!(get(&store, "dead").await.is_none() && get(&store, "dead-large").await.is_none());
        assert!(find(&store, "soft").await.unwrap().expired, "{round}");
        assert!(!find(&store, "alive").await.unwrap().expired);
        assert_eq!((store.seq(), store.history().len()), (Seq(3), 3));
        if round == 0 {
            assert_eq!(early.commit().await.unwrap_err(), NotKept::Purged, "not seen since before the fold");
            break;
        }
    }
    store.close().await;
    store = open_with(config(directory.path(), 8 * MIB, 64 * MIB), &faults);
    assert!(get(&store, "dead").await.is_none() && get(&store, "dead-large").await.is_none());
    assert!(find(&store, "soft").await.unwrap().expired);
    assert_eq!((store.seq(), store.stats().purge_selectors), (Seq(3), 0));
    store.close().await;
}

#[tokio::test]
async fn many_purges_at_once_share_syncs_and_keep_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let store = Shop::open_with(
        config(directory.path(), 8 * MIB, 64 * MIB),
        larder_store::fault::Seams { faults: Arc::clone(&faults), ..Default::default() },
    )
    .unwrap();
    let before = faults.calls();
    let local = tokio::task::LocalSet::new();
    let tasks: Vec<_> = (0..500)
        .map(|i| {
            let store = store.clone();
            local.spawn_local(async move { store.purge(&hard(Selector::Tag(format!("t{i}"))), "").await })
        })
        .collect();
    local
        .run_until(async {
            let mut seqs = Vec::new();
            for task in tasks {
                seqs.push(task.await.unwrap().unwrap().seq.0);
            }
            assert_eq!(seqs, (1..=500).collect::<Vec<_>>());
        })
        .await;
    assert!(faults.calls() - before < 500, "{} calls", faults.calls() - before);
    store.close().await;
}

#[tokio::test]
async fn a_purge_that_cannot_be_made_durable_says_so_and_is_in_force() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let store = open_with(config(directory.path(), 8 * MIB, 64 * MIB), &faults);
    put(&store, "a", &body("a", 10)).await.unwrap();
    settled(&store);
    faults.fail_all(true);
    let result = store.purge(&hard(Selector::All), "").await;
    assert!(matches!(result, Err(PurgeError::NotDurable(_))));
    assert!(get(&store, "a").await.is_none());
    faults.fail_all(false);
    let result = store.purge(&Purge { selectors: vec![], soft: false }, "").await;
    assert_eq!(result.unwrap().seq, Seq(2));
    store.close().await;
}

#[tokio::test]
async fn an_entry_is_kept_with_all_its_tags_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 8 * MIB, 64 * MIB);
    let tags: Vec<String> = (0..=TAGS_MAX).map(|number| format!("t{number}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    assert!(put_tagged(&store, "more", &body("more", 10), &tags).await.is_err());
    assert!(get(&store, "more").await.is_none());
    let most = put_tagged(&store, "most", &body("most", 10), &tags[..TAGS_MAX]).await.unwrap();
    let more = tags.iter().map(|&tag| tag.to_owned()).collect();
    assert!(store.refresh(&most, Label("most".into()), more, store.seq()).await.is_none());
    store.purge(&hard(Selector::Tag(tags[TAGS_MAX - 1].into())), "").await.unwrap();
    assert!(get(&store, "most").await.is_none());
    store.close().await;
}
