//! The tagged reading that travels through Forebay.
//!
//! - [`Record`]: what a source said about one tag at one moment; made from [`Name`]s, a [`Value`],
//!   a [`Quality`] and a [`Timestamp`].
//! - [`Key`]: source and tag, the name of a history.
//! - [`Position`]: the place of a record in its source.
//! - [`ndjson`]: one line of text to one record, with an error that names field, value and limit.
//!
//! Nothing here panics on input, looks at a clock, or knows where a record goes.

mod error;
mod key;
mod malformed;
mod name;
pub mod ndjson;
mod priority;
mod quality;
mod record;
mod sequence;
mod timestamp;
mod value;

pub use error::RecordError;
pub use key::Key;
pub use malformed::{Malformed, ORIGINAL_BYTES_MAX};
pub use name::{NAME_BYTES_MAX, Name};
pub use priority::Priority;
pub use quality::Quality;
pub use record::{ID_BYTES_MAX, Record};
pub use sequence::Position;
pub use timestamp::{FutureLimit, Timestamp};
pub use value::{Text, VALUE_BYTES_MAX, Value};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
