//! A pipeline inside another program: two producers, one SQLite file, an account at the end.
//!
//! Run it with `cargo run --example embed -- DIRECTORY`.

use std::time::{Duration, Instant, SystemTime};

use forebay::pipeline::{BufferOptions, Pipeline, WhenFull};
use forebay::record::{Record, Timestamp, Value};
use forebay::sinks::{BoxWriter, ScopeName, SqliteOptions, SqliteWriter};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = std::env::args().nth(1).ok_or("name a directory")?;
    let path = std::path::Path::new(&directory).join("embedded.sqlite");
    let writer = SqliteWriter::open(SqliteOptions::new(&path))?;
    let pipeline = Pipeline::to(BoxWriter::new(writer))
        .buffer(BufferOptions {
            // Producers wait for the database; by default the oldest record makes room.
            policy: WhenFull::Block(Duration::from_secs(5)),
            ..BufferOptions::default()
        })
        .flush(1_000, Duration::from_millis(200))
        .start()?;

    let mut producers = Vec::new();
    for source in ["PLC01", "PLC02"] {
        let intake = pipeline
            .intake(&ScopeName::new(format!("{source}/normal")))
            .await?;
        producers.push(std::thread::spawn(move || {
            for number in 0..10_000 {
                let now = Timestamp::from_system(SystemTime::now());
                let reading = Record::new(source, "counter", Value::I64(number), now)
                    .expect("the names are valid");
                let accepted = intake
                    .push(Instant::now(), vec![Ok(reading)])
                    .expect("there is no limit of keys");
                if accepted.refusal.is_some() {
                    return;
                }
            }
        }));
    }
    for producer in producers {
        producer.join().expect("a producer does not panic");
    }

    let report = pipeline.shutdown(Duration::from_secs(10)).await;
    let stats = report.stats;
    println!(
        "{} accepted = {} delivered + {} dropped + {} quarantined + {} pending, in {}",
        stats.accepted,
        stats.delivered,
        stats.dropped.total(),
        stats.quarantined,
        stats.pending,
        path.display()
    );
    assert_eq!(stats.delivered, 20_000, "nobody was refused");
    assert_eq!(stats.accepted, stats.delivered);
    Ok(())
}
