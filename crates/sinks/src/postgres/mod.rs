//! PostgreSQL, by binary COPY, with the ledger in the same transaction.
//!
//! One connection writes, made when it is first needed and made again after it was lost. It is
//! taken out of its place for each operation and put back after a sound end: a future that is
//! dropped midway takes the connection with it, the server rolls back, and the next operation
//! connects again, takes a new fence if nobody else did, and reads the watermark.
//!
//! A row that the server refuses costs itself alone and goes to the quarantine, in the same
//! transaction. Errors of the connection, of locks or of the disk fail the batch, which can be
//! written again.

mod careful;
mod classify;
mod connect;
mod copy;
mod history;
mod options;
mod schema;
mod statements;
mod tls;
mod transaction;

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use record::{Position, Record};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use self::connect::Connection;
pub use self::options::{PostgresOptions, PostgresTls, SynchronousCommit};
use self::statements::Statements;
use self::transaction::{Failure, Held, OpenScopes, Work};
use crate::sql::{Names, Table};
use crate::{
    Batch, BatchWriter, ErrorKind, Guarantee, OpenScope, Receipt, Row, ScopeIndex, ScopeName,
    WriteError,
};

/// A sink that writes a table of PostgreSQL.
///
/// Making one connects to nothing: a server that is down is found, and found again later, by the
/// first use.
///
/// ```no_run
/// use sinks::{BatchWriter, PostgresOptions, PostgresWriter, ScopeIndex, ScopeName};
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let url = url::Url::parse("postgres://forebay:secret@db/plant?table=readings")?;
/// let writer: PostgresWriter = PostgresWriter::new(PostgresOptions::from_url(&url)?);
/// let scope = writer.open_scope(ScopeIndex(0), &ScopeName::new("host/normal")).await?;
/// println!("delivered up to {}", scope.watermark.number());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct PostgresWriter<R = Record> {
    options: PostgresOptions,
    shape: Result<Shape, WriteError>,
    state: tokio::sync::Mutex<State>,
    warnings: Mutex<Vec<String>>,
    readers: Arc<Semaphore>,
    rows: PhantomData<fn() -> R>,
}

/// Ranges that may be read at a time; each has a connection.
const READERS_MAX: usize = 8;

/// The tables and what is sent about them.
#[derive(Debug)]
struct Shape {
    target: String,
    names: Names,
    rows: Table,
    statements: Statements,
    keys: Vec<String>,
}

/// A scope as this writer opened it.
#[derive(Clone, Debug)]
struct Opened {
    id: i32,
    fence: u64,
    /// The fence that was asked for when the answer was lost.
    asked: Option<u64>,
    name: ScopeName,
    /// The highest position that was acknowledged, below which the ledger never is.
    acknowledged: Position,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// The scopes outlive their connection.
    open: OpenScopes,
    failures: u32,
    /// When the next connection may be tried, and why the last one failed.
    pause: Option<(Instant, WriteError)>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("State")
            .field("is_connected", &self.connection.is_some())
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(10);

impl<R: Row> PostgresWriter<R> {
    /// A writer for this server. Nothing is connected yet.
    #[must_use]
    pub fn new(options: PostgresOptions) -> Self {
        Self {
            shape: Shape::new::<R>(&options),
            options,
            state: tokio::sync::Mutex::default(),
            warnings: Mutex::default(),
            readers: Arc::new(Semaphore::new(READERS_MAX)),
            rows: PhantomData,
        }
    }

    /// Settings of the server that endanger what is committed, each by name, as the last
    /// connection found them.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().clone()
    }

    fn shape(&self) -> Result<&Shape, WriteError> {
        self.shape.as_ref().map_err(WriteError::clone)
    }

    /// Takes the connection, or makes one and takes the fences of all scopes anew.
    async fn connection(&self, state: &mut State) -> Result<Connection, WriteError> {
        if let Some(connection) = state.connection.take()
            && !connection.client.is_closed()
        {
            return Ok(connection);
        }
        let now = Instant::now();
        if let Some((until, error)) = &state.pause
            && *until > now
        {
            return Err(error.clone().with_retry_after(*until - now));
        }
        let doubled = PAUSE_MIN.saturating_mul(1 << state.failures.min(10));
        let pause = doubled.min(PAUSE_MAX).mul_f64(0.5 + fastrand::f64() / 2.0);
        state.failures = state.failures.saturating_add(1);
        // An attempt that is given up counts as one that failed.
        let given_up = format!("cannot connect to {}: given up", self.options.target());
        let given_up = WriteError::new(ErrorKind::Transient, given_up);
        state.pause = Some((now + pause, given_up));
        match self.reconnect(&mut state.open).await {
            Ok(connection) => {
                (state.failures, state.pause) = (0, None);
                Ok(connection)
            }
            Err(error) => {
                state.pause = Some((Instant::now() + pause, error.clone()));
                Err(error.with_retry_after(pause))
            }
        }
    }

    async fn reconnect(&self, open: &mut OpenScopes) -> Result<Connection, WriteError> {
        let shape = self.shape()?;
        let until = Instant::now() + self.options.connect_timeout;
        let failed = |failure: Failure| failure.into_write_error("connect to", &shape.target);
        let (mut connection, warnings) = connect::connect(&self.options, shape)
            .await
            .map_err(failed)?;
        for warning in &warnings {
            tracing::warn!(target = %shape.target, "{warning}");
        }
        *self.warnings.lock() = warnings;
        // Within the time for connecting, of which this is a part.
        let fenced = take_fences(&mut connection, shape, open);
        tokio::time::timeout_at(until, fenced)
            .await
            .unwrap_or_else(|_| Err(Failure::Refused(self.options.not_ready())))
            .map_err(|failure| failure.into_write_error("take the fence of", &shape.target))?;
        Ok(connection)
    }

    /// Puts the connection back where it may be used again, with no transaction left open.
    async fn put_back<T>(state: &mut State, connection: Connection, outcome: &Result<T, Failure>) {
        let is_sound = match outcome {
            Ok(_) => connection.is_sound,
            // Out of a transaction that failed, the server can be led by hand; after anything
            // else a new connection is the surer way.
            Err(Failure::Refused(error)) if error.kind() == ErrorKind::Fenced => {
                connection.client.batch_execute("ROLLBACK").await.is_ok()
            }
            Err(_) => false,
        };
        if is_sound && !connection.client.is_closed() {
            state.connection = Some(connection);
        }
    }
}

/// Raises the fence of a scope, which is made if there is none.
///
/// It is raised from the value that was read: a statement of a client that is gone, which reaches
/// the server late, finds another value and does not shut out whoever came after it.
async fn take_over(
    client: &Client,
    statements: &Statements,
    name: &ScopeName,
) -> Result<Held, Failure> {
    let scope = name.as_str();
    client.execute(&statements.make_scope, &[&scope]).await?;
    loop {
        let row = client.query_one(&statements.read_fence, &[&scope]).await?;
        let fence: i64 = row.try_get(0)?;
        let raised = client
            .query_opt(&statements.open_scope, &[&scope, &fence])
            .await?;
        // Otherwise somebody else opened it in between; whoever is last has it.
        if let Some(row) = raised {
            return Ok(Held::read(&row)?);
        }
    }
}

/// Shuts out whatever this writer may still have under way on a connection that it lost. A scope
/// that somebody else opened since stays as it is, and its next write is refused.
async fn take_fences(
    connection: &mut Connection,
    shape: &Shape,
    open: &mut OpenScopes,
) -> Result<(), Failure> {
    for (index, opened) in open.iter_mut() {
        // Nobody else asks for this one, so that an answer that is lost can be recognised.
        let jump = 1 + u64::from(fastrand::u32(..) >> 1);
        let asked = *opened.asked.get_or_insert(opened.fence + jump);
        let fence = opened.fence.cast_signed();
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] = [
            &opened.id,
            &fence,
            &asked.cast_signed(),
            &asked.cast_signed(),
        ];
        let statement = &shape.statements.take_fence;
        let taken = connection.client.query_opt(statement, &parameters).await?;
        if let Some(row) = taken {
            let held = Held::read(&row)?;
            (opened.fence, opened.asked) = (held.fence, None);
            let mark = held.mark(*index);
            // One that went back is left to the next write of the scope, which refuses it.
            if mark.watermark >= opened.acknowledged {
                connection.known.insert(*index, mark);
            }
        }
    }
    Ok(())
}

impl Shape {
    fn new<R: Row>(options: &PostgresOptions) -> Result<Self, WriteError> {
        let names = options
            .names(R::SCHEMA.table())
            .map_err(|error| WriteError::new(ErrorKind::Fatal, error.to_string()))?;
        let rows = Table::of_rows(&names.table, &R::SCHEMA);
        Ok(Self {
            target: options.target(),
            statements: Statements::new(&rows, &names, &options.upsert),
            names,
            rows,
            keys: options.upsert.clone(),
        })
    }

    /// Refuses keys that are no columns, or that may be null, which no two rows have in common.
    fn check_keys(&self) -> Result<(), Failure> {
        for key in &self.keys {
            let column = self.rows.columns.iter().find(|column| column.name == *key);
            let why = match column {
                None => "is no column of the table",
                Some(column) if column.nullable => "may be null, and so cannot be part of a key",
                Some(_) => continue,
            };
            return Err(Failure::Refused(WriteError::new(
                ErrorKind::Fatal,
                format!("upsert=`{key}` {why}"),
            )));
        }
        Ok(())
    }
}

impl<R: Row> BatchWriter for PostgresWriter<R> {
    type Row = R;

    fn name(&self) -> &str {
        "postgres"
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let shape = self.shape()?;
        let mut state = self.state.lock().await;
        // What was open under this index is no longer wanted.
        state.open.remove(&index);
        let mut connection = self.connection(&mut state).await?;
        let opened = take_over(&connection.client, &shape.statements, name).await;
        if let Ok(held) = &opened {
            connection.known.insert(index, held.mark(index));
            let opened = Opened {
                id: held.id,
                fence: held.fence,
                asked: None,
                name: name.clone(),
                acknowledged: held.mark(index).watermark,
            };
            state.open.insert(index, opened);
        }
        Self::put_back(&mut state, connection, &opened).await;
        let failed = |failure: Failure| failure.into_write_error("open a scope of", &shape.target);
        let opened = opened.map_err(failed)?;
        Ok(OpenScope::new(opened.mark(index).watermark, opened.fence))
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        let shape = self.shape()?;
        let mut state = self.state.lock().await;
        let connection = self.connection(&mut state).await?;
        let found = async {
            let statement = &shape.statements.scopes;
            let rows = connection.client.query(statement, &[&prefix]).await?;
            let scopes = rows.iter().map(|row| {
                let position = Position::new(row.try_get::<_, i64>(1)?.cast_unsigned());
                Ok((ScopeName::new(row.try_get::<_, String>(0)?), position))
            });
            Ok(scopes.collect::<Result<Vec<_>, tokio_postgres::Error>>()?)
        }
        .await;
        Self::put_back(&mut state, connection, &found).await;
        found.map_err(|failure: Failure| {
            failure.into_write_error("read the scopes of", &shape.target)
        })
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        let shape = self.shape()?;
        let mut state = self.state.lock().await;
        let connection = self.connection(&mut state).await?;
        let renamed = connection
            .client
            .execute(
                &shape.statements.rename_scope,
                &[&from.as_str(), &to.as_str()],
            )
            .await
            .map_err(|error| match error.code() {
                Some(&SqlState::UNIQUE_VIOLATION) => Failure::Refused(WriteError::new(
                    ErrorKind::Fatal,
                    format!("cannot rename scope `{from}`: there is a scope `{to}` already"),
                )),
                _ => Failure::Postgres(error),
            });
        Self::put_back(&mut state, connection, &renamed).await;
        renamed.map_err(|failure| failure.into_write_error("rename a scope of", &shape.target))?;
        for opened in state.open.values_mut() {
            if opened.name == *from {
                opened.name = to.clone();
            }
        }
        Ok(())
    }

    async fn write(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        if batch.is_empty() {
            return Ok(Receipt::delivered_all(0));
        }
        let shape = self.shape()?;
        let mut state = self.state.lock().await;
        let mut connection = self.connection(&mut state).await?;
        let work = Work {
            shape,
            open: &state.open,
            batch,
        };
        let written = match work.write_by_guess(&mut connection).await {
            Ok(Some(receipt)) => Ok(receipt),
            Ok(None) => work.write_with_care(&mut connection).await,
            Err(failure) => Err(failure),
        };
        if written.is_ok() {
            for (index, mark) in &connection.known {
                if let Some(opened) = state.open.get_mut(index) {
                    opened.acknowledged = opened.acknowledged.max(mark.watermark);
                }
            }
        }
        Self::put_back(&mut state, connection, &written).await;
        written.map_err(|failure| failure.into_write_error("write to", &shape.target))
    }

    async fn close(&self) -> Result<(), WriteError> {
        let mut state = self.state.lock().await;
        state.connection = None;
        Ok(())
    }
}
