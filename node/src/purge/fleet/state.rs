//! What a node remembers of its fleet over a restart.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};

use larder_store::{Memo, Noted};
use serde::{Deserialize, Serialize};

/// How far another log was read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Place {
    /// Which log: another one begins anew.
    pub(super) log: String,
    /// Everything up to here is in force on this node, durably.
    pub(super) sequence: u64,
    /// Something was no longer there when it was read, and nothing has been done about it yet.
    #[serde(default)]
    pub(super) gap: bool,
}

/// Kept in the memo `fleet` of the store.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct State {
    /// The id of this node's own log: drawn once, gone with the directory.
    pub(super) log: String,
    /// What was born before is served only after the origin has confirmed it.
    pub(super) fence: u64,
    /// By source: the URL of a peer, the name of a stream.
    pub(super) sources: BTreeMap<String, Place>,
}

/// A state, and whether this is the first one there is.
pub(super) struct Found {
    pub(super) state: State,
    pub(super) first: bool,
    /// There was another one: what it said of the fence is lost.
    pub(super) damaged: bool,
}

impl State {
    pub(super) fn read(memo: &Memo) -> Found {
        let (state, damaged) = match memo.read() {
            Noted::Nothing => (None, false),
            Noted::Damaged => (None, true),
            Noted::Text(text) => match serde_json::from_str::<Self>(&text) {
                Ok(state) if !state.log.is_empty() => (Some(state), false),
                _ => (None, true),
            },
        };
        let first = state.is_none() && !damaged;
        let state = state.unwrap_or_else(|| Self { log: draw(), ..Self::default() });
        Found { state, first, damaged }
    }

    /// The place in the log of `source`; its beginning, if that log is another one than the one known.
    pub(super) fn place(&self, source: &str) -> Place {
        self.sources.get(source).cloned().unwrap_or_default()
    }
}

/// An id that no other log has: of the randomness that every process's hash maps begin with.
fn draw() -> String {
    let half = || std::hash::RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}

#[cfg(test)]
mod tests {
    use larder_store::Config;

    use super::*;

    #[test]
    fn a_state_is_found_again_and_a_damaged_one_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let memo = Memo::new(&Config::new(directory.path(), 1 << 20, 1 << 20), "fleet");
        let Found { mut state, first, damaged } = State::read(&memo);
        assert!(first && !damaged && state.log.len() == 32 && state.log != State::read(&memo).state.log);
        state.fence = 7;
        state.sources.insert("http://a".into(), Place { log: "x".into(), sequence: 5, gap: true });
        memo.write(&serde_json::to_string(&state).unwrap()).unwrap();
        let found = State::read(&memo);
        assert_eq!((found.state, found.first, found.damaged), (state.clone(), false, false));
        assert_eq!((state.place("http://a").sequence, state.place("http://b")), (5, Place::default()));
        for text in ["", "{}", r#"{"log":5}"#] {
            memo.write(text).unwrap();
            let found = State::read(&memo);
            assert!(found.damaged && !found.first && found.state.fence == 0, "{text}");
        }
    }
}
