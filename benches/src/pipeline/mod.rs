//! `pipeline`: accepting and delivering beside what one writes by hand, and what a pipeline does
//! under load that such a loop cannot.
//!
//! The same records, runtime, batch size and writer for all. A run that loses a record, or
//! delivers one twice or out of order, ends as an error.

mod accept;
mod batcher;
mod counting;
mod rows;

use std::path::Path;

use anyhow::{Context, Result};

use crate::measure::case::Case;
use crate::measure::{Options, Suite};

/// The peers, as the results call them.
const HAND_WRITTEN: &str = "tokio batcher by hand";
const CHUNKS_TIMEOUT: &str = "tokio-stream chunks_timeout";

/// Runs the selected cases, prints tables and aims, and writes the comparison.
pub(crate) fn run(options: &Options, results: &Path) -> Result<()> {
    let suite = Suite {
        cases: cases(),
        repetitions: 5,
        file: "pipeline.json",
    };
    suite.run(options, results)
}

fn cases() -> Vec<Case> {
    vec![accept::case(1, 3.0), accept::case(4, 6.0)]
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start a runtime")
}
