//! The purges in force, as epochs: who matches and was born before one is dead (hard) or expired (soft).
//!
//! An entry that was checked at position N need not be looked at again until the position moves, so that a hit costs one
//! compare. What was checked long ago, before purges were folded away, counts as dead: see [`Tables::floor`].

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockReadGuard};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{Purge, Selector, Seq, url};

/// Selectors added without letting lookups in between.
const AT_ONCE: usize = 256;

/// The hash a tag is kept by. A collision purges too much, never too little.
pub(crate) fn tag_hash(tag: &str) -> u64 {
    xxh3_64(tag.as_bytes())
}

/// What the purges say about an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) dead: bool,
    pub(crate) expired: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Epochs {
    hard: u64,
    soft: u64,
}

impl Epochs {
    fn raise(&mut self, seq: u64, soft: bool) {
        let epoch = if soft { &mut self.soft } else { &mut self.hard };
        *epoch = seq.max(*epoch);
    }

    fn join(&mut self, other: Self) {
        self.hard = self.hard.max(other.hard);
        self.soft = self.soft.max(other.soft);
    }

    fn after(self, upto: u64) -> Self {
        let keep = |epoch| if epoch > upto { epoch } else { 0 };
        Self { hard: keep(self.hard), soft: keep(self.soft) }
    }

    fn newest(self) -> u64 {
        self.hard.max(self.soft)
    }
}

#[derive(Debug, Default)]
struct Sets {
    all: Epochs,
    hosts: HashMap<u64, Epochs>,
    urls: HashMap<u128, Epochs>,
    tags: HashMap<u64, Epochs>,
    prefixes: BTreeMap<Box<str>, Epochs>,
}

impl Sets {
    fn add(&mut self, selectors: &[Selector], soft: bool, seq: u64) {
        for selector in selectors {
            let epochs = match selector {
                Selector::All => &mut self.all,
                Selector::Host(text) => self.hosts.entry(xxh3_64(text.as_bytes())).or_default(),
                Selector::Url(text) => self.urls.entry(xxh3_128(text.as_bytes())).or_default(),
                Selector::Tag(text) => self.tags.entry(tag_hash(text)).or_default(),
                Selector::Prefix(text) => self.prefixes.entry(text.as_str().into()).or_default(),
            };
            epochs.raise(seq, soft);
        }
    }

    fn len(&self) -> usize {
        self.hosts.len() + self.urls.len() + self.tags.len() + self.prefixes.len()
    }

    /// The newest epochs that match.
    fn find(&self, address: &str, tags: &[u64]) -> Epochs {
        let mut found = self.all;
        let mut join = |epochs: Option<&Epochs>| {
            if let Some(epochs) = epochs {
                found.join(*epochs);
            }
        };
        if !self.hosts.is_empty()
            && let Some(authority) = url::authority(address)
        {
            join(self.hosts.get(&xxh3_64(authority.as_bytes())));
            join(self.hosts.get(&xxh3_64(url::without_port(authority).as_bytes())));
        }
        if !self.urls.is_empty() {
            join(self.urls.get(&xxh3_128(address.as_bytes())));
        }
        if !self.tags.is_empty() {
            tags.iter().for_each(|tag| join(self.tags.get(tag)));
        }
        if !self.prefixes.is_empty() {
            self.prefixes_of(address, |epochs| join(Some(epochs)));
        }
        found
    }

    /// Visits every prefix of `address`, from the longest to the shortest. Each step either visits one or jumps back to
    /// what the neighbour and the address have in common, so that other prefixes are not walked through.
    fn prefixes_of(&self, address: &str, mut visit: impl FnMut(&Epochs)) {
        let mut end = Bound::Included(address);
        while let Some((prefix, epochs)) = self.prefixes.range::<str, _>((Bound::Unbounded, end)).next_back()
        {
            let same = common(prefix, address);
            end = if same == prefix.len() {
                visit(epochs);
                Bound::Excluded(&address[..same])
            } else {
                Bound::Included(&address[..same])
            };
        }
    }

    /// What is left when everything up to `upto` is forgotten.
    fn folded(&self, upto: u64) -> Self {
        fn rest<K: Clone>(sets: (&K, &Epochs), upto: u64) -> Option<(K, Epochs)> {
            let epochs = sets.1.after(upto);
            (epochs.newest() > 0).then(|| (sets.0.clone(), epochs))
        }
        Self {
            all: self.all.after(upto),
            hosts: self.hosts.iter().filter_map(|set| rest(set, upto)).collect(),
            urls: self.urls.iter().filter_map(|set| rest(set, upto)).collect(),
            tags: self.tags.iter().filter_map(|set| rest(set, upto)).collect(),
            prefixes: self.prefixes.iter().filter_map(|set| rest(set, upto)).collect(),
        }
    }
}

/// Length of what two texts have in common at their beginning, on a character border of both.
fn common(a: &str, b: &str) -> usize {
    let mut same = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    while !(a.is_char_boundary(same) && b.is_char_boundary(same)) {
        same -= 1;
    }
    same
}

/// The purges in force.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    sets: RwLock<Sets>,
    seq: AtomicU64,
    floor: AtomicU64,
}

impl Tables {
    /// Tables that stand at `seq`, with everything up to `floor` folded away.
    pub(crate) fn new(seq: u64, floor: u64) -> Self {
        Self { sets: RwLock::default(), seq: AtomicU64::new(seq), floor: AtomicU64::new(floor) }
    }

    /// Position of the newest purge in force.
    pub(crate) fn seq(&self) -> Seq {
        Seq(self.seq.load(Ordering::Acquire))
    }

    /// Purges up to here are no longer in the tables: a sweep has carried them out. Whoever was last checked before
    /// this position was not seen by that sweep and must be treated as dead.
    pub(crate) fn floor(&self) -> u64 {
        self.floor.load(Ordering::Acquire)
    }

    /// Puts a purge in force; `seq` must be newer than all before. Only one thread may do this. Lookups are not kept
    /// waiting by a long list: who looks in between looks again when the position has moved.
    pub(crate) fn apply(&self, purge: &Purge, seq: u64) {
        for selectors in purge.selectors.chunks(AT_ONCE) {
            self.sets.write().add(selectors, purge.soft, seq);
        }
        let sets = self.sets.write();
        self.seq.fetch_max(seq, Ordering::AcqRel);
        drop(sets);
    }

    /// What the purges say about an entry that was `born` then and last `checked` then; also the position this holds for.
    pub(crate) fn verdict(&self, address: &str, tags: &[u64], born: u64, checked: u64) -> (Verdict, u64) {
        let held = self.hold();
        (held.verdict(address, tags, born, checked), held.seq())
    }

    /// Keeps purges from being applied or folded while somebody acts on what they say.
    pub(crate) fn hold(&self) -> Held<'_> {
        Held { sets: self.sets.read(), tables: self }
    }

    /// Selectors held.
    pub(crate) fn len(&self) -> usize {
        self.sets.read().len()
    }

    /// Forgets the purges up to `upto`, which a finished sweep has carried out. Only the thread that applies may do this.
    pub(crate) fn fold(&self, upto: u64) {
        let rest = self.sets.read().folded(upto);
        let mut sets = self.sets.write();
        let old = std::mem::replace(&mut *sets, rest);
        self.floor.fetch_max(upto, Ordering::AcqRel);
        drop(sets);
        drop(old);
    }
}

/// The purges as they stay until this is dropped. Not to be asked for twice by one thread.
pub(crate) struct Held<'a> {
    sets: RwLockReadGuard<'a, Sets>,
    tables: &'a Tables,
}

impl Held<'_> {
    /// [`Tables::verdict`].
    pub(crate) fn verdict(&self, address: &str, tags: &[u64], born: u64, checked: u64) -> Verdict {
        if checked < self.tables.floor() {
            return Verdict { dead: true, expired: true };
        }
        let found = self.sets.find(address, tags);
        Verdict { dead: found.hard > born, expired: found.soft > born }
    }

    /// [`Tables::seq`].
    pub(crate) fn seq(&self) -> u64 {
        self.tables.seq().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purge(selector: Selector, soft: bool) -> Purge {
        Purge { selectors: vec![selector], soft }
    }

    #[test]
    fn prefixes_are_found_among_many() {
        let tables = Tables::default();
        let mut seq = 0;
        let mut add = |text: &str| {
            seq += 1;
            tables.apply(&purge(Selector::Prefix(text.into()), false), seq);
        };
        for i in 0..1000 {
            add(&format!("http://a:80/{i:04}"));
        }
        add("http://a:80/ä");
        let found = |address: &str| tables.sets.read().find(address, &[]).hard;
        assert_eq!(found("http://a:80/0500/x"), 501);
        assert_eq!(found("http://a:80/05"), 0);
        assert_eq!(found("http://a:80/zz"), 0);
        assert_eq!(found("http://a:80/äx"), 1001);
        assert_eq!(found("http://a:80/ö"), 0, "shares its first byte with ä");
        assert_eq!(found(""), 0);
        tables.apply(&purge(Selector::Prefix("http://a:80/".into()), false), 2000);
        assert_eq!(tables.sets.read().find("http://a:80/0500/x", &[]).hard, 2000);
        tables.apply(&purge(Selector::Prefix(String::new()), false), 3000);
        assert_eq!(tables.sets.read().find("x", &[]).hard, 3000);
    }

    #[test]
    fn tables_agree_with_the_plain_definition() {
        let urls = ["http://a:80/", "http://a:80/x", "http://a:81/x/y", "https://b:443/x"];
        let tags: [&[&str]; 3] = [&[], &["t"], &["t", "u"]];
        let selectors = [
            Selector::All,
            Selector::Host("a".into()),
            Selector::Host("a:81".into()),
            Selector::Url("http://a:80/x".into()),
            Selector::Tag("u".into()),
            Selector::Prefix("http://a:8".into()),
            Selector::Prefix("http://a:80/x".into()),
        ];
        for selector in selectors {
            for soft in [false, true] {
                let tables = Tables::default();
                tables.apply(&purge(selector.clone(), soft), 7);
                for url in urls {
                    for tags in tags {
                        let hashes: Vec<u64> = tags.iter().map(|t| tag_hash(t)).collect();
                        let wanted = selector.matches(url, tags);
                        let (verdict, seq) = tables.verdict(url, &hashes, 6, 6);
                        assert_eq!(seq, 7);
                        assert_eq!(
                            if soft { verdict.expired } else { verdict.dead },
                            wanted,
                            "{selector:?} {url}"
                        );
                        assert!(!if soft { verdict.dead } else { verdict.expired });
                        assert!(!tables.verdict(url, &hashes, 7, 7).0.dead, "born at the purge is after it");
                    }
                }
            }
        }
    }

    #[test]
    fn folding_forgets_old_purges_and_who_missed_them() {
        let tables = Tables::default();
        tables.apply(&purge(Selector::Tag("old".into()), false), 1);
        tables.apply(&purge(Selector::Tag("old".into()), true), 2);
        tables.apply(&purge(Selector::Tag("new".into()), false), 3);
        tables.fold(1);
        let old = [tag_hash("old")];
        assert!(!tables.verdict("x", &old, 0, 1).0.dead, "checked at the floor: the sweep has seen it");
        assert!(tables.verdict("x", &old, 0, 1).0.expired, "the soft one still stands");
        assert!(tables.verdict("x", &old, 0, 0).0.dead, "not checked since before the floor");
        assert!(tables.verdict("x", &[tag_hash("new")], 0, 3).0.dead);
        tables.fold(3);
        assert_eq!(tables.len(), 0);
        assert_eq!(tables.seq(), Seq(3));
    }
}
