//! `forebay replay`: what sinks and quarantines kept in files, delivered again, each row once.
//!
//! The content of a file says what it is: rows that a sink wrote as CSV or Parquet, the lines of a
//! quarantine, or NDJSON such as the undelivered records of a run. Rows have their places in the
//! file, and the sink keeps how far each file is delivered, so that the same command can be given
//! again. A file of rows or of a quarantine has scopes of its own; NDJSON has those of `ingest`,
//! which reads it in the same way.

mod quarantined;
#[cfg(feature = "csv")]
mod rows;

use std::fs::File;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use pipeline::source::{self, Format, Input, OpenOptions, Reader};
use record::Position;

use super::arguments::ReplayArguments;
use super::loading::{self, Identity, Naming, Shape, Source};
use super::logs;

/// How far ahead of the clock a timestamp may be: it was taken before.
const FUTURE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Delivers the files and says what became of them.
pub(crate) fn replay(arguments: &ReplayArguments) -> Result<ExitCode> {
    let _ = logs::start(arguments.load.log, arguments.load.log_level);
    let mut sources: Vec<Source> = Vec::new();
    for path in &arguments.files {
        // What cannot be read is refused before anything is delivered.
        let source = identify(path)?;
        if let Some(twin) = sources
            .iter()
            .find(|other| other.identity == source.identity)
        {
            bail!("{} and {} are the same file", twin.name, source.name);
        }
        sources.push(source);
    }
    loading::load(&arguments.load, FUTURE_MAX, Naming::Files, sources)
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A record per line.
    Ndjson,
    /// A line of a quarantine around each.
    Quarantine,
    /// Rows of a sink that writes CSV or Parquet.
    Rows,
}

fn identify(path: &Path) -> Result<Source> {
    let unreadable = || format!("{} cannot be read", path.display());
    let metadata = std::fs::metadata(path).with_context(unreadable)?;
    if !metadata.is_file() {
        bail!("{} is no file", path.display());
    }
    let prefix = source::prefix_of(path).with_context(unreadable)?;
    let kind = kind_of(&prefix).with_context(|| path.display().to_string())?;
    // It is opened now, so that one which is not usable is said before anything is delivered.
    open(path, kind, Position::START)?;
    let identity = match kind {
        Kind::Ndjson => Identity::Content {
            prefix,
            shape: Shape::Long,
        },
        Kind::Quarantine => Identity::Content {
            prefix,
            shape: Shape::Quarantine,
        },
        Kind::Rows => {
            let hash = File::open(path).and_then(source::hash_of);
            Identity::Whole(hash.with_context(unreadable)?)
        }
    };
    let own = path.to_owned();
    Ok(Source {
        name: path.display().to_string(),
        identity,
        length: Some(metadata.len()),
        open: Box::new(move |after| open(&own, kind, after)),
    })
}

fn open(path: &Path, kind: Kind, after: Position) -> Result<Box<dyn Reader>> {
    match kind {
        Kind::Ndjson => {
            let options = OpenOptions {
                format: Some(Format::Ndjson),
                ..OpenOptions::default()
            };
            Ok(source::open(
                &Input::File(path.to_owned()),
                &options,
                after,
            )?)
        }
        Kind::Quarantine => {
            let reader = quarantined::QuarantinedRows::open(path, after);
            Ok(Box::new(reader.with_context(|| {
                format!("{} cannot be read", path.display())
            })?))
        }
        #[cfg(feature = "csv")]
        Kind::Rows => Ok(Box::new(rows::StoredRows::open(path, after)?)),
        #[cfg(not(feature = "csv"))]
        Kind::Rows => bail!("{} is a table, and this build has no `csv`", path.display()),
    }
}

/// Tells the kind of a file by how it begins.
fn kind_of(prefix: &[u8]) -> Result<Kind> {
    if prefix.starts_with(b"SQLite format 3\0") {
        bail!(
            "this is an SQLite database; write the quarantined rows of one to a file first: \
             sqlite3 -readonly FILE \"SELECT original FROM quarantine\" > rows.ndjson"
        );
    }
    if prefix.starts_with(b"PAR1") {
        return Ok(Kind::Rows);
    }
    // What is looked at may end within a character.
    let is_text = std::str::from_utf8(prefix).map_or_else(|e| e.error_len().is_none(), |_| true);
    if !is_text || prefix.contains(&0) {
        bail!(
            "this is binary data, expected a CSV or Parquet file of a sink, a file of a \
             quarantine, or NDJSON, each in UTF-8 and uncompressed"
        );
    }
    let lines = prefix.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let Some(first) = lines.into_iter().find(|line| !line.is_empty()) else {
        return Ok(Kind::Ndjson);
    };
    if !first.starts_with(b"{") {
        return Ok(Kind::Rows);
    }
    // The line may be longer than what is looked at, and these fields come before its content.
    let is_quarantine = [
        &b"\"quarantined_at\""[..],
        b"\"scope\"",
        b"\"position\"",
        b"\"reason\"",
    ]
    .iter()
    .all(|field| first.windows(field.len()).any(|part| part == *field));
    Ok(match is_quarantine {
        true => Kind::Quarantine,
        false => Kind::Ndjson,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_how_it_begins() {
        let quarantine = r#"{"scope":"a","position":1,"reason":"r","quarantined_at":"2024","row":"#;
        let table = [
            ("", Kind::Ndjson),
            ("\n \n{\"source\":\"reason\"}\n", Kind::Ndjson),
            (quarantine, Kind::Quarantine),
            ("PAR1\x15\x04", Kind::Rows),
            ("timestamp,source,tag,value\n", Kind::Rows),
        ];
        for (text, expected) in table {
            assert_eq!(kind_of(text.as_bytes()).unwrap(), expected, "{text}");
        }
        let refused = kind_of(b"SQLite format 3\0\x10").unwrap_err();
        assert!(refused.to_string().contains("sqlite3 -readonly"));
    }
}
