//! What the layers around a writer cost per batch when nothing fails.
//!
//! Prints nanoseconds per batch of 0, 500 and 5,000 rows for a writer alone, for each layer and
//! guard around it, and for all of them, each time as the best of several rounds. The ledger is
//! that of a sink in memory, since one in a file measures the disk. The writer either answers at
//! once, or, as a database does, only when it is polled a second time. Run it with
//! `cargo run --release -p sinks --example layer_cost`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use record::{Position, Record, Timestamp, Value};
use sinks::{
    Batch, BatchId, BatchWriter, Bisect, BreakerSpec, CircuitBreaker, ConcurrencySpec, Entry,
    Fallback, InvalidSetting, LimitSpec, Limited, MemoryWriter, NdjsonFileOptions,
    NdjsonFileWriter, Quarantine, QuarantineFiles, QuarantineOptions, Rate, Receipt, RetryPolicy,
    Retrying, ScopeIndex, ScopeName, SharedBudget, Timeout, WriteError,
};

const ROUNDS: u32 = 7;
/// Rows per batch, and batches per round.
const SIZES: [(u64, u32); 3] = [(0, 200_000), (500, 20_000), (5_000, 2_000)];
const TIME: Duration = Duration::from_secs(30);

/// Takes everything.
#[derive(Clone, Copy)]
enum Nothing {
    AtOnce,
    WhenAskedAgain,
}

impl BatchWriter for Nothing {
    type Row = Record;

    fn name(&self) -> &str {
        "nothing"
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        if matches!(self, Self::WhenAskedAgain) {
            tokio::task::yield_now().await;
        }
        Ok(Receipt::new(batch.len(), 0, Vec::new()))
    }
}

fn limits() -> Result<LimitSpec, InvalidSetting> {
    let concurrency = ConcurrencySpec::adaptive(1, 16).slow_call(TIME);
    Ok(LimitSpec::new()
        .rows(Rate::new(1e12, 1_000_000_000)?)
        .batches(Rate::new(1e12, 1_000_000_000)?)
        .concurrency(concurrency))
}

fn breaker<W: BatchWriter>(inner: W) -> Result<CircuitBreaker<W>, InvalidSetting> {
    CircuitBreaker::new(inner, BreakerSpec::default())
}

fn retrying<W: BatchWriter>(inner: W) -> Retrying<W> {
    let policy = RetryPolicy::default().within(TIME);
    Retrying::new(inner, policy, SharedBudget::default())
}

/// The least nanoseconds per batch, of `ready` and `write` together.
async fn cost(writer: &impl BatchWriter<Row = Record>, (rows, batches): (u64, u32)) -> f64 {
    let batch = Batch::new(BatchId(1), rows_of(rows));
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..batches {
            writer.ready().await;
            let _ = black_box(writer.write(black_box(&batch)).await);
        }
        best = best.min(began.elapsed().as_nanos() as f64 / f64::from(batches));
    }
    best
}

fn rows_of(count: u64) -> Vec<Entry> {
    let record = Record::new("PLC01", "D100", Value::Bool(true), Timestamp::default());
    let row = |position| Entry {
        scope: ScopeIndex(0),
        position: Position::new(position),
        arrival: Instant::now(),
        content: Ok(record.clone().expect("a record")),
    };
    (1..=count).map(row).collect()
}

fn guards<W: BatchWriter<Row = Record>>(inner: W) -> impl BatchWriter<Row = Record> {
    let backup = NdjsonFileWriter::new(NdjsonFileOptions::new("backup"));
    let files = QuarantineFiles::new(QuarantineOptions::new("quarantine"));
    Quarantine::new(Bisect::new(Fallback::new(inner, backup)), files)
}

async fn measure(writer: Nothing, size: (u64, u32)) -> Result<(), InvalidSetting> {
    println!("  batches of {} rows", size.0);
    let alone = cost(&writer, size).await;
    println!("  {:<28}{alone:>8.0} ns", "writer alone");
    let print = |name: &str, with: f64| {
        println!("  {name:<28}{with:>8.0} ns, {:>5.0} ns more", with - alone);
    };
    print("timeout", cost(&Timeout::new(writer, TIME), size).await);
    print("breaker", cost(&breaker(writer)?, size).await);
    let timed = BreakerSpec::default().slow_calls(TIME, 0.5);
    print(
        "breaker with slow calls",
        cost(&CircuitBreaker::new(writer, timed)?, size).await,
    );
    print(
        "rate and concurrency limit",
        cost(&Limited::new(writer, limits()?)?, size).await,
    );
    print("retry", cost(&retrying(writer), size).await);
    let all = breaker(Timeout::new(writer, TIME))?;
    let all = retrying(Limited::new(all, limits()?)?);
    print("bisect", cost(&Bisect::new(writer), size).await);
    print("guards", cost(&guards(writer), size).await);
    print("all", cost(&guards(all), size).await);
    let memory = MemoryWriter::new();
    let name = ScopeName::new("cost");
    if memory.open_scope(ScopeIndex(0), &name).await.is_ok() {
        print("ledger in memory", cost(&memory, size).await);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    println!("a writer that answers at once");
    for size in SIZES {
        runtime.block_on(measure(Nothing::AtOnce, size))?;
    }
    println!("a writer that answers when it is polled again");
    for size in SIZES {
        runtime.block_on(measure(Nothing::WhenAskedAgain, size))?;
    }
    Ok(())
}
