//! Answers that come late: what is newer stays, what a purge has named does not come back under another name.

use std::sync::Arc;

use larder_store::{Entry, Key, KeyRef, NotKept, Purge, Selector, Seq};

use crate::support::*;

async fn put_born(store: &Shop, name: &str, size: u64, born: Seq) -> Result<Arc<Entry<Label>>, NotKept> {
    let mut writer = store.writer(Key::new(&url("a"), ""), Label("a".into()), vec![], born, Some(size));
    let mut rest = body(name, size);
    while !rest.is_empty() {
        writer.write(rest.split_to(rest.len().min(64 * 1024))).await.unwrap();
    }
    writer.commit().await
}

/// Moves the position on without touching anything.
async fn tick(store: &Shop) -> Seq {
    store.purge(&hard(Selector::Url(url("nothing"))), "").await.unwrap().seq
}

async fn renew(store: &Shop, old: &Arc<Entry<Label>>, tag: &str, born: Seq) -> Option<Arc<Entry<Label>>> {
    store.refresh(old, Label("a".into()), vec![tag.to_owned()], born).await
}

#[tokio::test]
async fn an_older_answer_does_not_replace_a_newer_one() {
    for disk in [0, 64 * MIB] {
        // Small ones wait in memory, large ones are on disk at once; either may come first.
        let sizes = if disk == 0 {
            vec![(1000, 1000)]
        } else {
            vec![(1000, 1000), (1000, 3 * MIB), (3 * MIB, 1000), (3 * MIB, 2 * MIB)]
        };
        for (newer, older) in sizes {
            for reopen in [false, true] {
                let directory = tempfile::tempdir().unwrap();
                let mut store = open(directory.path(), 8 * MIB, disk);
                let before = store.seq();
                let after = tick(&store).await;
                put_born(&store, "newer", newer, after).await.unwrap();
                if reopen && disk > 0 {
                    store.close().await;
                    store = open(directory.path(), 8 * MIB, disk);
                }
                put_born(&store, "older", older, before).await.unwrap();
                let what = format!("disk {disk}, {newer} over {older}, {reopen}");
                assert!(get(&store, "a").await.unwrap() == body("newer", newer), "{what}");
                put_born(&store, "last", older, after).await.unwrap();
                assert!(get(&store, "a").await.unwrap() == body("last", older), "equal: the last, {what}");
                store.close().await;
                if disk > 0 {
                    let store = open(directory.path(), 8 * MIB, disk);
                    assert!(
                        get(&store, "a").await.unwrap() == body("last", older),
                        "{what}, after a restart"
                    );
                    store.close().await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_purge_by_a_tag_that_a_304_takes_away_is_not_forgotten() {
    for size in [1000, 3 * MIB] {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path(), 8 * MIB, 64 * MIB);
        let old = put_tagged(&store, "a", &body("a", size), &["a"]).await.unwrap();
        let born = store.seq();
        store.purge(&hard(Selector::Tag("a".into())), "").await.unwrap();
        assert!(renew(&store, &old, "b", born).await.is_none());
        assert!(get(&store, "a").await.is_none());
        // Found alive by the next one, but asked for before the soft purge.
        let old = put_tagged(&store, "a", &body("a", size), &["a"]).await.unwrap();
        let born = store.seq();
        store.purge(&soft(Selector::Tag("a".into())), "").await.unwrap();
        let new = renew(&store, &old, "b", born).await.unwrap();
        assert!(find(&store, "a").await.unwrap().expired, "the origin was asked before the purge");
        assert!(renew(&store, &new, "b", store.seq()).await.is_some());
        assert!(!find(&store, "a").await.unwrap().expired);
        store.close().await;
    }
}

#[tokio::test]
async fn only_what_is_still_there_is_renewed() {
    for disk in [0, 64 * MIB] {
        for size in if disk == 0 { vec![1000] } else { vec![1000, 3 * MIB] } {
            for wait in [false, true] {
                let directory = tempfile::tempdir().unwrap();
                let store = open(directory.path(), 8 * MIB, disk);
                let what = format!("disk {disk}, {size}, {wait}");
                let settle = || {
                    if wait {
                        settled(&store)
                    }
                };
                let first = put_born(&store, "first", size, store.seq()).await.unwrap();
                settle();
                put_born(&store, "second", size, store.seq()).await.unwrap();
                settle();
                assert!(renew(&store, &first, "t", store.seq()).await.is_none(), "replaced, {what}");
                assert!(get(&store, "a").await.unwrap() == body("second", size), "{what}");
                let second = find(&store, "a").await.unwrap().entry;
                let third = renew(&store, &second, "t", store.seq()).await.expect("still there");
                settle();
                assert!(renew(&store, &second, "t", store.seq()).await.is_none(), "renewed already, {what}");
                store.remove(KeyRef::new(&url("a"), ""));
                assert!(renew(&store, &third, "t", store.seq()).await.is_none(), "removed, {what}");
                assert!(get(&store, "a").await.is_none(), "{what}");
                store.close().await;
            }
        }
    }
}

#[tokio::test]
async fn what_was_read_from_disk_is_renewed_though_memory_forgot_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path(), 8 * MIB, 64 * MIB);
    put_born(&store, "a", 1000, store.seq()).await.unwrap();
    store.close().await;
    // No room for any entry in memory.
    store = open(directory.path(), 1, 64 * MIB);
    for _ in 0..3 {
        let one = find(&store, "a").await.unwrap().entry;
        let other = find(&store, "a").await.unwrap().entry;
        let new = renew(&store, &other, "t", store.seq()).await.expect("the same, read twice");
        assert!(renew(&store, &one, "t", store.seq()).await.is_none());
        drop((one, new));
        settled(&store);
    }
    store.close().await;
}

#[tokio::test]
async fn a_renewal_is_never_older_than_what_it_renews() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 8 * MIB, 64 * MIB);
    let before = store.seq();
    let after = tick(&store).await;
    let old = put_born(&store, "a", 1000, after).await.unwrap();
    let new = renew(&store, &old, "t", before).await.unwrap();
    assert_eq!(new.born(), after);
    let purge = Purge { selectors: vec![Selector::Url(url("a"))], soft: false };
    let purged = store.purge(&purge, "").await.unwrap().seq;
    let old = put_born(&store, "a", 1000, purged).await.unwrap();
    assert!(renew(&store, &old, "t", after).await.is_none(), "its fields are older than the purge");
    store.close().await;
}
