//! Regular expressions for URLs: the syntax of the `regex` crate, found anywhere in the URL unless anchored, case
//! sensitive. The URL is the one of the key as people write it: scheme and host in lower case, and a port only if it is
//! not the scheme's own, so that `^https://www\\.example\\.com/img/` means what it says.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

/// Bytes of a pattern.
pub const PATTERN_BYTES_MAX: usize = 1024;
/// Bytes a compiled pattern may take, and again what matching may cache for each thread.
const COMPILED_BYTES_MAX: usize = 128 * 1024;

/// Why a pattern was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It would match everything.
    #[error("empty pattern; kind \"all\" purges everything")]
    Empty,
    /// More than [`PATTERN_BYTES_MAX`].
    #[error("a pattern longer than {PATTERN_BYTES_MAX} bytes; use several, or a prefix or a tag")]
    Long,
    /// It is small but what it stands for is not, as in `(a{1000}){1000}`.
    #[error("{0:?} takes more than {max} KiB when compiled; make its repetitions smaller", max = COMPILED_BYTES_MAX / 1024)]
    Large(String),
    /// It is none.
    #[error("{0}")]
    Syntax(String),
}

/// Makes a pattern ready for matching, in time linear to the URL.
///
/// # Errors
/// When it is none, or too much of one.
pub fn compile(text: &str) -> Result<Regex, PatternError> {
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    if text.len() > PATTERN_BYTES_MAX {
        return Err(PatternError::Long);
    }
    let built = RegexBuilder::new(text)
        .size_limit(COMPILED_BYTES_MAX)
        .dfa_size_limit(COMPILED_BYTES_MAX)
        .nest_limit(64)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => PatternError::Large(text.to_owned()),
        other => {
            // The crate draws the pattern with a marker below it, over several lines; the last says what is wrong.
            let told = other.to_string();
            let why = told.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            PatternError::Syntax(format!("not a regular expression: {text:?}: {why}"))
        }
    })
}

/// A URL of a key as people write it: without the scheme's own port.
#[must_use]
pub fn written(url: &str) -> Cow<'_, str> {
    let (scheme, port) = if url.starts_with("https://") { (8, ":443") } else { (7, ":80") };
    let end = url.get(scheme..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| scheme + at);
    match url.get(..end).and_then(|before| before.strip_suffix(port)) {
        Some(before) => Cow::Owned([before, &url[end..]].concat()),
        None => Cow::Borrowed(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_bounded_and_told_why_they_are_none() {
        let long = "x".repeat(PATTERN_BYTES_MAX + 1);
        let rows = [
            ("", "empty pattern"),
            (long.as_str(), "a pattern longer than 1024 bytes"),
            ("(a{1000}){1000}", "takes more than 128 KiB"),
            ("[a-", "not a regular expression: \"[a-\": "),
            ("(?<x>a)\\1", "not a regular expression"),
        ];
        for (text, words) in rows {
            let told = compile(text).unwrap_err().to_string();
            assert!(told.contains(words) && !told.contains('\n'), "{text}: {told}");
        }
        assert!(compile(r"^https://[a-z]+\.example/(img|css)/.*\.(png|css)(\?|$)").is_ok());
    }

    #[test]
    fn urls_are_matched_as_people_write_them() {
        let rows = [
            ("http://a:80/x", "http://a/x"),
            ("https://a:443/", "https://a/"),
            ("https://a:80/x:443/", "https://a:80/x:443/"),
            ("http://a:443/", "http://a:443/"),
            ("http://[::1]:80/x", "http://[::1]/x"),
            ("x", "x"),
            ("", ""),
        ];
        for (url, wanted) in rows {
            assert_eq!(written(url), wanted, "{url}");
        }
    }
}
