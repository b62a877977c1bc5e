//! Records are handed over, and the model learns which lane took which.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use pipeline::source::Item;
use pipeline::{Accepted, LaneState, Stats};
use sinks::ScopeName;
use tokio::time::Instant;

use crate::life::Life;
use crate::shape::{SourceKind, Way};
use crate::witness::Id;
use crate::world::World;

/// What of an offer goes to one lane, and whether its scope had each when it was opened.
type Parts = BTreeMap<Way, Vec<(Id, bool)>>;

impl Life {
    /// Offers the next records of a source.
    pub(crate) fn offer(&mut self, world: &mut World, index: usize, count: usize) -> Result<()> {
        if self.doors[index].is_none() {
            return Ok(());
        }
        let source = &mut world.sources[index];
        let ids = source.next(count, &mut world.records, &mut world.random);
        let parts = self.parts(world, &ids);
        let before = self.pipeline.stats();
        let said = self.hand_over(world, index, &ids);
        let after = self.pipeline.stats();
        let refused = self.learn(world, &parts, &before, &after)?;
        if let Some(said) = &said {
            let said: Vec<Id> = said.refused.iter().map(|index| ids[*index]).collect();
            ensure!(
                said == refused,
                "law 1: the source is told that {said:?} were refused, and the lanes refused \
                 {refused:?}"
            );
        }
        let source = &mut world.sources[index];
        source.refused(&refused);
        let name = &source.shape.name;
        world.trace.note(format_args!(
            "{name} offers {count} from {:?}, refused {:?}: {:?}",
            ids.first().map(|id| id.0),
            refused.iter().map(|id| id.0).collect::<Vec<_>>(),
            said.map(|said| (said.accepted, said.dropped, said.refusal)),
        ));
        world.trace.count(|tally| tally.offered += count as u64);
        Ok(())
    }

    /// Where the records go. A lane that has one already does not get it again.
    fn parts(&self, world: &World, ids: &[Id]) -> Parts {
        let mut parts = Parts::new();
        for id in ids {
            let made = world.records.of(*id);
            for way in world.shape.ways(made) {
                let lane = &self.lanes[way.route][way.lane];
                let scope = lane.scope(world, made.source);
                if !lane.has(world, *id) {
                    let sink = &world.sinks[lane.sink];
                    let mark = || sink.contents.lock().mark(&ScopeName::new(&scope));
                    let opened = self.links[lane.sink].opened(&scope);
                    let opened = opened.unwrap_or_else(mark);
                    let is_below = id.is_positioned() && made.position <= opened;
                    parts.entry(way).or_default().push((*id, is_below));
                }
            }
        }
        parts
    }

    fn hand_over(&mut self, world: &mut World, index: usize, ids: &[Id]) -> Option<Accepted> {
        let intake = self.doors[index].clone()?;
        let now = Instant::now().into_std();
        let content = |id: &Id| world.records.of(*id).content();
        match world.sources[index].shape.kind {
            SourceKind::Positioned => {
                let item = |id: &Id| Item {
                    position: world.records.of(*id).position,
                    content: content(id),
                };
                intake.push_items(now, ids.iter().map(item).collect()).ok()
            }
            SourceKind::Numbered => {
                let contents = ids.iter().map(content).collect();
                match world.random.u8(0..4) {
                    0 => {
                        let _ = intake.try_push_all(now, contents);
                        None
                    }
                    _ => intake.push(now, contents).ok(),
                }
            }
            SourceKind::Sender => {
                let sender = self.pipeline.sender();
                let records = ids.iter().filter_map(|id| content(id).ok());
                match world.random.u8(0..3) {
                    0 => sender.send_many(records).ok(),
                    1 => {
                        for (id, record) in ids.iter().zip(records) {
                            if let Ok(tracked) = sender.send_tracked(record) {
                                self.tracked.push((*id, tracked));
                            }
                        }
                        None
                    }
                    _ => {
                        // Whether one was refused, the lanes tell.
                        records.for_each(|record| drop(sender.send(record)));
                        None
                    }
                }
            }
        }
    }

    /// Which records each lane took: what it refuses of an offer are the last ones, so their
    /// number says all. Gives those that one lane at least refused, ascending; lanes of a sink that
    /// is lost count only for records that had no other lane.
    fn learn(
        &mut self,
        world: &mut World,
        parts: &Parts,
        before: &Stats,
        after: &Stats,
    ) -> Result<Vec<Id>> {
        let mut refused = Vec::new();
        let (mut unreachable, mut offered_to) = (Vec::new(), Vec::new());
        for (way, part) in parts {
            let at = |stats: &Stats| stats.routes[way.route].lanes[way.lane].totals;
            let has_ended = after.routes[way.route].lanes[way.lane].state == LaneState::Ended;
            let (before, after) = (at(before), at(after));
            let offered = after.offered - before.offered;
            let mut part = part.clone();
            let fresh = part.iter().filter(|(_, is_below)| !is_below).count();
            let lane = &self.lanes[way.route][way.lane];
            let was_rerouted = world.sinks[lane.sink].contents.lock().was_rerouted;
            // After a change of routes a scope may have been open before, and not be so again yet.
            if offered == fresh as u64 || !was_rerouted {
                part.retain(|(_, is_below)| !is_below);
            }
            ensure!(
                offered == part.len() as u64,
                "law 1: {offered} of {} records were offered to {way:?}",
                part.len()
            );
            let accepted = usize::try_from(after.accepted - before.accepted)?;
            ensure!(
                accepted <= part.len(),
                "law 1: {accepted} of {offered} accepted"
            );
            let mut lane = std::mem::take(&mut self.lanes[way.route][way.lane]);
            lane.offered += offered;
            for (id, is_below) in &part[..accepted] {
                lane.accept(world, *id, *is_below);
                world.accepted.insert((lane.sink, *id));
            }
            self.lanes[way.route][way.lane] = lane;
            offered_to.extend(part.iter().map(|(id, _)| *id));
            let ids = part[accepted..].iter().map(|(id, _)| *id);
            match has_ended {
                true => unreachable.extend(ids),
                false => refused.extend(ids),
            }
        }
        let lanes_of = |id: Id| offered_to.iter().filter(|other| **other == id).count();
        let not_taken = |id: Id| {
            let all = refused.iter().chain(&unreachable);
            all.filter(|other| **other == id).count()
        };
        let alone = unreachable
            .iter()
            .filter(|id| not_taken(**id) == lanes_of(**id));
        let alone: Vec<Id> = alone.copied().collect();
        refused.extend(alone);
        refused.sort_unstable();
        refused.dedup();
        Ok(refused)
    }
}
