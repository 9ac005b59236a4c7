//! Budgets and equal bodies.

use std::sync::Arc;

use larder_store::fault::Faults;
use larder_store::{Admission, Config, Key, KeyRef, NotKept, Selector, Share, Standing};

use crate::support::*;

#[tokio::test]
async fn equal_bodies_are_kept_once_and_outlive_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let store = open_with(config(directory.path(), 4 * MIB, 64 * MIB), &faults);
    for size in [5 * KIB, 100 * KIB, 3 * MIB] {
        let bytes = body("same", size);
        for path in ["a", "b", "c"] {
            put(&store, path, &bytes).await.unwrap();
        }
        settled(&store);
        let files = if size < 64 * KIB { 0 } else { size.div_ceil(MIB) };
        assert_eq!(blocks(directory.path()).len() as u64, files);
        let used = usage(directory.path());
        assert!(used < size + 128 * KIB, "{used} for {size}");
        store.remove(KeyRef::new(&url("a"), ""));
        store.purge(&hard(Selector::Url(url("b"))), "").await.unwrap();
        until("the purged one is swept", || store.stats().disk_objects == 1);
        let entry = find(&store, "c").await.unwrap().entry;
        assert!(read_all(&entry).await.unwrap() == bytes);
        store.remove(KeyRef::new(&url("c"), ""));
        assert!(read_all(&entry).await.unwrap() == bytes, "who holds it can read it");
        drop(entry);
        until("the last one gives the space back", || store.stats().disk_bytes == 0);
        assert!(blocks(directory.path()).is_empty() && segments(directory.path()).is_empty());
    }
    let events = store.stats().events;
    assert!(events.deduplicated >= 4);
    // Two threads may write one file at the same time.
    let saved = [5 * KIB + 6 * MIB, 2 * (5 * KIB + 100 * KIB + 3 * MIB)];
    assert!((saved[0]..=saved[1]).contains(&events.deduplicated_bytes), "{events:?}");
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
    let all = |disk| Config { admission: Admission::All, ..config(directory.path(), MIB, disk) };
    let store = Shop::open(all(budget)).unwrap();
    for number in 0..400 {
        let path = format!("n{number}");
        put(&store, &path, &body(&path, 64 * KIB)).await.unwrap();
        settled(&store);
        assert!(store.stats().disk_bytes <= budget);
        let _ = get(&store, "n0").await;
    }
    assert!(usage(directory.path()) <= budget, "{}", usage(directory.path()));
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
async fn what_du_shows_stays_within_the_budget() {
    for budget in [6 * MIB, 14 * MIB] {
        let directory = tempfile::tempdir().unwrap();
        let all = Config { admission: Admission::All, ..config(directory.path(), MIB, budget) };
        let store = Shop::open(all).unwrap();
        let mut random = Random(budget);
        for number in 0..900 {
            let size = match random.below(8) {
                0 => 0,
                1..=5 => random.below(20_000),
                6 => random.below(64 * KIB),
                // Files of their own, most of them hardly larger than what is packed: two directories for each.
                _ => 64 * KIB + random.below(200 * KIB),
            };
            let path = format!("n{}", random.below(700));
            put(&store, &path, &body(&format!("{path} {number}"), size)).await.unwrap();
            if number % 10 == 0 {
                settled(&store);
            }
            assert!(store.stats().disk_bytes <= budget);
            if number % 25 == 0 {
                let used = usage(directory.path());
                assert!(used <= budget, "{used} of {budget} after {number}");
            }
        }
        settled(&store);
        let stats = store.stats();
        assert!(stats.events.evictions > 20 && stats.events.stores_dropped < 90, "{stats:?}");
        assert!(usage(directory.path()) > budget / 2, "{} of {budget}", usage(directory.path()));
        let (objects, bytes) = (stats.disk_objects, stats.disk_bytes);
        store.close().await;
        let store = open(directory.path(), MIB, budget);
        // Eviction ahead of need may have gone on in between.
        assert!((objects - 16..=objects).contains(&store.stats().disk_objects), "{objects} before");
        assert!(store.stats().disk_bytes <= bytes, "what was open is cut to what is in it");
        store.purge(&hard(Selector::All), "").await.unwrap();
        store.close().await;
    }
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

/// Puts bodies of 64 KiB that nobody asks for, until the disk is crowded.
async fn crowd(store: &Shop) {
    let budget = store.stats().disk_budget;
    for number in 0.. {
        if store.stats().events.not_admitted > 0 {
            break;
        }
        let path = format!("crowd{number}");
        put(store, &path, &body(&path, 64 * KIB)).await.unwrap();
        settled(store);
        assert!(number < budget / (32 * KIB), "{:?}", store.stats());
    }
}

#[tokio::test]
async fn what_is_asked_for_once_stays_off_a_crowded_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 2 * MIB, 8 * MIB);
    crowd(&store).await;
    let before = (store.stats().disk_objects, store.stats().events.evictions);
    for number in 0..200 {
        let path = format!("once{number}");
        put(&store, &path, &body(&path, 16 * KIB)).await.unwrap();
    }
    settled(&store);
    let stats = store.stats();
    assert_eq!((stats.disk_objects, stats.events.evictions), before);
    assert!(stats.events.not_admitted >= 200 && stats.events.stores_dropped == 0, "{stats:?}");

    // Asked for again while it is in memory.
    put(&store, "hot", &body("hot", 16 * KIB)).await.unwrap();
    assert!(get(&store, "hot").await.is_some() && get(&store, "hot").await.is_some());
    settled(&store);
    assert_eq!(store.stats().events.admitted_again, 1);
    // Asked for again after it has left memory, which for the store is another body of the key.
    put(&store, "later", &body("later", 16 * KIB)).await.unwrap();
    put(&store, "later", &body("later", 16 * KIB)).await.unwrap();
    settled(&store);
    assert_eq!(store.stats().disk_objects, before.0 + 2);
    store.close().await;
    let store = open(directory.path(), 2 * MIB, 8 * MIB);
    for path in ["hot", "later"] {
        assert_eq!(get(&store, path).await.unwrap(), body(path, 16 * KIB));
    }
    assert!(find(&store, "once199").await.is_none());
    store.close().await;
}

#[tokio::test]
async fn a_new_version_of_what_is_on_disk_replaces_it_on_a_crowded_disk_too() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 2 * MIB, 8 * MIB);
    put(&store, "a", &body("old", 10_000)).await.unwrap();
    settled(&store);
    crowd(&store).await;
    put(&store, "a", &body("new", 10_000)).await.unwrap();
    settled(&store);
    store.close().await;
    let store = open(directory.path(), 2 * MIB, 8 * MIB);
    assert!(get(&store, "a").await.unwrap() == body("new", 10_000));
    store.close().await;
}

/// A head that says where its entry stands: `share` or `pinned`.
#[derive(Debug)]
struct Stands(Standing);

impl larder_store::Head for Stands {
    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &[u8]) -> Option<Self> {
        Some(Self(Standing::default()))
    }

    fn weight(&self) -> usize {
        0
    }

    fn standing(&self) -> Option<Standing> {
        (self.0 != Standing::default()).then_some(self.0)
    }
}

#[tokio::test]
async fn a_share_and_what_is_pinned_outlast_a_flood_and_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let settings = || Config {
        admission: Admission::All,
        shares: vec![Share { share: 7, percent: 25 }],
        pinned_max: 10,
        ..config(directory.path(), MIB, 8 * MIB)
    };
    let mut store = larder_store::Store::<Stands>::open(settings()).unwrap();
    let share = Standing { share: 7, pinned: false };
    let pin = Standing { share: 0, pinned: true };
    let names =
        |what: &'static str, count: usize| (0..count).map(move |number| url(&format!("{what}{number}")));
    for reopened in [false, true] {
        // A quarter of 8 MiB is 32 of 64 KiB; a tenth is 12.
        for (what, count, standing) in [("s", 20, share), ("p", 8, pin), ("x", 300, Standing::default())] {
            for name in names(what, if reopened && what != "x" { 0 } else { count }) {
                let name = if reopened { format!("{name}again") } else { name };
                let bytes = body(&name, 60 * KIB);
                let mut writer =
                    store.writer(Key::new(&name, ""), Stands(standing), vec![], store.seq(), None);
                writer.write(bytes).await.unwrap();
                writer.commit().await.unwrap();
                until("it is written", || store.stats().behind_bytes == 0);
            }
        }
        let mut kept = 0;
        for name in names("s", 20).chain(names("p", 8)) {
            kept +=
                usize::from(matches!(store.load(KeyRef::new(&name, "")).await, larder_store::Load::Hit(_)));
        }
        assert_eq!(kept, 28, "{:?}", store.stats());
        assert!(store.stats().disk_pinned >= 8 * 60 * KIB && store.stats().events.evictions > 100);
        let bytes = store.shares().into_iter().find(|(share, _)| *share == 7).unwrap().1;
        assert!(bytes >= 20 * 60 * KIB, "{bytes}");
        store.close().await;
        store = larder_store::Store::open(settings()).unwrap();
    }
    store.close().await;
}

#[tokio::test]
async fn a_file_system_short_of_space_is_left_alone_until_there_is_more() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let settings = Config { free_min: 100 * MIB, ..config(directory.path(), 2 * MIB, 64 * MIB) };
    let store = open_with(settings, &faults);
    faults.set_free(Some(200 * MIB));
    for number in 0..20 {
        let path = format!("n{number}");
        put(&store, &path, &body(&path, 64 * KIB)).await.unwrap();
    }
    settled(&store);
    faults.set_free(Some(99 * MIB));
    until("the store steps back", || !store.stats().disk_healthy);
    until("it makes room", || store.stats().disk_objects == 0 && store.stats().disk_bytes == 0);
    put(&store, "meanwhile", &body("meanwhile", KIB)).await.unwrap();
    assert!(get(&store, "meanwhile").await.is_some(), "from memory");
    faults.set_free(Some(105 * MIB));
    std::thread::park_timeout(std::time::Duration::from_millis(10));
    assert!(!store.stats().disk_healthy, "a little more is not enough");
    faults.set_free(Some(120 * MIB));
    until("it comes back", || store.stats().disk_healthy);
    assert!(get(&store, "meanwhile").await.is_some());
    until("what was asked for meanwhile goes to disk", || store.stats().disk_objects == 1);
    assert_eq!(store.stats().events.steps_back, 1);
    store.close().await;
}
