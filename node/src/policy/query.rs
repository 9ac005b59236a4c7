//! The key of a QUERY (RFC 10008 2.7): its content and what says how to read it are part of it.

use std::fmt::Write as _;

use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use sha2::{Digest, Sha256};

/// What the secondary keys of a QUERY with this content begin with. Nothing is normalised: what two contents have in
/// common is their resource's to know, and a wrong guess gives one client another's answer. The fields are all those
/// that describe content (RFC 9110 8), byte by byte. No secondary key of another method begins so: a `(` is in no field
/// name.
#[must_use]
pub fn base(request: &HeaderMap, content: &[u8]) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    let mut describing: Vec<_> = request
        .keys()
        .filter(|name| name.as_str().starts_with("content-") && **name != CONTENT_LENGTH)
        .collect();
    describing.sort_unstable_by_key(|name| name.as_str());
    for name in describing {
        for value in request.get_all(name) {
            part(name.as_str().as_bytes());
            part(value.as_bytes());
        }
    }
    part(b"");
    part(content);
    let mut base = String::with_capacity(72);
    base.push_str("(query ");
    for byte in hash.finalize() {
        let _ = write!(base, "{byte:02x}");
    }
    base.push(')');
    base
}

#[cfg(test)]
mod tests {
    use super::super::fields;
    use super::*;

    #[test]
    fn what_makes_another_key() {
        let plain = base(&fields("content-type: application/sql"), b"select 1");
        assert_eq!(plain.len(), 72);
        for (rule, lines, content, same) in [
            ("the same", "Content-Type: application/sql", "select 1", true),
            (
                "other fields are for Vary",
                "Content-Type: application/sql|Accept: x/y|Content-Length: 8",
                "select 1",
                true,
            ),
            ("10008 2.7: the content", "Content-Type: application/sql", "select 2", false),
            ("10008 2.7: not normalised", "Content-Type: application/sql", "select  1", false),
            ("10008 2.7: its type", "Content-Type: text/plain", "select 1", false),
            ("10008 2.7: its type as spelled", "Content-Type: Application/SQL", "select 1", false),
            ("10008 2.7: no type", "", "select 1", false),
            (
                "9110 8.4: its coding",
                "Content-Type: application/sql|Content-Encoding: gzip",
                "select 1",
                false,
            ),
            (
                "9110 8.5: its language",
                "Content-Type: application/sql|Content-Language: de",
                "select 1",
                false,
            ),
        ] {
            assert_eq!(base(&fields(lines), content.as_bytes()) == plain, same, "{rule}");
        }
        let moved = base(&fields("content-type: application/sqlselect"), b" 1");
        assert_ne!(
            moved,
            base(&fields("content-type: application/sql"), b"select 1"),
            "where one ends counts"
        );
    }
}
