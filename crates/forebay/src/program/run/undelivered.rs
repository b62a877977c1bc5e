//! What could not be delivered, as files that `forebay replay` and `forebay ingest` read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use pipeline::SinkReport;
use record::{Timestamp, ndjson};
use sinks::Entry;

use crate::program::storage::Place;

/// Records that were kept for later.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The file they are in.
    path: PathBuf,
    /// The command that delivers them.
    command: String,
    hides_password: bool,
}

impl Kept {
    /// Where they are, and what to do with them.
    pub(crate) fn advice(&self) -> String {
        format!(
            "undelivered records are in {}; deliver them later with `{}`{}",
            self.path.display(),
            self.command,
            match self.hides_password {
                true => ", with the password for `***`",
                false => "",
            }
        )
    }
}

/// Writes what each sink was not delivered to a file of its own.
pub(crate) fn keep_all(
    directory: &Path,
    sinks: &[SinkReport],
    undelivered: &[Entry],
    places: &BTreeMap<String, Place>,
) -> Vec<Result<Kept>> {
    sinks
        .iter()
        .map(|sink| (sink, &undelivered[sink.undelivered.clone()]))
        .filter(|(_, rows)| !rows.is_empty())
        .map(|(sink, rows)| {
            let path = keep(directory, &sink.sink, rows)?;
            let place = places.get(&sink.sink);
            let to = place.map(Place::arguments).unwrap_or_default();
            Ok(Kept {
                command: format!("forebay replay {}{to}", path.display()),
                path,
                hides_password: place.is_some_and(Place::hides_password),
            })
        })
        .collect()
}

/// Writes rows to a new file, one line each. Malformed input is written as it came, so that it is
/// quarantined then as it would have been now.
fn keep(directory: &Path, sink: &str, rows: &[Entry]) -> Result<PathBuf> {
    let micros = Timestamp::from_system(SystemTime::now()).micros();
    let path = directory.join(format!("undelivered-{sink}-{micros}.ndjson"));
    let written = std::fs::create_dir_all(directory).and_then(|()| write(&path, directory, rows));
    written.with_context(|| format!("{} records: cannot write {}", rows.len(), path.display()))?;
    Ok(path)
}

fn write(path: &Path, directory: &Path, rows: &[Entry]) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create_new(path)?);
    for row in rows {
        match &row.content {
            Ok(record) => out.write_all(ndjson::write(record).as_bytes())?,
            Err(malformed) => out.write_all(&on_one_line(malformed.original()))?,
        }
        out.write_all(b"\n")?;
    }
    out.into_inner()
        .map_err(std::io::IntoInnerError::into_error)?
        .sync_all()?;
    // The name of the file is as good as its content only once the directory is written.
    File::open(directory)?.sync_all()
}

/// An item of a JSON array may go over several lines, where a line break means no more than a
/// space.
fn on_one_line(original: &[u8]) -> Vec<u8> {
    original
        .iter()
        .map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            byte => *byte,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use record::{Malformed, Position, Record, Value};
    use sinks::ScopeIndex;

    use super::*;

    #[test]
    fn records_are_read_back_and_malformed_input_is_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let time = Timestamp::from_micros(5).unwrap();
        let record = Record::new("PLC01", "D100", Value::F64(0.1), time).unwrap();
        let row = |content| Entry {
            scope: ScopeIndex(0),
            position: Position::new(1),
            arrival: Instant::now(),
            content,
        };
        let malformed = Malformed::new("field `tag` is missing", b"{\"source\":\n\xFF}");
        let rows = [row(Ok(record.clone())), row(Err(malformed))];
        let path = keep(folder.path(), "main", &rows).unwrap();
        let written = std::fs::read(&path).unwrap();
        let lines: Vec<_> = written.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines[1..], [&b"{\"source\": \xFF}"[..], b""]);
        let limit = record::FutureLimit::new(time, std::time::Duration::ZERO);
        assert_eq!(ndjson::parse(lines[0], &limit).unwrap(), record);
    }

    #[test]
    fn a_directory_that_cannot_be_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = keep(&file, "main", &[]).unwrap_err();
        let says = format!("cannot write {}", file.join("undelivered-main-").display());
        assert!(format!("{error:#}").contains(&says), "{error:#}");
    }
}
