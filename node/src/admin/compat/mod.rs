//! Purges in the words of other services, so that the plugins a CMS has already work with a node.
//!
//! ```text
//! fastly.rs  POST /purge/URL, /service/ID/purge[/KEY], /service/ID/purge_all     cloudflare.rs  POST /client/v4/zones/ID/purge_cache
//! draft.rs   POST /invalidate, as draft-nottingham-http-invalidation has it
//! ```
//!
//! Each turns what it is sent into the body of a `POST /purge`, so that tokens, bounds and checks are the same, and the
//! receipt into the answer its clients expect.

mod cloudflare;
mod draft;
mod fastly;
#[cfg(test)]
mod tests;

use std::fmt::Display;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body::Body as HttpBody;
use serde_json::{Value, json};

use super::purge::{self, Refused};
use super::{Admin, reply};
use crate::http::Response;
use crate::limits;
use crate::purge::{Narrow, Pass, Receipt};

/// What is asked for, and in whose words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Call {
    Fastly(fastly::Call),
    Cloudflare { zone: String },
    Invalidate,
    Describe,
}

impl Call {
    /// None for the node's own paths.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        if let Some(zone) = cloudflare::zone(path) {
            return matches!(*method, Method::POST | Method::DELETE)
                .then(|| Self::Cloudflare { zone: zone.to_owned() });
        }
        match (method, path) {
            (&Method::POST, draft::PATH) => Some(Self::Invalidate),
            (&Method::GET, draft::PATH) => Some(Self::Describe),
            _ => fastly::Call::of(method, path).map(Self::Fastly),
        }
    }

    /// The body of the `POST /purge` that is meant.
    fn order(&self, head: &Parts, body: &[u8], admin: &Admin) -> Result<Value, Refused> {
        match self {
            Self::Fastly(call) => call.order(head, body, admin),
            Self::Cloudflare { zone } => cloudflare::order(zone, body, admin),
            Self::Invalidate | Self::Describe => draft::order(body),
        }
    }

    fn done(&self, order: &Value, receipt: &Receipt) -> Response {
        match self {
            Self::Fastly(call) => call.done(order, receipt),
            Self::Cloudflare { .. } => cloudflare::done(receipt),
            Self::Invalidate | Self::Describe => draft::done(order),
        }
    }

    fn refused(&self, refused: &Refused) -> Response {
        match self {
            Self::Fastly(_) => fastly::refused(refused),
            Self::Cloudflare { .. } => cloudflare::refused(refused),
            Self::Invalidate | Self::Describe => reply::refused(refused),
        }
    }
}

/// Answers a request in the words of its service.
pub(super) async fn serve<B>(call: Call, request: Request<B>, admin: &Admin) -> Response
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Display,
{
    let (head, body) = request.into_parts();
    let Some(pass) = admin.gate.admits(&head) else { return call.refused(&Refused::unauthorised()) };
    if call == Call::Describe {
        return draft::describe(&head, admin);
    }
    let work = carry(&call, &head, body, &pass, admin);
    let done = tokio::time::timeout(limits::ADMIN_WORK_TIMEOUT, work).await;
    match done.unwrap_or_else(|_| Err(Refused::late())) {
        Ok((order, receipt)) => call.done(&order, &receipt),
        Err(refused) => call.refused(&refused),
    }
}

async fn carry<B>(
    call: &Call,
    head: &Parts,
    body: B,
    pass: &Pass,
    admin: &Admin,
) -> Result<(Value, Receipt), Refused>
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Display,
{
    let body = purge::read(body).await?;
    let written = call.order(head, &body, admin)?;
    let order = admin.purges.parse(written.to_string().as_bytes())?;
    let receipt = purge::place(head, order, pass, admin).await?;
    Ok((written, receipt))
}

/// Everything of the site that `id` names, or of all of them.
fn everything(id: &str, admin: &Admin) -> Result<(&'static str, Vec<String>), Refused> {
    if id == "all" {
        return Ok(("all", Vec::new()));
    }
    let Some(hosts) = (admin.hosts)(id) else {
        let error = format!("no site is named {id:?}");
        return Err(Refused::new(StatusCode::NOT_FOUND, error, "use the name of a site as id, or \"all\""));
    };
    if hosts.iter().any(|host| host == "*") {
        return Ok(("all", Vec::new()));
    }
    match hosts.iter().find(|host| host.starts_with("*.")) {
        None => Ok(("host", hosts)),
        Some(host) => {
            let error = format!("the site {id:?} has the hosts {host:?}, which cannot be purged by name");
            let hint = "purge its tags or prefixes, or \"all\"";
            Err(Refused::new(StatusCode::BAD_REQUEST, error, hint))
        }
    }
}

/// A URL or its beginning that was written without a scheme, with both.
fn with_schemes(text: &str) -> Vec<String> {
    if text.contains("://") {
        return vec![text.to_owned()];
    }
    ["http", "https"].map(|scheme| format!("{scheme}://{text}")).to_vec()
}

fn purge_of(kind: &str, selectors: impl Into<Value>, soft: bool) -> Value {
    json!({ "kind": kind, "selectors": selectors.into(), "soft": soft })
}

/// Whether the token is what was wrong.
fn is_about_the_token(refused: &Refused) -> bool {
    refused.status == StatusCode::UNAUTHORIZED || refused.narrow.is_some_and(|why| why != Narrow::Rate)
}
