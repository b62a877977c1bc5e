//! Never flush by itself.

use std::time::Instant;

use crate::{Decision, FlushPolicy, Flushed, Load};

/// Never asks for a flush: the driver flushes when somebody asks it to.
///
/// Such a flush, like that of a shutdown, is reported with `on_flushed` to any policy and counted
/// under its own [`Reason`](crate::Reason). It never has a deadline.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Manual;

impl FlushPolicy for Manual {
    fn on_push(&mut self, _now: Instant, _pushed: Load) -> Decision {
        Decision::Wait
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn on_deadline(&mut self, _now: Instant) -> Decision {
        Decision::Wait
    }

    fn on_flushed(&mut self, _now: Instant, _flushed: Flushed) -> Decision {
        Decision::Wait
    }
}
