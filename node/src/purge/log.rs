//! What is kept with each purge, and how the history is told.

use larder_store::{Recorded, Selector};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::order::Kind;
use crate::limits;

/// What the node keeps with a purge in the store's journal, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Note {
    /// The order's id.
    pub id: String,
    /// When, as RFC 3339.
    pub time: String,
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A print of what was ordered. What is recorded is what that meant on one node; on another it may mean more URLs, and
    /// it is the same purge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub print: Option<u64>,
}

impl Note {
    /// The text for the journal.
    #[must_use]
    pub fn encode(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// A note from the journal; of another version's note what is understood, of an unreadable one nothing.
    #[must_use]
    pub fn decode(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }
}

/// The newest `limit` purges, newest first, within a bound of bytes; and whether older ones were left out.
#[must_use]
pub(super) fn listing(history: &[Recorded], limit: usize) -> (Vec<Value>, bool) {
    let limit = limit.min(limits::PURGES_LISTED_MAX);
    let mut bytes = 0_usize;
    let mut listed = Vec::new();
    for recorded in history.iter().rev().take(limit) {
        let selectors: Vec<&str> =
            recorded.purge.selectors.iter().map(Selector::text).filter(|t| !t.is_empty()).collect();
        bytes = selectors.iter().fold(bytes, |sum, s| sum.saturating_add(s.len() + 4));
        if bytes > limits::PURGES_LISTED_BYTES_MAX && !listed.is_empty() {
            break;
        }
        let note = Note::decode(&recorded.note);
        listed.push(json!({
            "sequence": recorded.seq,
            "id": note.id,
            "time": note.time,
            "author": note.author,
            "reason": note.reason,
            "kind": Kind::of(&recorded.purge).as_str(),
            "soft": recorded.purge.soft,
            "selectors": selectors,
        }));
    }
    let more = listed.len() < history.len();
    (listed, more)
}

#[cfg(test)]
mod tests {
    use larder_store::{Purge, Seq};

    use super::*;

    #[test]
    fn notes_survive_the_journal_and_strange_ones_are_empty() {
        let note = Note { id: "i".into(), time: "t".into(), author: Some("a".into()), ..Note::default() };
        assert_eq!(Note::decode(&note.encode()), note);
        assert_eq!(Note::decode(r#"{"id":"i","newer":1}"#).id, "i");
        for strange in ["", "[]", "\u{0}", r#"{"id":5}"#] {
            assert_eq!(Note::decode(strange), Note::default(), "{strange}");
        }
    }

    #[test]
    fn the_history_is_told_newest_first_and_bounded() {
        let recorded = |seq, bytes: usize| Recorded {
            seq: Seq(seq),
            purge: Purge { selectors: vec![Selector::Tag("x".repeat(bytes))], soft: true },
            note: String::new(),
        };
        let sequences = |listed: &[Value]| listed.iter().map(|v| v["sequence"].clone()).collect::<Vec<_>>();
        let history: Vec<_> = (1..=5).map(|seq| recorded(seq, 1)).collect();
        let (listed, more) = listing(&history, 2);
        assert_eq!((sequences(&listed), more), (vec![json!(5), json!(4)], true));
        assert_eq!(listed[0]["kind"], "tag");
        let (listed, more) = listing(&history, 9);
        assert_eq!((listed.len(), more), (5, false));
        let large: Vec<_> = (1..=3).map(|seq| recorded(seq, limits::PURGES_LISTED_BYTES_MAX - 100)).collect();
        let (listed, more) = listing(&large, 9);
        assert_eq!((sequences(&listed), more), (vec![json!(3)], true));
        assert_eq!(listing(&[], 9), (vec![], false));
    }
}
