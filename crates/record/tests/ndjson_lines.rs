//! Lines that are records, and lines that are not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use proptest::prelude::*;
use record::{FutureLimit, Priority, Quality, Record, RecordError, Timestamp, Value, ndjson};

fn limit() -> FutureLimit {
    FutureLimit::new(
        Timestamp::from_micros(1_000_000_000_000).unwrap(),
        Duration::from_secs(86_400),
    )
}

fn parse(line: &str) -> Result<Record, RecordError> {
    ndjson::parse(line.as_bytes(), &limit())
}

#[test]
fn every_kind_of_value_keeps_its_type() {
    let table = [
        ("1234.5", Value::F64(1234.5)),
        ("1234", Value::I64(1234)),
        ("-9223372036854775808", Value::I64(i64::MIN)),
        ("true", Value::Bool(true)),
        ("\"007\"", Value::text("007").unwrap()),
        ("\"a\\nb\"", Value::text("a\nb").unwrap()),
        ("null", Value::Null),
        (
            "{\"b\":1,\"a\":[2, 3]}",
            Value::json("{\"b\":1,\"a\":[2, 3]}").unwrap(),
        ),
        ("[]", Value::json("[]").unwrap()),
    ];
    for (text, expected) in table {
        let line = format!(r#"{{"source":"s","tag":"t","value":{text}}}"#);
        assert_eq!(parse(&line).unwrap().value, expected, "value {text}");
    }
}

#[test]
fn the_old_names_are_accepted_and_quality_is_read_in_any_case() {
    let record = parse(
        r#"{"plc_code":"PLC01","tag_address":"D100","tag_value":{"x":1},"quality":"GOOD",
            "priority":"Critical","id":"a-1","timestamp":"1970-01-01T00:00:01.5Z","other":[{}]}"#,
    )
    .unwrap();
    assert_eq!(record.key().to_string(), "PLC01/D100");
    assert_eq!(record.value, Value::json(r#"{"x":1}"#).unwrap());
    assert_eq!(record.quality, Quality::Good);
    assert_eq!(record.priority, Some(Priority::Critical));
    assert_eq!(record.id.as_deref(), Some("a-1"));
    assert_eq!(record.timestamp.micros(), 1_500_000);
}

#[test]
fn a_record_without_timestamp_gets_the_clock_and_null_is_bad_unless_said() {
    let record = parse(r#"{"source":"s","tag":"t","value":null}"#).unwrap();
    assert_eq!(record.timestamp, limit().now());
    assert_eq!(record.quality, Quality::Bad);
    let said = parse(r#"{"source":"s","tag":"t","value":null,"quality":"uncertain"}"#).unwrap();
    assert_eq!(said.quality, Quality::Uncertain);
}

#[test]
fn malformed_lines_say_field_value_and_limit() {
    let long = "x".repeat(300);
    let table = [
        (String::new(), "expected a JSON object, found nothing"),
        ("[1]".into(), "expected a JSON object, found an array"),
        (
            "{".into(),
            "invalid JSON at column 1: EOF while parsing an object",
        ),
        (
            r#"{"source":"s","tag":"t","value":NaN}"#.into(),
            "invalid JSON at column 33: expected value",
        ),
        (
            r#"{"source":"s","tag":"t","value":1e999}"#.into(),
            "invalid JSON at column 37: number out of range",
        ),
        (
            r#"{"source":"s","tag":"t","value":1} x"#.into(),
            "invalid JSON at column 36: trailing characters",
        ),
        (
            r#"{"tag":"t","value":1}"#.into(),
            "field `source` is missing",
        ),
        (
            r#"{"source":"s","value":1}"#.into(),
            "field `tag` is missing",
        ),
        (
            r#"{"source":"s","tag":"t"}"#.into(),
            "field `value` is missing",
        ),
        (
            r#"{"source":"","tag":"t","value":1}"#.into(),
            "field `source` is empty",
        ),
        (
            r#"{"source":7,"tag":"t","value":1}"#.into(),
            "field `source` is 7, expected text",
        ),
        (
            r#"{"source":"s","plc_code":"s","tag":"t","value":1}"#.into(),
            "field `source` is given twice",
        ),
        (
            format!(r#"{{"source":"{long}","tag":"t","value":1}}"#),
            "field `source` has 300 bytes, the limit is 256",
        ),
        (
            r#"{"source":"s","tag":"t","value":18446744073709551615}"#.into(),
            "field `value` is 18446744073709551615, expected a whole number up to \
             9223372036854775807, or a float",
        ),
        (
            r#"{"source":"s","tag":"t","value":1,"quality":"fine"}"#.into(),
            "field `quality` is \"fine\", expected good, uncertain or bad in any case",
        ),
        (
            r#"{"source":"s","tag":"t","value":1,"timestamp":"yesterday"}"#.into(),
            "field `timestamp` is \"yesterday\", expected RFC 3339 (2024-05-01T12:00:00Z) or \
             microseconds since 1970",
        ),
        (
            r#"{"source":"s","tag":"t","value":1,"timestamp":1.5}"#.into(),
            "field `timestamp` is 1.5, expected RFC 3339 text or whole microseconds since 1970",
        ),
        (
            r#"{"source":"s","tag":"t","value":1,"timestamp":"2970-01-01T00:00:00Z"}"#.into(),
            "field `timestamp` is 2970-01-01T00:00:00Z, more than 86400 s after now \
             (1970-01-12T13:46:40Z)",
        ),
    ];
    for (line, expected) in table {
        assert_eq!(
            parse(&line).unwrap_err().to_string(),
            expected,
            "line {line}"
        );
    }
}

#[test]
fn a_line_over_a_mebibyte_and_one_that_is_not_utf_8_are_refused() {
    let long = vec![b' '; ndjson::LINE_BYTES_MAX + 1];
    assert_eq!(
        ndjson::parse(&long, &limit()).unwrap_err().to_string(),
        "field `line` has 1048577 bytes, the limit is 1048576"
    );
    let error = ndjson::parse(b"{\"source\":\"\xff\"}", &limit()).unwrap_err();
    assert_eq!(error.to_string(), "invalid UTF-8 at byte 11");
}

proptest! {
    #[test]
    fn law_11_input_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = ndjson::parse(&bytes, &limit());
    }

    #[test]
    fn law_11_almost_json_never_panics(text in r#"[{}\[\]":,a-z0-9eE.+\\-]{0,60}"#) {
        let _ = ndjson::parse(format!(r#"{{"source":"s","value":{text}"#).as_bytes(), &limit());
    }

    #[test]
    fn what_is_written_is_read_back(
        source in "[^\\p{Cc}]{1,40}",
        tag in "[^\\p{Cc}]{1,40}",
        number in any::<f64>(),
    ) {
        prop_assume!(number.is_finite());
        let line = serde_json::json!({"source": source, "tag": tag, "value": number}).to_string();
        let record = parse(&line).unwrap();
        prop_assert_eq!(record.source.as_str(), source);
        prop_assert_eq!(record.tag.as_str(), tag);
        let Value::F64(read) = record.value else { panic!("not a float: {:?}", record.value) };
        prop_assert_eq!(read, number, "floats come back to the last bit");
    }
}
