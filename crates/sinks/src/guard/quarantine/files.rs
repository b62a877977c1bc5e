//! The files of a quarantine: what goes into a line, what is there already, and the cap.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;
use record::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::append::{self, AppendError, AppendFiles, LINE_BYTES_MAX, Limits};
use super::super::blocking;
use crate::{Batch, Entry, ErrorKind, Refused, Row, ScopeIndex, ScopeName, WriteError};

/// What happens to a refused row for which there is no room left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The write fails with [`ErrorKind::Fatal`] and says so. Nothing is lost: the batch is still
    /// its producer's, and nothing after it is written.
    Stop,
    /// The row stays `rejected` in the receipt: it is counted, and kept nowhere.
    Reject,
}

/// Where a quarantine is, and how large it may grow.
#[derive(Clone, Debug)]
pub struct QuarantineOptions {
    directory: PathBuf,
    name: String,
    limits: Limits,
    when_full: WhenFull,
}

impl QuarantineOptions {
    /// Files `quarantine-….ndjson` in `directory`, which is made when the first row comes: up to
    /// 64 MiB each, 1 GiB and 1,000,000 rows together, and [`WhenFull::Stop`].
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            name: "quarantine".to_owned(),
            limits: Limits {
                file_bytes_max: 64 << 20,
                bytes_max: 1 << 30,
                rows_max: 1_000_000,
            },
            when_full: WhenFull::Stop,
        }
    }

    /// What the names of the files begin with: each writer needs its own.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..self
        }
    }

    /// The size in bytes at which a file is followed by the next.
    #[must_use]
    pub fn file_bytes_max(mut self, bytes: u64) -> Self {
        self.limits.file_bytes_max = bytes;
        self
    }

    /// The most bytes that all files may take together.
    #[must_use]
    pub fn bytes_max(mut self, bytes: u64) -> Self {
        self.limits.bytes_max = bytes;
        self
    }

    /// The most rows that all files may hold together. The place of each takes 16 bytes of memory.
    #[must_use]
    pub fn rows_max(mut self, rows: u64) -> Self {
        self.limits.rows_max = rows;
        self
    }

    /// What happens when either is reached.
    #[must_use]
    pub fn when_full(self, when_full: WhenFull) -> Self {
        Self { when_full, ..self }
    }
}

/// The files of a quarantine; a clone is another handle to the same ones.
///
/// Nothing is opened before the first row. Two processes, or two of these, cannot share files.
#[derive(Clone, Debug)]
pub struct QuarantineFiles {
    options: Arc<QuarantineOptions>,
    state: Arc<Mutex<Option<State>>>,
    size: Arc<Size>,
}

/// What `state` holds, for whoever must not wait for the disk.
#[derive(Debug, Default)]
struct Size {
    rows: AtomicU64,
    bytes: AtomicU64,
}

type Keys = HashSet<(u64, u64), foldhash::fast::FixedState>;

#[derive(Debug)]
struct State {
    files: AppendFiles,
    /// What is kept already: by position, and a hash of scope and content. A hash of the place
    /// alone would not do: a scope whose ledger was deleted counts from the beginning again.
    /// By file: what was taken away with one is not kept.
    kept: BTreeMap<PathBuf, Keys>,
}

/// Whether rows are in the quarantine now.
pub(in crate::guard) enum Kept {
    All,
    NoneForLackOfRoom,
}

/// A line as it stands in the file.
#[derive(Serialize, Deserialize)]
pub(super) struct Line {
    pub(super) scope: String,
    pub(super) position: u64,
    pub(super) reason: String,
    pub(super) quarantined_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) row: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) original: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) original_hex: Option<String>,
}

impl QuarantineFiles {
    /// The files that the options name.
    #[must_use]
    pub fn new(options: QuarantineOptions) -> Self {
        Self {
            options: Arc::new(options),
            state: Arc::default(),
            size: Arc::default(),
        }
    }

    /// The files that are there, oldest first.
    ///
    /// # Errors
    /// When the directory cannot be read; one that is not there has no files.
    pub fn paths(&self) -> std::io::Result<Vec<PathBuf>> {
        match append::paths(&self.options.directory, &self.options.name) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            found => found,
        }
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.options.directory
    }

    /// Rows in all files, and their bytes: zero until the first row of this run is kept.
    #[must_use]
    pub fn size(&self) -> (u64, u64) {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.size.rows), read(&self.size.bytes))
    }

    /// Appends the refused rows of the batch that are not there yet.
    pub(in crate::guard) async fn keep<R: Row>(
        &self,
        batch: &Batch<R>,
        refused: &[Refused],
        name_of: impl Fn(ScopeIndex) -> ScopeName,
    ) -> Result<Kept, WriteError> {
        let now = Timestamp::from_system(SystemTime::now()).to_string();
        let mut lines = Vec::with_capacity(refused.len());
        for refused in refused {
            let Some(entry) = batch.rows().get(refused.row) else {
                continue;
            };
            let line = line_of(entry, &name_of(entry.scope), &refused.reason, &now);
            lines.push((key_of(&line), line));
        }
        let this = self.clone();
        blocking(move || {
            let mut state = this.state.lock();
            let appended = append_new(&this.options, &mut state, &lines);
            if let Some(State { files, .. }) = &*state {
                this.size.rows.store(files.rows(), Ordering::Relaxed);
                this.size.bytes.store(files.bytes(), Ordering::Relaxed);
            }
            appended
        })
        .await
    }
}

fn append_new(
    options: &QuarantineOptions,
    state: &mut Option<State>,
    lines: &[((u64, u64), Line)],
) -> Result<Kept, WriteError> {
    let state = match state {
        Some(state) => state,
        None => state.insert(open(options)?),
    };
    let (mut text, mut keys) = (Vec::new(), Keys::default());
    for (key, line) in lines {
        let is_kept = state.kept.values().any(|keys| keys.contains(key));
        if !is_kept && keys.insert(*key) {
            let began = text.len();
            serde_json::to_writer(&mut text, line).map_err(|error| {
                let message = format!("a quarantined row cannot be written as JSON: {error}");
                WriteError::new(ErrorKind::Fatal, message)
            })?;
            text.push(b'\n');
            let length = (text.len() - began) as u64;
            if length > LINE_BYTES_MAX {
                // Nobody could read it again.
                if options.when_full == WhenFull::Reject {
                    return Ok(Kept::NoneForLackOfRoom);
                }
                let (position, scope) = (line.position, &line.scope);
                return Err(WriteError::new(
                    ErrorKind::Fatal,
                    format!(
                        "position {position} of scope `{scope}` cannot be kept: its line would \
                         take {length} bytes, at most {LINE_BYTES_MAX} are read again"
                    ),
                ));
            }
        }
    }
    match state.files.append(&text, keys.len() as u64) {
        Ok(()) => {
            let State { files, kept } = state;
            kept.retain(|path, _| files.known().any(|known| known == path));
            if let Some(path) = files.known().next_back() {
                kept.entry(path.to_owned()).or_default().extend(keys);
            }
            Ok(Kept::All)
        }
        Err(AppendError::Full(_)) if options.when_full == WhenFull::Reject => {
            Ok(Kept::NoneForLackOfRoom)
        }
        Err(AppendError::Full(message)) => Err(WriteError::new(
            ErrorKind::Fatal,
            format!(
                "the quarantine is full: {message}; replay or move its files, or raise the cap"
            ),
        )),
        Err(AppendError::Failed(error)) => Err(error),
    }
}

fn open(options: &QuarantineOptions) -> Result<State, WriteError> {
    let mut kept = BTreeMap::<PathBuf, Keys>::new();
    let mut on_line = |path: &Path, line: &[u8]| {
        if let Ok(line) = serde_json::from_slice::<Line>(line) {
            let keys = kept.entry(path.to_owned()).or_default();
            keys.insert(key_of(&line));
        }
    };
    let QuarantineOptions {
        directory,
        name,
        limits,
        ..
    } = options;
    let files = AppendFiles::open(directory, name, *limits, Some(&mut on_line))?;
    Ok(State { files, kept })
}

fn line_of<R: Row>(entry: &Entry<R>, scope: &ScopeName, reason: &str, now: &str) -> Line {
    let mut line = Line {
        scope: scope.as_str().to_owned(),
        position: entry.position.number(),
        reason: reason.to_owned(),
        quarantined_at: now.to_owned(),
        row: None,
        original: None,
        original_hex: None,
    };
    match &entry.content {
        Ok(row) => {
            // Between the tokens of JSON a newline is but a space.
            let json = row.to_json().replace(['\n', '\r'], " ");
            match RawValue::from_string(json) {
                Ok(json) => line.row = Some(json),
                Err(_) => line.original = Some(row.to_json()),
            }
        }
        Err(malformed) => match std::str::from_utf8(malformed.original()) {
            Ok(text) => line.original = Some(text.to_owned()),
            Err(_) => {
                let bytes = malformed.original().iter();
                line.original_hex = Some(bytes.map(|byte| format!("{byte:02x}")).collect());
            }
        },
    }
    line
}

/// What tells one kept row from all others.
fn key_of(line: &Line) -> (u64, u64) {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    line.scope.hash(&mut hasher);
    line.row.as_ref().map(|row| row.get()).hash(&mut hasher);
    (&line.original, &line.original_hex).hash(&mut hasher);
    (line.position, hasher.finish())
}
