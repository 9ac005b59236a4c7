//! Whether a node may believe what it has stored: decided from how far it could read the logs of its sources. Pure.

/// What is known of one source since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Reading {
    /// At least one try has ended.
    pub(super) tried: bool,
    /// Its log was read to the end, and the last try did not fail.
    pub(super) read: bool,
    /// Its log no longer holds everything since the place where it was read last.
    pub(super) gap: bool,
    /// It is as far as a source can be: it has caught up itself, or always knows everything.
    pub(super) caught_up: bool,
}

/// Where the node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Reading what it has missed; not ready, and everything stored is doubted.
    Starting,
    /// Nobody could be read in time; ready, and what was stored before is doubted.
    Alone,
    /// In step with at least one source.
    InStep,
}

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing yet.
    Wait,
    /// Nothing was missed: what is stored may be believed.
    Believe,
    /// Nobody can tell whether something was missed: go on, but doubt what is stored until somebody can.
    GoAlone,
    /// Something may be missing for good: doubt what is stored now, forever.
    Doubt,
}

/// `late`: the time to catch up is over.
pub(super) fn judge(phase: Phase, sources: &[Reading], late: bool) -> Verdict {
    let mut read = sources.iter().filter(|source| source.read).peekable();
    if read.peek().is_none() {
        return if phase == Phase::Starting && late { Verdict::GoAlone } else { Verdict::Wait };
    }
    let whole: Vec<_> = read.filter(|source| !source.gap).collect();
    let all_tried = sources.iter().all(|source| source.tried);
    match phase {
        Phase::InStep if sources.iter().any(|source| source.read && source.gap) => {
            if whole.is_empty() {
                Verdict::Doubt
            } else {
                Verdict::Believe
            }
        }
        Phase::InStep => Verdict::Wait,
        // One that has caught up knows what the others knew, when all of them are read there is nothing more to know, and
        // when the time is over one is better than none.
        Phase::Starting | Phase::Alone if !whole.is_empty() => {
            let enough =
                whole.iter().any(|source| source.caught_up) || sources.iter().all(|source| source.read);
            if (all_tried && enough) || late { Verdict::Believe } else { Verdict::Wait }
        }
        // All that could be read have forgotten; another one may not have.
        Phase::Starting | Phase::Alone => {
            if sources.iter().all(|source| source.read) || late {
                Verdict::Doubt
            } else {
                Verdict::Wait
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_believes_what_it_stored_when_somebody_can_tell_what_it_missed() {
        use Phase::{Alone, InStep, Starting};
        let none = Reading::default();
        let away = Reading { tried: true, ..none };
        let read = Reading { tried: true, read: true, ..none };
        let whole = Reading { caught_up: true, ..read };
        let gap = Reading { gap: true, ..whole };
        let rows: [(Phase, &[Reading], bool, Verdict, &str); 19] = [
            (Starting, &[none, none], false, Verdict::Wait, "nobody asked yet"),
            (Starting, &[away, away], false, Verdict::Wait, "nobody there yet"),
            (Starting, &[away, away], true, Verdict::GoAlone, "nobody there in time"),
            (Starting, &[whole, none], false, Verdict::Wait, "the other is being asked"),
            (Starting, &[whole, away], false, Verdict::Believe, "one that knows is enough"),
            (
                Starting,
                &[read, away],
                false,
                Verdict::Wait,
                "it is catching up itself: the third may know more",
            ),
            (Starting, &[read, away], true, Verdict::Believe, "as good as it gets"),
            (Starting, &[read, read], false, Verdict::Believe, "all start at once: nothing more to know"),
            (Starting, &[gap, away], false, Verdict::Wait, "the other may still know"),
            (Starting, &[gap, away], true, Verdict::Doubt, "nobody knew in time"),
            (Starting, &[gap, gap], false, Verdict::Doubt, "everybody has forgotten"),
            (Starting, &[gap, whole], false, Verdict::Believe, "one remembers"),
            (Alone, &[away, away], true, Verdict::Wait, "still alone"),
            (Alone, &[whole, away], true, Verdict::Believe, "somebody is back and knows"),
            (Alone, &[gap, away], true, Verdict::Doubt, "somebody is back and has forgotten"),
            (InStep, &[whole, whole], true, Verdict::Wait, "as it should be"),
            (InStep, &[away, away], true, Verdict::Wait, "cut off: told by the metrics"),
            (InStep, &[gap, away], true, Verdict::Doubt, "was cut off for too long"),
            (InStep, &[gap, whole], true, Verdict::Believe, "only this one was"),
        ];
        for (phase, sources, late, wanted, why) in rows {
            assert_eq!(judge(phase, sources, late), wanted, "{why}");
        }
    }
}
