//! The choices a pipeline is built from.

use std::time::Duration;

use flush_policy::FlushSpec;
use record::Priority;
use sinks::{BoxWriter, RetryPolicy};

use crate::{
    BufferOptions, LaneSpec, LiveData, Pipeline, PipelineError, Plan, RouteSpec, SinkSpec,
};

/// The choices a pipeline is built from; see [`Pipeline::builder`].
#[must_use]
#[derive(Debug, Default)]
pub struct PipelineBuilder {
    pub(crate) plan: Plan,
    pub(crate) live: Option<LiveData>,
    #[cfg(feature = "alerts")]
    pub(crate) alerts: Vec<crate::AlertSpec>,
    pub(crate) seed: u64,
}

impl PipelineBuilder {
    /// Adds a sink.
    pub fn sink(mut self, sink: SinkSpec) -> Self {
        self.plan = self.plan.sink(sink);
        self
    }

    /// Adds a route, behind those before it. Without any, everything goes to every sink.
    pub fn route(mut self, route: RouteSpec) -> Self {
        self.plan = self.plan.route(route);
        self
    }

    /// All sinks and routes at once, in the place of those named before.
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// The data service in which accepted records are shown; none unless said.
    pub fn live(mut self, live: LiveData) -> Self {
        self.live = Some(live);
        self
    }

    /// Tells somebody when the health changes.
    #[cfg(feature = "alerts")]
    pub fn alert(mut self, alert: crate::AlertSpec) -> Self {
        self.alerts.push(alert);
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

/// The choices for the shortest pipeline: one sink, one lane, one route of everything; see
/// [`Pipeline::to`].
#[must_use]
#[derive(Debug)]
pub struct ShortBuilder {
    sink: SinkSpec,
    lane: LaneSpec,
    live: Option<LiveData>,
    seed: u64,
}

impl ShortBuilder {
    pub(crate) fn new(writer: BoxWriter) -> Self {
        let flush = FlushSpec::new().size(500).age(Duration::from_millis(500));
        Self {
            sink: SinkSpec::new("sink", writer),
            lane: LaneSpec::new(Priority::Normal).flush(flush).batch_max(500),
            live: None,
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
        self.lane = self.lane.buffer(buffer);
        self
    }

    /// Flushes at `size` records, or when the oldest has waited for `age`; 500 and 0.5 s unless
    /// said. A batch has at most `size` records.
    pub fn flush(mut self, size: usize, age: impl Into<Option<Duration>>) -> Self {
        let flush = FlushSpec::new().size(size).age(age);
        self.lane = self.lane.flush(flush).batch_max(size);
        self
    }

    /// How often and how patiently a failed batch is tried again; without end unless said. When it
    /// gives up, the pipeline ends and hands back what it holds.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.sink = self.sink.retry(retry);
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
    #[allow(
        clippy::needless_update,
        reason = "with the feature for alerts there is a field more"
    )]
    pub fn start(self) -> Result<Pipeline, PipelineError> {
        Pipeline::start(PipelineBuilder {
            plan: Plan::new().sink(self.sink.lanes([self.lane])),
            live: self.live,
            seed: self.seed,
            ..PipelineBuilder::default()
        })
    }
}
