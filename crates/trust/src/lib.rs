//! Bayesian trust per key: a Beta posterior, its interval, decay and snapshots.
//!
//! - [`TrustTracker`] holds a posterior per key; many threads update and read it.
//! - [`Posterior`] is what is known of one key: mean, [`CredibleInterval`], sample size, strength.
//! - [`Outcome`] with a weight is one observation, [`Weights`] are several, added up.
//! - [`Decay`] discounts evidence as time goes by, and keeps the mean.
//! - [`TrustTracker::save`] and [`TrustTracker::load`] keep it through a restart.
//!
//! It has no clock, no task and no thread: time comes in by [`TrustTracker::advance`]. Nothing is
//! cached, so nothing is stale: means and intervals are computed from the two numbers of a key when
//! they are asked for.

mod apply;
mod clock;
mod error;
mod evidence;
mod file;
mod keys;
mod posterior;
mod quantile;
mod settings;
mod shard;
mod snapshot;
mod tracker;

pub use error::{InvalidLevel, SettingsError, SnapshotError, UpdateError};
pub use evidence::{EVIDENCE_MAX, Outcome, Point, WEIGHT_MAX, Weights};
pub use posterior::{CredibleInterval, Interval, Posterior};
pub use settings::{Builder, Decay};
pub use snapshot::ImportLimits;
pub use tracker::TrustTracker;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/trust.md")]
struct Page;
