//! What merged rows look like, per aggregate, and how templates and settings are checked.

use std::time::Instant;

use record::{Priority, Quality, Value};
use sinks::TrustRow;

use super::{entry, merger, push, record};
use crate::merge::store::Merger;
use crate::merge::{APPENDED_VALUES_MAX, CoalesceAggregate, CoalesceSpec, KeyTemplate};

fn json(text: &str) -> Value {
    Value::json(text).unwrap()
}

/// The value that updates with these values become, under a key of their own.
fn merged(aggregate: CoalesceAggregate, values: Vec<Value>) -> Vec<Value> {
    let merger = merger(aggregate);
    let now = Instant::now();
    let rows = values.into_iter().zip(1..).map(|(value, position)| {
        entry(
            0,
            position,
            now,
            record("plc", "D1", position as i64, value),
        )
    });
    push(&merger, rows.collect());
    let lease = merger.lease().unwrap();
    let rows = lease.rows();
    let values = rows.iter().map(|row| match &row.content {
        Ok(record) => record.value.clone(),
        Err(malformed) => Value::text(malformed.reason()).unwrap(),
    });
    values.collect()
}

#[test]
fn each_aggregate_makes_the_value_that_is_documented() {
    use CoalesceAggregate as A;
    let numbers = || vec![Value::I64(3), Value::F64(1.5), Value::I64(6)];
    let check = |aggregate, values, expected: Value| {
        assert_eq!(merged(aggregate, values), [expected], "{aggregate}");
    };
    check(A::Last, numbers(), Value::I64(6));
    check(A::First, numbers(), Value::I64(3));
    check(A::Changes, numbers(), Value::I64(6));
    check(A::Changes, vec![Value::I64(3), Value::Null], Value::Null);
    check(A::Count, numbers(), Value::I64(3));
    check(A::Sum, numbers(), Value::F64(10.5));
    check(A::MinMax, numbers(), json(r#"{"min":1.5,"max":6.0}"#));
    check(
        A::Stats,
        numbers(),
        json(r#"{"count":3,"mean":3.5,"variance":5.25,"min":1.5,"max":6.0}"#),
    );
    check(
        A::Stats,
        vec![Value::I64(4)],
        json(r#"{"count":1,"mean":4.0,"variance":null,"min":4.0,"max":4.0}"#),
    );
    let texts = vec![Value::text("a\"b").unwrap(), Value::Null, json("[1]")];
    check(
        A::Append,
        texts,
        json(r#"{"values":["a\"b",null,[1]],"dropped":0}"#),
    );
}

#[test]
fn quantiles_are_within_one_percent() {
    let values = (1..=1_000).map(Value::I64).collect();
    let found = merged(CoalesceAggregate::Quantiles, values);
    let [Value::Json(text)] = &found[..] else {
        panic!("{found:?}");
    };
    let found: serde_json::Value = serde_json::from_str(text.as_str()).unwrap();
    assert_eq!(found["count"], 1_000);
    assert_eq!(
        (&found["min"], &found["max"]),
        (&1.0.into(), &1_000.0.into())
    );
    for (name, expected) in [
        ("p50", 500.0),
        ("p90", 900.0),
        ("p95", 950.0),
        ("p99", 990.0),
    ] {
        let estimate = found[name].as_f64().unwrap();
        assert!(
            (estimate - expected).abs() <= 0.02 * expected,
            "{name}: {estimate}"
        );
    }
}

#[test]
fn appended_values_are_bounded_by_number_and_by_bytes() {
    let too_many = APPENDED_VALUES_MAX as i64 + 5;
    let found = merged(
        CoalesceAggregate::Append,
        (0..too_many).map(Value::I64).collect(),
    );
    let [Value::Json(text)] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(text.as_str().starts_with(r#"{"values":[5,6,"#), "{text:?}");
    assert!(text.as_str().ends_with(r#",104],"dropped":5}"#), "{text:?}");

    let long = || Value::text(&"x".repeat(400_000)).unwrap();
    let found = merged(CoalesceAggregate::Append, vec![long(), long(), long()]);
    let [Value::Json(text)] = &found[..] else {
        panic!("the record would be malformed");
    };
    assert!(text.as_str().ends_with(r#"],"dropped":1}"#));
    assert_eq!(text.as_str().matches(r#"xx","xx"#).count(), 1);
}

#[test]
fn evidence_merges_per_outcome_and_is_what_the_tracker_reads() {
    let merger = merger(CoalesceAggregate::SuccessFailure);
    let now = Instant::now();
    let values = [
        Value::Bool(true),
        json(r#"{"success":false,"weight":2.5}"#),
        json(r#"{"success":true,"weight":0.5}"#),
        json(r#"{"success":false}"#),
    ];
    let rows = values
        .into_iter()
        .zip(1..)
        .map(|(value, position)| entry(0, position, now, record("rule", "7", 0, value)));
    push(&merger, rows.collect());
    assert_eq!(merger.load().keys, 1);
    let lease = merger.lease().unwrap();
    let rows = lease.rows();
    assert_eq!(rows.len(), 2);
    for (index, (position, success, weight)) in
        [(3, true, 1.5), (4, false, 3.5)].into_iter().enumerate()
    {
        let record = rows[index].content.as_ref().unwrap();
        let (key, outcome, found) = record.evidence().unwrap();
        assert_eq!(key, "rule/7");
        assert_eq!((outcome, found), (success.into(), weight));
        assert_eq!(rows[index].position.number(), position);
        assert_eq!(lease.updates_of(index), 2);
    }
    lease.ack();
    assert_eq!(merger.stats().keys, 0);
}

#[test]
fn a_merged_record_has_the_newest_time_the_worst_quality_and_the_highest_priority() {
    let now = Instant::now();
    let rows = || {
        let mut first = record("plc", "D1", 9, 1.0).with_quality(Quality::Uncertain);
        first.priority = Some(Priority::High);
        first.id = Some("first".into());
        let mut second = record("plc", "D1", 4, 2.0);
        second.id = Some("second".into());
        vec![entry(0, 5, now, first), entry(0, 8, now, second)]
    };
    let one = |aggregate| {
        let merger = merger(aggregate);
        push(&merger, rows());
        let lease = merger.lease().unwrap();
        let row = lease.rows()[0].clone();
        assert_eq!(row.position.number(), 8);
        let record = row.content.unwrap();
        assert_eq!(record.priority, Some(Priority::High));
        assert_eq!(record.key().to_string(), "plc/D1");
        (record.timestamp.micros(), record.quality, record.id)
    };
    assert_eq!(one(CoalesceAggregate::Sum), (9, Quality::Uncertain, None));
    // What is kept as a whole is never mixed from two records.
    let second = (4, Quality::Good, Some("second".into()));
    assert_eq!(one(CoalesceAggregate::Last), second);
    assert_eq!(one(CoalesceAggregate::Changes), second);
    let first = (9, Quality::Uncertain, Some("first".into()));
    assert_eq!(one(CoalesceAggregate::First), first);
}

#[test]
fn what_cannot_be_merged_is_malformed_and_says_why() {
    use CoalesceAggregate as A;
    let check = |aggregate, value, expected: &str| {
        let found = merged(aggregate, vec![value]);
        let [Value::Text(reason)] = &found[..] else {
            panic!("{aggregate}: {found:?}");
        };
        assert!(
            reason.as_str().contains(expected),
            "{aggregate}: {reason:?}"
        );
    };
    for aggregate in [A::Sum, A::MinMax, A::Stats, A::Quantiles] {
        check(aggregate, Value::Null, "it is null, expected int or float");
        check(
            aggregate,
            Value::Bool(true),
            "it is bool, expected int or float",
        );
        check(
            aggregate,
            Value::text("7").unwrap(),
            "it is text, expected int or float",
        );
    }
    check(A::Stats, Value::F64(1e200), "at most 1e150");
    check(
        A::SuccessFailure,
        Value::F64(1.0),
        "`value` is float, expected true, false",
    );
    check(
        A::SuccessFailure,
        json(r#"{"success":true,"weight":-1}"#),
        "weight is -1",
    );
    check(
        A::SuccessFailure,
        json(r#"{"success":true,"weight":2e6}"#),
        "the limit is 1e6",
    );
    check(
        A::SuccessFailure,
        json(r#"{"succes":true}"#),
        "no evidence: unknown field `succes`",
    );
}

#[test]
fn a_template_says_which_updates_merge_and_how_the_record_is_named() {
    let check = |template: &str, expected: &[(&str, f64)]| {
        let spec = CoalesceSpec::new(CoalesceAggregate::Sum).key(template.parse().unwrap());
        let merger = Merger::new(&spec).unwrap();
        let now = Instant::now();
        let names = [("a/b", "c"), ("a", "b/c"), ("a", "b"), ("a", "b")];
        let rows = names
            .into_iter()
            .zip(1..)
            .map(|((source, tag), position)| entry(0, position, now, record(source, tag, 0, 1.0)));
        push(&merger, rows.collect());
        let lease = merger.lease().unwrap();
        let found: Vec<_> = lease
            .rows()
            .iter()
            .map(|row| {
                let record = row.content.as_ref().unwrap();
                (
                    format!("{}|{}", record.source, record.tag),
                    record.value.clone(),
                )
            })
            .collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, sum)| ((*name).to_owned(), Value::F64(*sum)))
            .collect();
        assert_eq!(found, expected, "{template}");
    };
    check(
        "{source}/{tag}",
        &[("a/b|c", 1.0), ("a|b/c", 1.0), ("a|b", 2.0)],
    );
    check(
        "plant/{tag}",
        &[("plant|c", 1.0), ("plant|b/c", 1.0), ("plant|b", 2.0)],
    );
    check("{source}", &[("a/b|sum", 1.0), ("a|sum", 3.0)]);
    check("all", &[("all|sum", 4.0)]);
    check(
        "x-{source}/y/{quality}",
        &[("x-a/b|y/good", 1.0), ("x-a|y/good", 3.0)],
    );
}

#[test]
fn a_name_that_becomes_too_long_is_malformed_and_no_panic() {
    let spec = CoalesceSpec::new(CoalesceAggregate::Count).key("{source}-{tag}".parse().unwrap());
    let merger = Merger::new(&spec).unwrap();
    let (source, tag) = ("s".repeat(200), "t".repeat(200));
    push(
        &merger,
        vec![entry(0, 1, Instant::now(), record(&source, &tag, 0, 1.0))],
    );
    let lease = merger.lease().unwrap();
    let malformed = lease.rows()[0].content.clone().unwrap_err();
    assert!(
        malformed
            .reason()
            .contains("has 401 bytes, the limit is 256"),
        "{malformed:?}"
    );
    assert!(malformed.original().starts_with(b"{"), "{malformed:?}");
}

#[test]
fn settings_that_are_none_are_refused_with_the_field_and_what_would_be_right() {
    let template = |text: &str| text.parse::<KeyTemplate>().unwrap_err().to_string();
    assert_eq!(
        template("{source}/{unit}"),
        "key has the placeholder {unit}, expected {source}, {tag} or {quality}"
    );
    for wrong in ["{source", "source}", "a}{tag}", "{a{b}"] {
        assert!(!template(wrong).is_empty());
    }
    assert!(template("").contains("1 to 256 bytes"));
    assert!(template("/{tag}").contains("before and behind"));
    assert!(template("{source}/").contains("before and behind"));
    assert!(template("a\0b").contains("control characters"));

    let unknown = "median"
        .parse::<CoalesceAggregate>()
        .unwrap_err()
        .to_string();
    assert!(
        unknown.contains("\"median\"") && unknown.contains("min-max"),
        "{unknown}"
    );
    let spec = CoalesceSpec::new(CoalesceAggregate::Sum);
    for (spec, expected) in [
        (
            spec.clone().keys_max(0),
            "keys_max is 0, expected 1 to 10000000",
        ),
        (
            spec.clone().updates_max(0),
            "updates_max is 0, expected 1 to 1000000000",
        ),
    ] {
        assert_eq!(spec.check().unwrap_err().to_string(), expected);
        assert!(Merger::new(&spec).is_err());
    }
}

#[test]
fn a_configuration_has_the_names_of_the_aggregates_and_defaults() {
    let read = |text: &str| serde_json::from_str::<CoalesceSpec>(text);
    for aggregate in CoalesceAggregate::ALL {
        let name = aggregate.as_str();
        assert_eq!(name.parse(), Ok(aggregate));
        let spec = read(&format!(r#"{{"aggregate":"{name}"}}"#)).unwrap();
        assert_eq!(spec, CoalesceSpec::new(aggregate));
        let text = serde_json::to_string(&spec).unwrap();
        assert_eq!(read(&text).unwrap(), spec);
    }
    let full = r#"{"aggregate":"sum","key":"{tag}","keys_max":5,"updates_max":7}"#;
    let spec = CoalesceSpec::new(CoalesceAggregate::Sum)
        .key("{tag}".parse().unwrap())
        .keys_max(5)
        .updates_max(7);
    assert_eq!(read(full).unwrap(), spec);
    for wrong in [
        "{}",
        r#"{"aggregate":"sum","keys":5}"#,
        r#"{"aggregate":"sum","keys_max":0}"#,
        r#"{"aggregate":"sum","key":"{x}"}"#,
    ] {
        assert!(read(wrong).is_err(), "{wrong}");
    }
}
