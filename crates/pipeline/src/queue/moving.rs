//! The policy of a queue, and how much a batch takes.

use buffer_core::Demand;
use flush_policy::{FlushPolicy, FlushSpec};

use crate::spec::LaneSpec;
use crate::{CoalesceSpec, PipelineError};

/// What of a queue moves with its flushes, and is made anew after a panic.
pub(super) struct Moving {
    pub(super) policy: Box<dyn FlushPolicy>,
    pub(super) flush: FlushSpec,
    /// Reaching this much queued makes a flush due: the task need not wake before.
    pub(super) due: Demand,
    pub(super) batch_max: Demand,
}

impl Moving {
    /// A flush that could only come once the buffer is more than full would never come: it comes
    /// when it is full.
    pub(super) fn new(
        spec: &LaneSpec,
        coalesce: Option<&CoalesceSpec>,
    ) -> Result<Self, PipelineError> {
        let size_max = spec.buffer.max_size;
        let size = spec.flush.items_min().map(|items| items.min(size_max));
        let bytes = spec.batch_bytes_max.min(spec.buffer.max_bytes);
        let flush = match coalesce {
            None => spec.flush.size(size).bytes(bytes),
            Some(_) => spec.flush.size(size),
        };
        let policy = flush.build()?;
        Ok(Self {
            // With an adaptive size, what is due is known only to the policy.
            due: Demand {
                items: policy.batch_items().or(size).unwrap_or(usize::MAX),
                bytes,
            },
            policy,
            flush,
            batch_max: Demand {
                items: spec.batch_max,
                bytes,
            },
        })
    }

    pub(super) fn batch_items(&self) -> usize {
        let adaptive = self.policy.batch_items().unwrap_or(usize::MAX);
        self.batch_max.items.min(adaptive)
    }
}
