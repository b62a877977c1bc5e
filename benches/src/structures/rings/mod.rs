//! Rings: what one push costs, overwriting with several producers, and lossless hand-over.

mod channels;
mod lossless;
mod overwriting;
mod peers;
mod waiting;

use std::time::Duration;

use super::ours;
use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::report::Better;
pub(super) use lossless::{Lossless, Offer, Receive};
pub(super) use overwriting::{Drain, Overwriting, Push};

/// Items that a ring holds; of 64 bytes each.
const CAPACITY: usize = 10_000;
const BATCH: usize = 32;

const ARRAY_QUEUE: &str = "crossbeam-queue ArrayQueue::force_push";
const PARKING_LOT: &str = "parking_lot Mutex<VecDeque>";
const CROSSBEAM: &str = "crossbeam-channel";
const FLUME: &str = "flume";
const KANAL: &str = "kanal";
const STD_CHANNEL: &str = "std sync_channel";
const TOKIO: &str = "tokio mpsc with recv_many";

/// A contender for each type that overwrites; the name stands with the type.
macro_rules! overwriting {
    ($run:ident, $argument:expr) => {
        vec![
            overwriting!(@ Ours, "ours", ours::Striped, $run, $argument),
            overwriting!(@ Variant, "ours, global order", ours::Global, $run, $argument),
            overwriting!(@ Variant, "ours, shared push", ours::Shared, $run, $argument),
            overwriting!(@ Peer, ARRAY_QUEUE, peers::ArrayQueue, $run, $argument),
            overwriting!(@ Peer, "concurrent-queue force_push", peers::ConcurrentQueue, $run,
                $argument),
            overwriting!(@ Peer, CROSSBEAM, peers::Crossbeam, $run, $argument),
            overwriting!(@ Peer, "crossfire", peers::Crossfire, $run, $argument),
            overwriting!(@ Peer, KANAL, peers::Kanal, $run, $argument),
            overwriting!(@ Peer, FLUME, peers::Flume, $run, $argument),
            overwriting!(@ Peer, "std Mutex<VecDeque>", peers::StdMutex, $run, $argument),
            overwriting!(@ Peer, PARKING_LOT, peers::ParkingLot, $run, $argument),
        ]
    };
    (@ $kind:ident, $name:expr, $ring:ty, $run:ident, $argument:expr) => {
        Contender::new(Kind::$kind, $name, move |duration| {
            overwriting::$run::<$ring>($argument, duration)
        })
    };
}

/// A contender for each type that makes producers wait.
macro_rules! lossless {
    ($producers:expr) => {
        vec![
            lossless!(@ Ours, "ours", ours::Waiting, $producers),
            lossless!(@ Variant, "ours, global order", ours::WaitingGlobal, $producers),
            lossless!(@ Peer, TOKIO, channels::Tokio, $producers),
            lossless!(@ Peer, STD_CHANNEL, channels::StdChannel, $producers),
            lossless!(@ Peer, CROSSBEAM, channels::Crossbeam, $producers),
            lossless!(@ Peer, "crossfire", channels::Crossfire, $producers),
            lossless!(@ Peer, KANAL, channels::Kanal, $producers),
            lossless!(@ Peer, FLUME, channels::Flume, $producers),
            lossless!(@ Peer, "std Mutex<VecDeque> with Condvar", waiting::StdMutex, $producers),
            lossless!(@ Peer, "parking_lot Mutex<VecDeque> with Condvar", waiting::ParkingLot,
                $producers),
        ]
    };
    (@ $kind:ident, $name:expr, $ring:ty, $producers:expr) => {
        Contender::new(Kind::$kind, $name, move |duration| {
            lossless::run::<$ring>($producers, duration)
        })
    };
}

/// The cases of this family.
pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![one_thread(), batches()];
    for (producers, ratio_min) in [(1, Some(1.6)), (2, None), (4, Some(3.0))] {
        cases.push(overwriting(producers, ratio_min));
    }
    for (producers, channels, tokio) in [(1, 1.3, 6.0), (2, 3.0, 15.0), (4, 2.5, 20.0)] {
        cases.push(lossless(producers, channels, tokio));
    }
    cases
}

fn one_thread() -> Case {
    Case {
        name: "ring-push".into(),
        metrics: vec![
            Metric::new("ring, one thread, full, per push", "ns", Better::Lower)
                .aim(1.6, Against::BestOf(&[ARRAY_QUEUE]))
                .aim(1.2, Against::BestOf(&[PARKING_LOT])),
        ],
        contenders: with_floor(overwriting!(one_thread, 1), 1),
        duration: Duration::from_millis(100),
    }
}

/// Adds what shows how much of a figure is the work itself.
fn with_floor(mut contenders: Vec<Contender>, batch: usize) -> Vec<Contender> {
    contenders.push(
        overwriting!(@ Variant, "no lock at all, the floor", peers::Unlocked, one_thread, batch),
    );
    contenders
}

fn batches() -> Case {
    Case {
        name: "ring-batch".into(),
        metrics: vec![
            Metric::new(
                "ring, one thread, full, per push in batches of 32",
                "ns",
                Better::Lower,
            )
            .aim(8.0, Against::BestOf(&[ARRAY_QUEUE]))
            .aim(1.2, Against::BestOf(&[PARKING_LOT])),
        ],
        contenders: with_floor(overwriting!(one_thread, BATCH), BATCH),
        duration: Duration::from_millis(100),
    }
}

fn overwriting(producers: usize, ratio_min: Option<f64>) -> Case {
    let who = many(producers);
    let title = format!("ring, overwriting, {who}, drained every 5 ms, pushes per second");
    let mut metric = Metric::new(title, "M/s", Better::Higher);
    if let Some(ratio_min) = ratio_min {
        metric = metric.aim(ratio_min, Against::BestPeer);
    }
    Case {
        name: format!("ring-overwrite/{producers}"),
        metrics: vec![metric],
        contenders: overwriting!(several, producers),
        duration: Duration::from_millis(160),
    }
}

fn lossless(producers: usize, channels: f64, tokio: f64) -> Case {
    let who = many(producers);
    let title = format!("ring, lossless (`Block`), {who}, items delivered per second");
    Case {
        name: format!("ring-lossless/{producers}"),
        metrics: vec![
            Metric::new(title, "M/s", Better::Higher)
                .aim(
                    channels,
                    Against::BestOf(&[CROSSBEAM, FLUME, KANAL, STD_CHANNEL]),
                )
                .aim(tokio, Against::BestOf(&[TOKIO])),
        ],
        contenders: lossless!(producers),
        duration: Duration::from_millis(160),
    }
}

fn many(producers: usize) -> String {
    let plural = if producers == 1 { "" } else { "s" };
    format!("{producers} producer{plural}")
}
