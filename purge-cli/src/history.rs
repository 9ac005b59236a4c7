//! The purges of the past, as each node tells them.

use comfy_table::Cell;
use serde_json::{Value, json};

use crate::client::Failure;
use crate::fleet::Outcome;
use crate::nodes::Node;
use crate::report::{self, Asked};
use crate::wire::{Line, Listing};

/// Characters of a selector in the table.
const SHOWN: usize = 48;

/// A row for each purge of each node.
pub(crate) fn table(nodes: &[Node], outcomes: &[Outcome<Listing>]) -> String {
    let mut table =
        report::table(&["NODE", "SEQUENCE", "TIME", "KIND", "WHAT", "AUTHOR", "UNDO", "ID", "REASON"]);
    for (node, outcome) in nodes.iter().zip(outcomes) {
        match &outcome.answer {
            Ok(listing) => {
                for line in &listing.purges {
                    table.add_row(row(&node.name, line));
                }
            }
            Err(failure) => {
                table.add_row(vec![Cell::new(&node.name), report::bad(failure)]);
            }
        }
    }
    report::finish(&table)
}

fn row(node: &str, line: &Line) -> Vec<Cell> {
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let kind = if line.soft { format!("{} soft", line.kind) } else { line.kind.clone() };
    vec![
        Cell::new(node),
        report::count(Some(line.sequence)),
        Cell::new(or_dash(&line.time)),
        Cell::new(kind),
        Cell::new(what(&line.selectors)),
        Cell::new(or_dash(line.author.as_deref().unwrap_or_default())),
        Cell::new(undo(line)),
        Cell::new(or_dash(&line.id)),
        Cell::new(or_dash(line.reason.as_deref().unwrap_or_default())),
    ]
}

/// The first selector, and how many more.
fn what(selectors: &[String]) -> String {
    let Some(first) = selectors.first() else { return "-".to_owned() };
    let mut shown: String = first.chars().take(SHOWN).collect();
    if shown.len() < first.len() {
        shown.push('\u{2026}');
    }
    if selectors.len() > 1 {
        shown += &format!(" (+{})", selectors.len() - 1);
    }
    shown
}

/// Whether it was taken back, or for how long it can be.
fn undo(line: &Line) -> String {
    match (line.undone_by, line.undoable_seconds) {
        (Some(by), _) => format!("by {by}"),
        (None, Some(left)) => format!("{left} s left"),
        (None, None) => "-".to_owned(),
    }
}

/// The same for machines: a line for each purge, one for each node that did not answer, and a summary.
pub(crate) fn json(asked: &Asked, nodes: &[Node], outcomes: &[Outcome<Listing>]) -> Vec<Value> {
    let mut lines = Vec::new();
    for (node, outcome) in nodes.iter().zip(outcomes) {
        match &outcome.answer {
            Ok(listing) => lines.extend(listing.purges.iter().map(|line| {
                let mut value = serde_json::to_value(line).unwrap_or_default();
                value["type"] = json!("purge");
                value["node"] = json!(node.name);
                value
            })),
            Err(failure) => lines.push(json!({
                "type": "node", "node": node.name, "ok": false,
                "outcome": Failure::as_str(failure), "error": failure.to_string(),
            })),
        }
    }
    let answered = outcomes.iter().filter(|outcome| outcome.answer.is_ok()).count();
    lines.push(json!({
        "type": "summary", "ok": asked.met(outcomes), "nodes": outcomes.len(), "reachable": answered,
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_short_and_say_what_can_be_undone() {
        let many = vec!["x".repeat(60), "y".into(), "z".into()];
        assert_eq!(what(&many), format!("{}\u{2026} (+2)", "x".repeat(48)));
        assert_eq!((what(&[]), what(&["a".into()])), ("-".into(), "a".into()));
        let line = |undone_by, undoable_seconds| Line { undone_by, undoable_seconds, ..Line::default() };
        assert_eq!(undo(&line(Some(7), None)), "by 7");
        assert_eq!(undo(&line(None, Some(12))), "12 s left");
        assert_eq!(undo(&line(None, None)), "-");
    }
}
