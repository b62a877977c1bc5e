//! How much a sink is given: rates and concurrency, decided purely.
//!
//! [`TokenBucket`] bounds a rate (rows or batches per second) with a burst. [`Concurrency`] bounds
//! how many writes are under way at once, fixed or following the sink: one more for each round of
//! quick answers, a part less when one is late or the sink is overloaded ("additive increase,
//! multiplicative decrease", Chiu and Jain 1989, as in TCP). Nothing here sleeps, locks or reads a
//! clock; the layer [`Limited`](crate::Limited) does.

mod bucket;
mod concurrency;
pub(crate) mod credits;
pub(crate) mod setting;

pub use bucket::{Rate, TokenBucket};
pub use concurrency::{Concurrency, ConcurrencySpec, Load, Slot};
pub use setting::InvalidSetting;
