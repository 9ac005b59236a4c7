//! Names and paths with `*` in them, as a site's rules write them: compiled once, matched without allocating.

/// A text in which `*` stands for any characters, also for none and for `/`. Everything else is itself, in its case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// What stands between the stars; one piece where there is none.
    pieces: Vec<Box<str>>,
}

impl Pattern {
    /// Compiles a pattern.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { pieces: text.split('*').map(Box::from).collect() }
    }

    /// Whether the whole of `text` is meant.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let Some((first, rest)) = self.pieces.split_first() else { return false };
        let Some((last, middle)) = rest.split_last() else { return **first == *text };
        let Some(text) = text.strip_prefix(&**first) else { return false };
        let Some(mut text) = text.strip_suffix(&**last) else { return false };
        // The first place will do: what is left behind it is the longest that can be left.
        for piece in middle {
            let Some(at) = text.find(&**piece) else { return false };
            text = text.get(at + piece.len()..).unwrap_or_default();
        }
        true
    }

    /// The same for texts in lower case.
    #[must_use]
    pub fn lower(&self) -> Self {
        Self { pieces: self.pieces.iter().map(|piece| piece.to_ascii_lowercase().into()).collect() }
    }

    /// Whether it stands for everything.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.pieces.len() > 1 && self.pieces.iter().all(|piece| piece.is_empty())
    }
}

/// Whether one of `patterns` means `text`.
#[must_use]
pub fn any(patterns: &[Pattern], text: &str) -> bool {
    patterns.iter().any(|pattern| pattern.matches(text))
}

/// A name, and a value where only that one is meant: `session*`, `preview=1`, `x-debug=*yes*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Of the name.
    pub name: Pattern,
    /// Of the value; any will do where there is none.
    pub value: Option<Pattern>,
}

impl Pair {
    /// Compiles `name` or `name=value`.
    #[must_use]
    pub fn new(text: &str) -> Self {
        match text.split_once('=') {
            Some((name, value)) => Self { name: Pattern::new(name), value: Some(Pattern::new(value)) },
            None => Self { name: Pattern::new(text), value: None },
        }
    }

    /// Whether this name with this value is meant.
    #[must_use]
    pub fn matches(&self, name: &str, value: &str) -> bool {
        self.name.matches(name) && self.value.as_ref().is_none_or(|pattern| pattern.matches(value))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_is_any_run_of_characters() {
        for (pattern, text, matches) in [
            ("/a", "/a", true),
            ("/a", "/a/", false),
            ("/a", "/A", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "/any/thing", true),
            ("/static/*", "/static/", true),
            ("/static/*", "/static/a/b.css", true),
            ("/static/*", "/static", false),
            ("*.css", "/a/b.css", true),
            ("*.css", "/a/b.css.map", false),
            ("/a/*/c", "/a/b/c", true),
            ("/a/*/c", "/a/b/b/c", true),
            ("/a/*/c", "/a/c", false),
            ("/a*a", "/a", false),
            ("/a*a", "/aa", true),
            ("a**b", "ab", true),
            ("*ab*ba*", "aba", false),
            ("*ab*ba*", "abba", true),
            ("utm_*", "utm_", true),
            ("utm_*", "utm", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), matches, "{pattern} {text}");
        }
        assert!(Pattern::new("**").is_all() && !Pattern::new("").is_all() && !Pattern::new("/*").is_all());
    }

    #[test]
    fn a_pair_may_ask_for_a_value() {
        for (pattern, name, value, matches) in [
            ("session*", "session_id", "1", true),
            ("session*", "my_session", "1", false),
            ("preview=1", "preview", "1", true),
            ("preview=1", "preview", "0", false),
            ("preview=*", "preview", "", true),
            ("a=b=c", "a", "b=c", true),
        ] {
            assert_eq!(Pair::new(pattern).matches(name, value), matches, "{pattern} {name}={value}");
        }
    }

    /// The same by trying every place.
    fn slowly(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| slowly(rest, &text[at..])),
            Some((byte, rest)) => {
                text.split_first().is_some_and(|(first, left)| first == byte && slowly(rest, left))
            }
        }
    }

    proptest! {
        #[test]
        fn it_matches_as_trying_every_place_does(pattern in "[ab*]{0,7}", text in "[ab]{0,9}") {
            prop_assert_eq!(Pattern::new(&pattern).matches(&text), slowly(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
