//! Flipped bits, cut and missing files in everything that lies on disk.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use larder_store::{Selector, Seq};

use crate::support::*;

const PATHS: u64 = 12;

fn size(number: u64) -> u64 {
    if number.is_multiple_of(4) { 2 * MIB + number } else { 3000 + number }
}

async fn fill(directory: &Path) {
    let store = open(directory, 4 * MIB, 64 * MIB);
    for number in 0..PATHS {
        let path = format!("n{number}");
        put(&store, &path, &body(&path, size(number))).await.unwrap();
    }
    settled(&store);
    store.close().await;
}

/// How many entries are still readable; none is wrong.
async fn readable(store: &Shop) -> u64 {
    let mut count = 0;
    for number in 0..PATHS {
        let path = format!("n{number}");
        let Some(hit) = find(store, &path).await else { continue };
        if let Ok(bytes) = read_all(&hit.entry).await {
            assert!(bytes == body(&path, size(number)), "wrong bytes for {path}");
            count += 1;
        } else {
            assert!(find(store, &path).await.is_none(), "a broken entry is forgotten");
        }
    }
    count
}

fn flip(path: &Path, random: &mut Random) {
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    if length == 0 {
        return;
    }
    let at = random.below(length);
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    byte[0] ^= 1 << random.below(8);
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&byte).unwrap();
}

#[tokio::test]
async fn damaged_bodies_are_misses_and_are_written_again() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path()).await;
    let mut random = Random(1);
    let all = blocks(directory.path());
    for path in segments(directory.path()) {
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(0).unwrap();
        file.set_len(length).unwrap();
    }
    for (number, path) in all.iter().enumerate() {
        match number % 4 {
            0 => flip(path, &mut random),
            1 => fs::remove_file(path).unwrap(),
            2 => fs::OpenOptions::new().write(true).open(path).unwrap().set_len(100).unwrap(),
            _ => drop(fs::copy(&all[0], path).unwrap()),
        }
    }
    let store = open(directory.path(), 4 * MIB, 64 * MIB);
    assert_eq!(readable(&store).await, 0);
    assert!(store.stats().events.corrupt >= PATHS);
    until("they are removed", || store.stats().disk_bytes == 0);
    for number in 0..PATHS {
        let path = format!("n{number}");
        put(&store, &path, &body(&path, size(number))).await.unwrap();
    }
    settled(&store);
    store.close().await;
    let store = open(directory.path(), 4 * MIB, 64 * MIB);
    assert_eq!(readable(&store).await, PATHS, "the same bytes replaced the damaged ones");
    store.close().await;
}

#[tokio::test]
async fn a_damaged_index_is_survived() {
    for seed in 0..12 {
        let directory = tempfile::tempdir().unwrap();
        fill(directory.path()).await;
        let mut random = Random(seed);
        let all = files(&directory.path().join("index"));
        let victim = &all[random.below(all.len() as u64) as usize];
        println!("seed {seed}: {}", victim.display());
        match seed % 4 {
            0 => fs::remove_file(victim).unwrap(),
            1 => {
                let length = victim.metadata().unwrap().len();
                let file = fs::OpenOptions::new().write(true).open(victim).unwrap();
                file.set_len(random.below(length + 1)).unwrap();
            }
            _ => (0..40).for_each(|_| flip(victim, &mut random)),
        }
        let store = open(directory.path(), 4 * MIB, 64 * MIB);
        readable(&store).await;
        // Large bodies are not taken before it is known how many there are.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while put(&store, "n0", &body("n0", size(0))).await.is_err() {
            assert!(std::time::Instant::now() < until, "the index is never built");
        }
        assert!(get(&store, "n0").await.is_some());
        store.close().await;
        let store = open(directory.path(), 4 * MIB, 64 * MIB);
        assert_eq!(readable(&store).await, PATHS, "nothing is lost with the index, seed {seed}");
        store.close().await;
    }
}

#[tokio::test]
async fn a_lost_index_is_rebuilt_from_the_segments() {
    let faults = std::sync::Arc::default();
    let directory = tempfile::tempdir().unwrap();
    let reopen = || open_with(config(directory.path(), 4 * MIB, 64 * MIB), &faults);
    fill(directory.path()).await;
    let store = reopen();
    // Shared by two, of which the one that brought it goes; replaced; expired; purged and folded away.
    put(&store, "first", &body("shared", 5000)).await.unwrap();
    settled(&store);
    put(&store, "second", &body("shared", 5000)).await.unwrap();
    put(&store, "n1", &body("other", 3001)).await.unwrap();
    put_tagged(&store, "stale", &body("stale", 4000), &["stale"]).await.unwrap();
    put_tagged(&store, "gone", &body("gone", 4000), &["gone"]).await.unwrap();
    settled(&store);
    put(&store, "n1", &body("n1", size(1))).await.unwrap();
    store.remove(larder_store::KeyRef::new(&url("first"), ""));
    store.purge(&soft(Selector::Tag("stale".into())), "").await.unwrap();
    store.purge(&hard(Selector::Tag("gone".into())), "").await.unwrap();
    until("the purges are folded away", || store.stats().purge_selectors == 0);
    store.close().await;
    for round in 0..3 {
        match round {
            0 => fs::remove_dir_all(directory.path().join("index")).unwrap(),
            1 => fs::remove_file(directory.path().join("index/current")).unwrap(),
            _ => {}
        }
        let store = reopen();
        until("all are found again", || store.stats().disk_objects == PATHS + 2);
        assert_eq!(readable(&store).await, PATHS, "round {round}");
        assert!(find(&store, "gone").await.is_none() && find(&store, "first").await.is_none());
        assert!(get(&store, "second").await.unwrap() == body("shared", 5000));
        assert!(find(&store, "stale").await.unwrap().expired);
        assert_eq!((store.stats().events.corrupt, store.stats().events.disk_errors), (0, 0));
        store.close().await;
    }
    // Without a journal nobody knows what was purged.
    fs::remove_dir_all(directory.path().join("index")).unwrap();
    fs::remove_file(directory.path().join("purge.log")).unwrap();
    let store = reopen();
    assert_eq!(readable(&store).await, 0);
    assert!(find(&store, "gone").await.is_none());
    until("everything is given back", || store.stats().disk_bytes == 0);
    store.close().await;
}

#[tokio::test]
async fn bodies_without_a_record_are_swept() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path()).await;
    fs::remove_dir_all(directory.path().join("index")).unwrap();
    fs::remove_dir_all(directory.path().join("segments")).unwrap();
    fs::create_dir_all(directory.path().join("tmp")).unwrap();
    fs::OpenOptions::new().create(true).append(true).open(directory.path().join("tmp/.tmpleft")).unwrap();
    let store = open(directory.path(), 4 * MIB, 64 * MIB);
    assert!(!directory.path().join("tmp/.tmpleft").exists());
    put(&store, "new", &body("n1", 100 * KIB)).await.unwrap();
    settled(&store);
    until("orphans are gone", || blocks(directory.path()).len() == 1);
    assert_eq!(readable(&store).await, 0);
    assert!(get(&store, "new").await.is_some());
    store.close().await;
}

#[tokio::test]
async fn a_damaged_journal_purges_everything_older() {
    for seed in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        fill(directory.path()).await;
        let store = open(directory.path(), 4 * MIB, 64 * MIB);
        for path in ["n1", "n2", "n3"] {
            store.purge(&hard(Selector::Url(url(path))), "").await.unwrap();
        }
        store.close().await;
        let log = directory.path().join("purge.log");
        match seed {
            0 => fs::remove_file(&log).unwrap(),
            1 => fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(0).unwrap(),
            2 => {
                let length = log.metadata().unwrap().len();
                fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(length - 3).unwrap();
            }
            _ => flip(&log, &mut Random(seed)),
        }
        for _ in 0..2 {
            let store = open(directory.path(), 4 * MIB, 64 * MIB);
            assert!(store.seq() > Seq(3), "positions never go back");
            assert_eq!(readable(&store).await, 0, "seed {seed}");
            store.close().await;
        }
        let store = open(directory.path(), 4 * MIB, 64 * MIB);
        put(&store, "n1", &body("n1", size(1))).await.unwrap();
        assert_eq!(readable(&store).await, 1, "what is born later lives");
        store.close().await;
    }
}

#[tokio::test]
async fn another_format_is_set_aside_not_misread() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path()).await;
    let mut format =
        fs::OpenOptions::new().write(true).truncate(true).open(directory.path().join("format")).unwrap();
    format.write_all(b"larder-store 99\n").unwrap();
    let store = open(directory.path(), 4 * MIB, 64 * MIB);
    assert_eq!(readable(&store).await, 0);
    assert!(directory.path().join("other-format/index").exists());
    store.close().await;
}

#[tokio::test]
async fn the_scrub_finds_what_has_rotted_before_anybody_asks_for_it() {
    let directory = tempfile::tempdir().unwrap();
    fill(directory.path()).await;
    let large =
        blocks(directory.path()).into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    flip(&large, &mut Random(3));
    for rate in [0, 1 << 30] {
        let settings = larder_store::Config { scrub: rate, ..config(directory.path(), 4 * MIB, 64 * MIB) };
        let seams =
            larder_store::fault::Seams { scrub_rest: std::time::Duration::ZERO, ..Default::default() };
        let store = Shop::open_with(settings, seams).unwrap();
        if rate == 0 {
            put(&store, "more", &body("more", 1000)).await.unwrap();
            settled(&store);
            assert_eq!(store.stats().events.scrubbed_bytes, 0, "it is off");
            store.remove(larder_store::KeyRef::new(&url("more"), ""));
            store.close().await;
            continue;
        }
        until("it was found", || store.stats().events.scrub_damaged > 0);
        until("a pass ends", || store.stats().events.scrub_passes > 1);
        let stats = store.stats();
        assert_eq!((stats.events.scrub_damaged, stats.disk_objects), (1, PATHS - 1), "{stats:?}");
        assert!(stats.events.scrubbed_bytes > 2 * MIB && stats.scrub_seen <= PATHS);
        assert_eq!(readable(&store).await, PATHS - 1);
        store.close().await;
    }
}
