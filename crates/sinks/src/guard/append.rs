//! Files of lines that are only ever appended to, with names that cannot collide and a cap.
//!
//! A file is named `<stem>-<microseconds>-<number>.ndjson` and made by `create_new`, so none ever
//! replaces another. Each run begins its own file at its first line: what a crash tore is never
//! continued. Lines count once they are on the disk (`fdatasync`, and the directory for a new
//! file); an append that fails leaves the file as it was, as far as the disk allows, and no new
//! one. Whoever takes the open file away meanwhile gets no line that counts: it goes to a new file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use record::Timestamp;

use crate::{ErrorKind, WriteError};

/// The most bytes that a line may have to be looked at, its end included.
pub(super) const LINE_BYTES_MAX: u64 = 8 << 20;

/// How often lines are written anew because their file was taken away.
const TAKEN_AWAY_MAX: usize = 8;

/// The most that files of one stem may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// A file that would grow beyond is followed by the next.
    pub(super) file_bytes_max: u64,
    /// Of all files together.
    pub(super) bytes_max: u64,
    /// Lines in all files together.
    pub(super) rows_max: u64,
}

/// Why lines were not appended; nothing of them counts.
#[derive(Debug)]
pub(super) enum AppendError {
    /// The cap is reached; the message says which.
    Full(String),
    /// The disk refused.
    Failed(WriteError),
}

/// Is shown a file and a line of it.
type OnLine<'a> = &'a mut dyn FnMut(&Path, &[u8]);

/// The files of one stem, held by this process alone.
#[derive(Debug)]
pub(super) struct AppendFiles {
    directory: PathBuf,
    stem: String,
    limits: Limits,
    /// Held until it is closed.
    _lock: File,
    /// All files of the stem, in the order of their names; the open one is the last.
    known: Vec<Known>,
    open: Option<File>,
}

#[derive(Debug)]
struct Known {
    path: PathBuf,
    bytes: u64,
    rows: u64,
}

impl AppendFiles {
    /// Opens the directory, shuts out other processes, and shows every line that is there and its
    /// file. Reads the files only where somebody looks or lines are capped.
    pub(super) fn open(
        directory: &Path,
        stem: &str,
        limits: Limits,
        mut on_line: Option<OnLine<'_>>,
    ) -> Result<Self, WriteError> {
        let failed = |path: &Path, error: &io::Error| failure("cannot open", path, error);
        fs::create_dir_all(directory).map_err(|error| failed(directory, &error))?;
        let lock = lock(&directory.join(format!("{stem}.lock")))?;
        let mut known = Vec::new();
        for path in paths(directory, stem).map_err(|error| failed(directory, &error))? {
            let counted = match &mut on_line {
                Some(on_line) => scan(&path, &mut |line| on_line(&path, line)),
                None if limits.rows_max < u64::MAX => scan(&path, &mut |_| ()),
                None => fs::metadata(&path).map(|metadata| (metadata.len(), 0)),
            };
            let (bytes, rows) = counted.map_err(|error| failed(&path, &error))?;
            known.push(Known { path, bytes, rows });
        }
        Ok(Self {
            directory: directory.to_owned(),
            stem: stem.to_owned(),
            limits,
            _lock: lock,
            known,
            open: None,
        })
    }

    /// Appends whole lines; they are on the disk when it returns.
    pub(super) fn append(&mut self, lines: &[u8], rows: u64) -> Result<(), AppendError> {
        if rows == 0 {
            return Ok(());
        }
        let added = lines.len() as u64;
        if let (Some(file), Some(known)) = (&self.open, self.known.last())
            && !is_in_place(file, &known.path)
        {
            // Nobody would ever read what is appended to it.
            self.open = None;
            self.known.pop();
        }
        if self.full(added, rows).is_some() {
            // Somebody may have replayed files and taken them away.
            self.known.retain(|known| known.path.exists());
            if let Some(message) = self.full(added, rows) {
                return Err(AppendError::Full(message));
            }
        }
        let is_grown = self.known.last().is_some_and(|known| {
            known.bytes > 0 && known.bytes.saturating_add(added) > self.limits.file_bytes_max
        });
        if is_grown {
            self.open = None;
        }
        // A file that was taken away, before or during the append, is not read again.
        for _ in 0..TAKEN_AWAY_MAX {
            let appended = self.append_to_open(lines, rows);
            if appended.map_err(AppendError::Failed)? {
                return Ok(());
            }
        }
        Err(AppendError::Failed(WriteError::new(
            ErrorKind::Transient,
            format!(
                "files in {} are taken away while they are written",
                self.directory.display()
            ),
        )))
    }

    /// Whether the lines are in a file that is still in its place.
    fn append_to_open(&mut self, lines: &[u8], rows: u64) -> Result<bool, WriteError> {
        let mut file = match self.open.take() {
            Some(file) => file,
            None => self.create()?,
        };
        let Some(known) = self.known.last_mut() else {
            return Err(WriteError::new(ErrorKind::Fatal, "there is no file open"));
        };
        match file.write_all(lines).and_then(|()| file.sync_data()) {
            Ok(()) if !is_in_place(&file, &known.path) => {
                self.known.pop();
                Ok(false)
            }
            Ok(()) => {
                known.bytes += lines.len() as u64;
                known.rows += rows;
                self.open = Some(file);
                Ok(true)
            }
            Err(error) => {
                let failed = failure("cannot append to", &known.path, &error);
                // What was written in part must not be read. The next append begins a new file, so
                // one without a line goes: a disk that stays full must not fill with empty files.
                let undone = match known.bytes {
                    0 => fs::remove_file(&known.path),
                    bytes => file.set_len(bytes).and_then(|()| file.sync_data()),
                };
                if let Err(undone) = undone {
                    let path = known.path.display();
                    tracing::warn!(%path, %undone, "a failed append could not be undone");
                } else if known.bytes == 0 {
                    self.known.pop();
                }
                Err(failed)
            }
        }
    }

    fn create(&mut self) -> Result<File, WriteError> {
        let mut stamp = Timestamp::from_system(SystemTime::now()).micros().max(0);
        if let Some(latest) = self.known.last().and_then(|known| self.stamp_of(known)) {
            // Names tell the order also when the clock was set back.
            stamp = stamp.max(latest + 1);
        }
        // Somebody may have replayed files and taken them away.
        self.known.retain(|known| known.path.exists());
        for number in 0..1000 {
            let name = format!("{}-{stamp:016}-{number:03}.ndjson", self.stem);
            let path = self.directory.join(name);
            let made = OpenOptions::new().append(true).create_new(true).open(&path);
            match made {
                Ok(file) => {
                    if let Err(error) = sync_directory(&self.directory) {
                        let _ = fs::remove_file(&path);
                        return Err(failure("cannot sync", &self.directory, &error));
                    }
                    self.known.push(Known {
                        path,
                        bytes: 0,
                        rows: 0,
                    });
                    return Ok(file);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failure("cannot create", &path, &error)),
            }
        }
        Err(WriteError::new(
            ErrorKind::Transient,
            format!("no name is free for a file in {}", self.directory.display()),
        ))
    }

    fn stamp_of(&self, known: &Known) -> Option<i64> {
        let name = known.path.file_name()?.to_str()?;
        let rest = name.strip_prefix(self.stem.as_str())?.strip_prefix('-')?;
        rest.split('-').next()?.parse().ok()
    }

    fn full(&self, bytes: u64, rows: u64) -> Option<String> {
        let Limits {
            bytes_max,
            rows_max,
            ..
        } = self.limits;
        let place = format_args!("{}/{}-*.ndjson", self.directory.display(), self.stem);
        if self.bytes().saturating_add(bytes) > bytes_max {
            return Some(format!(
                "{place} may take {bytes_max} bytes and holds {}",
                self.bytes()
            ));
        }
        (self.rows().saturating_add(rows) > rows_max)
            .then(|| format!("{place} may take {rows_max} rows and holds {}", self.rows()))
    }

    /// The paths of all files, the one that was appended to last at the end.
    pub(super) fn known(&self) -> impl DoubleEndedIterator<Item = &Path> {
        self.known.iter().map(|known| known.path.as_path())
    }

    /// Bytes in all files.
    pub(super) fn bytes(&self) -> u64 {
        self.known.iter().map(|known| known.bytes).sum()
    }

    /// Lines in all files.
    pub(super) fn rows(&self) -> u64 {
        self.known.iter().map(|known| known.rows).sum()
    }
}

/// Whether the path still leads to the open file.
fn is_in_place(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let id = |found: fs::Metadata| (found.dev(), found.ino());
        let (ours, there) = (file.metadata().map(id), fs::metadata(path).map(id));
        // Where the disk does not answer nothing says that the file is gone.
        match (ours, there) {
            (Ok(ours), Ok(there)) => ours == there,
            (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
            (Err(_), Ok(_)) => true,
        }
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

/// The files of a stem, oldest first.
pub(super) fn paths(directory: &Path, stem: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| is_of(name, stem)) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn is_of(name: &str, stem: &str) -> bool {
    let stamp = name
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".ndjson"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    stamp
        .and_then(|stamp| stamp.split_once('-'))
        .is_some_and(|(micros, number)| is_number(micros) && is_number(number))
}

fn scan(path: &Path, on_line: &mut dyn FnMut(&[u8])) -> io::Result<(u64, u64)> {
    let mut lines = BufReader::new(File::open(path)?);
    let (mut line, mut bytes, mut rows) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        let mut limited = (&mut lines).take(LINE_BYTES_MAX);
        let read = limited.read_until(b'\n', &mut line)? as u64;
        if read == 0 {
            return Ok((bytes, rows));
        }
        bytes += read;
        if line.ends_with(b"\n") {
            rows += 1;
            on_line(&line);
        } else if read == LINE_BYTES_MAX {
            rows += 1;
            bytes += lines.skip_until(b'\n')? as u64;
        }
    }
}

/// Locks a file for this process, or says who is in the way.
pub(super) fn lock(path: &Path) -> Result<File, WriteError> {
    let mut options = OpenOptions::new();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|error| failure("cannot open", path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(WriteError::new(
            ErrorKind::Fatal,
            format!(
                "{} is locked: another writer uses the files beside it; give each its own",
                path.display()
            ),
        )),
        Err(TryLockError::Error(error)) => Err(failure("cannot lock", path, &error)),
    }
}

/// Makes new and renamed files of a directory survive a power cut.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// An error of the file system: transient, but for what no waiting cures.
pub(super) fn failure(what: &str, path: &Path, error: &io::Error) -> WriteError {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::InvalidFilename => ErrorKind::Fatal,
        _ => ErrorKind::Transient,
    };
    WriteError::new(kind, format!("{what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        file_bytes_max: 100,
        bytes_max: 1000,
        rows_max: 100,
    };

    #[test]
    fn an_append_that_fails_leaves_no_empty_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = |files: &mut AppendFiles| {
            drop(files.create().expect("created"));
            let path = files.known.last().expect("one").path.clone();
            // Like a full disk, a file that is only read takes nothing.
            files.open = Some(File::open(path).expect("there"));
        };
        let mut files = AppendFiles::open(directory.path(), "rows", LIMITS, None).expect("opened");
        for _ in 0..3 {
            open(&mut files);
            files.append(b"1\n", 1).expect_err("it takes nothing");
            assert!(paths(directory.path(), "rows").expect("listed").is_empty());
        }
        files.append(b"1\n", 1).expect("appended");
        assert_eq!((files.bytes(), files.rows()), (2, 1));
    }

    #[test]
    fn lines_for_a_file_that_was_taken_away_are_in_the_next() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut files = AppendFiles::open(directory.path(), "rows", LIMITS, None).expect("opened");
        files.append(b"1\n", 1).expect("appended");
        let first = files.known[0].path.clone();
        // Another file in the same place would not do either.
        fs::remove_file(&first).expect("removed");
        fs::write(&first, b"").expect("written");
        files.append(b"2\n", 1).expect("appended");
        let found = paths(directory.path(), "rows").expect("listed");
        let last = found.last().expect("a file");
        assert_eq!(fs::read(last).expect("read"), b"2\n");
    }
}
