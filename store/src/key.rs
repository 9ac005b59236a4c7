//! What an entry is found by: a URL and the values that select one of its variants.

use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

/// A key made of borrowed texts, for lookups without allocation.
#[derive(Debug, Clone, Copy)]
pub struct KeyRef<'a> {
    url: &'a str,
    variant: &'a str,
    hash: u128,
}

impl<'a> KeyRef<'a> {
    /// The key of `url` (`http://host:port/path?query`, see [`crate::purge::normalise`]) and `variant`.
    #[must_use]
    pub fn new(url: &'a str, variant: &'a str) -> Self {
        Self { url, variant, hash: hash(url, variant) }
    }

    /// Finds candidates; equality is decided by the texts. A collision is a miss.
    #[must_use]
    pub const fn hash(&self) -> u128 {
        self.hash
    }

    /// The URL.
    #[must_use]
    pub const fn url(&self) -> &'a str {
        self.url
    }

    /// The variant; empty for the only one.
    #[must_use]
    pub const fn variant(&self) -> &'a str {
        self.variant
    }

    /// An owned copy.
    #[must_use]
    pub fn to_key(&self) -> Key {
        let mut text = String::with_capacity(self.url.len() + self.variant.len());
        text.push_str(self.url);
        text.push_str(self.variant);
        Key { text: text.into(), url: self.url.len(), hash: self.hash }
    }
}

/// An owned key, cheap to clone.
#[derive(Debug, Clone)]
pub struct Key {
    text: Arc<str>,
    url: usize,
    hash: u128,
}

impl Key {
    /// The key of `url` and `variant`, see [`KeyRef::new`].
    #[must_use]
    pub fn new(url: &str, variant: &str) -> Self {
        KeyRef::new(url, variant).to_key()
    }

    /// The same key, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> KeyRef<'_> {
        KeyRef { url: self.url(), variant: self.variant(), hash: self.hash }
    }

    /// See [`KeyRef::hash`].
    #[must_use]
    pub const fn hash(&self) -> u128 {
        self.hash
    }

    /// The URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.text[..self.url]
    }

    /// The variant; empty for the only one.
    #[must_use]
    pub fn variant(&self) -> &str {
        &self.text[self.url..]
    }

    /// Whether `other` is the same key, by its texts.
    #[must_use]
    pub fn is(&self, other: KeyRef<'_>) -> bool {
        self.hash == other.hash && self.url() == other.url && self.variant() == other.variant
    }

    pub(crate) fn weight(&self) -> usize {
        self.text.len() + size_of::<Self>()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.as_ref())
    }
}

impl Eq for Key {}

impl std::hash::Hash for Key {
    fn hash<S: std::hash::Hasher>(&self, state: &mut S) {
        state.write_u128(self.hash);
    }
}

fn hash(url: &str, variant: &str) -> u128 {
    let hash = xxh3_128(url.as_bytes());
    if variant.is_empty() {
        return hash;
    }
    let seed = (hash ^ (hash >> 64)) as u64;
    xxh3_128_with_seed(variant.as_bytes(), seed) ^ hash.rotate_left(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_border_between_url_and_variant_counts() {
        assert_ne!(Key::new("ab", "c"), Key::new("a", "bc"));
        assert_ne!(Key::new("abc", ""), Key::new("", "abc"));
        assert_ne!(Key::new("ab", "c").hash(), Key::new("a", "bc").hash());
    }

    #[test]
    fn borrowed_and_owned_keys_agree() {
        let key = Key::new("http://a:80/", "gzip");
        assert!(key.is(KeyRef::new("http://a:80/", "gzip")));
        assert_eq!((key.url(), key.variant()), ("http://a:80/", "gzip"));
        assert_eq!(key.as_ref().to_key(), key);
    }

    #[test]
    fn hashes_stay_the_same_forever() {
        // The disk holds them.
        assert_eq!(Key::new("http://a:80/", "").hash(), 307_257_697_321_618_418_749_710_858_257_909_893_452);
        assert_eq!(Key::new("http://a:80/", "x").hash(), 83_841_496_820_039_457_364_127_086_308_713_363_100);
    }
}
