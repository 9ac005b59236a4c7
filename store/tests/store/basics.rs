//! Put, get, refresh, remove, restart.

use larder_store::{Config, Key, KeyRef, Load, OpenError, Peek, Seq, Store, Tier};

use crate::support::*;

#[tokio::test]
async fn memory_only_touches_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let inside = directory.path().join("never");
    let store = open(&inside, MIB, 0);
    let bytes = body("a", 10_000);
    put(&store, "a", &bytes).await.unwrap();
    assert_eq!(get(&store, "a").await.unwrap(), bytes);
    assert_eq!(find(&store, "a").await.unwrap().tier, Tier::Memory);
    assert!(find(&store, "b").await.is_none());
    let receipt = store.purge(&hard(larder_store::Selector::All), "").await.unwrap();
    assert_eq!((receipt.seq, store.seq()), (Seq(1), Seq(1)));
    assert!(find(&store, "a").await.is_none());
    store.close().await;
    assert!(!inside.exists());
}

#[tokio::test]
async fn entries_survive_a_restart_in_every_size() {
    let directory = tempfile::tempdir().unwrap();
    let sizes = [0, 1, 4096, 128 * KIB, 128 * KIB + 1, MIB, MIB + 1, 3 * MIB + 77, 9 * MIB];
    let store = open(directory.path(), 8 * MIB, 256 * MIB);
    for size in sizes {
        let name = format!("s{size}");
        let entry = put(&store, &name, &body(&name, size)).await.unwrap();
        assert_eq!((entry.len(), entry.is_empty()), (size, size == 0));
        assert_eq!(get(&store, &name).await.unwrap(), body(&name, size));
    }
    store.close().await;
    let store = open(directory.path(), 8 * MIB, 256 * MIB);
    assert_eq!(store.stats().disk_objects, sizes.len() as u64);
    for size in sizes {
        let name = format!("s{size}");
        assert!(matches!(store.peek(KeyRef::new(&url(&name), "")), Peek::Disk), "{name}");
        let hit = find(&store, &name).await.unwrap();
        assert_eq!(hit.tier, Tier::Disk);
        assert_eq!(read_all(&hit.entry).await.unwrap(), body(&name, size));
        assert!(in_memory(&store, &name), "promoted, or its blocks are");
        assert_eq!(hit.entry.bytes().is_some(), size <= MIB, "small ones come as a whole");
    }
    let stats = store.stats();
    assert_eq!((stats.events.corrupt, stats.events.disk_errors), (0, 0));
    store.close().await;
}

#[tokio::test]
async fn ranges_are_exact_from_memory_and_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 8 * MIB, 64 * MIB);
    for (name, size) in [("small", 300 * KIB), ("large", 3 * MIB + 5)] {
        let bytes = body(name, size);
        let entry = put(&store, name, &bytes).await.unwrap();
        let edges =
            [0, 1, 128 * KIB - 1, 128 * KIB, MIB - 1, MIB, MIB + 1, 2 * MIB, size - 1, size, size + 9];
        for from in edges {
            for to in edges {
                let wanted = bytes.slice(from.min(size).min(to) as usize..to.min(size) as usize);
                assert_eq!(read(entry.read(from, to)).await.unwrap(), wanted, "{name} {from}..{to}");
            }
        }
    }
    store.close().await;
}

#[tokio::test]
async fn variants_are_apart_and_the_last_commit_counts() {
    let store = open("".as_ref(), MIB, 0);
    for (variant, text) in [("", "one"), ("gzip", "two"), ("", "three")] {
        let mut writer =
            store.writer(Key::new("http://a:80/", variant), Label("h".into()), vec![], Seq(0), None);
        writer.write(text.into()).await.unwrap();
        writer.commit().await.unwrap();
    }
    for (variant, wanted) in [("", Some("three")), ("gzip", Some("two")), ("br", None)] {
        let found = match store.load(KeyRef::new("http://a:80/", variant)).await {
            Load::Hit(hit) => hit.entry.bytes(),
            _ => None,
        };
        assert_eq!(found.as_deref(), wanted.map(str::as_bytes), "{variant}");
    }
}

#[tokio::test]
async fn refresh_keeps_the_body_and_changes_the_head() {
    let directory = tempfile::tempdir().unwrap();
    for (name, size) in [("small", 1000), ("large", 2 * MIB + 1)] {
        let store = open(directory.path(), 8 * MIB, 64 * MIB);
        let bytes = body(name, size);
        let old = put(&store, name, &bytes).await.unwrap();
        settled(&store);
        let new = store.refresh(&old, Label("new".into()), vec!["t".into()], store.seq()).await.unwrap();
        assert_eq!((new.head().0.as_str(), new.body_id()), ("new", old.body_id()));
        assert_eq!(find(&store, name).await.unwrap().entry.head().0, "new");
        settled(&store);
        store.close().await;
        let store = open(directory.path(), 8 * MIB, 64 * MIB);
        let found = find(&store, name).await.unwrap().entry;
        assert_eq!((found.head().0.as_str(), found.body_id()), ("new", old.body_id()));
        assert_eq!(read_all(&found).await.unwrap(), bytes);
        store.purge(&hard(larder_store::Selector::Tag("t".into())), "").await.unwrap();
        assert!(find(&store, name).await.is_none(), "the new tags count");
        assert!(store.refresh(&found, Label("x".into()), vec!["t".into()], found.born()).await.is_none());
        drop((old, new, found));
        store.close().await;
    }
}

#[tokio::test]
async fn equal_bodies_have_one_id_in_both_tiers() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 16 * MIB, 64 * MIB);
    let small = put(&store, "a", &body("x", 2 * MIB)).await.unwrap();
    let tiny = open("".as_ref(), 64 * MIB, 0);
    let memory = put(&tiny, "b", &body("x", 2 * MIB)).await.unwrap();
    let large = open(&directory.path().join("2"), MIB, 64 * MIB);
    let disk = put(&large, "c", &body("x", 2 * MIB)).await.unwrap();
    assert!(memory.bytes().is_some() && disk.bytes().is_none());
    assert_eq!((small.body_id(), memory.body_id()), (disk.body_id(), disk.body_id()));
    assert_ne!(put(&tiny, "d", &body("y", 2 * MIB)).await.unwrap().body_id(), disk.body_id());
}

#[tokio::test]
async fn removed_entries_stay_removed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 8 * MIB, 64 * MIB);
    for (name, size) in [("small", 1000), ("large", 2 * MIB)] {
        put(&store, name, &body(name, size)).await.unwrap();
        store.remove(KeyRef::new(&url(name), ""));
        assert!(find(&store, name).await.is_none());
    }
    until("their blocks are gone", || store.stats().disk_bytes == 0);
    store.close().await;
    assert!(blocks(directory.path()).is_empty());
    let store = open(directory.path(), 8 * MIB, 64 * MIB);
    assert_eq!(store.stats().disk_objects, 0);
}

#[tokio::test]
async fn only_one_process_at_a_time_and_only_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::new(directory.path(), MIB, 8 * MIB);
    let store = Store::<Label>::open(config.clone()).unwrap();
    assert!(matches!(Store::<Label>::open(config.clone()), Err(OpenError::Locked { .. })));
    store.close().await;
    Store::<Label>::open(config).unwrap().close().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = Config::new(file.path(), MIB, 8 * MIB);
    assert!(matches!(Store::<Label>::open(config), Err(OpenError::Directory { .. })));
}

#[tokio::test]
async fn many_loads_of_one_entry_read_it_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 8 * MIB, 64 * MIB);
    put(&store, "a", &body("a", 100_000)).await.unwrap();
    store.close().await;
    let faults = std::sync::Arc::default();
    let store = open_with(config(directory.path(), 8 * MIB, 64 * MIB), &faults);
    let before = faults.calls();
    let loads: Vec<_> = (0..50).map(|_| Box::pin(find(&store, "a"))).collect();
    for load in loads {
        assert_eq!(load.await.unwrap().entry.len(), 100_000);
    }
    assert!(faults.calls() - before < 10, "{} calls", faults.calls() - before);
}
