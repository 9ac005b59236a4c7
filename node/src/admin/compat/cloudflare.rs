//! Cloudflare's cache purge: <https://developers.cloudflare.com/api/resources/cache/methods/purge/>.
//!
//! The zone id is the name of a site; it matters to `purge_everything` only. Purges are hard.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::purge::Refused;
use super::super::{Admin, reply};
use super::{everything, is_about_the_token, purge_of, with_schemes};
use crate::http::Response;
use crate::purge::Receipt;

/// The number of their "Authentication error".
const NOT_AUTHENTICATED: u16 = 10_000;

const SHAPE: &str = "send one of {\"files\":[\"https://..\"]}, {\"tags\":[..]}, {\"hosts\":[..]}, {\"prefixes\":[..]} \
                     and {\"purge_everything\":true}";

/// The zone of `/client/v4/zones/ZONE/purge_cache`.
pub(super) fn zone(path: &str) -> Option<&str> {
    let zone = path.strip_prefix("/client/v4/zones/")?.strip_suffix("/purge_cache")?;
    (!zone.is_empty() && !zone.contains('/')).then_some(zone)
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Body {
    files: Option<Vec<File>>,
    tags: Option<Vec<String>>,
    hosts: Option<Vec<String>>,
    prefixes: Option<Vec<String>>,
    purge_everything: Option<bool>,
}

/// A URL, or one with request fields that choose a variant; every variant is purged.
#[derive(Deserialize)]
#[serde(untagged)]
enum File {
    Url(String),
    Variant { url: String },
}

pub(super) fn order(zone: &str, body: &[u8], admin: &Admin) -> Result<Value, Refused> {
    let wrong = |error: String| Refused::new(StatusCode::BAD_REQUEST, error, SHAPE);
    let body: Body = serde_json::from_slice(body).map_err(|e| wrong(format!("not a purge: {e}")))?;
    let mut asked = Vec::new();
    if let Some(files) = body.files {
        let url = |file| match file {
            File::Url(url) | File::Variant { url } => url,
        };
        asked.push(("url", files.into_iter().map(url).collect()));
    }
    asked.extend(body.tags.map(|tags| ("tag", tags)));
    asked.extend(body.hosts.map(|hosts| ("host", hosts)));
    let both = |prefixes: Vec<String>| prefixes.iter().flat_map(|text| with_schemes(text)).collect();
    asked.extend(body.prefixes.map(|prefixes| ("prefix", both(prefixes))));
    if body.purge_everything == Some(true) {
        asked.push(everything(zone, admin)?);
    }
    match (asked.pop(), asked.is_empty()) {
        (Some((kind, selectors)), true) => Ok(purge_of(kind, selectors, false)),
        (None, _) => Err(wrong("nothing to purge".into())),
        // One purge is one line of the log and one position: several kinds would be several, and one may fail.
        (Some(_), false) => Err(wrong("more than one kind of purge".into())),
    }
}

pub(super) fn done(receipt: &Receipt) -> Response {
    let body = json!({ "success": true, "errors": [], "messages": [], "result": { "id": receipt.id } });
    reply::json(StatusCode::OK, &body)
}

pub(super) fn refused(refused: &Refused) -> Response {
    let code = if is_about_the_token(refused) { NOT_AUTHENTICATED } else { refused.status.as_u16() };
    let message = format!("{}: {}", refused.error, refused.hint);
    let errors = json!([{ "code": code, "message": message }]);
    reply::like(refused, &json!({ "success": false, "errors": errors, "messages": [], "result": null }))
}
