//! Answers of the admin listener: JSON, never cached; every error says what is wrong and what to do.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};

use super::purge::Refused;
use crate::http::{Body, Response};

/// `value` as JSON and a line end, for whoever reads it in a terminal.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let (status, mut text) = match serde_json::to_vec(value) {
        Ok(text) => (status, text),
        Err(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, br#"{"error":"not expressible as JSON","hint":""}"#.to_vec())
        }
    };
    text.push(b'\n');
    body(status, HeaderValue::from_static("application/json"), text.into())
}

/// `{"error", "hint"}`
pub(super) fn error(status: StatusCode, error: &str, hint: &str) -> Response {
    json(status, &json!({ "error": error, "hint": hint }))
}

/// The same, for what may be tried again in a second.
pub(super) fn busy(error_text: &str, hint: &str) -> Response {
    with(error(StatusCode::SERVICE_UNAVAILABLE, error_text, hint), RETRY_AFTER, "1")
}

/// 405 (RFC 9110 15.5.6).
pub(super) fn wrong_method(allowed: &'static str) -> Response {
    let answer = error(StatusCode::METHOD_NOT_ALLOWED, "wrong method", &format!("use {allowed}"));
    with(answer, ALLOW, allowed)
}

/// A refusal in our own words.
pub(super) fn refused(refused: &Refused) -> Response {
    like(refused, &json!({ "error": refused.error, "hint": refused.hint }))
}

/// A refusal in other words: its status, and the fields that go with that.
pub(super) fn like(refused: &Refused, words: &Value) -> Response {
    let answer = json(refused.status, words);
    match refused.status {
        // RFC 9110 15.5.2
        StatusCode::UNAUTHORIZED => with(answer, WWW_AUTHENTICATE, "Bearer realm=\"larder\""),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => with(answer, RETRY_AFTER, "1"),
        _ => answer,
    }
}

/// Any text.
pub(super) fn body(status: StatusCode, kind: HeaderValue, text: Bytes) -> Response {
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn with(mut answer: Response, name: HeaderName, value: &'static str) -> Response {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
    answer
}
