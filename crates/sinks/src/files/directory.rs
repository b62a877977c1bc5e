//! The directory: its lock, the names of its files, and how many there are.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

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

/// Creates the directory and locks it for as long as the file that is returned is open.
pub(super) fn lock(directory: &Path) -> Result<File, WriteError> {
    let failed = |error: &io::Error| write_error("open", directory, error);
    let is_new = !directory.exists();
    std::fs::create_dir_all(directory).map_err(|error| failed(&error))?;
    if let Some(parent) = directory.parent().filter(|_| is_new) {
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        sync(parent).map_err(|error| failed(&error))?;
    }
    let path = directory.join("forebay.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(WriteError::new(
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
