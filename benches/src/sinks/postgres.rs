//! PostgreSQL: our writer, the bare driver's binary COPY, and psycopg, each one connection.

use std::pin::pin;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use sinks::{PostgresOptions, PostgresWriter};
use test_services::Service;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls};

use super::rows::{self, ROWS};
use super::{ours, python};
use crate::measure::case::{Contender, Kind};

const COLUMNS: &str = "timestamp timestamptz NOT NULL, source text NOT NULL, tag text NOT NULL, \
     value double precision, value_text text, value_kind text NOT NULL, quality text NOT NULL, \
     scope integer NOT NULL, position bigint NOT NULL";
const COPY: &str = "COPY bare_values(timestamp, source, tag, value, value_text, value_kind, \
     quality, scope, position) FROM STDIN BINARY";

/// All contenders for batches of so many rows, each on a new table of the server.
pub(crate) fn contenders(service: &Rc<Service>, rows_per_batch: usize) -> Vec<Contender> {
    let (of_ours, of_bare, of_python) =
        (Rc::clone(service), Rc::clone(service), Rc::clone(service));
    let mut contenders = vec![
        Contender::new(Kind::Ours, "ours", move |_| {
            let runtime = super::runtime()?;
            let url = of_ours.url();
            let tables = "tag_values, forebay_ledger, forebay_quarantine";
            runtime.block_on(drop_tables(&url, tables))?;
            let options = PostgresOptions::from_url(&url::Url::parse(&url)?)?;
            let writer: PostgresWriter = PostgresWriter::new(options);
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
    ];
    if python::has_psycopg() {
        contenders.push(Contender::new(Kind::Peer, super::PYTHON, move |_| {
            let runtime = super::runtime()?;
            let url = of_python.url();
            runtime.block_on(drop_tables(&url, "python_values"))?;
            let rate = python::psycopg(&url, rows_per_batch)?;
            runtime.block_on(check(&url, "python_values"))?;
            Ok(vec![rate])
        }));
    }
    contenders
}

/// What somebody who knows PostgreSQL writes by hand: a binary COPY per transaction.
async fn bare(url: &str, rows_per_batch: usize) -> Result<f64> {
    const TYPES: [Type; 9] = [
        Type::TIMESTAMPTZ,
        Type::TEXT,
        Type::TEXT,
        Type::FLOAT8,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::INT4,
        Type::INT8,
    ];
    let mut client = connect(url).await?;
    client
        .batch_execute(&format!(
            "CREATE TABLE bare_values({COLUMNS}); CREATE INDEX ON bare_values USING brin(timestamp)"
        ))
        .await?;
    let copy = client.prepare(COPY).await?;
    let records = rows::records();
    let started = Instant::now();
    let mut position = 0_i64;
    for batch in records.chunks(rows_per_batch) {
        let transaction = client.transaction().await?;
        let sink = transaction.copy_in(&copy).await?;
        let mut writer = pin!(BinaryCopyInWriter::new(sink, &TYPES));
        for record in batch {
            position += 1;
            let micros = record.timestamp.micros().cast_unsigned();
            let moment = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
            let no_text: Option<&str> = None;
            writer
                .as_mut()
                .write(&[
                    &moment,
                    &record.source.as_str(),
                    &record.tag.as_str(),
                    &rows::number(record),
                    &no_text,
                    &"float",
                    &record.quality.as_str(),
                    &1_i32,
                    &position,
                ])
                .await?;
        }
        writer.as_mut().finish().await?;
        transaction.commit().await?;
    }
    Ok(ROWS as f64 / started.elapsed().as_secs_f64())
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // It ends with its client.
    tokio::spawn(connection);
    Ok(client)
}

/// Drops them and leaves nothing to do in the background that would disturb the next contender.
async fn drop_tables(url: &str, tables: &str) -> Result<()> {
    let client = connect(url).await?;
    client
        .batch_execute(&format!("DROP TABLE IF EXISTS {tables}"))
        .await?;
    client.batch_execute("CHECKPOINT").await?;
    Ok(())
}

async fn check(url: &str, table: &str) -> Result<()> {
    let client = connect(url).await?;
    let rows: i64 = client
        .query_one(&format!("SELECT count(*) FROM {table}"), &[])
        .await?
        .get(0);
    ensure!(
        usize::try_from(rows) == Ok(ROWS),
        "{table} has {rows} rows, expected {ROWS}"
    );
    Ok(())
}
