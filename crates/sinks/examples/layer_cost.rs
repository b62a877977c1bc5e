//! What the layers around a writer cost per batch when nothing fails.
//!
//! Prints nanoseconds per batch for a writer alone, for each layer around it, and for all of them,
//! each time as the best of several rounds. The writer either answers at once, or, as a database
//! does, only when it is polled a second time. Run it with
//! `cargo run --release -p sinks --example layer_cost`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use record::Record;
use sinks::{
    Batch, BatchId, BatchWriter, BreakerSpec, CircuitBreaker, ConcurrencySpec, InvalidSetting,
    LimitSpec, Limited, Rate, Receipt, RetryPolicy, Retrying, SharedBudget, Timeout, WriteError,
};

const ROUNDS: u32 = 7;
const BATCHES: u32 = 200_000;
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
async fn cost(writer: &impl BatchWriter<Row = Record>) -> f64 {
    let batch = Batch::new(BatchId(1), Vec::new());
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..BATCHES {
            writer.ready().await;
            let _ = black_box(writer.write(black_box(&batch)).await);
        }
        best = best.min(began.elapsed().as_nanos() as f64 / f64::from(BATCHES));
    }
    best
}

async fn measure(writer: Nothing) -> Result<(), InvalidSetting> {
    let alone = cost(&writer).await;
    println!("  {:<28}{alone:>8.0} ns", "writer alone");
    let print = |name: &str, with: f64| {
        println!("  {name:<28}{with:>8.0} ns, {:>5.0} ns more", with - alone);
    };
    print("timeout", cost(&Timeout::new(writer, TIME)).await);
    print("breaker", cost(&breaker(writer)?).await);
    let timed = BreakerSpec::default().slow_calls(TIME, 0.5);
    print(
        "breaker with slow calls",
        cost(&CircuitBreaker::new(writer, timed)?).await,
    );
    print(
        "rate and concurrency limit",
        cost(&Limited::new(writer, limits()?)?).await,
    );
    print("retry", cost(&retrying(writer)).await);
    let all = breaker(Timeout::new(writer, TIME))?;
    let all = retrying(Limited::new(all, limits()?)?);
    print("all", cost(&all).await);
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    println!("a writer that answers at once");
    runtime.block_on(measure(Nothing::AtOnce))?;
    println!("a writer that answers when it is polled again");
    runtime.block_on(measure(Nothing::WhenAskedAgain))?;
    Ok(())
}
