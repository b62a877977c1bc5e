//! Our own crates as contenders: one file per crate, so that a change of their API meets one file.

mod buffer_core;
mod coalesce;

pub(super) use buffer_core::{
    BatchedHistory, Columns, Global, Shared, SharedHistory, Striped, Waiting, WaitingGlobal,
};
pub(super) use coalesce::{Keyed, StdHasher};
