//! MariaDB: our writer, and the bare driver by a prepared insert of many rows, one connection each.

use std::rc::Rc;
use std::time::Instant;

use anyhow::{Result, ensure};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, TxOpts, Value};
use sinks::{MysqlOptions, MysqlWriter};
use test_services::Service;

use super::ours;
use super::rows::{self, ROWS};
use crate::measure::case::{Contender, Kind};

const COLUMNS: &str = "timestamp datetime(6) NOT NULL, source varchar(255) NOT NULL, \
     tag varchar(255) NOT NULL, value double, value_text longtext, value_kind varchar(8) NOT NULL, \
     quality varchar(16) NOT NULL, scope int NOT NULL, position bigint NOT NULL";
const CELLS: usize = 9;
/// The most placeholders that a prepared statement may have.
const PLACEHOLDERS_MAX: usize = 65_535;

/// All contenders for batches of so many rows, each on a new table of the server.
pub(crate) fn contenders(service: &Rc<Service>, rows_per_batch: usize) -> Vec<Contender> {
    let (of_ours, of_bare) = (Rc::clone(service), Rc::clone(service));
    vec![
        Contender::new(Kind::Ours, "ours", move |_| {
            let runtime = super::runtime()?;
            let url = of_ours.url();
            let tables = "tag_values, forebay_quarantine, forebay_ledger";
            runtime.block_on(drop_tables(&url, tables))?;
            let options = MysqlOptions::from_url(&url::Url::parse(&url)?)?;
            let writer: MysqlWriter = MysqlWriter::new(options);
            let rate = ours::write(&runtime, &writer, rows_per_batch)?;
            runtime.block_on(check(&url, "tag_values"))?;
            Ok(vec![rate])
        }),
        Contender::new(Kind::Peer, super::BARE, move |_| {
            let runtime = super::runtime()?;
            let url = of_bare.url();
            runtime.block_on(drop_tables(&url, "bare_values"))?;
            let rate = runtime.block_on(bare(&url, rows_per_batch))?;
            runtime.block_on(check(&url, "bare_values"))?;
            Ok(vec![rate])
        }),
    ]
}

/// What somebody who knows MariaDB writes by hand: as many rows per prepared statement as there
/// can be, in one transaction per batch.
async fn bare(url: &str, rows_per_batch: usize) -> Result<f64> {
    let mut connection = Conn::from_url(url).await?;
    connection
        .query_drop(format!("CREATE TABLE bare_values({COLUMNS}) ENGINE=InnoDB"))
        .await?;
    let rows_max = rows_per_batch.min(PLACEHOLDERS_MAX / CELLS);
    let one = format!("({})", ["?"; CELLS].join(", "));
    let statement = |rows: usize| {
        let all = vec![one.as_str(); rows].join(", ");
        format!(
            "INSERT INTO bare_values(timestamp, source, tag, value, value_text, value_kind, \
             quality, scope, position) VALUES {all}"
        )
    };
    let records = rows::records();
    let started = Instant::now();
    let mut position = 0_i64;
    for batch in records.chunks(rows_per_batch) {
        let mut transaction = connection.start_transaction(TxOpts::default()).await?;
        for part in batch.chunks(rows_max) {
            // Prepared once: the driver keeps statements by their text.
            let insert = transaction.prep(statement(part.len())).await?;
            let mut values = Vec::with_capacity(part.len() * CELLS);
            for record in part {
                position += 1;
                values.extend(cells(record, position));
            }
            transaction.exec_drop(insert, values).await?;
        }
        transaction.commit().await?;
    }
    let rate = ROWS as f64 / started.elapsed().as_secs_f64();
    connection.disconnect().await?;
    Ok(rate)
}

fn cells(record: &record::Record, position: i64) -> [Value; CELLS] {
    let micros = record.timestamp.micros();
    let seconds = micros.div_euclid(1_000_000);
    let rest = u32::try_from(micros.rem_euclid(1_000_000)).unwrap_or(0);
    // All rows are of one day, so the date need not be computed: 2023-11-14, from 22:13:20.
    let of_day = seconds - 1_699_920_000;
    let part = |number: i64| u8::try_from(number).unwrap_or(0);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    [
        Value::Date(2023, 11, 14, part(hour), part(minute), part(second), rest),
        Value::from(record.source.as_str()),
        Value::from(record.tag.as_str()),
        Value::from(rows::number(record)),
        Value::NULL,
        Value::from("float"),
        Value::from(record.quality.as_str()),
        Value::from(1),
        Value::from(position),
    ]
}

async fn drop_tables(url: &str, tables: &str) -> Result<()> {
    let mut connection = Conn::from_url(url).await?;
    connection
        .query_drop(format!("DROP TABLE IF EXISTS {tables}"))
        .await?;
    connection.disconnect().await?;
    Ok(())
}

async fn check(url: &str, table: &str) -> Result<()> {
    let mut connection = Conn::from_url(url).await?;
    let rows: Option<usize> = connection
        .query_first(format!("SELECT count(*) FROM {table}"))
        .await?;
    ensure!(
        rows == Some(ROWS),
        "{table} has {rows:?} rows, expected {ROWS}"
    );
    connection.disconnect().await?;
    Ok(())
}
