//! Bodies much larger than memory.

use larder_store::{Key, Tier};

use crate::support::*;

#[tokio::test]
async fn a_body_of_a_quarter_gib_is_stored_and_read_in_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path(), 8 * MIB, 1024 * MIB);
    let part = body("part", MIB);
    let key = Key::new(&url("large"), "");
    // All blocks differ, by their first bytes.
    let block = |number: u64| {
        let mut block = part.to_vec();
        block[..8].copy_from_slice(&number.to_le_bytes());
        bytes::Bytes::from(block)
    };
    let count = 256;
    let mut writer = store.writer(key, Label("large".into()), vec![], store.seq(), Some(count * MIB));
    let mut most = 0;
    for number in 0..count {
        let mut rest = block(number);
        while !rest.is_empty() {
            writer.write(rest.split_to(rest.len().min(100_000))).await.unwrap();
            most = most.max(store.stats().flight_bytes);
        }
    }
    let entry = writer.commit().await.unwrap();
    assert!(most <= 6 * MIB, "{most}");
    drop(entry);
    store.close().await;
    let store = open(directory.path(), 8 * MIB, 1024 * MIB);
    let hit = find(&store, "large").await.unwrap();
    assert_eq!((hit.entry.len(), hit.tier), (count * MIB, Tier::Disk));
    let mut reader = hit.entry.read(0, u64::MAX);
    let (mut number, mut have) = (0, Vec::new());
    while let Some(piece) = reader.next().await {
        have.extend_from_slice(&piece.unwrap());
        while have.len() >= MIB as usize {
            let rest = have.split_off(MIB as usize);
            assert!(have == block(number), "block {number}");
            (number, have) = (number + 1, rest);
        }
    }
    assert_eq!((number, have.len()), (count, 0));
    let middle = read(hit.entry.read(200 * MIB, 200 * MIB + 8)).await.unwrap();
    assert_eq!(middle, 200u64.to_le_bytes()[..]);
    store.close().await;
}
