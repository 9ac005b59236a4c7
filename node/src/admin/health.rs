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

/// The metrics as OpenMetrics for whoever asks for it, in Prometheus' older format for everyone else.
pub(super) fn metrics(request: &HeaderMap, text: String) -> Response {
    let open = |value: &HeaderValue| {
        value.to_str().is_ok_and(|v| v.to_ascii_lowercase().contains("application/openmetrics-text"))
    };
    let (kind, text) = if request.get_all(ACCEPT).iter().any(open) {
        (metric::CONTENT_TYPE, text)
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", older(&text))
    };
    reply::body(StatusCode::OK, HeaderValue::from_static(kind), Bytes::from(text))
}

/// In the older format the family of a counter has the name of its samples, and nothing marks the end.
fn older(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    let mut lines = text.lines().filter(|line| *line != "# EOF").peekable();
    while let Some(line) = lines.next() {
        let kind = if line.starts_with("# HELP ") { lines.peek().copied() } else { Some(line) };
        let counter = kind.is_some_and(|kind| kind.starts_with("# TYPE ") && kind.ends_with(" counter"));
        match line.splitn(4, ' ').collect::<Vec<_>>()[..] {
            ["#", word, name, rest] if counter => {
                out.extend(["# ", word, " ", name, "_total ", rest]);
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_one_name_in_the_older_format() {
        let open = "# HELP larder_a Some words\n# TYPE larder_a counter\nlarder_a_total{b=\"# TYPE x counter\"} 1\n\
            # HELP larder_c\n# TYPE larder_c gauge\nlarder_c 2\n# EOF\n";
        let text = "# HELP larder_a_total Some words\n# TYPE larder_a_total counter\n\
            larder_a_total{b=\"# TYPE x counter\"} 1\n# HELP larder_c\n# TYPE larder_c gauge\nlarder_c 2\n";
        assert_eq!(older(open), text);
    }
}
