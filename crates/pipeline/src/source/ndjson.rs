//! Newline-delimited JSON: one line, one record.

use std::io::Read;

use record::{FutureLimit, Malformed, Position, ndjson};

use super::lines::{Line, Lines};
use super::reader::{Item, Progress, READ_BYTES_MAX, ReadError, Reader};

/// Reads newline-delimited JSON. The position of a record is the number of its line, from 1.
/// Blank lines are no items, but they are lines. Nothing is allocated per line but what the
/// record itself needs.
///
/// ```
/// use pipeline::source::{NdjsonReader, Progress, Reader};
/// use record::{FutureLimit, Position, Timestamp};
/// let limit = FutureLimit::new(Timestamp::from_micros(0)?, std::time::Duration::from_secs(60));
/// let text = b"{\"source\": \"s\", \"tag\": \"t\", \"value\": 1}\n\n{\"source\": \"s\"}";
/// let mut reader = NdjsonReader::new(&text[..], Position::START);
/// let mut items = Vec::new();
/// while reader.read(&limit, 1000, &mut items)? == Progress::More {}
/// assert_eq!(items.len(), 2);
/// let malformed = items[1].content.as_ref().unwrap_err();
/// assert_eq!(malformed.reason(), "line 3: field `value` is missing");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct NdjsonReader<R> {
    lines: Lines<R>,
    start_after: Position,
    skipped: u64,
}

impl<R: Read> NdjsonReader<R> {
    /// Reads what stands after line `start_after`; [`Position::START`] reads everything.
    #[must_use]
    pub fn new(read: R, start_after: Position) -> Self {
        Self {
            lines: Lines::new(read),
            start_after,
            skipped: 0,
        }
    }
}

impl<R: Read + Send> Reader for NdjsonReader<R> {
    fn read(
        &mut self,
        limit: &FutureLimit,
        max: usize,
        out: &mut Vec<Item>,
    ) -> Result<Progress, ReadError> {
        let before = out.len();
        let bytes_before = self.lines.bytes_read();
        while out.len() - before < max {
            let Some(line) = self.lines.next() else {
                if self.lines.ended() {
                    return Ok(Progress::End);
                }
                let used = self.lines.bytes_read() - bytes_before;
                if out.len() > before || used >= READ_BYTES_MAX {
                    return Ok(Progress::More);
                }
                self.lines.fill()?;
                continue;
            };
            let (number, content) = match line {
                Line::Whole { bytes, .. } if is_blank(bytes) => continue,
                Line::Whole { number, .. } if number <= self.start_after.number() => {
                    self.skipped += 1;
                    continue;
                }
                Line::Whole { number, bytes } => {
                    let content = ndjson::parse(bytes, limit)
                        .map_err(|error| Malformed::new(format!("line {number}: {error}"), bytes));
                    (number, content)
                }
                Line::TooLong { number, malformed } => (number, Err(malformed)),
            };
            if number <= self.start_after.number() {
                self.skipped += 1;
                continue;
            }
            let position = Position::new(number);
            out.push(Item { position, content });
        }
        Ok(Progress::More)
    }

    fn bytes_read(&self) -> u64 {
        self.lines.bytes_read()
    }

    fn skipped(&self) -> u64 {
        self.skipped
    }
}

#[inline]
pub(super) fn is_blank(line: &[u8]) -> bool {
    line.first() != Some(&b'{') && line.iter().all(u8::is_ascii_whitespace)
}
