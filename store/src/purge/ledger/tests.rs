use super::*;

fn purge(tag: &str) -> Purge {
    Purge { selectors: vec![Selector::Tag(tag.into())], soft: false }
}

fn open(directory: &Path, known: Option<u64>, faults: &Arc<Faults>) -> Result<Ledger, OpenError> {
    Ledger::open(directory, known, Purges::default(), faults)
}

fn dead(ledger: &Ledger, tag: &str, born: u64) -> bool {
    ledger.tables().verdict("x", &[crate::purge::tables::tag_hash(tag)], born, born).0.dead
}

#[tokio::test]
async fn purges_survive_and_positions_never_go_back() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    for round in 0..3 {
        let ledger = open(directory.path(), None, &faults).unwrap();
        assert_eq!(ledger.tables().seq(), Seq(round));
        let receipt = ledger.purge(&purge(&format!("t{round}")), "note").await.unwrap();
        assert_eq!(receipt.seq, Seq(round + 1));
        assert!((0..=round).all(|old| dead(&ledger, &format!("t{old}"), 0)));
        let _ = ledger.close().await;
        assert!(matches!(ledger.purge(&purge("x"), "").await, Err(PurgeError::Closed)));
    }
    assert_eq!(open(directory.path(), Some(3), &faults).unwrap().history().len(), 3);
}

#[tokio::test]
async fn a_lost_journal_fails_safe() {
    let faults = Arc::new(Faults::default());
    for born in [Some(7), None] {
        let directory = tempfile::tempdir().unwrap();
        let ledger = open(directory.path(), born, &faults).unwrap();
        assert_eq!(dead(&ledger, "any", 7), born.is_some(), "entries without a journal are dead");
        let again = open(directory.path(), born, &faults).unwrap();
        assert_eq!(again.tables().seq(), ledger.tables().seq(), "and only once");
    }
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path(), None, &faults).unwrap());
    let ledger = open(directory.path(), Some(1), &faults).unwrap();
    assert!(dead(&ledger, "any", 1), "an entry from after the end of the journal");
    assert!(!dead(&ledger, "any", ledger.tables().seq().0));
}

#[tokio::test]
async fn what_is_not_durable_is_in_force_and_said() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let ledger = open(directory.path(), None, &faults).unwrap();
    faults.fail_all(true);
    assert!(matches!(ledger.purge(&purge("t"), "").await, Err(PurgeError::NotDurable(_))));
    assert!(dead(&ledger, "t", 0));
    faults.fail_all(false);
    assert_eq!(ledger.purge(&purge("u"), "").await.unwrap().seq, Seq(2), "a position is never given twice");
}

#[tokio::test]
async fn folding_empties_the_tables_and_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let ledger = open(directory.path(), None, &faults).unwrap();
    for tag in ["a", "b", "c"] {
        ledger.purge(&purge(tag), "").await.unwrap();
    }
    ledger.fold(2);
    ledger.purge(&purge("d"), "").await.unwrap();
    assert_eq!((ledger.tables().len(), ledger.tables().floor()), (2, 2));
    let _ = ledger.close().await;
    let ledger = open(directory.path(), None, &faults).unwrap();
    assert_eq!((ledger.tables().len(), ledger.tables().floor(), ledger.history().len()), (2, 2, 4));
}

#[tokio::test]
async fn too_much_is_refused_whole() {
    let ledger = Ledger::volatile(Purges::default()).unwrap();
    let large = Purge { selectors: vec![Selector::All; PURGE_SELECTORS_MAX + 1], soft: false };
    assert!(matches!(ledger.purge(&large, "").await, Err(PurgeError::TooLarge { what: "selectors", .. })));
    let note = "x".repeat(NOTE_BYTES_MAX + 1);
    assert!(matches!(ledger.purge(&purge("t"), &note).await, Err(PurgeError::TooLarge { .. })));
    assert_eq!(ledger.tables().seq(), Seq(0));
}
