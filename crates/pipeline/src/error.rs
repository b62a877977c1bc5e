//! Why a pipeline does not start, does not take, or did not deliver.

use buffer_core::{Refusal, RingError};
use dataservice::RegisterError;
use flush_policy::PolicyError;
use sinks::WriteError;

use crate::merge::CoalesceError;
use crate::setting::SettingError;
use crate::spec::InvalidPlan;

/// A pipeline cannot be built, or its sink is lost to it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The sinks, lanes and routes contradict each other.
    #[error("{0}")]
    Plan(#[from] InvalidPlan),
    /// An alert cannot be like that.
    #[cfg(feature = "alerts")]
    #[error("alert: {0}")]
    Alert(#[from] crate::alert::InvalidAlert),
    /// Records cannot be merged like that.
    #[error("coalesce: {0}")]
    Coalesce(#[from] CoalesceError),
    /// A number is out of its range.
    #[error("{0}")]
    Setting(#[from] SettingError),
    /// The buffer's options contradict each other.
    #[error("buffer: {0}")]
    Buffer(#[from] RingError),
    /// The flush policy's options are impossible.
    #[error("flush: {0}")]
    Flush(#[from] PolicyError),
    /// The sink refuses, and trying again will not help or was tried often enough.
    #[error("sink: {0}")]
    Sink(#[from] WriteError),
    /// The pipeline is at its end, and changes no more.
    #[error("the pipeline was shut down")]
    Ended,
    /// The scope has an intake already, which a second one would shut out.
    #[error("the scope `{name}` has an intake already")]
    ScopeOpen {
        /// The scope's name.
        name: String,
    },
    /// More sources than there are numbers for them.
    #[error("{limit} sources are open, and no more are possible")]
    TooManyScopes {
        /// The most that are possible.
        limit: usize,
    },
}

/// Records were not taken; none of them is stored or shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IntakeError {
    /// The buffer refuses.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// A lane is past its high mark, and whoever can wait should.
    #[error("the lane {lane} is filling up")]
    High {
        /// The lane, its route and its sink.
        lane: String,
    },
    /// A lane has no room for the records that belong to it.
    #[error("the lane {lane} is full")]
    Full {
        /// The lane, its route and its sink.
        lane: String,
    },
    /// A lane will never have room for the records that belong to it, all at once.
    #[error("the lane {lane} never has room for so many at once, but for {size_max} records")]
    TooMany {
        /// The lane, its route and its sink.
        lane: String,
        /// Records that it holds at the most.
        size_max: usize,
    },
    /// Another source took the room of a lane in between, so that only some were taken.
    #[error("{} records were refused for want of room, {accepted} were taken", refused.len())]
    Partly {
        /// How many were taken.
        accepted: usize,
        /// The others, by their index, ascending.
        refused: Vec<usize>,
    },
    /// The records have new keys, and the data service has no place for them.
    #[error("the records have new keys: {0}")]
    NewKeys(#[source] RegisterError),
}
