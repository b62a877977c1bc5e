//! Bounded intake rings and numbered histories.
//!
//! - [`Ring`]: many producers, batch consumers. Nothing leaves it because somebody looked: a
//!   consumer takes a [`Lease`] and acknowledges it; a lease that is dropped puts its items back.
//! - [`History`]: the last N values of one key, numbered, so that a reader with a [`Cursor`] knows
//!   exactly how many updates it missed.
//! - [`handover`]: how a ring takes what many producers wrote without stopping them, for other
//!   containers too.
//!
//! Both are generic, know no clock but in calls that wait, and return what they displace.

mod error;
pub mod handover;
mod history;
mod lease;
mod overflow;
mod ring;
mod stats;
mod sync;
mod watermark;

pub use error::{LeaseError, RingError};
pub use history::{
    Appended, Displaced, Entry, History, HistoryBytes, Pool, Reader, Snapshot, Window,
};
pub use history::{ArrayHistory, ArrayReader, Generation, Matrix, MatrixSnapshot, Number};
pub use history::{Cursor, KeySeq, Room, RoomError, Shape, ShapeError, Since};
pub use lease::{Lease, LeaseItems};
pub use overflow::{OverflowPolicy, Pushed, PushedMany, Refusal};
pub use ring::{Demand, Order, Producer, Ring, RingBuilder, Waited};
pub use stats::{Dropped, RingStats};
pub use watermark::{Crossing, Direction, Watermark};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/buffers.md")]
struct Buffers;
