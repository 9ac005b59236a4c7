//! Reload: another configuration while everything runs, or none at all.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Control, StartError, start};
use crate::access_log::Target;
use crate::admin::{Reasons, Reloaded};
use crate::clock::Clock;
use crate::origin::Pool;
use crate::route::{SiteConfig, Sites};
use crate::telemetry::event;
use crate::worker::{Core, Site, Worker};
use crate::{access_log, config, listener};

/// Reads the file again and swaps what changed. Either all of it is in force afterwards, or nothing is.
///
/// # Errors
/// Every reason why the file was refused; the old configuration stays.
pub(super) async fn reload(control: &Arc<Control>) -> Result<Reloaded, Reasons> {
    let _one_at_a_time = control.reloading.lock().await;
    let at = Arc::clone(control);
    // Files are read, so not on this thread: it may be serving the admin listener.
    let done = tokio::task::spawn_blocking(move || Prepared::new(&at).map(|prepared| prepared.swap(&at)));
    let reloaded = done.await.unwrap_or_else(|error| Err(vec![error.to_string()]));
    match &reloaded {
        Ok(Reloaded { changed, warnings }) => event::Reloaded::Applied { changed, warnings },
        Err(reasons) => event::Reloaded::Refused(reasons),
    }
    .emit(&control.core.metrics);
    reloaded
}

/// Everything that may fail has been done.
struct Prepared {
    new: config::Node,
    told: Reloaded,
    pools: Pools,
    /// Where their files changed.
    certificates: Option<listener::Certificates>,
    /// Where its target or its form changed.
    log: Option<access_log::Log>,
}

/// New pools by the names of their sites; a site without one keeps what it has.
type Pools = HashMap<String, Pool>;

impl Prepared {
    fn new(control: &Control) -> Result<Self, Reasons> {
        let loaded = config::load(&control.path).map_err(|mistakes| mistakes.lines())?;
        let (old, mut new) = (control.config.lock().clone(), loaded.node);
        let mut changed = config::reload::apply(&old, &mut new).lines();
        let refused = |error: StartError| vec![error.to_string()];
        let certificates = if new.keeps_certificates_of(&old) {
            None
        } else {
            Some(start::certificates(&new).map_err(refused)?)
        };
        let pools = pools(&new, Some(&old), &control.core.clock).map_err(refused)?;
        let log = if new.log == old.log { None } else { Some(start::open_log(&new.log).map_err(refused)?) };
        if let Some(node_log) = control.log.as_ref().filter(|_| new.log_level != old.log_level) {
            // The last step that may fail, and it changes nothing when it does.
            node_log.set_level(&new.log_level.to_string()).map_err(|error| refused(error.into()))?;
        }
        if log.is_none() && matches!(new.log.target, Target::File(_)) {
            changed.push("log.access: reopened".into());
        }
        if changed.is_empty() {
            changed.push("nothing is different".into());
        }
        let warnings = loaded.warnings.iter().map(ToString::to_string).collect();
        Ok(Self { new, told: Reloaded { changed, warnings }, pools, certificates, log })
    }

    fn swap(self, control: &Control) -> Reloaded {
        let Self { new, told, pools, certificates, log } = self;
        match log {
            Some(log) => control.core.log.store(Arc::new(log)),
            None => control.core.log.load().reopen(),
        }
        let sites = sites(&control.core, &new, &pools, &control.workers);
        for (worker, sites) in control.workers.iter().zip(sites) {
            worker.sites.store(Arc::new(sites));
        }
        if let Some(certificates) = certificates {
            *control.certificates.lock() = certificates.loaded().to_vec();
            control.shared.set_certificates(certificates);
        }
        control.core.cache.store().arrange(&new.cache.shares, new.cache.pinned_max);
        control.shared.set_limits(new.limits.clone());
        control.admin_shared.set_limits(start::admin_limits(&new));
        if let (Some(gate), Some(admin)) = (&control.gate, &new.admin) {
            gate.replace(admin.all_tokens());
        }
        control.core.metrics.keep_sites(|name| new.sites.iter().any(|site| site.name == name));
        *control.config.lock() = new;
        told
    }
}

/// A pool for each site whose origin is not as `before`.
pub(super) fn pools(
    config: &config::Node,
    before: Option<&config::Node>,
    clock: &Clock,
) -> Result<Pools, StartError> {
    let mut pools = Pools::new();
    for site in &config.sites {
        if before.is_some_and(|before| config.keeps_origin_of(before, &site.name)) {
            continue;
        }
        let pool = Pool::new(site.origin.clone(), clock.clone());
        let pool = pool.map_err(|error| StartError::Origin(site.name.clone(), error))?;
        pools.insert(site.name.clone(), pool);
    }
    Ok(pools)
}

/// The sites of every worker: their pools are forks of `pools`, or those they have `before`.
pub(super) fn sites(
    core: &Core,
    config: &config::Node,
    pools: &Pools,
    before: &[Arc<Worker>],
) -> Vec<Sites<Arc<Site>>> {
    let shared: Vec<Arc<SiteConfig>> = config.sites.iter().cloned().map(Arc::new).collect();
    let for_worker = |index: usize| {
        let kept = before.get(index).map(|worker| worker.sites.load_full());
        Sites::new(shared.iter().filter_map(|site| {
            let old = || kept.as_ref()?.iter().find(|old| old.config.name == site.name);
            let pool = match pools.get(&site.name) {
                Some(pool) => Arc::new(pool.fork()),
                None => Arc::clone(&old()?.pool),
            };
            let metrics = core.metrics.site(&site.name);
            Some((site.hosts.clone(), Arc::new(Site::new(Arc::clone(site), pool, metrics))))
        }))
    };
    (0..config.workers.max(1)).map(for_worker).collect()
}
