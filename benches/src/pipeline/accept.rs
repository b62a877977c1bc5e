//! `accept`: records from threads into a sink that only counts. Nothing may be lost, so a producer
//! waits where there is no room; the rate is what goes through from end to end.
//!
//! What is compared is one call per record. To hand over many in one call is shown beside it, and
//! compared with nobody.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use pipeline::{BufferOptions, Pipeline, Publisher, WhenFull};
use record::Record;
use sinks::BoxWriter;

use super::batcher::{self, BATCH, CHANNEL, Collect, INTERVAL};
use super::counting::Counting;
use super::recorder::Recorder;
use super::rows::Rows;
use super::{CHUNKS_TIMEOUT, HAND_WRITTEN};
use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::measure::pace::{Pace, process_time};
use crate::report::Better;

/// Records of one call, where a call takes many.
const MANY: usize = 100;
/// A look comes eight times in each repetition of two seconds.
const LOOKS_PER_PUBLISHING: u32 = 4;
/// So seldom do producers say how far they are.
const PUBLISH: u64 = 64;

pub(super) fn case(producers: usize, than_by_hand: f64) -> Case {
    let title = format!("accept, counting sink, {producers} producers");
    let cpu = format!("{title}, processor time");
    let peer = |name, collect| {
        Contender::new(Kind::Peer, name, move |duration| {
            of_batcher(collect, producers, duration)
        })
    };
    Case {
        name: format!("accept/{producers}"),
        metrics: vec![
            Metric::new(title, "M records/s", Better::Higher)
                .aim(than_by_hand, Against::BestOf(&[HAND_WRITTEN])),
            Metric::new(cpu, "ns/record", Better::Lower),
        ],
        contenders: vec![
            Contender::new(Kind::Ours, "ours, send", move |duration| {
                of_ours(1, producers, Metrics::Off, duration)
            }),
            Contender::new(Kind::Variant, "ours, send_many of 100", move |duration| {
                of_ours(MANY, producers, Metrics::Off, duration)
            }),
            peer(HAND_WRITTEN, Collect::ByHand),
            peer(CHUNKS_TIMEOUT, Collect::ChunksTimeout),
        ],
        duration: Duration::from_millis(800),
    }
}

/// Whether a recorder is attached, and told the account once a second as the pipeline does itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Metrics {
    Off,
    On,
}

/// One producer, one call per record.
pub(super) fn of_one(metrics: Metrics, duration: Duration) -> Result<Vec<f64>> {
    of_ours(1, 1, metrics, duration)
}

fn of_ours(
    per_call: usize,
    producers: usize,
    metrics: Metrics,
    duration: Duration,
) -> Result<Vec<f64>> {
    let before = process_time();
    let runtime = super::runtime()?;
    let sink = Counting::default();
    let pipeline = {
        let _entered = runtime.enter();
        let buffer = BufferOptions {
            max_size: CHANNEL,
            policy: WhenFull::Block(Duration::from_secs(60)),
            ..BufferOptions::default()
        };
        Pipeline::to(BoxWriter::new(sink.clone()))
            .buffer(buffer)
            .flush(BATCH, INTERVAL)
            .start()?
    };
    let sender = {
        let _entered = runtime.enter();
        pipeline.sender()
    };
    let recorder = Recorder::shared();
    let is_on = metrics == Metrics::On;
    let attached = is_on.then(|| pipeline.telemetry().attach(recorder.clone()));
    let mut publisher = is_on.then(|| Publisher::to(recorder));
    let mut looks = 0;
    let look = || {
        looks += 1;
        if looks % LOOKS_PER_PUBLISHING == 0
            && let Some(publisher) = &mut publisher
        {
            publisher.publish(&pipeline.stats(), &pipeline.health());
        }
    };
    let (rate, sent) = measure(producers, duration, look, |_| {
        let sender = sender.clone();
        move |rows: &mut Rows| {
            if per_call == 1 {
                sender.send(rows.take()).is_ok()
            } else {
                let many: Vec<Record> = (0..per_call).map(|_| rows.take()).collect();
                let accepted = sender.send_many(many);
                accepted.is_ok_and(|accepted| accepted.refusal.is_none())
            }
        }
    });
    let report = runtime.block_on(pipeline.shutdown(Duration::from_secs(60)));
    drop(attached);
    anyhow::ensure!(
        report.stats.delivered == sent.rows,
        "a record is not accounted for"
    );
    sink.check(sent.rows, sent.sum)?;
    Ok(vec![rate, sent.ns_each(process_time() - before)])
}

fn of_batcher(collect: Collect, producers: usize, duration: Duration) -> Result<Vec<f64>> {
    let before = process_time();
    let runtime = super::runtime()?;
    let sink = Counting::default();
    let (sender, task) = {
        let _entered = runtime.enter();
        batcher::start(collect, sink.clone())
    };
    let (rate, sent) = measure(
        producers,
        duration,
        || {},
        |_| {
            let sender = sender.clone();
            move |rows: &mut Rows| sender.blocking_send(rows.take()).is_ok()
        },
    );
    drop(sender);
    runtime.block_on(task)?;
    sink.check(sent.rows, sent.sum)?;
    Ok(vec![rate, sent.ns_each(process_time() - before)])
}

/// What was handed over.
struct Sent {
    rows: u64,
    sum: u64,
}

impl Sent {
    fn ns_each(&self, all: Duration) -> f64 {
        all.as_secs_f64() * 1e9 / self.rows as f64
    }
}

/// Lets threads hand over records flat out, and says how many millions per second that were.
fn measure<F>(
    producers: usize,
    duration: Duration,
    look: impl FnMut(),
    way_in: impl Fn(usize) -> F,
) -> (f64, Sent)
where
    F: FnMut(&mut Rows) -> bool + Send + 'static,
{
    let pace = Arc::new(Pace::new(producers));
    let threads: Vec<_> = (0..producers)
        .map(|producer| {
            let (pace, mut send) = (Arc::clone(&pace), way_in(producer));
            thread::spawn(move || {
                let mut rows = Rows::new(producer);
                pace.wait_for_start();
                while pace.goes_on() {
                    let next = rows.count() + PUBLISH;
                    while rows.count() < next {
                        assert!(send(&mut rows), "a record was refused");
                    }
                    pace.publish(producer, rows.count());
                }
                rows
            })
        })
        .collect();
    let window = pace.watch(duration, duration / 8, look);
    let mut sent = Sent { rows: 0, sum: 0 };
    for thread in threads {
        let rows = thread.join().expect("a producer does not panic");
        sent.rows += rows.count();
        sent.sum = sent.sum.wrapping_add(rows.sum());
    }
    (window.millions_per_s(), sent)
}
