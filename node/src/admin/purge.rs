//! `POST /purge` and `GET /purges`.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use larder_store::{NotUndoable, PurgeError};
use serde::Serialize;

use super::{Admin, fleet, inspect, reply};
use crate::http::Response;
use crate::limits;
use crate::purge::fleet::{Confirmed, Wait};
use crate::purge::{Denied, Failed, Invalid, Narrow, Order, Pass, Receipt, known};

/// Purges told when no limit is given.
const LISTED: usize = 100;

/// Why nothing was done, for whoever has to say it in their own words.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) error: String,
    pub(super) hint: String,
    /// What the token was too narrow for.
    pub(super) narrow: Option<Narrow>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, error: String, hint: &str) -> Self {
        Self { status, error, hint: hint.to_owned(), narrow: None }
    }

    pub(super) fn unauthorised() -> Self {
        let hint = "send Authorization: Bearer with the token of the node's [admin] token_file";
        Self::new(StatusCode::UNAUTHORIZED, "token missing or wrong".into(), hint)
    }

    pub(super) fn late() -> Self {
        let error = format!("not done within {} s", limits::ADMIN_WORK_TIMEOUT.as_secs());
        let hint = "it may still happen; ask again: a purge with the same id is done once";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error, hint)
    }
}

impl From<Invalid> for Refused {
    fn from(invalid: Invalid) -> Self {
        Self::new(StatusCode::BAD_REQUEST, invalid.error, invalid.hint)
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        let (status, hint) = match denied.why {
            Narrow::Rate => (StatusCode::TOO_MANY_REQUESTS, "send it again in a second"),
            _ => (
                StatusCode::FORBIDDEN,
                "nothing was purged; use a token that reaches as far, see [[admin.token]]",
            ),
        };
        Self { narrow: Some(denied.why), ..Self::new(status, denied.error, hint) }
    }
}

impl From<Failed> for Refused {
    fn from(failed: Failed) -> Self {
        let later = StatusCode::SERVICE_UNAVAILABLE;
        let (status, hint) = match &failed {
            Failed::Id(_) => (StatusCode::CONFLICT, "draw a new id for every purge, or leave it out"),
            Failed::Interrupted => (later, "send it again with the same id"),
            Failed::Store(error) => match error.as_ref() {
                PurgeError::NotDurable(_) => {
                    (later, "see to the disk of the cache directory, then send it again with the same id")
                }
                PurgeError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "send it in several purges"),
                PurgeError::Busy => (later, "send it again in a moment"),
                PurgeError::Bans { .. } => (
                    later,
                    "purge by prefix or tag, put several expressions into one with |, or wait: each leaves some 20 \
                     minutes after its purge",
                ),
                PurgeError::NotUndoable(NotUndoable::Unknown) => {
                    (StatusCode::NOT_FOUND, "GET /purges tells the ids of the purges that are remembered")
                }
                PurgeError::NotUndoable(NotUndoable::Late) => (
                    StatusCode::CONFLICT,
                    "what it hit may be gone; [purge] undo_window says how long later ones can be undone",
                ),
                PurgeError::NotUndoable(NotUndoable::Undo) => {
                    (StatusCode::CONFLICT, "purge again what should be gone")
                }
                PurgeError::NotUndoable(NotUndoable::Undone) => {
                    (StatusCode::CONFLICT, "nothing is left to do; GET /purges tells by what")
                }
                PurgeError::NotUndone(_) => {
                    (later, "see to the disk of the cache directory, then send it again with the same id")
                }
                PurgeError::Closed => (later, "the node is stopping; send it again when it is back"),
            },
        };
        Self::new(status, failed.to_string(), hint)
    }
}

/// Reads an order and carries it out.
pub(super) async fn order<B>(head: &Parts, body: B, pass: Option<&Pass>, admin: &Admin) -> Response
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Display,
{
    let done = async {
        let pass = pass.ok_or_else(Refused::unauthorised)?;
        let wait = fleet::wait(head.uri.query())?;
        let order = admin.purges.parse(&read(body).await?)?;
        let receipt = place(head, order, pass, admin).await?;
        Ok(match wait.filter(|_| !receipt.dry_run) {
            None => reply::json(StatusCode::OK, &receipt),
            Some(wait) => everywhere(&receipt, wait, admin).await,
        })
    };
    match done.await {
        Ok(answer) => answer,
        Err(refused) => reply::refused(&refused),
    }
}

/// The receipt with those of the other nodes; 202 where some are missing.
async fn everywhere(receipt: &Receipt, wait: (Wait, Duration), admin: &Admin) -> Response {
    #[derive(Serialize)]
    struct Told<'a> {
        #[serde(flatten)]
        receipt: &'a Receipt,
        fleet: Confirmed,
    }
    let fleet = fleet::confirmed(admin, receipt.sequence, wait).await;
    let status = if fleet.done { StatusCode::OK } else { StatusCode::ACCEPTED };
    reply::json(status, &Told { receipt, fleet })
}

/// Carries out an order if all of it lies within what the token is for.
pub(super) async fn place(
    head: &Parts,
    mut order: Order,
    pass: &Pass,
    admin: &Admin,
) -> Result<Receipt, Refused> {
    if order.undo.is_some() && !pass.is_full() {
        let error = "an undo needs the token of [admin] token_file".to_owned();
        let denied = Denied { why: Narrow::Kind, error };
        admin.gate.forbid(head, &denied);
        return Err(denied.into());
    }
    admin.gate.permits(pass, &order.purge, head)?;
    known(&order.purge, &admin.knows)?;
    if let Some(author) = pass.author() {
        order.author = Some(author.to_owned());
    }
    Ok(admin.purges.carry_out(order).await?)
}

pub(super) async fn read<B>(body: B) -> Result<Bytes, Refused>
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Display,
{
    let too_large = || {
        let hint = "a purge has at most 1 MiB; send it in several";
        Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large".into(), hint)
    };
    let max = limits::ADMIN_BODY_BYTES_MAX;
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    let body = std::pin::pin!(body.map_err(|e| e.to_string()));
    match tokio::time::timeout(limits::ADMIN_BODY_TIMEOUT, Limited::new(body, max).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => {
            let error = format!("the body broke off: {error}");
            Err(Refused::new(StatusCode::BAD_REQUEST, error, "send it whole"))
        }
        Err(_) => {
            let error = "the body came too slowly".into();
            Err(Refused::new(StatusCode::REQUEST_TIMEOUT, error, "send it faster"))
        }
    }
}

/// The purges after a position, or the newest.
pub(super) async fn history(query: Option<&str>, admin: &Admin) -> Response {
    let limit = match inspect::parameter(query, "limit") {
        None => LISTED,
        Some(text) => match text.parse::<usize>() {
            Ok(limit) if (1..=limits::PURGES_LISTED_MAX).contains(&limit) => limit,
            _ => {
                let hint = format!("write a number from 1 to {}", limits::PURGES_LISTED_MAX);
                let error = format!("limit: not a limit: {text:?}");
                return reply::error(StatusCode::BAD_REQUEST, &error, &hint);
            }
        },
    };
    let after = match inspect::parameter(query, "after").map(|text| (text.parse::<u64>(), text)) {
        None => None,
        Some((Ok(after), _)) => Some(after),
        Some((Err(_), text)) => {
            let error = format!("after: not a position: {text:?}");
            let hint = "write the sequence of the last purge that you know, or 0";
            return reply::error(StatusCode::BAD_REQUEST, &error, hint);
        }
    };
    // Megabytes, at the worst: not on a worker.
    let purges = Arc::clone(&admin.purges);
    let tell = move || reply::json(StatusCode::OK, &purges.listing(after, limit));
    let told = tokio::task::spawn_blocking(tell);
    told.await.unwrap_or_else(|_| reply::busy("the history could not be told", "ask again"))
}
