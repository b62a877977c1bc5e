//! What the tests of files share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};

use sinks::files::{self, StoredRow};
use sinks::{FileFormat, FileOptions, FileWriter, ScopeName};

pub(crate) const FORMATS: &[FileFormat] = &[
    FileFormat::Csv,
    #[cfg(feature = "parquet")]
    FileFormat::Parquet,
];

pub(crate) fn name() -> ScopeName {
    ScopeName::new("plc/normal")
}

pub(crate) fn open(folder: &Path, format: FileFormat) -> FileWriter {
    FileWriter::new(FileOptions::new(folder, format).rotate_age(None))
}

/// The finished files, the oldest first.
pub(crate) fn finished(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| {
        let end = path.extension().unwrap_or_default();
        end == "csv" || end == "parquet"
    });
    found.sort();
    found
}

pub(crate) fn stored(folder: &Path) -> Vec<StoredRow> {
    let files = finished(folder);
    let rows = files.iter().flat_map(|file| files::read(file).unwrap());
    rows.map(|row| row.unwrap()).collect()
}
