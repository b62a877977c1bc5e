//! Where batches go: writers with an outcome per row, the retry decision, and the adapters.
//!
//! - [`BatchWriter`] is what a sink implements; [`BoxWriter`] is one chosen at run time.
//! - A [`Batch`] is immutable and has an id: each retry sends the same rows under the same id.
//! - A [`Receipt`] or a [`WriteError`] says what became of each row.
//! - The ledger: rows and the watermark of their scope commit in one transaction, so that neither
//!   a retry after an unknown outcome nor a second run writes a row twice.
//! - [`Retry`] decides when to try again; it never sleeps.
//! - [`SqliteWriter`] is the embedded default, [`MemoryWriter`] the one for tests.

mod batch;
mod error;
mod history;
pub mod ledger;
mod memory;
#[cfg(feature = "mysql")]
mod mysql;
mod receipt;
mod retry;
mod row;
mod scope;
#[cfg(feature = "sqlite")]
mod sqlite;
pub mod url;
mod writer;

pub use batch::{Batch, BatchId, Entry};
pub use error::{ErrorKind, WriteError};
pub use history::{
    Bucket, BucketNumbers, HistoryQuery, HistoryReader, HistoryStream, ReadError, Reading,
};
pub use memory::MemoryWriter;
#[cfg(feature = "mysql")]
pub use mysql::{MysqlInsert, MysqlOptions, MysqlTls, MysqlWriter};
pub use receipt::{Receipt, Refused, RowOutcome};
pub use retry::{Retry, RetryDecision, RetryPolicy};
pub use row::{Cell, Column, ColumnType, IDENTIFIER_BYTES_MAX, Row, Schema};
pub use scope::{OpenScope, ScopeIndex, ScopeName};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOptions, SqliteWriter};
pub use url::InvalidUrl;
pub use writer::{BatchWriter, BoxWriter, Guarantee};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
