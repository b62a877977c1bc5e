//! Where records come from: files, standard input, and this machine itself.
//!
//! - [`Reader`]: hands out [`Item`]s, each a record or a malformed piece of input at its
//!   [`Position`](record::Position); made by [`open`], which tells the [`Format`] by content.
//! - [`NdjsonReader`] and [`CsvReader`]: the two formats.
//! - [`Fingerprint`]: which file this is, by its first 64 KiB.
//! - [`HostSource`]: processors, memory, disks, network, processes and temperatures.
//!
//! Everything here is synchronous, bounded in memory, and never panics on input. Nothing looks at
//! a clock: the time and the limits come in. Readers read again from a position, the host source
//! cannot: a reading that was missed is missed.

#[cfg(feature = "csv")]
mod csv;
mod detect;
mod fingerprint;
#[cfg(feature = "host")]
mod host;
mod lines;
mod ndjson;
mod reader;
mod window;

#[cfg(feature = "csv")]
pub use csv::{
    COLUMNS_MAX, ColumnMap, CsvError, CsvOptions, CsvReader, Decimal, Field, Layout, TimeUnit,
    UnknownTimeUnit,
};
pub use detect::{Format, Input, NotUsable, OpenError, OpenOptions, detect, open, open_read};
pub use fingerprint::{FINGERPRINT_BYTES_MAX, Fingerprint, hash_of, prefix_of};
#[cfg(feature = "host")]
pub use host::{HostConfig, HostSource, THINGS_MAX};
pub use ndjson::NdjsonReader;
pub use reader::{Item, Progress, READ_BYTES_MAX, ReadError, Reader};
