//! One crate for all layers: bounded buffers, flush decisions, merging per key, keyed histories,
//! sinks with a ledger, the pipeline that joins them, and the page that shows it.
//!
//! - [`record`]: the reading that travels, and its NDJSON line.
//! - [`buffer_core`]: a bounded ring with leases, and the last N values of a key.
//! - [`flush_policy`]: when to flush, decided without a clock.
//! - [`coalesce`]: concurrent merging per key, taken out whole and exactly.
//! - [`dataservice`]: one history per key, transactions, views that are woken and pull.
//! - [`sinks`]: writers with an outcome per row, retries, and SQLite with a ledger.
//! - [`pipeline`]: sources, the task that flushes, one account that always balances.
//! - [`trust`]: Bayesian trust per key.
//! - [`gateway`]: REST, WebSocket and the live page.
//! - [`protocol`], [`client`]: what is said on the WebSocket, and a client that stays connected.
//!
//! Depend on a single layer where that is enough: each is a crate of its own. The program of the
//! same name is built from nothing but what stands here.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use forebay::pipeline::Pipeline;
//! use forebay::record::{Record, Timestamp, Value};
//! use forebay::sinks::{BoxWriter, MemoryWriter, ScopeName};
//!
//! # let mut runtime = tokio::runtime::Builder::new_current_thread();
//! # let runtime = runtime.enable_all().build().expect("runs");
//! # runtime.block_on(async {
//! let sink = MemoryWriter::new();
//! let pipeline = Pipeline::to(BoxWriter::new(sink.clone()))
//!     .flush(500, Duration::from_millis(500))
//!     .start()?;
//! let intake = pipeline.intake(&ScopeName::new("plc/normal")).await?;
//! let now = Timestamp::default();
//! let reading = Record::new("PLC01", "D100", Value::F64(21.5), now).expect("valid names");
//! let accepted = intake.push(Instant::now(), vec![Ok(reading)]).expect("a known key");
//! assert_eq!(accepted.accepted, 1);
//! let report = pipeline.shutdown(Duration::from_secs(5)).await;
//! assert_eq!((report.stats.delivered, sink.delivered().len()), (1, 1));
//! # Ok::<(), forebay::pipeline::PipelineError>(()) }).expect("delivered");
//! ```

pub use buffer_core;
pub use client;
pub use coalesce;
pub use dataservice;
pub use flush_policy;
pub use gateway;
pub use pipeline;
pub use protocol;
pub use record;
pub use sinks;
pub use trust;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
