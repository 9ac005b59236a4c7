//! Budgets and equal bodies.

use std::sync::Arc;

use larder_store::fault::Faults;
use larder_store::{KeyRef, NotKept, Selector};

use crate::support::*;

#[tokio::test]
async fn equal_bodies_are_kept_once_and_outlive_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let store = open_with(config(directory.path(), 4 * MIB, 64 * MIB), &faults);
    for size in [100 * KIB, 3 * MIB] {
        let bytes = body("same", size);
        for path in ["a", "b", "c"] {
            put(&store, path, &bytes).await.unwrap();
        }
        settled(&store);
        assert_eq!(blocks(directory.path()).len() as u64, size.div_ceil(MIB));
        store.remove(KeyRef::new(&url("a"), ""));
        store.purge(&hard(Selector::Url(url("b"))), "").await.unwrap();
        until("the purged one is swept", || store.stats().disk_objects == 1);
        let entry = find(&store, "c").await.unwrap().entry;
        assert!(read_all(&entry).await.unwrap() == bytes);
        store.remove(KeyRef::new(&url("c"), ""));
        assert!(read_all(&entry).await.unwrap() == bytes, "who holds it can read it");
        drop(entry);
        until("the last one gives the space back", || store.stats().disk_bytes == 0);
        assert!(blocks(directory.path()).is_empty());
    }
    assert!(store.stats().events.deduplicated >= 4);
    store.close().await;
}

#[tokio::test]
async fn equal_bodies_that_come_and_go_at_once_are_never_lost() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 4 * MIB, 64 * MIB);
    let bytes = body("same", 2 * MIB + 5);
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async {
            let tasks: Vec<_> = (0..4)
                .map(|task| {
                    let (store, bytes) = (store.clone(), bytes.clone());
                    tokio::task::spawn_local(async move {
                        let path = format!("p{task}");
                        for _ in 0..15 {
                            let entry = put(&store, &path, &bytes).await.unwrap();
                            assert!(read_all(&entry).await.unwrap() == bytes);
                            assert!(get(&store, &path).await.unwrap() == bytes);
                            drop(entry);
                            store.remove(KeyRef::new(&url(&path), ""));
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        })
        .await;
    until("all is given back", || store.stats().disk_bytes == 0);
    let events = store.stats().events;
    assert_eq!((events.disk_errors, events.corrupt), (0, 0));
    store.close().await;
}

#[tokio::test]
async fn the_disk_budget_holds_and_the_least_wanted_goes() {
    let directory = tempfile::tempdir().unwrap();
    let budget = 8 * MIB;
    let store = open(directory.path(), MIB, budget);
    for number in 0..400 {
        let path = format!("n{number}");
        put(&store, &path, &body(&path, 64 * KIB)).await.unwrap();
        settled(&store);
        assert!(store.stats().disk_bytes <= budget);
        let _ = get(&store, "n0").await;
    }
    let files: u64 = blocks(directory.path()).iter().map(|path| path.metadata().unwrap().len()).sum();
    assert!(files <= budget, "{files}");
    let stats = store.stats();
    assert!(stats.events.evictions > 200 && stats.disk_objects > 80, "{stats:?}");
    assert!(get(&store, "n0").await.is_some(), "asked for all the time");
    for number in 0..400 {
        let path = format!("n{number}");
        if let Some(found) = get(&store, &path).await {
            assert_eq!(found, body(&path, 64 * KIB));
        }
    }
    store.close().await;
    let store = open(directory.path(), MIB, budget / 2);
    until("a smaller budget is reached", || store.stats().disk_bytes <= budget / 2);
    store.close().await;
}

#[tokio::test]
async fn large_bodies_push_out_others_but_not_what_is_being_read() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), MIB, 16 * MIB);
    let held = put(&store, "held", &body("held", 3 * MIB)).await.unwrap();
    let mut kept = 0;
    for number in 0..12 {
        let path = format!("n{number}");
        match put(&store, &path, &body(&path, 3 * MIB)).await {
            Ok(entry) => {
                kept += 1;
                assert!(read_all(&entry).await.unwrap() == body(&path, 3 * MIB));
            }
            Err(why) => assert_eq!(why, NotKept::Busy),
        }
        assert!(store.stats().disk_bytes <= 16 * MIB);
    }
    assert!(kept >= 10, "{kept}");
    assert!(read_all(&held).await.unwrap() == body("held", 3 * MIB));
    assert!(put(&store, "huge", &body("huge", 5 * MIB)).await.is_err(), "over object_max");
    store.close().await;
}

#[tokio::test]
async fn the_memory_budget_holds() {
    let store = open("".as_ref(), 4 * MIB, 0);
    for number in 0..500 {
        let path = format!("n{number}");
        put(&store, &path, &body(&path, 50_000)).await.unwrap();
    }
    until("moka has settled", || store.stats().memory_bytes <= 4 * MIB);
    assert!(store.stats().memory_objects >= 40, "{:?}", store.stats());
}
