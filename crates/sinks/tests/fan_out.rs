//! Several sinks for the same rows: each goes on at its own pace, whatever becomes of the others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/scripted.rs"]
mod scripted;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{SCOPE, batch};
use record::{Position, Record};
use scripted::{Scripted, outcome};
use sinks::{
    BatchWriter, Bisect, BoxWriter, ErrorKind, FanOut, Fault, FaultWriter, FnWriter, MemoryWriter,
    NdjsonFileOptions, NdjsonFileWriter, OpenScope, RetryPolicy, RowOutcome, ScopeIndex, ScopeName,
    Target, WhenBehind, WriteError,
};

const MS: Duration = Duration::from_millis(1);

fn scope() -> ScopeName {
    ScopeName::new("host/normal")
}

fn positions(memory: &MemoryWriter) -> Vec<u64> {
    let delivered = memory.delivered();
    delivered
        .iter()
        .map(|(_, position, _)| position.number())
        .collect()
}

fn target(writer: impl BatchWriter<Row = Record>, when_behind: WhenBehind) -> Target {
    Target::new(writer, when_behind).retry(RetryPolicy::new(MS, 10 * MS, None))
}

/// A sink without a ledger.
fn print() -> impl BatchWriter<Row = Record> {
    FnWriter::new("print", |batch: &sinks::Batch| {
        Ok(sinks::Receipt::delivered_all(batch.len()))
    })
}

async fn until(is: impl Fn() -> bool) {
    while !is() {
        tokio::time::sleep(MS).await;
    }
}

#[tokio::test(start_paused = true)]
async fn lesson_one_dead_output_stalls_all_others() {
    let (alive, dead) = (MemoryWriter::new(), MemoryWriter::new());
    let fan_out = FanOut::new(vec![
        target(alive.clone(), WhenBehind::Wait),
        target(dead.clone(), WhenBehind::Drop).backlog_max(3),
    ]);
    fan_out.open_scope(SCOPE, &scope()).await.unwrap();
    dead.go_down();
    for at in 1..=10 {
        let receipt = fan_out.write(&batch(at, at..=at)).await.unwrap();
        assert_eq!(receipt.delivered(), 1);
    }
    assert_eq!(positions(&alive), Vec::from_iter(1..=10));
    let stats = fan_out.stats().remove(1);
    assert_eq!(
        (stats.batches_pending, stats.rows_dropped),
        (3, 7),
        "bounded, and counted"
    );
    assert_eq!(
        stats.last_error.as_deref(),
        Some("the backlog of target `memory` is full")
    );
    dead.recover();
    until(|| fan_out.stats()[1].batches_pending == 0).await;
    assert_eq!(positions(&dead), [1, 2, 3], "in order");
    fan_out.write(&batch(11, 11..=11)).await.unwrap();
    assert_eq!(positions(&dead), [1, 2, 3, 11]);
    assert_eq!(fan_out.stats()[1].rows_delivered, 4);
    fan_out.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_target_that_hangs_costs_the_others_one_patience() {
    let (alive, stuck) = (MemoryWriter::new(), FaultWriter::new(MemoryWriter::new()));
    stuck.then(Fault::Hang);
    let fan_out = FanOut::new(vec![
        target(alive.clone(), WhenBehind::Wait),
        target(stuck.clone(), WhenBehind::Wait),
    ]);
    fan_out.open_scope(SCOPE, &scope()).await.unwrap();
    let began = tokio::time::Instant::now();
    for at in 1..=20 {
        fan_out.write(&batch(at, at..=at)).await.unwrap();
    }
    assert!(
        began.elapsed() <= Duration::from_millis(1_100),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(fan_out.stats()[1].rows_pending, 20);
    stuck.release();
    until(|| fan_out.stats()[1].rows_pending == 0).await;
    assert_eq!(positions(stuck.inner()), Vec::from_iter(1..=20));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_waited_for_loses_nothing() {
    let (alive, slow) = (MemoryWriter::new(), MemoryWriter::new());
    let fan_out = FanOut::new(vec![
        target(alive.clone(), WhenBehind::Wait),
        target(slow.clone(), WhenBehind::Wait).backlog_max(2),
    ]);
    fan_out.open_scope(SCOPE, &scope()).await.unwrap();
    slow.go_down();
    fan_out.write(&batch(1, 1..=1)).await.unwrap();
    fan_out.write(&batch(2, 2..=2)).await.unwrap();
    let third = batch(3, 3..=3);
    let waited = tokio::time::timeout(Duration::from_secs(60), fan_out.write(&third)).await;
    assert!(waited.is_err(), "the backlog is full");
    assert_eq!(fan_out.stats()[1].batches_pending, 2);
    slow.recover();
    // The same batch again: the target that has it is not given it twice.
    let receipt = fan_out.write(&third).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.repeated()), (1, 0));
    fan_out.close().await.unwrap();
    assert_eq!(positions(&alive), [1, 2, 3]);
    assert_eq!(positions(&slow), [1, 2, 3]);
    assert_eq!(alive.attempts().len(), 3);
}

#[tokio::test]
async fn what_a_target_has_no_room_for_goes_to_its_fallback() {
    let directory = tempfile::tempdir().unwrap();
    let (alive, dead) = (MemoryWriter::new(), MemoryWriter::new());
    let file = NdjsonFileWriter::new(NdjsonFileOptions::new(directory.path()));
    let fan_out = FanOut::new(vec![
        target(alive.clone(), WhenBehind::Wait),
        target(dead.clone(), WhenBehind::Divert(BoxWriter::new(file))).backlog_max(1),
    ])
    .drain_max(20 * MS);
    fan_out.open_scope(SCOPE, &scope()).await.unwrap();
    dead.go_down();
    for at in 1..=3 {
        let receipt = fan_out.write(&batch(at, at..=at)).await.unwrap();
        // One target has the row and the other's fallback: it is not called delivered.
        let expected = if at == 1 {
            RowOutcome::Delivered
        } else {
            RowOutcome::Diverted
        };
        assert_eq!(receipt.outcome(0), expected);
    }
    let stats = fan_out.stats().remove(1);
    assert_eq!(
        (stats.rows_pending, stats.rows_diverted, stats.rows_dropped),
        (1, 2, 0)
    );
    let file: NdjsonFileWriter = NdjsonFileWriter::new(NdjsonFileOptions::new(directory.path()));
    let text = std::fs::read_to_string(&file.paths().unwrap()[0]).unwrap();
    assert_eq!(text.lines().count(), 2);
    let error = fan_out.close().await.unwrap_err();
    assert!(
        error.to_string().contains("target `memory` lacks 1 rows"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn while_no_target_has_a_batch_the_write_fails() {
    let (a, b) = (MemoryWriter::new(), MemoryWriter::new());
    let fan_out = FanOut::new(vec![
        target(a.clone(), WhenBehind::Wait),
        target(b.clone(), WhenBehind::Drop).backlog_max(1),
    ]);
    fan_out.open_scope(SCOPE, &scope()).await.unwrap();
    a.go_down();
    b.go_down();
    let first = batch(1, 1..=2);
    for _ in 0..3 {
        let error = fan_out.write(&first).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient);
        assert!(error.to_string().contains("the sink is down"), "{error}");
    }
    let pending: Vec<u64> = fan_out
        .stats()
        .iter()
        .map(|stats| stats.rows_pending)
        .collect();
    assert_eq!(pending, [0, 0], "it is its producer's");
    a.recover();
    b.recover();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(a.delivered().len() + b.delivered().len(), 0);
    assert_eq!(fan_out.write(&first).await.unwrap().delivered(), 2);
    assert_eq!((positions(&a), positions(&b)), (vec![1, 2], vec![1, 2]));
}

#[tokio::test(start_paused = true)]
async fn the_least_watermark_holds_and_targets_ahead_skip_what_they_have() {
    let (ahead, behind) = (MemoryWriter::new(), MemoryWriter::new());
    for (memory, upto) in [(&ahead, 7), (&behind, 4)] {
        memory.open_scope(SCOPE, &scope()).await.unwrap();
        memory.write(&batch(100, 1..=upto)).await.unwrap();
    }
    let only_ahead = ScopeName::new("host/low");
    ahead.open_scope(SCOPE, &only_ahead).await.unwrap();
    let fan_out = FanOut::new(vec![
        target(ahead.clone(), WhenBehind::Wait),
        target(behind.clone(), WhenBehind::Wait),
    ]);
    let opened = fan_out.open_scope(SCOPE, &scope()).await.unwrap();
    assert_eq!(opened.watermark, Position::new(4));
    assert_eq!(opened.numbered_to, Position::new(7));
    let scopes = fan_out.scopes("host").await.unwrap();
    assert!(scopes.contains(&(scope(), Position::new(4))));
    assert!(scopes.contains(&(only_ahead, Position::START)));
    let receipt = fan_out.write(&batch(1, 5..=9)).await.unwrap();
    assert_eq!((receipt.delivered(), receipt.repeated()), (5, 0));
    fan_out.close().await.unwrap();
    assert_eq!(positions(&ahead), Vec::from_iter(1..=9));
    assert_eq!(positions(&behind), Vec::from_iter(1..=9));
}

#[tokio::test(start_paused = true)]
async fn new_rows_are_numbered_behind_every_target_and_those_without_a_ledger_hold_nothing_back() {
    let (ahead, behind) = (MemoryWriter::new(), MemoryWriter::new());
    for (memory, upto) in [(&ahead, 1_000), (&behind, 600)] {
        memory.open_scope(SCOPE, &scope()).await.unwrap();
        memory.write(&batch(100, 1..=upto)).await.unwrap();
    }
    let fan_out = FanOut::new(vec![
        target(print(), WhenBehind::Drop),
        target(behind, WhenBehind::Wait),
        target(ahead, WhenBehind::Wait),
    ]);
    let opened = fan_out.open_scope(SCOPE, &scope()).await.unwrap();
    let numbered_to = opened.numbered_to.number();
    assert_eq!((opened.watermark.number(), numbered_to), (600, 1_000));
    assert!(opened.fence > 0);
    let scopes = fan_out.scopes("host").await.unwrap();
    assert_eq!(scopes, [(scope(), Position::new(600))]);
}

#[tokio::test(start_paused = true)]
async fn rows_are_numbered_far_behind_what_a_target_that_cannot_be_asked_may_know() {
    let (known, unknown) = (MemoryWriter::new(), MemoryWriter::new());
    unknown.open_scope(SCOPE, &scope()).await.unwrap();
    unknown.write(&batch(100, 1..=9)).await.unwrap();
    let down = Scripted::new(|_| (Duration::ZERO, outcome(Some(ErrorKind::Transient))));
    let fan_out = FanOut::new(vec![
        target(known, WhenBehind::Wait),
        target(down, WhenBehind::Drop),
    ]);
    let opened = fan_out.open_scope(SCOPE, &scope()).await.unwrap();
    assert_eq!(opened.watermark, Position::START);
    let first = opened.numbered_to.next().number();
    unknown.open_scope(SCOPE, &scope()).await.unwrap();
    let receipt = unknown.write(&batch(1, first..=first)).await.unwrap();
    assert_eq!(receipt.repeated(), 0, "it is new there too");
}

#[tokio::test(start_paused = true)]
async fn a_stand_in_that_fails_at_first_harms_no_healthy_target() {
    let alive = MemoryWriter::new();
    let late = MemoryWriter::new();
    let stand_in = FirstOpenFails(late.clone(), AtomicBool::new(false));
    let stand_in = WhenBehind::Divert(BoxWriter::new(stand_in));
    let fan_out = FanOut::new(vec![
        target(alive.clone(), stand_in).backlog_max(1),
        target(MemoryWriter::new(), WhenBehind::Wait),
    ]);
    fan_out.open_scope(SCOPE, &scope()).await.unwrap();
    let receipt = fan_out.write(&batch(1, 1..=1)).await.unwrap();
    assert_eq!(
        (receipt.delivered(), fan_out.stats()[0].last_error.clone()),
        (1, None)
    );
    alive.go_down();
    fan_out.write(&batch(2, 2..=2)).await.unwrap();
    let receipt = fan_out.write(&batch(3, 3..=3)).await.unwrap();
    assert_eq!(receipt.diverted(), 1, "its scope was opened late");
    assert_eq!(positions(&late), [3]);
}

#[tokio::test(start_paused = true)]
async fn a_target_that_somebody_else_writes_ends_the_fan_out_at_once() {
    let (ours, other) = (MemoryWriter::new(), MemoryWriter::new());
    let fan_out = FanOut::new(vec![
        target(other.clone(), WhenBehind::Wait),
        target(ours.clone(), WhenBehind::Drop).backlog_max(1),
    ]);
    fan_out.open_scope(SCOPE, &scope()).await.unwrap();
    let theirs = ours.other_process();
    theirs.open_scope(SCOPE, &scope()).await.unwrap();
    for at in 1..=3 {
        let error = fan_out.write(&batch(at, at..=at)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    }
    assert_eq!(ours.attempts().len(), 1, "it is not tried again");
    fan_out.open_scope(SCOPE, &scope()).await.unwrap();
    assert_eq!(
        fan_out.write(&batch(4, 4..=4)).await.unwrap().delivered(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_was_renamed_before_it_could_be_opened_is_opened_under_its_new_name() {
    let memory = MemoryWriter::new();
    let late = FirstOpenFails(memory.clone(), AtomicBool::new(false));
    let fan_out = FanOut::new(vec![
        target(print(), WhenBehind::Wait),
        target(late, WhenBehind::Drop),
    ]);
    fan_out.open_scope(SCOPE, &scope()).await.unwrap();
    let renamed = ScopeName::new("host/renamed");
    fan_out.rename_scope(&scope(), &renamed).await.unwrap();
    fan_out.write(&batch(1, 1..=1)).await.unwrap();
    assert_eq!(memory.delivered()[0].0, renamed);
}

/// Cannot open a scope at first.
struct FirstOpenFails(MemoryWriter, AtomicBool);

impl BatchWriter for FirstOpenFails {
    type Row = Record;

    fn name(&self) -> &str {
        "late"
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        if self.1.swap(true, Ordering::SeqCst) {
            return self.0.open_scope(index, name).await;
        }
        Err(WriteError::new(ErrorKind::Transient, "not yet"))
    }

    async fn write(&self, batch: &sinks::Batch) -> Result<sinks::Receipt, WriteError> {
        self.0.write(batch).await
    }
}

#[tokio::test(start_paused = true)]
async fn law_10_a_target_that_panics_harms_nobody() {
    let alive = MemoryWriter::new();
    let fan_out = FanOut::new(vec![
        target(
            FnWriter::new("mad", |_: &sinks::Batch| panic!("mad")),
            WhenBehind::Drop,
        ),
        target(alive.clone(), WhenBehind::Wait),
    ]);
    fan_out.open_scope(SCOPE, &scope()).await.unwrap();
    for at in 1..=3 {
        assert_eq!(
            fan_out
                .write(&batch(at, at..=at))
                .await
                .unwrap()
                .delivered(),
            1
        );
    }
    let stats = fan_out.stats().remove(0);
    assert_eq!(
        stats.last_error.as_deref(),
        Some("sink `mad` panicked: mad")
    );
    assert_eq!(positions(&alive), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn data_errors_cost_one_target_its_batch_and_behind_bisect_one_row() {
    let poison = |entry: &sinks::Entry| (entry.position.number() == 2).then(|| "no 2".to_owned());
    let whole = FaultWriter::new(MemoryWriter::new()).poisoned(poison);
    let split = FaultWriter::new(MemoryWriter::new()).poisoned(poison);
    let fan_out = FanOut::new(vec![
        target(whole.clone(), WhenBehind::Wait),
        target(Bisect::new(split.clone()), WhenBehind::Wait),
    ]);
    fan_out.open_scope(SCOPE, &scope()).await.unwrap();
    let receipt = fan_out.write(&batch(1, 1..=3)).await.unwrap();
    assert_eq!(receipt.outcome(1), RowOutcome::Rejected("no 2"));
    fan_out.write(&batch(2, 4..=4)).await.unwrap();
    assert_eq!(positions(whole.inner()), [4]);
    assert_eq!(positions(split.inner()), [1, 3, 4]);
    assert_eq!(fan_out.stats()[0].rows_dropped, 3);
    assert_eq!(fan_out.stats()[1].rows_rejected, 1);
}

#[tokio::test(start_paused = true)]
async fn a_fault_writer_fails_as_it_is_told_and_at_random_by_its_seed() {
    let outcomes = |seed: u64| async move {
        let writer = FaultWriter::new(MemoryWriter::new()).at_random(
            seed,
            sinks::FaultChances {
                late: 0.25,
                late_max: 10 * MS,
                ..Default::default()
            },
        );
        writer.open_scope(SCOPE, &scope()).await.unwrap();
        let mut outcomes = Vec::new();
        for at in 1..=50 {
            outcomes.push(writer.write(&batch(at, at..=at)).await);
        }
        outcomes
    };
    let first = outcomes(7).await;
    assert_eq!(first, outcomes(7).await);
    let errors: Vec<&WriteError> = first.iter().filter_map(|one| one.as_ref().err()).collect();
    assert!(!errors.is_empty() && errors.len() < 50);
    assert!(
        errors
            .iter()
            .all(|error| error.to_string().ends_with("seed 7"))
    );
    assert_ne!(first, outcomes(8).await);
}
