//! Surrogate keys: the names under which an origin groups its answers for purging.

use http::HeaderMap;
use larder_store::TAGS_MAX;

use super::structured;
use crate::status::NotStored;

/// The fields that carry tags, and how they separate them: `Surrogate-Key` (Fastly, by spaces), `Cache-Tag`
/// (Cloudflare, Akamai, by commas), `Cache-Groups` (RFC 9875, a list of strings).
pub const FIELDS: [&str; 3] = ["surrogate-key", "cache-tag", "cache-groups"];

const CACHE_GROUPS: &str = FIELDS[2];

/// The name under which the store knows a group of one origin (RFC 9875 2.1: two answers share a group only if they share
/// their scheme, host and port). No operator can write it, so that only that origin's answers invalidate it.
#[must_use]
pub fn group(origin: &str, name: &str) -> String {
    format!("group {origin} {name}")
}

/// Scheme, host and port of a URL in the form of the cache's keys.
#[must_use]
pub fn origin_of(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let end = url[authority..].find(['/', '?']).map_or(url.len(), |at| authority + at);
    &url[..end]
}

/// The strings of a field that is a list of them (RFC 9875 2 and 3); `None` of one that is none.
pub(super) fn strings(headers: &HeaderMap, name: &str) -> Option<Vec<String>> {
    let lines: Vec<_> = headers.get_all(name).iter().map(http::HeaderValue::as_bytes).collect();
    let found = structured::strings(&lines.join(&b", "[..]))?;
    Some(found.into_iter().filter_map(|text| String::from_utf8(text).ok()).collect())
}

/// The tags of an answer of `url`, without repetition: those it names, for operators, and its groups.
///
/// # Errors
/// As [`of`].
pub fn of_url(url: &str, headers: &HeaderMap) -> Result<Vec<String>, NotStored> {
    let mut tags = of(headers)?;
    if headers.contains_key(CACHE_GROUPS) {
        let origin = origin_of(url);
        for name in strings(headers, CACHE_GROUPS).unwrap_or_default() {
            let tag = group(origin, &name);
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
    }
    if tags.len() > TAGS_MAX { Err(NotStored::TooManyTags) } else { Ok(tags) }
}

/// The tags that an answer names, without repetition. What is not UTF-8 in them stands as U+FFFD, so that an operator can write
/// every tag.
///
/// # Errors
/// [`NotStored::TooManyTags`]: more than the store keeps with an entry. A purge by one that was left out would miss it.
pub fn of(headers: &HeaderMap) -> Result<Vec<String>, NotStored> {
    let mut tags: Vec<String> = Vec::new();
    for name in FIELDS {
        // What is no list of strings was still meant as something by whoever wrote it.
        if name == CACHE_GROUPS
            && let Some(groups) = strings(headers, name)
        {
            groups.iter().try_for_each(|group| add(&mut tags, group))?;
            continue;
        }
        let separates =
            |byte: &u8| if name == "surrogate-key" { byte.is_ascii_whitespace() } else { *byte == b',' };
        for part in headers.get_all(name).iter().flat_map(|value| value.as_bytes().split(separates)) {
            add(&mut tags, String::from_utf8_lossy(part).trim().trim_matches('"'))?;
        }
    }
    Ok(tags)
}

fn add(tags: &mut Vec<String>, tag: &str) -> Result<(), NotStored> {
    if tag.is_empty() || tags.iter().any(|known| known == tag) {
        return Ok(());
    }
    if tags.len() == TAGS_MAX {
        return Err(NotStored::TooManyTags);
    }
    tags.push(tag.to_owned());
    Ok(())
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
    fn groups_belong_to_one_origin() {
        for (url, origin) in [
            ("http://a:80/b?c", "http://a:80"),
            ("https://[::1]:443/", "https://[::1]:443"),
            ("http://a:80", "http://a:80"),
            ("http://a:80?b", "http://a:80"),
        ] {
            assert_eq!(origin_of(url), origin);
        }
        for (rule, lines, expected) in [
            (
                "9875 2",
                "Cache-Groups: \"a b\";revalidate, \"c\"",
                &["a b", "c", "group http://h:80 a b", "group http://h:80 c"][..],
            ),
            (
                "9110 5.3",
                "Cache-Groups: \"a\"|Cache-Groups: \"b\"",
                &["a", "b", "group http://h:80 a", "group http://h:80 b"],
            ),
            ("9651 4.2: no list of strings, no group", "Cache-Groups: a, \"b\"", &["a", "b"]),
            ("no groups", "Cache-Tag: a", &["a"]),
        ] {
            let headers = super::super::fields(lines);
            assert_eq!(of_url("http://h:80/x", &headers).unwrap(), expected, "{rule}");
        }
        let names = (0..TAGS_MAX).map(|number| format!("\"{number}\"")).collect::<Vec<_>>().join(", ");
        let headers = super::super::fields(&format!("Cache-Groups: {names}"));
        assert_eq!(of_url("http://h:80/", &headers), Err(NotStored::TooManyTags));
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
