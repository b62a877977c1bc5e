//! A writer at full speed beside four readers that want every update of all keys exactly once.

use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::ours::Fed;
use super::peers::{Broadcast, Queues};
use super::store::Write;
use super::stream::Stream;
use super::{TRANSACTION, commit};
use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::measure::pace::Pace;
use crate::report::Better;

const READERS: usize = 4;
const ALONE: &str = "ours, no reader";

/// Key, time and value.
pub(super) type Update = (u32, i64, f64);

/// Whatever shows every update to so many readers, or counts on them not to lag.
pub(super) trait EveryUpdate: Sync + Sized {
    type Writer<'a>: Write + Send
    where
        Self: 'a;
    type Reader: See + Send;

    fn new(keys: u32, readers: usize) -> (Self, Vec<Self::Reader>);
    /// Readers come to their end once it is dropped.
    fn writer(&self) -> Self::Writer<'_>;
}

pub(super) trait See {
    /// Waits for updates and shows them; false at the end.
    fn see(&mut self, each: impl FnMut(Update)) -> bool;
}

macro_rules! contender {
    ($kind:ident, $name:expr, $store:ty, $readers:expr) => {
        Contender::new(Kind::$kind, $name, |duration| {
            measure::<$store>($readers, duration)
        })
    };
}

/// The case.
pub(super) fn case() -> Case {
    let title = "1M keys, transactions of 1,024, 4 readers of every update";
    Case {
        name: "every-update/4".into(),
        metrics: vec![
            Metric::new(format!("{title}: written"), "M/s", Better::Higher)
                .aim(0.5, Against::BestOf(&[ALONE])),
            Metric::new(format!("{title}: seen by each"), "%", Better::Higher)
                .aim(1.0, Against::Limit(100.0)),
        ],
        contenders: vec![
            contender!(Ours, "ours", Fed, READERS),
            contender!(Peer, ALONE, Fed, 0),
            contender!(Peer, "Mutex<HashMap>, a queue per reader", Queues, READERS),
            contender!(Peer, "tokio broadcast", Broadcast, READERS),
        ],
        duration: Duration::from_millis(400),
    }
}

/// What a reader saw.
#[derive(Debug, Default)]
struct Seen {
    count: u64,
    /// The number of the update that should come next.
    next: u64,
    /// Updates that came twice or late, or were not what their number says.
    wrong: u64,
}

impl Seen {
    #[inline(always)]
    fn see(&mut self, stream: &Stream, (key, time_us, value): Update) {
        let number = time_us.cast_unsigned();
        let is_right = number >= self.next && key == stream.key(number) && value == time_us as f64;
        self.wrong += u64::from(!is_right);
        self.count += 1;
        self.next = number + 1;
    }
}

/// Millions of updates written per second, and how much of them each reader saw in percent.
fn measure<E: EveryUpdate>(readers: usize, duration: Duration) -> Result<Vec<f64>> {
    let stream = &Stream::over(commit::KEYS);
    let (store, readers) = E::new(stream.key_count(), readers);
    let pace = &Pace::new(1 + readers.len());
    let (window, written, seen) = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut writer = store.writer();
            pace.wait_for_start();
            stream.write_until_stopped(&mut writer, (0, TRANSACTION), pace)
        });
        let read = |mut reader: E::Reader| {
            scope.spawn(move || {
                let mut seen = Seen::default();
                pace.wait_for_start();
                while reader.see(|update| seen.see(stream, update)) {}
                seen
            })
        };
        let readers: Vec<_> = readers.into_iter().map(read).collect();
        let window = pace.watch(duration, duration / 4, || {});
        let written = writer.join().expect("the writer does not panic");
        let seen: Vec<Seen> = readers
            .into_iter()
            .map(|reader| reader.join().expect("a reader does not panic"))
            .collect();
        (window, written, seen)
    });
    for Seen { wrong, .. } in &seen {
        ensure!(*wrong == 0, "{wrong} updates came twice, late or changed");
    }
    // Without a reader nobody misses anything.
    let fewest = seen.iter().map(|seen| seen.count).min().unwrap_or(written);
    let seen_pct = fewest as f64 / written as f64 * 100.0;
    Ok(vec![window.millions_per_s(), seen_pct])
}
