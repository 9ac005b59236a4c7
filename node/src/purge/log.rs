//! What is kept with each purge, and how the history is told.

use std::fmt::Write as _;

use larder_store::{Recorded, Selector};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::order::Kind;
use crate::clock::Timestamp;
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

/// `2026-11-23T08:00:00Z` (RFC 3339 5.6), whole seconds.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    let seconds = time.seconds();
    let (year, month, day) = civil(seconds / 86_400);
    let mut text = String::with_capacity(20);
    let (h, m, s) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    // Writing to a String cannot fail.
    let _ = write!(text, "{year:04}-{month:02}-{day:02}T{h:02}:{m:02}:{s:02}Z");
    text
}

/// Year, month and day of a number of days since 1970-01-01, in the proleptic Gregorian calendar: years begin in
/// March, so that the leap day is the last day of a year and of its 400-year era.
const fn civil(days: u64) -> (u64, u64, u64) {
    // 1970-01-01 is day 719,468 since 0000-03-01; an era has 146,097 days.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use larder_store::{Purge, Seq};

    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(rfc3339(Timestamp(seconds * 1000)), text);
        }
        assert!(rfc3339(Timestamp(u64::MAX)).ends_with('Z'));
    }

    #[test]
    fn notes_survive_the_journal_and_strange_ones_are_empty() {
        let note = Note { id: "i".into(), time: "t".into(), author: Some("a".into()), reason: None };
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
