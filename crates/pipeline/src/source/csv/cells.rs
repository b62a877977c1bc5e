//! Splits a row into its cells.
//!
//! A row without quotes is split where it lies, at its delimiters. One with quotes goes through
//! the `csv` crate, which takes them off. Both give ranges of one text, so that no cell is
//! allocated.

use std::io::{self, Read};
use std::ops::Range;

use csv::{Reader, ReaderBuilder, StringRecord, Terminator};
use memchr::memchr_iter;

use super::columns::RowError;

/// The cells of one row.
#[derive(Clone, Copy)]
pub(super) struct Cells<'a> {
    text: &'a str,
    ranges: &'a [Range<usize>],
}

impl<'a> Cells<'a> {
    pub(super) fn len(self) -> usize {
        self.ranges.len()
    }

    /// The cell at `index`; empty when there is none.
    pub(super) fn at(self, index: usize) -> &'a str {
        match self.ranges.get(index) {
            Some(range) => &self.text[range.clone()],
            None => "",
        }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = &'a str> {
        self.ranges
            .iter()
            .map(move |range| &self.text[range.clone()])
    }
}

/// Keeps what splitting needs from row to row.
pub(super) struct Splitter {
    delimiter: u8,
    ranges: Vec<Range<usize>>,
    reader: Reader<Feed>,
    record: StringRecord,
}

impl Splitter {
    pub(super) fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            ranges: Vec::new(),
            reader: reader(delimiter),
            record: StringRecord::new(),
        }
    }

    /// The cells of a row that has no quotes.
    pub(super) fn plain<'a>(&'a mut self, row: &'a [u8]) -> Result<Cells<'a>, RowError> {
        let text = text(row)?;
        self.ranges.clear();
        let mut start = 0;
        for end in memchr_iter(self.delimiter, row) {
            self.ranges.push(start..end);
            start = end + 1;
        }
        self.ranges.push(start..row.len());
        Ok(Cells {
            text,
            ranges: &self.ranges,
        })
    }

    /// The cells of a row that has quotes, all of them closed.
    pub(super) fn quoted(&mut self, row: &[u8]) -> Result<Cells<'_>, RowError> {
        text(row)?;
        let start = self.reader.position().byte();
        self.reader.get_mut().set(row);
        let found = self.reader.read_record(&mut self.record);
        let used = self.reader.position().byte() - start;
        if !matches!(found, Ok(true)) || used != row.len() as u64 + 1 {
            // What is left of the row must not become the beginning of the next.
            self.reader = reader(self.delimiter);
            return Err(RowError::Quotes);
        }
        self.ranges.clear();
        self.ranges
            .extend((0..self.record.len()).filter_map(|index| self.record.range(index)));
        Ok(Cells {
            text: self.record.as_slice(),
            ranges: &self.ranges,
        })
    }
}

fn text(row: &[u8]) -> Result<&str, RowError> {
    std::str::from_utf8(row).map_err(|error| {
        RowError::Record(record::RecordError::InvalidUtf8 {
            at: error.valid_up_to(),
        })
    })
}

fn reader(delimiter: u8) -> Reader<Feed> {
    ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .terminator(Terminator::Any(b'\n'))
        .from_reader(Feed::default())
}

/// Gives the reader one row at a time. The reader stops at the row's line end, so it never sees
/// the end of what it reads.
#[derive(Default)]
struct Feed {
    row: Vec<u8>,
    at: usize,
}

impl Feed {
    fn set(&mut self, row: &[u8]) {
        self.row.clear();
        self.row.extend_from_slice(row);
        self.row.push(b'\n');
        self.at = 0;
    }
}

impl Read for Feed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = (&self.row[self.at..]).read(into)?;
        self.at += count;
        Ok(count)
    }
}
