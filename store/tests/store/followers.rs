//! Readers of a body that is still growing.

use std::sync::Arc;

use bytes::Bytes;
use larder_store::fault::Faults;
use larder_store::{Key, NotKept, ReadError, Seq, WriteError, Writer};

use crate::support::*;

fn begin(store: &Shop, path: &str, length: Option<u64>) -> Writer<Label> {
    store.writer(Key::new(&url(path), ""), Label(path.into()), vec![], store.seq(), length)
}

#[tokio::test]
async fn followers_see_each_chunk_at_once() {
    let store = open("".as_ref(), 8 * MIB, 0);
    let mut writer = begin(&store, "a", None);
    let tap = writer.tap();
    let mut early = tap.reader(0).unwrap();
    let mut wanted = Vec::new();
    for size in [1, 10, 5000, 1, 70_000, 4096, 3] {
        let chunk = body("a", size);
        wanted.extend_from_slice(&chunk);
        writer.write(chunk.clone()).await.unwrap();
        assert_eq!(early.next().await.unwrap().unwrap(), chunk);
        assert_eq!(tap.written(), wanted.len() as u64);
    }
    let late = tap.reader(2).unwrap();
    let entry = writer.commit().await.unwrap();
    assert!(early.next().await.is_none());
    assert_eq!(read(late).await.unwrap(), wanted[2..]);
    assert_eq!(read(tap.reader(0).unwrap()).await.unwrap(), wanted, "even after the end");
    assert_eq!(entry.bytes().unwrap(), wanted);
}

#[tokio::test]
async fn waiting_followers_are_woken_by_chunk_end_and_abort() {
    let store = open("".as_ref(), 8 * MIB, 0);
    for end in ["commit", "abort", "drop"] {
        let mut writer = begin(&store, "a", None);
        let mut reader = writer.tap().reader(0).unwrap();
        let follower = tokio::task::LocalSet::new();
        let task = follower.spawn_local(async move {
            let first = reader.next().await;
            (first, reader.next().await, reader.next().await.is_none())
        });
        follower
            .run_until(async {
                tokio::task::yield_now().await;
                writer.write(Bytes::from_static(b"x")).await.unwrap();
                tokio::task::yield_now().await;
                match end {
                    "commit" => drop(writer.commit().await.unwrap()),
                    "abort" => writer.abort("why"),
                    _ => drop(writer),
                }
                let (first, second, ended) = task.await.unwrap();
                assert_eq!(first.unwrap().unwrap(), "x");
                assert!(ended);
                match (end, second) {
                    ("commit", None) => {}
                    ("abort", Some(Err(ReadError::Aborted(why)))) => assert_eq!(&*why, "why"),
                    ("drop", Some(Err(ReadError::Aborted(_)))) => {}
                    (end, second) => panic!("{end}: {second:?}"),
                }
            })
            .await;
        assert_eq!(get(&store, "a").await.is_some(), end == "commit");
        store.remove(larder_store::KeyRef::new(&url("a"), ""));
    }
}

#[tokio::test]
async fn a_slow_follower_of_a_large_fill_costs_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 8 * MIB, 512 * MIB);
    let bytes = body("a", 100 * MIB);
    let mut writer = begin(&store, "a", None);
    let tap = writer.tap();
    let slow = tap.reader(0).unwrap();
    let mut most = 0;
    for chunk in (0..bytes.len()).step_by(64 * 1024) {
        writer.write(bytes.slice(chunk..chunk + 64 * 1024)).await.unwrap();
        most = most.max(store.stats().flight_bytes);
    }
    assert!(most <= 8 * MIB, "{most} bytes in flight");
    let middle = tap.reader(50 * MIB + 3).unwrap();
    let entry = writer.commit().await.unwrap();
    assert!(read(slow).await.unwrap() == bytes);
    assert!(read(middle).await.unwrap() == bytes.slice(50 * MIB as usize + 3..));
    drop(tap);
    assert_eq!(store.stats().flight_bytes, 0);
    assert!(read_all(&entry).await.unwrap() == bytes);
    store.close().await;
}

#[tokio::test]
async fn what_cannot_be_stored_is_relayed_at_the_pace_of_its_readers() {
    let store = open("".as_ref(), MIB, 0);
    let bytes = body("a", 10 * MIB);
    let mut writer = begin(&store, "a", Some(bytes.len() as u64));
    let tap = writer.tap();
    let (one, two) = (tap.reader(0).unwrap(), tap.reader(0).unwrap());
    let source = bytes.clone();
    let local = tokio::task::LocalSet::new();
    let shop = store.clone();
    let filled = local.spawn_local(async move {
        let mut most = 0;
        for at in (0..source.len()).step_by(50_000) {
            writer.write(source.slice(at..source.len().min(at + 50_000))).await.unwrap();
            most = most.max(shop.stats().flight_bytes);
        }
        (most, writer.commit().await.map(drop))
    });
    let one = local.spawn_local(read(one));
    let two = local.spawn_local(read(two));
    local
        .run_until(async {
            assert!(one.await.unwrap().unwrap() == bytes && two.await.unwrap().unwrap() == bytes);
            let (most, kept) = filled.await.unwrap();
            assert!(most <= 2 * MIB, "{most}");
            assert_eq!(kept, Err(NotKept::TooLarge));
        })
        .await;
    assert!(!tap.readable() && tap.reader(0).is_none(), "its beginning is gone");
    assert!(get(&store, "a").await.is_none());
}

#[tokio::test]
async fn a_relay_that_nobody_reads_is_ended() {
    let store = open("".as_ref(), MIB, 0);
    let mut writer = begin(&store, "a", Some(100 * MIB));
    let reader = writer.tap().reader(0).unwrap();
    writer.write(body("a", 64 * KIB)).await.unwrap();
    drop(reader);
    assert_eq!(writer.write(body("a", 64 * KIB)).await, Err(WriteError::Unwanted));
}

#[tokio::test]
async fn a_relay_does_not_wait_for_its_first_reader_for_ever() {
    let store = open("".as_ref(), MIB, 0);
    let mut writer = begin(&store, "a", Some(100 * MIB));
    let tap = writer.tap();
    let mut result = Ok(());
    for _ in 0..100 {
        result = writer.write(body("a", 64 * KIB)).await;
        if result.is_err() {
            break;
        }
    }
    assert_eq!(result, Err(WriteError::Unwanted));
    assert!(tap.written() <= 2 * MIB);
}

#[tokio::test]
async fn a_disk_that_fails_in_the_middle_of_a_fill_harms_no_reader() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let store = open_with(config(directory.path(), 4 * MIB, 256 * MIB), &faults);
    let bytes = body("a", 12 * MIB);
    let mut writer = begin(&store, "a", Some(bytes.len() as u64));
    let reader = writer.tap().reader(0).unwrap();
    let source = bytes.clone();
    let local = tokio::task::LocalSet::new();
    let broken = Arc::clone(&faults);
    let filled = local.spawn_local(async move {
        for at in (0..source.len()).step_by(100_000) {
            if at == 5_000_000 {
                broken.fail_nth(1);
            }
            writer.write(source.slice(at..source.len().min(at + 100_000))).await.unwrap();
        }
        writer.commit().await.map(drop)
    });
    let followed = local.spawn_local(read(reader));
    local
        .run_until(async {
            match followed.await.unwrap() {
                Ok(read) => assert!(read == bytes),
                Err(error) => assert!(matches!(error, ReadError::Broken), "{error}, only if a read failed"),
            }
            let _ = filled.await.unwrap();
        })
        .await;
    faults.fail_nth(0);
    if let Some(found) = get(&store, "a").await {
        assert!(found == bytes);
    }
    store.close().await;
}

#[tokio::test]
async fn lengths_that_do_not_hold_are_refused() {
    let store = open("".as_ref(), MIB, 0);
    let mut writer = begin(&store, "a", Some(3));
    let reader = writer.tap().reader(0).unwrap();
    writer.write("ab".into()).await.unwrap();
    assert_eq!(writer.commit().await.unwrap_err(), NotKept::Length);
    assert!(matches!(read(reader).await, Err(ReadError::Aborted(_))));
    let mut writer = begin(&store, "a", Some(3));
    let reader = writer.tap().reader(0).unwrap();
    assert_eq!(writer.write("abcd".into()).await, Err(WriteError::Length));
    assert!(matches!(read(reader).await, Err(ReadError::Aborted(_))));
    assert_eq!(writer.commit().await.unwrap_err(), NotKept::Length);
    assert!(get(&store, "a").await.is_none());
}

#[tokio::test]
async fn single_bytes_cost_no_more_than_themselves() {
    let store = open("".as_ref(), 64 * MIB, 0);
    let mut writer = store.writer(Key::new("x", ""), Label(String::new()), vec![], Seq(0), None);
    let bytes = body("a", 200_000);
    let reader = writer.tap().reader(0).unwrap();
    for at in 0..bytes.len() {
        writer.write(bytes.slice(at..=at)).await.unwrap();
    }
    assert_eq!(writer.commit().await.unwrap().bytes().unwrap(), bytes);
    assert_eq!(read(reader).await.unwrap(), bytes);
}
