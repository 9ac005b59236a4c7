//! Entity tags and their two comparisons (RFC 9110 8.8.3).

use super::directives::{list, trim};

/// The opaque part of a tag: what is left without a `W/`.
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether the tag can be compared strongly: not weak and properly quoted.
pub(super) fn is_strong(tag: &[u8]) -> bool {
    let tag = trim(tag);
    tag.len() >= 2 && tag.starts_with(b"\"") && tag.ends_with(b"\"")
}

/// Strong comparison: both strong and the same.
pub(super) fn strong_eq(one: &[u8], other: &[u8]) -> bool {
    is_strong(one) && trim(one) == trim(other)
}

/// Weak comparison: the same but for `W/`. Tags against the grammar are equal only byte by byte.
pub(super) fn weak_eq(one: &[u8], other: &[u8]) -> bool {
    let (one, other) = (trim(one), trim(other));
    !one.is_empty() && opaque(one) == opaque(other)
}

/// Whether `wanted`, a line of `If-None-Match`, lists `tag` by weak comparison.
pub(super) fn lists(wanted: &[u8], tag: &[u8]) -> bool {
    list(wanted).any(|one| weak_eq(one, tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_rfc_9110_8_8_3_2() {
        for (one, other, strong, weak) in [
            ("W/\"1\"", "W/\"1\"", false, true),
            ("W/\"1\"", "W/\"2\"", false, false),
            ("W/\"1\"", "\"1\"", false, true),
            ("\"1\"", "\"1\"", true, true),
            ("\"1\"", "\"2\"", false, false),
            ("\"a\"", "\"A\"", false, false),
            ("1", "1", false, true),
            ("1", "\"1\"", false, false),
            ("w/\"1\"", "w/\"1\"", false, true),
            ("w/\"1\"", "\"1\"", false, false),
            ("", "", false, false),
            ("\"\"", "\"\"", true, true),
        ] {
            assert_eq!(strong_eq(one.as_bytes(), other.as_bytes()), strong, "strong {one} {other}");
            assert_eq!(weak_eq(one.as_bytes(), other.as_bytes()), weak, "weak {one} {other}");
        }
    }

    #[test]
    fn lists_of_tags() {
        for (wanted, tag, expected) in [
            ("\"a\", \"b\" ,\"c\"", "\"b\"", true),
            ("\"a,b\", \"c\"", "\"b\"", false),
            ("\"a,b\", \"c\"", "\"a,b\"", true),
            (", ,\"c\"", "\"c\"", true),
            ("", "\"c\"", false),
        ] {
            assert_eq!(lists(wanted.as_bytes(), tag.as_bytes()), expected, "{wanted} {tag}");
        }
    }
}
