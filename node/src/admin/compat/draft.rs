//! The HTTP cache invalidation API of draft-nottingham-http-invalidation (an expired Internet-Draft, the version of January
//! 2025): `POST /invalidate` takes its event format, `GET /invalidate` gives its description of the gateway.
//!
//! To invalidate is to remove, or to make validation mandatory: a hard purge. What `purge` asks for on top, that the bytes
//! are gone from every storage, the sweep does within a minute; so that is answered with 202 instead of 200.

use http::request::Parts;
use http::{StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::purge::Refused;
use super::super::{Admin, reply};
use super::purge_of;
use crate::clock::Clock;
use crate::http::{Body, Response};
use crate::policy;

/// Where it is.
pub(super) const PATH: &str = "/invalidate";

/// The types of selectors there are here, in the draft's words.
const TYPES: [&str; 4] = ["uri", "uri-prefix", "origin", "group"];

/// Milliseconds within which a node confirms most purges: one write to its disk.
const LATENCY: u32 = 50;

/// Members that are not known are to be ignored.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    selectors: Vec<String>,
    #[serde(default)]
    groups: Option<Vec<String>>,
    #[serde(default)]
    purge: bool,
}

pub(super) fn order(body: &[u8]) -> Result<Value, Refused> {
    let wrong = |error: String| {
        let hint = "send {\"type\":\"uri\",\"selectors\":[\"https://..\"]}";
        Refused::new(StatusCode::BAD_REQUEST, error, hint)
    };
    let event: Event = serde_json::from_slice(body).map_err(|e| wrong(format!("not an event: {e}")))?;
    let (kind, selectors) = match event.kind.as_str() {
        "uri" => ("url", event.selectors),
        "uri-prefix" => ("prefix", event.selectors),
        "origin" => ("prefix", origins(&event.selectors).map_err(wrong)?),
        "group" => {
            origins(&event.selectors).map_err(wrong)?;
            // A name of a group is a tag, and a tag reaches every origin: more than what was asked for, never less.
            ("tag", event.groups.ok_or_else(|| wrong("groups: missing".into()))?)
        }
        other => {
            let error = format!("selectors of type {other:?} are not supported");
            let hint = "use uri, uri-prefix, origin or group";
            return Err(Refused::new(StatusCode::NOT_IMPLEMENTED, error, hint));
        }
    };
    let mut order = purge_of(kind, selectors, false);
    order["reason"] = if event.purge { json!("invalidate, purge") } else { json!("invalidate") };
    Ok(order)
}

/// Origins as prefixes that end where the path begins, so that port 80 is not the beginning of port 8080.
fn origins(selectors: &[String]) -> Result<Vec<String>, String> {
    let origin = |(index, text): (usize, &String)| {
        let rest = text.split_once("://").map_or("", |(_, rest)| rest);
        if rest.is_empty() || rest.contains(['/', '?', '#']) {
            return Err(format!("selectors[{index}]: not an origin: {text:?}"));
        }
        Ok(format!("{text}/"))
    };
    selectors.iter().enumerate().map(origin).collect()
}

pub(super) fn done(order: &Value) -> Response {
    let mut answer = Response::new(Body::Empty);
    if order["reason"] == "invalidate, purge" {
        *answer.status_mut() = StatusCode::ACCEPTED;
    }
    answer
}

/// What this gateway can do, in the draft's format.
pub(super) fn describe(head: &Parts, admin: &Admin) -> Response {
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let targets = policy::Config::default().targets;
    let targets: Vec<&str> = targets.iter().map(http::HeaderName::as_str).collect();
    let now = std::time::UNIX_EPOCH + std::time::Duration::from_millis(Clock::system().now().0);
    reply::json(
        StatusCode::OK,
        &json!({
            "generated": httpdate::fmt_http_date(now),
            "description": format!("Larder node {}", admin.purges.node()),
            "invalidation": {
                "uri": format!("http://{host}{PATH}"),
                "selectors": TYPES,
                "purge": true,
                "p95-latency": LATENCY,
            },
            "targeted-cc": targets,
        }),
    )
}
