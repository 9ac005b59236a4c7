use super::*;

fn open_at(path: &Path) -> (Index, Opened) {
    Index::open(path, Arc::default()).unwrap()
}

fn all(index: &Index) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    index.each(|name, line| all.push((name.to_vec(), line.to_vec()))).unwrap();
    all
}

#[test]
fn lines_survive() {
    let directory = tempfile::tempdir().unwrap();
    let (index, opened) = open_at(directory.path());
    assert_eq!(opened, Opened::New);
    index.put(b"1", b"one").unwrap();
    index.put(b"1", b"two").unwrap();
    index.put(b"2", &vec![9; 400_000]).unwrap();
    index.note_seq(7).unwrap();
    index.close();
    let (index, opened) = open_at(directory.path());
    assert_eq!(opened, Opened::Whole);
    assert_eq!((index.noted_seq().unwrap(), index.noted_upto().unwrap()), (7, None));
    assert_eq!(all(&index)[0].1, b"two");
    index.remove(b"1").unwrap();
    assert_eq!(all(&index)[0].1.len(), 400_000);
    index.close();
    assert!(index.put(b"1", b"").is_err());
}

#[test]
fn a_half_written_snapshot_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let (index, _) = open_at(directory.path());
    index.put(b"1", b"one").unwrap();
    index.close();
    for name in ["snap.0000000000000000.generating", "snap.FFFFFFFFFFFFFFF0.generating"] {
        let mut options = fs::OpenOptions::new();
        let path = directory.path().join("index/g1").join(name);
        options.create(true).append(true).open(path).unwrap().write_all(b"half").unwrap();
    }
    let (index, opened) = open_at(directory.path());
    assert_eq!((opened, all(&index).len()), (Opened::Whole, 1));
}

#[test]
fn what_cannot_be_opened_is_set_aside_once() {
    let directory = tempfile::tempdir().unwrap();
    for what in ["index/g1/db", "index/current", "index/g1"] {
        let (index, _) = open_at(directory.path());
        index.put(b"1", b"one").unwrap();
        index.close();
        let path = directory.path().join(what);
        fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)).unwrap();
        if what.ends_with("db") {
            fs::create_dir(path).unwrap();
        }
        let (index, opened) = open_at(directory.path());
        assert_eq!((opened, all(&index).len()), (Opened::New, 0), "{what}");
        index.close();
    }
    assert!(directory.path().join("index.broken").exists());
}

/// Changes 200 lines over and over, as the index thread does.
fn churn(index: &Index, rounds: u64) -> u64 {
    let mut largest = 0;
    for round in 0..rounds {
        let name = (round * 7 % 200).to_be_bytes();
        if round % 5 == 4 {
            index.remove(&name).unwrap();
        } else {
            index.put(&name, &[round as u8; 100]).unwrap();
        }
        if round % 100 == 0 {
            index.flush().unwrap();
            let _ = index.tend(200);
            largest = largest.max(index.run("size", |_, db| db.size_on_disk()).unwrap());
        }
    }
    largest
}

#[test]
fn its_size_is_bounded_and_what_is_in_it_stays_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let (mut index, _) = open_at(directory.path());
    index.least = 2 << 20;
    let rounds = std::env::var("LARDER_REWRITES").ok().and_then(|text| text.parse().ok()).unwrap_or(60_000);
    let largest = churn(&index, rounds);
    assert!(index.generations.read().number > 1, "it was rewritten");
    assert!(largest < 4 << 20, "{largest}");
    let before = all(&index);
    assert!(before.len() > 100);
    index.close();
    let (index, _) = open_at(directory.path());
    assert_eq!(all(&index), before);
    let left = fs::read_dir(directory.path().join("index")).unwrap().count();
    assert_eq!(left, 2, "one generation, and which");
}

#[test]
fn a_rewrite_that_fails_anywhere_changes_nothing() {
    for call in 1.. {
        let directory = tempfile::tempdir().unwrap();
        let faults = Arc::new(Faults::default());
        let (index, _) = Index::open(directory.path(), Arc::clone(&faults)).unwrap();
        (0..9000u64).for_each(|n| index.put(&n.to_be_bytes(), b"line").unwrap());
        let before = all(&index);
        index.changes.store(LOOK_EVERY, Ordering::Relaxed);
        faults.fail_nth(call);
        let first = faults.calls();
        // Pretend that it is too large.
        let _ = open(&index.path, 2, &faults).map(|db| {
            index.generations.write().next = Some(Next { db, upto: Vec::new() });
        });
        while index.tend(9000).unwrap_or(false) {}
        let over = faults.calls() - first < call;
        faults.fail_nth(0);
        assert_eq!(all(&index), before, "call {call}");
        index.close();
        let (index, opened) = open_at(directory.path());
        assert_eq!((opened, all(&index) == before), (Opened::Whole, true), "call {call}");
        if over {
            assert!(call > 4, "it has more steps");
            return;
        }
    }
}
