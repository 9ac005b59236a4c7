//! What a site says about which of its answers stay when the disk runs out of room. No RFC is about that.

/// Whose part of the disk the answers of a site take, and which of them are not evicted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keeping {
    /// Number of the site's share; 0: none of its own.
    pub share: u16,
    /// Percent of the disk that other sites cannot take; 0: none.
    pub share_percent: u8,
    /// Paths that are pinned; a `*` at the end stands for the rest.
    pub pin_paths: Vec<Box<str>>,
    /// Tags that are pinned.
    pub pin_tags: Vec<Box<str>>,
}

impl Keeping {
    /// Whether an answer with these tags at `url` (in the form of a key) is pinned.
    #[must_use]
    pub fn pins(&self, url: &str, tags: &[String]) -> bool {
        let path = || {
            let after = url.split_once("://").map_or(url, |(_, rest)| rest);
            let path = after.find('/').map_or("/", |at| &after[at..]);
            path.split('?').next().unwrap_or_default()
        };
        let on = |pattern: &str, path: &str| match pattern.strip_suffix('*') {
            Some(beginning) => path.starts_with(beginning),
            None => path == pattern,
        };
        tags.iter().any(|tag| self.pin_tags.iter().any(|pinned| **pinned == **tag))
            || self.pin_paths.iter().any(|pattern| on(pattern, path()))
    }
}

/// A number for the share of the site `name`: the same after a restart, never 0.
#[must_use]
pub fn share_of(name: &str) -> u16 {
    // FNV-1a: it is on disk, so it must stay as it is.
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    u16::try_from(hash % 0xffff).map_or(u16::MAX, |number| number + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_tags_are_pinned() {
        let keeping = Keeping {
            pin_paths: vec!["/".into(), "/core/*".into(), "/a.css".into()],
            pin_tags: vec!["shell".into()],
            ..Keeping::default()
        };
        for (url, tag, pinned) in [
            ("http://a:80/", "", true),
            ("http://a:80/?x=1", "", true),
            ("http://a:80/core/app.js", "", true),
            ("http://a:80/a.css?v=2", "", true),
            ("http://a:80/a.css/more", "", false),
            ("http://core:80/b", "", false),
            ("http://a:80/b", "shell", true),
            ("http://a:80/b", "shells", false),
        ] {
            assert_eq!(keeping.pins(url, &[tag.to_owned()]), pinned, "{url} {tag}");
        }
        assert!(!Keeping::default().pins("http://a:80/", &[String::new()]));
    }

    #[test]
    fn shares_have_numbers_that_stay() {
        assert_eq!((share_of("shop"), share_of("")), (share_of("shop"), share_of("")));
        assert_ne!(share_of("shop"), share_of("blog"));
        assert!((0..10_000).all(|number| share_of(&number.to_string()) != 0));
    }
}
