//! Rows that a sink wrote as CSV or Parquet.

use std::path::Path;

use pipeline::source::{Item, Progress, READ_BYTES_MAX, ReadError, Reader};
use record::{FutureLimit, Position};
use sinks::files::{self, FileRows, ReadFileError};

/// Reads the rows of a file behind a position, which is the number of a row, from 1.
pub(super) struct StoredRows {
    rows: FileRows,
    after: Position,
    skipped: u64,
}

impl StoredRows {
    pub(super) fn open(path: &Path, after: Position) -> Result<Self, ReadFileError> {
        Ok(Self {
            rows: files::read(path)?,
            after,
            skipped: 0,
        })
    }
}

impl Reader for StoredRows {
    fn read(
        &mut self,
        _: &FutureLimit,
        max: usize,
        out: &mut Vec<Item>,
    ) -> Result<Progress, ReadError> {
        let (before, bytes_before) = (out.len(), self.rows.bytes_read());
        while out.len() - before < max && self.rows.bytes_read() - bytes_before < READ_BYTES_MAX {
            let (number, content) = match self.rows.next() {
                Some(Ok(row)) => (row.number, Ok(row.record)),
                Some(Err(malformed)) => (malformed.number(), Err(malformed.into())),
                None if self.rows.bytes_read() < self.rows.bytes_total() => {
                    let (read, all) = (self.rows.bytes_read(), self.rows.bytes_total());
                    return Err(ReadError::Broken {
                        reason: format!("cannot be read beyond {read} of its {all} bytes"),
                    });
                }
                None => return Ok(Progress::End),
            };
            let position = Position::new(number);
            match position > self.after {
                true => out.push(Item { position, content }),
                false => self.skipped += 1,
            }
        }
        Ok(Progress::More)
    }

    fn bytes_read(&self) -> u64 {
        self.rows.bytes_read()
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }
}
