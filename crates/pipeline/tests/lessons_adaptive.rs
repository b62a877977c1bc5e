//! What adaptive batch sizes elsewhere got wrong, one test per lesson, on a whole pipeline.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod probe;

use std::time::Duration;

use common::{intake, push, records};
use flush_policy::{AdaptiveSpec, FlushSpec};
use pipeline::{LaneSpec, Pipeline, PipelineBuilder};
use probe::{Probe, account, assert_conserved, lane, ms, sleep_ms};
use record::Priority;

const HOUR: Duration = Duration::from_secs(3600);

fn with_flush(probe: &Probe, flush: FlushSpec) -> PipelineBuilder {
    let lane = LaneSpec::new(Priority::Normal).flush(flush);
    Pipeline::builder().sink(probe.spec("sink").lanes([lane]))
}

/// How large batches may be, as stats say it.
fn size(pipeline: &Pipeline) -> usize {
    lane(&account(pipeline), Priority::Normal).batch_size
}

#[tokio::test(start_paused = true)]
async fn lesson_an_adaptive_size_that_fell_comes_back_and_quiet_times_do_not_ratchet_it() {
    let probe = Probe::new();
    let adaptive = AdaptiveSpec::new().sizes(1, 256).base(32).wait(ms(20));
    let flush = FlushSpec::new().adaptive(adaptive.write_target(ms(20)).quiet(ms(1_000)));
    let pipeline = with_flush(&probe, flush).start().unwrap();
    let intake = intake(&pipeline).await;
    probe.takes(ms(1), ms(2));
    for _ in 0..20 {
        push(&intake, records(0..64));
        sleep_ms(400).await;
    }
    let slow = size(&pipeline);
    assert!(slow < 32, "slow writes make batches smaller: {slow}");
    // A quiet hour with a row now and then, which says nothing of larger batches.
    probe.takes(ms(1), Duration::ZERO);
    for _ in 0..60 {
        push(&intake, records(0..1));
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let quiet = size(&pipeline);
    assert!(quiet >= slow, "{quiet} after {slow}");
    for _ in 0..200 {
        push(&intake, records(0..64));
        sleep_ms(100).await;
    }
    let back = size(&pipeline);
    assert!(back >= 32, "back at its base or above: {back}");
}

#[tokio::test(start_paused = true)]
async fn lesson_an_adaptive_size_does_not_oscillate_and_its_changes_lose_nothing() {
    let probe = Probe::new();
    let adaptive = AdaptiveSpec::new().sizes(1, 1_000).base(10).wait(ms(20));
    let flush = FlushSpec::new().adaptive(adaptive.write_target(ms(20)));
    let pipeline = with_flush(&probe, flush).start().unwrap();
    let intake = intake(&pipeline).await;
    // Ten rows at a time would be too slow for what comes, and more than 180 take too long.
    probe.takes(ms(2), Duration::from_micros(100));
    let (mut sizes, mut pushed) = (Vec::new(), 0);
    for _ in 0..2_000 {
        pushed += push(&intake, records(pushed..pushed + 50)) as i64;
        sleep_ms(10).await;
        if pushed % 250 == 0 {
            sizes.push(size(&pipeline));
        }
    }
    let settled = &sizes[200..];
    let moves = settled.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(moves <= 20, "{moves} moves in 10 s: {settled:?}");
    assert!(sizes.iter().any(|size| *size != 10), "it has moved before");
    let report = pipeline.shutdown(HOUR).await;
    assert_conserved(&report.stats);
    assert_eq!(report.stats.dropped.total(), 0);
    assert_eq!(
        probe.numbers(""),
        (0..pushed).collect::<Vec<_>>(),
        "in order, and each once"
    );
}

#[tokio::test(start_paused = true)]
async fn lesson_empty_flushes_teach_an_adaptive_size_nothing() {
    let probe = Probe::new();
    let adaptive = AdaptiveSpec::new().sizes(1, 256).base(32).wait(ms(20));
    let pipeline = with_flush(&probe, FlushSpec::new().adaptive(adaptive));
    let pipeline = pipeline.start().unwrap();
    let _intake = intake(&pipeline).await;
    for _ in 0..1_000 {
        assert_eq!(pipeline.flush().await.unwrap(), 0);
    }
    let stats = account(&pipeline);
    assert_eq!(lane(&stats, Priority::Normal).batch_size, 32);
    assert_eq!(stats.flushes.total().attempted(), 0);
    assert_eq!(
        stats.sink.write_ms.max, 0.0,
        "near-zero times of nothing are not measured"
    );
}
