//! Files of rows, CSV or Parquet: finished by size, rows and age, and each row in them once.
//!
//! Rows go to a log first, `forebay.log`: a batch is one entry with its rows and the marks of its
//! scopes, under a checksum, appended by one write and one sync. So rows and watermarks commit
//! together, and what a crash cut short is cut off when the directory is opened again. When the
//! log is large or old enough its rows become a file: written as `….part`, synced, then a new log,
//! which has all marks and names the file, takes the place of the old one, in one rename. That is
//! the commit; the file gets its final name then, or at the next opening. A finished file is never
//! touched again and may be moved away at any time.
//!
//! A log, and not the file itself with a ledger beside it: a row group of Parquet cannot be taken
//! up again without its footer, and two files would need two syncs for each batch. The price is
//! that rows are copied once, and are in no file that other programs read until it is finished.
//!
//! An age is due though nothing arrives: while there are rows in the log a task waits for it.

mod directory;
mod finish;
mod layout;
mod log;
mod options;
#[cfg(feature = "parquet")]
mod parquet;
mod read;
mod store;
mod writer;

pub use options::{FileFormat, FileOptions, WhenFull};
#[cfg(feature = "parquet")]
pub use read::read_parquet;
pub use read::{FileRows, MalformedRow, ReadFileError, StoredRow, read, read_csv};
pub use writer::{FileStats, FileWriter};

/// The most bytes that a row of a CSV file may have.
pub const ROW_BYTES_MAX: usize = 16 << 20;

/// The largest whole number up to which each has a double of its own.
#[cfg(feature = "parquet")]
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
