//! Surrogate keys: the names under which an origin groups its answers for purging.

use http::HeaderMap;
use larder_store::TAGS_MAX;

use crate::status::NotStored;

/// The fields that carry tags, and how they separate them: `Surrogate-Key` (Fastly, by spaces), `Cache-Tag`
/// (Cloudflare, Akamai, by commas), `Cache-Groups` (RFC 9875, a list of strings).
pub const FIELDS: [&str; 3] = ["surrogate-key", "cache-tag", "cache-groups"];

/// The tags of an answer, without repetition. What is not UTF-8 in them stands as U+FFFD, so that an operator can write
/// every tag.
///
/// # Errors
/// [`NotStored::TooManyTags`]: more than the store keeps with an entry. A purge by one that was left out would miss it.
pub fn of(headers: &HeaderMap) -> Result<Vec<String>, NotStored> {
    let mut tags: Vec<String> = Vec::new();
    for name in FIELDS {
        let separates =
            |byte: &u8| if name == "surrogate-key" { byte.is_ascii_whitespace() } else { *byte == b',' };
        for part in headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(separates)) {
            let text = String::from_utf8_lossy(part);
            let tag = text.trim().trim_matches('"');
            if tag.is_empty() || tags.iter().any(|known| known == tag) {
                continue;
            }
            if tags.len() == TAGS_MAX {
                return Err(NotStored::TooManyTags);
            }
            tags.push(tag.to_owned());
        }
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_separates_in_its_own_way() {
        let mut headers = HeaderMap::new();
        headers.append("surrogate-key", "a  b\tc".parse().unwrap());
        headers.append("cache-tag", "c, d e ,".parse().unwrap());
        headers.append("cache-groups", "\"f\", \"g\"".parse().unwrap());
        assert_eq!(of(&headers).unwrap(), ["a", "b", "c", "d e", "f", "g"]);
        assert!(of(&HeaderMap::new()).unwrap().is_empty());
    }

    #[test]
    fn a_tag_beyond_ascii_is_a_tag_and_spoils_no_other() {
        let rows: [(&str, &[u8], &[&str]); 5] = [
            ("cache-tag", "news, café".as_bytes(), &["news", "café"]),
            ("surrogate-key", "日本 news".as_bytes(), &["日本", "news"]),
            ("cache-groups", "\"é\"".as_bytes(), &["é"]),
            ("cache-tag", b"caf\xe9,news", &["caf\u{fffd}", "news"]),
            ("surrogate-key", b"\xff \xff\xff", &["\u{fffd}", "\u{fffd}\u{fffd}"]),
        ];
        for (name, line, wanted) in rows {
            let mut headers = HeaderMap::new();
            headers.append(name, http::HeaderValue::from_bytes(line).unwrap());
            assert_eq!(of(&headers).unwrap(), wanted, "{name} {line:?}");
        }
    }

    #[test]
    fn more_than_the_store_keeps_are_too_many() {
        let mut headers = HeaderMap::new();
        for number in 0..TAGS_MAX {
            headers.append("cache-tag", format!("t{number}, t0").parse().unwrap());
        }
        assert_eq!(of(&headers).map(|tags| tags.len()), Ok(TAGS_MAX), "repetitions do not count");
        headers.append("surrogate-key", "one-more".parse().unwrap());
        assert_eq!(of(&headers), Err(NotStored::TooManyTags));
    }
}
