//! The choices a pipeline is built from.

use std::time::Duration;

use buffer_core::Demand;
use flush_policy::FlushSpec;
use sinks::{BoxWriter, RetryPolicy};

use crate::{BufferOptions, LiveData, Pipeline, PipelineError};

/// The choices a pipeline is built from; see [`Pipeline::builder`].
#[must_use]
#[derive(Debug)]
pub struct PipelineBuilder {
    pub(crate) writer: BoxWriter,
    pub(crate) live: Option<LiveData>,
    pub(crate) buffer: BufferOptions,
    pub(crate) flush: FlushSpec,
    pub(crate) flush_bytes: usize,
    pub(crate) batch_max: Demand,
    pub(crate) retry: RetryPolicy,
    pub(crate) seed: u64,
}

/// Half the default byte limit of the buffer at the most is one batch.
const BATCH_BYTES_MAX: usize = 8 << 20;

impl PipelineBuilder {
    pub(crate) fn new(writer: BoxWriter) -> Self {
        Self {
            writer,
            live: None,
            buffer: BufferOptions::default(),
            flush: FlushSpec::new().size(500).age(Duration::from_millis(500)),
            flush_bytes: BATCH_BYTES_MAX,
            batch_max: Demand {
                items: 500,
                bytes: BATCH_BYTES_MAX,
            },
            retry: RetryPolicy::default().unlimited(),
            seed: 0,
        }
    }

    /// The data service in which accepted records are shown; none unless said.
    pub fn live(mut self, live: LiveData) -> Self {
        self.live = Some(live);
        self
    }

    /// The buffer; [`BufferOptions::default`] unless said.
    pub fn buffer(mut self, buffer: BufferOptions) -> Self {
        self.buffer = buffer;
        self
    }

    /// Flushes at `size` records, or when the oldest has waited for `age`; 500 and 0.5 s unless
    /// said. A batch has at most `size` records.
    pub fn flush(mut self, size: usize, age: impl Into<Option<Duration>>) -> Self {
        self.flush = FlushSpec::new().size(size).age(age);
        self.batch_max.items = size;
        self
    }

    /// How often and how patiently a failed batch is tried again; without end unless said. When it
    /// gives up, the pipeline ends and hands back what it holds.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Makes the jitter of retries the same in every run.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Starts the pipeline's tasks on the current tokio runtime.
    ///
    /// # Errors
    /// When an option is impossible; the message names it, its value and its limit.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(self) -> Result<Pipeline, PipelineError> {
        Pipeline::start(self)
    }
}
