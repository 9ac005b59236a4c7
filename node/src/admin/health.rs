//! `/livez`, `/readyz`, `/metrics`, `/status`.

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::{Admin, Facts, reply};
use crate::http::Response;
use crate::telemetry::metric;

/// 200, or 503 with the reasons.
pub(super) fn health(reasons: &[String]) -> Response {
    let (status, word) = match reasons {
        [] => (StatusCode::OK, "ok"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    reply::json(status, &json!({ "status": word, "reasons": reasons }))
}

/// The metrics. The text is OpenMetrics, which whoever did not ask for it reads as Prometheus' older format.
pub(super) fn metrics(request: &HeaderMap, text: String) -> Response {
    let open = |value: &HeaderValue| {
        value.to_str().is_ok_and(|v| v.to_ascii_lowercase().contains("application/openmetrics-text"))
    };
    let kind = if request.get_all(ACCEPT).iter().any(open) {
        metric::CONTENT_TYPE
    } else {
        "text/plain; version=0.0.4; charset=utf-8"
    };
    reply::body(StatusCode::OK, HeaderValue::from_static(kind), Bytes::from(text))
}

#[derive(Serialize)]
struct Status<'a> {
    node: &'a str,
    version: &'static str,
    sequence: u64,
    ready: bool,
    reasons: Vec<String>,
    #[serde(flatten)]
    facts: Facts,
}

/// For `larder-purge status`.
pub(super) fn status(admin: &Admin) -> Response {
    let reasons = (admin.ready)();
    let status = Status {
        node: admin.purges.node(),
        version: env!("CARGO_PKG_VERSION"),
        sequence: admin.purges.sequence(),
        ready: reasons.is_empty(),
        reasons,
        facts: (admin.facts)(),
    };
    reply::json(StatusCode::OK, &status)
}
