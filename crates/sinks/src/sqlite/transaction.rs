//! What happens inside transactions: scopes, rows, quarantine and ledger.

use std::collections::BTreeMap;
use std::path::Path;

use record::Position;
use rusqlite::types::{Null, ToSqlOutput, ValueRef};
use rusqlite::{
    CachedStatement, Connection, OptionalExtension, ToSql, TransactionBehavior, params,
};

use super::schema::RowTable;
use super::worker::{Failure, OpenScopes};
use super::{classify, schema};
use crate::ledger::{self, LedgerPlan, Mark};
use crate::{
    Batch, BatchId, Cell, Entry, ErrorKind, OpenScope, Receipt, Refused, Row, ScopeIndex,
    ScopeName, WriteError,
};

const INSERT_QUARANTINE: &str =
    "INSERT INTO quarantine(scope, position, reason, original) VALUES (?1, ?2, ?3, ?4)";

/// Opens a scope under a new fence and reads how far it is delivered.
pub(super) fn open_scope(
    connection: &mut Connection,
    name: &ScopeName,
) -> Result<(i64, OpenScope), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute(
        "INSERT OR IGNORE INTO scopes(name) VALUES (?1)",
        [name.as_str()],
    )?;
    let id: i64 = transaction.query_row(
        "SELECT id FROM scopes WHERE name = ?1",
        [name.as_str()],
        |row| row.get(0),
    )?;
    let (fence, position): (i64, i64) = transaction.query_row(
        "INSERT INTO ledger(scope, fence, position, batch) VALUES (?1, 1, 0, 0)
         ON CONFLICT (scope) DO UPDATE SET fence = fence + 1
         RETURNING fence, position",
        [id],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    transaction.commit()?;
    let scope = OpenScope::new(position_of(position), fence.try_into().unwrap_or(0));
    Ok((id, scope))
}

/// The scopes whose names begin with `prefix`.
pub(super) fn scopes(
    connection: &Connection,
    prefix: &str,
) -> Result<Vec<(ScopeName, Position)>, Failure> {
    let mut statement = connection.prepare_cached(
        "SELECT name, coalesce(position, 0) FROM scopes LEFT JOIN ledger ON scope = id
         WHERE substr(name, 1, length(?1)) = ?1 ORDER BY id",
    )?;
    let found = statement
        .query_map([prefix], |row| {
            Ok((
                ScopeName::new(row.get::<_, String>(0)?),
                position_of(row.get(1)?),
            ))
        })?
        .collect::<Result<_, _>>()?;
    Ok(found)
}

pub(super) fn rename_scope(
    connection: &Connection,
    from: &ScopeName,
    to: &ScopeName,
) -> Result<(), Failure> {
    connection.execute(
        "UPDATE scopes SET name = ?2 WHERE name = ?1",
        [from.as_str(), to.as_str()],
    )?;
    Ok(())
}

/// Writes the batch in one transaction. Rows are inserted straight away at first; once one of
/// them is refused the batch is begun again, with a savepoint around each row, so that nothing of
/// a bad row stays whatever its trigger does.
pub(super) fn write<R: Row>(
    connection: &mut Connection,
    target: &Target<'_>,
    batch: &Batch<R>,
) -> Result<Receipt, Failure> {
    let mut care = Care::Fast;
    loop {
        match attempt(connection, target, batch, &care) {
            Ok(receipt) => return Ok(receipt),
            Err(Stopped::Failed(failure)) => return Err(failure),
            Err(Stopped::Suspect) => {
                // A table that was changed under us refuses every row; that is not their fault.
                schema::check(connection, target.table, target.path)?;
                care = Care::Savepoints(BTreeMap::new());
            }
            Err(Stopped::RolledBack { row, reason }) => {
                // Each round finds another such row, so this ends.
                if let Care::Savepoints(bad) = &mut care {
                    bad.insert(row, reason);
                }
            }
        }
    }
}

/// Where a batch goes.
pub(super) struct Target<'a> {
    pub(super) path: &'a Path,
    pub(super) table: &'a RowTable,
    pub(super) open: &'a OpenScopes,
}

/// How carefully rows are inserted.
enum Care {
    Fast,
    /// With a savepoint for each; these rows took the whole transaction with them.
    Savepoints(BTreeMap<usize, String>),
}

/// Why an attempt at the batch ended early.
enum Stopped {
    /// A row was refused: the batch has to be written with care.
    Suspect,
    /// A row ended the transaction.
    RolledBack { row: usize, reason: String },
    /// It is not the data.
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Stopped {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

fn attempt<R: Row>(
    connection: &mut Connection,
    target: &Target<'_>,
    batch: &Batch<R>,
    care: &Care,
) -> Result<Receipt, Stopped> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let plan = plan(&transaction, target.open, batch)?;
    let mut rows = transaction.prepare_cached(&target.table.insert)?;
    let mut quarantine = transaction.prepare_cached(INSERT_QUARANTINE)?;
    let mut quarantined = Vec::new();
    // Most rows are of the scope of the row before.
    let mut known: Option<(ScopeIndex, i64)> = None;
    for (index, entry) in batch.rows().iter().enumerate() {
        let scope = match known {
            Some((of, id)) if of == entry.scope => id,
            _ => target.open.get(&entry.scope).map_or(0, |opened| opened.id),
        };
        known = Some((entry.scope, scope));
        let position = entry.position.number().cast_signed();
        let reason = if plan.is_fresh(index) {
            let refused = match &entry.content {
                Ok(row) => {
                    let place = Place {
                        scope,
                        position,
                        index,
                    };
                    settle(&transaction, &mut rows, row, place, care)?
                }
                Err(malformed) => Some(malformed.reason().to_owned()),
            };
            if let Some(reason) = &refused {
                quarantine.execute(params![scope, position, reason, original(entry)])?;
            }
            refused
        } else {
            earlier_reason(&transaction, scope, position)?
        };
        quarantined.extend(reason.map(|reason| Refused { row: index, reason }));
    }
    advance(&transaction, target.open, &plan)?;
    drop((rows, quarantine));
    transaction.commit()?;
    Ok(Receipt::new(batch.len(), plan.repeated(), quarantined))
}

/// Where a row belongs: its scope's id, its position, its index in the batch.
#[derive(Clone, Copy)]
struct Place {
    scope: i64,
    position: i64,
    index: usize,
}

/// Stores a row, or says why it cannot be stored.
fn settle<R: Row>(
    connection: &Connection,
    statement: &mut CachedStatement<'_>,
    row: &R,
    place: Place,
    care: &Care,
) -> Result<Option<String>, Stopped> {
    const IGNORED: &str = "the database took no row: a trigger ignored it";
    let stored = |count| (count == 0).then(|| IGNORED.to_owned());
    let Care::Savepoints(bad) = care else {
        return match insert(statement, row, place) {
            Ok(count) => Ok(stored(count)),
            Err(error) if classify::is_data_error(&error) => Err(Stopped::Suspect),
            Err(error) => Err(error.into()),
        };
    };
    if let Some(reason) = bad.get(&place.index) {
        return Ok(Some(reason.clone()));
    }
    connection.execute_batch("SAVEPOINT one_row")?;
    let outcome = match insert(statement, row, place) {
        Ok(count) => stored(count),
        Err(error) if !classify::is_data_error(&error) => return Err(error.into()),
        Err(error) if connection.is_autocommit() => {
            return Err(Stopped::RolledBack {
                row: place.index,
                reason: error.to_string(),
            });
        }
        Err(error) => {
            connection.execute_batch("ROLLBACK TO one_row")?;
            Some(error.to_string())
        }
    };
    connection.execute_batch("RELEASE one_row")?;
    Ok(outcome)
}

/// The number of rows that the database took.
fn insert<R: Row>(
    statement: &mut CachedStatement<'_>,
    row: &R,
    place: Place,
) -> rusqlite::Result<usize> {
    let columns = R::SCHEMA.columns().len();
    for column in 0..columns {
        statement.raw_bind_parameter(column + 1, SqlCell(row.cell(column)))?;
    }
    statement.raw_bind_parameter(columns + 1, place.scope)?;
    statement.raw_bind_parameter(columns + 2, place.position)?;
    statement.raw_execute()
}

struct SqlCell<'a>(Cell<'a>);

impl ToSql for SqlCell<'_> {
    /// What is not a number is bound as null, which SQLite would make of it anyway.
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Cell::Null => ToSqlOutput::from(Null),
            Cell::Bool(truth) => ToSqlOutput::from(truth),
            Cell::I64(number) => ToSqlOutput::from(number),
            Cell::F64(number) => ToSqlOutput::from(number),
            Cell::Text(text) | Cell::Json(text) => ToSqlOutput::from(text),
            Cell::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Cell::Timestamp(moment) => ToSqlOutput::from(moment.micros()),
        })
    }
}

/// What came in, as text where it is text and bytes otherwise; a row as JSON.
fn original<R: Row>(entry: &Entry<R>) -> ToSqlOutput<'static> {
    match String::from_utf8(entry.original()) {
        Ok(text) => ToSqlOutput::from(text),
        Err(error) => ToSqlOutput::from(error.into_bytes()),
    }
}

/// Why a row that was settled before is in the quarantine, if it is.
fn earlier_reason(
    connection: &Connection,
    scope: i64,
    position: i64,
) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT reason FROM quarantine WHERE scope = ?1 AND position = ?2")?
        .query_row([scope, position], |row| row.get(0))
        .optional()
}

fn position_of(number: i64) -> Position {
    Position::new(number.try_into().unwrap_or(0))
}

/// What of the batch is new, by the marks that the file has now.
fn plan<R: Row>(
    connection: &Connection,
    open: &OpenScopes,
    batch: &Batch<R>,
) -> Result<LedgerPlan, Failure> {
    // The plan knows only one kind of error; SQLite's own waits here.
    let mut failed = None;
    let planned = LedgerPlan::new(batch, |scope| {
        read_mark(connection, open, scope).map_err(|failure| match failure {
            Failure::Refused(error) => error,
            Failure::Sqlite(error) => {
                let said = WriteError::new(ErrorKind::Transient, error.to_string());
                failed = Some(error);
                said
            }
        })
    });
    match failed {
        Some(error) => Err(Failure::Sqlite(error)),
        None => planned.map_err(Failure::Refused),
    }
}

fn read_mark(
    connection: &Connection,
    open: &OpenScopes,
    scope: ScopeIndex,
) -> Result<Mark, Failure> {
    let opened = open
        .get(&scope)
        .ok_or_else(|| Failure::Refused(ledger::not_open(scope)))?;
    let (fence, position, batch, hash): (i64, i64, i64, i64) = connection
        .prepare_cached("SELECT fence, position, batch, hash FROM ledger WHERE scope = ?1")?
        .query_row([opened.id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?;
    if fence.cast_unsigned() != opened.fence {
        return Err(Failure::Refused(ledger::fenced(
            &opened.name,
            fence.cast_unsigned(),
            opened.fence,
        )));
    }
    let mark = Mark {
        scope,
        watermark: position_of(position),
        batch: BatchId(batch.cast_unsigned()),
        hash: hash.cast_unsigned(),
    };
    ledger::check_not_behind(&opened.name, opened.acknowledged, &mark).map_err(Failure::Refused)?;
    Ok(mark)
}

/// Stores the marks, under the fences by which they were read.
fn advance(connection: &Connection, open: &OpenScopes, plan: &LedgerPlan) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE ledger SET position = ?3, batch = ?4, hash = ?5 WHERE scope = ?1 AND fence = ?2",
    )?;
    for mark in plan.marks() {
        let Some(opened) = open.get(&mark.scope) else {
            continue;
        };
        statement.execute([
            opened.id,
            opened.fence.cast_signed(),
            mark.watermark.number().cast_signed(),
            mark.batch.0.cast_signed(),
            mark.hash.cast_signed(),
        ])?;
    }
    Ok(())
}
