//! From a log to a finished file.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use record::Timestamp;

use super::directory::{self, PART};
use super::layout::Layout;
use super::log::Log;

/// How many names are tried; each has a random part, so the first is free.
const NAMES_MAX: u64 = 1_000;

/// Creates the unfinished file under a name that no file has, finished or not.
pub(super) fn create(
    directory: &Path,
    layout: &Layout,
    at: Timestamp,
    writer: u64,
    named: &mut u64,
) -> io::Result<(File, String)> {
    for _ in 0..NAMES_MAX {
        *named += 1;
        let stem = directory::stem(&layout.name, at, writer, *named);
        let name = format!("{stem}.{}", layout.extension);
        if directory.join(&name).try_exists()? {
            continue;
        }
        match File::options()
            .write(true)
            .read(true)
            .create_new(true)
            .open(part(directory, &name))
        {
            Ok(file) => return Ok((file, name)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other(format!(
        "the last {NAMES_MAX} names are taken"
    )))
}

/// Where a file is until it is finished.
pub(super) fn part(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.{PART}"))
}

/// Writes the rows of the log to the file and syncs it.
pub(super) fn convert(log: &Log, file: File) -> io::Result<()> {
    let layout = &log.begin.layout;
    let file = match layout.extension.as_str() {
        "csv" => {
            let mut out = BufWriter::with_capacity(64 << 10, file);
            writeln!(out, "{}", layout.column_names().join(","))?;
            log.each_rows(|rows| out.write_all(rows))?;
            out.into_inner().map_err(io::IntoInnerError::into_error)?
        }
        #[cfg(feature = "parquet")]
        "parquet" => super::parquet::convert(log, file)?,
        other => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("the rows were to become a {other} file, which this build cannot write"),
            ));
        }
    };
    file.sync_all()
}

/// Gives a complete file its final name, unless it has it already.
pub(super) fn publish(directory: &Path, name: &str) -> io::Result<()> {
    match std::fs::rename(part(directory, name), directory.join(name)) {
        Ok(()) => directory::sync(directory),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if !directory.join(name).try_exists()? {
                tracing::warn!(
                    directory = %directory.display(),
                    file = name,
                    "the file that was finished last is not there: it was moved away, or is lost"
                );
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}
