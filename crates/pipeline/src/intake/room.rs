//! Whether lanes have room: for records that are about to go there, and ever for those of a body.

use std::sync::Arc;

use buffer_core::Refusal;

use super::{Content, Inner, Intake, State};
use crate::error::IntakeError;
use crate::queue::Queue;
use crate::shape::Shape;

/// Counts the records of one body by the lanes that they belong to, so that one that can never be
/// taken whole is refused while it is still read. Nothing is reserved by that.
///
/// When routes change meanwhile, it begins again.
pub struct RoomCount {
    intake: Arc<Inner>,
    shape: Arc<Shape>,
    /// By the place of the scope among the source's.
    counts: Vec<usize>,
}

impl Intake {
    /// Begins to count records for [`try_push_all`](Self::try_push_all).
    #[must_use]
    pub fn count_room(&self) -> RoomCount {
        let intake = Arc::clone(&self.inner);
        let shape = Arc::clone(&intake.state.lock().targets.shape);
        RoomCount {
            intake,
            shape,
            counts: Vec::new(),
        }
    }
}

impl RoomCount {
    /// Counts one more.
    ///
    /// # Errors
    /// [`IntakeError::TooMany`] when there are more than one of its lanes can hold, even an empty
    /// one.
    pub fn add(&mut self, content: &Content) -> Result<(), IntakeError> {
        let mut state = self.intake.state.lock();
        let State { targets, keys, .. } = &mut *state;
        if !Arc::ptr_eq(&self.shape, &targets.shape) {
            self.shape = Arc::clone(&targets.shape);
            self.counts.clear();
        }
        self.counts.resize(targets.all.len(), 0);
        let priority = content.as_ref().ok().and_then(|record| record.priority);
        let routes = match content {
            Ok(record) if !targets.is_single => keys.routes(&self.shape, record),
            // As it is handed over: what is no record goes to the first route.
            _ => return count(&mut self.counts, targets, targets.of(0, priority)),
        };
        let mut routes = routes.iter();
        routes.try_for_each(|route| {
            let target = targets.of(*route, priority);
            count(&mut self.counts, targets, target)
        })
    }
}

/// Whether a lane takes so many rows at once, without displacing any and below its high mark.
pub(super) fn check(queue: &Queue, rows: usize, bytes: usize) -> Result<(), IntakeError> {
    let fill = queue.buffer.fill();
    if queue.buffer.is_closed() {
        return Err(Refusal::Closed.into());
    }
    let lane = || queue.shown();
    // A lane whose memory is lent to a more urgent one gets it back.
    let size_max = fill.size_max.max(queue.spec.buffer.max_size);
    if rows > size_max {
        return Err(IntakeError::TooMany {
            lane: lane(),
            size_max,
        });
    }
    if bytes > fill.bytes_max {
        return Err(Refusal::TooHeavy.into());
    }
    if fill.size + rows > fill.size_max || fill.bytes.saturating_add(bytes) > fill.bytes_max {
        return Err(IntakeError::Full { lane: lane() });
    }
    if queue.is_high() {
        return Err(IntakeError::High { lane: lane() });
    }
    Ok(())
}

fn count(counts: &mut [usize], targets: &super::Targets, target: usize) -> Result<(), IntakeError> {
    let queue = &targets.all[target].queue;
    let size_max = queue.spec.buffer.max_size;
    counts[target] += 1;
    if counts[target] > size_max && !queue.is_lost() {
        return Err(IntakeError::TooMany {
            lane: queue.shown(),
            size_max,
        });
    }
    Ok(())
}

impl std::fmt::Debug for RoomCount {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "RoomCount({:?})", self.counts)
    }
}
