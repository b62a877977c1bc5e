//! What a pipeline counts and measures, handed to the facade `metrics`.
//!
//! - [`described`]: every metric with its kind, unit, labels and meaning; one table for all.
//! - [`Publisher`]: writes an account, [`Stats`](crate::Stats), into a recorder as absolute
//!   counters and gauges.
//! - [`Telemetry`] and [`LaneMetrics`]: what an account cannot say afterwards, the distributions of
//!   every batch: its rows, how long it took to write, how long its records waited.
//!
//! A counter is never incremented here: it is set to what the account says, so that what a recorder
//! shows balances as the account does. Nothing is done per record, and a series is looked up once,
//! when its lane begins. Where no recorder is installed and none attached, its handles do nothing.

mod lane;
mod outlet;
mod publisher;
mod runs;
mod table;

pub use lane::{Attachment, LaneMetrics, Telemetry};
pub use outlet::SharedRecorder;
pub use publisher::Publisher;
pub use table::{MetricDescription, MetricKind, described};
