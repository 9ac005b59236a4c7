//! `larder store`: a cache on disk, looked at while no node runs with it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use larder_tests::{Case, Node, Origin, Reply, until_within};
use serde_json::Value;

use crate::{LARDER, recipe};

const PAGES: usize = 12;

/// `larder store ARGUMENTS`.
fn store(directory: &Path, arguments: &[&str]) -> Output {
    let (first, rest) = arguments.split_first().expect("a command");
    let mut command = Command::new(LARDER);
    command.args(["store", first, "--directory"]).arg(directory).args(rest);
    command.output().expect("it starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(output: &Output) -> Vec<Value> {
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// A node that has stored [`PAGES`] pages and two variants of another one, and its cache.
async fn stocked(case: &std::sync::Arc<Case>) -> (Node, tempfile::TempDir) {
    let origin = Origin::start(case).await;
    origin.on("/*", |asked| Reply::page_of(asked, 3000).cache("max-age=3600").with("surrogate-key", "kept"));
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(case, recipe(&origin).tiers("8MiB", "64MiB").directory(folder.path())).await;
    for number in 0..PAGES {
        let target = format!("/dir/page{number}.html");
        assert_eq!(node.get(&target).await.version(&target), 1);
    }
    let written = async || node.metrics().await.sum("larder_store_behind_bytes", &[]) == 0.0;
    until_within(Duration::from_secs(10), "all to be on disk", written).await;
    (node, folder)
}

#[tokio::test]
async fn a_cache_is_counted_listed_and_exported() {
    let case =
        Case::new("larder store stat, ls and export show what a node has stored, and leave it as it is");
    let (mut node, folder) = stocked(&case).await;
    let directory = folder.path();
    node.purge("url", &["http://www.example.com/dir/page0.html"], false).await;

    let locked = store(directory, &["stat"]);
    assert_eq!(locked.status.code(), Some(2));
    let told = text(&locked.stderr);
    assert!(told.contains("in use by another process") && told.contains("systemctl stop larder"), "{told}");
    node.stop().await;

    let stat = store(directory, &["stat", "--json"]);
    assert_eq!(stat.status.code(), Some(0), "{}", text(&stat.stderr));
    let stat = json(&stat).remove(0);
    let live = PAGES as u64 - 1;
    assert_eq!(stat["states"]["fresh"]["objects"], live);
    assert_eq!(stat["top_sites"][0]["objects"], stat["objects"]);
    assert_eq!(stat["purge_position"], 1);
    let people = text(&store(directory, &["stat"]).stdout);
    assert!(people.contains("sites, 1 of 1") && people.contains("  1m "), "{people}");

    let list = json(&store(directory, &["ls", "--json"]));
    let fresh: Vec<_> = list.iter().filter(|line| line["state"] == "fresh").collect();
    assert_eq!(fresh.len() as u64, live);
    assert!(
        fresh.iter().all(|line| line["bytes"].as_u64() > Some(3000) && line["status"] == 200),
        "{list:?}"
    );
    let prefix = fresh[0]["url"].as_str().expect("a text");
    assert!(text(&store(directory, &["ls", "--prefix", prefix]).stdout).contains(prefix));
    assert!(store(directory, &["ls", "--prefix", "http://nobody/"]).stdout.is_empty());

    let elsewhere = tempfile::tempdir().unwrap();
    let to = elsewhere.path().join("export");
    let to_text = to.display().to_string();
    let export = store(directory, &["export", "--to", &to_text, "--json"]);
    assert_eq!((export.status.code(), &json(&export)[0]["objects"]), (Some(0), &Value::from(live)));
    let host = std::fs::read_dir(&to).unwrap().next().unwrap().unwrap().path();
    let names: Vec<_> = std::fs::read_dir(host).unwrap().map(|file| file.unwrap().path()).collect();
    let body = names.iter().find(|path| path.to_string_lossy().ends_with("page7.html")).expect("a body");
    assert_eq!(larder_tests::page::read(&std::fs::read(body).unwrap()).unwrap().version, 1);
    let head = std::fs::read_to_string(format!("{}.head", body.display())).unwrap();
    assert!(head.contains("/dir/page7.html") && head.contains("\ncache-control: max-age=3600\n"), "{head}");
    let again = store(directory, &["export", "--to", &to_text]);
    assert!(again.status.code() == Some(2) && text(&again.stderr).contains("is not empty"));

    node.start_again().await;
    let answer = node.get("/dir/page7.html").await;
    assert!(answer.hit(), "the node has what it had");
}

#[tokio::test]
async fn damage_is_found_and_named() {
    let case = Case::new("larder store verify compares every byte, names what is damaged and exits with 1");
    let (mut node, folder) = stocked(&case).await;
    let directory = folder.path();
    node.stop().await;
    let whole = store(directory, &["verify"]);
    assert_eq!(whole.status.code(), Some(0), "{}{}", text(&whole.stdout), text(&whole.stderr));
    assert!(text(&whole.stdout).contains("0 bodies damaged"), "{}", text(&whole.stdout));

    flip_a_body(directory);
    let found = store(directory, &["verify", "--json"]);
    assert_eq!(found.status.code(), Some(1), "{}", text(&found.stderr));
    let lines = json(&found);
    assert!(
        lines[0]["damage"] == "changed"
            && lines[0]["url"].as_str().is_some_and(|url| url.contains("/dir/page"))
    );
    assert_eq!(lines.last().unwrap()["bodies_damaged"], 1);
    assert!(text(&found.stderr).contains("1 objects are damaged"));
}

/// Flips a bit in the middle of some body, wherever bodies lie.
fn flip_a_body(directory: &Path) {
    let mut todo = vec![directory.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
                continue;
            }
            let inside = path.strip_prefix(directory).unwrap().to_string_lossy().into_owned();
            if !(inside.starts_with("content") || inside.starts_with("segment")) {
                continue;
            }
            let mut file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            // The record of a small body lies before it and names the URL too: the last place is in the body.
            let Some(at) = bytes.windows(5).rposition(|window| window == b"/dir/") else { continue };
            file.seek(SeekFrom::Start(at as u64 + 1)).unwrap();
            file.write_all(b"D").unwrap();
            return;
        }
    }
    panic!("no body is in {}", directory.display());
}

#[test]
fn what_is_no_cache_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for command in [&["stat"][..], &["ls"], &["verify"], &["export", "--to", "x"]] {
        let output = store(folder.path(), command);
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert!(text(&output.stderr).contains("is not a cache directory"), "{}", text(&output.stderr));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was made there");
}
