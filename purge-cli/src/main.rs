//! Purges the caches of all nodes of a Larder fleet with one command.
//!
//! ```text
//! flags, nodes, selectors   what was asked, checked before anything is sent
//! wire, client, fleet       one request; one node; all nodes until they confirm or the time is over
//! progress, report, history what a person sees meanwhile; what is said at the end; the purges of the past
//! ```

mod client;
mod flags;
mod fleet;
mod history;
mod nodes;
mod progress;
mod report;
mod selectors;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use http::Method;
use hyper::body::Bytes;

use crate::client::{Call, Client};
use crate::flags::{Command, Flags, How, Which};
use crate::fleet::{Outcome, Patience};
use crate::nodes::Node;
use crate::progress::Progress;
use crate::report::Asked;
use crate::wire::{Answer, Listing, Order, Receipt, Status};

/// Usage or configuration.
const WRONG: u8 = 2;
/// Some nodes did not confirm.
const UNCONFIRMED: u8 = 1;
/// Selectors in one order. Longer lists go in several, each with its own id, so that no order is too large for a node.
const ORDER_SELECTORS_MAX: usize = 1000;
/// Bytes of selectors in one order; a node takes 1 MiB of JSON, in which a byte may need six.
const ORDER_BYTES_MAX: usize = 160 * 1024;

fn main() -> ExitCode {
    match run(Flags::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(UNCONFIRMED),
        Err(why) => {
            report::complain(&format!("larder-purge: {why}\n"));
            ExitCode::from(WRONG)
        }
    }
}

fn run(flags: Flags) -> Result<bool, String> {
    let file = flags.nodes.or_else(|| std::env::var_os("LARDER_NODES").map(PathBuf::from));
    match flags.command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Flags::command(), "larder-purge", &mut script);
            report::print(&String::from_utf8_lossy(&script));
            Ok(true)
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Flags::command()).render(&mut page).map_err(|e| e.to_string())?;
            report::print(&String::from_utf8_lossy(&page));
            Ok(true)
        }
        Command::Log { limit } => {
            if flags.how.soft || flags.how.dry_run || flags.how.id.is_some() {
                misuse("--soft, --dry-run and --id are for purges, not for log");
            }
            log(file, &flags.how, limit)
        }
        Command::Undo { ids } => {
            if flags.how.soft || flags.how.dry_run {
                misuse("--soft and --dry-run are for purges, not for undo");
            }
            undo(file, &flags.how, &ids)
        }
        Command::Status => {
            if flags.how.soft || flags.how.dry_run || flags.how.id.is_some() {
                misuse("--soft, --dry-run and --id are for purges, not for status");
            }
            status(file, &flags.how)
        }
        Command::Url(which) => purge(file, &flags.how, "url", Some(&which)),
        Command::Tag(which) => purge(file, &flags.how, "tag", Some(&which)),
        Command::Prefix(which) => purge(file, &flags.how, "prefix", Some(&which)),
        Command::Host(which) => purge(file, &flags.how, "host", Some(&which)),
        Command::Regex(which) => purge(file, &flags.how, "regex", Some(&which)),
        Command::All => purge(file, &flags.how, "all", None),
    }
}

/// Ends the program as clap ends it for any other misuse.
fn misuse(why: &str) -> ! {
    Flags::command().error(ErrorKind::ArgumentConflict, why).exit()
}

fn status(file: Option<PathBuf>, how: &How) -> Result<bool, String> {
    let (file, nodes) = fleet_of(file)?;
    let asked = asked(&file, "status", 0, how, String::new(), nodes.len());
    let outcomes = ask::<Status>(&nodes, vec![question("/status".to_owned())], how, true)?;
    if how.json {
        report::print(&report::lines(&report::status_json(&asked, &nodes, &outcomes)));
    } else {
        report::print(&report::status_table(&nodes, &outcomes));
        report::complain(&report::advice(&asked, &nodes, &outcomes));
    }
    Ok(asked.met(&outcomes))
}

fn question(path: String) -> Call {
    Call { method: Method::GET, path, body: Bytes::new(), id: String::new(), dry_run: false }
}

fn log(file: Option<PathBuf>, how: &How, limit: u16) -> Result<bool, String> {
    let (file, nodes) = fleet_of(file)?;
    let asked = asked(&file, "status", 0, how, String::new(), nodes.len());
    let outcomes = ask::<Listing>(&nodes, vec![question(format!("/purges?limit={limit}"))], how, true)?;
    if how.json {
        report::print(&report::lines(&history::json(&asked, &nodes, &outcomes)));
    } else {
        report::print(&history::table(&nodes, &outcomes));
        report::complain(&report::advice(&asked, &nodes, &outcomes));
    }
    Ok(asked.met(&outcomes))
}

/// Takes back one purge after the other; the first that a node refuses is the last it is asked for.
fn undo(file: Option<PathBuf>, how: &How, ids: &[String]) -> Result<bool, String> {
    let (file, nodes) = fleet_of(file)?;
    let id = match &how.id {
        Some(id) => check_id(id)?,
        None => client::draw_id()?,
    };
    let parts: Vec<&[String]> = ids.chunks(1).collect();
    let calls = calls("undo", &parts, how, &id)?;
    carry_out(&nodes, calls, how, &asked(&file, "undo", ids.len(), how, id, nodes.len()))
}

fn purge(
    file: Option<PathBuf>,
    how: &How,
    kind: &'static str,
    which: Option<&Which>,
) -> Result<bool, String> {
    let (file, nodes) = fleet_of(file)?;
    let selectors = match which {
        Some(which) => selectors::gather(kind, which).map_err(|m| format!("nothing was sent:\n{m}"))?,
        None => Vec::new(),
    };
    let id = match &how.id {
        Some(id) => check_id(id)?,
        None => client::draw_id()?,
    };
    let calls = calls(kind, &parts(&selectors), how, &id)?;
    let asked = asked(&file, kind, selectors.len(), how, id, nodes.len());
    carry_out(&nodes, calls, how, &asked)
}

fn carry_out(nodes: &[Node], calls: Vec<Call>, how: &How, asked: &Asked) -> Result<bool, String> {
    let ids: Vec<String> = calls.iter().map(|call| call.id.clone()).collect();
    // A dry run walks the index each time it is asked: it is given all the time there is.
    let outcomes = ask::<Receipt>(nodes, calls, how, !how.dry_run)?;
    if how.json {
        report::print(&report::lines(&report::purge_json(asked, nodes, &outcomes)));
    } else {
        report::print(&report::purge_table(asked, nodes, &outcomes));
        report::complain(&report::advice(asked, nodes, &outcomes));
        if !how.dry_run && asked.kind != "undo" {
            report::remark(&format!("To take it back: {}\n", undo_line(&asked.file, &ids)));
        }
    }
    Ok(asked.met(&outcomes))
}

fn fleet_of(file: Option<PathBuf>) -> Result<(PathBuf, Vec<Node>), String> {
    let Some(file) = file else {
        let why = "which nodes? give --nodes FILE or set LARDER_NODES (--help shows such a file)";
        Flags::command().error(ErrorKind::MissingRequiredArgument, why).exit()
    };
    let nodes = nodes::load(&file).map_err(|mistakes| format!("nothing was sent:\n{mistakes}"))?;
    Ok((file, nodes))
}

fn ask<T: Answer>(
    nodes: &[Node],
    calls: Vec<Call>,
    how: &How,
    repeat_slow: bool,
) -> Result<Vec<Outcome<T>>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start: {e}"))?;
    let clients = nodes.iter().cloned().map(Client::new).collect::<Result<Vec<_>, _>>()?;
    let patience = Patience { timeout: how.timeout, wait: how.wait, repeat_slow };
    let mut progress = Progress::new(nodes.iter().map(|n| n.name.clone()));
    let outcomes = runtime.block_on(fleet::ask(clients, calls, patience, |index| progress.done(index)));
    progress.clear();
    // A resolver that hangs must not keep the command alive.
    runtime.shutdown_background();
    Ok(outcomes)
}

/// The command line that takes the orders with these ids back.
fn undo_line(file: &str, ids: &[String]) -> String {
    let words = ["larder-purge", "--nodes", file, "undo"].map(str::to_owned);
    command_line(&[&words[..], ids].concat())
}

/// `user@host`, as far as the system tells.
fn user() -> Option<String> {
    let user = ["USER", "LOGNAME"].iter().find_map(|v| std::env::var(v).ok()).filter(|u| !u.is_empty())?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Some(if host.trim().is_empty() { user } else { format!("{user}@{}", host.trim()) })
}

/// The orders for a list in parts: one, or several with ids of their own.
fn calls(kind: &'static str, parts: &[&[String]], how: &How, id: &str) -> Result<Vec<Call>, String> {
    let author = how.author.clone().or_else(user);
    let several = parts.len() > 1;
    let call = |(i, selectors): (usize, &&[String])| {
        let id = if several { format!("{id}.{}", i + 1) } else { id.to_owned() };
        let order = Order {
            kind,
            selectors,
            soft: how.soft,
            dry_run: how.dry_run,
            id: id.clone(),
            author: author.as_deref().filter(|a| !a.is_empty()),
            reason: how.reason.as_deref(),
        };
        let body = serde_json::to_vec(&order).map_err(|e| e.to_string())?.into();
        Ok(Call { method: Method::POST, path: "/purge".to_owned(), body, id, dry_run: how.dry_run })
    };
    parts.iter().enumerate().map(call).collect()
}

fn parts(selectors: &[String]) -> Vec<&[String]> {
    let mut parts = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (i, selector) in selectors.iter().enumerate() {
        bytes += selector.len();
        if i > from && (i - from >= ORDER_SELECTORS_MAX || bytes > ORDER_BYTES_MAX) {
            parts.push(&selectors[from..i]);
            (from, bytes) = (i, selector.len());
        }
    }
    parts.push(&selectors[from..]);
    parts
}

fn check_id(id: &str) -> Result<String, String> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if id.is_empty() || id.len() > 64 || !id.bytes().all(good) {
        return Err(format!("--id {id:?}: use 1 to 64 letters, digits, '-', '_' or '.'"));
    }
    Ok(id.to_owned())
}

fn asked(file: &Path, kind: &'static str, selectors: usize, how: &How, id: String, nodes: usize) -> Asked {
    let file = file.display().to_string();
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    let mut again = vec!["larder-purge".to_owned()];
    if how.id.is_none() {
        again.extend(["--id".to_owned(), id.clone()]);
    }
    again.extend(arguments);
    Asked {
        kind,
        selectors,
        soft: how.soft,
        dry_run: how.dry_run,
        id,
        wait: how.wait.as_str(),
        needed: if kind == "status" { nodes } else { how.wait.needs(nodes) },
        again: command_line(&again),
        status: command_line(&[
            "larder-purge".to_owned(),
            "--nodes".to_owned(),
            file.clone(),
            "status".to_owned(),
        ]),
        file,
    }
}

/// Words as a POSIX shell would have to be given them.
fn command_line(words: &[String]) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=@%+,".contains(&b);
    let quoted = |word: &String| {
        if !word.is_empty() && word.bytes().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize, bytes: usize) -> Vec<String> {
        (0..count).map(|i| format!("{i}{}", "x".repeat(bytes))).collect()
    }

    #[test]
    fn long_lists_go_in_parts_and_nothing_is_lost() {
        for (count, bytes, expected) in
            [(0, 1, 1), (1, 1, 1), (1000, 4, 1), (1001, 4, 2), (3, 100_000, 3), (5000, 4, 5)]
        {
            let list = names(count, bytes);
            let cut = parts(&list);
            assert_eq!(cut.len(), expected, "{count} of {bytes} bytes");
            assert_eq!(cut.concat(), list);
        }
    }

    #[test]
    fn command_lines_can_be_pasted() {
        let words = ["larder-purge", "tag", "a b", "it's", "", "https://x/?q=1&r=2"].map(str::to_owned);
        assert_eq!(command_line(&words), "larder-purge tag 'a b' 'it'\\''s' '' 'https://x/?q=1&r=2'");
    }

    #[test]
    fn ids_are_short_words() {
        for good in ["a", "3f0c-11.2", &"x".repeat(64)] {
            assert!(check_id(good).is_ok());
        }
        for bad in ["", "a b", "ä", "\n", &"x".repeat(65)] {
            assert!(check_id(bad).is_err());
        }
    }
}
