//! Splits an input into lines.
//!
//! A line ends at `\n`, `\r\n` or the end of the input. Lines are handed out where they lie in
//! the window, without a copy. A line over [`LINE_BYTES_MAX`] is handed out once, with its true
//! length and its first bytes, when its end was seen; meanwhile memory stays bounded. Each byte is
//! looked at once, however small the pieces are in which the input comes.

use std::io::Read;

use memchr::memchr;
use record::{Malformed, ORIGINAL_BYTES_MAX, ndjson::LINE_BYTES_MAX};

use super::reader::ReadError;
use super::window::Window;

/// A line without its end.
pub(super) enum Line<'a> {
    Whole { number: u64, bytes: &'a [u8] },
    TooLong { number: u64, malformed: Malformed },
}

pub(super) struct Lines<R> {
    window: Window<R>,
    /// Lines handed out so far.
    count: u64,
    /// How much of what is unread is known to have no line end.
    searched: usize,
    long: Option<LongLine>,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(read: R) -> Self {
        Self {
            window: Window::new(read),
            count: 0,
            searched: 0,
            long: None,
        }
    }

    /// The next line that is in memory; `None` asks for [`fill`](Self::fill), or is the end.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Line<'_>> {
        let unread = self.window.unread();
        let end = match memchr(b'\n', &unread[self.searched..]) {
            Some(at) if self.long.is_none() => self.searched + at,
            found => return self.next_unusual(found),
        };
        self.searched = 0;
        self.count += 1;
        let number = self.count;
        let bytes = without_return(&self.window.take(end + 1)[..end]);
        if bytes.len() > LINE_BYTES_MAX {
            let malformed = LongLine::starting(bytes).finish(number);
            return Some(Line::TooLong { number, malformed });
        }
        Some(Line::Whole { number, bytes })
    }

    /// Reads on, once, and may wait for that.
    pub(super) fn fill(&mut self) -> Result<(), ReadError> {
        self.window.fill().map_err(|source| ReadError::Io {
            line: self.count,
            source,
        })
    }

    /// Whether everything was read and handed out.
    pub(super) fn ended(&self) -> bool {
        self.window.ended() && self.window.unread().is_empty() && self.long.is_none()
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.window.bytes_read()
    }

    /// No line end in sight, or one that ends a line over the limit.
    #[cold]
    fn next_unusual(&mut self, found: Option<usize>) -> Option<Line<'_>> {
        let length = self.window.unread().len();
        if let Some(long) = &mut self.long {
            let end = found.map_or(length, |at| self.searched + at);
            long.append(self.window.take(end));
            self.searched = 0;
            if found.is_some() {
                self.window.take(1);
            } else if !self.window.ended() {
                return None;
            }
            let long = self.long.take()?;
            self.count += 1;
            return Some(Line::TooLong {
                number: self.count,
                malformed: long.finish(self.count),
            });
        }
        if self.window.ended() {
            if length == 0 {
                return None;
            }
            self.searched = 0;
            self.count += 1;
            let number = self.count;
            let bytes = without_return(self.window.take(length));
            return Some(if bytes.len() > LINE_BYTES_MAX {
                let malformed = LongLine::starting(bytes).finish(number);
                Line::TooLong { number, malformed }
            } else {
                Line::Whole { number, bytes }
            });
        }
        // One more than the limit may be the `\r` of a line end.
        if length > LINE_BYTES_MAX + 1 {
            self.long = Some(LongLine::starting(self.window.take(length)));
            self.searched = 0;
        } else {
            self.searched = length;
        }
        None
    }
}

/// A line over the limit whose end was not seen yet.
pub(super) struct LongLine {
    start: Vec<u8>,
    length: u64,
    ends_with_return: bool,
}

impl LongLine {
    pub(super) fn starting(bytes: &[u8]) -> Self {
        let mut line = Self {
            start: Vec::new(),
            length: 0,
            ends_with_return: false,
        };
        line.append(bytes);
        line
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        let kept = (ORIGINAL_BYTES_MAX - self.start.len()).min(bytes.len());
        self.start.extend_from_slice(&bytes[..kept]);
        self.length += bytes.len() as u64;
        if let Some(last) = bytes.last() {
            self.ends_with_return = *last == b'\r';
        }
    }

    /// What is quarantined for line `number`.
    pub(super) fn finish(self, number: u64) -> Malformed {
        let length = self.length - u64::from(self.ends_with_return);
        let kept = self.start.len();
        Malformed::new(
            format!(
                "line {number}: the line has {length} bytes, the limit is {LINE_BYTES_MAX}; \
                 the first {kept} bytes are kept"
            ),
            &self.start,
        )
    }
}

/// The line without the `\r` of its line end.
#[inline]
pub(super) fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}
