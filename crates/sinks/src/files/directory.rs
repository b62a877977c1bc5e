//! The directory: its lock, the names of its files, and how many there are.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use record::Timestamp;

use crate::{ErrorKind, WriteError};

/// The end of the names of files that are not finished.
pub(super) const PART: &str = "part";

/// Makes names in a directory durable.
pub(super) fn sync(directory: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(directory)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = directory;
    Ok(())
}

/// Whether the file that is open is still the one at this path.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (ours, there) = (file.metadata(), std::fs::metadata(path));
        let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
        ours.is_ok_and(|ours| there.is_ok_and(|there| identity(ours) == identity(there)))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

/// Creates the directory, and makes durable what leads to it.
fn create(directory: &Path) -> io::Result<()> {
    let is_missing = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let missing = directory.ancestors().take_while(is_missing).count();
    std::fs::create_dir_all(directory)?;
    // That of a directory which is there already too: whoever created it may have been cut short.
    for (created, path) in (0..missing.max(1)).zip(directory.ancestors()) {
        let Some(parent) = path.parent() else { break };
        let is_here = parent.as_os_str().is_empty();
        let parent = if is_here { Path::new(".") } else { parent };
        match sync(parent) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && created >= missing => {
            }
            synced => synced?,
        }
    }
    Ok(())
}

/// Where the lock of a directory is.
pub(super) fn lock_path(directory: &Path) -> PathBuf {
    directory.join("forebay.lock")
}

/// Creates the directory and locks it for as long as the file that is returned is open, and stays
/// where it is.
pub(super) fn lock(directory: &Path) -> Result<File, WriteError> {
    let failed = |error: &io::Error| write_error("open", directory, error);
    create(directory).map_err(|error| failed(&error))?;
    let path = lock_path(directory);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) if is_at(&file, &path) => Ok(file),
        Ok(()) | Err(TryLockError::WouldBlock) => Err(WriteError::new(
            ErrorKind::Transient,
            format!(
                "cannot open {}: another writer has locked {}; a directory takes one writer at a \
                 time",
                directory.display(),
                path.display()
            ),
        )),
        Err(TryLockError::Error(error)) => Err(failed(&error)),
    }
}

/// A finished file.
pub(super) struct Finished {
    pub(super) file_name: String,
    pub(super) bytes: u64,
    pub(super) at: Timestamp,
}

/// The finished files whose names begin with `name`, the oldest first.
pub(super) fn finished(directory: &Path, name: &str) -> io::Result<Vec<Finished>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let Ok(file_name) = entry.file_name().into_string() else {
            continue;
        };
        let is_finished = file_name.ends_with(".csv") || file_name.ends_with(".parquet");
        let Some(at) = is_finished.then(|| time_of(&file_name, name)).flatten() else {
            continue;
        };
        let bytes = match entry.metadata() {
            Ok(metadata) => metadata.len(),
            // It was moved away just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        found.push(Finished {
            file_name,
            bytes,
            at,
        });
    }
    found.sort_by(|a, b| a.file_name.cmp(&b.file_name));
    Ok(found)
}

/// Removes what conversions left behind that were cut short.
pub(super) fn remove_parts(directory: &Path, name: &str) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let file_name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("");
        if file_name.ends_with(PART) && time_of(file_name, name).is_some() {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// A name without its end: time, writer and count. Names sort by time.
pub(super) fn stem(name: &str, at: Timestamp, writer: u64, count: u64) -> String {
    let text = at.to_string();
    let (seconds, fraction) = text
        .trim_end_matches('Z')
        .split_once('.')
        .unwrap_or((text.trim_end_matches('Z'), ""));
    let seconds = seconds.replace(['-', ':'], "");
    format!("{name}-{seconds}.{fraction:0<6}Z-{writer:016x}-{count:06}")
}

/// The time in the name of a file of ours.
pub(super) fn time_of(file_name: &str, name: &str) -> Option<Timestamp> {
    let rest = file_name.strip_prefix(name)?.strip_prefix('-')?;
    let mut parts = rest.split('-');
    let (time, writer) = (parts.next()?, parts.next()?);
    let is_ours = writer.len() == 16 && writer.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_ours.then(|| time.parse().ok()).flatten()
}

/// The error for the caller: what was attempted on which file, why it failed, and what helps.
pub(super) fn write_error(doing: &str, path: &Path, error: &io::Error) -> WriteError {
    use io::ErrorKind as Io;
    let (kind, help) = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => (ErrorKind::Transient, "; free some space"),
        Io::PermissionDenied | Io::ReadOnlyFilesystem => {
            (ErrorKind::Fatal, "; may its directory be written?")
        }
        Io::NotADirectory | Io::IsADirectory | Io::AlreadyExists => {
            (ErrorKind::Fatal, "; is something else of that name there?")
        }
        Io::NotFound | Io::InvalidData | Io::InvalidInput | Io::InvalidFilename => {
            (ErrorKind::Fatal, "")
        }
        Io::Unsupported => (
            ErrorKind::Fatal,
            "; does its file system know locks and syncs?",
        ),
        _ => (ErrorKind::Transient, ""),
    };
    let path = path.display();
    WriteError::new(kind, format!("cannot {doing} {path}: {error}{help}"))
}

/// The error for a file that is no longer where it was opened.
pub(super) fn displaced(path: &Path) -> WriteError {
    WriteError::new(
        ErrorKind::Fatal,
        format!(
            "cannot write to {}: the file was removed or replaced while it was open; put it back, \
             or start again",
            path.display()
        ),
    )
}
