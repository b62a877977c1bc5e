//! A sink: where rows go, and the lanes that routes into it have.

use sinks::{BatchWriter, BoxWriter, BreakerHandle, RetryPolicy};

use super::LaneSpec;

/// Where rows go, and the lanes that routes into it have.
///
/// ```
/// use pipeline::{LaneSpec, SinkSpec};
/// use record::Priority;
/// use sinks::{BoxWriter, MemoryWriter};
///
/// let sink = SinkSpec::new("archive", BoxWriter::new(MemoryWriter::new()))
///     .lanes([LaneSpec::new(Priority::Critical), LaneSpec::new(Priority::Normal)])
///     .concurrency(2);
/// assert_eq!(sink.name(), "archive");
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct SinkSpec {
    pub(crate) name: String,
    /// `None` means the one that runs under this name.
    pub(crate) writer: Option<BoxWriter>,
    pub(crate) lanes: Vec<LaneSpec>,
    pub(crate) concurrency: usize,
    pub(crate) retry: RetryPolicy,
    pub(crate) breaker: Option<BreakerHandle>,
}

impl SinkSpec {
    /// A sink with all four lanes, one write at a time, and retries without end.
    pub fn new(name: impl Into<String>, writer: BoxWriter) -> Self {
        Self {
            name: name.into(),
            writer: Some(writer),
            lanes: LaneSpec::all().to_vec(),
            concurrency: 1,
            retry: RetryPolicy::default().unlimited(),
            breaker: None,
        }
    }

    /// For a change of a running pipeline: the sink of this name goes on just as it is.
    pub fn kept(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            writer: None,
            lanes: LaneSpec::all().to_vec(),
            concurrency: 1,
            retry: RetryPolicy::default().unlimited(),
            breaker: None,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of sink it is, if it is not one that is kept.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.writer.as_ref().map(BatchWriter::name)
    }

    /// The lanes of its routes. A record whose lane is not there goes to the next less urgent one,
    /// or else to the least urgent.
    pub fn lanes(mut self, lanes: impl IntoIterator<Item = LaneSpec>) -> Self {
        self.lanes = lanes.into_iter().collect();
        self
    }

    /// Batches that are written at the same time; 1 unless said. More help with a sink that can
    /// do several things at once.
    pub fn concurrency(mut self, writes: usize) -> Self {
        self.concurrency = writes;
        self
    }

    /// How often and how patiently a failed batch is tried again; without end unless said. When it
    /// gives up, the sink is lost, and what its lanes hold is handed back at the end.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// The breaker among its layers, so that statistics and health can show it.
    pub fn breaker(mut self, breaker: BreakerHandle) -> Self {
        self.breaker = Some(breaker);
        self
    }
}
