//! What is kept with each purge, and how the history is told.

use larder_store::{Page, Recorded, Selector, Told};
use serde::{Deserialize, Serialize};

use super::order::Kind;

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
    /// The id of the purge that this record takes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undoes: Option<String>,
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

/// A record of the log as `GET /purges` tells it: everything another node needs to carry out the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its position in the log of the node that tells it.
    pub sequence: u64,
    /// The same on every node. Empty for what a node noted for itself, which concerns no other.
    pub id: String,
    /// When it was first carried out, as RFC 3339.
    pub time: String,
    /// Who.
    pub author: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// What kind of selectors.
    pub kind: Kind,
    /// Expired instead of purged.
    pub soft: bool,
    /// The selectors, normalised; for an undo the id of the purge it takes back.
    pub selectors: Vec<String>,
    /// Position of the record that took it back.
    #[serde(default)]
    pub undone_by: Option<u64>,
    /// Whole seconds for which it can be taken back; none when it cannot.
    #[serde(default)]
    pub undoable_seconds: Option<u64>,
}

impl Line {
    fn of(told: &Told) -> Self {
        let Recorded { seq, purge, note, undoes, .. } = &told.recorded;
        let note = Note::decode(note);
        let selectors = match undoes {
            Some(_) => vec![note.undoes.unwrap_or_default()],
            None => {
                purge.selectors.iter().map(Selector::text).filter(|t| !t.is_empty()).map(Into::into).collect()
            }
        };
        Self {
            sequence: seq.0,
            id: note.id,
            time: note.time,
            author: note.author,
            reason: note.reason,
            kind: if undoes.is_some() { Kind::Undo } else { Kind::of(purge) },
            soft: purge.soft,
            selectors,
            undone_by: told.undone.map(|by| by.0),
            undoable_seconds: told.undoable.map(|left| left / 1000),
        }
    }
}

/// A part of the log, for whoever looks and for other nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The node's name.
    pub node: String,
    /// The log's name: with another one, positions mean other purges. Empty without a log on disk.
    pub log: String,
    /// Position of the newest record.
    pub sequence: u64,
    /// Records up to this position may have been dropped; the history is whole after it.
    pub reaches: u64,
    /// Whether nothing is missing between the position asked for and the records here.
    pub complete: bool,
    /// The records: in order after a position, else the newest first.
    pub purges: Vec<Line>,
    /// Whether there are more.
    pub more: bool,
}

/// The listing of a page, asked for with `after`.
#[must_use]
pub(super) fn listing(node: &str, page: &Page, after: Option<u64>) -> Listing {
    // What purges nothing and takes nothing back is the node's own mark.
    let says = |told: &&Told| !told.recorded.purge.selectors.is_empty() || told.recorded.undoes.is_some();
    let mut purges: Vec<Line> = page.purges.iter().filter(says).map(Line::of).collect();
    if after.is_none() {
        purges.reverse();
    }
    Listing {
        node: node.to_owned(),
        log: if page.log == 0 { String::new() } else { format!("{:08x}", page.log) },
        sequence: page.seq.0,
        reaches: page.reaches.0,
        complete: after.is_none_or(|after| after >= page.reaches.0 && after <= page.seq.0),
        purges,
        more: page.more,
    }
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
    fn records_are_told_whole() {
        let told = |seq, selectors: Vec<Selector>, note: &str, undoes| Told {
            recorded: Recorded {
                seq: Seq(seq),
                purge: Purge { selectors, soft: seq == 2 },
                note: note.into(),
                time: 1,
                undoes,
            },
            undone: None,
            undoable: Some(1999),
        };
        let page = Page {
            purges: vec![
                told(2, vec![Selector::Tag("x".into())], r#"{"id":"a","time":"t","author":"me"}"#, None),
                told(3, vec![], r#"{"id":"b","time":"t","undoes":"a"}"#, Some(Seq(2))),
                told(4, vec![Selector::All], r#"{"reason":"journal damaged"}"#, None),
            ],
            reaches: Seq(1),
            seq: Seq(4),
            log: 0xab,
            more: false,
        };
        let listing = listing("edge-1", &page, Some(1));
        assert_eq!((listing.log.as_str(), listing.complete, listing.sequence), ("000000ab", true, 4));
        assert!(!super::listing("edge-1", &page, Some(0)).complete, "what was at 1 is not known");
        assert!(!super::listing("edge-1", &page, Some(5)).complete, "no position of this log");
        assert_eq!(super::listing("edge-1", &page, None).purges[0].sequence, 4, "the newest first");
        assert_eq!(listing.purges[0].undoable_seconds, Some(1));
        let kinds: Vec<_> = listing.purges.iter().map(|line| (line.kind, line.selectors.concat())).collect();
        assert_eq!(kinds, [(Kind::Tag, "x".into()), (Kind::Undo, "a".into()), (Kind::All, String::new())]);
        assert_eq!(listing.purges[0].id, "a");
        let text = serde_json::to_string(&listing).unwrap();
        assert_eq!(serde_json::from_str::<Listing>(&text).unwrap(), listing);
    }
}
