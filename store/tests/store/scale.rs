//! Many entries. Not in every run: `cargo test -p larder-store --release scale -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use larder_store::{Key, KeyRef, Peek, Selector};

use crate::support::*;

async fn fill(store: &Shop, count: u64) {
    let bytes = body("same", 100);
    for number in 0..count {
        let tags = vec![format!("t{}", number % 10)];
        let label =
            Label(format!("a head of usual length, with some fields in it, for number {number}").repeat(4));
        let mut writer =
            store.writer(Key::new(&url(&format!("some/path/{number}")), ""), label, tags, store.seq(), None);
        writer.write(bytes.clone()).await.unwrap();
        writer.commit().await.unwrap();
        if number % 1000 == 999 {
            settled(store);
        }
    }
}

#[tokio::test]
#[ignore = "takes a minute"]
async fn a_hundred_thousand_entries_are_ready_in_seconds() {
    let count = std::env::var("LARDER_ENTRIES").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 8 * MIB, 4096 * MIB);
    let begun = Instant::now();
    fill(&store, count).await;
    println!("{count} entries written in {:?}", begun.elapsed());
    store.close().await;
    let index: u64 =
        files(&directory.path().join("index")).iter().map(|path| path.metadata().unwrap().len()).sum();
    println!("index: {} bytes an entry", index / count);
    let begun = Instant::now();
    let store = open(directory.path(), 8 * MIB, 4096 * MIB);
    let opened = begun.elapsed();
    println!("opened in {opened:?}");
    assert_eq!(store.stats().disk_objects, count);
    let begun = Instant::now();
    for number in 0..count {
        assert!(matches!(store.peek(KeyRef::new(&url(&format!("absent/{number}")), "")), Peek::Absent));
    }
    println!("absent: {:?} a lookup", begun.elapsed() / count as u32);
    let begun = Instant::now();
    store.purge(&hard(Selector::Tag("t3".into())), "").await.unwrap();
    println!("purge acknowledged in {:?}", begun.elapsed());
    let begun = Instant::now();
    let survey = store.survey(&hard(Selector::All)).await;
    println!("surveyed in {:?}", begun.elapsed());
    assert_eq!(survey.objects, count - count / 10);
    store.close().await;
    assert!(opened < Duration::from_secs(3 * count / 100_000), "{opened:?}");
}
