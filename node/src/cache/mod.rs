//! HTTP meaning over the store: which stored answer a request selects, and how a new one is laid down.

pub mod blocks;
pub mod fill;
pub mod key;
pub mod lay;
mod often;
pub mod pieces;
pub mod search;
pub mod stored;
pub mod uses;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use larder_store::{Hit, Key, KeyRef, Load, Peek, Seq, Store, Writer};

use crate::context::Exchange;
use crate::limits::VARIANTS_MAX;
use crate::policy::stray::{self, Strays};
use crate::policy::vary::{self, Selecting, VaryNames};
use crate::status::Forward;
use crate::transform::compress::Coding;
use stored::{Answer, Stored, Variants};
use uses::Uses;

/// A stored answer of the node.
pub type Entry = larder_store::Entry<Stored>;

/// Lists of field names remembered for one URL; origins that vary on more kinds of lists lose the oldest.
const SPECS_MAX: usize = 4;

/// The store, as HTTP sees it.
pub struct Cache {
    store: Store<Stored>,
    /// Two fills of one URL must not lose each other's variant.
    marking: tokio::sync::Mutex<()>,
    versions: AtomicU64,
    searches: search::Searches,
    often: often::Often,
}

/// What a request found.
pub struct Lookup {
    /// The answer it selects, fresh or not.
    pub hit: Option<Hit<Stored>>,
    /// Why there is none.
    pub why: Forward,
    /// The secondary key the request has, as far as it is known before an answer; empty without variants.
    pub variant: String,
}

/// What a request asks the cache for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The primary key.
    pub url: &'a str,
    /// What its secondary keys begin with: empty but for a QUERY.
    pub base: &'a str,
    /// The fields of the request.
    pub request: &'a HeaderMap,
    /// What the site says of selecting.
    pub selecting: Selecting<'a>,
}

impl<'a> Wanted<'a> {
    /// What `exchange` asks for.
    #[must_use]
    pub fn of(exchange: &'a Exchange, selecting: Selecting<'a>) -> Self {
        let Exchange { url, base, request, .. } = exchange;
        Self { url, base, request: &request.headers, selecting }
    }

    /// What of the request nothing puts into a key.
    #[must_use]
    pub fn strays(&self) -> Option<Strays> {
        stray::of(self.selecting.keying, self.request)
    }

    /// The secondary key of an answer that varies by these names.
    #[must_use]
    pub fn variant(&self, names: &VaryNames) -> String {
        vary::variant(self.base, names, self.request, self.selecting.own_encoding)
    }
}

/// Where an answer lies below its URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// What it varies on, as far as others than this node choose by it.
    pub names: Option<VaryNames>,
    /// The secondary key; empty without variants.
    pub variant: String,
    /// The key by its one language, under which it is found by whoever likes that language best.
    pub language: Option<String>,
}

impl Cache {
    /// Puts HTTP over `store`.
    #[must_use]
    pub fn new(store: Store<Stored>) -> Self {
        // Version ids must not repeat after a restart, or an encoded form could meet another body's head.
        let versions = AtomicU64::new(RandomState::new().hash_one(std::process::id()));
        let (searches, often) = (search::Searches::default(), often::Often::default());
        Self { store, marking: tokio::sync::Mutex::new(()), versions, searches, often }
    }

    /// The store below.
    #[must_use]
    pub const fn store(&self) -> &Store<Stored> {
        &self.store
    }

    /// A name for the bytes of a new body.
    pub fn new_version(&self) -> u64 {
        self.versions.fetch_add(1, Ordering::Relaxed)
    }

    /// The answer stored for the URL that the request selects (RFC 9111 4.1), or one to a request with the same strays.
    pub async fn lookup(&self, wanted: &Wanted<'_>) -> Lookup {
        let found = self.selected(wanted).await;
        if found.hit.is_some() || !wanted.base.is_empty() {
            return found;
        }
        let Some(strays) = wanted.strays() else { return found };
        if let Some(key) = strays.key()
            && let Some(hit) = self.get(KeyRef::new(wanted.url, key)).await
        {
            return Lookup { hit: Some(hit), why: Forward::VaryMiss, variant: key.to_owned() };
        }
        match strays.flight() {
            Some(key) => Lookup { variant: key.to_owned(), ..found },
            None => found,
        }
    }

    /// Of several that fit the newest (RFC 9111 4).
    async fn selected(&self, wanted: &Wanted<'_>) -> Lookup {
        let Wanted { url, base, selecting: Selecting { own_encoding, keying }, .. } = *wanted;
        let keyed = &keying.names;
        // Where something selects in any case, nobody need wait for an answer that is another variant's.
        let unknown = || Lookup { hit: None, why: Forward::UriMiss, variant: wanted.variant(keyed) };
        let Some(first) = self.get(KeyRef::new(url, base)).await else { return unknown() };
        let Stored::Variants(variants) = first.entry.head() else {
            // Stored before the site declared what selects.
            let hit = Some(first).filter(|_| keyed.is_empty(own_encoding));
            return Lookup { hit, ..unknown() };
        };
        let (mut newest, mut best) = (None, None);
        for names in specs(variants, keyed) {
            let variant = wanted.variant(&names);
            best = newer(best, self.get(KeyRef::new(url, &variant)).await);
            newest = newest.or(Some(variant));
        }
        let (why, newest) = (Forward::VaryMiss, newest.unwrap_or_else(|| wanted.variant(keyed)));
        if let Some(hit) = best {
            let variant = hit.entry.key().variant().to_owned();
            return Lookup { hit: Some(used(hit)), why, variant };
        }
        Lookup { hit: self.in_best_language(wanted, variants).await, why, variant: newest }
    }

    /// A stored answer in just the language the client likes best: the origin could choose nothing better
    /// (RFC 9111 4.1, RFC 9110 12.5.4).
    async fn in_best_language(&self, wanted: &Wanted<'_>, variants: &Variants) -> Option<Hit<Stored>> {
        let Wanted { url, request, selecting: Selecting { own_encoding, keying }, .. } = *wanted;
        for names in specs(variants, &keying.names).filter(|_| !variants.languages.is_empty()) {
            let Some(language) = vary::language_of_request(&names, request, own_encoding) else { continue };
            let Some((_, variant)) = variants.languages.iter().find(|(known, _)| **known == *language) else {
                continue;
            };
            let Some(hit) = self.get(KeyRef::new(url, variant)).await else { continue };
            let Stored::Answer(answer) = hit.entry.head() else { continue };
            // A newer answer may lie there, in another language.
            let is = vary::language_of_answer(&names, request, &answer.headers, own_encoding);
            if is.is_some_and(|is| is == language) {
                return Some(used(hit));
            }
        }
        None
    }

    /// [`Cache::lookup`] as far as memory tells; `None` where the disk has to be asked. What is found so is found
    /// without waiting: the way of nearly all requests.
    #[must_use]
    pub fn lookup_now(&self, wanted: &Wanted<'_>) -> Option<Hit<Stored>> {
        let Peek::Memory(first) = self.store.peek(KeyRef::new(wanted.url, wanted.base)) else { return None };
        let (own_encoding, keyed) = (wanted.selecting.own_encoding, &wanted.selecting.keying.names);
        let Stored::Variants(variants) = first.entry.head() else {
            return Some(first).filter(|_| keyed.is_empty(own_encoding));
        };
        let mut best = None;
        for names in specs(variants, keyed) {
            match self.store.peek(KeyRef::new(wanted.url, &wanted.variant(&names))) {
                Peek::Memory(hit) => best = newer(best, Some(hit)),
                Peek::Disk => return None,
                Peek::Absent => {}
            }
        }
        best.map(used)
    }

    /// An answer stored for another URL that says that it is this one's, too (No-Vary-Search). Never one that is older
    /// than a purge of the URL asked for: what holds for the one holds for the other.
    pub async fn lookup_alike(&self, wanted: &Wanted<'_>) -> Option<Hit<Stored>> {
        let other = self.searches.other(wanted.url).filter(|_| wanted.base.is_empty())?;
        let hit = self.lookup(&Wanted { url: &other, ..*wanted }).await.hit?;
        // The blocks of a large answer lie under its own URL: whoever asks for another fetches that.
        let answer = hit.entry.head().answer().filter(|answer| answer.blocks.is_none())?;
        let alike = search::answers(&answer.headers, &other, wanted.url)
            && !self.store.purged_since(wanted.url, hit.entry.born());
        alike.then_some(hit)
    }

    /// Whether something stored may answer a request for `url`, of its own or of another URL: no is certain.
    #[must_use]
    pub fn may_answer(&self, url: &str) -> bool {
        self.store.may_hold(url) || self.searches.may_answer(url)
    }

    /// [`Cache::derived`] as far as memory tells.
    #[must_use]
    pub fn derived_now(&self, url: &str, variant: &str, of: &Answer) -> Option<Hit<Stored>> {
        match self.store.peek(KeyRef::new(url, variant)) {
            Peek::Memory(hit) => is_derived(&hit, of).then_some(hit),
            Peek::Disk | Peek::Absent => None,
        }
    }

    /// The form of `entry` that we encoded earlier, if it is there and of the same body.
    pub async fn derived(&self, url: &str, variant: &str, of: &Answer) -> Option<Hit<Stored>> {
        let hit = self.get(KeyRef::new(url, variant)).await?;
        is_derived(&hit, of).then_some(hit)
    }

    /// Memory at once, the disk where it must be, trouble as a miss.
    async fn get(&self, key: KeyRef<'_>) -> Option<Hit<Stored>> {
        match self.store.peek(key) {
            Peek::Memory(hit) => Some(hit),
            Peek::Absent => None,
            Peek::Disk => match self.store.load(key).await {
                Load::Hit(hit) => Some(hit),
                Load::Busy | Load::Miss => None,
            },
        }
    }

    /// Whether `entry` is still what lies under its key: neither purged nor replaced since it was found.
    pub async fn is_alive(&self, entry: &Entry) -> bool {
        let Stored::Answer(answer) = entry.head() else { return false };
        self.get(entry.key().as_ref()).await.is_some_and(|hit| is_derived(&hit, answer))
    }

    /// Starts to store an answer under its secondary key.
    pub fn begin(
        &self,
        url: &str,
        variant: &str,
        answer: Answer,
        tags: Vec<String>,
        born: Seq,
        length: Option<u64>,
    ) -> Writer<Stored> {
        self.store.writer(Key::new(url, variant), Stored::Answer(answer), tags, born, length)
    }

    /// Notes that `url` varies and that there is an answer at `place` now; the variant used least leaves when there are
    /// too many (`Vary: User-Agent` would otherwise fill the store with one URL).
    pub async fn mark(&self, url: &str, base: &str, place: &Place, born: Seq) {
        let Some(names) = &place.names else { return };
        let _one_at_a_time = self.marking.lock().await;
        let (mut variants, noted) = self.variants(url, base).await.unwrap_or_default();
        if !variants.add(names.as_str(), &place.variant, place.language.as_deref()) {
            return;
        }
        self.often.add(KeyRef::new(url, &place.variant).hash());
        let uses = |variant: &str| {
            let stored = self.often.count(KeyRef::new(url, variant).hash());
            stored.saturating_add(self.uses(url, variant, Uses::count))
        };
        while let Some(least) = variants.overflow(SPECS_MAX, VARIANTS_MAX, uses) {
            self.store.remove(KeyRef::new(url, &least));
            for coding in Coding::ENCODED {
                self.store.remove(KeyRef::new(url, &derived_key(&least, coding)));
            }
        }
        if variants.left >= VARIANTS_MAX {
            variants.known.iter().for_each(|variant| self.uses(url, variant, Uses::fade));
            variants.left = 0;
        }
        let head = Stored::Variants(variants);
        // A list is not older than what it holds: a late answer must not be refused its line in it.
        let writer = self.store.writer(Key::new(url, base), head, Vec::new(), born.max(noted), Some(0));
        if let Err(why) = writer.commit().await {
            tracing::debug!(url, ?why, "variants not noted");
        }
    }

    /// What is counted of a variant in memory; one that is not there was not used for long.
    fn uses<T: Default>(&self, url: &str, variant: &str, look: fn(&Uses) -> T) -> T {
        match self.store.peek(KeyRef::new(url, variant)) {
            Peek::Memory(hit) => match hit.entry.head() {
                Stored::Answer(answer) => look(&answer.uses),
                Stored::Variants(_) | Stored::Block(_) => T::default(),
            },
            Peek::Disk | Peek::Absent => T::default(),
        }
    }

    /// The answers that lie beside `entry` under other secondary keys of its URL.
    pub async fn beside(&self, url: &str, base: &str, entry: &Entry) -> Vec<Arc<Entry>> {
        let mut found = Vec::new();
        if entry.key().variant() == base {
            return found;
        }
        let known = self.variants(url, base).await.unwrap_or_default().0.known;
        for variant in known.iter().filter(|variant| ***variant != *entry.key().variant()) {
            found.extend(self.get(KeyRef::new(url, variant)).await.map(|hit| hit.entry));
        }
        found
    }

    /// What `url` varies on, and as of which position.
    async fn variants(&self, url: &str, base: &str) -> Option<(Variants, Seq)> {
        let entry = self.get(KeyRef::new(url, base)).await?.entry;
        match entry.head() {
            Stored::Variants(variants) => Some((variants.clone(), entry.born())),
            Stored::Answer(_) | Stored::Block(_) => None,
        }
    }
}

/// The lists of names that answers of a URL varied on, as far as they hold what selects in any case.
fn specs<'a>(variants: &'a Variants, keyed: &'a VaryNames) -> impl Iterator<Item = VaryNames> + 'a {
    variants.specs.iter().map(|spec| VaryNames::from_text(spec)).filter(|names| names.covers(keyed))
}

/// The secondary key of the form of a variant in one of our codings.
#[must_use]
pub fn derived_key(variant: &str, coding: Coding) -> String {
    format!("{variant}\n{}", coding.as_str())
}

fn used(hit: Hit<Stored>) -> Hit<Stored> {
    if let Stored::Answer(answer) = hit.entry.head() {
        answer.uses.note();
    }
    hit
}

/// The one that the origin made later (RFC 9111 4: "the most recent one").
fn newer(one: Option<Hit<Stored>>, other: Option<Hit<Stored>>) -> Option<Hit<Stored>> {
    let made = |hit: &Hit<Stored>| match hit.entry.head() {
        Stored::Answer(answer) => answer.freshness.made().0,
        Stored::Variants(_) | Stored::Block(_) => 0,
    };
    match (one, other) {
        (Some(one), Some(other)) if made(&other) > made(&one) => Some(other),
        (one, other) => one.or(other),
    }
}

/// An encoded form is good for the body it was made of and no other.
fn is_derived(hit: &Hit<Stored>, of: &Answer) -> bool {
    matches!(hit.entry.head(), Stored::Answer(answer) if answer.version == of.version)
}
