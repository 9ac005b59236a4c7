//! What a request that may have changed something makes wrong (RFC 9111 4.4).

use http::header::{CONTENT_LOCATION, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use larder_store::TAGS_MAX;

use super::{reference, tags};

/// Whether the stored answers for the request's URL must go: the method is not known to be safe (RFC 9110 9.2.1) and
/// the answer is no error, 2xx or 3xx.
#[must_use]
pub fn invalidates(method: &Method, status: StatusCode) -> bool {
    !is_safe(method) && (status.is_success() || status.is_redirection())
}

/// GET, HEAD, OPTIONS, TRACE (RFC 9110 9.2.1), the WebDAV reads and QUERY.
fn is_safe(method: &Method) -> bool {
    matches!(
        method.as_str(),
        "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PROPFIND" | "REPORT" | "SEARCH" | "QUERY"
    )
}

/// The further URLs to invalidate: those of `Location` and `Content-Location` that have the origin of `base`, the URL
/// of the request, and are not `base` itself. In the form of the cache's keys: scheme and host in lower case, port
/// written, target in normal form, no fragment.
#[must_use]
pub fn targets(base: &str, response: &HeaderMap) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for name in [LOCATION, CONTENT_LOCATION] {
        for value in response.get_all(name) {
            // Not all who write beyond ASCII escape it, and clients know what is meant.
            let text = std::str::from_utf8(value.as_bytes()).ok();
            let Some(url) = text.and_then(|text| reference::resolve(base, text)) else { continue };
            if reference::same_origin(base, &url) && url != base && !found.contains(&url) {
                found.push(url);
            }
        }
    }
    found
}

/// The groups of `base`'s origin that the answer to an unsafe method invalidates, whatever its status (RFC 9875 3), as
/// the store knows them.
#[must_use]
pub fn groups(base: &str, method: &Method, response: &HeaderMap) -> Vec<String> {
    if is_safe(method) || !response.contains_key(CACHE_GROUP_INVALIDATION) {
        return Vec::new();
    }
    let origin = tags::origin_of(base);
    let mut found = tags::strings(response, CACHE_GROUP_INVALIDATION).unwrap_or_default();
    found.sort_unstable();
    found.dedup();
    found.truncate(TAGS_MAX);
    found.iter().map(|name| tags::group(origin, name)).collect()
}

const CACHE_GROUP_INVALIDATION: &str = "cache-group-invalidation";

#[cfg(test)]
mod tests {
    use super::super::fields;
    use super::*;

    #[test]
    fn methods_and_statuses() {
        for (method, status, expected, rule) in [
            ("POST", 200, true, "9111 4.4: an unsafe method"),
            ("PUT", 201, true, "9111 4.4: non-error is 2xx"),
            ("DELETE", 204, true, "9111 4.4: non-error is 2xx"),
            ("PATCH", 303, true, "9111 4.4: non-error is 3xx"),
            ("M-SEARCH", 200, true, "9111 4.4: methods whose safety is unknown"),
            ("post", 200, true, "9110 9.1: methods are case-sensitive, so this one is unknown"),
            ("POST", 400, false, "9111 4.4: an error"),
            ("POST", 500, false, "9111 4.4: an error"),
            ("GET", 200, false, "9110 9.2.1: safe"),
            ("HEAD", 200, false, "9110 9.2.1: safe"),
            ("OPTIONS", 200, false, "9110 9.2.1: safe"),
            ("TRACE", 200, false, "9110 9.2.1: safe"),
            ("QUERY", 200, false, "safe by its definition"),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(invalidates(&method, StatusCode::from_u16(status).unwrap()), expected, "{rule}");
        }
    }

    #[test]
    fn groups_of_the_same_origin() {
        for (rule, method, lines, expected) in [
            (
                "9875 3",
                "POST",
                "Cache-Group-Invalidation: \"b\";x, \"a\"",
                &["group http://a:80 a", "group http://a:80 b"][..],
            ),
            ("9875 3: must be ignored for a safe method", "GET", "Cache-Group-Invalidation: \"a\"", &[]),
            ("10008: safe", "QUERY", "Cache-Group-Invalidation: \"a\"", &[]),
            (
                "9651 4.2: a field that does not parse is ignored",
                "POST",
                "Cache-Group-Invalidation: \"a\", b",
                &[],
            ),
            (
                "each once",
                "PUT",
                "Cache-Group-Invalidation: \"a\"|Cache-Group-Invalidation: \"a\"",
                &["group http://a:80 a"],
            ),
            ("nothing said", "DELETE", "Cache-Groups: \"a\"", &[]),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(groups("http://a:80/b", &method, &fields(lines)), expected, "{rule}");
        }
    }

    #[test]
    fn locations() {
        let base = "http://a:80/b/c?d";
        for (lines, expected, rule) in [
            ("Location: /x", vec!["http://a:80/x"], "9111 4.4: the URI in Location"),
            ("Content-Location: x", vec!["http://a:80/b/x"], "9111 4.4: the URI in Content-Location"),
            ("Location: /x|Content-Location: /y", vec!["http://a:80/x", "http://a:80/y"], "both"),
            ("Location: /x|Content-Location: http://A/x", vec!["http://a:80/x"], "once"),
            ("Location: http://other/x", vec![], "9111 4.4: must not if the origin differs"),
            ("Location: https://a/x", vec![], "9111 4.4: must not if the origin differs"),
            ("Location: http://a:81/x", vec![], "9111 4.4: must not if the origin differs"),
            ("Location: //a/x", vec!["http://a:80/x"], "3986 5.2"),
            ("Content-Location: ", vec![], "the request's own URL is the caller's"),
            ("Location: /\u{fc}", vec!["http://a:80/%C3%BC"], "3986 2.5: UTF-8, escaped"),
            ("Location: /%7ex/../y%c3", vec!["http://a:80/y%C3"], "3986 6.2.2: in normal form"),
            ("Location: http://A./x", vec!["http://a:80/x"], "the same host"),
            ("Location: /%", vec![], "no URL"),
        ] {
            assert_eq!(targets(base, &fields(lines)), expected, "{rule}: {lines}");
        }
    }
}
