//! Reads what a quarantine kept, so that it can be delivered again.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use record::{FutureLimit, Malformed, Position, Record, Timestamp, ndjson};

use super::super::append::LINE_BYTES_MAX;
use super::files::Line;
use crate::ScopeName;

/// A row that is in the quarantine.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantined {
    /// The scope that it came in.
    pub scope: ScopeName,
    /// Its place in that scope.
    pub position: Position,
    /// Why it was refused.
    pub reason: String,
    /// When it was put here.
    pub quarantined_at: Timestamp,
    /// The record; or what came in, where that is no record. A row of another type than [`Record`]
    /// is its JSON here, as an original.
    pub content: Result<Record, Malformed>,
}

/// A file of a quarantine, or a line of it, that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}, line {line}: {message}", path.display())]
pub struct QuarantineReadError {
    path: PathBuf,
    line: u64,
    message: String,
}

impl QuarantineReadError {
    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line
    }
}

/// The rows of one file, in order. Goes on behind a line that cannot be read; ends at an error of
/// the disk.
#[derive(Debug)]
pub struct QuarantineReader {
    path: PathBuf,
    lines: BufReader<File>,
    line: u64,
    is_torn: bool,
    is_done: bool,
}

/// Reads a file of a quarantine. A last line that a crash cut off was never counted as quarantined
/// and is passed over; [`QuarantineReader::is_torn`] says so.
///
/// ```no_run
/// for row in sinks::quarantine::read("quarantine/quarantine-1763710300123456-000.ndjson")? {
///     let row = row?;
///     println!("{} {}: {}", row.scope, row.position, row.reason);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the file cannot be opened.
pub fn read(path: impl AsRef<Path>) -> io::Result<QuarantineReader> {
    let path = path.as_ref().to_owned();
    Ok(QuarantineReader {
        lines: BufReader::new(File::open(&path)?),
        path,
        line: 0,
        is_torn: false,
        is_done: false,
    })
}

/// A line is longer than [`LINE_BYTES_MAX`].
struct TooLong;

impl QuarantineReader {
    /// Whether the last line, which was passed over, is cut off. Known at the end.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// The bytes of the file that were read so far, for a show of progress.
    ///
    /// # Errors
    /// When the file cannot say.
    pub fn bytes_read(&mut self) -> io::Result<u64> {
        io::Seek::stream_position(&mut self.lines)
    }

    fn error(&self, message: impl Into<String>) -> QuarantineReadError {
        QuarantineReadError {
            path: self.path.clone(),
            line: self.line,
            message: message.into(),
        }
    }

    /// The next line, or nothing at the end. One that is too long is passed over and comes empty.
    fn next_line(&mut self) -> io::Result<Option<Result<Vec<u8>, TooLong>>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.lines).take(LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut line)?;
        if read as u64 == LINE_BYTES_MAX && !line.ends_with(b"\n") {
            self.lines.skip_until(b'\n')?;
            return Ok(Some(Err(TooLong)));
        }
        Ok((read > 0).then_some(Ok(line)))
    }
}

impl Iterator for QuarantineReader {
    type Item = Result<Quarantined, QuarantineReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_done {
            self.line += 1;
            let line = match self.next_line() {
                Ok(Some(Ok(line))) => line,
                Ok(Some(Err(TooLong))) => {
                    let message = format!("the line is longer than {LINE_BYTES_MAX} bytes");
                    return Some(Err(self.error(message)));
                }
                Ok(None) => {
                    self.is_done = true;
                    return None;
                }
                Err(error) => {
                    self.is_done = true;
                    return Some(Err(self.error(error.to_string())));
                }
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            return match parse(&line) {
                Ok(row) => Some(Ok(row)),
                Err(_) if !line.ends_with(b"\n") => {
                    (self.is_torn, self.is_done) = (true, true);
                    None
                }
                Err(message) => Some(Err(self.error(message))),
            };
        }
        None
    }
}

fn parse(line: &[u8]) -> Result<Quarantined, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let quarantined_at: Timestamp = line
        .quarantined_at
        .parse()
        .map_err(|error| format!("field `quarantined_at`: {error}"))?;
    let content = match (line.row, line.original, line.original_hex) {
        (Some(row), None, None) => record_of(row.get(), &line.reason),
        (None, Some(text), None) => Err(Malformed::new(line.reason.clone(), text.as_bytes())),
        (None, None, Some(hex)) => {
            let bytes = bytes_of(&hex).ok_or("field `original_hex` is no hexadecimal text")?;
            Err(Malformed::new(line.reason.clone(), &bytes))
        }
        _ => return Err("one of `row`, `original` and `original_hex` must be there".to_owned()),
    };
    Ok(Quarantined {
        scope: ScopeName::new(line.scope),
        position: Position::new(line.position),
        reason: line.reason,
        quarantined_at,
        content,
    })
}

/// The record; its timestamp was accepted when it came in, so it is not judged again.
fn record_of(json: &str, reason: &str) -> Result<Record, Malformed> {
    let now = Timestamp::from_system(SystemTime::now());
    let limit = FutureLimit::new(now, Duration::MAX);
    ndjson::parse_kept(json.as_bytes(), &limit)
        .map_err(|_| Malformed::new(reason.to_owned(), json.as_bytes()))
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = digits.chunks_exact(2);
    let bytes = pairs.map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
    bytes.map(|byte| u8::try_from(byte?).ok()).collect()
}
