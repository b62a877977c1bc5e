//! The data directory and the database in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sinks::{BoxWriter, SqliteOptions, SqliteWriter};

/// The directory that is used when none is named.
pub(crate) const DATA_DIRECTORY: &str = "forebay-data";
/// The database in the data directory.
const DATABASE_FILE: &str = "forebay.sqlite";

/// The database of a data directory.
pub(crate) fn database_in(data: &Path) -> PathBuf {
    data.join(DATABASE_FILE)
}

/// Opens the database of a data directory, both of which are created if they are missing. Blocks
/// for some seconds when another process has locked it.
pub(crate) fn open(data: &Path) -> Result<BoxWriter> {
    if data.exists() && !data.is_dir() {
        bail!(
            "{} is not a directory; choose another data directory with --data DIR",
            data.display()
        );
    }
    std::fs::create_dir_all(data).with_context(|| {
        format!(
            "cannot create the data directory {} (choose another with --data DIR)",
            data.display()
        )
    })?;
    let writer = SqliteWriter::open(SqliteOptions::new(database_in(data)))?;
    Ok(BoxWriter::new(writer))
}
