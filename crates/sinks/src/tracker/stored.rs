//! A tracker in memory whose snapshot is a file.
//!
//! The snapshot is read when the tracker is opened, and written when the oldest evidence that is
//! not in it has waited for as long as it may, and when the tracker is closed. Each is whole or not
//! there, and none is ever written over a file that could not be read. Nothing that is counted is
//! taken back: a snapshot that cannot be written does not fail the write before it, but the next
//! one, before that adds anything. So what a crash loses is bounded by the time between two
//! snapshots, also while a disk is full. A file beside the snapshot is locked, so that two writers
//! do not take turns in overwriting each other. Dropping it without closing writes nothing.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use record::Record;
use tokio::sync::RwLock;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use trust::{ImportLimits, SnapshotError, TrustTracker};

use super::options::SNAPSHOT_EVERY;
use super::{NAME, TrackerOptions, TrackerWriter};
use crate::guard::blocking;
use crate::{Batch, BatchWriter, ErrorKind, Guarantee, Receipt, WriteError};

/// Writes records that are evidence to a tracker of trust, and keeps that in a file.
///
/// ```
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let path = folder.path().join("trust.json");
/// use sinks::{Batch, BatchId, BatchWriter, Entry, ScopeIndex, StoredTracker, TrackerOptions};
/// use record::{Position, Record, Timestamp, Value};
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
/// # runtime.expect("a runtime").block_on(async {
/// let row = Entry {
///     scope: ScopeIndex(0),
///     position: Position::START,
///     arrival: std::time::Instant::now(),
///     content: Ok(Record::new("rule 7", "hit", Value::Bool(true), Timestamp::default())
///         .expect("a record")),
/// };
/// let writer = StoredTracker::open(TrackerOptions::new(&path))?;
/// writer.write(&Batch::new(BatchId(1), vec![row])).await?;
/// writer.close().await?;
/// let writer = StoredTracker::open(TrackerOptions::new(&path))?;
/// assert_eq!(writer.tracker().posterior("rule 7/hit").alpha(), 2.0);
/// # Ok::<(), sinks::WriteError>(()) }).expect("written");
/// ```
pub struct StoredTracker {
    inner: Arc<Inner>,
}

struct Inner {
    writer: TrackerWriter<TrustTracker<String>, Record>,
    path: PathBuf,
    every: Duration,
    /// The zero of the tracker's clock.
    started: Instant,
    /// The locked file, until it is closed. Batches are added by those who read this, so that none
    /// is added behind the last snapshot.
    lock: RwLock<Option<File>>,
    /// One snapshot at a time; waited for by threads that write one, and by nobody else.
    saving: Mutex<()>,
    state: Mutex<State>,
}

/// What is in the snapshot, and what is not.
struct State {
    /// Batches that were added.
    added: u64,
    /// How many of them are in the snapshot.
    saved: u64,
    saved_at: Instant,
    /// Whether the last attempt at a snapshot failed.
    has_failed: bool,
    /// What waits until a snapshot is due.
    timer: Option<AbortHandle>,
}

impl StoredTracker {
    /// Reads the snapshot, if there is one, and locks a file beside it, whose name ends in `.lock`.
    /// Blocks.
    ///
    /// # Errors
    /// When the snapshot cannot be read, is damaged or does not fit the settings, when another
    /// writer has it open, or when a setting is out of bounds. The snapshot is what it was.
    pub fn open(options: TrackerOptions) -> Result<Self, WriteError> {
        let TrackerOptions {
            path,
            key,
            settings,
            snapshot_every,
        } = options;
        let tracker = settings.build().map_err(|error| fatal(error.to_string()))?;
        if !SNAPSHOT_EVERY.contains(&snapshot_every) {
            return Err(fatal(format!(
                "`snapshot_every` is {snapshot_every:?}, but must be from 1s to 1d"
            )));
        }
        let lock = locked(&path)?;
        let started = Instant::now();
        // The file is this tracker's own, however large it became.
        let limits = ImportLimits {
            bytes_max: u64::MAX,
            ..ImportLimits::default()
        };
        match tracker.load(&path, Duration::ZERO, &limits) {
            Ok(keys) => tracing::debug!(path = %path.display(), keys, "read the snapshot"),
            Err(SnapshotError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(fatal(format!(
                    "cannot read the snapshot {} ({error}); it is left as it is: mend it, or move \
                     it away to start with none",
                    path.display()
                )));
            }
        }
        let state = State {
            added: 0,
            saved: 0,
            saved_at: started,
            has_failed: false,
            timer: None,
        };
        let inner = Inner {
            writer: TrackerWriter::of_records(tracker).keyed_by(key),
            path,
            every: snapshot_every,
            started,
            lock: RwLock::new(Some(lock)),
            saving: Mutex::new(()),
            state: Mutex::new(state),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The tracker, to read from.
    #[must_use]
    pub fn tracker(&self) -> &TrustTracker<String> {
        self.inner.writer.tracker()
    }

    /// Writes a snapshot now, if anything was added since the last one.
    ///
    /// # Errors
    /// When the file system refuses; the snapshot is what it was, and the next write tries again.
    ///
    /// # Cancellation
    /// The snapshot is written nevertheless.
    pub async fn snapshot(&self) -> Result<(), WriteError> {
        save(&self.inner).await
    }
}

impl BatchWriter for StoredTracker {
    type Row = Record;

    fn name(&self) -> &str {
        NAME
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::UpToSnapshot
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        let inner = &self.inner;
        if inner.state.lock().has_failed {
            // Nothing is added before what there is can be kept.
            save(inner).await?;
        }
        let lock = inner.lock.read().await;
        if lock.is_none() {
            let path = inner.path.display();
            return Err(fatal(format!("the tracker of {path} is closed")));
        }
        // From here on nothing waits, so that a write that is cut off added all or nothing.
        inner.advance();
        let receipt = inner.writer.add(batch)?;
        if receipt.delivered() > 0 {
            inner.note();
        }
        Ok(receipt)
    }

    async fn close(&self) -> Result<(), WriteError> {
        let mut lock = self.inner.lock.write().await;
        if lock.is_none() {
            return Ok(());
        }
        if !self.tracker().is_empty() {
            // The time that passed belongs into the snapshot, also where nothing was added.
            self.inner.state.lock().added += 1;
        }
        save(&self.inner).await?;
        *lock = None;
        Ok(())
    }
}

impl Inner {
    fn advance(&self) {
        self.writer.tracker().advance(self.started.elapsed());
    }

    /// A batch was added; sees to it that a snapshot will be written.
    fn note(self: &Arc<Self>) {
        let mut state = self.state.lock();
        state.added += 1;
        let is_set = |timer: &AbortHandle| !timer.is_finished();
        if !state.timer.as_ref().is_some_and(is_set) {
            let due_at = state.saved_at + self.every;
            let task = tokio::spawn(save_at(Arc::downgrade(self), due_at));
            state.timer = Some(task.abort_handle());
        }
    }

    /// Blocks.
    fn save(&self) -> Result<(), WriteError> {
        let _turn = self.saving.lock();
        let added = {
            let state = self.state.lock();
            if state.added == state.saved {
                return Ok(());
            }
            state.added
        };
        self.advance();
        let saved = self.writer.tracker().save(&self.path);
        let mut state = self.state.lock();
        state.has_failed = saved.is_err();
        saved.map_err(|error| {
            let path = self.path.display();
            let message = format!("cannot keep the tracker in {path}: {error}");
            WriteError::new(ErrorKind::Transient, message)
        })?;
        state.saved = added;
        state.saved_at = Instant::now();
        Ok(())
    }
}

async fn save(inner: &Arc<Inner>) -> Result<(), WriteError> {
    let inner = Arc::clone(inner);
    blocking(move || inner.save()).await
}

/// Writes snapshots as they fall due, until nothing is left that is in none.
async fn save_at(inner: Weak<Inner>, mut due_at: Instant) {
    loop {
        tokio::time::sleep_until(due_at).await;
        let Some(inner) = inner.upgrade() else {
            return;
        };
        if let Err(error) = save(&inner).await {
            tracing::warn!(%error, "a snapshot that is due waits");
        }
        let mut state = inner.state.lock();
        if state.added == state.saved {
            state.timer = None;
            return;
        }
        due_at = Instant::now() + inner.every;
    }
}

/// Locks the file beside the snapshot: that itself is replaced by each new one.
fn locked(path: &Path) -> Result<File, WriteError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let beside = path.with_file_name(name);
    let failed = |error: &io::Error| {
        fatal(format!(
            "cannot open the tracker of {}: its lock {}: {error}",
            path.display(),
            beside.display()
        ))
    };
    let mut options = File::options();
    let file = options.create(true).truncate(false).write(true);
    let file = file.open(&beside).map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(fatal(format!(
            "cannot open the tracker of {}: another writer has locked {}; a snapshot takes one \
             writer at a time",
            path.display(),
            beside.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed(&error)),
    }
}

fn fatal(message: String) -> WriteError {
    WriteError::new(ErrorKind::Fatal, message)
}

impl std::fmt::Debug for StoredTracker {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path = &self.inner.path;
        out.debug_struct("StoredTracker")
            .field("path", path)
            .finish_non_exhaustive()
    }
}
