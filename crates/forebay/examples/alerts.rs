//! Alerts to a web hook: ten at a time or when the oldest is old enough, urgent ones at once.
//!
//! Run it with `cargo run --release -p forebay --example alerts`; it ends by itself. The receiver
//! is a small HTTP server in this program, which fails for a while. A batch waits for its oldest
//! alert for two seconds here, so that the example is short; five minutes would be usual.

use std::collections::{BTreeSet, HashSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use forebay::flush_policy::{FlushSpec, Reason};
use forebay::pipeline::{LaneSpec, LaneStats, Pipeline, Sender, SinkSpec, Stats};
use forebay::record::{Priority, Record, Timestamp, Value};
use forebay::sinks::{
    BoxWriter, BreakerSpec, BreakerState, CircuitBreaker, HttpOptions, HttpWriter, RetryPolicy,
};

type Failure = Box<dyn std::error::Error>;

const AGE: Duration = Duration::from_secs(2);
/// Longer than anything here takes, also on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let hook = Hook::start()?;
    let writer = HttpWriter::new(HttpOptions::new(&hook.url)?);
    let breaker = BreakerSpec::consecutive(3, Duration::from_secs(1));
    let writer = CircuitBreaker::new(writer, breaker)?;
    let handle = writer.handle();
    let changes = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&changes);
    handle.on_change(move |change| {
        println!("the breaker is {}", change.to);
        heard.lock().expect("nobody panics").push(change.to);
    });

    let ms = Duration::from_millis;
    let sink = SinkSpec::new("hook", BoxWriter::new(writer))
        .breaker(handle)
        .retry(RetryPolicy::new(ms(50), ms(500), None))
        .lanes([
            LaneSpec::new(Priority::Critical),
            LaneSpec::new(Priority::Normal)
                .flush(FlushSpec::new().size(10).age(AGE))
                .batch_max(10),
        ]);
    let pipeline = Pipeline::builder().sink(sink).start()?;
    let mut alerts = Alerts {
        sender: pipeline.sender(),
        sent: 0,
    };

    trickle(&mut alerts, &hook, &pipeline).await?;
    burst(&mut alerts, &hook, &pipeline).await?;
    urgent(&mut alerts, &hook).await?;
    outage(&mut alerts, &hook, &changes).await?;

    let report = pipeline.shutdown(PATIENCE).await;
    let stats = report.stats;
    println!(
        "{} accepted = {} delivered + {} dropped + {} quarantined + {} pending",
        stats.accepted,
        stats.delivered,
        stats.dropped.total(),
        stats.quarantined,
        stats.pending
    );
    assert_eq!(
        (stats.accepted, stats.delivered),
        (alerts.sent, alerts.sent)
    );
    let arrived: Vec<i64> = hook.posts().into_iter().flatten().collect();
    let unique: BTreeSet<i64> = arrived.iter().copied().collect();
    assert_eq!(arrived.len(), unique.len(), "nothing arrived twice");
    assert_eq!(unique.len() as u64, alerts.sent, "and nothing was lost");
    Ok(())
}

/// A few alerts, one after the other: too few for a batch, so their age sends them.
async fn trickle(alerts: &mut Alerts, hook: &Hook, pipeline: &Pipeline) -> Result<(), Failure> {
    println!("four alerts trickle in");
    let began = Instant::now();
    for _ in 0..4 {
        alerts.raise(1, None)?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    hook.wait_for(4).await?;
    let waited = began.elapsed();
    println!("one post has all four, {waited:.1?} after the first of them");
    assert!(waited >= AGE, "they waited for more");
    assert_eq!(sizes(&hook.posts()), [4]);
    let normal = lane(&settled(pipeline, 4).await?, Priority::Normal);
    assert_eq!(normal.flushes.of(Reason::Age).delivered, 1);
    Ok(())
}

/// Many at once: batches of ten by size, and the remainder by age.
async fn burst(alerts: &mut Alerts, hook: &Hook, pipeline: &Pipeline) -> Result<(), Failure> {
    println!("a burst of 25 alerts");
    let before = hook.posts().len();
    let began = Instant::now();
    alerts.raise(25, None)?;
    hook.wait_for(4 + 20).await?;
    println!("twenty of them arrived within {:.1?}", began.elapsed());
    hook.wait_for(4 + 25).await?;
    println!("the other five within {:.1?}", began.elapsed());
    assert_eq!(sizes(&hook.posts()[before..]), [10, 10, 5]);
    let normal = lane(&settled(pipeline, 4 + 25).await?, Priority::Normal);
    assert_eq!(normal.flushes.of(Reason::Size).delivered, 2, "two by size");
    assert_eq!(
        normal.flushes.of(Reason::Age).delivered,
        2,
        "and one more by age"
    );
    Ok(())
}

/// An urgent alert passes those that wait for company.
async fn urgent(alerts: &mut Alerts, hook: &Hook) -> Result<(), Failure> {
    println!("three alerts, and an urgent one after them");
    let before = hook.rows();
    alerts.raise(3, None)?;
    let offered = Instant::now();
    alerts.raise(1, Some(Priority::Critical))?;
    hook.wait_for(before + 1).await?;
    println!("the urgent one arrived after {:.1?}", offered.elapsed());
    let number = i64::try_from(alerts.sent)? - 1;
    assert_eq!(
        hook.posts().last(),
        Some(&vec![number]),
        "it alone, before the other three"
    );
    hook.wait_for(before + 4).await
}

/// The receiver fails; the breaker leaves it alone meanwhile, and everything arrives afterwards.
async fn outage(
    alerts: &mut Alerts,
    hook: &Hook,
    changes: &Mutex<Vec<BreakerState>>,
) -> Result<(), Failure> {
    println!("the receiver fails from now on");
    let (before, refused) = (hook.rows(), hook.refused());
    hook.fails.store(true, Ordering::SeqCst);
    alerts.raise(30, None)?;
    alerts.raise(2, Some(Priority::Critical))?;
    let is_open = || {
        changes
            .lock()
            .expect("nobody panics")
            .contains(&BreakerState::Open)
    };
    wait(is_open, "the breaker opens").await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let attempts = hook.refused() - refused;
    println!("{attempts} posts were refused in three seconds, and 32 alerts wait");
    assert!(
        attempts < 15,
        "an open breaker burns no attempts: {attempts}"
    );
    assert_eq!(hook.rows(), before, "nothing arrived meanwhile");
    println!("the receiver works again");
    hook.fails.store(false, Ordering::SeqCst);
    hook.wait_for(before + 32).await?;
    let is_closed = || changes.lock().expect("nobody panics").last() == Some(&BreakerState::Closed);
    wait(is_closed, "the breaker closes").await
}

/// Where alerts come from.
struct Alerts {
    sender: Sender,
    sent: u64,
}

impl Alerts {
    fn raise(&mut self, count: u64, priority: Option<Priority>) -> Result<(), Failure> {
        let mut records = Vec::new();
        for _ in 0..count {
            let now = Timestamp::from_system(SystemTime::now());
            let number = Value::I64(i64::try_from(self.sent)?);
            let mut record = Record::new("boiler", "pressure_high", number, now)?;
            record.priority = priority;
            records.push(record);
            self.sent += 1;
        }
        let accepted = self.sender.send_many(records)?;
        assert_eq!(accepted.refusal, None);
        Ok(())
    }
}

fn lane(stats: &Stats, priority: Priority) -> LaneStats {
    let mut lanes = stats.routes[0].lanes.iter();
    let lane = lanes.find(|lane| lane.lane == priority);
    lane.expect("the sink has this lane").clone()
}

/// The account once so many are delivered: the receiver has them before its answer is here.
async fn settled(pipeline: &Pipeline, rows: u64) -> Result<Stats, Failure> {
    wait(|| pipeline.stats().delivered >= rows, "the answer is here").await?;
    Ok(pipeline.stats())
}

fn sizes(posts: &[Vec<i64>]) -> Vec<usize> {
    posts.iter().map(Vec::len).collect()
}

async fn wait(is_so: impl Fn() -> bool, what: &str) -> Result<(), Failure> {
    let began = Instant::now();
    while !is_so() {
        if began.elapsed() > PATIENCE {
            return Err(format!("waited for {PATIENCE:?} until {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

/// The receiver: takes posts of NDJSON, one at a time, and knows again by its key what it has.
struct Hook {
    url: String,
    fails: Arc<AtomicBool>,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    keys: HashSet<String>,
    posts: Vec<Vec<i64>>,
    refused: usize,
}

impl Hook {
    fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}/alerts", listener.local_addr()?);
        let (fails, taken) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let hook = Self { url, fails, taken };
        let (fails, taken) = (Arc::clone(&hook.fails), Arc::clone(&hook.taken));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (fails, taken) = (Arc::clone(&fails), Arc::clone(&taken));
                // A connection that breaks is the client's to make anew.
                std::thread::spawn(move || serve(stream, &fails, &taken));
            }
        });
        Ok(hook)
    }

    fn posts(&self) -> Vec<Vec<i64>> {
        self.taken.lock().expect("nobody panics").posts.clone()
    }

    fn rows(&self) -> usize {
        self.posts().iter().map(Vec::len).sum()
    }

    fn refused(&self) -> usize {
        self.taken.lock().expect("nobody panics").refused
    }

    async fn wait_for(&self, rows: usize) -> Result<(), Failure> {
        wait(|| self.rows() >= rows, "the alerts arrive").await
    }
}

/// Answers the posts of one connection.
fn serve(mut stream: TcpStream, fails: &AtomicBool, taken: &Mutex<Taken>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let (mut length, mut key) = (0, String::new());
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let Some((name, value)) = line.trim().split_once(':') else {
                if line.trim().is_empty() {
                    break;
                }
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap_or(0),
                "idempotency-key" => value.trim().clone_into(&mut key),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let answer = match fails.load(Ordering::SeqCst) {
            true => "503 Service Unavailable",
            false => "200 OK",
        };
        let mut taken = taken.lock().expect("nobody panics");
        if answer.starts_with("503") {
            taken.refused += 1;
        } else if taken.keys.insert(key) {
            let lines = body.split(|byte| *byte == b'\n');
            let rows = lines.filter_map(|line| serde_json::from_slice(line).ok());
            let number = |row: serde_json::Value| row["value"].as_i64();
            let numbers = rows.filter_map(number).collect();
            taken.posts.push(numbers);
        }
        drop(taken);
        write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n")?;
    }
}
