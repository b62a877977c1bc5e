//! Where the records of one source lead: a scope in each lane of each route.

use std::sync::Arc;

use record::{Position, Priority};
use sinks::{ScopeIndex, ScopeName, WriteError};

use crate::PipelineError;
use crate::opening::{FIRST_ANSWER_WITHIN, FirstAnswer, Hold, Opening, Watermark};
use crate::queue::Queue;
use crate::route::Route;
use crate::shape::Shape;
use crate::spec::WhenFull;

/// The scopes of one source.
pub(crate) struct Targets {
    pub(super) shape: Arc<Shape>,
    /// Of each route, where its lanes begin among the targets.
    starts: Vec<usize>,
    pub(super) all: Vec<Target>,
    /// Whether every record goes to the first route, so that nothing has to be looked up.
    pub(super) is_single: bool,
}

/// One scope, and how far its positions have come.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) route: Arc<Route>,
    pub(super) queue: Arc<Queue>,
    pub(super) scope: ScopeIndex,
    pub(super) watermark: Watermark,
    /// The highest position ever handed to the buffer.
    pub(super) last: Position,
    /// The highest position that the buffer took of a source that names them.
    pub(super) taken: Position,
}

impl Target {
    /// Whether the lane has what stands at this position of a source that names them: it was taken
    /// before, or the sink had it when the scope was opened.
    pub(super) fn has(&self, position: Position) -> bool {
        let settled = self.watermark.position().unwrap_or(Position::START);
        position <= self.taken.max(settled)
    }
}

impl Targets {
    /// The scopes of a source in this shape. Those that `before` has go on; the others have to be
    /// opened.
    pub(crate) fn announce(
        shape: &Arc<Shape>,
        source: &ScopeName,
        before: Option<&Self>,
        hold: Hold,
    ) -> Result<(Self, Vec<Opening>), PipelineError> {
        let kept: &[Target] = before.map_or(&[], |before| &before.all);
        let mut announced = Vec::new();
        let mut targets = Self {
            starts: Vec::with_capacity(shape.routes.len()),
            all: Vec::new(),
            is_single: shape.is_single(),
            shape: Arc::clone(shape),
        };
        for route in &shape.routes {
            targets.starts.push(targets.all.len());
            let goes_on = |target: &Target| Arc::ptr_eq(&target.route, route);
            if let Some(first) = kept.iter().position(goes_on) {
                let end = first + route.lanes.len();
                targets.all.extend_from_slice(&kept[first..end]);
                continue;
            }
            for (index, lane) in route.lanes.iter().enumerate() {
                let name = route.scope_name(source, index);
                let queue = &lane.queues[queue_of(&name, lane.queues.len())];
                let opening = match Opening::announce(queue, &name, hold) {
                    Ok(opening) => opening,
                    Err(error) => {
                        announced.into_iter().for_each(Opening::withdraw);
                        return Err(error);
                    }
                };
                route.remember_scope(opening.index);
                targets.all.push(Target {
                    route: Arc::clone(route),
                    queue: Arc::clone(queue),
                    scope: opening.index,
                    watermark: opening.watermark.clone(),
                    last: opening.watermark.base(),
                    taken: Position::START,
                });
                announced.push(opening);
            }
        }
        Ok((targets, announced))
    }

    /// Positions have come further in the scopes that both have.
    pub(super) fn go_on_from(&mut self, before: &Self) {
        for target in &mut self.all {
            let is_same = |other: &&Target| {
                other.scope == target.scope && Arc::ptr_eq(&other.route, &target.route)
            };
            if let Some(other) = before.all.iter().find(is_same) {
                (target.last, target.taken) = (other.last, other.taken);
            }
        }
    }

    /// All of them; none are left here.
    pub(super) fn take(&mut self) -> Self {
        Self {
            shape: Arc::clone(&self.shape),
            starts: std::mem::take(&mut self.starts),
            all: std::mem::take(&mut self.all),
            is_single: self.is_single,
        }
    }

    /// A scope has been opened before it had records: the first one comes behind this position.
    pub(super) fn begin_at(&mut self, queue: &Arc<Queue>, scope: ScopeIndex, position: Position) {
        let is_it = |target: &&mut Target| {
            target.scope == scope && Arc::ptr_eq(&target.queue.sink, &queue.sink)
        };
        if let Some(target) = self.all.iter_mut().find(is_it) {
            target.last = position;
        }
    }

    /// Whether it is known of each scope how far it was delivered.
    pub(super) fn is_open(&self) -> bool {
        let mut positions = self.all.iter().map(|target| target.watermark.position());
        positions.all(|position| position.is_some())
    }

    /// The place of a record's scope.
    pub(super) fn of(&self, route: u16, priority: Option<Priority>) -> usize {
        let route = usize::from(route);
        self.starts[route] + self.shape.routes[route].lane_of(priority)
    }

    pub(super) fn watermark(&self) -> Position {
        let positions = self.all.iter().map(|target| target.watermark.position());
        let least = positions
            .map(|position| position.unwrap_or(Position::START))
            .min();
        least.unwrap_or(Position::START)
    }

    pub(super) fn is_high(&self) -> bool {
        let is_high = |queue: &Queue| queue.is_high() && !queue.is_lost();
        self.all.iter().any(|target| is_high(&target.queue))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.all
            .iter()
            .all(|target| target.queue.buffer.is_closed())
    }

    #[cfg(feature = "host")]
    pub(super) fn is_lost(&self) -> bool {
        self.all.iter().any(|target| target.queue.is_lost())
    }

    /// So many records fit between the high mark and the end of each buffer that is no obstacle by
    /// itself: who hands over no more at a time, and waits while one is high, displaces nothing.
    pub(super) fn room_above_high(&self) -> usize {
        let unblocked = self.all.iter().map(|target| &target.queue).filter(|queue| {
            !matches!(queue.spec.buffer.policy, WhenFull::Block(_)) && !queue.buffer.is_closed()
        });
        let rooms = unblocked.map(|queue| {
            let size_max = queue.buffer.fill().size_max as f64;
            let part = 1.0 - queue.spec.buffer.watermark.high_pct() / 100.0;
            (size_max * part).floor() as usize
        });
        rooms.min().unwrap_or(usize::MAX).max(1)
    }

    /// The same without those that make whoever pushes wait.
    pub(super) fn is_high_unblocked(&self) -> bool {
        let blocks = |queue: &Queue| matches!(queue.spec.buffer.policy, WhenFull::Block(_));
        self.all.iter().any(|target| {
            let queue = &target.queue;
            !blocks(queue) && queue.is_high() && !queue.buffer.is_closed()
        })
    }
}

/// Tries to open scopes in the background.
pub(crate) fn open_soon(openings: Vec<Opening>) {
    for opening in openings {
        drop(opening.start());
    }
}

/// Waits until each has been tried once, and not for long. Those that take their time go on in
/// the background.
pub(super) async fn first_answers(mut answers: Vec<FirstAnswer>) -> Result<(), WriteError> {
    let all = async {
        for answer in &mut answers {
            // One that gives no answer has ended with its pipeline.
            answer.await.unwrap_or(Ok(()))?;
        }
        Ok(())
    };
    if let Ok(outcome) = tokio::time::timeout(FIRST_ANSWER_WITHIN, all).await {
        return outcome;
    }
    // One that has answered may stand behind one that has not. The others find nobody to tell.
    for answer in &mut answers {
        answer.close();
        if let Ok(answer) = answer.try_recv() {
            answer?;
        }
    }
    Ok(())
}

/// Which of several queues a scope is dealt to: the same one as long as it lives.
fn queue_of(scope: &ScopeName, queues: usize) -> usize {
    // FNV-1a: even, and the same in every run.
    let hash = scope
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    usize::try_from(hash % queues as u64).unwrap_or(0)
}
