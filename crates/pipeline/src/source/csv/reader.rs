//! Rows to records.

use std::io::Read;

use record::{
    FutureLimit, ID_BYTES_MAX, Malformed, Name, Position, Quality, Record, RecordError, Timestamp,
    Value,
};

use super::super::reader::{Item, Progress, READ_BYTES_MAX, ReadError, Reader};
use super::cells::{Cells, Splitter};
use super::columns::{Columns, LongColumns, Readings, RowError, find_delimiter};
use super::error::CsvError;
use super::options::{CsvOptions, Decimal, Field};
use super::rows::{Row, RowContent, Rows};
use super::time::Times;

/// Reads separated values; see [`Layout`](super::Layout) for the positions. An empty cell, and
/// NaN, is [`Value::Null`] of quality bad.
///
/// ```
/// use pipeline::source::{CsvOptions, CsvReader, Layout, Progress, Reader};
/// use record::{FutureLimit, Position, Timestamp};
/// let now = "2024-05-01T12:00:00Z".parse::<Timestamp>()?;
/// let limit = FutureLimit::new(now, std::time::Duration::from_secs(60));
/// let text = "datetime;T1;T2\n2024-05-01 10:00:00;1,5;\n2024-05-01 10:01:00;1,6;2\n";
/// let options = CsvOptions {
///     map: "timestamp=datetime".parse()?,
///     source: Some("plant".to_owned()),
///     layout: Layout::Wide,
///     decimal: pipeline::source::Decimal::Comma,
///     ..CsvOptions::default()
/// };
/// let mut reader = CsvReader::new(text.as_bytes(), &options, Position::START)?;
/// let mut items = Vec::new();
/// while reader.read(&limit, 1000, &mut items)? == Progress::More {}
/// assert_eq!(items.len(), 4);
/// assert_eq!(items[3].position, Position::new(6));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CsvReader<R> {
    rows: Rows<R>,
    /// `None` when there is not even a header.
    table: Option<Table>,
    start_after: Position,
    skipped: u64,
}

/// Everything that turns the text of a row into records.
struct Table {
    columns: Columns,
    splitter: Splitter,
    times: Times,
    decimal: Decimal,
    /// Whether any row had a time that could be read.
    had_time: bool,
    /// Memory for [`Values`].
    number: String,
}

impl<R: Read> CsvReader<R> {
    /// Reads the header, for which it waits, and later what stands after `start_after`. An input
    /// without any line is a table without rows.
    ///
    /// # Errors
    /// When the header cannot be read, or lacks a column that records need; the message names the
    /// columns and what to do.
    pub fn new(read: R, options: &CsvOptions, start_after: Position) -> Result<Self, CsvError> {
        let mut rows = Rows::new(read);
        let table = match rows.peek_line().map_err(CsvError::Io)? {
            None => None,
            Some(line) => {
                let delimiter = match options.delimiter {
                    Some(delimiter) => checked(delimiter)?,
                    None => find_delimiter(line, &options.map),
                };
                rows.set_delimiter(delimiter);
                let mut table = Table::read_header(&mut rows, options)?;
                // Whoever reads on has read times before.
                table.had_time = start_after > Position::START;
                Some(table)
            }
        };
        Ok(Self {
            rows,
            table,
            start_after,
            skipped: 0,
        })
    }

    /// The delimiter, given or found.
    #[must_use]
    pub fn delimiter(&self) -> u8 {
        self.rows.delimiter()
    }
}

impl<R: Read + Send> Reader for CsvReader<R> {
    fn read(
        &mut self,
        limit: &FutureLimit,
        max: usize,
        out: &mut Vec<Item>,
    ) -> Result<Progress, ReadError> {
        let before = out.len();
        let bytes_before = self.rows.bytes_read();
        let mut sink = Sink {
            out,
            start_after: self.start_after,
            skipped: &mut self.skipped,
        };
        while sink.out.len() - before < max {
            let Some(row) = self.rows.next() else {
                if self.rows.ended() {
                    return Ok(Progress::End);
                }
                let used = self.rows.bytes_read() - bytes_before;
                if sink.out.len() > before || used >= READ_BYTES_MAX {
                    return Ok(Progress::More);
                }
                let line = self.rows.lines();
                self.rows
                    .fill()
                    .map_err(|source| ReadError::Io { line, source })?;
                continue;
            };
            if let Some(table) = &mut self.table {
                table.read_row(row, limit, &mut sink)?;
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

/// Takes items, and counts those that were handed out before.
struct Sink<'a> {
    out: &'a mut Vec<Item>,
    start_after: Position,
    skipped: &'a mut u64,
}

impl Sink<'_> {
    fn take(&mut self, position: Position, content: impl FnOnce() -> Result<Record, Malformed>) {
        if position <= self.start_after {
            *self.skipped += 1;
        } else {
            let content = content();
            self.out.push(Item { position, content });
        }
    }
}

impl Table {
    fn read_header<R: Read>(rows: &mut Rows<R>, options: &CsvOptions) -> Result<Self, CsvError> {
        let mut splitter = Splitter::new(rows.delimiter());
        let Row { line, content } = loop {
            if let Some(row) = rows.next() {
                break row;
            }
            if rows.ended() {
                return Err(CsvError::Header("there is no line with a name".to_owned()));
            }
            rows.fill().map_err(CsvError::Io)?;
        };
        let cells = match content {
            RowContent::Plain(row) => splitter.plain(row),
            RowContent::Quoted(row) => splitter.quoted(row),
            RowContent::Malformed(malformed) => {
                return Err(CsvError::Header(malformed.reason().to_owned()));
            }
        };
        let cells = cells.map_err(|error| match error {
            RowError::Record(RecordError::InvalidUtf8 { at }) => {
                CsvError::HeaderNotUtf8 { line, at }
            }
            other => CsvError::Header(format!("line {line}: {other}")),
        })?;
        let columns = Columns::find(cells, line, options)?;
        Ok(Self {
            columns,
            splitter,
            times: Times {
                timezone: options.timezone.clone(),
                unit: options.time_unit,
            },
            decimal: options.decimal,
            had_time: false,
            number: String::new(),
        })
    }

    fn read_row(
        &mut self,
        row: Row<'_>,
        limit: &FutureLimit,
        sink: &mut Sink<'_>,
    ) -> Result<(), ReadError> {
        let line = row.line;
        let position = self.first_position(line);
        if position <= sink.start_after && matches!(self.columns.readings, Readings::Long(_)) {
            *sink.skipped += 1;
            return Ok(());
        }
        let (bytes, cells) = match row.content {
            RowContent::Plain(bytes) => (bytes, self.splitter.plain(bytes)),
            RowContent::Quoted(bytes) => (bytes, self.splitter.quoted(bytes)),
            RowContent::Malformed(malformed) => {
                sink.take(position, || Err(malformed));
                return Ok(());
            }
        };
        let malformed = |error: RowError| Malformed::new(format!("line {line}: {error}"), bytes);
        let head = cells.and_then(|cells| {
            self.columns.check(cells)?;
            let time = self.times.read(cells.at(self.columns.time))?;
            self.had_time = true;
            let source = self.columns.source.name(Field::Source, cells)?;
            Ok((cells, limit.check(time)?, source))
        });
        let (cells, timestamp, source) = match head {
            Ok(head) => head,
            Err(RowError::TimeUnitMissing { found }) if !self.had_time => {
                return Err(ReadError::TimeUnitMissing { line, found });
            }
            Err(error) => {
                sink.take(position, || Err(malformed(error)));
                return Ok(());
            }
        };
        let mut values = Values {
            decimal: self.decimal,
            number: &mut self.number,
        };
        match &self.columns.readings {
            Readings::Long(columns) => sink.take(position, || {
                record_of(columns, cells, timestamp, source, &mut values)
                    .map_err(|error| malformed(error.into()))
            }),
            Readings::Wide(tags) => {
                let mut position = position;
                for (index, tag) in tags {
                    let cell = cells.at(*index);
                    sink.take(position, || {
                        let value = values.read(cell).map_err(|error| {
                            let reason = format!("line {line}: column `{tag}`: {error}");
                            Malformed::new(reason, cell.as_bytes())
                        })?;
                        Ok(Record {
                            timestamp,
                            source: source.clone(),
                            tag: tag.clone(),
                            quality: quality_of(&value),
                            value,
                            priority: None,
                            id: None,
                        })
                    });
                    position = position.next();
                }
            }
        }
        Ok(())
    }

    /// The position of the only or first record of the row that begins on `line`.
    fn first_position(&self, line: u64) -> Position {
        match &self.columns.readings {
            Readings::Long(_) => Position::new(line),
            Readings::Wide(tags) => {
                let before = (line - 1).saturating_mul(tags.len() as u64);
                Position::new(before.saturating_add(1))
            }
        }
    }
}

/// The record of a row that is one reading.
fn record_of(
    columns: &LongColumns,
    cells: Cells<'_>,
    timestamp: Timestamp,
    source: Name,
    values: &mut Values<'_>,
) -> Result<Record, RecordError> {
    let value = values.read(cells.at(columns.value))?;
    let mut record = Record {
        timestamp,
        source,
        tag: columns.tag.name(Field::Tag, cells)?,
        quality: quality_of(&value),
        value,
        priority: None,
        id: None,
    };
    let filled = |column: Option<usize>| {
        column
            .map(|index| cells.at(index).trim())
            .filter(|cell| !cell.is_empty())
    };
    if let Some(quality) = filled(columns.quality) {
        let quality = quality.parse()?;
        // Where there is no value, nothing can make it better than bad.
        if record.value != Value::Null {
            record.quality = quality;
        }
    }
    if let Some(priority) = filled(columns.priority) {
        record.priority = Some(priority.parse()?);
    }
    if let Some(id) = filled(columns.id) {
        if id.len() > ID_BYTES_MAX {
            return Err(RecordError::TooLong {
                field: "id",
                length: id.len(),
                limit: ID_BYTES_MAX,
            });
        }
        record.id = Some(id.into());
    }
    Ok(record)
}

fn quality_of(value: &Value) -> Quality {
    match value {
        Value::Null => Quality::Bad,
        _ => Quality::Good,
    }
}

/// Reads cells as values.
struct Values<'a> {
    decimal: Decimal,
    /// Where a number is rewritten with a point.
    number: &'a mut String,
}

impl Values<'_> {
    fn read(&mut self, cell: &str) -> Result<Value, RecordError> {
        let value = Value::infer(cell)?;
        if self.decimal == Decimal::Point {
            return Ok(value);
        }
        match value {
            // With a decimal comma, a point may separate thousands: nothing is guessed.
            Value::F64(_) if cell.contains('.') => Value::text(cell),
            Value::Text(_) if cell.bytes().filter(|byte| *byte == b',').count() == 1 => {
                self.number.clear();
                let (whole, fraction) = cell.split_once(',').unwrap_or((cell, ""));
                self.number.extend([whole, ".", fraction]);
                match Value::infer(self.number)? {
                    Value::F64(number) if !cell.contains('.') => Ok(Value::F64(number)),
                    _ => Ok(value),
                }
            }
            value => Ok(value),
        }
    }
}

/// Passes a delimiter that can stand between cells.
fn checked(delimiter: u8) -> Result<u8, CsvError> {
    if delimiter.is_ascii() && !matches!(delimiter, b'"' | b'\n' | b'\r' | 0) {
        return Ok(delimiter);
    }
    Err(CsvError::Delimiter {
        found: format!("{:?}", char::from(delimiter)),
    })
}
