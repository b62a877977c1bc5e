//! The thread that owns the connection, and what happens in its transactions.

use std::collections::HashMap;

use oracle::sql_type::{OracleType, ToSql};
use oracle::{Connection, Connector};
use record::Position;

use super::OracleOptions;
use super::classify::{ACTION_CONNECT, error_of, is_data_error, is_name_in_use};
use super::statement::{
    Bound, COLUMNS, DIALECT, RAW_BYTES_MAX, Statements, TEXT_BYTES_MAX, found_column, is_type,
};
use crate::backoff::Backoff;
use crate::ledger::{LedgerPlan, Mark, fenced, not_open};
use crate::sql::{Comparison, Names, SqlColumn, Table, add_column, compare};
use crate::{
    Batch, BatchId, ErrorKind, OpenScope, Receipt, Refused, Row, ScopeIndex, ScopeName, WriteError,
};

/// What the thread owns.
pub(super) struct Worker {
    options: OracleOptions,
    rows: Table,
    statements: Statements,
    connection: Option<Connection>,
    open: HashMap<ScopeIndex, Opened>,
    backoff: Backoff,
}

#[derive(Clone)]
struct Opened {
    id: i64,
    fence: i64,
    name: ScopeName,
}

impl Worker {
    pub(super) fn new<R: Row>(options: OracleOptions) -> Self {
        let table = options.table.as_deref().unwrap_or(R::SCHEMA.table());
        let names = Names::unchecked(table, &options.prefix);
        let rows = Table::of_rows(&names.table, &R::SCHEMA);
        let wait_s = options.timeout.as_secs().max(1);
        let statements = Statements::new(&names, &rows, wait_s);
        Self {
            options,
            rows,
            statements,
            connection: None,
            open: HashMap::new(),
            backoff: Backoff::default(),
        }
    }

    pub(super) fn open_scope(
        &mut self,
        index: ScopeIndex,
        name: ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let opened = self.with_connection("open a scope of", |worker, connection| {
            let all = &worker.statements;
            connection.execute(&all.open, &[&name.as_str()])?;
            let row = connection.query_row_as::<(i64, i64, i64)>(&all.opened, &[&name.as_str()])?;
            connection.commit()?;
            Ok(row)
        });
        let (id, fence, position) = opened?;
        self.open.insert(index, Opened { id, fence, name });
        Ok(OpenScope::new(position_of(position), fence.cast_unsigned()))
    }

    pub(super) fn scopes(
        &mut self,
        prefix: &str,
    ) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        self.with_connection("read the scopes of", |worker, connection| {
            let rows = connection.query_as::<(String, i64)>(
                &worker.statements.scopes,
                &[&prefix, &prefix, &prefix],
            )?;
            let mut scopes = Vec::new();
            for row in rows {
                let (name, position) = row?;
                scopes.push((ScopeName::new(name), position_of(position)));
            }
            Ok(scopes)
        })
    }

    pub(super) fn rename(&mut self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        self.with_connection("rename a scope of", |worker, connection| {
            let names: [&dyn ToSql; 2] = [&to.as_str(), &from.as_str()];
            connection.execute(&worker.statements.rename, &names)?;
            Ok(connection.commit()?)
        })
    }

    pub(super) fn write<R: Row>(&mut self, batch: &Batch<R>) -> Result<Receipt, WriteError> {
        self.with_connection("write to", |worker, connection| {
            worker.attempt(connection, batch)
        })
    }

    pub(super) fn close(&mut self) -> Result<(), WriteError> {
        // Nothing is under way on this thread, and nothing is uncommitted.
        self.connection = None;
        Ok(())
    }

    /// The connection is put back only after a sound end: after an error it is dropped, which
    /// rolls back, and the next use connects anew and reads the watermark under its lock.
    fn with_connection<T>(
        &mut self,
        action: &str,
        act: impl FnOnce(&Self, &Connection) -> Result<T, Failure>,
    ) -> Result<T, WriteError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        match act(self, &connection) {
            Ok(done) => {
                self.connection = Some(connection);
                Ok(done)
            }
            Err(Failure::Oracle(error)) => Err(error_of(action, &self.options, &error)),
            Err(Failure::Known(error)) => Err(error),
        }
    }

    fn connect(&mut self) -> Result<Connection, WriteError> {
        self.backoff.check()?;
        let options = &self.options;
        let connected = self.prepare().map_err(|failure| match failure {
            Failure::Oracle(error) => error_of(ACTION_CONNECT, options, &error),
            Failure::Known(error) => error,
        });
        if connected.is_ok() {
            self.backoff.succeeded();
        }
        connected.map_err(|error| self.backoff.failed(error))
    }

    /// A connection with tables that fit, made or completed where they are not there.
    fn prepare(&self) -> Result<Connection, Failure> {
        let options = &self.options;
        let fatal = |why: String| WriteError::new(ErrorKind::Fatal, why);
        let names = options.names(&self.rows.name);
        names.map_err(|invalid| fatal(invalid.to_string()))?;
        let connection =
            Connector::new(&options.user, &options.password, &options.server).connect()?;
        connection.set_call_timeout(Some(options.timeout))?;
        for create in &self.statements.create {
            match connection.execute(create, &[]) {
                Err(error) if !is_name_in_use(&error) => return Err(error.into()),
                _ => {}
            }
        }
        for table in &self.statements.compared {
            let columns = connection.query_as(COLUMNS, &[&table.name])?;
            let columns = columns.map(|row| row.map(found_column));
            let found = columns.collect::<Result<Vec<_>, _>>()?;
            if found.is_empty() {
                // Somebody else's, by a synonym: their columns are not ours to see.
                continue;
            }
            match compare(table, &found, &DIALECT, is_type) {
                Comparison::Add(columns) => {
                    for column in columns {
                        connection.execute(&add_column(table, column, &DIALECT), &[])?;
                    }
                }
                Comparison::Refuse(difference) => {
                    let server = &options.server;
                    return Err(fatal(format!("cannot use {server}: {difference}")).into());
                }
            }
        }
        Ok(connection)
    }

    fn attempt<R: Row>(
        &self,
        connection: &Connection,
        batch: &Batch<R>,
    ) -> Result<Receipt, Failure> {
        let plan = LedgerPlan::new(batch, |scope| self.mark(connection, scope))?;
        let mut refused = self.insert(connection, batch, &plan)?;
        for row in &refused {
            let entry = &batch.rows()[row.row];
            let id = self.opened(entry.scope)?.id;
            let position = entry.position.number().cast_signed();
            let reason: String = row.reason.chars().take(TEXT_BYTES_MAX / 4).collect();
            let original = entry.original();
            let values: [&dyn ToSql; 4] = [&id, &position, &reason, &original];
            connection.execute(&self.statements.quarantine, &values)?;
        }
        for mark in plan.marks() {
            let Opened { id, fence, .. } = self.opened(mark.scope)?;
            let position = mark.watermark.number().cast_signed();
            let (id_of_batch, hash) = (mark.batch.0.cast_signed(), mark.hash.cast_signed());
            let values: [&dyn ToSql; 5] = [&position, &id_of_batch, &hash, id, fence];
            connection.execute(&self.statements.advance, &values)?;
        }
        for row in plan.repeated_rows() {
            let entry = &batch.rows()[row];
            let id = self.opened(entry.scope)?.id;
            let position = entry.position.number().cast_signed();
            let found = connection
                .query_as::<Option<String>>(&self.statements.reasons, &[&id, &position])?
                .next()
                .transpose()?;
            if let Some(reason) = found {
                let reason = reason.unwrap_or_default();
                refused.push(Refused { row, reason });
            }
        }
        connection.commit()?;
        refused.sort_by_key(|refused| refused.row);
        Ok(Receipt::new(batch.len(), plan.repeated(), refused))
    }

    fn opened(&self, scope: ScopeIndex) -> Result<&Opened, WriteError> {
        self.open.get(&scope).ok_or_else(|| not_open(scope))
    }

    /// Locks the row of a scope until the end of the transaction, and reads it.
    fn mark(&self, connection: &Connection, scope: ScopeIndex) -> Result<Mark, WriteError> {
        let Opened { id, fence, name } = self.opened(scope)?;
        let row = connection
            .query_row_as::<(i64, i64, i64, i64)>(&self.statements.lock, &[id])
            .map_err(|error| error_of("lock the ledger of", &self.options, &error))?;
        let (held, position, batch, hash) = row;
        if held != *fence {
            return Err(fenced(name, held.cast_unsigned(), fence.cast_unsigned()));
        }
        Ok(Mark {
            scope,
            watermark: position_of(position),
            batch: BatchId(batch.cast_unsigned()),
            hash: hash.cast_unsigned(),
        })
    }

    /// Inserts the new rows by array DML; Oracle names those that it refuses and keeps the others.
    fn insert<R: Row>(
        &self,
        connection: &Connection,
        batch: &Batch<R>,
        plan: &LedgerPlan,
    ) -> Result<Vec<Refused>, Failure> {
        let (mut refused, mut sent) = (Vec::new(), Vec::new());
        let mut rows = connection
            .batch(&self.statements.insert, plan.fresh_len().max(1))
            .with_batch_errors()
            .build()?;
        for (index, column) in self.rows.columns.iter().enumerate() {
            rows.set_type(index + 1, &Bound::null(column.kind).oracle_type())?;
        }
        for (index, entry) in plan.fresh(batch) {
            let id = self.opened(entry.scope)?.id;
            let bound = match &entry.content {
                Ok(row) => {
                    let bound = |column: &SqlColumn| {
                        let cell = column.cell(row, id, entry.position)?;
                        Bound::new(column, cell)
                    };
                    self.rows
                        .columns
                        .iter()
                        .map(bound)
                        .collect::<Result<Vec<_>, _>>()
                }
                Err(malformed) => Err(malformed.reason().to_owned()),
            };
            let bound = match bound {
                Ok(bound) => bound,
                Err(reason) => {
                    refused.push(Refused { row: index, reason });
                    continue;
                }
            };
            let values: Vec<&dyn ToSql> = bound.iter().map(Bound::as_sql).collect();
            rows.append_row(&values)?;
            sent.push(index);
        }
        if sent.is_empty() {
            return Ok(refused);
        }
        if let Err(error) = rows.execute() {
            let Some(errors) = error.batch_errors() else {
                return Err(error.into());
            };
            for bad in errors {
                let row = usize::try_from(bad.offset()).ok();
                match row.and_then(|row| sent.get(row)) {
                    Some(&row) if is_data_error(bad.code()) => refused.push(Refused {
                        row,
                        reason: bad.message().to_owned(),
                    }),
                    // Full disks and lost connections are not the rows' fault.
                    _ => return Err(error.into()),
                }
            }
        }
        refused.sort_by_key(|refused| refused.row);
        Ok(refused)
    }
}

impl Bound {
    fn as_sql(&self) -> &dyn ToSql {
        match self {
            Self::Int(value) => value,
            Self::Float(value) => value,
            Self::Text(value) => value,
            Self::Raw(value) => value,
        }
    }
    fn oracle_type(&self) -> OracleType {
        match self {
            Self::Int(_) => OracleType::Int64,
            Self::Float(_) => OracleType::BinaryDouble,
            Self::Text(_) => OracleType::Varchar2(TEXT_BYTES_MAX as u32),
            Self::Raw(_) => OracleType::Raw(RAW_BYTES_MAX as u32),
        }
    }
}

fn position_of(number: i64) -> Position {
    Position::new(number.try_into().unwrap_or(0))
}

/// Why a transaction ended early.
enum Failure {
    Oracle(oracle::Error),
    Known(WriteError),
}

impl From<oracle::Error> for Failure {
    fn from(error: oracle::Error) -> Self {
        Self::Oracle(error)
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        Self::Known(error)
    }
}

/// What the thread answers when it is gone.
pub(super) fn ended() -> WriteError {
    WriteError::new(
        ErrorKind::Fatal,
        "the thread of the Oracle writer has ended",
    )
}
