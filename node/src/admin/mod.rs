//! The admin listener's service: health, metrics, purges, what is stored, reload.
//!
//! ```text
//! reply.rs   answers and errors as JSON                                health.rs  /livez /readyz /metrics /status
//! purge.rs   /purge /purges  inspect.rs /cache                          reload.rs  /reload
//! compat/    purges in the words of other services                     fleet.rs   /fleet: what nodes tell each other
//! ```
//!
//! It knows the rest of the node only through the functions in [`Admin`].

mod compat;
mod fleet;
mod health;
mod inspect;
mod purge;
mod reload;
mod reply;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body::Body as HttpBody;
use serde::Serialize;
use serde_json::Value;

use crate::http::Response;
use crate::limits;
pub use crate::purge::{CameFrom, Gate};
use crate::purge::{Denied, Fleet, Narrow, Pass, Pending, Purges, carries};

/// Reasons why something is not so; none when it is.
pub type Reasons = Vec<String>;

/// What `GET /status` tells beside name, version, readiness and the purge position.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Facts {
    /// Objects stored, each counted once.
    pub objects: u64,
    /// Bytes in the memory tier.
    pub bytes_memory: u64,
    /// Bytes on disk.
    pub bytes_disk: u64,
    /// Time since the start.
    pub uptime_seconds: u64,
    /// Names of the sites.
    pub sites: Vec<String>,
}

/// A configuration that is in force now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Reloaded {
    /// What changed, in words.
    pub changed: Vec<String>,
    /// What is hardly meant.
    pub warnings: Vec<String>,
}

/// The patterns of the hosts of a site, by its name.
pub type HostsOf = dyn Fn(&str) -> Option<Vec<String>> + Send + Sync;

/// What the admin listener can do, each a function of the part that really does it.
pub struct Admin {
    /// Who may.
    pub gate: Arc<Gate>,
    /// Whether some site answers for a host.
    pub knows: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// The patterns of the hosts of a site, by its name.
    pub hosts: Box<HostsOf>,
    /// Purges and their history.
    pub purges: Arc<Purges>,
    /// The node's part in its fleet, if it has one.
    pub fleet: Option<Arc<Fleet>>,
    /// Why the process should be restarted.
    pub alive: Box<dyn Fn() -> Reasons + Send + Sync>,
    /// Why it should get no traffic now: starting, draining.
    pub ready: Box<dyn Fn() -> Reasons + Send + Sync>,
    /// All metrics as Prometheus text.
    pub metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// What is stored under a normalised URL.
    pub inspect: Box<dyn Fn(String) -> Pending<Value> + Send + Sync>,
    /// Loads the configuration again: what changed, or every reason why it was refused.
    pub reload: Box<dyn Fn() -> Pending<Result<Reloaded, Reasons>> + Send + Sync>,
    /// How much is stored, and for how long it runs.
    pub facts: Box<dyn Fn() -> Facts + Send + Sync>,
}

impl Admin {
    /// Whether the request carries the token of the fleet's nodes.
    fn is_peer(&self, head: &Parts) -> bool {
        self.fleet.as_ref().is_some_and(|fleet| carries(&head.headers, fleet.token()))
    }
}

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Livez,
    Readyz,
    Metrics,
    Status,
    Purge,
    Purges,
    Cache,
    Reload,
    Fleet(fleet::Call),
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/livez" => Self::Livez,
            "/readyz" => Self::Readyz,
            "/metrics" => Self::Metrics,
            "/status" => Self::Status,
            "/purge" => Self::Purge,
            "/purges" => Self::Purges,
            "/cache" => Self::Cache,
            "/reload" => Self::Reload,
            "/fleet" => Self::Fleet(fleet::Call::Told),
            "/fleet/purges" => Self::Fleet(fleet::Call::Purges),
            "/fleet/ids" => Self::Fleet(fleet::Call::Ids),
            _ => return None,
        })
    }

    const fn changes(self) -> bool {
        matches!(self, Self::Purge | Self::Reload)
    }

    /// Whether a token with a scope does.
    const fn narrow(self) -> bool {
        matches!(self, Self::Purge | Self::Status)
    }

    const fn open(self) -> bool {
        matches!(self, Self::Livez | Self::Readyz | Self::Metrics)
    }
}

/// Answers one request to the admin listener. If the request carries a [`CameFrom`] among its extensions, refusals are logged
/// with that address.
pub async fn serve<B>(request: Request<B>, admin: Arc<Admin>) -> Response
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Display,
{
    if let Some(call) = compat::Call::of(request.method(), request.uri().path()) {
        return compat::serve(call, request, &admin).await;
    }
    let Some(route) = Route::of(request.uri().path()) else {
        let hint = "there are /livez /readyz /metrics /status /purge /purges /cache /fleet /reload";
        return reply::error(StatusCode::NOT_FOUND, "no such path", hint);
    };
    let method = request.method();
    let fits =
        if route.changes() { method == Method::POST } else { matches!(*method, Method::GET | Method::HEAD) };
    if !fits {
        return reply::wrong_method(if route.changes() { "POST" } else { "GET, HEAD" });
    }
    let (head, body) = request.into_parts();
    let peer = matches!(route, Route::Fleet(_)) && admin.is_peer(&head);
    let pass = if route.open() || peer { None } else { admin.gate.admits(&head) };
    match &pass {
        _ if peer => {}
        None if !route.open() => return reply::refused(&purge::Refused::unauthorised()),
        Some(pass) if !(pass.is_full() || route.narrow()) => {
            let error = format!("{} needs the token of [admin] token_file", head.uri.path());
            let denied = Denied { why: Narrow::Path, error };
            admin.gate.forbid(&head, &denied);
            return reply::refused(&denied.into());
        }
        _ => {}
    }
    let work = answer(route, head, body, pass, &admin);
    match tokio::time::timeout(limits::ADMIN_WORK_TIMEOUT, work).await {
        Ok(answer) => answer,
        Err(_) => reply::refused(&purge::Refused::late()),
    }
}

async fn answer<B>(route: Route, head: Parts, body: B, pass: Option<Arc<Pass>>, admin: &Admin) -> Response
where
    B: HttpBody<Data = Bytes> + Send,
    B::Error: Display,
{
    match route {
        Route::Livez => health::health(&(admin.alive)()),
        Route::Readyz => health::health(&(admin.ready)()),
        Route::Metrics => health::metrics(&head.headers, (admin.metrics)()),
        Route::Status => health::status(admin),
        Route::Purge => purge::order(&head, body, pass.as_deref(), admin).await,
        Route::Purges => purge::history(head.uri.query(), admin).await,
        Route::Cache => inspect::inspect(head.uri.query(), admin).await,
        Route::Reload => reload::reload(admin).await,
        Route::Fleet(call) => fleet::serve(call, &head, admin).await,
    }
}
