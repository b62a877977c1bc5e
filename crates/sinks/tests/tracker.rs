//! Evidence reaches the tracker added up, and rows that are none are rejected one by one.

#![cfg(feature = "trust")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Instant;

use record::{Malformed, Position, Record, Timestamp, Value};
use sinks::{
    AggregatedUpdate, Batch, BatchId, BatchWriter, Entry, ErrorKind, Guarantee, Receipt, Refused,
    Row, ScopeIndex, Tracker, TrackerWriter, TrustRow, TrustUpdate, WriteError,
};
use trust::{Outcome, TrustTracker, WEIGHT_MAX};

fn batch<R: Row>(rows: impl IntoIterator<Item = Result<R, Malformed>>) -> Batch<R> {
    let entries = rows.into_iter().enumerate().map(|(index, content)| Entry {
        scope: ScopeIndex(0),
        position: Position::new(index as u64 + 1),
        arrival: Instant::now(),
        content,
    });
    Batch::new(BatchId(1), entries.collect::<Vec<_>>())
}

fn update(key: &str, outcome: Outcome, weight: f64) -> Result<TrustUpdate, Malformed> {
    let key = key.to_owned();
    Ok(TrustUpdate {
        key,
        outcome,
        weight,
    })
}

fn write<T: Tracker, R: TrustRow>(
    writer: &TrackerWriter<T, R>,
    batch: &Batch<R>,
) -> Result<Receipt, WriteError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(writer.write(batch))
}

/// Writes down what it is called with, and answers as told.
struct Scripted {
    calls: Mutex<Vec<Vec<(String, Outcome, f64)>>>,
    answer: Result<Vec<Refused>, WriteError>,
}

impl Scripted {
    fn answering(answer: Result<Vec<Refused>, WriteError>) -> Arc<Self> {
        let calls = Mutex::default();
        Arc::new(Self { calls, answer })
    }
}

impl Tracker for Scripted {
    fn batch_update(&self, updates: &[AggregatedUpdate<'_>]) -> Result<Vec<Refused>, WriteError> {
        let call = updates
            .iter()
            .map(|one| (one.key.to_owned(), one.outcome, one.weight));
        self.calls.lock().unwrap().push(call.collect());
        self.answer.clone()
    }
}

#[test]
fn a_batch_is_one_call_with_each_key_and_outcome_once() {
    let tracker = Scripted::answering(Ok(Vec::new()));
    let writer = TrackerWriter::new(Arc::clone(&tracker));
    assert_eq!(writer.guarantee(), Guarantee::AtLeastOnce);
    let rows = (0..1_000).map(|row| {
        let key = ["a", "b"][row % 2];
        update(key, Outcome::from(row % 4 < 2), 0.5)
    });
    let receipt = write(&writer, &batch(rows)).unwrap();
    assert_eq!((receipt.rows(), receipt.delivered()), (1_000, 1_000));
    let expected = |key: &str, outcome| (key.to_owned(), outcome, 125.0);
    let calls = tracker.calls.lock().unwrap();
    let (won, lost) = (Outcome::Success, Outcome::Failure);
    let sums = [
        expected("a", won),
        expected("b", won),
        expected("a", lost),
        expected("b", lost),
    ];
    assert_eq!(*calls, [sums]);
}

#[test]
fn lesson_one_bad_row_does_not_take_its_batch_along() {
    let tracker = Arc::new(TrustTracker::<String>::new());
    let writer = TrackerWriter::new(Arc::clone(&tracker));
    let malformed = Malformed::new("line 3: it ends too early", b"{torn");
    let rows = vec![
        update("a", Outcome::Success, 3.0),
        update("a", Outcome::Success, f64::NAN),
        Err(malformed),
        update("b", Outcome::Failure, -1.0),
        update("a", Outcome::Failure, 1.0),
        update("c", Outcome::Success, 2.0 * WEIGHT_MAX),
    ];
    let receipt = write(&writer, &batch(rows)).unwrap();
    assert_eq!((receipt.delivered(), receipt.rejected().len()), (2, 4));
    let reasons: Vec<_> = receipt
        .rejected()
        .iter()
        .map(|r| (r.row, r.reason.as_str()))
        .collect();
    assert_eq!(
        reasons,
        [
            (1, r#"key "a": the weight NaN is not from 0 to 1e12"#),
            (2, "line 3: it ends too early"),
            (3, r#"key "b": the weight -1 is not from 0 to 1e12"#),
            (
                5,
                r#"key "c": the weight 2000000000000 is not from 0 to 1e12"#
            ),
        ]
    );
    let trust = tracker.posterior("a");
    assert_eq!((trust.alpha(), trust.beta(), tracker.len()), (4.0, 2.0, 1));
}

#[test]
fn every_row_of_a_refused_sum_is_rejected() {
    let refused = Refused {
        row: 0,
        reason: "not a rule of ours".into(),
    };
    let writer = TrackerWriter::new(Scripted::answering(Ok(vec![refused])));
    let rows = ["x", "y", "x"].map(|key| update(key, Outcome::Success, 1.0));
    let receipt = write(&writer, &batch(rows)).unwrap();
    let rows: Vec<_> = receipt
        .rejected()
        .iter()
        .map(|refused| refused.row)
        .collect();
    assert_eq!(rows, [0, 2]);
}

#[test]
fn good_rows_are_not_rejected_because_their_sum_is_too_large() {
    let tracker = Arc::new(TrustTracker::<String>::new());
    let writer = TrackerWriter::new(Arc::clone(&tracker));
    let weights = [0.75, 0.75, 0.25, 2.0, 0.5].map(|share| share * WEIGHT_MAX);
    let rows = weights.map(|weight| update("a", Outcome::Success, weight));
    let receipt = write(&writer, &batch(rows)).unwrap();
    let rejected = receipt.rejected().iter().map(|refused| refused.row);
    assert_eq!(rejected.collect::<Vec<_>>(), [3]);
    assert_eq!(tracker.posterior("a").sample_size(), 2.25 * WEIGHT_MAX);
}

#[test]
fn a_tracker_that_refuses_twice_or_what_is_not_there_makes_nobody_panic() {
    let refused = |row| Refused {
        row,
        reason: "no".into(),
    };
    let rows = batch(["x", "y"].map(|key| update(key, Outcome::Success, 1.0)));
    let twice = Scripted::answering(Ok(vec![refused(1), refused(0), refused(1)]));
    let receipt = write(&TrackerWriter::new(twice), &rows).unwrap();
    assert_eq!((receipt.delivered(), receipt.rejected().len()), (0, 2));
    let beyond = Scripted::answering(Ok(vec![refused(2)]));
    let error = write(&TrackerWriter::new(beyond), &rows).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fatal);
    let message = error.to_string();
    assert!(message.contains("refused update 2 of 2"), "{message}");
}

#[test]
fn keys_that_the_tracker_has_no_room_for_are_rejected_one_by_one() {
    let builder = TrustTracker::<String>::builder();
    let tracker = builder.keys_max(2).key_bytes_max(3).build().unwrap();
    let tracker = Arc::new(tracker);
    let writer = TrackerWriter::new(Arc::clone(&tracker));
    let keys = ["a", "long", "b", "c", "a", "c"];
    let rows = keys.map(|key| update(key, Outcome::Success, 1.0));
    let receipt = write(&writer, &batch(rows)).unwrap();
    let reasons: Vec<_> = receipt
        .rejected()
        .iter()
        .map(|refused| (refused.row, refused.reason.as_str()))
        .collect();
    let full = r#"key "c": it would be one more than `keys_max` of 2"#;
    let long = r#"key "long": it has 4 bytes, above `key_bytes_max` of 3"#;
    assert_eq!(reasons, [(1, long), (3, full), (5, full)]);
    assert_eq!(tracker.posterior("a").sample_size(), 2.0);
    assert_eq!(tracker.posterior("b").sample_size(), 1.0);
}

#[test]
fn an_error_of_the_tracker_is_handed_on() {
    let error = WriteError::new(ErrorKind::Transient, "the tracker is busy");
    let writer = TrackerWriter::new(Scripted::answering(Err(error.clone())));
    let rows = batch([update("x", Outcome::Success, 1.0)]);
    assert_eq!(write(&writer, &rows), Err(error));
}

#[test]
fn a_batch_without_evidence_calls_nobody() {
    let tracker = Scripted::answering(Ok(Vec::new()));
    let writer = TrackerWriter::new(Arc::clone(&tracker));
    let rows = batch([update("x", Outcome::Success, f64::INFINITY)]);
    assert_eq!(write(&writer, &rows).unwrap().rejected().len(), 1);
    assert!(tracker.calls.lock().unwrap().is_empty());
}

#[test]
fn records_are_evidence_by_truth_values_or_json() {
    let tracker = Arc::new(TrustTracker::<String>::new());
    let writer = TrackerWriter::of_records(Arc::clone(&tracker));
    let record = |value| Ok(Record::new("agent 1", "rule", value, Timestamp::default()).unwrap());
    let json = |text: &str| record(Value::json(text).unwrap());
    let rows = vec![
        record(Value::Bool(true)),
        json(r#"{"success":false,"weight":2.5}"#),
        json(r#"{"success":true}"#),
        record(Value::F64(1.0)),
        json(r#"{"weight":1}"#),
        json(r#"{"success":true,"weight":-1}"#),
    ];
    let receipt = write(&writer, &batch(rows)).unwrap();
    let rejected: Vec<_> = receipt
        .rejected()
        .iter()
        .map(|refused| refused.row)
        .collect();
    assert_eq!(rejected, [3, 4, 5]);
    assert!(receipt.rejected()[0].reason.contains("F64(1.0)"));
    let trust = tracker.posterior("agent 1/rule");
    assert_eq!((trust.alpha(), trust.beta()), (3.0, 3.5));
}

#[test]
fn an_update_has_columns_of_its_own() {
    let update = update("a", Outcome::Failure, 1.5).unwrap();
    assert_eq!(
        update.to_json(),
        r#"{"key":"a","success":false,"weight":1.5}"#
    );
}
