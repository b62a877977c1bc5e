//! Reads files of tag values back, row by row.
//!
//! [`read`] takes what [`FileWriter`](crate::FileWriter) wrote, CSV or Parquet, and any other file
//! of the same column names. It holds one row of a CSV file, or the pages of one row group of a
//! Parquet file, however long the file is. What is wrong with one row is that row's error, which
//! names file, line, column and value; the rows behind it are read.
//!
//! Columns are found by name: `timestamp`, `source`, `tag` and `value` have to be there; `quality`,
//! `value_kind`, `value_text`, `scope` and `position` may be. Without `value_kind` a CSV value is
//! what it most plausibly says ([`Value::infer`]). Files of other structs are refused.

mod csv;
#[cfg(feature = "parquet")]
mod parquet;
mod row;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use record::{Malformed, Position, Record};

use crate::ScopeName;

/// Opens a file of tag values; Parquet is known by its first bytes, anything else is read as CSV.
///
/// ```
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("readings.csv");
/// std::fs::write(&path, "timestamp,source,tag,value\n2024-05-01T12:00:00Z,PLC01,D100,12.5\n")?;
/// let mut rows = sinks::files::read(&path)?;
/// let row = rows.next().expect("a row")?;
/// assert_eq!(row.record.value, record::Value::F64(12.5));
/// assert!(rows.next().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the file cannot be read, has no columns of tag values, or is Parquet and this build has no
/// Parquet.
pub fn read(path: &Path) -> Result<FileRows, ReadFileError> {
    let mut file = open(path)?;
    let mut magic = Vec::new();
    let failed = |error| ReadFileError::io(path, &error);
    Read::by_ref(&mut file)
        .take(4)
        .read_to_end(&mut magic)
        .map_err(failed)?;
    file.rewind().map_err(failed)?;
    if magic == b"PAR1" {
        #[cfg(feature = "parquet")]
        return read_parquet(path);
        #[cfg(not(feature = "parquet"))]
        return Err(ReadFileError::new(
            path,
            "it is a Parquet file, and this build is without the feature `parquet`",
        ));
    }
    read_csv(path)
}

/// Opens a CSV file of tag values.
///
/// # Errors
/// When the file cannot be read, or its header has no columns of tag values.
pub fn read_csv(path: &Path) -> Result<FileRows, ReadFileError> {
    let mut file = open(path)?;
    let (bytes_total, identity) = identify(&mut file, path)?;
    let rows = csv::CsvRows::open(file, path, bytes_total)?;
    Ok(FileRows {
        format: Format::Csv(Box::new(rows)),
        path: path.to_owned(),
        bytes_total,
        identity,
        number: 0,
    })
}

/// Opens a Parquet file of tag values.
///
/// # Errors
/// When the file cannot be read, is cut off, or has no columns of tag values.
#[cfg(feature = "parquet")]
pub fn read_parquet(path: &Path) -> Result<FileRows, ReadFileError> {
    let mut file = open(path)?;
    let (bytes_total, identity) = identify(&mut file, path)?;
    let rows = parquet::ParquetRows::open(file, path)?;
    Ok(FileRows {
        format: Format::Parquet(Box::new(rows)),
        path: path.to_owned(),
        bytes_total,
        identity,
        number: 0,
    })
}

/// A row of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRow {
    /// Its place in the file, from 1, malformed rows counted too.
    pub number: u64,
    /// The scope it was delivered under, where the file says so.
    pub scope: Option<ScopeName>,
    /// Its place in that scope, where the file says so.
    pub position: Option<Position>,
    /// The record.
    pub record: Record,
}

/// A row of a file that is no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {place} {at}: {reason}", .file.display())]
pub struct MalformedRow {
    file: PathBuf,
    /// `line` or `row`.
    place: &'static str,
    at: u64,
    number: u64,
    reason: String,
    original: Vec<u8>,
}

impl MalformedRow {
    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The line on which the row begins, from 1; in a Parquet file the row, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.at
    }

    /// Its place among the rows of the file, from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The column, the value, and what was expected.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The row as it stands in the file, or its cells as a line of CSV.
    #[must_use]
    pub fn original(&self) -> &[u8] {
        &self.original
    }
}

impl From<MalformedRow> for Malformed {
    fn from(row: MalformedRow) -> Self {
        Self::new(row.to_string(), &row.original)
    }
}

/// A file cannot be read as tag values.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {reason}", .file.display())]
pub struct ReadFileError {
    file: PathBuf,
    reason: String,
    #[source]
    source: Option<std::io::Error>,
}

impl ReadFileError {
    fn new(file: &Path, reason: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            reason: reason.into(),
            source: None,
        }
    }

    fn io(file: &Path, error: &std::io::Error) -> Self {
        Self {
            source: Some(std::io::Error::from(error.kind())),
            ..Self::new(file, error.to_string())
        }
    }
}

/// The rows of a file, in order. After an error of the file itself, which is the last item, there
/// are no more.
pub struct FileRows {
    format: Format,
    path: PathBuf,
    bytes_total: u64,
    identity: String,
    number: u64,
}

enum Format {
    Csv(Box<csv::CsvRows>),
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::ParquetRows>),
}

/// What is wrong with a row, before it is known which row it is.
struct BadRow {
    at: u64,
    reason: String,
    original: Vec<u8>,
}

type Found = Result<row::Parts, BadRow>;

impl FileRows {
    /// The number of rows, where the format says it: Parquet does, CSV does not.
    #[must_use]
    pub fn rows_total(&self) -> Option<u64> {
        match &self.format {
            Format::Csv(_) => None,
            #[cfg(feature = "parquet")]
            Format::Parquet(rows) => Some(rows.total()),
        }
    }

    /// The length of the file in bytes when it was opened.
    #[must_use]
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    /// How many of these bytes are read; in a Parquet file, the same share of them as of the rows.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        match &self.format {
            Format::Csv(rows) => rows.bytes_read().min(self.bytes_total),
            #[cfg(feature = "parquet")]
            Format::Parquet(rows) => {
                let read = u128::from(self.number.min(rows.total()));
                let share = read * u128::from(self.bytes_total) / u128::from(rows.total().max(1));
                u64::try_from(share).unwrap_or(self.bytes_total)
            }
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A short text that stays the same when the file is moved or renamed, and differs from that
    /// of other files: its length, and checksums of its first and its last 64 KiB.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }
}

impl Iterator for FileRows {
    type Item = Result<StoredRow, MalformedRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let (found, place) = match &mut self.format {
            Format::Csv(rows) => (rows.next()?, "line"),
            #[cfg(feature = "parquet")]
            Format::Parquet(rows) => (rows.next()?, "row"),
        };
        self.number += 1;
        let number = self.number;
        Some(match found {
            Ok(parts) => Ok(StoredRow {
                number,
                scope: parts.scope,
                position: parts.position,
                record: parts.record,
            }),
            Err(bad) => Err(MalformedRow {
                file: self.path.clone(),
                place,
                at: bad.at,
                number,
                reason: bad.reason,
                original: bad.original,
            }),
        })
    }
}

impl std::fmt::Debug for FileRows {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "FileRows({}, {} read)",
            self.path.display(),
            self.number
        )
    }
}

fn open(path: &Path) -> Result<File, ReadFileError> {
    File::open(path).map_err(|error| ReadFileError::io(path, &error))
}

/// How much of each end of a file goes into its identity.
const IDENTITY_BYTES: u64 = 64 << 10;

fn identify(file: &mut File, path: &Path) -> Result<(u64, String), ReadFileError> {
    let mut identify = || -> std::io::Result<(u64, String)> {
        let length = file.metadata()?.len();
        let head = checksum(file)?;
        file.seek(SeekFrom::Start(length.saturating_sub(IDENTITY_BYTES)))?;
        let tail = checksum(file)?;
        file.rewind()?;
        Ok((length, format!("{length}-{head:08x}{tail:08x}")))
    };
    identify().map_err(|error| ReadFileError::io(path, &error))
}

fn checksum(file: &mut File) -> std::io::Result<u32> {
    let mut bytes = Vec::new();
    file.take(IDENTITY_BYTES).read_to_end(&mut bytes)?;
    let mut crc = flate2::Crc::new();
    crc.update(&bytes);
    Ok(crc.sum())
}
