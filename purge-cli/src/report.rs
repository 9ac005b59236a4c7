//! What is said at the end: a table or JSON lines on standard output, and what to type next on standard error.

use std::io::{self, IsTerminal, Write};

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Color, Table};
use serde_json::{Value, json};

use crate::client::Failure;
use crate::fleet::Outcome;
use crate::nodes::Node;
use crate::wire::{Answer, Receipt, Status};

/// What was asked of the nodes, for the words of the report.
#[derive(Debug)]
pub(crate) struct Asked {
    /// `url`, `tag`, ... or `status`.
    pub(crate) kind: &'static str,
    /// How many selectors.
    pub(crate) selectors: usize,
    /// Soft?
    pub(crate) soft: bool,
    /// Dry run?
    pub(crate) dry_run: bool,
    /// The purge's id.
    pub(crate) id: String,
    /// The `--wait` asked.
    pub(crate) wait: &'static str,
    /// Confirmations needed.
    pub(crate) needed: usize,
    /// The command line that sends the same once more.
    pub(crate) again: String,
    /// The command line that shows how the nodes are.
    pub(crate) status: String,
    /// The nodes file, as it was given.
    pub(crate) file: String,
}

impl Asked {
    /// Whether these outcomes are what was asked for.
    pub(crate) fn met<T>(&self, outcomes: &[Outcome<T>]) -> bool {
        confirmed(outcomes) >= self.needed
    }

    fn done(&self) -> &'static str {
        match (self.dry_run, self.soft) {
            _ if self.kind == "undo" => "undone",
            (true, _) => "counted",
            (false, true) => "expired",
            (false, false) => "purged",
        }
    }
}

fn confirmed<T>(outcomes: &[Outcome<T>]) -> usize {
    outcomes.iter().filter(|o| o.answer.is_ok()).count()
}

/// The outcome of a purge as a table.
pub(crate) fn purge_table(asked: &Asked, nodes: &[Node], outcomes: &[Outcome<Receipt>]) -> String {
    let mut table = table(&["NODE", "OUTCOME", "SEQUENCE", "OBJECTS", "BYTES", "TIME"]);
    for (node, outcome) in nodes.iter().zip(outcomes) {
        let time = format!("{} ms", outcome.time.as_millis());
        table.add_row(match &outcome.answer {
            Ok(receipt) => {
                let word = if receipt.repeated && outcome.tries == 1 { "done before" } else { asked.done() };
                let sequence = if asked.dry_run { None } else { receipt.sequence };
                vec![
                    Cell::new(&node.name),
                    good(word),
                    count(sequence),
                    count(receipt.objects),
                    size(receipt.bytes),
                    right(time),
                ]
            }
            Err(failure) => {
                let nothing = || count(None);
                vec![Cell::new(&node.name), bad(failure), nothing(), nothing(), nothing(), right(time)]
            }
        });
    }
    finish(&table)
}

/// The states of all nodes as a table.
pub(crate) fn status_table(nodes: &[Node], outcomes: &[Outcome<Status>]) -> String {
    let mut table =
        table(&["NODE", "STATE", "VERSION", "SEQUENCE", "OBJECTS", "MEMORY", "DISK", "UPTIME", "TIME"]);
    for (node, outcome) in nodes.iter().zip(outcomes) {
        let mut row = vec![Cell::new(&node.name)];
        match &outcome.answer {
            Ok(status) => {
                let state =
                    if status.ready { good("ready") } else { Cell::new("not ready").fg(Color::Yellow) };
                row.extend([
                    state,
                    Cell::new(&status.version),
                    count(Some(status.sequence)),
                    count(status.objects),
                    size(status.bytes_memory),
                    size(status.bytes_disk),
                    right(status.uptime_seconds.map_or_else(|| "-".to_owned(), uptime)),
                ]);
            }
            Err(failure) => {
                row.push(bad(failure));
                row.extend((0..6).map(|_| count(None)));
            }
        }
        row.push(right(format!("{} ms", outcome.time.as_millis())));
        table.add_row(row);
    }
    finish(&table)
}

/// The outcome of a purge for machines: a line for each node and a summary.
pub(crate) fn purge_json(asked: &Asked, nodes: &[Node], outcomes: &[Outcome<Receipt>]) -> Vec<Value> {
    let mut lines: Vec<Value> = nodes
        .iter()
        .zip(outcomes)
        .map(|(node, outcome)| {
            let receipt = outcome.answer.as_ref().ok();
            let failure = outcome.answer.as_ref().err();
            json!({
                "type": "node",
                "node": node.name,
                "ok": receipt.is_some(),
                "outcome": failure.map_or(asked.done(), Failure::as_str),
                "calls_itself": receipt.map(|r| r.node.as_str()),
                "sequence": receipt.and_then(|r| r.sequence),
                "objects": receipt.and_then(|r| r.objects),
                "bytes": receipt.and_then(|r| r.bytes),
                "applied_at": receipt.and_then(|r| r.applied_at.as_deref()),
                "repeated": receipt.map(|r| r.repeated),
                "tries": outcome.tries,
                "ms": millis(outcome),
                "error": failure.map(ToString::to_string),
                "next": failure.map(|f| next(asked, node, f)),
            })
        })
        .collect();
    lines.push(json!({
        "type": "summary",
        "ok": asked.met(outcomes),
        "id": asked.id,
        "kind": asked.kind,
        "selectors": asked.selectors,
        "soft": asked.soft,
        "dry_run": asked.dry_run,
        "wait": asked.wait,
        "nodes": outcomes.len(),
        "confirmed": confirmed(outcomes),
        "needed": asked.needed,
        "ms": outcomes.iter().map(millis).max(),
    }));
    lines
}

/// The states of all nodes for machines.
pub(crate) fn status_json(asked: &Asked, nodes: &[Node], outcomes: &[Outcome<Status>]) -> Vec<Value> {
    let mut lines: Vec<Value> = nodes
        .iter()
        .zip(outcomes)
        .map(|(node, outcome)| {
            let status = outcome.answer.as_ref().ok();
            let failure = outcome.answer.as_ref().err();
            json!({
                "type": "node",
                "node": node.name,
                "ok": status.is_some(),
                "outcome": failure.map_or("reachable", Failure::as_str),
                "calls_itself": status.map(|s| s.node.as_str()),
                "ready": status.map(|s| s.ready),
                "version": status.map(|s| s.version.as_str()),
                "sequence": status.map(|s| s.sequence),
                "objects": status.and_then(|s| s.objects),
                "bytes_memory": status.and_then(|s| s.bytes_memory),
                "bytes_disk": status.and_then(|s| s.bytes_disk),
                "uptime_seconds": status.and_then(|s| s.uptime_seconds),
                "tries": outcome.tries,
                "ms": millis(outcome),
                "error": failure.map(ToString::to_string),
                "next": failure.map(|f| next(asked, node, f)),
            })
        })
        .collect();
    lines.push(json!({
        "type": "summary",
        "ok": asked.met(outcomes),
        "nodes": outcomes.len(),
        "reachable": confirmed(outcomes),
        "ms": outcomes.iter().map(millis).max(),
    }));
    lines
}

/// For people: why each node that did not confirm did not, and what to type next. Empty when all is well.
pub(crate) fn advice<T: Answer>(asked: &Asked, nodes: &[Node], outcomes: &[Outcome<T>]) -> String {
    let mut text = String::new();
    for (node, outcome) in nodes.iter().zip(outcomes) {
        let failure = match &outcome.answer {
            Ok(answer) if answer.node().is_empty() || answer.node() == node.name => continue,
            Ok(answer) => {
                let (name, own) = (&node.name, answer.node());
                text += &format!("{name}: calls itself {own:?}; see whether {} is its address\n", node.admin);
                continue;
            }
            Err(failure) => failure,
        };
        let tries = if outcome.tries == 1 { "1 try".to_owned() } else { format!("{} tries", outcome.tries) };
        text += &format!("{}: {failure} ({tries})\n  next: {}\n", node.name, next(asked, node, failure));
    }
    let (count, all) = (confirmed(outcomes), outcomes.len());
    if count < all && asked.kind != "status" {
        text +=
            &format!("{count} of {all} nodes confirmed, {} needed (--wait {}).", asked.needed, asked.wait);
        text += " Repeating is harmless where it is done:\n  ";
        text += &asked.again;
        text.push('\n');
    }
    text
}

fn next(asked: &Asked, node: &Node, failure: &Failure) -> String {
    match failure {
        Failure::Unreachable(_) | Failure::Silent(_) | Failure::Cut(_) if asked.kind == "status" => {
            format!("see whether the node runs and {} is its [admin] address", node.admin)
        }
        Failure::Unreachable(_) | Failure::Silent(_) | Failure::Cut(_) => {
            format!("see whether {} answers: {}", node.admin, asked.status)
        }
        Failure::Untrusted(_) => {
            format!("name the authority of its certificate with ca_file in {}", asked.file)
        }
        Failure::Token(_) => {
            format!("put the token of {} into {}", node.admin, node.token_file.display())
        }
        Failure::Refused(_, refusal) | Failure::Trouble(_, refusal) => {
            refusal.hint.clone().unwrap_or_else(|| "look into the node's log".to_owned())
        }
        Failure::Strange(_) => {
            format!("see whether {} in {} is the [admin] address of a Larder node", node.admin, asked.file)
        }
        Failure::Left => "send it again, or give it more time with --timeout".to_owned(),
    }
}

/// Writes `text` to standard output; a reader that left is no failure of ours.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes `text` to standard error.
pub(crate) fn complain(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes `text` to standard error if somebody reads it there.
pub(crate) fn remark(text: &str) {
    if io::stderr().is_terminal() {
        complain(text);
    }
}

/// JSON lines.
pub(crate) fn lines(values: &[Value]) -> String {
    values.iter().map(|v| format!("{v}\n")).collect()
}

pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty()) || !io::stdout().is_terminal() {
        table.force_no_tty();
    }
    table.set_header(header.iter().map(|name| {
        let cell = Cell::new(name).add_attribute(Attribute::Bold);
        let numbers = ["SEQUENCE", "OBJECTS", "BYTES", "MEMORY", "DISK", "UPTIME", "TIME"];
        if numbers.contains(name) { cell.set_alignment(CellAlignment::Right) } else { cell }
    }));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

pub(crate) fn finish(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

pub(crate) fn good(word: &str) -> Cell {
    Cell::new(word).fg(Color::Green)
}

pub(crate) fn bad(failure: &Failure) -> Cell {
    Cell::new(failure.as_str()).fg(Color::Red)
}

pub(crate) fn right(text: String) -> Cell {
    Cell::new(text).set_alignment(CellAlignment::Right)
}

pub(crate) fn count(number: Option<u64>) -> Cell {
    right(number.map_or_else(|| "-".to_owned(), |n| n.to_string()))
}

fn size(bytes: Option<u64>) -> Cell {
    right(bytes.map_or_else(|| "-".to_owned(), human))
}

/// `1.5 MiB`
fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    // Tenths, in whole numbers: rounding never shows 1024.0 KiB.
    let mut tenths = u128::from(bytes) * 10;
    while tenths >= 10_235 && unit + 1 < UNITS.len() {
        tenths = (tenths + 512) / 1024;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]) }
}

/// `3d 4h`, `4h 5m`, `5m 6s`, `6s`
fn uptime(seconds: u64) -> String {
    let (d, h, m, s) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    match (d, h, m) {
        (0, 0, 0) => format!("{s}s"),
        (0, 0, _) => format!("{m}m {s}s"),
        (0, ..) => format!("{h}h {m}m"),
        _ => format!("{d}d {h}h"),
    }
}

fn millis<T>(outcome: &Outcome<T>) -> u64 {
    u64::try_from(outcome.time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        let sizes = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (1024 * 1024, "1.0 MiB"),
            (10 * 1024 * 1024 * 1024, "10.0 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ];
        for (bytes, text) in sizes {
            assert_eq!(human(bytes), text, "{bytes}");
        }
        for (seconds, text) in [(6, "6s"), (66, "1m 6s"), (3600, "1h 0m"), (90_000, "1d 1h")] {
            assert_eq!(uptime(seconds), text);
        }
    }
}
