use super::*;

fn slot(hash: u128) -> Slot {
    Slot::new(hash, 0, 10, 100, Standing::default(), false)
}

#[test]
fn slots_are_found_until_removed() {
    let slots = Slots::new();
    for hash in 0..1000 {
        slots.put(slot(hash << 100 | hash));
    }
    for hash in (0..1000).step_by(2) {
        assert!(slots.remove(hash << 100 | hash, None).is_some());
    }
    for hash in 0..1000 {
        let found = slots.get(hash << 100 | hash);
        assert_eq!(found.map(|slot| slot.hash()), (hash % 2 == 1).then_some(hash << 100 | hash));
    }
    assert_eq!(slots.len(), 500);
}

#[test]
fn only_the_version_that_was_meant_is_removed() {
    let slots = Slots::new();
    let (old, _) = slots.put(slot(7));
    let (new, replaced) = slots.put(slot(7));
    assert_eq!(replaced.map(|slot| slot.version), Some(old));
    assert!(slots.remove(7, Some(old)).is_none() && !slots.change(7, old, |_| {}));
    assert!(slots.change(7, new, |slot| slot.expired = true));
    assert!(slots.remove(7, Some(new)).is_some_and(|slot| slot.expired));
    assert_eq!(slots.len(), 0);
}

#[test]
fn hashes_that_share_a_half_do_not_disturb_each_other() {
    let slots = Slots::new();
    slots.put(slot(7));
    assert!(slots.put(slot(7 | 1 << 70)).1.is_none());
    assert!(slots.get(7).is_some() && slots.get(7 | 1 << 70).is_some());
    assert!(slots.remove(7, None).is_some() && slots.get(7 | 1 << 70).is_some());
}

#[test]
fn what_is_found_on_disk_gives_way_to_what_is_later() {
    let slots = Slots::new();
    let at = |segment| Slot { at: At { segment, offset: 0 }, ..slot(7) };
    assert!(slots.adopt(at(2)).is_none());
    assert_eq!(slots.adopt(at(1)).map(|slot| slot.at.segment), Some(1), "older: not taken");
    assert_eq!(slots.adopt(at(3)).map(|slot| slot.at.segment), Some(2), "newer: replaces");
    assert!(slots.adopt(Slot { born: 9, ..at(1) }).is_some(), "asked for later: replaces");
    assert_eq!(slots.adopt(at(4)).map(|slot| slot.at.segment), Some(4), "asked for before");
    assert_eq!(slots.len(), 1);
}

/// Puts entries 0 to `count` of equal size, `proven` ones into the main queue.
fn filled(count: u128, proven: bool) -> Slots {
    let slots = Slots::new();
    for hash in 0..count {
        slots.put(Slot::new(hash, 0, 10, 100, Standing::default(), proven));
    }
    slots
}

fn evict(slots: &Slots) -> u128 {
    let hash = slots.victim(|_| false).unwrap().hash();
    assert!(slots.remove(hash, None).is_some());
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
        slots.put(slot(hash));
        evict(&slots);
    }
    let kept = (0..20).filter(|hash| slots.get(*hash).is_some()).count();
    assert!((17..=18).contains(&kept), "a tenth of 20 is for new ones, {kept} are left");
}

#[test]
fn what_memory_is_asked_for_stays_on_disk_for_a_while() {
    let slots = filled(8, true);
    assert_eq!(slots.victim(|hash| hash < 5).unwrap().hash(), 5);
    assert!(slots.victim(|_| true).is_some(), "but not for ever");
}

#[test]
fn removed_entries_do_not_pile_up_in_the_queues() {
    let slots = filled(10, true);
    for hash in 1000..20_000 {
        slots.put(slot(hash));
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
    (100..110).for_each(|hash| _ = slots.put(of(7, hash)));
    // 10 of 50 is its share: the next one that comes from outside pushes out its like.
    slots.put(of(0, 50));
    assert_eq!(evict(&slots), 0);
    (110..120).for_each(|hash| _ = slots.put(of(7, hash)));
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
    (0..5).for_each(|hash| _ = slots.put(pinned(hash)));
    assert_eq!(slots.pinned(), cost * 3);
    assert_eq!([evict(&slots), evict(&slots)], [3, 4], "these came when there was no room for more");
    assert!(slots.victim(|_| false).is_none(), "the others stay");
    slots.arrange(&[], cost);
    assert_eq!([evict(&slots), evict(&slots)], [0, 1], "there is less room now");
    assert_eq!((slots.len(), slots.pinned()), (1, cost));
}
