//! Reload: another configuration while everything runs, or none at all.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Control, load_certificates};
use crate::access_log::Log;
use crate::origin::Pool;
use crate::route::Sites;
use crate::telemetry::event;
use crate::worker::{Core, Site, Worker};
use crate::{config, route};

/// Reads the file again and swaps what changed. Either all of it is in force afterwards, or nothing is.
///
/// # Errors
/// Every reason why the file was refused; the old configuration stays.
pub(super) async fn reload(control: &Arc<Control>) -> Result<Vec<String>, Vec<String>> {
    let _one_at_a_time = control.reloading.lock().await;
    let at = Arc::clone(control);
    // Files are read, so not on this thread: it may be serving the admin listener.
    let changed = tokio::task::spawn_blocking(move || swap(&at)).await;
    let changed = changed.unwrap_or_else(|error| Err(vec![error.to_string()]));
    match &changed {
        Ok(words) => event::Reloaded::Applied(&words.join("; ")).emit(&control.core.metrics),
        Err(reasons) => event::Reloaded::Refused(&reasons.join("; ")).emit(&control.core.metrics),
    }
    changed
}

fn swap(control: &Control) -> Result<Vec<String>, Vec<String>> {
    let loaded = config::load(&control.path)
        .map_err(|mistakes| mistakes.0.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let mut new = loaded.node;
    let old = control.config.lock().clone();
    let changes = config::reload::apply(&old, &mut new);
    let certificates = load_certificates(&new).map_err(|error| vec![error])?;
    let sites = sites(&control.core, &new, &control.workers).map_err(|error| vec![error])?;
    if new.log == old.log {
        control.core.log.load().reopen();
    } else {
        let log = Log::open(&new.log).map_err(|error| vec![format!("log.access: {error}")])?;
        control.core.log.store(Arc::new(log));
    }
    for (worker, sites) in control.workers.iter().zip(sites) {
        worker.sites.store(Arc::new(sites));
    }
    control.shared.set_certificates(certificates);
    control.shared.set_limits(new.limits.clone());
    if let (Some(admin), Some(config)) = (control.admin.lock().as_ref(), &new.admin) {
        admin.gate.replace(&config.token);
    }
    *control.config.lock() = new;
    let restart = changes.needs_restart.into_iter().map(|what| format!("{what} (needs a restart)"));
    Ok(changes.applied.into_iter().chain(restart).collect())
}

/// The sites of every worker. Where a site's origin is as before, its connections stay.
pub(super) fn sites(
    core: &Core,
    config: &config::Node,
    before: &[Arc<Worker>],
) -> Result<Vec<Sites<Arc<Site>>>, String> {
    let kept: Vec<_> = before.iter().map(|worker| worker.sites.load_full()).collect();
    let mut fresh: HashMap<&str, Pool> = HashMap::new();
    for site in &config.sites {
        let pool = Pool::new(site.origin.clone(), core.clock.clone())
            .map_err(|error| format!("site {}: {error}", site.name))?;
        fresh.insert(&site.name, pool);
    }
    let shared: Vec<Arc<route::SiteConfig>> = config.sites.iter().cloned().map(Arc::new).collect();
    let for_worker = |index: usize| {
        Sites::new(shared.iter().map(|site| {
            let same = kept.get(index).and_then(|sites| {
                sites.iter().find(|old| old.config.name == site.name && old.config.origin == site.origin)
            });
            let pool =
                same.map_or_else(|| Arc::new(fresh[site.name.as_str()].fork()), |old| Arc::clone(&old.pool));
            let metrics = core.metrics.site(&site.name);
            (site.hosts.clone(), Arc::new(Site { config: Arc::clone(site), pool, metrics }))
        }))
    };
    Ok((0..config.workers.max(1)).map(for_worker).collect())
}
