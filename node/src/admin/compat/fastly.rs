//! Fastly's purging API: <https://www.fastly.com/documentation/reference/api/purging/>.
//!
//! The token is sent as `Fastly-Key`. `Fastly-Soft-Purge: 1` makes a purge soft. The service id is the name of a site; it
//! matters to `purge_all` only.

use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::purge::Refused;
use super::super::{Admin, reply};
use super::{everything, purge_of, with_schemes};
use crate::http::Response;
use crate::purge::Receipt;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::admin) enum Call {
    /// A URL without its scheme.
    Url(String),
    /// One key, from the path.
    Key(String),
    /// Keys, from `Surrogate-Key` or the body.
    Keys,
    /// Everything of a service.
    All(String),
}

#[derive(Deserialize)]
struct Keys {
    surrogate_keys: Vec<String>,
}

impl Call {
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        if let Some(url) = path.strip_prefix("/purge/").filter(|url| !url.is_empty()) {
            return (method == Method::POST).then(|| Self::Url(url.to_owned()));
        }
        let (service, what) = path.strip_prefix("/service/")?.split_once('/')?;
        if service.is_empty() || !matches!(*method, Method::POST | Method::PUT) {
            return None;
        }
        match what.split_once('/') {
            None if what == "purge" => Some(Self::Keys),
            None if what == "purge_all" => Some(Self::All(service.to_owned())),
            Some(("purge", key)) if !key.is_empty() => Some(Self::Key(key.to_owned())),
            _ => None,
        }
    }

    pub(super) fn order(&self, head: &Parts, body: &[u8], admin: &Admin) -> Result<Value, Refused> {
        let soft = is_soft(&head.headers);
        match self {
            Self::Url(path) => {
                let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
                Ok(purge_of("url", with_schemes(&format!("{path}{query}")), soft))
            }
            Self::Key(key) => {
                let key = percent_encoding::percent_decode_str(key).decode_utf8_lossy().into_owned();
                Ok(purge_of("tag", vec![key], soft))
            }
            Self::Keys => Ok(purge_of("tag", keys(&head.headers, body)?, soft)),
            Self::All(service) => {
                let (kind, hosts) = everything(service, admin)?;
                Ok(purge_of(kind, hosts, soft))
            }
        }
    }

    /// `{"status":"ok","id":..}`; for keys each with its id.
    pub(super) fn done(&self, order: &Value, receipt: &Receipt) -> Response {
        let body = match self {
            Self::Keys => {
                let keys = order["selectors"].as_array().into_iter().flatten().filter_map(Value::as_str);
                keys.map(|key| (key.to_owned(), json!(receipt.id))).collect::<Map<_, _>>().into()
            }
            _ => json!({ "status": "ok", "id": receipt.id }),
        };
        reply::json(StatusCode::OK, &body)
    }
}

/// `Fastly-Soft-Purge: 1`, as its clients send it; whatever else stands there is a yes as well, except 0.
fn is_soft(headers: &HeaderMap) -> bool {
    headers.get("fastly-soft-purge").is_some_and(|value| value.as_bytes() != b"0")
}

fn keys(headers: &HeaderMap, body: &[u8]) -> Result<Vec<String>, Refused> {
    let mut keys = Vec::new();
    for field in headers.get_all("surrogate-key") {
        let text = String::from_utf8_lossy(field.as_bytes());
        keys.extend(text.split_ascii_whitespace().map(str::to_owned));
    }
    if !body.trim_ascii().is_empty() {
        let more: Keys = serde_json::from_slice(body).map_err(|error| {
            let hint = "send {\"surrogate_keys\":[\"..\"]}, or the keys in Surrogate-Key";
            Refused::new(StatusCode::BAD_REQUEST, format!("the body holds no keys: {error}"), hint)
        })?;
        keys.extend(more.surrogate_keys);
    }
    if keys.is_empty() {
        let hint = "send them in Surrogate-Key, separated by spaces";
        return Err(Refused::new(StatusCode::BAD_REQUEST, "no surrogate keys".into(), hint));
    }
    Ok(keys)
}

/// `{"msg", "detail"}`
pub(super) fn refused(refused: &Refused) -> Response {
    let body = json!({ "msg": refused.error, "detail": refused.hint });
    reply::like(refused, &body)
}
