//! One shared history per key, transactions, extractors, and subscribers that are woken and pull.
//!
//! - [`DataService`]: keys interned to a [`KeyId`], a history for each, atomic commits.
//! - [`Transaction`]: stages privately and locks nothing; [`commit`](Transaction::commit) shows
//!   everything at once and wakes each subscriber at most once; dropping it shows nothing.
//! - [`Subscription`]: a set of keys with an [`Extractor`] each, which says what of the history is
//!   shown. It is woken, and pulls a [`Snapshot`] that is one commit prefix across all its keys.
//! - [`Feed`]: every update of all keys, or of some, exactly once and in the order of commits.
//! - Extractors: [`LatestValue`], [`WindowByCount`], [`WindowByDuration`], [`FullHistory`],
//!   [`SinceLast`] (every update exactly once, with a count of what was missed), and your own; for
//!   numbers [`Aggregated`], [`Rate`] and, for plots, [`Downsampled`]; for [`Frame`]s
//!   [`FrameAggregate`]. Around any of them a [`Deadband`], a [`MinSeparation`], a filter, a map.
//! - Wrappers around wake and pull: [`Subscription::next`], [`Dispatcher`], a channel and a stream.
//!
//! Only copies of values are made under the service's lock: extractors, wakers, callbacks and the
//! destructors of displaced values run after unlocking. Keep `Clone` of a value cheap (put frames
//! into an `Arc`), and let neither it nor `Hash` and `Eq` of a key call the service.
//!
//! It knows no clock: event times come with the values, and [`DataService::maintain`] takes `now`.
//! Only what waits uses a clock, and only a [`Dispatcher`] is a thread and calls callbacks.
//!
//! # 20, 30, 40
//!
//! ```
//! use dataservice::{DataService, LatestValue, SinceLast, Spec};
//!
//! let service: DataService<&str, i64> = DataService::new();
//! let speed = service.register("speed")?;
//! let mut dial = service.subscribe(Spec::new().key(speed, LatestValue))?;
//! let mut log = service.subscribe(Spec::new().key(speed, SinceLast::default()))?;
//!
//! let mut transaction = service.begin();
//! for (time_us, value) in [(1, 20), (2, 30), (3, 40)] {
//!     transaction.put(speed, time_us, value)?;
//! }
//! transaction.commit()?;
//!
//! let seen = dial.poll().expect("the dial was woken");
//! assert_eq!(seen.update(speed).unwrap().values(), [40]);
//! let seen = log.poll().expect("so was the log");
//! assert_eq!(seen.update(speed).unwrap().values(), [20, 30, 40]);
//! assert!(dial.poll().is_none() && log.poll().is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod after;
mod buffer;
mod builder;
mod cascade;
mod chunked;
mod delivery;
mod error;
mod extract;
mod feed;
mod frame;
mod gate;
mod id;
mod keys;
mod log;
mod past;
mod requirement;
mod savepoint;
mod schema;
mod series;
mod service;
mod shared;
mod signal;
mod slab;
mod slot;
mod snapshot;
mod spec;
mod state;
mod stats;
mod subscriber;
mod subscription;
mod sync;
mod transaction;
mod view;
mod watch;

pub use buffer::Buffer;
pub use buffer_core::{Cursor, Generation, KeySeq, Room, Shape, ShapeError};
pub use builder::Builder;
pub use cascade::cascade_depth;
pub use delivery::{
    Callback, CallbackState, CallbackStats, DispatchError, DispatchRefusal, Dispatcher,
    DispatcherBuilder, DispatcherHandle, DispatcherStats, NamesOnly, NextError, Pace, Pull,
    StartError,
};
#[cfg(feature = "futures-core")]
pub use delivery::{PacedUpdates, Updates};
#[cfg(feature = "crossbeam-channel")]
pub use delivery::{Receiver, channel};
pub use error::{
    BuildError, Closed, CommitError, DeclareError, PutError, Refusal, RegisterError, SubscribeError,
};
pub use extract::{Aggregated, Aggregation, Measure, Summary};
pub use extract::{ChangeRate, Downsampled, Rate, downsample};
pub use extract::{Condition, Deadband, Mapped, MinSeparation, Rule, Sifted};
pub use extract::{
    Extract, Extracted, Extractor, FullHistory, LatestValue, SinceLast, WindowByCount,
    WindowByDuration,
};
pub use feed::{Feed, FeedBatch, FeedSpec, Newest};
pub use frame::{AggregatedFrame, Element, Frame, FrameAggregate, FramePool, FramePoolStats};
pub use id::{CommitSeq, Instance, KeyId, ResumePoint, Resumed};
pub use log::{Cleared, Update};
pub use requirement::{Grant, Requirement};
pub use savepoint::Savepoint;
pub use schema::{Described, Extents, Kind, Mismatch, Schema};
pub use series::{Sample, Series};
pub use service::DataService;
pub use snapshot::{KeyUpdate, Snapshot};
pub use spec::{Backpressure, Spec};
pub use state::Maintained;
pub use stats::{FeedStats, KeyStats, Stats, SubscriptionStats};
pub use subscription::Subscription;
pub use transaction::Transaction;
pub use view::View;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/live-data.md")]
struct LiveData;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/live-data-questions.md")]
struct LiveDataQuestions;
