//! A running route: its lanes, and the memory that they share.

use std::sync::Arc;

use buffer_core::PushedMany;
use parking_lot::Mutex;
use record::Priority;
use sinks::{Entry, ScopeIndex, ScopeName};

use crate::PipelineError;
use crate::budget::{Budget, Moves, Room};
use crate::buffer::Fill;
use crate::queue::Queue;
use crate::sink::Sink;
use crate::spec::{LaneSpec, RouteSpec, WhenFull, check_expiry};
use crate::telemetry::Telemetry;
use crate::tracked::DropReason;

pub(crate) struct Route {
    pub(crate) spec: RouteSpec,
    pub(crate) sink: Arc<Sink>,
    /// The most urgent first.
    pub(crate) lanes: Vec<Lane>,
    /// The lane of each priority, by its number.
    lane_of: [usize; 4],
    budget: Mutex<Budget>,
    /// The scopes that were opened for it.
    scopes: Mutex<Vec<ScopeIndex>>,
}

/// A lane with its queues, among which scopes are dealt out.
pub(crate) struct Lane {
    pub(crate) spec: LaneSpec,
    pub(crate) queues: Vec<Arc<Queue>>,
}

impl Route {
    /// Starts the queues of all its lanes.
    pub(crate) fn start(
        spec: &RouteSpec,
        sink: &Arc<Sink>,
        telemetry: &Telemetry,
        random: &mut fastrand::Rng,
    ) -> Result<Arc<Self>, PipelineError> {
        let mut specs = spec.lanes.clone().unwrap_or_else(|| sink.lanes.clone());
        check_expiry(spec, &specs)?;
        specs.sort_by_key(|lane| std::cmp::Reverse(lane.priority));
        let mut started = Started(Vec::new());
        let mut lanes = Vec::with_capacity(specs.len());
        for lane in specs {
            let metrics = telemetry.lane(spec.name.as_deref(), &sink.name, lane.priority);
            let queues = (0..lane.parallel).map(|_| {
                let seed = random.u64(..);
                let name = spec.name.as_deref();
                let coalesce = spec.coalesce.as_ref();
                let queue = Queue::start(&lane, name, coalesce, sink, metrics.clone(), seed)?;
                started.0.push(Arc::clone(&queue));
                Ok(queue)
            });
            let queues = queues.collect::<Result<_, PipelineError>>()?;
            lanes.push(Lane { spec: lane, queues });
        }
        let budget = budget_of(&lanes, spec.coalesce.is_some())?;
        started.0.clear();
        Ok(Arc::new(Self {
            spec: spec.clone(),
            sink: Arc::clone(sink),
            lane_of: lane_of(&lanes),
            budget: Mutex::new(budget),
            lanes,
            scopes: Mutex::default(),
        }))
    }

    pub(crate) fn queues(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.lanes.iter().flat_map(|lane| &lane.queues)
    }

    /// The lane that a record of this priority goes to: its own, else the next less urgent one,
    /// else the least urgent there is.
    pub(crate) fn lane_of(&self, own: Option<Priority>) -> usize {
        let priority = own.or(self.spec.priority).unwrap_or_default();
        self.lane_of[priority as usize]
    }

    /// The name of a source's scope in one of the lanes: the source, the route if it has a name,
    /// and the lane if there are several.
    pub(crate) fn scope_name(&self, source: &ScopeName, lane: usize) -> ScopeName {
        let mut name = source.as_str().to_owned();
        if let Some(route) = &self.spec.name {
            name.push('/');
            name.push_str(route);
        }
        if self.lanes.len() > 1 {
            name.push('/');
            name.push_str(self.lanes[lane].spec.priority.as_str());
        }
        ScopeName::new(name)
    }

    pub(crate) fn remember_scope(&self, index: ScopeIndex) {
        self.scopes.lock().push(index);
    }

    /// The names of its scopes, which may be used by another route.
    pub(crate) fn give_up_scopes(&self) -> Vec<(ScopeIndex, ScopeName)> {
        let scopes = std::mem::take(&mut *self.scopes.lock());
        let named = |index| Some((index, self.sink.give_up_scope(index)?));
        scopes.into_iter().filter_map(named).collect()
    }

    /// They were not used by another, and are its own again.
    pub(crate) fn keep_scopes(&self, scopes: Vec<(ScopeIndex, ScopeName)>) {
        for (index, name) in scopes {
            self.sink.keep_scope(index, name);
            self.remember_scope(index);
        }
    }

    /// Pushes rows by the policy of the lane. What is not in the buffer then is in `rows`.
    pub(crate) fn push(&self, queue: &Queue, rows: &mut Vec<Entry>) -> PushedMany {
        if queue.spec.buffer.policy == WhenFull::DropLowestPriority {
            self.make_room(queue, rows.len());
        }
        let tracks = |row: &Entry| queue.tracking.tracks(row.scope, row.position);
        let pushed = queue.buffer.push_many(rows, &tracks);
        queue
            .tracking
            .dropped(pushed.displaced_of(rows), DropReason::DropOldest);
        queue
            .tracking
            .dropped(pushed.dropped_of(rows), DropReason::DropNewest);
        pushed
    }

    /// The same without waiting for room.
    pub(crate) fn push_at_once(&self, queue: &Queue, rows: &mut Vec<Entry>) -> PushedMany {
        match queue.spec.buffer.policy {
            WhenFull::Block(_) => {
                let tracks = |row: &Entry| queue.tracking.tracks(row.scope, row.position);
                queue.buffer.try_push_many(rows, &tracks)
            }
            _ => self.push(queue, rows),
        }
    }

    /// Takes memory from lanes that do not need it, or that are less urgent.
    fn make_room(&self, queue: &Queue, wanted: usize) {
        let fill = queue.buffer.fill();
        let free = fill.size_max.saturating_sub(fill.size);
        if free >= wanted {
            return;
        }
        let mut evicted = Vec::new();
        let mut budget = self.budget.lock();
        let (used, lent) = (self.count(|fill| fill.size), self.count(|fill| fill.lent));
        let moves = budget.make_room(queue.priority, wanted - free, used, lent);
        self.resize(&moves, &mut evicted);
        drop(budget);
        for (loser, rows) in &evicted {
            loser.tracking.dropped(rows, DropReason::LowerPriority);
        }
    }

    /// Gives borrowed memory back where it is not needed any more.
    pub(crate) fn rebalance(&self) {
        let mut evicted = Vec::new();
        let mut budget = self.budget.lock();
        let moves = budget.give_back(self.count(|fill| fill.size));
        self.resize(&moves, &mut evicted);
        drop(budget);
        for (loser, rows) in &evicted {
            loser.tracking.dropped(rows, DropReason::LowerPriority);
        }
    }

    /// What each lane holds, by its priority's number.
    fn count(&self, places: impl Fn(&Fill) -> usize) -> [usize; 4] {
        let mut counts = [0; 4];
        for lane in &self.lanes {
            let queues = lane.queues.iter();
            let count = queues.map(|queue| places(&queue.buffer.fill())).sum();
            counts[lane.spec.priority as usize] = count;
        }
        counts
    }

    /// Makes the rings as large as the budget says; smaller ones first, so that the sum is never
    /// above the total.
    fn resize(&self, moves: &Moves, evicted: &mut Vec<(Arc<Queue>, Vec<Entry>)>) {
        for (priority, size) in moves.shrunk().chain(moves.grown()) {
            let lane = self
                .lanes
                .iter()
                .find(|lane| lane.spec.priority == priority);
            let Some(queue) = lane.and_then(|lane| lane.queues.first()) else {
                continue;
            };
            let Some(ring) = queue.buffer.ring() else {
                continue;
            };
            let lost = queue.account.with(|counts| {
                // A size within the total is possible.
                let lost = ring.resize(size).unwrap_or_default();
                counts.lower_priority += lost.len() as u64;
                lost
            });
            if !lost.is_empty() {
                evicted.push((Arc::clone(queue), lost));
            }
        }
    }
}

/// Queues of a route that is not there yet: they end if it is never.
struct Started(Vec<Arc<Queue>>);

impl Drop for Started {
    fn drop(&mut self) {
        self.0.iter().for_each(|queue| queue.close(None));
    }
}

fn lane_of(lanes: &[Lane]) -> [usize; 4] {
    let mut lane_of = [lanes.len() - 1; 4];
    for (number, place) in lane_of.iter_mut().enumerate() {
        let fits = |lane: &Lane| lane.spec.priority as usize <= number;
        if let Some(lane) = lanes.iter().position(fits) {
            *place = lane;
        }
    }
    lane_of
}

/// The memory that lanes share: those with one queue that keeps each record.
fn budget_of(lanes: &[Lane], coalesces: bool) -> Result<Budget, PipelineError> {
    let mut rooms = [None; 4];
    for lane in lanes {
        if let ([queue], false) = (lane.queues.as_slice(), coalesces) {
            let size = queue.spec.buffer.max_size;
            rooms[lane.spec.priority as usize] = Some(Room {
                size,
                reserved: lane.spec.size_min.min(size),
            });
        }
    }
    Ok(Budget::new(rooms)?)
}
