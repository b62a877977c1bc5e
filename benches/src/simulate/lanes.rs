//! What the model knows of each lane: what it was offered and what it accepted.

use std::collections::HashSet;

use anyhow::{Result, bail, ensure};
use pipeline::Totals;
use record::Position;

use crate::shape::Way;
use crate::witness::{Id, Place};
use crate::world::World;

/// One lane of a route, while it runs and after.
#[derive(Debug, Default)]
pub(crate) struct LaneKnown {
    pub(crate) sink: usize,
    /// What follows the source in the names of its scopes.
    suffix: String,
    pub(crate) offered: u64,
    pub(crate) accepted: Vec<Id>,
    /// Those below what its scope had before it was opened, so that nobody could tell.
    maybe_before: u64,
    /// Those that were handed back when it ended.
    pub(crate) back: HashSet<Id>,
    /// The highest position accepted, by source.
    taken: Vec<Position>,
}

/// Where the records of some lanes are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Places {
    pub(crate) delivered: u64,
    pub(crate) quarantined: u64,
    pub(crate) handed_back: u64,
    /// Nowhere: dropped, or lost by a kill.
    pub(crate) missing: u64,
    /// Of the missing, those with which nothing is wrong.
    pub(crate) missing_sound: u64,
    /// Some of them a watermark covers that came about on other routes.
    maybe_before: u64,
}

impl LaneKnown {
    /// Nothing yet, of a lane of the plan as it is.
    pub(crate) fn new(world: &World, way: Way) -> Self {
        Self {
            sink: world.shape.routes[way.route].sink,
            suffix: world.shape.scope("", way),
            taken: vec![Position::START; world.sources.len()],
            ..Self::default()
        }
    }

    /// The scope of a source.
    pub(crate) fn scope(&self, world: &World, source: usize) -> String {
        format!("{}{}", world.sources[source].scope(), self.suffix)
    }

    /// Whether it took the record.
    pub(crate) fn has(&self, world: &World, id: Id) -> bool {
        let made = world.records.of(id);
        id.is_positioned() && made.position <= self.taken[made.source]
    }

    /// It accepted the record, which may lie below what its scope had before it was opened.
    pub(crate) fn accept(&mut self, world: &World, id: Id, is_below: bool) {
        let made = world.records.of(id);
        let taken = &mut self.taken[made.source];
        *taken = made.position.max(*taken);
        self.accepted.push(id);
        if id.is_positioned() && is_below {
            self.maybe_before += 1;
        }
    }

    /// Where its records are.
    pub(crate) fn places(&self, world: &World) -> Result<Places> {
        let contents = world.sinks[self.sink].contents.lock();
        let mut places = Places {
            maybe_before: self.maybe_before,
            ..Places::default()
        };
        for id in &self.accepted {
            if self.back.contains(id) {
                places.handed_back += 1;
                continue;
            }
            let scope = self.scope(world, world.records.of(*id).source);
            match contents.place_in(&scope, *id) {
                Place::Delivered => places.delivered += 1,
                Place::Quarantined => places.quarantined += 1,
                Place::Nowhere => {
                    places.missing += 1;
                    places.missing_sound += u64::from(!world.is_bad(self.sink, *id));
                }
                Place::Replayed => bail!("row {} of {scope} is replayed in it", id.0),
            }
        }
        Ok(places)
    }
}

impl Places {
    pub(crate) fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.quarantined += other.quarantined;
        self.handed_back += other.handed_back;
        self.missing += other.missing;
        self.missing_sound += other.missing_sound;
        self.maybe_before += other.maybe_before;
    }

    /// What the account says of lanes that have ended. Of up to `unknown` rows it may not know
    /// that they are in the sink, since a panic was all that was heard of their write.
    ///
    /// # Errors
    /// When the records are elsewhere.
    pub(crate) fn check_ended(&self, totals: &Totals, unknown: u64) -> Result<()> {
        let dropped = totals.dropped.total();
        let unknown = unknown + self.maybe_before;
        let holds = totals.delivered + totals.quarantined + dropped
            == self.delivered + self.quarantined + self.missing
            && totals.delivered <= self.delivered + self.maybe_before
            && totals.delivered + unknown >= self.delivered
            && totals.quarantined <= self.quarantined + self.maybe_before
            && totals.quarantined + unknown >= self.quarantined
            && totals.pending == self.handed_back;
        ensure!(
            holds,
            "law 1: delivered {}, quarantined {}, dropped {dropped}, pending {}; of these records, \
             {self:?}",
            totals.delivered,
            totals.quarantined,
            totals.pending
        );
        ensure!(
            self.missing_sound <= dropped - totals.dropped.rejected + self.maybe_before,
            "law 9: {} sound rows are missing, {dropped} were dropped, {} of them rejected",
            self.missing_sound,
            totals.dropped.rejected
        );
        Ok(())
    }

    /// What the account says of a life that was cut off; `kept` updates were handed back before
    /// and count as quarantined.
    ///
    /// # Errors
    /// When more is said to be in the sink than is, or more is missing than can be.
    pub(crate) fn check_killed(&self, totals: &Totals, kept: u64) -> Result<()> {
        ensure!(
            totals.delivered <= self.delivered && totals.quarantined <= self.quarantined + kept,
            "law 1: {} were said to be delivered, {} quarantined, {kept} handed back; of these \
             records, {self:?}",
            totals.delivered,
            totals.quarantined
        );
        ensure!(
            self.missing <= totals.dropped.total() + totals.pending + self.maybe_before,
            "law 1: {} are missing, {} were dropped and {} pending",
            self.missing,
            totals.dropped.total(),
            totals.pending
        );
        Ok(())
    }
}
