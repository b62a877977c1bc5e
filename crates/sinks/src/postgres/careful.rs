//! A batch written with care: the ledger is read first, and rows that the database refuses are
//! found and set aside.
//!
//! Rows go out in pieces, each behind a savepoint. When COPY names the row that it refuses, the
//! rows before it are sent again, it is set aside, and the rows behind it follow: three COPYs for
//! one bad row. When nobody is named, the piece is halved until one row is left. A piece that goes
//! well is followed by one of twice the size, so that many bad rows cost no more than their number.

use std::collections::HashMap;

use tokio_postgres::Error;

use super::connect::Connection;
use super::statements::{INCOMING, begin};
use super::transaction::{Failure, Held, Stored, Work};
use super::{classify, schema};
use crate::ledger::check_not_behind;
use crate::ledger::{LedgerPlan, fenced};
use crate::{ErrorKind, Receipt, Refused, Row, ScopeIndex, WriteError};

const IGNORED: &str = "the database took no row: a trigger ignored it";

impl<R: Row> Work<'_, R> {
    /// Writes what lies above the watermarks.
    pub(super) async fn write_with_care(
        &self,
        connection: &mut Connection,
    ) -> Result<Receipt, Failure> {
        connection.known.clear();
        connection.is_sound = false;
        let held = self.begin(connection).await?;
        let plan = LedgerPlan::new(self.batch, |scope| self.mark(&held, scope))
            .map_err(Failure::Refused)?;
        let mut refused = Vec::new();
        let mut rows = Vec::with_capacity(plan.fresh_len());
        let mut scratch = Vec::new();
        for (row, _) in plan.fresh(self.batch) {
            scratch.clear();
            match self.encode(&mut scratch, row, false) {
                Ok(()) => rows.push(row),
                Err(reason) => refused.push(Refused { row, reason }),
            }
        }
        refused.extend(self.store_in_pieces(connection, &rows).await?);
        connection.is_sound = false;
        refused.sort_unstable_by_key(|refused| refused.row);
        self.quarantine(connection, &refused).await?;
        refused.extend(self.earlier(connection, &plan).await?);
        refused.sort_unstable_by_key(|refused| refused.row);
        // The rows of the ledger are locked already, so any order does.
        for mark in plan.marks() {
            let opened = self.opened(mark.scope).map_err(Failure::Refused)?;
            let before = held[&opened.id].mark(mark.scope);
            let is_moved = before.watermark != mark.watermark;
            if is_moved && !self.advance(connection, mark, before.watermark).await? {
                return Err(gone(opened.name.as_str()));
            }
        }
        connection.client.batch_execute("COMMIT").await?;
        connection.is_sound = true;
        for mark in plan.marks() {
            connection.known.insert(mark.scope, mark.clone());
        }
        Ok(Receipt::new(self.batch.len(), plan.repeated(), refused))
    }

    /// Begins, and locks the rows of the ledger, each in the order that everybody takes.
    async fn begin(&self, connection: &mut Connection) -> Result<HashMap<i32, Held>, Failure> {
        let mut ids = Vec::new();
        for entry in self.batch.rows() {
            let opened = self.opened(entry.scope).map_err(Failure::Refused)?;
            if ids.last() != Some(&opened.id) && !ids.contains(&opened.id) {
                ids.push(opened.id);
            }
        }
        // A constraint that is checked at the end would not say which row it refuses.
        connection.transaction = fastrand::u64(..);
        let begin = begin(connection.transaction) + "; SET CONSTRAINTS ALL IMMEDIATE";
        let client = &connection.client;
        let (begun, found) = futures_util::future::join(
            client.batch_execute(&begin),
            client.query(&connection.prepared.read_marks, &[&ids]),
        )
        .await;
        begun?;
        let found = found?;
        let held = found.iter().map(|row| {
            let held = Held::read(row)?;
            Ok((held.id, held))
        });
        Ok(held.collect::<Result<_, Error>>()?)
    }

    fn mark(
        &self,
        held: &HashMap<i32, Held>,
        scope: ScopeIndex,
    ) -> Result<crate::ledger::Mark, WriteError> {
        let opened = self.opened(scope)?;
        let Some(held) = held.get(&opened.id) else {
            return Err(WriteError::new(
                ErrorKind::Fatal,
                format!("scope `{}` is no longer in the ledger", opened.name),
            ));
        };
        check_not_behind(&opened.name, opened.acknowledged, &held.mark(scope))?;
        if held.fence != opened.fence {
            return Err(fenced(&opened.name, held.fence, opened.fence));
        }
        Ok(held.mark(scope))
    }

    /// Stores these rows but for those that the database refuses, which are returned.
    async fn store_in_pieces(
        &self,
        connection: &mut Connection,
        rows: &[usize],
    ) -> Result<Vec<Refused>, Failure> {
        let mut refused = Vec::new();
        // Rows that were named, by their place in `rows`; those before them are still to be sent.
        let mut named: Vec<(usize, String)> = Vec::new();
        let (mut at, mut size) = (0, rows.len());
        while at < rows.len() {
            if let Some((_, reason)) = named.pop_if(|(place, _)| *place == at) {
                let row = rows[at];
                refused.push(Refused { row, reason });
                at += 1;
                continue;
            }
            let end = named.last().map_or(rows.len(), |(place, _)| *place);
            let end = end.min(at.saturating_add(size));
            let sink = self.begin_piece(connection).await?;
            let piece = rows[at..end].iter().copied();
            let error = match self.store(connection, sink, piece).await? {
                Stored::All(_) => {
                    connection.client.batch_execute("RELEASE piece").await?;
                    at = end;
                    size = size.saturating_mul(2);
                    continue;
                }
                Stored::Fewer => None,
                Stored::Refused(error) => Some(error),
            };
            let back = "ROLLBACK TO piece; RELEASE piece";
            connection.client.batch_execute(back).await?;
            if refused.is_empty() && named.is_empty() {
                // A table that was changed under us refuses every row; that is not their fault.
                schema::check(&connection.client, self.shape).await?;
            }
            let length = end - at;
            let table = match self.shape.statements.upsert {
                Some(_) => INCOMING,
                None => &self.shape.names.table,
            };
            let place = error
                .as_ref()
                .and_then(|error| classify::row_named_by(error, table));
            let place = place.filter(|line| (1..=length).contains(line));
            let reason = error.map_or_else(|| IGNORED.to_owned(), |error| classify::reason(&error));
            match place {
                _ if length == 1 => named.push((at, reason)),
                Some(line) => named.push((at + line - 1, reason)),
                None => {}
            }
            size = match place {
                Some(line) if line > 1 => line - 1,
                _ => (length / 2).max(1),
            };
        }
        Ok(refused)
    }

    /// Rows that were settled before by going into the quarantine, and why.
    async fn earlier(
        &self,
        connection: &Connection,
        plan: &LedgerPlan,
    ) -> Result<Vec<Refused>, Failure> {
        if plan.repeated() == 0 {
            return Ok(Vec::new());
        }
        let (mut scopes, mut positions) = (Vec::new(), Vec::new());
        let mut rows = HashMap::new();
        for row in plan.repeated_rows() {
            let entry = &self.batch.rows()[row];
            let id = self.opened(entry.scope).map_err(Failure::Refused)?.id;
            let position = entry.position.number().cast_signed();
            scopes.push(id);
            positions.push(position);
            rows.insert((id, position), row);
        }
        let statement = &self.shape.statements.reasons;
        let found = connection
            .client
            .query(statement, &[&scopes, &positions])
            .await?;
        let mut earlier = Vec::new();
        for found in found {
            let place: (i32, i64) = (found.try_get(0)?, found.try_get(1)?);
            if let Some(row) = rows.remove(&place) {
                let reason = found.try_get(2)?;
                earlier.push(Refused { row, reason });
            }
        }
        Ok(earlier)
    }
}

fn gone(scope: &str) -> Failure {
    Failure::Refused(WriteError::new(
        ErrorKind::Fatal,
        format!("the watermark of scope `{scope}` does not move: a trigger or a rule prevents it"),
    ))
}
