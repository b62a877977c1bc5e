//! The rows of a quarantine file.

use std::path::Path;

use pipeline::source::{Item, Progress, READ_BYTES_MAX, ReadError, Reader};
use record::{FutureLimit, Malformed, Position, ndjson};
use sinks::quarantine::{self, QuarantineReader};

/// Reads the rows of a quarantine file behind a position, which counts its lines that are not
/// blank, from 1. What is appended meanwhile is left for another time: it may be what is still bad
/// of this very file.
pub(super) struct QuarantinedRows {
    rows: QuarantineReader,
    length: u64,
    bytes_read: u64,
    number: u64,
    after: Position,
    skipped: u64,
}

impl QuarantinedRows {
    pub(super) fn open(path: &Path, after: Position) -> std::io::Result<Self> {
        Ok(Self {
            length: std::fs::metadata(path)?.len(),
            rows: quarantine::read(path)?,
            bytes_read: 0,
            number: 0,
            after,
            skipped: 0,
        })
    }
}

impl Reader for QuarantinedRows {
    fn read(
        &mut self,
        limit: &FutureLimit,
        max: usize,
        out: &mut Vec<Item>,
    ) -> Result<Progress, ReadError> {
        let (before, bytes_before) = (out.len(), self.bytes_read);
        while out.len() - before < max && self.bytes_read - bytes_before < READ_BYTES_MAX {
            if self.bytes_read >= self.length {
                return Ok(Progress::End);
            }
            let content = match self.rows.next() {
                Some(Ok(row)) => row.content.or_else(|malformed| again(malformed, limit)),
                // The line stays in the file; its reason says where.
                Some(Err(error)) => Err(Malformed::new(error.to_string(), b"")),
                None if self.rows.is_torn() => return Ok(Progress::End),
                None => {
                    let (read, all) = (self.bytes_read, self.length);
                    return Err(ReadError::Broken {
                        reason: format!("cannot be read beyond {read} of its {all} bytes"),
                    });
                }
            };
            self.bytes_read = self.rows.bytes_read().unwrap_or(self.length);
            self.number += 1;
            let position = Position::new(self.number);
            match position > self.after {
                true => out.push(Item { position, content }),
                false => self.skipped += 1,
            }
        }
        Ok(Progress::More)
    }

    fn bytes_read(&self) -> u64 {
        self.bytes_read.min(self.length)
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// What was malformed may have been mended, or was only too far in the future then.
fn again(malformed: Malformed, limit: &FutureLimit) -> Result<record::Record, Malformed> {
    ndjson::parse(malformed.original(), limit).map_err(|_| malformed)
}
