//! What the tests of the guards share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::path::Path;

use sinks::quarantine;
use sinks::{
    Entry, ErrorKind, FaultWriter, MemoryWriter, QuarantineFiles, QuarantineOptions, ScopeName,
    WriteError,
};

pub(crate) fn scope() -> ScopeName {
    ScopeName::new("host/normal")
}

pub(crate) fn down() -> WriteError {
    WriteError::new(ErrorKind::Transient, "the connection was refused")
}

pub(crate) fn number(entry: &Entry) -> u64 {
    entry.position.number()
}

pub(crate) fn positions(memory: &MemoryWriter) -> Vec<u64> {
    let delivered = memory.delivered();
    delivered
        .iter()
        .map(|(_, position, _)| position.number())
        .collect()
}

/// Refuses these positions.
pub(crate) fn refusing(bad: &'static [u64]) -> FaultWriter<MemoryWriter> {
    FaultWriter::new(MemoryWriter::new()).poisoned(|entry| {
        bad.contains(&number(entry))
            .then(|| format!("no {}", number(entry)))
    })
}

pub(crate) fn files(directory: &Path) -> QuarantineFiles {
    QuarantineFiles::new(QuarantineOptions::new(directory))
}

pub(crate) fn kept(files: &QuarantineFiles) -> Vec<u64> {
    let paths = files.paths().unwrap();
    let rows = paths
        .iter()
        .flat_map(|path| quarantine::read(path).unwrap());
    rows.map(|row| row.unwrap().position.number()).collect()
}
