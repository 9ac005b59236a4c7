//! `/fleet`: what nodes tell each other, and the operator.

use std::time::Duration;

use http::StatusCode;
use http::request::Parts;

use super::{Admin, inspect, reply};
use crate::http::Response;
use crate::limits;
use crate::purge::Fleet;
use crate::purge::fleet::{Confirmed, Wait};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    /// How the fleet fares.
    Told,
    /// What comes next in this node's log.
    Purges,
    /// The ids in it.
    Ids,
}

/// Answers a node with the fleet's token, or the operator.
pub(super) async fn serve(call: Call, head: &Parts, admin: &Admin) -> Response {
    let Some(fleet) = &admin.fleet else {
        let hint = "set [fleet] in its configuration, then restart it";
        return reply::error(StatusCode::NOT_FOUND, "this node has no fleet", hint);
    };
    match call {
        Call::Told => reply::json(StatusCode::OK, &fleet.told()),
        Call::Ids => reply::json(StatusCode::OK, &fleet.ids()),
        Call::Purges => purges(head.uri.query(), fleet).await,
    }
}

async fn purges(query: Option<&str>, fleet: &Fleet) -> Response {
    let text = |name| inspect::parameter(query, name).unwrap_or_default();
    let number = |name| match inspect::parameter(query, name) {
        None => Some(0),
        Some(text) => text.parse::<u64>().ok(),
    };
    let (Some(after), Some(wait)) = (number("after"), number("wait")) else {
        let hint = "after is a position, wait is in milliseconds";
        return reply::error(StatusCode::BAD_REQUEST, "after, wait: not a number", hint);
    };
    let page = fleet.page(&text("log"), after, Duration::from_millis(wait), &text("node")).await;
    reply::json(StatusCode::OK, &page)
}

/// For whom the sender of a purge wants to wait, and for how long: `?wait=all|quorum&timeout=MS`.
pub(super) fn wait(query: Option<&str>) -> Result<Option<(Wait, Duration)>, super::purge::Refused> {
    let wrong =
        |what: &str, hint| Err(super::purge::Refused::new(StatusCode::BAD_REQUEST, what.to_owned(), hint));
    let wait = match inspect::parameter(query, "wait").as_deref() {
        None | Some("none") => return Ok(None),
        Some("all") => Wait::All,
        Some("quorum") => Wait::Quorum,
        Some(_) => {
            return wrong("wait: not one of all, quorum, none", "leave it out to wait for this node only");
        }
    };
    let most = match inspect::parameter(query, "timeout").map(|text| text.parse::<u64>()) {
        None => limits::FLEET_CONFIRM_TIMEOUT,
        Some(Ok(most)) => Duration::from_millis(most).min(limits::ADMIN_WORK_TIMEOUT / 2),
        Some(Err(_)) => return wrong("timeout: not a number", "write milliseconds, such as timeout=5000"),
    };
    Ok(Some((wait, most)))
}

/// Waits for the other nodes; without a fleet there are none.
pub(super) async fn confirmed(admin: &Admin, sequence: u64, (wait, most): (Wait, Duration)) -> Confirmed {
    match &admin.fleet {
        Some(fleet) => fleet.confirmed(sequence, wait, most).await,
        None => {
            Confirmed { done: true, confirmed: vec![admin.purges.node().to_string()], missing: Vec::new() }
        }
    }
}
