//! Concurrent keyed aggregation that is taken out whole and exactly.
//!
//! Many threads [`add`](Coalescer::add) updates to keys; what belongs to one key is merged as it
//! arrives; somebody [`take`](Coalescer::take)s everything and hands it on, and
//! [`restore`](Coalescer::restore)s what could not be delivered. Each update is in exactly one
//! batch, however adds and takes overlap, and both keys and updates are capped.
//!
//! - [`Coalescer`] holds the merged updates, [`Writer`] is one thread's handle, [`BoundKey`] that
//!   of one key;
//! - [`Aggregate`] says how updates merge: [`Last`], [`First`], [`Changes`] with tombstones,
//!   [`Count`], [`Sum`], [`MinMax`], [`Stats`], [`SuccessFailure`], [`Append`], `Quantiles` (with
//!   the feature of that name), or your own;
//! - [`Key`] is a string that lies in the table if it is short, [`Seeded`] the default hasher;
//! - [`aggregate`] does the same for a plain list.
//!
//! By task: add from several threads and bring back what failed, at [`Coalescer`]; flush when it is
//! time and stay in bounds, at [`Builder`]; use one key again and again, at [`Writer::bind`]; keep
//! an order between threads, at [`Writer::follow`]; delete keys in the sink, at [`Changes`]; merge
//! in a way of your own, at [`Aggregate`].
//!
//! It has no clock, no task and no sink: when to take is decided elsewhere. There is no
//! process-wide instance, because the first caller's configuration would silently win over
//! everybody else's: handles are passed. Who wants one all the same writes
//! `static BUFFER: OnceLock<Coalescer<String, Sum>>`, and then it says so in one place.

mod aggregate;
mod aggregates;
mod batch;
mod coalescer;
mod container;
mod credits;
mod error;
mod hash;
mod hub;
mod index;
mod key;
mod lane;
mod list;
mod merge;
mod named;
mod settings;
mod shared;
mod sync;
mod table;
mod take;
mod taken;
mod tally;
mod writer;

pub use aggregate::{Aggregate, Stamp};
pub use aggregates::{
    Append, Appended, Change, Changes, Count, Evidence, First, Last, MinMax, Moments, Range,
    Stamped, Stats, SuccessFailure, Sum, Weights,
};
#[cfg(feature = "quantiles")]
pub use aggregates::{Quantiles, Sketch};
pub use coalescer::{AddResult, Added, AddedMany, Coalescer};
pub use error::{AddError, InvalidUpdate, SettingsError};
pub use hash::{Seeded, SeededHasher};
pub use key::Key;
pub use list::{Aggregated, aggregate};
pub use settings::{Builder, WhenFull, WhenKeysFull};
pub use taken::{Entry, Taken};
pub use tally::{CoalescerStats, FlushesByReason, TakeReason};
pub use writer::{BoundKey, Writer};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/aggregation.md")]
struct Page;
