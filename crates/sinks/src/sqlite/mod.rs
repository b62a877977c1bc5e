//! The embedded sink: one SQLite file, written by one thread.
//!
//! WAL and `synchronous=FULL`: a committed batch survives a power cut. Each batch is one `BEGIN
//! IMMEDIATE` transaction in which the rows are appended, bad rows go to the `quarantine` table,
//! and the `ledger` row of each scope advances. A row that SQLite refuses (a constraint, a trigger,
//! a value too large) costs only itself; an error of the file or of its lock fails the batch, and
//! after one the connection is opened anew.
//!
//! The tables are in append order and carry no index: an index that begins with source and tag
//! would make writing some twenty times slower. Other processes may read at any time.

mod classify;
mod schema;
mod transaction;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use record::Position;
use tokio::sync::oneshot;

use crate::{
    Batch, BatchWriter, ErrorKind, Guarantee, OpenScope, Receipt, ScopeIndex, ScopeName, WriteError,
};
use worker::{Command, Reply};

/// Where the file is, and how patient to be with others who lock it.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    path: PathBuf,
    busy_timeout: Duration,
}

impl SqliteOptions {
    /// The file at `path`, which is created if there is none; waits 5 s for locks of others.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            busy_timeout: Duration::from_secs(5),
        }
    }

    /// How long to wait for another process that has locked the file.
    #[must_use]
    pub fn busy_timeout(self, busy_timeout: Duration) -> Self {
        Self {
            busy_timeout,
            ..self
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A sink that writes one SQLite file from a thread of its own.
///
/// ```
/// use sinks::{BatchWriter, ScopeIndex, ScopeName, SqliteOptions, SqliteWriter};
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
/// # runtime.block_on(async {
/// # let folder = tempfile::tempdir().expect("a folder");
/// let writer = SqliteWriter::open(SqliteOptions::new(folder.path().join("forebay.sqlite")))?;
/// let scope = writer.open_scope(ScopeIndex(0), &ScopeName::new("host/normal")).await?;
/// assert_eq!(scope.watermark, record::Position::START);
/// writer.close().await?;
/// # Ok::<(), sinks::WriteError>(()) }).expect("closed");
/// ```
#[derive(Debug)]
pub struct SqliteWriter {
    commands: mpsc::SyncSender<Command>,
}

/// Commands that may wait for the thread; a pipeline has one batch in flight.
const COMMANDS_MAX: usize = 16;

impl SqliteWriter {
    /// Opens the file and creates or checks its tables. Blocks for as long as others lock it, up
    /// to the busy timeout.
    ///
    /// # Errors
    /// When the file cannot be opened, is locked, is no database, or has tables of another shape.
    pub fn open(options: SqliteOptions) -> Result<Self, WriteError> {
        let (commands, inbox) = mpsc::sync_channel(COMMANDS_MAX);
        let (ready, opened) = mpsc::sync_channel(1);
        std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || worker::run(options, &ready, &inbox))
            .map_err(|error| {
                WriteError::new(
                    ErrorKind::Fatal,
                    format!("cannot start the writer: {error}"),
                )
            })?;
        opened.recv().map_err(|_| worker_ended())??;
        Ok(Self { commands })
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, WriteError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .try_send(command(reply))
            .map_err(|error| match error {
                mpsc::TrySendError::Full(_) => WriteError::new(
                    ErrorKind::Transient,
                    format!("the writer has {COMMANDS_MAX} commands waiting"),
                ),
                mpsc::TrySendError::Disconnected(_) => worker_ended(),
            })?;
        answer.await.map_err(|_| worker_ended())?
    }
}

fn worker_ended() -> WriteError {
    WriteError::new(ErrorKind::Fatal, "the SQLite writer has ended")
}

impl BatchWriter for SqliteWriter {
    type Row = record::Record;

    fn name(&self) -> &str {
        "sqlite"
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        self.ask(|reply| Command::OpenScope(index, name.clone(), reply))
            .await
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        self.ask(|reply| Command::Scopes(prefix.to_owned(), reply))
            .await
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        self.ask(|reply| Command::Rename(from.clone(), to.clone(), reply))
            .await
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        self.ask(|reply| Command::Write(batch.clone(), reply)).await
    }

    async fn close(&self) -> Result<(), WriteError> {
        self.ask(Command::Close).await
    }
}
