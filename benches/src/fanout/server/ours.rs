//! Our server: a pipeline that keeps live data and writes nowhere, and its gateway.

use anyhow::{Context, Result, ensure};
use gateway::{Gateway, GatewayOptions};
use pipeline::{LiveData, Pipeline, Sender, SinkSpec};
use record::{Priority, Record, Timestamp, Value};
use sinks::{Batch, BatchWriter, BoxWriter, Receipt, ScopeName, WriteError};

use super::timestamp;
use crate::fanout::plan::{Due, Schedule};
use crate::fanout::update;

/// More than any case connects.
const CLIENTS_MAX: usize = 15_000;
const KEYS_MAX: usize = 4_096;

pub(super) struct Server {
    port: u16,
    sender: Sender,
}

/// Starts it within the current runtime, which it ends with.
pub(super) async fn start() -> Result<Server> {
    let live = LiveData::builder()
        .keys_max(KEYS_MAX)
        .subscribers_max(CLIENTS_MAX)
        .depth_default(100)
        .resume_updates(10_000)
        .build()?;
    let pipeline = Pipeline::builder()
        .live(live)
        .sink(SinkSpec::new("nowhere", BoxWriter::new(Nowhere)))
        .start()?;
    let options = GatewayOptions {
        websockets_max: CLIENTS_MAX,
        ..GatewayOptions::default()
    };
    let ingest = pipeline.intake(&ScopeName::new("http/normal")).await?;
    let listen = "127.0.0.1:0".parse().context("an address")?;
    let gateway = Gateway::bind(listen, options, pipeline.clone(), ingest).await?;
    let port = gateway.local_addr().port();
    tokio::spawn(gateway.serve(std::future::pending()));
    Ok(Server {
        port,
        sender: pipeline.sender(),
    })
}

impl Server {
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn publish(&self, schedule: &Schedule, due: &[Due]) -> Result<()> {
        let timestamp = Timestamp::from_micros(timestamp())?;
        let record = |due: &Due| {
            let value = Value::json(&update::value(*due, schedule.bytes)?)?;
            let source = update::source(due.agent);
            let mut record = Record::new(&source, update::TAG, value, timestamp)?;
            record.priority = Some(if due.is_critical {
                Priority::Critical
            } else {
                Priority::Normal
            });
            Ok(record)
        };
        let records: Vec<Record> = due.iter().map(record).collect::<Result<_>>()?;
        let count = records.len();
        let accepted = self.sender.send_many(records)?.accepted;
        ensure!(accepted == count, "{accepted} of {count} were accepted");
        Ok(())
    }
}

/// A sink that keeps nothing.
struct Nowhere;

impl BatchWriter for Nowhere {
    type Row = Record;

    fn name(&self) -> &str {
        "nowhere"
    }

    async fn write(&self, batch: &Batch<Record>) -> Result<Receipt, WriteError> {
        Ok(Receipt::delivered_all(batch.len()))
    }
}
