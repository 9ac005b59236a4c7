//! `POST /reload`: the same as SIGHUP, but it answers.

use http::StatusCode;
use serde_json::json;

use super::{Admin, Reloaded, reply};
use crate::http::Response;

/// What changed, or why nothing did.
pub(super) async fn reload(admin: &Admin) -> Response {
    match (admin.reload)().await {
        Ok(Reloaded { changed, warnings }) => {
            let body = json!({ "reloaded": true, "changed": changed, "warnings": warnings });
            reply::json(StatusCode::OK, &body)
        }
        Err(reasons) => {
            let body = json!({
                "error": "the new configuration was refused; the old one stays in force",
                "hint": "see larder check --config FILE",
                "reasons": reasons,
            });
            reply::json(StatusCode::UNPROCESSABLE_ENTITY, &body)
        }
    }
}
