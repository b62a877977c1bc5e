//! Source to data service and ring to flush policy to sink, on tokio.
//!
//! - [`Pipeline`]: sinks with their lanes, routes into them, and the tasks that drive them; built
//!   from [`SinkSpec`], [`LaneSpec`] and [`RouteSpec`].
//! - [`Intake`]: where a source hands over its records; [`Sender`]: a channel for this program.
//! - [`source`]: NDJSON and CSV readers, and this machine's own metrics.
//! - [`Stats`]: one consistent account; [`Health`]: a score with reasons.
//!
//! This is the one crate with a clock: everything below takes the time as an argument. A record is
//! stored and shown, or refused: never one without the other.

mod account;
#[cfg(feature = "alerts")]
mod alert;
mod budget;
mod buffer;
mod control;
mod core;
mod error;
mod feeder;
mod gate;
mod glob;
mod health;
mod intake;
mod live;
mod merge;
mod monitor;
mod notification;
mod opening;
mod options;
mod pipeline;
#[cfg(feature = "host")]
mod poller;
mod queue;
mod rates;
mod reading;
mod reconfigure;
mod route;
mod sender;
mod setting;
mod shape;
mod shutdown;
mod sink;
pub mod source;
mod sources;
mod spec;
mod spread;
mod stats;
mod telemetry;
mod tracked;

#[cfg(feature = "alerts")]
pub use alert::{AlertSpec, AlertStats, AlertTarget, Alerts, InvalidAlert};
pub use buffer_core::{Refusal, Watermark};
pub use error::{IntakeError, PipelineError};
pub use feeder::{FeedError, FeedProgress, FeedReport, feed};
pub use glob::{GLOB_BYTES_MAX, Glob, InvalidGlob};
pub use health::{DEDUCTIONS, Deduction, HEALTH_HOLD, HEALTH_MARGIN, Health, HealthChange};
pub use health::{HealthReason, HealthStatus, HealthTracker, StatusTracker};
pub use intake::{Accepted, Content, Intake, RoomCount};
pub use live::{LiveData, Reading};
pub use merge::{APPENDED_VALUES_MAX, CoalesceAggregate, CoalesceError, CoalesceSpec, KeyTemplate};
pub use notification::{Level, Notification};
pub use options::{PipelineBuilder, ShortBuilder};
pub use pipeline::{Pipeline, Report, SinkReport};
#[cfg(feature = "host")]
pub use poller::{Poller, PollerOptions};
pub use reconfigure::Reconfigured;
pub use sender::{SendError, Sender};
pub use setting::SettingError;
pub use spec::{BufferOptions, InvalidPlan, LaneSpec, Plan, RouteSpec, SinkSpec, WhenFull};
pub use stats::{BufferStats, DroppedStats, LaneState, LaneStats, LatencyStats, RecentStats};
pub use stats::{RouteStats, SinkState, SinkStats, SizeStats, Stats, Totals};
pub use telemetry::{Attachment, LaneMetrics, MetricDescription, MetricKind, Publisher};
pub use telemetry::{SharedRecorder, Telemetry, described};
pub use tracked::{DropReason, Outcome, Tracked};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
