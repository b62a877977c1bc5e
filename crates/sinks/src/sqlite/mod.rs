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
mod history;
mod schema;
mod transaction;
mod worker;

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use record::{Position, Record};
use tokio::sync::{Semaphore, oneshot};

use crate::row::{IDENTIFIER_BYTES_MAX, is_identifier};
use crate::url::{Query, path_of};
use crate::{
    Batch, BatchWriter, ErrorKind, Guarantee, InvalidUrl, OpenScope, Receipt, Row, ScopeIndex,
    ScopeName, WriteError,
};
use worker::{Command, Reply};

/// Where the file is, and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    path: PathBuf,
    table: Option<String>,
    busy_timeout: Duration,
    checkpoint_pages: u32,
}

impl SqliteOptions {
    /// The file at `path`, which is created if there is none; waits 5 s for locks of others.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            table: None,
            busy_timeout: Duration::from_secs(5),
            checkpoint_pages: 1_000,
        }
    }

    /// Reads `sqlite:relative/path` or `sqlite:///absolute/path`, with the parameters `table`,
    /// `busy_timeout` (such as `5s`, up to an hour) and `checkpoint_pages` (1 to 1,000,000).
    ///
    /// ```
    /// use sinks::SqliteOptions;
    /// let url = url::Url::parse("sqlite:data/plant.sqlite?busy_timeout=2s").expect("a URL");
    /// let options = SqliteOptions::from_url(&url).expect("understood");
    /// assert_eq!(options.path(), std::path::Path::new("data/plant.sqlite"));
    /// ```
    ///
    /// # Errors
    /// When there is no path, or a parameter is unknown or not allowed.
    pub fn from_url(url: &url::Url) -> Result<Self, InvalidUrl> {
        let mut options = Self::new(path_of(url)?);
        let mut query = Query::new(url);
        let table = query.text("table");
        if let Some(timeout) = query.duration_in("busy_timeout", Duration::ZERO..=BUSY_MAX) {
            options = options.busy_timeout(timeout);
        }
        if let Some(pages) = query.number("checkpoint_pages", 1..=1_000_000) {
            options = options.checkpoint_pages(u32::try_from(pages).unwrap_or(u32::MAX));
        }
        query.finish()?;
        match table {
            Some(table) => options.table(&table),
            None => Ok(options),
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

    /// The table of the rows; that of their [`Schema`](crate::Schema) unless this is called.
    ///
    /// # Errors
    /// When the name is not made of lower-case letters, digits and underscores behind a letter, or
    /// is that of another table of the file.
    pub fn table(self, table: &str) -> Result<Self, InvalidUrl> {
        let taken = ["scopes", "ledger", "quarantine"].contains(&table);
        if taken || !is_identifier(table) || table.starts_with("sqlite_") {
            return Err(InvalidUrl::new(format!(
                "table `{table}` cannot be used, expected 1 to {IDENTIFIER_BYTES_MAX} lower-case \
                 letters, digits and underscores behind a letter, and not scopes, ledger, \
                 quarantine or sqlite_…"
            )));
        }
        Ok(Self {
            table: Some(table.to_owned()),
            ..self
        })
    }

    /// How many pages of 4 KiB the write-ahead log gathers before they are moved into the file, by
    /// the commit that reaches the number: 1,000 unless this is called. More make fewer but longer
    /// pauses, and a longer log.
    #[must_use]
    pub fn checkpoint_pages(self, checkpoint_pages: u32) -> Self {
        Self {
            checkpoint_pages: checkpoint_pages.max(1),
            ..self
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn table_for<R: Row>(&self) -> &str {
        self.table.as_deref().unwrap_or(R::SCHEMA.table())
    }
}

/// A sink that writes one SQLite file from a thread of its own.
///
/// ```
/// use sinks::{BatchWriter, ScopeIndex, ScopeName, SqliteOptions, SqliteWriter};
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
/// # runtime.block_on(async {
/// # let folder = tempfile::tempdir().expect("a folder");
/// let options = SqliteOptions::new(folder.path().join("forebay.sqlite"));
/// let writer: SqliteWriter = SqliteWriter::open(options)?;
/// let scope = writer.open_scope(ScopeIndex(0), &ScopeName::new("host/normal")).await?;
/// assert_eq!(scope.watermark, record::Position::START);
/// writer.close().await?;
/// # Ok::<(), sinks::WriteError>(()) }).expect("closed");
/// ```
#[derive(Debug)]
pub struct SqliteWriter<R: Row = Record> {
    commands: mpsc::SyncSender<Command<R>>,
    options: SqliteOptions,
    readers: Arc<Semaphore>,
}

/// Ranges that may be read at a time; each has a thread and a connection.
const READERS_MAX: usize = 8;

/// The longest that a URL may ask to wait for a lock.
const BUSY_MAX: Duration = Duration::from_secs(60 * 60);
/// Commands that may wait for the thread; a pipeline has one batch in flight.
const COMMANDS_MAX: usize = 16;

impl<R: Row> SqliteWriter<R> {
    /// Opens the file and creates or checks its tables. Blocks for as long as others lock it, up
    /// to the busy timeout.
    ///
    /// # Errors
    /// When the file cannot be opened, is locked, is no database, or has tables of another shape.
    pub fn open(options: SqliteOptions) -> Result<Self, WriteError> {
        let writer = Self::lazy(options)?;
        let (reply, opened) = mpsc::sync_channel(1);
        let asked = writer.commands.send(Command::Connect(reply));
        asked.map_err(|_| worker_ended())?;
        opened.recv().map_err(|_| worker_ended())??;
        Ok(writer)
    }

    /// A writer that opens the file when it is first needed, and anew after each failure.
    ///
    /// # Errors
    /// When its thread cannot be started.
    pub fn lazy(options: SqliteOptions) -> Result<Self, WriteError> {
        let (commands, inbox) = mpsc::sync_channel(COMMANDS_MAX);
        let of_worker = options.clone();
        std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(move || worker::run(of_worker, &inbox))
            .map_err(|error| {
                WriteError::new(
                    ErrorKind::Fatal,
                    format!("cannot start the writer: {error}"),
                )
            })?;
        Ok(Self {
            commands,
            options,
            readers: Arc::new(Semaphore::new(READERS_MAX)),
        })
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command<R>) -> Result<T, WriteError> {
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

impl<R: Row> BatchWriter for SqliteWriter<R> {
    type Row = R;

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

    async fn write(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        self.ask(|reply| Command::Write(batch.clone(), reply)).await
    }

    async fn close(&self) -> Result<(), WriteError> {
        self.ask(Command::Close).await
    }
}
