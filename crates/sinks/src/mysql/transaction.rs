//! What happens inside transactions: fences, rows, quarantine and ledger.
//!
//! A batch takes three round trips: begin and lock the ledger's rows; insert; advance the ledger
//! and commit. The lock is what a writer with a newer fence waits for.

use std::collections::BTreeMap;

use mysql_async::prelude::Queryable;
use mysql_async::{Row as SqlRow, Value};
use record::Position;

use super::cells::{self, Ready};
use super::failure::Failure;
use super::link::Link;
use super::{Context, classify};
use crate::ledger::{LedgerPlan, Mark, check_not_behind, fenced, not_open};
use crate::{
    Batch, BatchId, Entry, ErrorKind, Receipt, Refused, Row, ScopeIndex, ScopeName, WriteError,
};

/// A scope that this writer has open.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) name: ScopeName,
    pub(super) id: i64,
    /// Fences of which one is held. There are several after an attempt to take a new one of which
    /// nobody knows whether it succeeded.
    pub(super) fences: Vec<i64>,
    /// The connection on which the fence was taken.
    pub(super) session: u64,
    /// The highest position that was acknowledged, below which the ledger never is.
    pub(super) acknowledged: Position,
}

pub(super) type OpenScopes = BTreeMap<ScopeIndex, Opened>;

/// Bytes of a reason that are kept.
const REASON_BYTES_MAX: usize = 2_000;

/// Takes a new fence for a scope whose connection was lost, if nobody else has opened it since. A
/// transaction of the lost connection that still runs holds the row, so that this waits for it.
///
/// The new fence is a random distance away, so that one of which the answer was lost is known
/// again and not taken for somebody else's, who goes up by one.
pub(super) async fn take_fence(
    link: &mut Link,
    context: &Context,
    opened: &mut Opened,
) -> Result<(), Failure> {
    if opened.session == link.session {
        return Ok(());
    }
    let doing = "take a new fence in";
    let failed = |error: &_| Failure::of(doing, &context.options, error);
    let known: Vec<String> = opened.fences.iter().map(ToString::to_string).collect();
    let highest = opened.fences.iter().max().copied().unwrap_or(0);
    let next = highest.saturating_add(fastrand::i64(2..1 << 31));
    let (ledger, id) = (&context.names.ledger, opened.id);
    opened.fences.push(next);
    let sql = format!(
        "UPDATE `{ledger}` SET fence = {next}, updated_at = UTC_TIMESTAMP(6)
         WHERE id = {id} AND fence IN ({})",
        known.join(", ")
    );
    link.conn
        .query_drop(sql)
        .await
        .map_err(|error| failed(&error))?;
    if link.conn.affected_rows() == 1 {
        opened.fences = vec![next];
        opened.session = link.session;
        return Ok(());
    }
    let sql = format!("SELECT fence FROM `{ledger}` WHERE id = {id}");
    let held: Option<i64> = link
        .conn
        .query_first(sql)
        .await
        .map_err(|error| failed(&error))?;
    opened.fences.pop();
    Err(Failure::sound(match held {
        Some(held) => fenced(&opened.name, held.cast_unsigned(), highest.cast_unsigned()),
        None => gone(&opened.name),
    }))
}

fn gone(name: &ScopeName) -> WriteError {
    WriteError::new(
        ErrorKind::Fatal,
        format!("scope `{name}` is not in the ledger any more"),
    )
}

/// Writes the batch in one transaction.
pub(super) async fn write<R: Row>(
    link: &mut Link,
    context: &Context,
    scopes: &mut OpenScopes,
    batch: &Batch<R>,
) -> Result<Receipt, Failure> {
    for entry in batch.rows().chunk_by(|a, b| a.scope == b.scope) {
        let index = entry[0].scope;
        let opened = scopes.get_mut(&index);
        let opened = opened.ok_or_else(|| Failure::sound(not_open(index)))?;
        take_fence(link, context, opened).await?;
    }
    let marks = begin(link, context, scopes, batch).await?;
    let plan = LedgerPlan::new(batch, |scope| {
        let mark = marks.iter().find(|mark| mark.scope == scope);
        mark.cloned().ok_or_else(|| not_open(scope))
    })
    .map_err(Failure::sound)?;
    let mut quarantined = earlier_reasons(link, context, scopes, batch, &plan).await?;
    if plan.fresh_len() == 0 {
        let ended = link.conn.query_drop("ROLLBACK").await;
        ended.map_err(|error| Failure::of("end a transaction of", &context.options, &error))?;
        return Ok(Receipt::new(batch.len(), plan.repeated(), quarantined));
    }
    let refused = insert_rows(link, context, scopes, batch, &plan).await?;
    insert_quarantine(link, context, scopes, batch, &refused).await?;
    commit(link, context, scopes, &plan).await?;
    quarantined.extend(refused);
    quarantined.sort_unstable_by_key(|refused| refused.row);
    Ok(Receipt::new(batch.len(), plan.repeated(), quarantined))
}

/// Begins a transaction and locks the rows of the ledger that the batch touches.
async fn begin<R: Row>(
    link: &mut Link,
    context: &Context,
    scopes: &OpenScopes,
    batch: &Batch<R>,
) -> Result<Vec<Mark>, Failure> {
    let mut touched: Vec<(ScopeIndex, &Opened)> = Vec::new();
    for entry in batch.rows() {
        if !touched.iter().any(|(index, _)| *index == entry.scope) {
            let opened = scopes.get(&entry.scope);
            let opened = opened.ok_or_else(|| Failure::sound(not_open(entry.scope)))?;
            touched.push((entry.scope, opened));
        }
    }
    let ids: Vec<String> = touched
        .iter()
        .map(|(_, opened)| opened.id.to_string())
        .collect();
    let sql = format!(
        "START TRANSACTION; SELECT id, fence, position, batch, hash FROM `{}`
         WHERE id IN ({}) ORDER BY id FOR UPDATE; SAVEPOINT whole",
        context.names.ledger,
        ids.join(", ")
    );
    let held = read_held(link, sql).await.map_err(|error| {
        let failure = Failure::of("read the ledger of", &context.options, &error);
        Failure {
            wrote_nothing: true,
            ..failure
        }
    })?;
    let mut marks = Vec::with_capacity(touched.len());
    for (index, opened) in touched {
        let row = held.iter().find(|(id, ..)| *id == opened.id);
        let Some((_, fence, position, batch, hash)) = row.copied() else {
            return Err(Failure::sound(gone(&opened.name)));
        };
        if !opened.fences.contains(&fence) {
            let ours = opened.fences.last().copied().unwrap_or(0);
            let (held, ours) = (fence.cast_unsigned(), ours.cast_unsigned());
            return Err(Failure::sound(fenced(&opened.name, held, ours)));
        }
        let mark = Mark {
            scope: index,
            watermark: Position::new(position.cast_unsigned()),
            batch: BatchId(batch.cast_unsigned()),
            hash: hash.cast_unsigned(),
        };
        check_not_behind(&opened.name, opened.acknowledged, &mark).map_err(Failure::sound)?;
        marks.push(mark);
    }
    Ok(marks)
}

type Held = (i64, i64, i64, i64, i64);

async fn read_held(link: &mut Link, sql: String) -> mysql_async::Result<Vec<Held>> {
    let mut result = link.conn.query_iter(sql).await?;
    let _: Vec<SqlRow> = result.collect().await?;
    result.collect_and_drop().await
}

/// Inserts what is new; says what was refused, and why.
async fn insert_rows<R: Row>(
    link: &mut Link,
    context: &Context,
    scopes: &OpenScopes,
    batch: &Batch<R>,
    plan: &LedgerPlan,
) -> Result<Vec<Refused>, Failure> {
    let failed = |error: &_| Failure::of("write to", &context.options, error);
    let (rows, mut refused) = prepare(link, context, scopes, batch, plan);
    match context.rows.send(link, rows).await {
        Ok(()) => return Ok(refused),
        Err(stopped) if classify::kind(&stopped.error) == ErrorKind::Data => {}
        Err(stopped) => return Err(failed(&stopped.error)),
    }
    let undone = link.conn.query_drop("ROLLBACK TO SAVEPOINT whole").await;
    undone.map_err(|error| failed(&error))?;
    let (rows, _) = prepare(link, context, scopes, batch, plan);
    let more = context.rows.send_with_care(link, &rows).await;
    refused.extend(more.map_err(|error| failed(&error))?);
    refused.sort_unstable_by_key(|refused| refused.row);
    Ok(refused)
}

/// The new rows that can be sent, and those that cannot.
fn prepare<R: Row>(
    link: &Link,
    context: &Context,
    scopes: &OpenScopes,
    batch: &Batch<R>,
    plan: &LedgerPlan,
) -> (Vec<Ready>, Vec<Refused>) {
    let (mut rows, mut refused) = (Vec::with_capacity(plan.fresh_len()), Vec::new());
    for (row, entry) in plan.fresh(batch) {
        let outcome = match &entry.content {
            Ok(content) => {
                let id = id_of(scopes, entry.scope);
                cells::values(&context.tables[0], content, id, entry.position)
            }
            Err(malformed) => Err(malformed.reason().to_owned()),
        };
        match outcome.map(|values| Ready::new(row, values)) {
            Ok(ready) if ready.bytes <= link.row_bytes_max => rows.push(ready),
            Ok(ready) => refused.push(Refused {
                row,
                reason: format!(
                    "the row takes up to {} bytes, more than the {} of max_allowed_packet",
                    ready.bytes, link.row_bytes_max
                ),
            }),
            Err(reason) => refused.push(Refused { row, reason }),
        }
    }
    (rows, refused)
}

fn id_of(scopes: &OpenScopes, scope: ScopeIndex) -> i64 {
    scopes.get(&scope).map_or(0, |opened| opened.id)
}

async fn insert_quarantine<R: Row>(
    link: &mut Link,
    context: &Context,
    scopes: &OpenScopes,
    batch: &Batch<R>,
    refused: &[Refused],
) -> Result<(), Failure> {
    let most = link.row_bytes_max.saturating_sub(2 * REASON_BYTES_MAX);
    let rows = refused.iter().map(|refused| {
        let entry: &Entry<R> = &batch.rows()[refused.row];
        let mut original = entry.original();
        let mut reason = refused.reason.clone();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        if original.len() > most {
            let all = original.len();
            original.truncate(most);
            reason = format!("{reason}; only {most} of its {all} bytes are kept");
        }
        let values = vec![
            Value::Int(id_of(scopes, entry.scope)),
            Value::Int(entry.position.number().cast_signed()),
            reason.into(),
            Value::Bytes(original),
        ];
        Ready::new(refused.row, values)
    });
    let sent = context.quarantine.send(link, rows.collect()).await;
    sent.map_err(|stopped| Failure::of("write the quarantine of", &context.options, &stopped.error))
}

/// Advances the ledger and commits. After an error nobody knows what became of it, and the
/// connection is dropped.
async fn commit(
    link: &mut Link,
    context: &Context,
    scopes: &OpenScopes,
    plan: &LedgerPlan,
) -> Result<(), Failure> {
    let mut sql = String::new();
    for mark in plan.marks() {
        sql.push_str(&format!(
            "UPDATE `{}` SET position = {}, batch = {}, hash = {}, updated_at = UTC_TIMESTAMP(6)
             WHERE id = {}; ",
            context.names.ledger,
            mark.watermark.number().cast_signed(),
            mark.batch.0.cast_signed(),
            mark.hash.cast_signed(),
            id_of(scopes, mark.scope)
        ));
    }
    sql.push_str("COMMIT");
    link.conn.query_drop(sql).await.map_err(|error| {
        let failure = Failure::of("commit to", &context.options, &error);
        Failure {
            is_sound: false,
            ..failure
        }
    })
}

/// Which rows that were settled before are in the quarantine, and why.
async fn earlier_reasons<R: Row>(
    link: &mut Link,
    context: &Context,
    scopes: &OpenScopes,
    batch: &Batch<R>,
    plan: &LedgerPlan,
) -> Result<Vec<Refused>, Failure> {
    let mut spans: BTreeMap<ScopeIndex, (u64, u64)> = BTreeMap::new();
    for row in plan.repeated_rows() {
        let entry = &batch.rows()[row];
        let position = entry.position.number();
        let span = spans.entry(entry.scope).or_insert((position, position));
        *span = (span.0.min(position), span.1.max(position));
    }
    let mut reasons: BTreeMap<(ScopeIndex, u64), String> = BTreeMap::new();
    for (scope, (first, last)) in spans {
        let sql = format!(
            "SELECT position, reason FROM `{}` WHERE scope = {} AND position BETWEEN {} AND {}",
            context.names.quarantine,
            id_of(scopes, scope),
            first.cast_signed(),
            last.cast_signed()
        );
        let found: Vec<(i64, String)> = link
            .conn
            .query(sql)
            .await
            .map_err(|error| Failure::of("read the quarantine of", &context.options, &error))?;
        let found = found.into_iter();
        reasons.extend(found.map(|(position, why)| ((scope, position.cast_unsigned()), why)));
    }
    let reason_of = |row: usize| {
        let entry = &batch.rows()[row];
        let reason = reasons.remove(&(entry.scope, entry.position.number()))?;
        Some(Refused { row, reason })
    };
    Ok(plan.repeated_rows().filter_map(reason_of).collect())
}
