//! Cuts an input into the rows of a table.
//!
//! A row is a line, or several where a line end stands between quotes. A row is at most
//! [`LINE_BYTES_MAX`] long: when no end is found within that, or before the input ends, its first
//! line alone is handed out as malformed, and the next row begins on the next line.
//!
//! For that, a line may have to be looked at twice, once as the inside of a quoted cell and once
//! as the start of a row, but never more often: what is known about the inside is kept
//! ([`Inside`]), and it is the same for every row that reaches it. So the work is linear in the
//! input, however its quotes stand.

use std::io::{self, Read};

use memchr::memchr;
use record::{Malformed, ndjson::LINE_BYTES_MAX};

use super::super::lines::{LongLine, without_return};
use super::super::window::Window;

/// A row without its line end.
pub(super) struct Row<'a> {
    /// The line on which it begins, from 1.
    pub(super) line: u64,
    pub(super) content: RowContent<'a>,
}

pub(super) enum RowContent<'a> {
    /// A row without any quote: its cells are what stands between delimiters.
    Plain(&'a [u8]),
    /// A row with a quote somewhere.
    Quoted(&'a [u8]),
    /// A line that is no row.
    Malformed(Malformed),
}

pub(super) struct Rows<R> {
    window: Window<R>,
    /// Bytes of the input before the window.
    consumed: u64,
    /// Lines before the window.
    lines: u64,
    delimiter: u8,
    /// The most bytes of a row.
    limit: usize,
    /// Length of the first line with its line end, when it left a quote open.
    open: Option<usize>,
    /// How much of what is unread is known to have no further line end, when no quote is open.
    searched: usize,
    inside: Inside,
    long: Option<LongLine>,
}

/// What is known about the text when a quote is open at the start of its lines. Offsets are those
/// of the input.
#[derive(Default)]
struct Inside {
    /// Every line up to here leaves the quote open.
    open_to: u64,
    /// From `open_to` up to here there is no line end.
    searched_to: u64,
    /// Where the line that begins at `open_to` ends, which closes the quote for good.
    closes_at: Option<u64>,
}

impl<R: Read> Rows<R> {
    pub(super) fn new(read: R) -> Self {
        Self {
            window: Window::new(read),
            consumed: 0,
            lines: 0,
            delimiter: b',',
            limit: LINE_BYTES_MAX,
            open: None,
            searched: 0,
            inside: Inside::default(),
            long: None,
        }
    }

    pub(super) fn set_delimiter(&mut self, delimiter: u8) {
        self.delimiter = delimiter;
    }

    pub(super) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    /// The first line that is not blank, without consuming it: what the delimiter is told by.
    /// `None` when the input has no such line. Waits for it; a longer line is cut at the limit.
    pub(super) fn peek_line(&mut self) -> io::Result<Option<&[u8]>> {
        let range = loop {
            let unread = self.window.unread();
            let start = unread.iter().position(|byte| !byte.is_ascii_whitespace());
            if let Some(start) = start {
                let end = memchr(b'\n', &unread[start..]).map(|at| start + at);
                if end.is_some() || self.window.ended() || unread.len() > self.limit {
                    break start..end.unwrap_or(unread.len());
                }
            } else if self.window.ended() {
                return Ok(None);
            } else if unread.len() > self.limit {
                break 0..0;
            } else {
                self.consume_blank_lines();
            }
            self.window.fill()?;
        };
        Ok(Some(&self.window.unread()[range]))
    }

    /// The next row that is in memory; `None` asks for [`fill`](Self::fill), or is the end. Blank
    /// lines are no rows.
    pub(super) fn next(&mut self) -> Option<Row<'_>> {
        loop {
            if self.long.is_some() {
                return self.next_of_long();
            }
            if self.open.is_some() {
                return self.next_of_open();
            }
            let unread = self.window.unread();
            let ended = self.window.ended();
            let end = match memchr(b'\n', &unread[self.searched..]) {
                Some(at) => self.searched + at,
                None if ended && !unread.is_empty() => unread.len(),
                None => {
                    self.searched = unread.len();
                    // One more than the limit may be the `\r` of a line end.
                    if unread.len() > self.limit + 1 {
                        self.long = Some(LongLine::starting(unread));
                        self.consume_bytes(self.searched);
                    }
                    return None;
                }
            };
            self.searched = 0;
            let length = end + 1;
            let line = without_return(&unread[..end]);
            if self.is_blank(line) {
                self.consume_line(length);
                continue;
            }
            let number = self.lines + 1;
            if line.len() > self.limit {
                let malformed = LongLine::starting(line).finish(number);
                self.consume_line(length);
                let content = RowContent::Malformed(malformed);
                return Some(Row {
                    line: number,
                    content,
                });
            }
            if memchr(b'"', line).is_none() {
                self.lines += 1;
                let row = without_return(&self.consume_bytes(length)[..end]);
                let content = RowContent::Plain(row);
                return Some(Row {
                    line: number,
                    content,
                });
            }
            if leaves_open(line, self.delimiter, Quote::Closed) {
                self.open = Some(length.min(unread.len()));
                continue;
            }
            self.lines += 1;
            let row = without_return(&self.consume_bytes(length)[..end]);
            let content = RowContent::Quoted(row);
            return Some(Row {
                line: number,
                content,
            });
        }
    }

    /// Reads on, once, and may wait for that.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        self.window.fill()
    }

    /// Whether everything was read and handed out.
    pub(super) fn ended(&self) -> bool {
        self.window.ended() && self.window.unread().is_empty() && self.long.is_none()
    }

    /// Lines handed out so far.
    pub(super) fn lines(&self) -> u64 {
        self.lines
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.window.bytes_read()
    }

    /// Goes on with a row whose first line left a quote open.
    fn next_of_open(&mut self) -> Option<Row<'_>> {
        let first = self.open?;
        let unread = self.window.unread();
        let base = self.consumed;
        let end = loop {
            // What is known of the inside lies behind when rows were handed out past it.
            if self.inside.open_to < base + first as u64 {
                self.inside = Inside {
                    open_to: base + first as u64,
                    ..Inside::default()
                };
            }
            if let Some(end) = self.inside.closes_at {
                break Some((end - base) as usize);
            }
            let from = (self.inside.open_to - base) as usize;
            let search_from = from.max(self.inside.searched_to.saturating_sub(base) as usize);
            let end = match memchr(b'\n', &unread[search_from..]) {
                Some(at) => search_from + at,
                None if self.window.ended() && from < unread.len() => unread.len(),
                None => {
                    self.inside.searched_to = base + unread.len() as u64;
                    break None;
                }
            };
            if leaves_open(&unread[from..end], self.delimiter, Quote::Open) {
                self.inside.open_to = base + (end + 1).min(unread.len()) as u64;
                self.inside.searched_to = 0;
            } else {
                self.inside.closes_at = Some(base + end as u64);
            }
            if end > self.limit {
                break None;
            }
        };
        match end {
            Some(end) if end <= self.limit => {
                self.open = None;
                let line = self.lines + 1;
                let text = &unread[..end];
                self.lines += 1 + memchr::memchr_iter(b'\n', text).count() as u64;
                let row = without_return(&self.consume_bytes(end + 1)[..end]);
                let content = RowContent::Quoted(row);
                Some(Row { line, content })
            }
            None if !self.window.ended() && unread.len() <= self.limit => None,
            _ => {
                self.open = None;
                let line = self.lines + 1;
                let text = unread[..first]
                    .strip_suffix(b"\n")
                    .unwrap_or(&unread[..first]);
                let reason = format!(
                    "line {line}: a quote is opened and not closed within {} bytes \
                     or before the end of the input",
                    self.limit
                );
                let content = RowContent::Malformed(Malformed::new(reason, without_return(text)));
                self.consume_line(first);
                Some(Row { line, content })
            }
        }
    }

    /// Goes on with a line over the limit whose end was not seen yet.
    fn next_of_long(&mut self) -> Option<Row<'_>> {
        let found = memchr(b'\n', self.window.unread());
        let end = found.unwrap_or(self.window.unread().len());
        self.consumed += end as u64;
        self.searched = 0;
        let bytes = self.window.take(end);
        self.long.as_mut()?.append(bytes);
        if found.is_none() && !self.window.ended() {
            return None;
        }
        self.consume_line(usize::from(found.is_some()));
        let line = self.lines;
        let malformed = self.long.take()?.finish(line);
        let content = RowContent::Malformed(malformed);
        Some(Row { line, content })
    }

    /// In a table separated by tabs, a line of tabs is a row of empty cells.
    fn is_blank(&self, line: &[u8]) -> bool {
        line.iter()
            .all(|byte| byte.is_ascii_whitespace() && *byte != self.delimiter)
    }

    fn consume_line(&mut self, length: usize) {
        self.lines += 1;
        self.consume_bytes(length);
    }

    /// Like [`Window::take`]; a line end that the input does not have is not counted.
    fn consume_bytes(&mut self, length: usize) -> &[u8] {
        let bytes = self.window.take(length);
        self.consumed += bytes.len() as u64;
        bytes
    }

    /// Drops the blank lines that the window begins with, but not what may be the start of a line.
    fn consume_blank_lines(&mut self) {
        let unread = self.window.unread();
        if let Some(last) = memchr::memrchr(b'\n', unread) {
            self.lines += memchr::memchr_iter(b'\n', unread).count() as u64;
            self.consume_bytes(last + 1);
            self.searched = 0;
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    Open,
    Closed,
}

/// Whether a quote is open at the end of a line that began with it open or closed. A quote opens
/// a cell only as its first character; two within a cell are one that is meant.
fn leaves_open(line: &[u8], delimiter: u8, at_start: Quote) -> bool {
    let mut at = 0;
    let mut open = at_start == Quote::Open;
    if !open && line.first() == Some(&b'"') {
        open = true;
        at = 1;
    }
    loop {
        if open {
            match memchr(b'"', &line[at..]) {
                None => return true,
                Some(quote) => at += quote + 1,
            }
            if line.get(at) == Some(&b'"') {
                at += 1;
            } else {
                open = false;
            }
        } else {
            match memchr(delimiter, &line[at..]) {
                None => return false,
                Some(end) => at += end + 1,
            }
            if line.get(at) == Some(&b'"') {
                open = true;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 24;

    type Found = (u64, Option<Vec<u8>>);

    /// Gives a few bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len());
            (&self.0[..count])
                .read(into)
                .inspect(|count| self.0 = &self.0[*count..])
        }
    }

    /// Lines and texts of rows, `None` for what is no row.
    fn rows(input: &[u8], piece: usize) -> Vec<Found> {
        let mut rows = Rows::new(Drip(input, piece));
        rows.limit = LIMIT;
        let mut found = Vec::new();
        while !rows.ended() {
            match rows.next() {
                None => rows.fill().unwrap(),
                Some(Row { line, content }) => found.push(match content {
                    RowContent::Plain(text) | RowContent::Quoted(text) => {
                        (line, Some(text.to_vec()))
                    }
                    RowContent::Malformed(_) => (line, None),
                }),
            }
        }
        found
    }

    /// The same by looking at every row from its start to its end, however far that is.
    fn model(input: &[u8]) -> Vec<Found> {
        let mut found = Vec::new();
        let mut line = 0;
        let mut rest = input;
        while !rest.is_empty() {
            let line_end = memchr(b'\n', rest).unwrap_or(rest.len());
            let first = without_return(&rest[..line_end]);
            let (text, used) = match row_end(rest) {
                _ if first.len() > LIMIT => (None, line_end),
                Some(end) if end == line_end => (Some(first), end),
                Some(end) if end <= LIMIT => (Some(without_return(&rest[..end])), end),
                _ => (None, line_end),
            };
            if !first.iter().all(u8::is_ascii_whitespace) {
                found.push((line + 1, text.map(<[u8]>::to_vec)));
            }
            line += 1 + rest[..used].iter().filter(|byte| **byte == b'\n').count() as u64;
            rest = rest.get(used + 1..).unwrap_or_default();
        }
        found
    }

    /// Where the first line end stands that is not within quotes, byte by byte.
    fn row_end(text: &[u8]) -> Option<usize> {
        let (mut open, mut at_cell_start) = (false, true);
        let mut at = 0;
        while let Some(byte) = text.get(at) {
            match byte {
                b'"' if open && text.get(at + 1) == Some(&b'"') => at += 1,
                b'"' if open => open = false,
                b'"' if at_cell_start => open = true,
                b'\n' if !open => return Some(at),
                _ => {}
            }
            at_cell_start = *byte == b',' && !open;
            at += 1;
        }
        (!open).then_some(text.len())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn rows_are_those_of_the_model_however_quotes_stand(
            input in prop::collection::vec(prop::sample::select(&b"\"\"\",,\n\n\rxy"[..]), 0..200),
            piece in 1usize..60,
        ) {
            prop_assert_eq!(rows(&input, piece), model(&input));
        }
    }
}
