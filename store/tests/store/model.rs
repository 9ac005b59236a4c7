//! Random operations, compared with a map that knows what must be there.

use std::collections::BTreeMap;

use bytes::Bytes;
use larder_store::{KeyRef, Purge, Selector};

use crate::support::*;

const PATHS: u64 = 24;

#[derive(Debug, Clone)]
struct Known {
    bytes: Bytes,
    tag: String,
    expired: bool,
}

struct Run {
    random: Random,
    directory: tempfile::TempDir,
    store: Shop,
    known: BTreeMap<String, Known>,
    step: u64,
}

impl Run {
    fn path(&mut self) -> String {
        let number = self.random.below(PATHS);
        format!("{}/{number}", ["x", "y", "xy"][(number % 3) as usize])
    }

    async fn put(&mut self) {
        let path = self.path();
        let size = match self.random.below(10) {
            0 => 0,
            1..=6 => self.random.below(20_000),
            7 => 900 * KIB + self.random.below(300 * KIB),
            _ => 2 * MIB + self.random.below(2 * MIB),
        };
        // Few names: many bodies are equal.
        let bytes = body(&format!("b{}", self.random.below(3)), size - size % 5000);
        let tag = format!("t{}", self.random.below(4));
        put_tagged(&self.store, &path, &bytes, &[&tag, "all"]).await.unwrap();
        self.known.insert(path, Known { bytes, tag, expired: false });
    }

    async fn check(&mut self, path: &str) {
        let hit = find(&self.store, path).await;
        let Some(known) = self.known.get(path) else {
            assert!(hit.is_none(), "{path} came back");
            return;
        };
        let hit = hit.unwrap_or_else(|| panic!("{path} was lost"));
        assert_eq!(hit.expired, known.expired, "{path}");
        assert!(read_all(&hit.entry).await.unwrap() == known.bytes, "{path}");
        let length = known.bytes.len() as u64;
        let from = self.random.below(length + 1);
        let to = from + self.random.below(length - from + 1);
        let range = read(hit.entry.read(from, to)).await.unwrap();
        assert!(range == known.bytes.slice(from as usize..to as usize), "{path} {from}..{to}");
    }

    async fn purge(&mut self) {
        let soft = self.random.below(2) == 0;
        let selector = match self.random.below(20) {
            0 => Selector::All,
            1 => Selector::Host("a".into()),
            2..=5 => Selector::Prefix(url(["x/", "y/", "x", "xy/1"][self.random.below(4) as usize])),
            6..=9 => Selector::Tag(format!("t{}", self.random.below(4))),
            _ => Selector::Url(url(&self.path())),
        };
        self.store.purge(&Purge { selectors: vec![selector.clone()], soft }, "").await.unwrap();
        self.known.retain(|path, known| {
            let hit = selector.matches(&url(path), &[&known.tag, "all"]);
            known.expired |= hit && soft;
            soft || !hit
        });
    }

    async fn refresh(&mut self) {
        let path = self.path();
        let Some(hit) = find(&self.store, &path).await else { return };
        let tag = format!("t{}", self.random.below(4));
        let tags = vec![tag.clone(), "all".into()];
        let label = hit.entry.head().clone();
        assert!(self.store.refresh(&hit.entry, label, tags, self.store.seq()).await.is_some());
        let known = self.known.get_mut(&path).expect("a hit is known");
        (known.tag, known.expired) = (tag, false);
    }

    async fn reopen(&mut self) {
        let store = std::mem::replace(&mut self.store, open("".as_ref(), MIB, 0));
        store.close().await;
        self.store = fresh(&self.directory);
        self.everything().await;
    }

    async fn everything(&mut self) {
        for number in 0..PATHS {
            let path = format!("{}/{number}", ["x", "y", "xy"][(number % 3) as usize]);
            self.check(&path).await;
        }
        let stats = self.store.stats();
        assert_eq!((stats.events.disk_errors, stats.events.corrupt), (0, 0));
    }

    async fn step(&mut self) {
        self.step += 1;
        match self.random.below(100) {
            0..40 => self.put().await,
            40..75 => {
                let path = self.path();
                self.check(&path).await;
            }
            75..82 => {
                let path = self.path();
                self.store.remove(KeyRef::new(&url(&path), ""));
                self.known.remove(&path);
            }
            82..90 => self.purge().await,
            90..97 => self.refresh().await,
            97 => self.reopen().await,
            _ => self.everything().await,
        }
    }
}

/// Small memory, so that the disk is asked; sweeps and folds all the time.
fn fresh(directory: &tempfile::TempDir) -> Shop {
    open_with(config(directory.path(), 2 * MIB, 512 * MIB), &std::sync::Arc::default())
}

#[tokio::test]
async fn the_store_does_what_a_map_does() {
    // LARDER_STEPS=10000 LARDER_SEED=... for longer runs and for a replay.
    let number = |name: &str, default: u64| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let steps = number("LARDER_STEPS", 800);
    for seed in [number("LARDER_SEED", 1), 2, 3] {
        println!("seed {seed}");
        let directory = tempfile::tempdir().unwrap();
        let store = fresh(&directory);
        let mut run = Run { random: Random(seed), directory, store, known: BTreeMap::new(), step: 0 };
        for _ in 0..steps / 3 {
            run.step().await;
        }
        run.reopen().await;
        run.store.purge(&hard(Selector::All), "").await.unwrap();
        until("everything is given back", || run.store.stats().disk_bytes == 0);
        assert!(blocks(run.directory.path()).is_empty(), "seed {seed}");
        run.store.close().await;
    }
}
