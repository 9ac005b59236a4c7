use super::*;
use crate::disk::content::describe;
use crate::limits::FIXED_COST;

fn block(byte: u8) -> Arc<BlockInfo> {
    Arc::new(describe(&[vec![byte; 10].into()]))
}

fn blocks(bytes: u64) -> Blocks {
    Blocks::new(Space::new(bytes + FIXED_COST, 0))
}

#[test]
fn equal_blocks_are_charged_once_and_removed_with_the_last_reference() {
    let one = block(1);
    let blocks = blocks(cost(one.len));
    assert_eq!(blocks.refer_file(&one, false), Found::Unknown);
    assert!(blocks.space.reserve(cost(one.len)));
    assert_eq!(blocks.refer_file(&one, true), Found::Write);
    assert_eq!(blocks.refer_file(&one, false), Found::Write, "not written yet");
    assert!(!blocks.refer_all(&[Arc::clone(&one)], |_| {}), "not there yet");
    blocks.file_written(&one.hash);
    assert_eq!(blocks.refer_file(&one, false), Found::Present);
    assert!(!blocks.space.reserve(1));
    let removed = std::cell::Cell::new(0);
    for left in [2, 1, 0] {
        blocks.drop_one(&one.hash, |_| removed.set(removed.get() + 1));
        assert_eq!((blocks.refs(&one.hash), removed.get()), (left, u32::from(left == 0)));
    }
    assert_eq!(blocks.space.used(), 0);
}

#[test]
fn references_are_all_or_none() {
    let blocks = blocks(1 << 20);
    let (one, two) = (block(1), block(2));
    blocks.restore([(one.hash, one.len)].into_iter(), None, |_, _| {});
    assert!(!blocks.refer_all(&[Arc::clone(&one), Arc::clone(&two)], |_| {}));
    assert_eq!(blocks.refs(&one.hash), 1);
    blocks.damaged(&one.hash);
    assert!(!blocks.refer_all(&[Arc::clone(&one)], |_| {}), "a damaged block is not there");
    assert_eq!(blocks.refer_file(&one, false), Found::Write, "and is written again");
}

#[test]
fn a_block_may_lie_in_a_segment_and_in_a_file() {
    let blocks = blocks(1 << 20);
    let (one, at) = (block(1), At { segment: 3, offset: 64 });
    let (id, present) = blocks.refer_packed(one.hash, one.len);
    assert!(!present && blocks.packed(&one.hash, at) && !blocks.packed(&one.hash, At { segment: 4, ..at }));
    assert!(blocks.refer_packed(one.hash, one.len).1, "twice the same");
    assert_eq!(blocks.refer_file(&one, false), Found::Unknown, "the file has to be paid for");
    assert!(blocks.space.reserve(cost(one.len)));
    assert_eq!(blocks.refer_file(&one, true), Found::Write);
    blocks.file_written(&one.hash);
    assert!(!blocks.moved(&one.hash, At { segment: 9, ..at }, at));
    assert!(blocks.moved(&one.hash, at, At { segment: 9, ..at }));
    let body = Blocks::single(id);
    assert_eq!(blocks.of(body)[0].packed.segment, 9);
    let removed = std::cell::Cell::new(0);
    let remove = |state: &State| {
        assert!(state.charged && state.packed.segment == 9);
        removed.set(removed.get() + 1);
    };
    blocks.drop_one(&one.hash, remove);
    blocks.drop_one(&one.hash, remove);
    assert_eq!(removed.get(), 0);
    blocks.drop_body(body, remove);
    assert_eq!((removed.get(), blocks.space.used()), (1, 0));
}

#[test]
fn lists_are_dropped_as_a_whole_and_their_places_used_again() {
    let blocks = blocks(1 << 20);
    let names = |first: u8| (first..first + 3).map(|n| (block(n).hash, 10)).collect::<Vec<_>>().into_iter();
    let restore = |first| blocks.restore(names(first), None, |_, _| {});
    let (one, two) = (restore(1), restore(3));
    assert_eq!(blocks.of(two).len(), 3);
    assert_eq!(blocks.refs(&block(3).hash), 2);
    blocks.drop_body(one, |_| {});
    assert_eq!(restore(7), one);
    blocks.drop_body(one, |_| {});
    blocks.drop_body(two, |_| {});
    assert_eq!(blocks.space.used(), 0);
    assert_eq!(blocks.of(Body::EMPTY).len(), 0);
}
