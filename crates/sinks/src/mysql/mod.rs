//! MariaDB and `MySQL`, over one connection that is made when it is first needed.
//!
//! Each batch is one `InnoDB` transaction: the rows go by MariaDB's bulk protocol or by prepared
//! statements of many rows, bad rows go to the quarantine, and the ledger's row of each scope,
//! locked since the beginning, advances. Strict mode is set and looked at, so no value is stored
//! as another one; `LOAD DATA LOCAL` is never used, nor answered. A row that the server refuses
//! costs only itself.
//!
//! After an error whose outcome is unknown, and when a future is dropped, the connection is
//! dropped with it. The next use connects again, takes a new fence if nobody else has opened the
//! scope since, and reads the watermark. Run against MariaDB; not yet against `MySQL`.

mod cells;
mod classify;
mod failure;
mod history;
mod insert;
mod link;
mod options;
mod schema;
mod scopes;
mod transaction;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::time::Duration;

use mysql_async::prelude::Queryable;
use parking_lot::Mutex;
use record::{Position, Record};

use crate::backoff::Backoff;
use crate::ledger;
use crate::sql::{Names, Table, column_list};
use crate::{
    Batch, BatchWriter, ErrorKind, Guarantee, OpenScope, Receipt, Row, ScopeIndex, ScopeName,
    WriteError,
};
use failure::Failure;
use insert::Insert;
use link::Link;
pub use options::{MysqlInsert, MysqlOptions, MysqlTls};
use transaction::OpenScopes;

/// How long closing waits for the server to take notice.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A sink that writes a table of MariaDB or `MySQL`.
///
/// Making one connects to nothing; the first use does, and makes, completes or refuses the tables.
/// While the server cannot be reached, each use fails with [`ErrorKind::Transient`] and says when
/// the next attempt makes sense.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sinks::{BatchWriter, MysqlOptions, MysqlWriter, ScopeIndex, ScopeName};
/// let options = MysqlOptions::from_url(&"mariadb://plant:secret@localhost/history".parse()?)?;
/// let writer: MysqlWriter = MysqlWriter::new(options);
/// let scope = writer.open_scope(ScopeIndex(0), &ScopeName::new("plc/normal")).await?;
/// println!("settled up to {}", scope.watermark);
/// # Ok(()) }
/// ```
pub struct MysqlWriter<R: Row = Record> {
    context: Context,
    state: tokio::sync::Mutex<State>,
    warnings: Mutex<Vec<String>>,
    row: PhantomData<fn() -> R>,
}

/// What does not change.
struct Context {
    options: MysqlOptions,
    names: Names,
    /// Of the rows, the ledger and the quarantine.
    tables: [Table; 3],
    rows: Insert,
    quarantine: Insert,
}

#[derive(Default)]
struct State {
    /// Taken out for the length of an operation, and put back when that came to a sound end.
    link: Option<Link>,
    scopes: OpenScopes,
    sessions: u64,
    backoff: Backoff,
}

impl<R: Row> MysqlWriter<R> {
    /// A writer to this server; nothing is connected yet.
    #[must_use]
    pub fn new(options: MysqlOptions) -> Self {
        let table = options.table.as_deref().unwrap_or(R::SCHEMA.table());
        let names = Names::unchecked(table, &options.prefix);
        let tables = schema::tables(&names, &R::SCHEMA);
        let values = vec!["?"; tables[0].columns.len()].join(", ");
        let context = Context {
            rows: Insert::new(&names.table, &column_list(&tables[0], '`'), &values),
            quarantine: Insert::new(
                &names.quarantine,
                "scope, position, reason, original, quarantined_at",
                "?, ?, ?, ?, UTC_TIMESTAMP(6)",
            ),
            options,
            names,
            tables,
        };
        Self {
            context,
            state: tokio::sync::Mutex::default(),
            warnings: Mutex::default(),
            row: PhantomData,
        }
    }

    /// Settings of the server, named, with which a power cut may undo what was committed, as of
    /// the last time that it was connected to. They are also logged.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.lock().clone()
    }

    /// The statements that make the tables, for whoever makes them beforehand.
    #[must_use]
    pub fn schema(&self) -> Vec<String> {
        schema::statements(&self.context.tables)
    }

    /// The connection, made anew if there is none.
    async fn take(&self, state: &mut State) -> Result<Link, WriteError> {
        if let Some(link) = state.link.take() {
            return Ok(link);
        }
        state.backoff.check()?;
        let connected = self.connect(state).await;
        if connected.is_ok() {
            state.backoff.succeeded();
        }
        connected.map_err(|error| state.backoff.failed(error))
    }

    async fn connect(&self, state: &mut State) -> Result<Link, WriteError> {
        state.sessions += 1;
        let options = &self.context.options;
        options
            .names(R::SCHEMA.table())
            .map_err(|invalid| WriteError::new(ErrorKind::Fatal, invalid.to_string()))?;
        let connecting = async {
            let mut link = link::connect(options, state.sessions).await?;
            schema::prepare(&mut link.conn, &self.context).await?;
            Ok::<_, Failure>(link)
        };
        let waited = options.connect_timeout;
        let link = match tokio::time::timeout(waited, connecting).await {
            Ok(link) => link.map_err(|failure| failure.error)?,
            Err(_) => {
                let message = format!("cannot connect to {options}: no answer within {waited:?}");
                return Err(WriteError::new(ErrorKind::Transient, message));
            }
        };
        let mut warnings = self.warnings.lock();
        if *warnings != link.warnings {
            warnings.clone_from(&link.warnings);
            drop(warnings);
            for warning in &link.warnings {
                tracing::warn!(server = %options, "{warning}");
            }
        }
        Ok(link)
    }

    /// Puts the connection back if it can go on.
    async fn settle<T>(
        &self,
        state: &mut State,
        mut link: Link,
        outcome: Result<T, Failure>,
    ) -> Result<T, WriteError> {
        match outcome {
            Ok(value) => {
                state.link = Some(link);
                Ok(value)
            }
            Err(failure) => {
                if failure.is_sound && link.conn.query_drop("ROLLBACK").await.is_ok() {
                    state.link = Some(link);
                }
                Err(failure.error)
            }
        }
    }
}

impl<R: Row> std::fmt::Debug for MysqlWriter<R> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "MysqlWriter({})", self.context.options)
    }
}

impl<R: Row> BatchWriter for MysqlWriter<R> {
    type Row = R;

    fn name(&self) -> &str {
        "mysql"
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let mut state = self.state.lock().await;
        let mut link = self.take(&mut state).await?;
        let outcome = scopes::open(&mut link, &self.context, name).await;
        let (opened, scope) = self.settle(&mut state, link, outcome).await?;
        state.scopes.insert(index, opened);
        Ok(scope)
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        let mut state = self.state.lock().await;
        let mut link = self.take(&mut state).await?;
        let outcome = scopes::list(&mut link, &self.context, prefix).await;
        self.settle(&mut state, link, outcome).await
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        let mut state = self.state.lock().await;
        let mut link = self.take(&mut state).await?;
        let outcome = scopes::rename(&mut link, &self.context, from, to).await;
        self.settle(&mut state, link, outcome).await?;
        for opened in state
            .scopes
            .values_mut()
            .filter(|opened| opened.name == *from)
        {
            opened.name = to.clone();
        }
        Ok(())
    }

    async fn write(&self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        if batch.is_empty() {
            return Ok(Receipt::delivered_all(0));
        }
        let mut state = self.state.lock().await;
        let state = &mut *state;
        let was_idle = state.link.is_some();
        let mut link = self.take(state).await?;
        let mut outcome =
            transaction::write(&mut link, &self.context, &mut state.scopes, batch).await;
        let is_lost = |failure: &Failure| failure.wrote_nothing && !failure.is_sound;
        if was_idle && outcome.as_ref().is_err_and(is_lost) {
            drop(link);
            link = self.take(state).await?;
            outcome = transaction::write(&mut link, &self.context, &mut state.scopes, batch).await;
        }
        if outcome.is_ok() {
            for (scope, position) in ledger::reaches(batch) {
                if let Some(opened) = state.scopes.get_mut(&scope) {
                    opened.acknowledged = opened.acknowledged.max(position);
                }
            }
        }
        self.settle(state, link, outcome).await
    }

    async fn close(&self) -> Result<(), WriteError> {
        let mut state = self.state.lock().await;
        state.scopes = BTreeMap::new();
        if let Some(link) = state.link.take() {
            // What was committed is committed, whether the server takes leave or not.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, link.conn.disconnect()).await;
        }
        Ok(())
    }
}
