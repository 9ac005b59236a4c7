//! The epochs of the selectors: which purges are the newest for each, and how they are found for a URL and its tags.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use regex::Regex;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::tag_hash;
use crate::purge::{Purge, Selector, pattern, url};

/// The newest positions of purges, hard and soft.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) hard: u64,
    pub(super) soft: u64,
}

impl Pair {
    pub(super) fn raise(&mut self, seq: u64, soft: bool) {
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

/// All purges of a selector, and those of them that cannot be taken back any more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Epochs {
    pub(super) all: Pair,
    pub(super) settled: Pair,
}

impl Epochs {
    fn join(&mut self, other: Self) {
        self.all.join(other.all);
        self.settled.join(other.settled);
    }

    fn after(self, upto: u64) -> Self {
        Self { all: self.all.after(upto), settled: self.settled.after(upto) }
    }
}

/// Where the epochs of a selector stand.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    All,
    Host(u64),
    Url(u128),
    Tag(u64),
    Prefix(Box<str>),
    Regex(Box<str>),
}

/// A selector, ready to be put in its place: what takes long is done before the lock is taken.
#[derive(Debug, Clone)]
pub(super) struct Ready(Place, Option<Regex>);

impl Ready {
    pub(super) fn of(selector: &Selector) -> Self {
        let place = Place::of(selector);
        let regex = match &place {
            Place::Regex(text) => pattern::compile(text).ok(),
            _ => None,
        };
        Self(place, regex)
    }
}

impl Place {
    pub(super) fn of(selector: &Selector) -> Self {
        match selector {
            Selector::All => Self::All,
            Selector::Host(text) => Self::Host(xxh3_64(text.as_bytes())),
            Selector::Url(text) => Self::Url(xxh3_128(text.as_bytes())),
            Selector::Tag(text) => Self::Tag(tag_hash(text)),
            Selector::Prefix(text) => Self::Prefix(text.as_str().into()),
            Selector::Regex(text) => Self::Regex(text.as_str().into()),
        }
    }
}

/// A regular expression that hits are compared with. One that cannot be compiled, which was refused when it was asked
/// for, matches everything: too much is purged, never too little.
#[derive(Debug, Clone)]
struct Ban {
    text: Box<str>,
    regex: Option<Regex>,
    epochs: Epochs,
}

#[derive(Debug, Default)]
pub(super) struct Sets {
    all: Epochs,
    hosts: HashMap<u64, Epochs>,
    urls: HashMap<u128, Epochs>,
    tags: HashMap<u64, Epochs>,
    prefixes: BTreeMap<Box<str>, Epochs>,
    bans: Vec<Ban>,
}

impl Sets {
    /// Position of the newest hard purge of everything that is settled.
    pub(super) const fn all_settled(&self) -> u64 {
        self.all.settled.hard
    }

    /// The epochs of a place, made when there are none.
    fn at(&mut self, place: &Place, regex: Option<&Regex>) -> &mut Epochs {
        match place {
            Place::All => &mut self.all,
            Place::Host(hash) => self.hosts.entry(*hash).or_default(),
            Place::Url(hash) => self.urls.entry(*hash).or_default(),
            Place::Tag(hash) => self.tags.entry(*hash).or_default(),
            Place::Prefix(text) => self.prefixes.entry(text.clone()).or_default(),
            Place::Regex(text) => {
                let at = self.bans.iter().position(|ban| ban.text == *text).unwrap_or_else(|| {
                    let regex = regex.cloned();
                    self.bans.push(Ban { text: text.clone(), regex, epochs: Epochs::default() });
                    self.bans.len() - 1
                });
                &mut self.bans[at].epochs
            }
        }
    }

    /// Puts a purge in force.
    pub(super) fn add(&mut self, places: &[Ready], soft: bool, seq: u64) {
        places.iter().for_each(|Ready(place, regex)| self.at(place, regex.as_ref()).all.raise(seq, soft));
    }

    /// A purge in force cannot be taken back any more.
    pub(super) fn settle(&mut self, places: &[Ready], soft: bool, seq: u64) {
        places.iter().for_each(|Ready(place, regex)| self.at(place, regex.as_ref()).settled.raise(seq, soft));
    }

    /// What is in force in these places is what is settled there and `standing`, nothing else.
    pub(super) fn lower<'a>(&mut self, places: impl Iterator<Item = (&'a Place, &'a Pair)>) {
        for (place, standing) in places {
            let epochs = self.at(place, None);
            epochs.all = epochs.settled;
            epochs.all.join(*standing);
        }
        self.bans.retain(|ban| ban.epochs.all.newest() > 0);
    }

    pub(super) fn len(&self) -> usize {
        self.hosts.len() + self.urls.len() + self.tags.len() + self.prefixes.len() + self.bans.len()
    }

    /// Regular expressions that a purge would add.
    pub(super) fn new_bans(&self, purge: &Purge) -> usize {
        let is_new = |selector: &&Selector| matches!(selector, Selector::Regex(text) if self.bans.iter().all(|ban| *ban.text != **text));
        purge.selectors.iter().filter(is_new).count()
    }

    pub(super) fn bans(&self) -> usize {
        self.bans.len()
    }

    /// The newest epochs that match; of bans only those after `since`.
    pub(super) fn find(&self, address: &str, tags: &[u64], since: u64) -> Epochs {
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
        if self.bans.iter().any(|ban| ban.epochs.all.newest() > since) {
            let written = pattern::written(address);
            for ban in self.bans.iter().filter(|ban| ban.epochs.all.newest() > since) {
                if ban.regex.as_ref().is_none_or(|regex| regex.is_match(&written)) {
                    join(Some(&ban.epochs));
                }
            }
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
    pub(super) fn folded(&self, upto: u64) -> Self {
        fn rest<K: Clone>(sets: (&K, &Epochs), upto: u64) -> Option<(K, Epochs)> {
            let epochs = sets.1.after(upto);
            (epochs.all.newest() > 0).then(|| (sets.0.clone(), epochs))
        }
        let ban = |ban: &Ban| {
            let epochs = ban.epochs.after(upto);
            (epochs.all.newest() > 0).then(|| Ban { epochs, ..ban.clone() })
        };
        Self {
            all: self.all.after(upto),
            hosts: self.hosts.iter().filter_map(|set| rest(set, upto)).collect(),
            urls: self.urls.iter().filter_map(|set| rest(set, upto)).collect(),
            tags: self.tags.iter().filter_map(|set| rest(set, upto)).collect(),
            prefixes: self.prefixes.iter().filter_map(|set| rest(set, upto)).collect(),
            bans: self.bans.iter().filter_map(ban).collect(),
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
