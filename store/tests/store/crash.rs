//! Kill -9 of a process at work, again and again, on the same directory.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use larder_store::{Key, Selector};

use crate::support::*;

const PATHS: u64 = 30;
const DIRECTORY: &str = "LARDER_CRASH_DIRECTORY";
const FIRST: &str = "LARDER_CRASH_FIRST";

fn size(version: u64) -> u64 {
    if version.is_multiple_of(7) { 2 * MIB + version } else { 2000 + version }
}

fn name(path: &str, version: u64) -> String {
    format!("{path} {version}")
}

/// The process that is killed. It says what it has done after it was acknowledged.
#[tokio::test]
#[ignore = "run by the other test in a process of its own"]
async fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let first = std::env::var(FIRST).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let store = open(Path::new(&directory), 4 * MIB, 64 * MIB);
    let mut random = Random(first);
    let mut out = std::io::stdout();
    for version in first.. {
        let path = format!("p{}", random.below(PATHS));
        let label = Label(name(&path, version));
        let bytes = body(&label.0, size(version));
        let mut writer =
            store.writer(Key::new(&url(&path), ""), label, vec![path.clone()], store.seq(), None);
        let mut rest = bytes.clone();
        while !rest.is_empty() {
            writer.write(rest.split_to(rest.len().min(60_000))).await.unwrap();
        }
        if writer.commit().await.is_ok() {
            writeln!(out, "put {path} {version}").unwrap();
        }
        if random.below(4) == 0 {
            let selector = match random.below(3) {
                0 => Selector::Url(url(&path)),
                1 => Selector::Tag(path.clone()),
                _ => Selector::Prefix(url(&path)),
            };
            store.purge(&hard(selector.clone()), "").await.unwrap();
            writeln!(out, "purged {} {version} {path}", selector.kind()).unwrap();
        }
    }
}

/// What the child has said.
#[derive(Default)]
struct Said {
    /// For each path: nothing up to this version may come back.
    dead: BTreeMap<String, u64>,
    last: u64,
    lines: u64,
}

fn run_and_kill(directory: &Path, said: &mut Said, after: u64, pause: Duration) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--ignored", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(FIRST, (said.last + 1).to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut take = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let version = words.get(2).and_then(|text| text.parse().ok()).unwrap_or(0);
        said.last = said.last.max(version);
        match words[..] {
            ["put", ..] => said.lines += 1,
            ["purged", kind, _, path] => {
                for number in 0..PATHS {
                    let other = format!("p{number}");
                    if other == path || (kind == "prefix" && other.starts_with(path)) {
                        said.dead.insert(other, version);
                    }
                }
            }
            _ => {}
        }
    };
    for line in lines.by_ref().take(after as usize) {
        take(&line.unwrap());
    }
    std::thread::sleep(pause);
    child.kill().unwrap();
    child.wait().unwrap();
    lines.map_while(Result::ok).for_each(|line| take(&line));
    // A version may have been begun and not said.
    said.last += 10;
}

#[tokio::test]
async fn nothing_wrong_and_nothing_purged_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let kills = std::env::var("LARDER_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let mut said = Said::default();
    let mut found = 0;
    for kill in 0..kills {
        let mut random = Random(kill);
        let (after, pause) = (3 + random.below(60), Duration::from_millis(random.below(700)));
        println!("kill {kill}: after {after} lines and {pause:?}");
        run_and_kill(directory.path(), &mut said, after, pause);
        let store = open(directory.path(), 4 * MIB, 64 * MIB);
        for number in 0..PATHS {
            let path = format!("p{number}");
            let Some(hit) = find(&store, &path).await else { continue };
            let label = hit.entry.head().0.clone();
            let version = label.strip_prefix(&format!("{path} ")).and_then(|text| text.parse().ok());
            let version: u64 = version.unwrap_or_else(|| panic!("{label} under {path}"));
            assert!(said.dead.get(&path).is_none_or(|dead| version > *dead), "{label} was purged");
            if let Ok(bytes) = read_all(&hit.entry).await {
                assert!(bytes == body(&label, size(version)), "wrong bytes for {label}");
                found += 1;
            }
        }
        assert_eq!(store.stats().events.disk_errors, 0);
        store.close().await;
    }
    println!("{found} entries found after {kills} kills, {} written", said.lines);
    assert!(found > kills * 5, "the cache comes back: {found}");
    let store = open_with(config(directory.path(), 4 * MIB, 64 * MIB), &std::sync::Arc::default());
    store.purge(&hard(Selector::All), "").await.unwrap();
    until("all space is given back", || store.stats().disk_bytes == 0);
    until("no file is left", || blocks(directory.path()).is_empty());
    store.close().await;
}
