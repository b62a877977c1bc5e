//! The tables: created where they are missing, brought up to date, or refused with what differs.

use tokio_postgres::Client;

use super::Shape;
use super::statements::DIALECT;
use super::transaction::Failure;
use crate::sql::{Comparison, FoundColumn, SqlType, Table, add_column, compare, create_table};
use crate::{ErrorKind, WriteError};

const COLUMNS: &str = "
    SELECT attname::text, format_type(atttypid, NULL), NOT attnotnull,
           atthasdef OR attidentity <> ''
    FROM pg_attribute
    WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
    ORDER BY attnum";

/// Two writers that start at once create the tables one after the other.
const ONE_AT_A_TIME: &str = "BEGIN; SELECT pg_advisory_xact_lock(5070324913001)";

/// Makes sure that rows can be written.
pub(super) async fn create_or_check(client: &Client, shape: &Shape) -> Result<(), Failure> {
    // A user that may only write to tables that are there is enough, once they are.
    if changes(client, shape).await?.is_empty() {
        return Ok(());
    }
    client.batch_execute(ONE_AT_A_TIME).await?;
    let changes = changes(client, shape).await?;
    for change in &changes {
        tracing::info!(target = %shape.target, statement = %change, "a table is changed");
        client.batch_execute(change).await?;
    }
    client.batch_execute("COMMIT").await?;
    Ok(())
}

/// The tables that are empty after a crash of the server.
const UNLOGGED: &str = "
    SELECT relname::text FROM pg_class
    WHERE oid IN (to_regclass($1), to_regclass($2), to_regclass($3)) AND relpersistence <> 'p'
    ORDER BY relname";

/// What endangers the rows that are stored, table by table.
pub(super) async fn warnings(client: &Client, shape: &Shape) -> Result<Vec<String>, Failure> {
    let names = &shape.names;
    let [rows, ledger, quarantine] =
        [&names.table, &names.ledger, &names.quarantine].map(|name| format!("\"{name}\""));
    let found = client
        .query(UNLOGGED, &[&rows, &ledger, &quarantine])
        .await?;
    let warnings = found.iter().map(|row| {
        let table: &str = row.try_get(0)?;
        Ok(format!(
            "table `{table}` is not logged: it is emptied when the server crashes; use \
             `ALTER TABLE {table} SET LOGGED`"
        ))
    });
    Ok(warnings.collect::<Result<_, tokio_postgres::Error>>()?)
}

/// Refuses tables that no row can be written to as they are now.
pub(super) async fn check(client: &Client, shape: &Shape) -> Result<(), Failure> {
    changes(client, shape).await.map(|_| ())
}

async fn changes(client: &Client, shape: &Shape) -> Result<Vec<String>, Failure> {
    let Shape {
        rows,
        names,
        target,
        keys,
        ..
    } = shape;
    let tables = [
        rows.clone(),
        Table::of_ledger(&names.ledger),
        Table::of_quarantine(&names.quarantine),
    ];
    let (mut changes, mut differences) = (Vec::new(), Vec::new());
    for (index, table) in tables.iter().enumerate() {
        let found = found(client, table).await?;
        if found.is_empty() {
            changes.push(create_table(table, &DIALECT));
            if index == 0 {
                changes.extend(indexes(table, keys));
            }
            continue;
        }
        match compare(table, &found, &DIALECT, is_type) {
            Comparison::Add(columns) => {
                let add = |column| add_column(table, column, &DIALECT);
                changes.extend(columns.into_iter().map(add));
            }
            Comparison::Refuse(difference) => differences.push(difference),
        }
    }
    if differences.is_empty() {
        return Ok(changes);
    }
    Err(Failure::Refused(WriteError::new(
        ErrorKind::Fatal,
        format!(
            "cannot use {target}: {}; alter the table, or name another one by `table` or `prefix`",
            differences.join("; ")
        ),
    )))
}

async fn found(client: &Client, table: &Table) -> Result<Vec<FoundColumn>, Failure> {
    let rows = client
        .query(COLUMNS, &[&format!("\"{}\"", table.name)])
        .await?;
    let columns = rows.iter().map(|row| {
        Ok(FoundColumn {
            name: row.try_get(0)?,
            type_name: row.try_get(1)?,
            nullable: row.try_get(2)?,
            has_default: row.try_get(3)?,
        })
    });
    Ok(columns.collect::<Result<_, tokio_postgres::Error>>()?)
}

/// The indexes of a new table: a small one on time, and that of the key where there is one. The
/// server names them, so that a table which was renamed is in nobody's way.
fn indexes(table: &Table, keys: &[String]) -> Vec<String> {
    let name = &table.name;
    let time = table
        .columns
        .iter()
        .find(|column| column.kind == SqlType::Timestamp)
        .map(|column| {
            let column = &column.name;
            format!("CREATE INDEX ON \"{name}\" USING brin (\"{column}\")")
        });
    let key = (!keys.is_empty()).then(|| {
        let columns: Vec<_> = keys.iter().map(|key| format!("\"{key}\"")).collect();
        let columns = columns.join(", ");
        format!("CREATE UNIQUE INDEX ON \"{name}\" ({columns})")
    });
    time.into_iter().chain(key).collect()
}

/// Whether a type takes what COPY sends for ours.
fn is_type(kind: SqlType, found: &str) -> bool {
    match kind {
        SqlType::Text | SqlType::Name | SqlType::Kind => {
            matches!(found, "text" | "character varying")
        }
        SqlType::Now => found == "timestamp with time zone",
        SqlType::Identity => found == "integer",
        kind => found == (DIALECT.type_name)(kind),
    }
}
