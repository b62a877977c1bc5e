//! Rows of a CSV file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use record::Value;

use super::row::{self, Cells};
use super::{BadRow, Found, ReadFileError};
use crate::files::ROW_BYTES_MAX;

pub(super) struct CsvRows {
    reader: csv::Reader<Limited>,
    columns: Columns,
    row: csv::ByteRecord,
    /// Whether the file ends with a line end; if not, its last row may be cut off.
    is_whole: bool,
    bytes_total: u64,
    is_over: bool,
}

/// Where the columns are.
struct Columns {
    count: usize,
    timestamp: usize,
    source: usize,
    tag: usize,
    value: usize,
    kind: Option<usize>,
    quality: Option<usize>,
    scope: Option<usize>,
    position: Option<usize>,
}

impl CsvRows {
    pub(super) fn open(
        mut file: File,
        path: &Path,
        bytes_total: u64,
    ) -> Result<Self, ReadFileError> {
        let is_whole =
            ends_with_newline(&mut file).map_err(|error| ReadFileError::io(path, &error))?;
        let limited = Limited {
            file: BufReader::new(file),
            left: ROW_BYTES_MAX,
        };
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .from_reader(limited);
        let header = reader
            .headers()
            .map_err(|error| ReadFileError::new(path, error.to_string()))?
            .clone();
        let columns = Columns::find(&header).map_err(|reason| ReadFileError::new(path, reason))?;
        Ok(Self {
            reader,
            columns,
            row: csv::ByteRecord::new(),
            is_whole,
            bytes_total,
            is_over: false,
        })
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.reader.position().byte()
    }

    pub(super) fn next(&mut self) -> Option<Found> {
        if self.is_over {
            return None;
        }
        self.reader.get_mut().left = ROW_BYTES_MAX;
        let line = self.reader.position().line();
        match self.reader.read_byte_record(&mut self.row) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                self.is_over = true;
                return Some(Err(BadRow {
                    at: line,
                    reason: error.to_string(),
                    original: Vec::new(),
                }));
            }
        }
        let at = self.row.position().map_or(line, csv::Position::line);
        let is_last = self.reader.position().byte() >= self.bytes_total;
        let parts = self.parts(is_last);
        Some(parts.map_err(|reason| BadRow {
            at,
            reason,
            original: self.original(),
        }))
    }

    fn parts(&self, is_last: bool) -> Result<row::Parts, String> {
        let columns = &self.columns;
        // The last row of a file that this sink wrote ends with a line end, or it was cut off,
        // perhaps in the middle of a number.
        let may_be_torn = columns.position.is_some() || self.row.len() < columns.count;
        if is_last && !self.is_whole && may_be_torn {
            return Err(
                "the last row is cut off: the file does not end with a line end".to_owned(),
            );
        }
        if self.row.len() != columns.count {
            let (found, expected) = (self.row.len(), columns.count);
            return Err(format!(
                "the row has {found} cells, the header has {expected}"
            ));
        }
        let value = self.text(columns.value, "value")?;
        let value = match columns.kind {
            Some(kind) => row::value(value, self.text(kind, "value_kind")?)?,
            None => Value::infer(value).map_err(|error| error.to_string())?,
        };
        let optional =
            |column: Option<usize>, name| column.map(|column| self.text(column, name)).transpose();
        let position =
            match optional(columns.position, "position")? {
                None | Some("") => None,
                Some(text) => Some(text.parse().map_err(|_| {
                    format!("column `position` is {text:?}, expected a whole number")
                })?),
            };
        let scope = optional(columns.scope, "scope")?;
        let cells = Cells {
            timestamp: row::timestamp(self.text(columns.timestamp, "timestamp")?)
                .map_err(|error| error.to_string())?,
            source: self.text(columns.source, "source")?,
            tag: self.text(columns.tag, "tag")?,
            value,
            quality: optional(columns.quality, "quality")?,
            scope: scope.filter(|scope| !scope.is_empty()),
            position,
        };
        cells.into_parts().map_err(|error| error.to_string())
    }

    fn text(&self, column: usize, name: &str) -> Result<&str, String> {
        let cell = &self.row[column];
        std::str::from_utf8(cell).map_err(|error| {
            let at = error.valid_up_to();
            format!("column `{name}` is not UTF-8 from byte {at} on")
        })
    }

    fn original(&self) -> Vec<u8> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        // Writing to memory does not fail.
        let _ = writer.write_byte_record(&self.row);
        writer.into_inner().unwrap_or_default()
    }
}

impl Columns {
    fn find(header: &csv::StringRecord) -> Result<Self, String> {
        let column = |name: &str| {
            let mut names = header.iter();
            names.position(|cell| cell.trim().eq_ignore_ascii_case(name))
        };
        let required = |name: &str| {
            column(name).ok_or_else(|| {
                let found: Vec<&str> = header.iter().collect();
                format!(
                    "it has no column `{name}`, as files of tag values have; its first line is \
                     {:?}",
                    found.join(",")
                )
            })
        };
        Ok(Self {
            count: header.len(),
            timestamp: required("timestamp")?,
            source: required("source")?,
            tag: required("tag")?,
            value: required("value")?,
            kind: column("value_kind"),
            quality: column("quality"),
            scope: column("scope"),
            position: column("position"),
        })
    }
}

fn ends_with_newline(file: &mut File) -> io::Result<bool> {
    let mut last = [0];
    let is_empty = file.metadata()?.len() == 0;
    if !is_empty {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        file.rewind()?;
    }
    Ok(is_empty || last == [b'\n'])
}

/// Gives a row no more than [`ROW_BYTES_MAX`], so that a quote which is never closed does not read
/// the rest of the file into memory.
struct Limited {
    file: BufReader<File>,
    left: usize,
}

impl Read for Limited {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let found = self.file.fill_buf()?.len();
        if self.left == 0 && found > 0 {
            return Err(io::Error::other(format!(
                "the row has more than {ROW_BYTES_MAX} bytes; is a quote not closed?"
            )));
        }
        let most = into.len().min(self.left);
        let count = self.file.read(&mut into[..most])?;
        self.left -= count;
        Ok(count)
    }
}
