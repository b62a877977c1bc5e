//! The writer: asks for things to be done off the runtime, and wakes up for the age of a file.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use record::{Position, Record};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::options::FileOptions;
use super::store::{Counters, Opened, Store};
use crate::{
    Batch, BatchWriter, ErrorKind, Guarantee, OpenScope, Receipt, Row, ScopeIndex, ScopeName,
    WriteError,
};

/// A sink that writes files of rows into a directory.
///
/// It opens the directory at its first use, and again after an error of its files. A directory
/// takes one writer at a time, of any process.
///
/// ```
/// use sinks::{BatchWriter, FileFormat, FileOptions, FileWriter, ScopeIndex, ScopeName};
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
/// # runtime.block_on(async {
/// # let folder = tempfile::tempdir().expect("a folder");
/// let options = FileOptions::new(folder.path(), FileFormat::Csv).rotate_rows(100_000);
/// let writer: FileWriter = FileWriter::new(options);
/// let scope = writer.open_scope(ScopeIndex(0), &ScopeName::new("host/normal")).await?;
/// assert_eq!(scope.watermark, record::Position::START);
/// writer.close().await?;
/// # Ok::<(), sinks::WriteError>(()) }).expect("closed");
/// ```
pub struct FileWriter<R: Row = Record> {
    inner: Arc<Inner>,
    row: PhantomData<fn() -> R>,
}

/// What a writer counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileStats {
    /// Files that were finished.
    pub files_finished: u64,
    /// Finished files that were removed to make room, or for their age.
    pub files_deleted: u64,
    /// Their bytes.
    pub bytes_deleted: u64,
}

struct Inner {
    options: FileOptions,
    writer: u64,
    /// The directory while it is open. Whoever works on it holds the lock until the work is done,
    /// whether somebody waits for it or not.
    slot: Arc<tokio::sync::Mutex<Option<Store>>>,
    scopes: Mutex<HashMap<ScopeIndex, Opened>>,
    counters: Arc<Counters>,
    /// The task that waits for the age of the log.
    timer: Mutex<Option<(Instant, AbortHandle)>>,
}

/// How long the task waits after a failure before it tries again, at first and at most.
const AGAIN_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

impl<R: Row> FileWriter<R> {
    /// A writer; nothing is opened before its first use.
    #[must_use]
    pub fn new(options: FileOptions) -> Self {
        Self {
            inner: Arc::new(Inner {
                options,
                writer: fastrand::u64(..),
                slot: Arc::default(),
                scopes: Mutex::default(),
                counters: Arc::default(),
                timer: Mutex::default(),
            }),
            row: PhantomData,
        }
    }

    /// What it counted.
    #[must_use]
    pub fn stats(&self) -> FileStats {
        let counters = &self.inner.counters;
        FileStats {
            files_finished: counters.finished.load(Ordering::Relaxed),
            files_deleted: counters.deleted.load(Ordering::Relaxed),
            bytes_deleted: counters.deleted_bytes.load(Ordering::Relaxed),
        }
    }

    /// Finishes the file that has rows, whatever its size and age.
    ///
    /// # Errors
    /// When the file cannot be written; its rows stay where they are.
    pub async fn rotate(&self) -> Result<(), WriteError> {
        act::<R, _>(&self.inner, |store, _| store.rotate()).await
    }
}

/// Acts on the directory off the runtime, one after the other. The directory is opened first if
/// it is not, and closed by an error of its files, so that the next attempt starts from what is on
/// the disk.
async fn act<R: Row, T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl FnOnce(&mut Store, Instant) -> Result<T, WriteError> + Send + 'static,
) -> Result<T, WriteError> {
    let mut slot = Arc::clone(&inner.slot).lock_owned().await;
    let inner = Arc::clone(inner);
    let now = Instant::now();
    let done = tokio::task::spawn_blocking(move || {
        let mut store = match slot.take() {
            Some(store) => store,
            None => Store::open::<R>(&inner.options, &inner.counters, inner.writer, now)?,
        };
        let done = work(&mut store, now);
        if done.is_ok() && store.is_due(now) {
            // The work is done and stays done; the next write tries this again.
            if let Err(error) = store.rotate() {
                tracing::warn!(%error, "a file that is due could not be finished");
            }
        }
        if !store.is_sound() {
            return done;
        }
        wait_for_age::<R>(&inner, store.due_at());
        *slot = Some(store);
        done
    });
    done.await.unwrap_or_else(|error| {
        Err(WriteError::new(
            ErrorKind::Transient,
            format!("writing files was cut short: {error}"),
        ))
    })
}

/// Starts the task that finishes the file at its age, and ends one for an earlier file.
fn wait_for_age<R: Row>(inner: &Arc<Inner>, due_at: Option<Instant>) {
    let mut timer = inner.timer.lock();
    if timer.as_ref().map(|(at, _)| *at) == due_at {
        return;
    }
    if let Some((_, task)) = timer.take() {
        task.abort();
    }
    if let Some(due_at) = due_at {
        let task = tokio::spawn(finish_at::<R>(Arc::downgrade(inner), due_at));
        *timer = Some((due_at, task.abort_handle()));
    }
}

async fn finish_at<R: Row>(inner: Weak<Inner>, due_at: Instant) {
    tokio::time::sleep_until(due_at).await;
    let mut pause = AGAIN_AFTER.0;
    loop {
        let Some(inner) = inner.upgrade() else {
            return;
        };
        let finished = act::<R, _>(&inner, |store, now| {
            if store.is_due(now) {
                store.rotate()
            } else {
                Ok(())
            }
        });
        match finished.await {
            Ok(()) => return,
            Err(error) => tracing::warn!(%error, ?pause, "a file that is due waits"),
        }
        drop(inner);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN_AFTER.1);
    }
}

impl<R: Row> BatchWriter for FileWriter<R> {
    type Row = R;

    fn name(&self) -> &str {
        self.inner.options.format.extension()
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let scope = name.clone();
        let opened = act::<R, _>(&self.inner, move |store, _| store.open_scope(&scope)).await?;
        let (name, fence) = (name.clone(), opened.fence);
        self.inner
            .scopes
            .lock()
            .insert(index, Opened { name, fence });
        Ok(opened)
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        let prefix = prefix.to_owned();
        act::<R, _>(&self.inner, move |store, _| Ok(store.scopes(&prefix))).await
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        let names = (from.clone(), to.clone());
        act::<R, _>(&self.inner, move |store, _| {
            store.rename_scope(&names.0, &names.1)
        })
        .await?;
        for opened in self.inner.scopes.lock().values_mut() {
            if opened.name == *from {
                opened.name = to.clone();
            }
        }
        Ok(())
    }

    async fn write(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        let scopes = self.inner.scopes.lock().clone();
        let batch = batch.clone();
        act::<R, _>(&self.inner, move |store, now| {
            store.write(&batch, |index| scopes.get(&index).cloned(), now)
        })
        .await
    }

    async fn close(&self) -> Result<(), WriteError> {
        let mut slot = Arc::clone(&self.inner.slot).lock_owned().await;
        if let Some((_, task)) = self.inner.timer.lock().take() {
            task.abort();
        }
        let closed = tokio::task::spawn_blocking(move || match slot.take() {
            Some(mut store) => store.rotate(),
            None => Ok(()),
        });
        closed.await.unwrap_or_else(|error| {
            Err(WriteError::new(
                ErrorKind::Transient,
                format!("closing files was cut short: {error}"),
            ))
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some((_, task)) = self.timer.get_mut().take() {
            task.abort();
        }
    }
}

impl<R: Row> std::fmt::Debug for FileWriter<R> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "FileWriter({})",
            self.inner.options.directory.display()
        )
    }
}
