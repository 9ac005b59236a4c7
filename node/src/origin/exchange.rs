//! One attempt: a request on one connection, until the head of its answer is there and believed.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, sleep};

use super::answer;
use super::body::AnswerBody;
use super::endpoint::{Lease, Live};
use super::upload::{self, Progress, Upload};
use super::wire::Meter;
use super::{Answer, Config, forward};
use crate::error::{Error, Kind, Retry, Side};
use crate::http::{Body, Cut};

/// Why an attempt failed, and the request if it may be sent once more.
pub(super) struct Failed {
    pub(super) error: Error,
    pub(super) request: Option<Request<Upload>>,
}

/// Sends `request` to this endpoint; `fresh` on a connection that served nobody before.
pub(super) async fn attempt(
    live: &Arc<Live>,
    request: Request<Upload>,
    fresh: bool,
    config: &Config,
) -> Result<Answer, Failed> {
    let started = Instant::now();
    let lease = match live.lease(request.body().carries(), fresh).await {
        Ok(lease) => lease,
        Err(error) => {
            live.counters.failed(error.kind);
            if error.side == Side::Origin {
                live.fails();
            }
            let request = Some(request).filter(|_| error.retry == Retry::Safe);
            return Err(Failed { error, request });
        }
    };
    let connect = started.elapsed();
    let reused = lease.reused;
    let copy = upload::copy(&request);
    let idempotent = request.method().is_idempotent();
    exchange(lease, request, config, connect).await.map_err(|failed| {
        let Failed { error, request } = failed;
        live.counters.failed(error.kind);
        // Connections that lay unused may close at any moment: that alone is no fault of the endpoint.
        if error.side == Side::Origin && !(reused && error.kind == Kind::ClosedEarly) {
            live.fails();
        }
        let request = match error.retry {
            Retry::Safe => request.or(copy),
            Retry::Idempotent if idempotent => copy,
            Retry::Idempotent | Retry::Never => None,
        };
        Failed { error, request }
    })
}

async fn exchange(
    mut lease: Lease,
    mut request: Request<Upload>,
    config: &Config,
    connect: Duration,
) -> Result<Answer, Failed> {
    let sent = Instant::now();
    let reused = lease.reused;
    let endpoint = Arc::clone(&lease.live.common.name);
    let link = lease.link();
    let meter = Arc::clone(&link.meter);
    meter.begin();
    let interim = Arc::clone(&meter);
    hyper::ext::on_informational(&mut request, move |_| interim.interim());
    let method = request.method().clone();
    let progress = request.body().progress();
    let limit = config.first_byte_timeout;
    let answer = link.sender.try_send_request(request);
    let (mut head, incoming) = match in_time(answer, progress, limit).await {
        Some(Ok(answer)) => answer.into_parts(),
        Some(Err(error)) => return Err(classify(error, &meter, &endpoint)),
        None => {
            let detail = format_args!("{endpoint}: no answer within {} ms", limit.as_millis());
            return Err(refuse(Kind::FirstByteTimeout, detail));
        }
    };
    let first_byte = sent.elapsed();
    let flooded = if meter.flooded() { Err("too many interim answers") } else { Ok(()) };
    let shape = flooded
        .and_then(|()| answer::judge(&head, &method))
        .map_err(|why| refuse(Kind::BadAnswer, format_args!("{endpoint}: {why}")))?;
    lease.link().patience = answer::patience(&head.headers);
    clean(&mut head);
    let body = body(incoming, lease, shape.reusable, config.between_bytes_timeout);
    let close_delimited = shape.close_delimited;
    let came_with = head.status;
    Ok(Answer { head, came_with, body, endpoint, reused, connect, first_byte, close_delimited })
}

fn body(incoming: Incoming, lease: Lease, reusable: bool, between_bytes: Duration) -> Body {
    if !http_body::Body::is_end_stream(&incoming) {
        return Body::stream(AnswerBody::new(incoming, lease, reusable, between_bytes));
    }
    lease.live.common.health.works();
    if reusable {
        lease.give_back();
    }
    Body::Empty
}

/// What was between the origin and us stays here.
fn clean(head: &mut response::Parts) {
    answer::settle_length(head);
    forward::clean_response(&mut head.headers);
    // hyper keeps the origin's reason phrase there.
    head.extensions.clear();
}

type Outcome = Result<Response<Incoming>, TrySendError<Request<Upload>>>;

/// Waits for the answer's head; `None` when the origin had `limit` to itself and did not give it.
async fn in_time(
    answer: impl Future<Output = Outcome>,
    progress: Option<Progress>,
    limit: Duration,
) -> Option<Outcome> {
    let mut answer = pin!(answer);
    let mut timer = pin!(sleep(limit));
    loop {
        tokio::select! {
            biased;
            outcome = &mut answer => return Some(outcome),
            () = &mut timer => {
                let later = progress.as_ref().map(|progress| progress.deadline(limit))?;
                if later <= Instant::now() {
                    return None;
                }
                timer.as_mut().reset(later);
            }
        }
    }
}

fn refuse(kind: Kind, detail: impl std::fmt::Display) -> Failed {
    Failed { error: Error::origin(kind, Retry::Never, detail), request: None }
}

/// Says what hyper's error means, from what passed on the wire.
fn classify(mut failed: TrySendError<Request<Upload>>, meter: &Meter, endpoint: &str) -> Failed {
    let request = failed.take_message();
    let error = failed.error();
    let detail = format!("{endpoint}: {}", crate::error::chain(error));
    if let Some(cut) = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Cut>()) {
        return Failed { error: Error::client(Kind::RequestBody, cut), request: None };
    }
    if error.is_body_write_aborted() {
        return Failed { error: Error::client(Kind::RequestBody, detail), request: None };
    }
    if meter.heard() || meter.flooded() || error.is_parse() {
        return refuse(Kind::BadAnswer, detail);
    }
    let unsent = request.is_some() || !meter.spoke();
    let retry = if unsent { Retry::Safe } else { Retry::Idempotent };
    Failed { error: Error::origin(Kind::ClosedEarly, retry, detail), request }
}

/// Whether a connection failure is why nothing was sent: the same endpoint need not be asked again.
pub(super) fn refused_us(error: &Error) -> bool {
    use Kind::{ConnectRefused, ConnectTimeout, Dns, NoEndpoint, Tls, TlsCertificate};
    matches!(error.kind, ConnectRefused | ConnectTimeout | Dns | NoEndpoint | Tls | TlsCertificate)
}
