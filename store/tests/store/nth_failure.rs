//! Every call to the disk fails once: nothing wrong is served, nothing purged comes back, and it goes on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use larder_store::fault::{Faults, Seams};
use larder_store::{KeyRef, OpenError, PurgeError, Selector, Store};

use crate::support::*;

fn try_open(directory: &std::path::Path, faults: &Arc<Faults>) -> Option<Shop> {
    let seams = Seams {
        faults: Arc::clone(faults),
        fold_age: Duration::ZERO,
        sweep_every: Duration::ZERO,
        ..Seams::default()
    };
    match Store::open_with(config(directory, 4 * MIB, 64 * MIB), seams) {
        Ok(store) => Some(store),
        Err(OpenError::Directory { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Whatever is found is right.
async fn right(store: &Shop, path: &str, bodies: &[&Bytes]) -> bool {
    let Some(hit) = find(store, path).await else { return false };
    match read_all(&hit.entry).await {
        Ok(bytes) => assert!(bodies.contains(&&bytes), "wrong bytes for {path}"),
        Err(error) => println!("{path}: {error}"),
    }
    true
}

async fn script(directory: &std::path::Path, faults: &Arc<Faults>) {
    let (small, large, other) = (body("small", 5000), body("large", 2 * MIB + 10), body("other", 7000));
    let mut purged = false;
    if let Some(store) = try_open(directory, faults) {
        let _ = put_tagged(&store, "dead", &small, &["t"]).await;
        let _ = put(&store, "large", &large).await;
        let _ = put(&store, "small", &small).await;
        settled(&store);
        assert!(right(&store, "small", &[&small]).await, "memory is not harmed by the disk");
        right(&store, "large", &[&large]).await;
        purged = match store.purge(&hard(Selector::Tag("t".into())), "").await {
            Ok(_) => true,
            Err(PurgeError::NotDurable(_)) => false,
            Err(error) => panic!("{error}"),
        };
        assert!(find(&store, "dead").await.is_none(), "in force at once, durable or not");
        let _ = put(&store, "small", &other).await;
        store.remove(KeyRef::new(&url("large"), ""));
        let _ = put(&store, "large", &large).await;
        settled(&store);
        store.close().await;
    }
    if let Some(store) = try_open(directory, faults) {
        assert!(!(right(&store, "dead", &[&small]).await && purged), "an acknowledged purge was forgotten");
        right(&store, "small", &[&small, &other]).await;
        right(&store, "large", &[&large]).await;
        store.close().await;
    }
    faults.fail_nth(0);
    let store = try_open(directory, faults).expect("the disk is well again");
    assert!(!(right(&store, "dead", &[&small]).await && purged), "an acknowledged purge was forgotten");
    for (path, bytes) in [("small", &small), ("large", &large)] {
        until("the disk takes new entries again", || store.stats().disk_healthy);
        put(&store, path, bytes).await.unwrap();
        assert!(right(&store, path, &[bytes]).await);
    }
    store.purge(&hard(Selector::All), "").await.unwrap();
    store.close().await;
}

/// Fails the calls `first`, `first + 4`, ... until there are no more.
async fn fail_every_fourth_from(first: u64) {
    let mut n = first;
    loop {
        let directory = tempfile::tempdir().unwrap();
        let faults = Arc::new(Faults::default());
        faults.fail_nth(n);
        println!("call {n}");
        script(directory.path(), &faults).await;
        if faults.calls() < n {
            break;
        }
        n += 4;
    }
    assert!(n > 40, "only {n} calls to the disk");
}

#[tokio::test]
async fn every_call_fails_once_1() {
    fail_every_fourth_from(1).await;
}

#[tokio::test]
async fn every_call_fails_once_2() {
    fail_every_fourth_from(2).await;
}

#[tokio::test]
async fn every_call_fails_once_3() {
    fail_every_fourth_from(3).await;
}

#[tokio::test]
async fn every_call_fails_once_4() {
    fail_every_fourth_from(4).await;
}

#[tokio::test]
async fn a_disk_that_fails_at_the_start_is_done_without() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let store = try_open(directory.path(), &faults).unwrap();
    put(&store, "old", &body("old", 5000)).await.unwrap();
    settled(&store);
    store.close().await;

    faults.fail_all(true);
    let store = try_open(directory.path(), &faults).expect("memory is enough to start with");
    assert!(!store.stats().disk_healthy);
    assert!(find(&store, "old").await.is_none());
    put_tagged(&store, "new", &body("new", 5000), &["t"]).await.unwrap();
    assert_eq!(get(&store, "new").await, Some(body("new", 5000)));
    let refused = store.purge(&hard(Selector::Tag("t".into())), "").await;
    assert!(matches!(refused, Err(PurgeError::NotDurable(_))), "{refused:?}");
    assert!(find(&store, "new").await.is_none(), "in force all the same");
    assert_eq!(store.stats().disk_objects + store.stats().disk_budget, 0);
    store.close().await;

    faults.fail_all(false);
    let store = try_open(directory.path(), &faults).unwrap();
    assert!(store.stats().disk_healthy);
    store.close().await;
}

#[tokio::test]
async fn a_directory_that_is_none_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    drop(std::fs::OpenOptions::new().create(true).append(true).open(&file).unwrap());
    for directory in [file.clone(), file.join("below")] {
        let opened = Shop::open(config(&directory, 4 * MIB, 64 * MIB));
        assert!(matches!(opened, Err(OpenError::Directory { .. })), "{opened:?}");
    }
    let inside = folder.path().join("cache");
    let store = open(&inside, 4 * MIB, 64 * MIB);
    let second = Shop::open(config(&inside, 4 * MIB, 64 * MIB));
    assert!(matches!(second, Err(OpenError::Locked { .. })), "{second:?}");
    store.close().await;
}

#[tokio::test]
async fn a_disk_that_fails_for_long_is_left_alone_and_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let store = try_open(directory.path(), &faults).unwrap();
    faults.fail_all(true);
    for number in 0..20 {
        let path = format!("n{number}");
        put(&store, &path, &body(&path, 5000)).await.unwrap();
        assert!(in_memory(&store, &path), "memory goes on");
        settled(&store);
    }
    let stats = store.stats();
    assert!(
        !stats.disk_healthy && stats.events.steps_back == 1 && stats.events.disk_errors < 10,
        "{stats:?}"
    );
    faults.fail_all(false);
    until("the disk takes new entries again", || store.stats().disk_healthy);
    put(&store, "after", &body("after", 5000)).await.unwrap();
    settled(&store);
    assert_eq!(store.stats().disk_objects, 1);
    store.close().await;
}

#[tokio::test]
async fn a_disk_that_hangs_delays_nobody_for_long() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let store = try_open(directory.path(), &faults).unwrap();
    put(&store, "a", &body("a", 5000)).await.unwrap();
    put(&store, "disk", &body("disk", 2 * MIB)).await.unwrap();
    store.close().await;
    let store = try_open(directory.path(), &faults).unwrap();
    assert!(get(&store, "a").await.is_some());
    faults.hang(true);
    assert!(find(&store, "disk").await.is_none(), "answered as busy after a while");
    assert!(in_memory(&store, "a"));
    let large = body("large", 12 * MIB);
    let mut writer = store.writer(
        larder_store::Key::new(&url("large"), ""),
        Label("large".into()),
        vec![],
        store.seq(),
        None,
    );
    let reader = writer.tap().reader(0).unwrap();
    let local = tokio::task::LocalSet::new();
    let source = large.clone();
    let fill = local.spawn_local(async move {
        for at in (0..source.len()).step_by(65_536) {
            writer.write(source.slice(at..source.len().min(at + 65_536))).await.unwrap();
        }
        writer.commit().await.is_ok()
    });
    local
        .run_until(async {
            assert!(read(reader).await.unwrap() == large, "a fill goes on without the disk");
            assert!(!fill.await.unwrap());
        })
        .await;
    faults.hang(false);
    until("the disk takes new entries again", || store.stats().disk_healthy);
    assert!(get(&store, "disk").await.unwrap() == body("disk", 2 * MIB));
    store.close().await;
}
