use super::*;

fn slot(hash: u128) -> Slot {
    Slot::new(hash, 0, 10, 100, Standing::default(), false)
}

fn record() -> Arc<Vec<u8>> {
    Arc::new(vec![1])
}

#[test]
fn slots_are_found_until_removed() {
    let slots = Slots::new();
    for hash in 0..1000 {
        slots.put(slot(hash << 100 | hash), record());
    }
    for hash in (0..1000).step_by(2) {
        assert!(slots.remove(hash << 100 | hash, None).found);
    }
    for hash in 0..1000 {
        assert_eq!(slots.get(hash << 100 | hash).is_some(), hash % 2 == 1);
    }
    assert_eq!(slots.len(), 500);
}

#[test]
fn only_the_version_that_was_meant_is_removed() {
    let slots = Slots::new();
    slots.put(slot(7), record());
    let old = slots.get(7).unwrap().version;
    slots.put(slot(7), record());
    assert!(!slots.remove(7, Some(old)).found);
    assert!(slots.remove(7, slots.get(7).map(|slot| slot.version)).found);
}

#[test]
fn a_record_that_is_overtaken_is_given_back_once() {
    let slots = Slots::new();
    let (first, second) = (record(), record());
    assert!(slots.put(slot(7), Arc::clone(&first)).1.news);
    let (_, change) = slots.put(slot(7), Arc::clone(&second));
    assert!(!change.news, "the index thread knows of this hash already");
    assert!(Arc::ptr_eq(&change.unwritten[0], &first));
    let wish = slots.take_wish(7).unwrap();
    let change = slots.remove(7, None);
    assert!(change.news && change.unwritten.is_empty(), "the index thread is writing it");
    slots.wish_done(7, &wish);
    assert!(matches!(slots.take_wish(7), Some(Wish::Remove)));
    assert!(matches!(slots.waiting(7), Some(None)));
    slots.wish_done(7, &Wish::Remove);
    assert!(slots.waiting(7).is_none());
}

#[test]
fn hashes_that_share_a_half_displace_each_other() {
    let slots = Slots::new();
    slots.put(slot(7), record());
    let (_, change) = slots.put(slot(7 | 1 << 70), record());
    assert_eq!(change.displaced, Some(7));
    assert!(slots.get(7).is_none() && slots.get(7 | 1 << 70).is_some());
}

/// Puts entries 0 to `count` of equal size, `proven` ones into the main queue.
fn filled(count: u128, proven: bool) -> Slots {
    let slots = Slots::new();
    for hash in 0..count {
        slots.put(Slot::new(hash, 0, 10, 100, Standing::default(), proven), record());
    }
    slots
}

fn evict(slots: &Slots) -> u128 {
    let hash = slots.victim(|_| false).unwrap().hash;
    assert!(slots.remove(hash, None).found);
    hash
}

#[test]
fn the_oldest_leaves_unless_it_was_asked_for() {
    let slots = filled(8, true);
    [0, 1, 2, 4, 5, 6, 7].into_iter().for_each(|hash| slots.touch(hash));
    assert_eq!([evict(&slots), evict(&slots), evict(&slots)], [3, 0, 1], "then the asks are used up");
}

#[test]
fn a_scan_takes_the_small_queue_and_no_more() {
    let slots = filled(20, false);
    (0..20).for_each(|hash| slots.touch(hash));
    for hash in 100..300 {
        slots.put(slot(hash), record());
        evict(&slots);
    }
    let kept = (0..20).filter(|hash| slots.get(*hash).is_some()).count();
    assert!((17..=18).contains(&kept), "a tenth of 20 is for new ones, {kept} are left");
}

#[test]
fn what_memory_is_asked_for_stays_on_disk_for_a_while() {
    let slots = filled(8, true);
    assert_eq!(slots.victim(|hash| hash < 5).unwrap().hash, 5);
    assert!(slots.victim(|_| true).is_some(), "but not for ever");
}

#[test]
fn removed_entries_do_not_pile_up_in_the_queues() {
    let slots = filled(10, true);
    for hash in 1000..20_000 {
        slots.put(slot(hash), record());
        slots.remove(hash, None);
    }
    let lane = slots.lanes.of(0);
    let nodes = std::iter::from_fn(|| lane.next()).count();
    assert!(nodes < 300, "{nodes} nodes of 10 entries");
}

#[test]
fn a_share_is_safe_from_others_and_gives_back_what_it_has_too_much() {
    let slots = filled(40, true);
    let of = |share, hash| Slot::new(hash, 0, 10, 100, Standing { share, pinned: false }, true);
    slots.arrange(&[Share { share: 7, percent: 20 }], 0);
    (100..110).for_each(|hash| drop(slots.put(of(7, hash), record())));
    // 10 of 50 is its share: the next one that comes from outside pushes out its like.
    slots.put(of(0, 50), record());
    assert_eq!(evict(&slots), 0);
    (110..120).for_each(|hash| drop(slots.put(of(7, hash), record())));
    let gone: Vec<u128> = (0..10).map(|_| evict(&slots)).collect();
    let own = gone.iter().filter(|hash| **hash >= 100).count();
    assert!((7..=10).contains(&own), "{gone:?}");
    let sum: u64 = slots.bytes_by_share().iter().map(|(_, bytes)| bytes).sum();
    assert_eq!(sum, slots.len() * slot(0).cost());
}

#[test]
fn pinned_entries_stay_within_their_bound() {
    let slots = Slots::new();
    let cost = slot(0).cost();
    slots.arrange(&[], cost * 3);
    let pinned = |hash| Slot::new(hash, 0, 10, 100, Standing { share: 0, pinned: true }, false);
    (0..5).for_each(|hash| drop(slots.put(pinned(hash), record())));
    assert_eq!(slots.pinned(), cost * 3);
    assert_eq!([evict(&slots), evict(&slots)], [3, 4], "these came when there was no room for more");
    assert!(slots.victim(|_| false).is_none(), "the others stay");
    slots.arrange(&[], cost);
    assert_eq!([evict(&slots), evict(&slots)], [0, 1], "there is less room now");
    assert_eq!((slots.len(), slots.pinned()), (1, cost));
}
