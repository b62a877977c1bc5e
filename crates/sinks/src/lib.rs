//! Where batches go: writers with an outcome per row, the retry decision, and the adapters.
//!
//! - [`BatchWriter`] is what a sink implements; [`BoxWriter`] is one chosen at run time.
//! - A [`Batch`] is immutable and has an id: each retry sends the same rows under the same id.
//! - A [`Receipt`] or a [`WriteError`] says what became of each row.
//! - The ledger: rows and the watermark of their scope commit in one transaction, so that neither
//!   a retry after an unknown outcome nor a second run writes a row twice.
//! - [`Retry`] decides when to try again; it never sleeps.
//! - [`SqliteWriter`] is the embedded default, [`MemoryWriter`] the one for tests.

#[cfg(any(feature = "mysql", feature = "oracle", feature = "redis"))]
mod backoff;
mod batch;
mod breaker;
mod error;
mod fault;
#[cfg(feature = "csv")]
pub mod files;
mod fn_writer;
mod guard;
mod history;
#[cfg(feature = "http")]
mod http;
mod layers;
pub mod ledger;
mod limit;
mod memory;
#[cfg(feature = "mysql")]
mod mysql;
mod open;
#[cfg(feature = "oracle")]
mod oracle;
#[cfg(feature = "postgres")]
mod postgres;
mod receipt;
#[cfg(feature = "redis")]
mod redis;
mod retry;
mod row;
mod scope;
#[cfg(any(feature = "postgres", feature = "mysql", feature = "oracle"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "http", feature = "redis"))]
mod tls;
#[cfg(feature = "trust")]
mod tracker;
pub mod url;
mod writer;

pub use batch::{Batch, BatchId, Entry};
pub use breaker::{
    Admission, Breaker, BreakerChange, BreakerSnapshot, BreakerSpec, BreakerState, CallOutcome,
    Outlook, Pass, WindowSpec,
};
pub use error::{ErrorKind, WriteError};
pub use fault::{Fault, FaultChances, FaultWriter};
#[cfg(feature = "csv")]
pub use files::{FileFormat, FileOptions, FileStats, FileWriter, WhenFull};
pub use fn_writer::{AsyncFnWriter, FnWriter};
pub use guard::bisect::{Bisect, BisectHandle};
pub use guard::fallback::Fallback;
pub use guard::fan_out::{FanOut, Target, TargetStats, WhenBehind};
pub use guard::ledger_file::Ledger;
pub use guard::ndjson_file::{NdjsonFileOptions, NdjsonFileWriter};
pub use guard::quarantine::{self, Quarantine, QuarantineFiles, QuarantineOptions};
pub use history::{
    Bucket, BucketNumbers, HistoryQuery, HistoryReader, HistoryStream, ReadError, Reading,
};
#[cfg(feature = "http")]
pub use http::{HttpDoubt, HttpFormat, HttpOptions, HttpProxy, HttpWriter, IdempotencyKey};
pub use layers::{
    BreakerHandle, CircuitBreaker, LimitHandle, LimitSnapshot, LimitSpec, Limited, Retrying,
    SharedBudget, Timeout,
};
pub use limit::{Concurrency, ConcurrencySpec, InvalidSetting, Load, Rate, Slot, TokenBucket};
pub use memory::MemoryWriter;
#[cfg(feature = "mysql")]
pub use mysql::{MysqlInsert, MysqlOptions, MysqlTls, MysqlWriter};
pub use open::{About, OpenError, OpenOptions, OpenedSink, check, known, open, open_reader};
#[cfg(feature = "oracle")]
pub use oracle::{OracleOptions, OracleWriter};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresTls, PostgresWriter, SynchronousCommit};
pub use receipt::{Receipt, Refused, RowOutcome};
#[cfg(feature = "redis")]
pub use redis::{RedisFormat, RedisOptions, RedisTrim, RedisWriter};
pub use retry::{GiveUp, Retry, RetryBudget, RetryDecision, RetryPolicy, WhenRefused};
pub use row::{Cell, Column, ColumnType, IDENTIFIER_BYTES_MAX, Row, Schema};
pub use scope::{OpenScope, ScopeIndex, ScopeName};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOptions, SqliteWriter};
#[cfg(feature = "trust")]
pub use tracker::{
    AggregatedUpdate, StoredTracker, Tracker, TrackerKey, TrackerOptions, TrackerWriter, TrustRow,
    TrustUpdate,
};
pub use url::InvalidUrl;
pub use writer::{BatchWriter, BoxWriter, Guarantee};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/delivery-guards.md")]
struct DeliveryGuards;
