//! What the admin listener may do.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Control, gather, inspect, reload, spelling};
use crate::admin::{Admin, Facts, Reasons};

/// None where there is no admin listener.
pub(super) fn admin(control: &Arc<Control>) -> Option<Admin> {
    let gate = Arc::clone(control.gate.as_ref()?);
    let at = || Arc::clone(control);
    let (alive_at, ready_at, metrics_at, inspect_at, reload_at, facts_at, knows_at, hosts_at) =
        (at(), at(), at(), at(), at(), at(), at(), at());
    Some(Admin {
        gate,
        knows: Box::new(move |host| knows(&knows_at, host)),
        hosts: Box::new(move |site| hosts(&hosts_at, site)),
        purges: Arc::clone(&control.purges),
        fleet: control.fleet.clone(),
        alive: Box::new(move || alive(&alive_at)),
        ready: Box::new(move || ready(&ready_at)),
        metrics: Box::new(move || metrics_at.core.metrics.encode()),
        inspect: Box::new(move |url| {
            let core = Arc::clone(&inspect_at.core);
            let url = spelling::counted(&inspect_at, &url).unwrap_or(url);
            Box::pin(async move { inspect::inspect(&core, &url).await })
        }),
        reload: Box::new(move || {
            let control = Arc::clone(&reload_at);
            Box::pin(async move { reload::reload(&control).await })
        }),
        facts: Box::new(move || facts(&facts_at)),
    })
}

fn alive(control: &Control) -> Reasons {
    let (working, all) = (control.working.load(Ordering::Relaxed), control.workers.len());
    if control.shared.is_draining() || working == all {
        return Reasons::new();
    }
    vec![format!("{} of {all} workers ended; restart the node", all - working)]
}

fn ready(control: &Control) -> Reasons {
    if control.shared.is_draining() {
        return vec!["draining".into()];
    }
    control.fleet.as_ref().map_or_else(Reasons::new, |fleet| fleet.reasons())
}

/// Whether some site answers for `host`.
fn knows(control: &Control, host: &str) -> bool {
    control.workers.first().is_some_and(|worker| worker.sites.load().find(host).is_some())
}

/// The patterns of the hosts of the site `name`.
fn hosts(control: &Control, name: &str) -> Option<Vec<String>> {
    let config = control.config.lock();
    config.sites.iter().find(|site| site.name == name).map(|site| site.hosts.clone())
}

fn facts(control: &Control) -> Facts {
    let totals = gather::totals(control);
    Facts {
        objects: totals.objects,
        bytes_memory: totals.bytes_memory,
        bytes_disk: totals.bytes_disk,
        uptime_seconds: control.started.elapsed().as_secs(),
        sites: control.config.lock().sites.iter().map(|site| site.name.clone()).collect(),
    }
}
