//! A snapshot in a file that is whole or not there: written beside its place, synced and renamed.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{SnapshotError, TrustTracker};

/// A temporary file that was not written to for so long belongs to nobody.
const ABANDONED_AFTER: Duration = Duration::from_secs(3_600);

impl TrustTracker<String> {
    /// Writes a snapshot to `path`, by a temporary file beside it, and says how many keys it has.
    /// Blocks; copies one shard at a time, a 16th of the keys, and holds no lock of keys while it
    /// writes. Two threads that save the same tracker do so one after the other. Temporary files
    /// of this path that a crash left behind more than an hour ago are removed.
    ///
    /// # Errors
    /// When the file system refuses; what was at `path` is still there, and the temporary file is
    /// removed.
    pub fn save(&self, path: &Path) -> Result<usize, SnapshotError> {
        // Two at a time could replace the newer by the older.
        let _saving = self.saving.lock();
        sweep(path);
        let mut name = path.file_name().unwrap_or_default().to_owned();
        // Not the id of the process, which is 1 in every container.
        let random = RandomState::new().hash_one(0);
        name.push(format!(".{random:016x}.tmp"));
        let temporary = path.with_file_name(name);
        let mut options = File::options();
        let file = options.write(true).create_new(true).open(&temporary);
        let file = file.map_err(failed("create", &temporary))?;
        let saved = self.save_by(file, &temporary, path);
        if saved.is_err() {
            // The first error is the one to report.
            let _ = fs::remove_file(&temporary);
        }
        saved
    }

    fn save_by(&self, file: File, temporary: &Path, path: &Path) -> Result<usize, SnapshotError> {
        let mut out = BufWriter::with_capacity(1 << 18, file);
        let keys = self.export(&mut out).map_err(failed("write", temporary))?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error);
        let file = file.map_err(failed("write", temporary))?;
        file.sync_all().map_err(failed("sync", temporary))?;
        fs::rename(temporary, path).map_err(failed("rename to", path))?;
        let directory = directory_of(path);
        // The rename itself is durable once its directory is.
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(failed("sync", directory))?;
        Ok(keys)
    }
}

pub(crate) fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> SnapshotError + 'a {
    move |source| SnapshotError::Io {
        action,
        path: PathBuf::from(path),
        source,
    }
}

fn directory_of(path: &Path) -> &Path {
    let parent = path.parent();
    let parent = parent.filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Removes what earlier processes left; what cannot be removed harms nobody.
fn sweep(path: &Path) {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return;
    };
    let is_temporary = |found: &str| {
        let middle = found
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('.'));
        let middle = middle.and_then(|rest| rest.strip_suffix(".tmp"));
        let is_random = |middle: &str| middle.chars().all(|digit| digit.is_ascii_hexdigit());
        middle.is_some_and(|middle| middle.len() == 16 && is_random(middle))
    };
    for entry in fs::read_dir(directory_of(path))
        .into_iter()
        .flatten()
        .flatten()
    {
        if !entry.file_name().to_str().is_some_and(is_temporary) {
            continue;
        }
        let written = entry.metadata().and_then(|metadata| metadata.modified());
        let age = written.ok().and_then(|written| written.elapsed().ok());
        if age.is_some_and(|age| age > ABANDONED_AFTER) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
