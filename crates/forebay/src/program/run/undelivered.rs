//! What could not be delivered, as a file that `forebay replay` and `forebay ingest` read.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use record::{Timestamp, ndjson};
use sinks::Entry;

/// Records that were kept for later.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The file they are in.
    pub(crate) path: PathBuf,
}

/// Writes rows to a new file in the data directory, one line each. Malformed input is written as
/// it came, so that it is quarantined then as it would have been now.
pub(crate) fn keep(data: &Path, rows: &[Entry]) -> Result<Kept> {
    let micros = Timestamp::from_system(SystemTime::now()).micros();
    let path = data.join(format!("undelivered-{micros}.ndjson"));
    write(&path, data, rows).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Kept { path })
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
        let kept = keep(folder.path(), &rows).unwrap();
        let written = std::fs::read(&kept.path).unwrap();
        let lines: Vec<_> = written.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines[1..], [&b"{\"source\": \xFF}"[..], b""]);
        let limit = record::FutureLimit::new(time, std::time::Duration::ZERO);
        assert_eq!(ndjson::parse(lines[0], &limit).unwrap(), record);
    }

    #[test]
    fn a_directory_that_is_gone_is_named() {
        let error = keep(Path::new("no/such"), &[]).unwrap_err();
        assert!(format!("{error:#}").contains("cannot write no/such/undelivered-"));
    }
}
