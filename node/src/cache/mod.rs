//! HTTP meaning over the store: which stored answer a request selects, and how a new one is laid down.

pub mod fill;
pub mod key;
pub mod lay;
pub mod stored;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use larder_store::{Hit, Key, KeyRef, Load, Peek, Seq, Store, Writer};

use crate::limits::VARIANTS_MAX;
use crate::policy::vary::{self, Selecting, VaryNames};
use crate::status::Forward;
use stored::{Answer, Stored, Variants};

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
        Self { store, marking: tokio::sync::Mutex::new(()), versions }
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

    /// The answer stored for `url` that `request` selects (RFC 9111 4.1).
    pub async fn lookup(&self, url: &str, request: &HeaderMap, selecting: Selecting<'_>) -> Lookup {
        let Selecting { own_encoding, keyed } = selecting;
        // Where something selects in any case, nobody need wait for an answer that is another variant's.
        let unknown = || Lookup {
            hit: None,
            why: Forward::UriMiss,
            variant: vary::variant(keyed, request, own_encoding),
        };
        let Some(first) = self.get(KeyRef::new(url, "")).await else { return unknown() };
        let Stored::Variants(variants) = first.entry.head() else {
            // Stored before the site declared what selects.
            let hit = Some(first).filter(|_| keyed.is_empty(own_encoding));
            return Lookup { hit, ..unknown() };
        };
        let mut newest = String::new();
        for names in specs(variants, keyed) {
            let variant = vary::variant(&names, request, own_encoding);
            if let Some(hit) = self.get(KeyRef::new(url, &variant)).await {
                return Lookup { hit: Some(hit), why: Forward::VaryMiss, variant };
            }
            if newest.is_empty() {
                newest = variant;
            }
        }
        let hit = self.in_best_language(url, variants, request, selecting).await;
        if newest.is_empty() {
            newest = unknown().variant;
        }
        Lookup { hit, why: Forward::VaryMiss, variant: newest }
    }

    /// A stored answer in just the language the client likes best: the origin could choose nothing better
    /// (RFC 9111 4.1, RFC 9110 12.5.4).
    async fn in_best_language(
        &self,
        url: &str,
        variants: &Variants,
        request: &HeaderMap,
        selecting: Selecting<'_>,
    ) -> Option<Hit<Stored>> {
        let Selecting { own_encoding, keyed } = selecting;
        for names in specs(variants, keyed).filter(|_| !variants.languages.is_empty()) {
            let Some(wanted) = vary::language_of_request(&names, request, own_encoding) else { continue };
            let Some((_, variant)) = variants.languages.iter().find(|(known, _)| **known == *wanted) else {
                continue;
            };
            let Some(hit) = self.get(KeyRef::new(url, variant)).await else { continue };
            let Stored::Answer(answer) = hit.entry.head() else { continue };
            // A newer answer may lie there, in another language.
            let is = vary::language_of_answer(&names, request, &answer.headers, own_encoding);
            if is.is_some_and(|is| is == wanted) {
                return Some(hit);
            }
        }
        None
    }

    /// [`Cache::lookup`] as far as memory tells; `None` where the disk has to be asked. What is found so is found
    /// without waiting: the way of nearly all requests.
    #[must_use]
    pub fn lookup_now(
        &self,
        url: &str,
        request: &HeaderMap,
        selecting: Selecting<'_>,
    ) -> Option<Hit<Stored>> {
        let Selecting { own_encoding, keyed } = selecting;
        let Peek::Memory(first) = self.store.peek(KeyRef::new(url, "")) else { return None };
        let Stored::Variants(variants) = first.entry.head() else {
            return Some(first).filter(|_| keyed.is_empty(own_encoding));
        };
        for names in specs(variants, keyed) {
            let variant = vary::variant(&names, request, own_encoding);
            match self.store.peek(KeyRef::new(url, &variant)) {
                Peek::Memory(hit) => return Some(hit),
                Peek::Disk => return None,
                Peek::Absent => {}
            }
        }
        None
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

    /// Notes that `url` varies and that there is an answer at `place` now; the oldest variant leaves when there are too
    /// many (`Vary: User-Agent` would otherwise fill the store with one URL).
    pub async fn mark(&self, url: &str, place: &Place, born: Seq) {
        let Some(names) = &place.names else { return };
        let _one_at_a_time = self.marking.lock().await;
        let (mut variants, noted) = self.variants(url).await.unwrap_or_default();
        if !variants.add(names.as_str(), &place.variant, place.language.as_deref()) {
            return;
        }
        while let Some(oldest) = variants.overflow(SPECS_MAX, VARIANTS_MAX) {
            self.store.remove(KeyRef::new(url, &oldest));
        }
        let head = Stored::Variants(variants);
        // A list is not older than what it holds: a late answer must not be refused its line in it.
        let writer = self.store.writer(Key::new(url, ""), head, Vec::new(), born.max(noted), Some(0));
        if let Err(why) = writer.commit().await {
            tracing::debug!(url, ?why, "variants not noted");
        }
    }

    /// The answers that lie beside `entry` under other secondary keys of its URL.
    pub async fn beside(&self, url: &str, entry: &Entry) -> Vec<Arc<Entry>> {
        let mut found = Vec::new();
        if entry.key().variant().is_empty() {
            return found;
        }
        let known = self.variants(url).await.unwrap_or_default().0.known;
        for variant in known.iter().filter(|variant| ***variant != *entry.key().variant()) {
            found.extend(self.get(KeyRef::new(url, variant)).await.map(|hit| hit.entry));
        }
        found
    }

    /// What `url` varies on, and as of which position.
    async fn variants(&self, url: &str) -> Option<(Variants, Seq)> {
        let entry = self.get(KeyRef::new(url, "")).await?.entry;
        match entry.head() {
            Stored::Variants(variants) => Some((variants.clone(), entry.born())),
            Stored::Answer(_) => None,
        }
    }
}

/// The lists of names that answers of a URL varied on, as far as they hold what selects in any case.
fn specs<'a>(variants: &'a Variants, keyed: &'a VaryNames) -> impl Iterator<Item = VaryNames> + 'a {
    variants.specs.iter().map(|spec| VaryNames::from_text(spec)).filter(|names| names.covers(keyed))
}

/// An encoded form is good for the body it was made of and no other.
fn is_derived(hit: &Hit<Stored>, of: &Answer) -> bool {
    matches!(hit.entry.head(), Stored::Answer(answer) if answer.version == of.version)
}
