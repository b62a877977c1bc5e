//! The thread that owns the connection.

use std::collections::HashMap;
use std::sync::mpsc;

use record::Position;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use super::schema::RowTable;
use super::{SqliteOptions, classify, schema, transaction};
use crate::ledger;
use crate::{Batch, ErrorKind, OpenScope, Receipt, Row, ScopeIndex, ScopeName, WriteError};

pub(super) type Reply<T> = oneshot::Sender<Result<T, WriteError>>;

/// What the thread is asked to do.
pub(super) enum Command<R> {
    /// Opens the file, if it is not open.
    Connect(mpsc::SyncSender<Result<(), WriteError>>),
    OpenScope(ScopeIndex, ScopeName, Reply<OpenScope>),
    Scopes(String, Reply<Vec<(ScopeName, Position)>>),
    Rename(ScopeName, ScopeName, Reply<()>),
    Write(Batch<R>, Reply<Receipt>),
    Close(Reply<()>),
}

/// A scope as this writer opened it.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) id: i64,
    pub(super) fence: u64,
    pub(super) name: ScopeName,
    /// The highest position that was acknowledged, below which the ledger never is.
    pub(super) acknowledged: Position,
}

/// The scopes that this writer opened; they outlive a connection.
pub(super) type OpenScopes = HashMap<ScopeIndex, Opened>;

struct Worker {
    options: SqliteOptions,
    table: RowTable,
    connection: Option<Connection>,
    /// The file that the connection has open.
    file: Option<FileIdentity>,
    open: OpenScopes,
}

/// Obeys until it is told to close, or nobody is left to tell it anything.
pub(super) fn run<R: Row>(options: SqliteOptions, inbox: &mpsc::Receiver<Command<R>>) {
    let mut worker = Worker {
        table: RowTable::of::<R>(options.table_for::<R>()),
        options,
        connection: None,
        file: None,
        open: HashMap::new(),
    };
    while let Ok(command) = inbox.recv() {
        if worker.obey(command).is_break() {
            return;
        }
    }
}

impl Worker {
    fn obey<R: Row>(&mut self, command: Command<R>) -> std::ops::ControlFlow<()> {
        // A caller that no longer waits for its answer made the outcome unknown to itself; the
        // ledger will tell it.
        match command {
            Command::Connect(reply) => {
                let _ = reply.send(self.with_connection("open", |_, _| Ok(())));
            }
            Command::OpenScope(index, name, reply) => {
                let opened = self.with_connection("open a scope of", |connection, open| {
                    let (id, scope) = transaction::open_scope(connection, &name)?;
                    open.insert(
                        index,
                        Opened {
                            id,
                            fence: scope.fence,
                            name: name.clone(),
                            acknowledged: scope.watermark,
                        },
                    );
                    Ok(scope)
                });
                let _ = reply.send(opened);
            }
            Command::Scopes(prefix, reply) => {
                let found = self.with_connection("read the scopes of", |connection, _| {
                    transaction::scopes(connection, &prefix)
                });
                let _ = reply.send(found);
            }
            Command::Rename(from, to, reply) => {
                let renamed = self.with_connection("rename a scope of", |connection, _| {
                    transaction::rename_scope(connection, &from, &to)
                });
                let _ = reply.send(renamed);
            }
            Command::Write(batch, reply) => {
                let (path, table) = (self.options.path.clone(), self.table.clone());
                let written = self.with_connection("write to", |connection, open| {
                    let target = transaction::Target {
                        path: &path,
                        table: &table,
                        open,
                    };
                    let receipt = transaction::write(connection, &target, &batch)?;
                    for (scope, position) in ledger::reaches(&batch) {
                        if let Some(opened) = open.get_mut(&scope) {
                            opened.acknowledged = opened.acknowledged.max(position);
                        }
                    }
                    Ok(receipt)
                });
                // The rows are freed before the answer, so that whoever waits for it can reuse
                // the memory.
                drop(batch);
                let _ = reply.send(written);
            }
            Command::Close(reply) => {
                let closed = match self.connection.take() {
                    Some(connection) => connection.close().map_err(|(_, error)| {
                        classify::write_error("close", &self.options, &error)
                    }),
                    None => Ok(()),
                };
                let _ = reply.send(closed);
                return std::ops::ControlFlow::Break(());
            }
        }
        std::ops::ControlFlow::Continue(())
    }

    /// Acts on the connection, which is opened first if there is none. After an error of the file
    /// itself it is dropped, so that the next attempt starts from a sound one.
    fn with_connection<T>(
        &mut self,
        doing: &'static str,
        act: impl FnOnce(&mut Connection, &mut OpenScopes) -> Result<T, Failure>,
    ) -> Result<T, WriteError> {
        // A file that was removed goes on to take rows, which nobody will ever see; and a new one
        // in its place has no ledger. So it is looked at before anything is opened.
        if let Some(known) = self.file
            && FileIdentity::of(&self.options.path) != Some(known)
        {
            self.connection = None;
            return Err(WriteError::new(
                ErrorKind::Fatal,
                format!(
                    "cannot {doing} {}: the file was removed or replaced while it was open; put \
                     it back, or start again",
                    self.options.path.display()
                ),
            ));
        }
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.options, &self.table)
                .map_err(|failure| failure.into_write_error("open", &self.options))?,
        };
        self.file = FileIdentity::of(&self.options.path);
        let outcome = act(&mut connection, &mut self.open);
        let sound = match &outcome {
            Ok(_) | Err(Failure::Refused(_)) => true,
            Err(Failure::Sqlite(error)) => classify::leaves_connection_sound(error),
        };
        if sound && connection.is_autocommit() {
            self.connection = Some(connection);
        }
        outcome.map_err(|failure| failure.into_write_error(doing, &self.options))
    }
}

/// Tells a file from another one of the same name, where the system can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    #[cfg(unix)]
    fn of(path: &std::path::Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let found = std::fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
        })
    }

    #[cfg(not(unix))]
    fn of(_path: &std::path::Path) -> Option<Self> {
        None
    }
}

/// Why a step failed: SQLite said so, or we refused to go on.
pub(super) enum Failure {
    Sqlite(rusqlite::Error),
    Refused(WriteError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    fn into_write_error(self, doing: &'static str, options: &SqliteOptions) -> WriteError {
        match self {
            Self::Sqlite(error) => classify::write_error(doing, options, &error),
            Self::Refused(error) => error,
        }
    }
}

/// What the write-ahead log may keep of the disk when all of it is in the database.
const JOURNAL_BYTES_KEPT: i64 = 64 << 20;

fn connect(options: &SqliteOptions, table: &RowTable) -> Result<Connection, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(&options.path, flags)?;
    connection.busy_timeout(options.busy_timeout)?;
    // WAL first: with a rollback journal a reader would block the writer.
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // Where a sync reaches only the cache of the disk unless this is asked for; elsewhere nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", options.checkpoint_pages)?;
    // After a checkpoint the log is cut to this, so that a burst does not keep the disk.
    connection.pragma_update(None, "journal_size_limit", JOURNAL_BYTES_KEPT)?;
    schema::create_or_check(&mut connection, table, &options.path)?;
    assert_durable(&connection, options);
    Ok(connection)
}

/// Says so when the settings that make a commit survive a power cut did not take.
fn assert_durable(connection: &Connection, options: &SqliteOptions) {
    let mode = connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
    let synchronous =
        connection.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0));
    if mode.as_deref() != Ok("wal") || synchronous != Ok(2) {
        tracing::warn!(
            path = %options.path.display(),
            ?mode,
            ?synchronous,
            "journal_mode is not wal or synchronous is not full: a commit may not survive a \
             power cut"
        );
    }
}
