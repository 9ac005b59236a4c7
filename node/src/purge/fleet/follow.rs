//! The tasks of a fleet: read each log, apply what is new, remember the place, judge.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;

use super::judge::{self, Phase, Verdict};
use super::state::Place;
use super::{Fleet, Page, Source};
use crate::{limits, tasks};

impl Fleet {
    /// Starts to read the logs of all peers, and goes on until [`Fleet::end`].
    pub fn run(self: &Arc<Self>) {
        for index in 0..self.sources.len() {
            let fleet = Arc::clone(self);
            tasks::spawn("fleet", async move {
                tokio::select! {
                    () = fleet.follow(index) => {}
                    () = fleet.over.cancelled() => {}
                }
            });
        }
        let fleet = Arc::clone(self);
        tasks::spawn("fleet", async move {
            tokio::select! {
                () = fleet.look_after() => {}
                () = fleet.over.cancelled() => {}
            }
        });
    }

    /// What has to happen although no source says anything: the end of the time to catch up.
    async fn look_after(&self) {
        let left = self.config.catch_up_timeout.saturating_sub(self.started.elapsed());
        tokio::time::sleep(left).await;
        loop {
            // Again and again: what is to be done then needs the disk, which may not take it at once.
            self.settle().await;
            tokio::time::sleep(limits::FLEET_PAUSE_MAX).await;
        }
    }

    async fn follow(&self, index: usize) {
        let Some(source) = self.sources.get(index) else { return };
        let mut pause = limits::FLEET_PAUSE_MIN;
        let mut compared = tokio::time::Instant::now();
        loop {
            let pulled = self.pull(source).await;
            {
                let mut about = source.about.lock();
                about.tried = true;
                if pulled.is_err() && about.read {
                    tracing::warn!(peer = source.peer.url, "the purges of a peer cannot be read");
                }
                about.error = pulled.clone().err();
                about.read &= pulled.is_ok();
            }
            self.settle().await;
            if pulled.is_err() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(limits::FLEET_PAUSE_MAX);
                continue;
            }
            pause = limits::FLEET_PAUSE_MIN;
            if compared.elapsed() >= limits::FLEET_COMPARE_PAUSE {
                compared = tokio::time::Instant::now();
                if let Err(error) = self.compare(source).await {
                    tracing::warn!(peer = source.peer.url, error, "logs were not compared");
                }
            }
        }
    }

    /// Reads what comes next in a source's log.
    async fn pull(&self, source: &Source) -> Result<(), String> {
        let place = self.state.lock().place(&source.peer.url);
        // The first answer comes at once, so that it is known where this node stands.
        let wait = if source.about.lock().read { limits::FLEET_WAIT } else { Duration::ZERO };
        let node = self.purges.node();
        let page = source.peer.purges(&place.log, place.sequence, wait, node).await?;
        self.take(source, &place, page).await
    }

    /// Applies a page, and remembers its end once that is durable.
    pub(super) async fn take(&self, source: &Source, place: &Place, page: Page) -> Result<(), String> {
        if *page.node == **self.purges.node() {
            return Err(format!("its node.name is {:?}, as our own", page.node));
        }
        let Page { node, log, complete_after, upto, more, caught_up, purges } = page;
        // A log that has gone back is another one: its directory was put back from a copy.
        let same = log == place.log && upto >= place.sequence;
        let after = if same { place.sequence } else { 0 };
        let gap = complete_after > after;
        if log == place.log && !same {
            let begun = Place { log, sequence: 0, gap: place.gap };
            self.remember(&source.peer.url, begun).await;
            return Ok(());
        }
        let applied = join_all(purges.into_iter().map(|recorded| self.purges.accept(recorded))).await;
        let (mut fetched, mut known) = (0, 0);
        for applied in applied {
            match applied.map_err(|failed| format!("a purge was not applied: {failed}"))? {
                true => fetched += 1,
                false => known += 1,
            }
        }
        Self::count(&self.counts.fetched, fetched);
        Self::count(&self.counts.known, known);
        let next = Place { log, sequence: upto, gap: place.gap || gap };
        if next != *place {
            self.remember(&source.peer.url, next).await;
        }
        let mut about = source.about.lock();
        about.node = Some(node);
        about.caught_up = caught_up;
        if !more && !about.read {
            about.read = true;
            tracing::info!(peer = source.peer.url, fetched, upto, gap, "in step with a peer");
        }
        Ok(())
    }

    pub(super) async fn remember(&self, source: &str, place: Place) {
        self.state.lock().sources.insert(source.to_owned(), place);
        if let Err(error) = self.save().await {
            // It is read again after a restart; an id that is known does nothing.
            tracing::warn!(error, "the place in a peer's log was not kept");
        }
    }

    async fn save(&self) -> Result<(), String> {
        let _one_at_a_time = self.saving.lock().await;
        let state = self.state.lock().clone();
        let text = serde_json::to_string(&state).map_err(|error| error.to_string())?;
        let memo = self.memo.clone();
        let written = tokio::task::spawn_blocking(move || memo.write(&text)).await;
        written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    /// Compares the ids of a whole log with our own, and applies what is missing. That should be nothing.
    async fn compare(&self, source: &Source) -> Result<(), String> {
        let theirs = source.peer.ids().await?;
        let missing = theirs.ids.into_iter().filter(|(_, id)| !self.purges.knows(id));
        for (sequence, id) in missing.take(limits::FLEET_COMPARED_MAX) {
            let after = sequence.saturating_sub(1);
            let page = source.peer.purges(&theirs.log, after, Duration::ZERO, self.purges.node()).await?;
            let Some(recorded) = page.purges.into_iter().find(|recorded| recorded.seq.0 == sequence) else {
                continue;
            };
            if self.purges.accept(recorded).await.map_err(|failed| failed.to_string())? {
                tracing::error!(peer = source.peer.url, id, "a purge was missing");
                Self::count(&self.counts.missing, 1);
            }
        }
        Ok(())
    }

    /// Does what the readings of all sources call for.
    pub(super) async fn settle(&self) {
        let _one_at_a_time = self.settling.lock().await;
        let before = *self.phase.lock();
        let verdict = judge::judge(before, &self.readings(), self.is_late());
        let done = match verdict {
            Verdict::Wait => return,
            Verdict::Believe if !self.damaged.load(Ordering::Relaxed) => self.believe().await,
            Verdict::Believe | Verdict::Doubt => self.doubt().await,
            Verdict::GoAlone => self.go_alone().await,
        };
        match done {
            Ok(phase) => {
                *self.phase.lock() = phase;
                if before == Phase::Starting {
                    let after = self.started.elapsed();
                    tracing::info!(?phase, seconds = after.as_secs_f64(), "caught up with the fleet");
                }
            }
            // What is doubted stays so; the next turn tries again.
            Err(error) => tracing::error!(error, "the fence was not set: everything stored is doubted"),
        }
    }

    async fn believe(&self) -> Result<Phase, String> {
        if self.close_gaps() {
            self.save().await?;
        }
        self.fence.set(self.state.lock().fence);
        Ok(Phase::InStep)
    }

    /// What is stored now is served only when the origin has confirmed it, also after a restart.
    async fn doubt(&self) -> Result<Phase, String> {
        self.fence.doubt_all();
        let position = self.mark("purges may have been missed for good").await?;
        self.state.lock().fence = position;
        self.close_gaps();
        self.save().await?;
        self.damaged.store(false, Ordering::Relaxed);
        self.fence.set(position);
        Ok(Phase::InStep)
    }

    /// The same until somebody can tell: a restart begins with asking again.
    async fn go_alone(&self) -> Result<Phase, String> {
        let position = self.mark("no peer could be asked for missed purges").await?;
        self.fence.set(position);
        Ok(Phase::Alone)
    }

    /// A position of its own, so that what was asked for before can be told from what is asked for now.
    async fn mark(&self, why: &str) -> Result<u64, String> {
        Self::count(&self.counts.doubts, 1);
        let reason = format!("{why}: what was stored before is revalidated before it is served");
        tracing::warn!(reason, "everything stored is doubted");
        self.purges.mark(&reason).await.map_err(|failed| failed.to_string())
    }

    /// What was missing is known to be nothing, or the fence stands for it. Whether there was any.
    fn close_gaps(&self) -> bool {
        let mut state = self.state.lock();
        let mut any = false;
        for place in state.sources.values_mut() {
            any |= std::mem::take(&mut place.gap);
        }
        any
    }
}
