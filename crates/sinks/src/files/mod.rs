//! Files of rows.

mod read;

#[cfg(feature = "parquet")]
pub use read::read_parquet;
pub use read::{FileRows, MalformedRow, ReadFileError, StoredRow, read, read_csv};

/// The most bytes that a row of a CSV file may have.
pub const ROW_BYTES_MAX: usize = 16 << 20;

/// The largest whole number up to which each has a double of its own.
#[cfg(feature = "parquet")]
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
