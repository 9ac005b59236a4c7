//! Conditions of clients, our own conditions, and what an answer to them updates (RFC 9111 4.3, RFC 9110 13).

use http::header::{
    AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::storing::is_withheld;
use super::{Config, dates, etag, targeted};

/// What a client's conditions make of a stored answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// The whole answer.
    Whole,
    /// 304: the client has it.
    NotModified,
    /// 412: only for methods other than GET and HEAD, which a cache does not answer.
    Failed,
}

/// Evaluates the conditions a cache evaluates (RFC 9111 4.3.2, in the order of RFC 9110 13.2.2): `If-None-Match`, else
/// `If-Modified-Since`. `If-Match` and `If-Unmodified-Since` are for origins and not looked at. Conditions of an
/// answer that is not 2xx are ignored (RFC 9110 13.2.1).
#[must_use]
pub fn evaluate(method: &Method, request: &HeaderMap, status: StatusCode, response: &HeaderMap) -> Condition {
    let safe = method == Method::GET || method == Method::HEAD;
    if !status.is_success() {
        return Condition::Whole;
    }
    if request.contains_key(IF_NONE_MATCH) {
        return match (none_matches(request, response), safe) {
            (true, _) => Condition::Whole,
            (false, true) => Condition::NotModified,
            (false, false) => Condition::Failed,
        };
    }
    if safe && request.contains_key(IF_MODIFIED_SINCE) && !is_modified(request, response) {
        return Condition::NotModified;
    }
    Condition::Whole
}

/// RFC 9110 13.1.2: `*` names any stored answer, tags are compared weakly.
fn none_matches(request: &HeaderMap, response: &HeaderMap) -> bool {
    let stored = tag(response);
    request.get_all(IF_NONE_MATCH).iter().all(|line| {
        let wanted = line.as_bytes().trim_ascii();
        wanted != b"*" && !stored.is_some_and(|tag| etag::lists(wanted, tag))
    })
}

/// RFC 9110 13.1.3: anything but one valid date is ignored. Without `Last-Modified`, `Date` stands for it
/// (RFC 9111 4.3.2), which is there in every stored head.
fn is_modified(request: &HeaderMap, response: &HeaderMap) -> bool {
    let mut lines = request.get_all(IF_MODIFIED_SINCE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return true };
    let made = date(response, DATE, None);
    let Some(since) = dates::parse(line.as_bytes(), made.unwrap_or(dates::REFERENCE)) else { return true };
    let modified = date(response, LAST_MODIFIED, made).or(made);
    modified.is_none_or(|modified| modified > since)
}

fn date(headers: &HeaderMap, name: HeaderName, now: Option<u64>) -> Option<u64> {
    dates::parse(headers.get(name)?.as_bytes(), now.unwrap_or(dates::REFERENCE))
}

fn tag(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(ETAG).map(HeaderValue::as_bytes)
}

/// Makes `request` ask the origin whether the stored answer is still right (RFC 9111 4.3.1): the client's own
/// conditions go, `If-None-Match` and `If-Modified-Since` of the stored validators come, spelled as the origin spelled
/// them. False when there is no validator.
pub fn add_validators(request: &mut HeaderMap, stored: &HeaderMap) -> bool {
    remove_conditions(request);
    let mut any = false;
    for (validator, condition) in [(ETAG, IF_NONE_MATCH), (LAST_MODIFIED, IF_MODIFIED_SINCE)] {
        if let Some(value) = stored.get(validator) {
            request.insert(condition, value.clone());
            any = true;
        }
    }
    any
}

/// Takes a client's conditions out of a request whose answer is to be stored: a 304 or a 412 to them would not be an
/// answer for everyone.
pub fn remove_conditions(request: &mut HeaderMap) {
    for name in [IF_MATCH, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE, IF_RANGE] {
        request.remove(name);
    }
}

/// Whether a 304 with these fields may freshen this stored answer (RFC 9111 4.3.4): the same strong tag if it has one;
/// else a corresponding weak validator; a 304 without any validator answers the only condition we sent.
#[must_use]
pub fn selects(stored: &HeaderMap, update: &HeaderMap) -> bool {
    match (tag(update), tag(stored)) {
        (Some(new), Some(old)) if etag::is_strong(new) => etag::strong_eq(new, old),
        (Some(new), Some(old)) => etag::weak_eq(new, old),
        (Some(_), None) => false,
        (None, _) => match (update.get(LAST_MODIFIED), stored.get(LAST_MODIFIED)) {
            (Some(new), Some(old)) => same_date(new, old),
            (Some(_), None) => false,
            (None, _) => true,
        },
    }
}

/// Whether a 304 names what it is about by a strong tag: then it is about every stored answer with that tag.
#[must_use]
pub fn names_strongly(update: &HeaderMap) -> bool {
    tag(update).is_some_and(etag::is_strong)
}

/// Whether there is something to ask the origin about a stored answer with.
#[must_use]
pub fn has_validator(stored: &HeaderMap) -> bool {
    stored.contains_key(ETAG) || stored.contains_key(LAST_MODIFIED)
}

fn same_date(one: &HeaderValue, other: &HeaderValue) -> bool {
    let parse = |value: &HeaderValue| dates::parse(value.as_bytes(), dates::REFERENCE);
    one == other || parse(one).is_some_and(|at| Some(at) == parse(other))
}

/// The stored head with the fields of a 304 (or of a HEAD, see [`head_effect`]) in place of its own (RFC 9111 3.2):
/// all but those that describe the stored bytes. `Age` and `Date` are the new answer's or none, as the new answer is
/// what the age is counted from.
#[must_use]
pub fn merge_304(config: &Config, stored: &HeaderMap, update: &HeaderMap) -> HeaderMap {
    let said = targeted::directives(config, update);
    let mut merged = stored.clone();
    merged.remove(AGE);
    merged.remove(DATE);
    let describes_the_body = |name: &HeaderName| {
        [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_RANGE].contains(name)
            || matches!(name.as_str(), "content-md5" | "content-digest" | "digest")
    };
    for name in update.keys() {
        if describes_the_body(name) || is_withheld(config, update, &said.directives, name) {
            continue;
        }
        merged.remove(name);
        for value in update.get_all(name) {
            merged.append(name.clone(), value.clone());
        }
    }
    // The stored Cache-Control may be the one that withholds a field the update brought.
    super::storing::stored_fields(config, &merged)
}

/// What the answer to a HEAD that went to the origin makes of a stored GET (RFC 9111 4.3.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadEffect {
    /// The stored head takes the new fields, by [`merge_304`].
    Update,
    /// The stored answer is not what the origin has now: stale from here on.
    Stale,
    /// Nothing follows.
    None,
}

/// Compares a HEAD's answer with a stored 200 of `stored_length` body bytes: every validator and the length it brings
/// must match.
#[must_use]
pub fn head_effect(
    stored: &HeaderMap,
    stored_length: u64,
    status: StatusCode,
    head: &HeaderMap,
) -> HeadEffect {
    if status != StatusCode::OK {
        return HeadEffect::None;
    }
    let same = |name: &HeaderName| head.get(name).is_none_or(|new| stored.get(name) == Some(new));
    let length = head.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    let same_length = !head.contains_key(CONTENT_LENGTH) || length == Some(stored_length);
    if same(&ETAG) && same(&LAST_MODIFIED) && same_length { HeadEffect::Update } else { HeadEffect::Stale }
}

/// Whether `If-Range` lets a range of the stored answer be given (RFC 9110 13.1.5): a tag by strong comparison, a date
/// only if it is exactly a `Last-Modified` that is strong (8.8.2.2: at least a second before `Date`).
#[must_use]
pub fn if_range_allows(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let Some(wanted) = request.get(IF_RANGE) else { return true };
    let wanted = wanted.as_bytes().trim_ascii();
    if wanted.starts_with(b"\"") || wanted.starts_with(b"W/") {
        return tag(stored).is_some_and(|tag| etag::strong_eq(wanted, tag));
    }
    let made = date(stored, DATE, None);
    let since = dates::parse(wanted, made.unwrap_or(dates::REFERENCE));
    let (Some(wanted), Some(modified), Some(made)) = (since, date(stored, LAST_MODIFIED, made), made) else {
        return false;
    };
    wanted == modified && made > modified
}

#[cfg(test)]
mod tests;
