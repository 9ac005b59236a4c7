//! The first part of an answer that nothing was known of: its head is stored, its bytes become the first blocks.

use std::sync::Arc;

use http::response;
use larder_store::Writer;

use crate::cache::Entry;
use crate::cache::blocks::{InBlocks, Place};
use crate::cache::lay::Told;
use crate::cache::pieces::{exactly, pour_into};
use crate::cache::stored::Stored;
use crate::coalesce::{Pilot, Seat};
use crate::http::Body;
use crate::outcome::{Filling, Outcome};
use crate::policy::partial::Part;
use crate::status::NotStored;
use crate::telemetry::event;
use crate::worker::{Site, Worker};

/// An answer that lies in blocks now, and the blocks that are coming in.
pub struct Landing {
    /// Its head.
    pub entry: Arc<Entry>,
    /// The secondary key it is stored under.
    pub variant: String,
    /// What it varies on.
    pub names: Option<crate::policy::vary::VaryNames>,
    pieces: Vec<(Writer<Stored>, u64)>,
    /// Others may join until these are dropped.
    pilots: Vec<Pilot<Outcome>>,
}

/// Stores the head that the whole would have, and begins the blocks that `part` has bytes of.
///
/// # Errors
/// Why not.
pub async fn land(
    worker: &Worker,
    site: &Site,
    told: &Told<'_>,
    head: &response::Parts,
    part: &Part,
) -> Result<Landing, NotStored> {
    let core = &worker.core;
    if part.complete > core.object_max {
        return Err(NotStored::TooLarge);
    }
    let blocks = InBlocks { complete: part.complete, size: site.config.range_block };
    let (entry, at) = core.cache.lay_in_blocks(&site.config.policy, told, head, blocks).await?;
    let Some(answer) = entry.head().answer() else { return Err(NotStored::StoreBusy) };
    let (mut pieces, mut pilots) = (Vec::new(), Vec::new());
    for number in blocks.numbers(&part.range) {
        let block = blocks.range(number);
        let range = block.start.max(part.range.start)..block.end.min(part.range.end);
        let place = Place { url: told.url, variant: &at.variant, version: answer.version, number };
        let writer = core.cache.begin_block(&place, answer, &range, told.born);
        // Nobody else knows of this version yet.
        if let Seat::Pilot(pilot) = core.flights.board(place.flight(), told.born.0, told.came) {
            pilot.land(Outcome::Filling(Filling { tap: writer.tap(), range: range.clone() }));
            pilots.push(pilot);
        }
        pieces.push((writer, range.end - range.start));
    }
    Ok(Landing { variant: at.variant, names: at.names, pieces, pilots, entry })
}

impl Landing {
    /// Pours the bytes in; whoever reads along sees how they end.
    pub async fn fill(self, worker: &Worker, url: &str, body: Body) {
        let length = self.pieces.iter().map(|(_, length)| length).sum();
        if let Err(why) = pour_into(vec![exactly(body, length)], self.pieces).await {
            event::NotStored { reason: why.as_str(), url }.emit(&worker.core.metrics);
        }
        drop(self.pilots);
    }
}
