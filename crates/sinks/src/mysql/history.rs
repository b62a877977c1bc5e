//! Reading back, each query on a connection of its own.
//!
//! Rows are taken from the socket as they are asked for, so memory is bounded by the chunks that
//! wait. When nobody waits any more, the query is ended on the server.

use std::num::NonZeroU32;

use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{BinaryProtocol, Conn, Params, QueryResult, Value};
use record::{Quality, Record, Timestamp};

use super::link::Link;
use super::{MysqlOptions, MysqlWriter, cells, link};
use crate::history::{CHUNK_ITEMS, HistorySender, bucket_width_us};
use crate::sql::value_of;
use crate::{
    Bucket, BucketNumbers, HistoryQuery, HistoryReader, HistoryStream, ReadError, Reading,
};

impl HistoryReader for MysqlWriter<Record> {
    fn range(&self, query: HistoryQuery) -> HistoryStream<Reading> {
        let (sender, stream) = HistoryStream::new(query.readings_max);
        let limit = u64::try_from(query.readings_max).map_or(u64::MAX, |max| max.saturating_add(1));
        let sql = format!(
            "SELECT `timestamp`, value, value_text, value_kind, quality FROM `{}`
             WHERE {} ORDER BY `timestamp`, scope, position LIMIT {limit}",
            self.context.names.table,
            condition(&query)
        );
        self.read(query, sql, sender, reading);
        stream
    }

    fn buckets(&self, query: HistoryQuery, buckets: NonZeroU32) -> HistoryStream<Bucket> {
        let count = usize::try_from(buckets.get()).unwrap_or(usize::MAX);
        let (sender, stream) = HistoryStream::new(count);
        let width = bucket_width_us(&query, buckets);
        let from = query.from.micros();
        // JSON, text and truth values are no numbers, whatever they look like.
        let sql = format!(
            "SELECT {from} + bucket * {width}, count(*), count(number), min(number), max(number),
                    avg(number)
             FROM (SELECT (TIMESTAMPDIFF(MICROSECOND, '1970-01-01', `timestamp`) - ({from}))
                              DIV {width} AS bucket,
                          CASE WHEN value_kind IN ('int', 'float') THEN value END AS number
                   FROM `{}` WHERE {}) AS readings
             GROUP BY bucket ORDER BY bucket",
            self.context.names.table,
            condition(&query)
        );
        self.read(query, sql, sender, bucket);
        stream
    }
}

/// Names are compared by their bytes, whatever the collation of the table.
fn condition(query: &HistoryQuery) -> String {
    format!(
        "source = ? AND tag = ? AND CAST(source AS BINARY) = ? AND CAST(tag AS BINARY) = ?
         AND `timestamp` >= {} AND `timestamp` < {}",
        cells::date_literal(query.from),
        cells::date_literal(query.until)
    )
}

impl MysqlWriter<Record> {
    fn read<T, Q>(
        &self,
        query: HistoryQuery,
        sql: String,
        sender: HistorySender<T>,
        item: fn(Q) -> Option<T>,
    ) where
        T: Send + 'static,
        Q: FromRow + Send + 'static,
    {
        let options = self.context.options.clone();
        tokio::spawn(async move {
            let waited = options.connect_timeout;
            let connecting = tokio::time::timeout(waited, link::connect(&options, 0));
            let outcome = match connecting.await {
                Ok(Ok(link)) => stream(link, &options, &query, sql, &sender, item)
                    .await
                    .map_err(|error| format!("cannot read {options}: {error}")),
                Ok(Err(failure)) => Err(failure.error.to_string()),
                Err(_) => Err(format!(
                    "cannot read {options}: no answer within {waited:?}"
                )),
            };
            if let Err(said) = outcome {
                // Nobody waits for it any more: then nobody has to know.
                let _ = sender.send(Err(ReadError::new(said))).await;
            }
        });
    }
}

async fn stream<T, Q>(
    mut link: Link,
    options: &MysqlOptions,
    query: &HistoryQuery,
    sql: String,
    sender: &HistorySender<T>,
    item: fn(Q) -> Option<T>,
) -> mysql_async::Result<()>
where
    T: Send + 'static,
    Q: FromRow + Send + 'static,
{
    let connection = link.conn.id();
    let (source, tag) = (query.source.as_str(), query.tag.as_str());
    let names: [Value; 4] = [source.into(), tag.into(), source.into(), tag.into()];
    let running = async {
        let parameters = Params::Positional(names.into());
        let mut result = link.conn.exec_iter(sql, parameters).await?;
        send_all(&mut result, sender, item).await?;
        result.drop_result().await
    };
    tokio::select! {
        done = running => {
            done?;
            link.conn.disconnect().await
        }
        () = sender.closed() => end_query(options, connection).await,
    }
}

async fn send_all<T, Q: FromRow>(
    result: &mut QueryResult<'_, 'static, BinaryProtocol>,
    sender: &HistorySender<T>,
    item: fn(Q) -> Option<T>,
) -> mysql_async::Result<()> {
    let mut chunk = Vec::new();
    while let Some(row) = result.next().await? {
        let row = mysql_async::from_row_opt::<Q>(row);
        let row = row.map_err(|error| mysql_async::Error::Other(Box::new(error)))?;
        // What somebody else has put there may be none that a record can have.
        chunk.extend(item(row));
        if chunk.len() == CHUNK_ITEMS && sender.send(Ok(std::mem::take(&mut chunk))).await.is_err()
        {
            return Ok(());
        }
    }
    if !chunk.is_empty() {
        let _ = sender.send(Ok(chunk)).await;
    }
    Ok(())
}

/// Ends what a connection is doing: one that is dropped reads to the end first.
async fn end_query(options: &MysqlOptions, connection: u32) -> mysql_async::Result<()> {
    let mut conn = Conn::new(options.driver()).await?;
    conn.query_drop(format!("KILL QUERY {connection}")).await?;
    conn.disconnect().await
}

type ReadingRow = (Value, Option<f64>, Option<String>, Option<String>, String);

fn reading((timestamp, number, text, kind, quality): ReadingRow) -> Option<Reading> {
    Some(Reading {
        timestamp: cells::moment(&timestamp)?,
        // What nobody of ours wrote is no value.
        value: value_of(number, text.as_deref(), &kind.unwrap_or_default()).unwrap_or_default(),
        // A quality that somebody else wrote is none that can be trusted.
        quality: quality.parse().unwrap_or(Quality::Uncertain),
    })
}

type BucketRow = (i64, u64, u64, Option<f64>, Option<f64>, Option<f64>);

fn bucket((start, count, numbers, min, max, mean): BucketRow) -> Option<Bucket> {
    let numbers = match (min, max, mean) {
        (Some(min), Some(max), Some(mean)) => Some(BucketNumbers {
            count: numbers,
            min,
            max,
            mean,
        }),
        _ => None,
    };
    Some(Bucket {
        start: Timestamp::from_micros(start).ok()?,
        count,
        numbers,
    })
}
