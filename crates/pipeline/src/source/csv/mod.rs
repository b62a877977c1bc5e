//! Comma, semicolon or tab separated values.
//!
//! - [`CsvOptions`]: what cannot be told from the file, each with a default.
//! - [`CsvReader`]: rows to records, one per row ([`Layout::Long`]) or one per cell
//!   ([`Layout::Wide`]).
//!
//! A row is at most 1 MiB. Rows are cut out of the input first, so that a quote which is never
//! closed costs one line and not the rest of the file; only then is a row split into cells. A
//! file without usable columns is an error when it is opened; what is wrong with one row is that
//! row's error.

mod cells;
mod columns;
mod error;
mod options;
mod reader;
mod rows;
mod time;

pub use columns::COLUMNS_MAX;
pub use error::CsvError;
pub use options::{ColumnMap, CsvOptions, Decimal, Field, Layout, TimeUnit, UnknownTimeUnit};
pub use reader::CsvReader;

pub(super) use columns::looks_like_header;
