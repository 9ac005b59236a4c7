//! The tier on disk: what is kept, how much of it, and what happens when the disk is in trouble.

use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use larder_tests::{Ask, Case, Node, Origin, Recipe, Reply, until_within};

use crate::stage::Stage;

/// A small file system of its own, or `None` (with a printed reason) where it cannot be mounted.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "larder-test"])
            .arg(folder.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        println!("skipped: a tmpfs of {size} cannot be mounted here (needs root)");
        None
    }

    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        let done = Command::new("mount").args(["-o", &options]).arg(self.0.path()).status();
        assert!(done.is_ok_and(|status| status.success()), "remount {how}");
    }

    /// Takes what is left, to the last byte.
    fn fill(&self) {
        let mut ballast = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.0.path().join("ballast"))
            .expect("a file beside the cache");
        for size in [64 * 1024, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
        let free = rustix::fs::statvfs(self.0.path()).expect("it is mounted").f_bfree;
        assert_eq!(free, 0, "blocks are left");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazy: a node that was just killed may still be letting go of its files.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_a_miss() {
    let Some(disk) = SmallDisk::mount("12m") else { return };
    let case = Case::new("a full disk is a miss: every answer is right, the node stays up");
    let origin = Origin::start(&case).await;
    origin.on("/*", |asked| Reply::page_of(asked, 400_000).cache("max-age=3600"));
    let directory = disk.0.path().join("cache");
    let recipe = Recipe::new(&origin).directory(&directory).tiers("2MiB", "1GiB");
    let node = Node::start(&case, recipe).await;
    for round in 0..2 {
        for number in 0..60 {
            let target = format!("/{number}");
            assert_eq!(node.get(&target).await.version(&target), 1, "round {round}");
        }
    }
    let metrics = node.metrics().await;
    assert!(metrics.broken().is_empty());
}

/// Whether the node says that its disk takes entries.
async fn healthy(node: &Node) -> bool {
    let metrics = node.metrics().await;
    let health = metrics.sum("larder_store_disk_healthy", &[]);
    println!("larder_store_disk_healthy {health}");
    health > 0.5
}

/// Everything is answered, and memory goes on hitting.
async fn serves(node: &Node) {
    for number in 0..30 {
        let target = format!("/{number}");
        assert_eq!(node.get(&target).await.version(&target), 1);
    }
    assert_eq!(node.get("/small").await.version("/small"), 1);
    assert!(node.get("/small").await.hit(), "memory goes on");
}

/// The status of a purge.
async fn purge(node: &Node, url: &str) -> u16 {
    let body = serde_json::json!({ "kind": "url", "selectors": [url] }).to_string();
    let ask = Ask::new("POST", "/purge").with("content-type", "application/json").body(body);
    let answer = node.ask_admin(ask).await;
    println!("{}", answer.text());
    answer.status
}

async fn node_on(case: &Arc<Case>, disk: &SmallDisk) -> (Origin, Node) {
    let origin = Origin::start(case).await;
    origin.on("/*", |asked| Reply::page_of(asked, 300_000).cache("max-age=3600"));
    origin.on("/small", |asked| Reply::page_of(asked, 5_000).cache("max-age=3600"));
    let recipe = Recipe::new(&origin).directory(&disk.0.path().join("cache")).tiers("4MiB", "1GiB");
    let node = Node::start(case, recipe).await;
    (origin, node)
}

#[tokio::test]
async fn a_node_killed_on_a_full_disk_starts_again() {
    let Some(disk) = SmallDisk::mount("16m") else { return };
    let case = Case::new("killed on a full disk, a node starts again and serves");
    let (_origin, mut node) = node_on(&case, &disk).await;
    serves(&node).await;
    for round in 0..3 {
        node.kill9();
        disk.fill();
        let took = node.start_again().await;
        println!("round {round}: ready after {took:?}");
        serves(&node).await;
        let url = "http://www.example.com/small";
        assert!(matches!(purge(&node, url).await, 200 | 503), "round {round}");
        assert!(!node.get("/small").await.hit(), "in force, durable or not");
    }
}

#[tokio::test]
async fn what_is_stored_makes_room_for_the_start() {
    let Some(disk) = SmallDisk::mount("32m") else { return };
    let case = Case::new("when only what is stored can make room, it goes, and there is a disk again");
    let (_origin, mut node) = node_on(&case, &disk).await;
    serves(&node).await;
    node.stop().await;
    // It has to be written anew, and there is no byte for it.
    std::fs::remove_file(disk.0.path().join("cache/purge.log")).expect("the journal");
    disk.fill();
    node.start_again().await;
    let said = node.read("stderr");
    assert!(said.contains("the disk is full") && !said.contains("without its disk"), "{said}");
    assert!(healthy(&node).await);
    assert!(!node.get("/0").await.hit());
    serves(&node).await;
    assert_eq!(purge(&node, "http://www.example.com/small").await, 200);
    assert!(!node.get("/small").await.hit());
}

#[tokio::test]
async fn a_node_starts_on_a_disk_that_others_have_filled() {
    let Some(disk) = SmallDisk::mount("8m") else { return };
    let case = Case::new("on a disk without a free byte a node serves from memory, says so, refuses purges");
    disk.fill();
    let (_origin, mut node) = node_on(&case, &disk).await;
    serves(&node).await;
    assert!(!healthy(&node).await);
    assert_eq!(purge(&node, "http://www.example.com/small").await, 503);
    assert!(!node.get("/small").await.hit(), "in force all the same");
    let said = node.read("stderr");
    assert!(said.contains("without its disk") && said.contains("df"), "{said}");
    node.stop().await;
    std::fs::remove_file(disk.0.path().join("ballast")).expect("the ballast");
    node.start_again().await;
    assert!(healthy(&node).await, "with room there is a disk again");
    assert_eq!(purge(&node, "http://www.example.com/small").await, 200);
}

#[tokio::test]
async fn a_node_starts_on_a_read_only_disk() {
    let Some(disk) = SmallDisk::mount("32m") else { return };
    let case = Case::new("on a read-only disk a node serves from memory; what is on it comes back with it");
    let (_origin, mut node) = node_on(&case, &disk).await;
    serves(&node).await;
    node.stop().await;
    disk.remount("ro");
    node.start_again().await;
    serves(&node).await;
    assert!(!healthy(&node).await);
    assert_eq!(purge(&node, "http://www.example.com/small").await, 503);
    let checked = node.command(&["check", "--config", "larder.toml"]);
    let said = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.contains("cannot be written"), "{said}");
    node.stop().await;
    disk.remount("rw");
    node.start_again().await;
    assert!(healthy(&node).await);
    assert!(node.get("/0").await.hit(), "what was stored is still there");
}

#[tokio::test]
async fn an_unwritable_disk_is_a_miss_and_hits_go_on() {
    let s =
        Stage::new("a cache directory that vanishes under the node is a miss; memory goes on hitting").await;
    s.warm("/hot").await;
    // The node may just be writing into it: once more until it is gone.
    larder_tests::until("the directory to be gone", || {
        std::fs::remove_dir_all(s.node.path("cache")).is_ok() || !s.node.path("cache").exists()
    })
    .await;
    for number in 0..20 {
        let target = format!("/{number}");
        assert_eq!(s.get(&target).await.version(&target), 1);
    }
    assert_eq!(s.get("/hot").await.version("/hot"), 1);
}

#[tokio::test]
async fn the_byte_budget_of_the_disk_holds() {
    let s = Stage::with("the byte budget of the disk holds, and what is left is right", |recipe| {
        recipe.tiers("2MiB", "20MiB").cache("object_max = \"5MiB\"")
    })
    .await;
    s.origin.on("/*", |asked| Reply::page_of(asked, 500_000).cache("max-age=3600"));
    for number in 0..120 {
        let target = format!("/{number}");
        assert_eq!(s.get(&target).await.version(&target), 1);
    }
    until_within(Duration::from_secs(20), "the disk to be within its budget", async || {
        folder_size(&s.node.path("cache")) < 30 * 1024 * 1024
    })
    .await;
    for number in 0..120 {
        let target = format!("/{number}");
        assert_eq!(s.get(&target).await.version(&target), 1);
    }
}

/// Bytes of all files below `folder`, as the file system counts them.
fn folder_size(folder: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => folder_size(&entry.path()),
        Ok(data) => data.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

#[tokio::test]
async fn memory_only_writes_no_file() {
    let s =
        Stage::with("disk = \"0\" is memory only: hits, and no file", |recipe| recipe.tiers("16MiB", "0"))
            .await;
    s.warm("/a").await;
    assert_eq!(folder_size(&s.node.path("cache")), 0);
    s.node.purge("url", &["http://www.example.com/a"], false).await;
    assert!(!s.get("/a").await.hit());
}

#[tokio::test]
async fn damaged_bodies_are_never_served() {
    let mut s = Stage::new("bodies damaged on disk while the node was down are a miss, never served").await;
    s.origin.on("/*", |asked| Reply::page_of(asked, 50_000).cache("max-age=3600"));
    for number in 0..20 {
        s.warm(&format!("/{number}")).await;
    }
    s.node.stop().await;
    let damaged = damage(&s.node.path("cache"), &s.case);
    println!("damaged {damaged} files");
    assert!(damaged > 0);
    let took = s.node.start_again().await;
    assert!(took < Duration::from_secs(3), "ready after {took:?}");
    for number in 0..20 {
        let target = format!("/{number}");
        let answer = s.node.client().await.ask(larder_tests::Ask::get(&target)).await;
        if answer.end == larder_tests::End::Whole {
            assert_eq!(answer.version(&target), 1);
        }
        assert_eq!(s.get(&target).await.version(&target), 1, "whole the second time");
    }
}

/// Flips a byte in every second file, cuts every fifth one short.
fn damage(folder: &std::path::Path, case: &Case) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let mut count = 0;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            count += damage(&path, case);
            continue;
        }
        let Ok(mut bytes) = std::fs::read(&path) else { continue };
        if bytes.is_empty() || case.draw(2) == 0 {
            continue;
        }
        let at = usize::try_from(case.draw(bytes.len() as u64)).expect("inside the file");
        if case.draw(5) == 0 {
            bytes.truncate(at)
        } else {
            bytes[at] ^= 0x20
        };
        count += usize::from(std::fs::write(&path, bytes).is_ok());
    }
    count
}
