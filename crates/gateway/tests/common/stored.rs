//! A gateway over a pipeline into a file of SQLite, from which it also reads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gateway::GatewayOptions;
use pipeline::{BufferOptions, Pipeline};
use record::{Record, Timestamp, Value};
use sinks::{BoxWriter, MemoryWriter, SqliteOptions, SqliteWriter};
use tempfile::TempDir;

use super::{Server, live_data};

/// One whose memory has the last 100 values of a key; everything is stored on a flush, and not
/// before.
pub(crate) struct Stored {
    pub(crate) server: Server,
    pub(crate) folder: TempDir,
}

impl Stored {
    pub(crate) async fn start() -> Self {
        Self::over(tempfile::tempdir().unwrap()).await
    }

    /// One over what is in a folder already.
    pub(crate) async fn over(folder: TempDir) -> Self {
        let options = SqliteOptions::new(folder.path().join("f.sqlite"));
        let writer: SqliteWriter = SqliteWriter::open(options.clone()).unwrap();
        let reader: SqliteWriter = SqliteWriter::lazy(options).unwrap();
        let buffer = BufferOptions {
            max_size: 500_000,
            max_bytes: 256 << 20,
            ..BufferOptions::default()
        };
        let pipeline = Pipeline::to(BoxWriter::new(writer))
            .buffer(buffer)
            .flush(450_000, Duration::from_secs(3_600))
            .live(live_data(50))
            .start()
            .unwrap();
        let options = GatewayOptions {
            history: Some(Arc::new(reader)),
            ..GatewayOptions::default()
        };
        let server = Server::over(pipeline, MemoryWriter::new(), options).await;
        Self { server, folder }
    }

    /// Puts values at these moments, each its own number.
    pub(crate) fn put(&self, tag: &str, micros: impl IntoIterator<Item = i64>) {
        let records = micros.into_iter().map(|micros| {
            let timestamp = Timestamp::from_micros(micros).unwrap();
            Ok(Record::new("PLC01", tag, Value::I64(micros), timestamp).unwrap())
        });
        let records: Vec<_> = records.collect();
        let count = records.len();
        let pushed = self.server.intake.push(Instant::now(), records).unwrap();
        assert_eq!(pushed.accepted, count);
    }

    pub(crate) async fn flush(&self) {
        self.server.pipeline.flush().await.unwrap();
    }

    /// Takes the file away, so that the sink can no longer be read.
    pub(crate) fn lose_the_file(&self) {
        std::fs::remove_file(self.folder.path().join("f.sqlite")).unwrap();
    }
}
