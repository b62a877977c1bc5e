//! A lane that merges: updates of one key become one row before they reach the sink.
//!
//! - [`CoalesceSpec`]: how a route merges; [`CoalesceAggregate`]: what becomes of the updates of a
//!   key; [`KeyTemplate`]: which updates have the same key.
//! - `Merger` stands in a lane where a ring stands otherwise, and hands out `MergedLease`s.
//!
//! Rows of different scopes never merge, so that a watermark stays what it is: a take holds all
//! that was accepted so far of each scope, and a merged row has the last position of its updates.
//! What cannot be merged is not lost: it travels as a malformed row of its own to the quarantine.

mod aggregate;
mod counts;
mod error;
mod lease;
mod plan;
mod row;
mod slots;
mod spec;
mod state;
mod store;
mod template;
#[cfg(test)]
mod tests;

pub use aggregate::{APPENDED_VALUES_MAX, CoalesceAggregate};
pub use error::CoalesceError;
pub(crate) use lease::{MergedLease, MergedRows};
pub use spec::CoalesceSpec;
pub(crate) use store::{MergePolicy, Merger};
pub use template::KeyTemplate;
