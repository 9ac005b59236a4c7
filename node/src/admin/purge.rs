//! `POST /purge` and `GET /purges`.

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Body as HttpBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use larder_store::PurgeError;

use super::{Admin, inspect, reply};
use crate::http::Response;
use crate::limits;
use crate::purge::Failed;

/// Purges told when no limit is given.
const LISTED: usize = 100;

/// Reads an order and carries it out.
pub(super) async fn order<B>(request: Request<B>, admin: &Admin) -> Response
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Display,
{
    let body = match read(request.into_body()).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let order = match admin.purges.parse(&body) {
        Ok(order) => order,
        Err(invalid) => return reply::error(StatusCode::BAD_REQUEST, &invalid.error, invalid.hint),
    };
    match admin.purges.carry_out(order).await {
        Ok(receipt) => reply::json(StatusCode::OK, &receipt),
        Err(failed) => refusal(&failed),
    }
}

fn refusal(failed: &Failed) -> Response {
    let text = failed.to_string();
    match failed {
        Failed::Id(_) => {
            reply::error(StatusCode::CONFLICT, &text, "draw a new id for every purge, or leave it out")
        }
        Failed::Interrupted => reply::busy(&text, "send it again with the same id"),
        Failed::Store(error) => match error.as_ref() {
            PurgeError::NotDurable(_) => reply::busy(
                &text,
                "see to the disk of the cache directory, then send it again with the same id",
            ),
            PurgeError::TooLarge { .. } => {
                reply::error(StatusCode::PAYLOAD_TOO_LARGE, &text, "send it in several purges")
            }
            PurgeError::Busy => reply::busy(&text, "send it again in a moment"),
            PurgeError::Closed => reply::busy(&text, "the node is stopping; send it again when it is back"),
        },
    }
}

async fn read<B>(body: B) -> Result<Bytes, Response>
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Display,
{
    let too_large = || {
        let hint = "a purge has at most 1 MiB; send it in several";
        reply::error(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large", hint)
    };
    let max = limits::ADMIN_BODY_BYTES_MAX;
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    let body = std::pin::pin!(body.map_err(|e| e.to_string()));
    match tokio::time::timeout(limits::ADMIN_BODY_TIMEOUT, Limited::new(body, max).collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(reply::error(
            StatusCode::BAD_REQUEST,
            &format!("the body broke off: {error}"),
            "send it whole",
        )),
        Err(_) => {
            Err(reply::error(StatusCode::REQUEST_TIMEOUT, "the body came too slowly", "send it faster"))
        }
    }
}

/// The newest purges.
pub(super) async fn history(query: Option<&str>, admin: &Admin) -> Response {
    let limit = match inspect::parameter(query, "limit") {
        None => LISTED,
        Some(text) => match text.parse::<usize>() {
            Ok(limit) if (1..=limits::PURGES_LISTED_MAX).contains(&limit) => limit,
            _ => {
                let hint = format!("write a number from 1 to {}", limits::PURGES_LISTED_MAX);
                return reply::error(
                    StatusCode::BAD_REQUEST,
                    &format!("limit: not a limit: {text:?}"),
                    &hint,
                );
            }
        },
    };
    // Megabytes, at the worst: not on a worker.
    let purges = Arc::clone(&admin.purges);
    let told = tokio::task::spawn_blocking(move || reply::json(StatusCode::OK, &purges.history(limit)));
    told.await.unwrap_or_else(|_| reply::busy("the history could not be told", "ask again"))
}
