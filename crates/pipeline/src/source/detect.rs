//! Opens an input, and tells its format by its content.
//!
//! The first line that is not blank decides: one that begins with `{` is JSON, and one with a
//! delimiter or a column that records have is the header of a table. What is neither, or is no
//! text, is an error that says what it looks like. Names of files mean nothing here. An input
//! without any line is valid and has no items.

use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use memchr::memchr;
use record::Position;

#[cfg(feature = "csv")]
use super::csv::{CsvError, CsvOptions, CsvReader, looks_like_header};
use super::ndjson::NdjsonReader;
use super::reader::Reader;

/// How much of an input is looked at to tell its format.
const PREFIX_BYTES_MAX: usize = 64 << 10;

/// What an input consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A JSON object per line.
    Ndjson,
    /// Cells separated by comma, semicolon or tab, below a header.
    Csv,
}

/// Where an input comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

impl Input {
    /// `-` is standard input, all else a file.
    #[must_use]
    pub fn from_argument(path: &Path) -> Self {
        if path.as_os_str() == "-" {
            Self::Stdin
        } else {
            Self::File(path.to_owned())
        }
    }
}

impl fmt::Display for Input {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(out),
            Self::Stdin => out.write_str("standard input"),
        }
    }
}

/// How an input is to be read.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The format; `None` tells it by content.
    pub format: Option<Format>,
    /// For a table.
    #[cfg(feature = "csv")]
    pub csv: CsvOptions,
}

/// Why an input cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no such file.
    #[error("{input}: no such file")]
    NotFound {
        /// The input.
        input: Input,
    },
    /// A directory was given.
    #[error("{input} is a directory, expected a file")]
    Directory {
        /// The input.
        input: Input,
    },
    /// The system refuses it.
    #[error("{input} cannot be read: {source}")]
    Unreadable {
        /// The input.
        input: Input,
        /// What the system said.
        source: io::Error,
    },
    /// The content is nothing that can be read.
    #[error("{input}: {reason}")]
    NotUsable {
        /// The input.
        input: Input,
        /// What it looks like, and what to do.
        reason: NotUsable,
    },
    /// The table has no usable columns.
    #[cfg(feature = "csv")]
    #[error("{input}: {source}")]
    Csv {
        /// The input.
        input: Input,
        /// What is wrong with it.
        source: CsvError,
    },
}

/// Content that is neither newline-delimited JSON nor a table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotUsable {
    /// It begins like a known kind of file that is no text.
    #[error("this looks like {kind}; {advice}")]
    Binary {
        /// The kind, with its article.
        kind: &'static str,
        /// What to do.
        advice: &'static str,
    },
    /// It has bytes that no text has.
    #[error("this is binary data (a NUL byte at offset {at}), expected text")]
    Nul {
        /// Where the first NUL byte stands.
        at: usize,
    },
    /// It is one JSON array.
    #[error(
        "this is a JSON array, expected one JSON object per line (`jq -c '.[]'` makes lines of it)"
    )]
    JsonArray,
    /// A JSON object goes over several lines.
    #[error(
        "a JSON object goes over several lines, expected one per line (`jq -c .` makes lines of it)"
    )]
    JsonOverLines,
    /// The first line says nothing.
    #[error(
        "this is neither JSON lines nor a table: the first line is {first:?}, expected a JSON \
         object or a header with column names separated by comma, semicolon or tab"
    )]
    Unknown {
        /// How the first line begins.
        first: String,
    },
    /// Tables cannot be read by this build.
    #[error("this looks like a table, and this build cannot read tables (feature `csv`)")]
    NoTables,
}

/// Opens `input` and reads what stands after `start_after`. Waits for the first line.
///
/// # Errors
/// When the input is missing, is a directory, cannot be read, or has no content that is
/// understood.
pub fn open(
    input: &Input,
    options: &OpenOptions,
    start_after: Position,
) -> Result<Box<dyn Reader>, OpenError> {
    let path = match input {
        Input::Stdin => return open_read(io::stdin(), input, options, start_after),
        Input::File(path) => path,
    };
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => OpenError::NotFound {
            input: input.clone(),
        },
        io::ErrorKind::IsADirectory => OpenError::Directory {
            input: input.clone(),
        },
        _ => OpenError::Unreadable {
            input: input.clone(),
            source,
        },
    };
    // Some systems open a directory and only fail to read it.
    if std::fs::metadata(path).map_err(refused)?.is_dir() {
        return Err(OpenError::Directory {
            input: input.clone(),
        });
    }
    let file = File::open(path).map_err(refused)?;
    open_read(file, input, options, start_after)
}

/// Like [`open`], for anything that can be read; `input` is what errors call it.
///
/// # Errors
/// When it cannot be read, or has no content that is understood.
pub fn open_read(
    mut read: impl Read + Send + 'static,
    input: &Input,
    options: &OpenOptions,
    start_after: Position,
) -> Result<Box<dyn Reader>, OpenError> {
    let prefix = read_prefix(&mut read).map_err(|source| OpenError::Unreadable {
        input: input.clone(),
        source,
    })?;
    let found = detect(&prefix, options).map_err(|reason| OpenError::NotUsable {
        input: input.clone(),
        reason,
    })?;
    let read = Cursor::new(prefix).chain(read);
    match found {
        None | Some(Format::Ndjson) => Ok(Box::new(NdjsonReader::new(read, start_after))),
        #[cfg(feature = "csv")]
        Some(Format::Csv) => match CsvReader::new(read, &options.csv, start_after) {
            Ok(reader) => Ok(Box::new(reader)),
            Err(source) => Err(OpenError::Csv {
                input: input.clone(),
                source,
            }),
        },
        #[cfg(not(feature = "csv"))]
        Some(Format::Csv) => Err(OpenError::NotUsable {
            input: input.clone(),
            reason: NotUsable::NoTables,
        }),
    }
}

/// The format of an input that begins with `prefix`; `None` when all of it is blank. A format
/// that the options name is believed, unless the input is no text at all.
///
/// # Errors
/// When the input is nothing that can be read; the error says what it looks like.
pub fn detect(prefix: &[u8], options: &OpenOptions) -> Result<Option<Format>, NotUsable> {
    for (start, kind, advice) in SIGNATURES {
        if prefix.starts_with(start) {
            return Err(NotUsable::Binary { kind, advice });
        }
    }
    let prefix = prefix.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(prefix);
    let Some(start) = prefix.iter().position(|byte| !byte.is_ascii_whitespace()) else {
        return Ok(None);
    };
    let line = &prefix[start..];
    let line = &line[..memchr(b'\n', line).unwrap_or(line.len())];
    if let Some(at) = memchr(0, line) {
        return Err(NotUsable::Nul { at: start + at });
    }
    if options.format.is_some() {
        return Ok(options.format);
    }
    match line[0] {
        b'{' if line.trim_ascii_end() == b"{" => Err(NotUsable::JsonOverLines),
        b'{' => Ok(Some(Format::Ndjson)),
        b'[' => Err(NotUsable::JsonArray),
        _ => detect_table(line, options),
    }
}

#[cfg(feature = "csv")]
fn detect_table(line: &[u8], options: &OpenOptions) -> Result<Option<Format>, NotUsable> {
    let line = String::from_utf8_lossy(line);
    if looks_like_header(&line, &options.csv) {
        Ok(Some(Format::Csv))
    } else {
        Err(unknown(&line))
    }
}

#[cfg(not(feature = "csv"))]
fn detect_table(line: &[u8], _options: &OpenOptions) -> Result<Option<Format>, NotUsable> {
    let line = String::from_utf8_lossy(line);
    if line.contains([',', ';', '\t']) {
        Err(NotUsable::NoTables)
    } else {
        Err(unknown(&line))
    }
}

fn unknown(line: &str) -> NotUsable {
    NotUsable::Unknown {
        first: line.trim_end().chars().take(60).collect(),
    }
}

const UNPACK: &str = "unpack it first";
const CONVERT: &str = "convert it to UTF-8 first (`iconv -f UTF-16 -t UTF-8`)";
const EXPORT: &str = "export it as CSV or JSON lines first";

/// How files begin that are no text, or not the right one.
const SIGNATURES: [(&[u8], &str, &str); 11] = [
    (b"\x1F\x8B", "gzip-compressed data", UNPACK),
    (b"\x28\xB5\x2F\xFD", "zstd-compressed data", UNPACK),
    (b"\xFD7zXZ\0", "xz-compressed data", UNPACK),
    (b"BZh91AY&SY", "bzip2-compressed data", UNPACK),
    (
        b"PK\x03\x04",
        "a ZIP archive or an .xlsx workbook",
        "unpack or export it first",
    ),
    (b"\xFF\xFE", "UTF-16 text", CONVERT),
    (b"\xFE\xFF", "UTF-16 text", CONVERT),
    (b"SQLite format 3\0", "a SQLite database", EXPORT),
    (b"PAR1\x15", "a Parquet file", EXPORT),
    (
        b"\xD0\xCF\x11\xE0",
        "an old Microsoft Office document",
        EXPORT,
    ),
    (b"%PDF-", "a PDF document", EXPORT),
];

/// Reads until the first line that is not blank is there, or enough to tell.
fn read_prefix(read: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut prefix = vec![0; PREFIX_BYTES_MAX];
    let mut length = 0;
    let mut has_text = false;
    while length < prefix.len() {
        let count = match read.read(&mut prefix[length..]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let mut new = &prefix[length..length + count];
        length += count;
        if !has_text {
            new = new.trim_ascii_start();
            has_text = !new.is_empty();
        }
        if has_text && memchr(b'\n', new).is_some() {
            break;
        }
    }
    prefix.truncate(length);
    Ok(prefix)
}
