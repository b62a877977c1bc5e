//! What the backlogs of a fan-out hold, and when they let go of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{SCOPE, batch};
use record::Record;
use sinks::{
    Batch, BatchId, BatchWriter, Entry, ErrorKind, FanOut, FnWriter, MemoryWriter, Receipt,
    RetryPolicy, ScopeName, Target, WhenBehind,
};

const MS: Duration = Duration::from_millis(1);

fn target(writer: impl BatchWriter<Row = Record>, when_behind: WhenBehind) -> Target {
    Target::new(writer, when_behind).retry(RetryPolicy::new(MS, 10 * MS, None))
}

fn positions(memory: &MemoryWriter) -> Vec<u64> {
    let delivered = memory.delivered();
    delivered
        .iter()
        .map(|(_, position, _)| position.number())
        .collect()
}

/// Rows that are lent, as those of a buffer are.
struct Lent(Arc<[Entry]>);

impl AsRef<[Entry]> for Lent {
    fn as_ref(&self) -> &[Entry] {
        &self.0
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_failed_leaves_its_rows_to_their_producer() {
    let (a, b) = (MemoryWriter::new(), MemoryWriter::new());
    let fan_out = FanOut::new(vec![
        target(a.clone(), WhenBehind::Wait),
        target(b.clone(), WhenBehind::Drop),
    ]);
    let scope = ScopeName::new("host/normal");
    fan_out.open_scope(SCOPE, &scope).await.unwrap();
    a.go_down();
    b.go_down();
    let rows: Arc<[Entry]> = batch(0, 1..=3).rows().into();
    for id in 1..=20 {
        let lent = Batch::new(BatchId(id), Lent(Arc::clone(&rows)));
        let error = fan_out.write(&lent).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient);
        drop(lent);
        // An attempt that was under way when the write ended fails first.
        tokio::time::sleep(100 * MS).await;
        assert_eq!(Arc::strong_count(&rows), 1, "nothing holds on to them");
    }
    assert!(a.attempts().len() >= 10, "each write is an attempt");
    a.recover();
    b.recover();
    tokio::time::sleep(Duration::from_secs(1)).await;
    fan_out.write(&batch(30, 1..=5)).await.unwrap();
    fan_out.close().await.unwrap();
    assert_eq!((a.delivered().len(), b.delivered().len()), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn rows_that_a_target_has_are_known_under_another_id_until_their_scope_is_opened_again() {
    let seen = Arc::new(parking_lot::Mutex::new(0));
    let count = Arc::clone(&seen);
    let sink = FnWriter::new("count", move |batch: &Batch| {
        *count.lock() += batch.len();
        Ok(Receipt::delivered_all(batch.len()))
    });
    let fan_out = FanOut::new(vec![target(sink, WhenBehind::Wait)]);
    let scope = ScopeName::new("host/normal");
    fan_out.open_scope(SCOPE, &scope).await.unwrap();
    fan_out.write(&batch(1, 1..=3)).await.unwrap();
    fan_out.write(&batch(2, 1..=3)).await.unwrap();
    assert_eq!(*seen.lock(), 3);
    fan_out.open_scope(SCOPE, &scope).await.unwrap();
    fan_out.write(&batch(3, 1..=3)).await.unwrap();
    assert_eq!(
        *seen.lock(),
        6,
        "these are others: their numbers begin anew"
    );
}

#[tokio::test(start_paused = true)]
async fn a_backlog_is_bounded_in_bytes() {
    let (alive, dead) = (MemoryWriter::new(), MemoryWriter::new());
    let bytes = |batch: &Batch| batch.rows().iter().map(Entry::size_bytes).sum::<usize>();
    let bytes_max = bytes(&batch(1, 1..=25));
    let fan_out = FanOut::new(vec![
        target(alive.clone(), WhenBehind::Wait),
        target(dead.clone(), WhenBehind::Drop).backlog_bytes_max(bytes_max),
    ]);
    let scope = ScopeName::new("host/normal");
    fan_out.open_scope(SCOPE, &scope).await.unwrap();
    dead.go_down();
    for id in 1..=5 {
        fan_out
            .write(&batch(id, id * 10..id * 10 + 10))
            .await
            .unwrap();
    }
    let stats = fan_out.stats().remove(1);
    assert_eq!((stats.batches_pending, stats.rows_dropped), (2, 30));
    assert!(stats.bytes_pending > 0 && stats.bytes_pending <= bytes_max);
    dead.recover();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fan_out.stats()[1].bytes_pending, 0);
    fan_out.write(&batch(9, 100..=200)).await.unwrap();
    fan_out.close().await.unwrap();
    assert_eq!(dead.delivered().len(), 121, "alone, a larger one is taken");
}

#[tokio::test(start_paused = true)]
async fn lesson_a_backlog_starves_no_fresh_data() {
    let (fresh, late) = (MemoryWriter::new(), MemoryWriter::new());
    let each = Duration::from_millis(200);
    let fan_out = FanOut::new(vec![
        target(fresh.clone(), WhenBehind::Wait),
        target(late.clone(), WhenBehind::Drop).backlog_max(16),
    ])
    .patience(Duration::ZERO);
    let scope = ScopeName::new("host/normal");
    fan_out.open_scope(SCOPE, &scope).await.unwrap();
    // The second target works off what it has at its own pace, each batch in its time.
    for _ in 0..12 {
        late.answer_late(each);
    }
    let began = tokio::time::Instant::now();
    for at in 1..=12 {
        fan_out.write(&batch(at, at..=at)).await.unwrap();
        assert_eq!(positions(&fresh).last(), Some(&at), "the newest is there");
    }
    assert!(
        began.elapsed() < each * 3,
        "fresh rows waited for old ones: {:?}",
        began.elapsed()
    );
    while fan_out.stats()[1].batches_pending > 0 {
        tokio::time::sleep(MS).await;
    }
    assert_eq!(
        positions(&late),
        Vec::from_iter(1..=12),
        "in order, none left out"
    );
    assert!(began.elapsed() >= each * 11);
}
