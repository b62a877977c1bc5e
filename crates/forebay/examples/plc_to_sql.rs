//! A simulated PLC poll into PostgreSQL, while the server is killed and restarted.
//!
//! 500 tags at 10 Hz go through a ring of 10,000 that drops the oldest, and on in batches of 500 or
//! every half second. Where PostgreSQL is not installed, a new SQLite file takes its place, and
//! another process locks it for a while. The account at the end is exact, and asserted.
//!
//! Run it with `cargo run --release --example plc_to_sql -- [SECONDS]`.

use std::error::Error;
use std::time::{Duration, Instant, SystemTime};

use forebay::pipeline::{BufferOptions, Pipeline, Stats, WhenFull};
use forebay::record::{Record, Timestamp, Value};
use forebay::sinks::{self, BreakerSpec, OpenOptions, RetryPolicy, ScopeName};
use test_services::{Kind, Service};

const TAGS: usize = 500;
const POLLS_PER_S: u32 = 10;
const RING: usize = 10_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let seconds: u64 = std::env::args()
        .nth(1)
        .map_or(Ok(10), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let mut sink = Sink::start(folder.path())?;
    println!(
        "{TAGS} tags at {POLLS_PER_S} Hz into {} for {seconds} s",
        sink.name()
    );

    // While the sink is away the breaker leaves it alone, and looks every second if it is back.
    let second = Duration::from_secs(1);
    let options = OpenOptions::new(folder.path()).breaker(BreakerSpec::consecutive(5, second));
    let writer = sinks::open(&sink.url(), &options)?.writer;
    let pipeline = Pipeline::to(writer)
        .buffer(BufferOptions {
            max_size: RING,
            policy: WhenFull::DropOldest,
            ..BufferOptions::default()
        })
        .flush(500, Duration::from_millis(500))
        // The ring knows what to do while the database is away.
        .retry(RetryPolicy::default().unlimited())
        .start()?;
    let intake = pipeline.intake(&ScopeName::new("plc01/normal")).await?;

    let poller = std::thread::spawn(move || {
        let mut offered = 0;
        let started = Instant::now();
        for poll in 0..seconds * u64::from(POLLS_PER_S) {
            let due = started
                + Duration::from_secs(1) * u32::try_from(poll).unwrap_or(u32::MAX) / POLLS_PER_S;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let records = read_plc(poll);
            offered += records.len();
            let accepted = intake
                .push(Instant::now(), records)
                .expect("there is no limit of keys");
            assert!(accepted.refusal.is_none(), "this policy refuses nothing");
        }
        offered as u64
    });

    // A third of the time it is up, a third it is away, a third it is back.
    let third = Duration::from_secs(seconds) / 3;
    tokio::time::sleep(third).await;
    sink.take_down()?;
    println!("{} is gone", sink.name());
    tokio::time::sleep(third).await;
    let stats = pipeline.stats();
    println!(
        "buffer {:.0} % full, {} dropped, {} attempts failed",
        stats.buffer.utilization_pct,
        stats.dropped.total(),
        stats.sink.retries
    );
    assert!(
        stats.sink.retries > 0,
        "the sink was away and nothing failed"
    );
    sink.bring_back();
    println!("{} is back", sink.name());

    let offered = poller.join().expect("the poller does not panic");
    let report = pipeline.shutdown(Duration::from_secs(30)).await;
    let in_table = sink.count_rows().await?;
    print_account(&report.stats, in_table);
    let stats = report.stats;
    assert!(
        report.undelivered.is_empty(),
        "everything was delivered in time"
    );
    assert_eq!(offered, stats.accepted, "this policy refuses nothing");
    assert_eq!(stats.accepted, stats.delivered + stats.dropped.total());
    assert_eq!(
        stats.delivered, in_table,
        "what was counted is what is there"
    );
    Ok(())
}

/// What one poll reads: all tags at one moment.
fn read_plc(poll: u64) -> Vec<Result<Record, forebay::record::Malformed>> {
    let now = Timestamp::from_system(SystemTime::now());
    (0..TAGS)
        .map(|tag| {
            let value = Value::F64((poll as f64 / 10.0 + tag as f64).sin() * 100.0);
            Ok(Record::new("PLC01", &format!("D{tag}"), value, now).expect("the names are sound"))
        })
        .collect()
}

fn print_account(stats: &Stats, in_table: u64) {
    println!(
        "{} accepted = {} delivered + {} dropped + {} pending; {} attempts failed, {} rows had \
         been written when their answer was lost",
        stats.accepted,
        stats.delivered,
        stats.dropped.total(),
        stats.pending,
        stats.sink.retries,
        stats.sink.repeated,
    );
    println!("{in_table} rows are in the table");
}

/// Where the rows go.
enum Sink {
    Postgres(Service),
    Sqlite {
        path: std::path::PathBuf,
        lock: Option<rusqlite::Connection>,
    },
}

impl Sink {
    fn start(folder: &std::path::Path) -> Result<Self, Box<dyn Error>> {
        Ok(match Service::start(Kind::Postgres) {
            Some(service) => Self::Postgres(service),
            None => Self::Sqlite {
                path: folder.join("plc.sqlite"),
                lock: None,
            },
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "PostgreSQL",
            Self::Sqlite { .. } => "SQLite",
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Postgres(service) => service.url(),
            Self::Sqlite { path, .. } => {
                format!("sqlite://{}?busy_timeout=200ms", path.display())
            }
        }
    }

    /// Kills the server as a power cut would; the file, which has none, is locked by somebody.
    fn take_down(&mut self) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Postgres(service) => service.kill(),
            Self::Sqlite { path, lock } => {
                let connection = rusqlite::Connection::open(path)?;
                connection.busy_timeout(Duration::from_secs(5))?;
                connection.execute_batch("BEGIN IMMEDIATE")?;
                *lock = Some(connection);
            }
        }
        Ok(())
    }

    fn bring_back(&mut self) {
        match self {
            Self::Postgres(service) => service.restart(),
            Self::Sqlite { lock, .. } => *lock = None,
        }
    }

    /// What is in the table, asked in another way than it was written.
    async fn count_rows(&self) -> Result<u64, Box<dyn Error>> {
        const SQL: &str = "SELECT count(*) FROM tag_values";
        let count: i64 = match self {
            Self::Postgres(service) => {
                let (client, connection) =
                    tokio_postgres::connect(&service.url(), tokio_postgres::NoTls).await?;
                tokio::spawn(connection);
                client.query_one(SQL, &[]).await?.get(0)
            }
            Self::Sqlite { path, .. } => {
                rusqlite::Connection::open(path)?.query_row(SQL, [], |row| row.get(0))?
            }
        };
        Ok(count.unsigned_abs())
    }
}
