//! Rows as lines of JSON in files that are appended to: a place for what a sink gave up.
//!
//! Each batch is appended and fsynced before its receipt. Files rotate by size, are capped in
//! bytes and rows, and have names that cannot collide, `<name>-<microseconds>-<number>.ndjson`;
//! each is input for `forebay ingest` and `forebay replay`. At the cap the write fails with
//! [`ErrorKind::Fatal`]. There is no ledger: a batch that is written again stands there twice.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use record::Record;

use super::append::{self, AppendError, AppendFiles, Limits};
use super::blocking;
use crate::{Batch, BatchWriter, ErrorKind, Receipt, Refused, Row, WriteError};

/// Where the files are, and how large they may grow.
#[derive(Clone, Debug)]
pub struct NdjsonFileOptions {
    directory: PathBuf,
    name: String,
    limits: Limits,
}

impl NdjsonFileOptions {
    /// Files `rows-….ndjson` in `directory`, which is made when the first row comes: up to 64 MiB
    /// each and 10 GiB together, of any number of rows.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            name: "rows".to_owned(),
            limits: Limits {
                file_bytes_max: 64 << 20,
                bytes_max: 10 << 30,
                rows_max: u64::MAX,
            },
        }
    }

    /// What the names of the files begin with: each writer needs its own.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// The size in bytes at which a file is followed by the next.
    #[must_use]
    pub fn file_bytes_max(mut self, bytes: u64) -> Self {
        self.limits.file_bytes_max = bytes;
        self
    }

    /// The most bytes that all files may take together.
    #[must_use]
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.limits.bytes_max = bytes;
        self
    }

    /// The most rows that all files may hold together.
    #[must_use]
    pub fn rows_max(mut self, rows: u64) -> Self {
        self.limits.rows_max = rows;
        self
    }
}

/// Appends rows to NDJSON files. Malformed entries are rejected in the receipt: the files hold
/// rows only.
#[derive(Debug)]
pub struct NdjsonFileWriter<R = Record> {
    options: NdjsonFileOptions,
    files: Arc<Mutex<Option<AppendFiles>>>,
    rows: std::marker::PhantomData<fn(R)>,
}

impl<R: Row> NdjsonFileWriter<R> {
    /// A writer that opens nothing before its first row. Two of them cannot share files.
    #[must_use]
    pub fn new(options: NdjsonFileOptions) -> Self {
        Self {
            options,
            files: Arc::default(),
            rows: std::marker::PhantomData,
        }
    }

    /// The files that are there, oldest first.
    ///
    /// # Errors
    /// When the directory cannot be read; one that is not there has no files.
    pub fn paths(&self) -> std::io::Result<Vec<PathBuf>> {
        match append::paths(&self.options.directory, &self.options.name) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            found => found,
        }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.options.directory
    }
}

impl<R: Row> BatchWriter for NdjsonFileWriter<R> {
    type Row = R;

    fn name(&self) -> &str {
        "ndjson"
    }

    async fn write(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        let (mut text, mut rows, mut rejected) = (Vec::new(), 0, Vec::new());
        for (index, entry) in batch.rows().iter().enumerate() {
            match &entry.content {
                Ok(row) => {
                    // Between the tokens of JSON a newline is but a space.
                    let line = row.to_json().replace(['\n', '\r'], " ");
                    text.extend_from_slice(line.as_bytes());
                    text.push(b'\n');
                    rows += 1;
                }
                Err(malformed) => rejected.push(Refused {
                    row: index,
                    reason: malformed.reason().to_owned(),
                }),
            }
        }
        let (options, files) = (self.options.clone(), Arc::clone(&self.files));
        blocking(move || {
            let mut files = files.lock();
            let files = match &mut *files {
                Some(files) => files,
                None => {
                    let NdjsonFileOptions {
                        directory,
                        name,
                        limits,
                    } = &options;
                    files.insert(AppendFiles::open(directory, name, *limits, None)?)
                }
            };
            files.append(&text, rows).map_err(|error| match error {
                AppendError::Failed(error) => error,
                AppendError::Full(message) => WriteError::new(
                    ErrorKind::Fatal,
                    format!("{message}; replay or move the files, or raise the cap"),
                ),
            })
        })
        .await?;
        Ok(Receipt::delivered_all(batch.len()).with_rejected(rejected))
    }
}
