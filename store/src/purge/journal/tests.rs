use super::*;

fn recorded(seq: u64) -> Recorded {
    let selectors =
        vec![Selector::Tag(format!("t{seq}")), Selector::All, Selector::Url("http://a:80/".into())];
    Recorded {
        seq: Seq(seq),
        purge: Purge { selectors, soft: seq.is_multiple_of(2) },
        note: "{\"id\":1}".into(),
        time: 1_795_420_800_000 + seq,
        undoes: seq.is_multiple_of(3).then_some(Seq(seq - 1)),
    }
}

fn written(count: u64) -> (tempfile::TempDir, Vec<Recorded>) {
    let directory = tempfile::tempdir().unwrap();
    let all: Vec<_> = (1..=count).map(recorded).collect();
    let mut journal = Journal::begin(directory.path(), 0, &all[..1], Arc::default()).unwrap();
    journal.append(&all[1..]).unwrap();
    (directory, all)
}

fn resumed(directory: &Path, faults: Arc<Faults>) -> io::Result<Journal> {
    Journal::resume(directory, &Journal::replay(directory)?, faults)
}

#[test]
fn what_is_appended_is_replayed() {
    let (directory, all) = written(5);
    let replay = Journal::replay(directory.path()).unwrap();
    assert_eq!((replay.purges, replay.seq, replay.floor, replay.lost), (all, 5, 0, false));
    assert!(Journal::replay(&directory.path().join("no")).unwrap().absent);
}

#[test]
fn a_rewrite_keeps_what_is_in_force_and_some_history() {
    let (directory, all) = written(9);
    let mut journal = resumed(directory.path(), Arc::default()).unwrap();
    let before = journal.length();
    journal.rewrite(6, 5).unwrap();
    assert!(journal.length() < before);
    journal.append(&[recorded(10)]).unwrap();
    let replay = Journal::replay(directory.path()).unwrap();
    assert_eq!(replay.purges[..5], all[4..]);
    assert_eq!((replay.purges.len(), replay.seq, replay.floor, replay.lost), (6, 10, 6, false));
}

#[test]
fn every_flipped_bit_and_every_cut_is_a_loss() {
    let (directory, _) = written(3);
    let good = fs::read(directory.path().join("purge.log")).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let replay = read(&mut &bad[..]).unwrap();
        assert!(replay.lost, "bit {bit}");
        assert!(replay.purges.len() <= 3);
    }
    for cut in 0..good.len() {
        assert!(read(&mut &good[..cut]).unwrap().lost, "cut at {cut}, of {}", good.len());
    }
    let longer = [&good[..], &end(3)[..]].concat();
    assert!(read(&mut &longer[..]).unwrap().lost, "something after the end");
    assert!(!read(&mut &good[..]).unwrap().lost);
}

/// Times, ends and names came with version 2.
#[test]
fn a_journal_of_version_1_is_understood() {
    let mut frame = encode(&Recorded { time: 0, undoes: None, ..recorded(1) });
    frame.truncate(frame.len() - 16);
    frame[FRAME_HEAD] &= SOFT;
    let sum = xxh3_64_with_seed(&frame[FRAME_HEAD..], 1);
    let length = (frame.len() - FRAME_HEAD) as u32;
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[4..8].copy_from_slice(&head_sum(length, 1));
    frame[16..24].copy_from_slice(&sum.to_le_bytes());
    let file = [&head(VERSION_WITHOUT_END, 0, 0)[..], &frame].concat();
    let replay = read(&mut &file[..]).unwrap();
    assert_eq!((replay.old, replay.lost, replay.name), (true, false, 0));
    assert_eq!(replay.purges, [Recorded { time: 0, undoes: None, ..recorded(1) }]);
}

#[test]
fn a_failed_append_leaves_no_trace() {
    let (directory, _) = written(2);
    let faults = Arc::new(Faults::default());
    let mut journal = resumed(directory.path(), Arc::clone(&faults)).unwrap();
    for n in 1..=3 {
        faults.fail_nth(n);
        let result = journal.append(&[recorded(2 + n)]);
        assert_eq!(result.is_err(), n < 3, "{n}");
    }
    faults.fail_nth(0);
    let replay = Journal::replay(directory.path()).unwrap();
    assert_eq!(replay.purges.iter().map(|purge| purge.seq.0).collect::<Vec<_>>(), [1, 2, 5]);
    assert!(!replay.lost);
}
