//! What an operator may ask of a running pipeline beside flushing and purging.

use crate::Pipeline;

impl Pipeline {
    /// Closes the breakers of all sinks that have one, also those that were forced open or closed,
    /// and lets them forget what they counted. Says how many that were.
    pub fn reset_breakers(&self) -> usize {
        let shape = self.core().shape.load_full();
        let sinks = shape.sinks.iter();
        sinks.filter(|sink| sink.reset_breaker()).count()
    }

    /// Whether records are accepted: false once a shutdown has begun, or all sinks are lost.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let shape = self.core().shape.load();
        shape.queues().any(|queue| !queue.buffer.is_closed())
    }
}
