//! When to flush a buffer: state machines without a clock.
//!
//! A [`FlushPolicy`] is told what was accepted and what was flushed, always with the time at which
//! it happened, and answers with a [`Decision`]: wait, or flush for a [`Reason`]. It never reads a
//! clock, sleeps, locks, logs or allocates after construction, so the same calls give the same
//! decisions, and a test can live through a day in a microsecond.
//!
//! - [`Size`], [`Bytes`], [`Age`], [`Interval`] and [`Manual`] are the policies,
//! - [`Adaptive`] is one with a size that follows the sink and the queue,
//! - [`any_of`] and [`all_of`] combine them, [`Jitter`] spreads the flushes of many instances,
//! - [`FlushSpec`] builds the usual combination from options or from a [`Preset`],
//! - [`FlushCounts`] counts flushes by reason and outcome.
//!
//! What it deliberately does not do: it holds no items, it starts no timer, and it chooses no delay
//! between retries. Those belong to its *driver*, whose duties [`FlushPolicy`] lists.

mod adaptive;
mod age;
mod buffered;
mod combine;
mod counts;
mod error;
mod interval;
mod jitter;
mod manual;
mod policy;
mod reason;
mod report;
#[cfg(feature = "serde")]
mod seconds;
mod size;
mod spec;

pub use adaptive::{Adaptive, AdaptiveSpec};
pub use age::Age;
pub use combine::{AllOf, AnyOf, all_of, any_of};
pub use counts::{FlushCounts, OutcomeCounts};
pub use error::PolicyError;
pub use interval::Interval;
pub use jitter::{Jitter, JitterSpec};
pub use manual::Manual;
pub use policy::{Decision, FlushPolicy};
pub use reason::Reason;
pub use report::{Flushed, Load, Outcome, Remainder, Written};
pub use size::{Bytes, Size};
pub use spec::{FlushSpec, Preset};

/// The longest age or interval that is accepted: 365 days.
///
/// A longer one is almost certainly a mistaken unit; an age can be switched off instead.
pub const WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 60 * 60);

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
