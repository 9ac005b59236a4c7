//! Surrogate keys: the names under which an origin groups its answers for purging.

use http::HeaderMap;

/// The fields that carry tags, and how they separate them: `Surrogate-Key` (Fastly, by spaces), `Cache-Tag`
/// (Cloudflare, Akamai, by commas), `Cache-Groups` (RFC 9875, a list of strings).
pub const FIELDS: [&str; 3] = ["surrogate-key", "cache-tag", "cache-groups"];

/// Tags of one answer, at the most; an origin that sends more loses the last.
const TAGS_MAX: usize = 1_000;

/// The tags of an answer, without repetition.
#[must_use]
pub fn of(headers: &HeaderMap) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for name in FIELDS {
        for value in headers.get_all(name) {
            let Ok(value) = value.to_str() else { continue };
            let parts = value
                .split(|c: char| if name == "surrogate-key" { c.is_ascii_whitespace() } else { c == ',' });
            for part in parts {
                let tag = part.trim().trim_matches('"');
                if !tag.is_empty() && tags.len() < TAGS_MAX && !tags.iter().any(|known| known == tag) {
                    tags.push(tag.to_owned());
                }
            }
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_separates_in_its_own_way() {
        let mut headers = HeaderMap::new();
        headers.append("surrogate-key", "a  b\tc".parse().expect("a field value"));
        headers.append("cache-tag", "c, d e ,".parse().expect("a field value"));
        headers.append("cache-groups", "\"f\", \"g\"".parse().expect("a field value"));
        assert_eq!(of(&headers), ["a", "b", "c", "d e", "f", "g"]);
        assert!(of(&HeaderMap::new()).is_empty());
    }
}
