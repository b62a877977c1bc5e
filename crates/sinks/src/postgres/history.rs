//! Reading the table, each query on a connection of its own.
//!
//! Rows come as the reader takes them: what it does not take waits in the server. A stream that is
//! dropped closes its connection, and the server ends the query; it also ends one that takes longer
//! than `statement_timeout`. There are at most [`READERS_MAX`] at a time, so that reading does not
//! take all connections that the server has.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;

use futures_util::TryStreamExt;
use record::{Quality, Record, Timestamp, Value};
use tokio_postgres::Row as SqlRow;
use tokio_postgres::types::ToSql;

use super::{PostgresOptions, PostgresWriter, READERS_MAX, connect};
use crate::history::{CHUNK_ITEMS, HistorySender, bucket_width_us};
use crate::sql::value_of;
use crate::{
    Bucket, BucketNumbers, HistoryQuery, HistoryReader, HistoryStream, ReadError, Reading,
};

/// Microseconds since 1970 of the column, exactly.
const MICROS: &str = "(extract(epoch FROM timestamp) * 1000000)::bigint";
/// The moment so many microseconds after 1970, exactly.
const MOMENT: &str = "'1970-01-01 00:00:00+00'::timestamptz + interval '1 microsecond' *";

impl HistoryReader for PostgresWriter<Record> {
    fn range(&self, query: HistoryQuery) -> HistoryStream<Reading> {
        let (sender, stream) = HistoryStream::new(query.readings_max);
        let limit = i64::try_from(query.readings_max).map_or(i64::MAX, |max| max.saturating_add(1));
        let sql = |table: &str| {
            format!(
                "SELECT {MICROS}, value, value_text, value_kind, quality FROM \"{table}\" \
                 WHERE {WITHIN} ORDER BY timestamp, scope, position LIMIT $5",
                WITHIN = within()
            )
        };
        self.read(query, sql, limit, sender, reading);
        stream
    }

    fn buckets(&self, query: HistoryQuery, buckets: NonZeroU32) -> HistoryStream<Bucket> {
        let count = usize::try_from(buckets.get()).unwrap_or(usize::MAX);
        let (sender, stream) = HistoryStream::new(count);
        let width = bucket_width_us(&query, buckets);
        let sql = |table: &str| {
            format!(
                "SELECT $3 + ({MICROS} - $3) / $5 * $5, count(*), count(number), min(number), \
                 max(number), avg(number) FROM (SELECT timestamp, \
                 CASE WHEN value_kind IN ('int', 'float') THEN value END AS number \
                 FROM \"{table}\" WHERE {WITHIN}) AS readings GROUP BY 1 ORDER BY 1",
                WITHIN = within()
            )
        };
        self.read(query, sql, width, sender, bucket);
        stream
    }
}

fn within() -> String {
    format!(
        "source = $1 AND tag = $2 AND timestamp >= {MOMENT} $3::bigint \
         AND timestamp < {MOMENT} $4::bigint"
    )
}

impl PostgresWriter<Record> {
    /// Runs a query of the usual four parameters and a fifth.
    fn read<T: Send + 'static>(
        &self,
        query: HistoryQuery,
        sql: impl FnOnce(&str) -> String,
        fifth: i64,
        sender: HistorySender<T>,
        item: fn(&SqlRow) -> Result<T, String>,
    ) {
        let names = self.options.names("tag_values");
        let (options, runtime) = (self.options.clone(), tokio::runtime::Handle::try_current());
        let (names, runtime) = match (names, runtime) {
            (Ok(names), Ok(runtime)) => (names, runtime),
            (Err(error), _) => return fail(&sender, &options, &error.to_string()),
            (_, Err(error)) => return fail(&sender, &options, &error.to_string()),
        };
        let sql = sql(&names.table);
        let Ok(permit) = Arc::clone(&self.readers).try_acquire_owned() else {
            let why = format!("{READERS_MAX} ranges are being read already; try again later");
            return fail(&sender, &options, &why);
        };
        runtime.spawn(async move {
            let _permit = permit;
            let streamed = stream(&options, &sql, &query, fifth, &sender, item);
            let outcome = tokio::select! {
                outcome = streamed => outcome,
                // Nobody waits for it any more.
                () = sender.closed() => return,
            };
            if let Err(why) = outcome {
                let said = format!("cannot read {}: {why}", options.target());
                let _ = sender.send(Err(ReadError::new(said))).await;
            }
        });
    }
}

fn fail<T>(sender: &HistorySender<T>, options: &PostgresOptions, why: &str) {
    let said = format!("cannot read {}: {why}", options.target());
    // The channel is new and has room.
    let _ = sender.try_send(Err(ReadError::new(said)));
}

async fn stream<T>(
    options: &PostgresOptions,
    sql: &str,
    query: &HistoryQuery,
    fifth: i64,
    sender: &HistorySender<T>,
    item: fn(&SqlRow) -> Result<T, String>,
) -> Result<(), String> {
    let said = |error: tokio_postgres::Error| super::classify::reason(&error);
    let bare = tokio::time::timeout(options.connect_timeout, connect::open(options))
        .await
        .map_err(|_| format!("it was not ready within {:?}", options.connect_timeout))?
        .map_err(|failure| {
            let error = failure.into_write_error("connect to", &options.target());
            error.to_string()
        })?;
    let bounds = format!(
        "SET default_transaction_read_only = on; SET statement_timeout = {}",
        options.statement_timeout.as_millis()
    );
    bare.client.batch_execute(&bounds).await.map_err(said)?;
    let (from, until) = (query.from.micros(), query.until.micros());
    let parameters: [&(dyn ToSql + Sync); 5] = [&query.source, &query.tag, &from, &until, &fifth];
    let rows = bare.client.query_raw(sql, parameters).await.map_err(said)?;
    let mut rows = pin!(rows);
    let mut chunk = Vec::new();
    while let Some(row) = rows.try_next().await.map_err(said)? {
        chunk.push(item(&row)?);
        if chunk.len() == CHUNK_ITEMS && sender.send(Ok(std::mem::take(&mut chunk))).await.is_err()
        {
            return Ok(()); // Whoever asked has stopped waiting.
        }
    }
    if !chunk.is_empty() {
        let _ = sender.send(Ok(chunk)).await;
    }
    Ok(())
}

fn reading(row: &SqlRow) -> Result<Reading, String> {
    let said = |error: tokio_postgres::Error| error.to_string();
    let kind: &str = row.try_get(3).map_err(said)?;
    let quality: &str = row.try_get(4).map_err(said)?;
    let number = row.try_get(1).map_err(said)?;
    let text = row.try_get(2).map_err(said)?;
    Ok(Reading {
        timestamp: timestamp(row)?,
        // What nobody of ours wrote is no value.
        value: value_of(number, text, kind).unwrap_or(Value::Null),
        quality: quality.parse().unwrap_or(Quality::Uncertain),
    })
}

fn bucket(row: &SqlRow) -> Result<Bucket, String> {
    let said = |error: tokio_postgres::Error| error.to_string();
    let count: i64 = row.try_get(2).map_err(said)?;
    let numbers = if count > 0 {
        Some(BucketNumbers {
            count: count.cast_unsigned(),
            min: row.try_get(3).map_err(said)?,
            max: row.try_get(4).map_err(said)?,
            mean: row.try_get(5).map_err(said)?,
        })
    } else {
        None
    };
    Ok(Bucket {
        start: timestamp(row)?,
        count: row.try_get::<_, i64>(1).map_err(said)?.cast_unsigned(),
        numbers,
    })
}

fn timestamp(row: &SqlRow) -> Result<Timestamp, String> {
    let micros: i64 = row.try_get(0).map_err(|error| error.to_string())?;
    Timestamp::from_micros(micros).map_err(|error| error.to_string())
}
