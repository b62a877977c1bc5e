//! Separated values: which records a table gives, and what is wrong with one that gives none.

#![cfg(feature = "csv")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod source_support;

use pipeline::source::{
    ColumnMap, CsvOptions, CsvReader, Decimal, Layout, ReadError, Reader, TimeUnit,
};
use record::{Position, Priority, ndjson::LINE_BYTES_MAX};
use source_support::{Pieces, limit, read_all, show_all};

fn long() -> CsvOptions {
    CsvOptions::default()
}

fn wide() -> CsvOptions {
    CsvOptions {
        layout: Layout::Wide,
        source: Some("plant".to_owned()),
        ..CsvOptions::default()
    }
}

fn map(text: &str) -> ColumnMap {
    text.parse().unwrap()
}

fn check(options: &CsvOptions, input: &str, expected: &[&str]) {
    check_bytes(options, input.as_bytes(), expected);
}

fn check_bytes(options: &CsvOptions, input: &[u8], expected: &[&str]) {
    for lengths in [&[usize::MAX][..], &[1], &[5, 2]] {
        let pieces = Pieces::new(input, lengths);
        let mut reader = CsvReader::new(pieces, options, Position::START).unwrap();
        let items = read_all(&mut reader, 3).unwrap();
        let input = String::from_utf8_lossy(input);
        assert_eq!(show_all(&items), expected, "input {input:?} by {lengths:?}");
    }
}

#[test]
fn a_long_table_gives_a_record_per_row_at_its_line() {
    check(
        &long(),
        "timestamp,source,tag,value,quality\n\
         2024-05-01 12:00:00,PLC01,D100,12.5,GOOD\n\
         2024-05-01T14:00:01+02:00,PLC01,D101,7,uncertain\n\
         \n\
         2024-05-01 12:00:02.5,PLC01, D102 ,007,\n",
        &[
            "2 PLC01/D100=F64(12.5) good @0",
            "3 PLC01/D101=I64(7) uncertain @1000000",
            "5 PLC01/D102=Text(Text(\"007\")) good @2500000",
        ],
    );
}

#[test]
fn old_names_in_any_case_and_a_mark_at_the_start_are_understood() {
    check(
        &long(),
        "\u{FEFF} Tag_Value ;PLC_CODE;tag_address;TimeStamp;other\r\n\
         1;p;t;2024-05-01 12:00:00;x\r\n",
        &["2 p/t=I64(1) good @0"],
    );
}

#[test]
fn priority_and_id_are_taken_over() {
    let input = "timestamp,source,tag,value,priority,id\n\
                 2024-05-01 12:00:00,s,t,1,High,a-1\n2024-05-01 12:00:00,s,t,1,,\n";
    let mut reader = CsvReader::new(input.as_bytes(), &long(), Position::START).unwrap();
    let items = read_all(&mut reader, 9).unwrap();
    let record = items[0].content.as_ref().unwrap();
    assert_eq!(record.priority, Some(Priority::High));
    assert_eq!(record.id.as_deref(), Some("a-1"));
    let record = items[1].content.as_ref().unwrap();
    assert_eq!((record.priority, record.id.as_deref()), (None, None));
}

#[test]
fn an_empty_cell_and_nan_are_null_and_bad_whatever_the_quality_says() {
    check(
        &long(),
        "timestamp,source,tag,value,quality\n\
         2024-05-01 12:00:00,s,t,,good\n\
         2024-05-01 12:00:00,s,t,NaN,\n\
         2024-05-01 12:00:00,s,t,0,bad\n",
        &[
            "2 s/t=Null bad @0",
            "3 s/t=Null bad @0",
            "4 s/t=I64(0) bad @0",
        ],
    );
}

#[test]
fn columns_are_mapped_and_constants_take_their_place() {
    let options = CsvOptions {
        map: map("timestamp=datetime,value=reading"),
        source: Some("plant".to_owned()),
        tag: Some("t1".to_owned()),
        ..long()
    };
    check(
        &options,
        "Datetime\tvalue\treading\n2024-05-01 12:00:00\tx\t3\n",
        &["2 plant/t1=I64(3) good @0"],
    );
}

#[test]
fn a_wide_table_gives_a_record_per_cell() {
    check(
        &wide(),
        "timestamp;T 1;value\n2024-05-01 12:00:00;1;\n\n2024-05-01 12:00:01;nan;x\n",
        &[
            "3 plant/T 1=I64(1) good @0",
            "4 plant/value=Null bad @0",
            "7 plant/T 1=Null bad @1000000",
            "8 plant/value=Text(Text(\"x\")) good @1000000",
        ],
    );
    // A source of its own per row, and a delimiter at the end of each line.
    let options = CsvOptions {
        source: None,
        ..wide()
    };
    check(
        &options,
        "timestamp,source,a,\n2024-05-01 12:00:00,s1,1,\n2024-05-01 12:00:00,s2,2\n",
        &["2 s1/a=I64(1) good @0", "3 s2/a=I64(2) good @0"],
    );
}

#[test]
fn a_decimal_comma_is_read_when_asked_for_and_thousands_are_not_guessed() {
    let options = CsvOptions {
        decimal: Decimal::Comma,
        ..wide()
    };
    check(
        &options,
        "timestamp;a;b;c;d;e\n2024-05-01 12:00:00;1,5;-2;1.234;1.234,5;1,2,3\n",
        &[
            "6 plant/a=F64(1.5) good @0",
            "7 plant/b=I64(-2) good @0",
            "8 plant/c=Text(Text(\"1.234\")) good @0",
            "9 plant/d=Text(Text(\"1.234,5\")) good @0",
            "10 plant/e=Text(Text(\"1,2,3\")) good @0",
        ],
    );
    check(
        &options,
        "timestamp,a\n2024-05-01 12:00:00,\"0,5\"\n",
        &["2 plant/a=F64(0.5) good @0"],
    );
}

#[test]
fn a_time_zone_holds_for_times_without_offset() {
    let options = CsvOptions {
        timezone: jiff::tz::TimeZone::get("Europe/Berlin").unwrap(),
        ..wide()
    };
    check(
        &options,
        "timestamp,a\n2024-05-01 14:00:00,1\n2024-05-01 12:00:00Z,2\n",
        &["2 plant/a=I64(1) good @0", "3 plant/a=I64(2) good @0"],
    );
}

#[test]
fn times_that_are_numbers_need_their_unit() {
    let input = "timestamp,a\n1714564800,1\n1714564801.5,2\n";
    let options = CsvOptions {
        time_unit: Some(TimeUnit::Seconds),
        ..wide()
    };
    check(
        &options,
        input,
        &["2 plant/a=I64(1) good @0", "3 plant/a=I64(2) good @1500000"],
    );
    let mut reader = CsvReader::new(input.as_bytes(), &wide(), Position::START).unwrap();
    let error = read_all(&mut reader, 9).unwrap_err();
    assert!(matches!(error, ReadError::TimeUnitMissing { line: 2, .. }));
    assert!(error.to_string().contains("--time-unit"), "{error}");
    // One number among times is that row's error.
    check(
        &wide(),
        "timestamp,a\n2024-05-01 12:00:00,1\n1714564800,2\n",
        &[
            "2 plant/a=I64(1) good @0",
            "3 ! line 3: field `timestamp` is 1714564800, a number without a unit \
             (`--time-unit`) <1714564800,2>",
        ],
    );
}

#[test]
fn law_9_one_bad_row_costs_one_row() {
    let good = "2024-05-01 12:00:00,s,t,1";
    let table = [
        (
            "2024-05-01 12:00:00,s,t",
            "the row has 3 cells, the header has 4",
        ),
        (
            "2024-05-01 12:00:00,s,t,1,2",
            "the row has 5 cells, the header has 4",
        ),
        (",s,t,1", "field `timestamp` is empty"),
        (
            "noon,s,t,1",
            "field `timestamp` is \"noon\", expected RFC 3339 (2024-05-01T12:00:00Z), \
             YYYY-MM-DD HH:MM:SS, or a number whose unit is named",
        ),
        (
            "2034-05-01 12:00:00,s,t,1",
            "field `timestamp` is 2034-05-01T12:00:00Z, more than 86400 s after now \
             (2024-05-01T12:00:00Z)",
        ),
        ("2024-05-01 12:00:00,,t,1", "field `source` is empty"),
        ("2024-05-01 12:00:00,s, ,1", "field `tag` is empty"),
        (
            "2024-05-01 12:00:00,s,\"t\",1,\"x,\"",
            "the row has 5 cells, the header has 4",
        ),
    ];
    for (row, reason) in table {
        check(
            &long(),
            &format!("timestamp,source,tag,value\n{good}\n{row}\r\n{good}\n"),
            &[
                "2 s/t=I64(1) good @0",
                &format!("3 ! line 3: {reason} <{row}>"),
                "4 s/t=I64(1) good @0",
            ],
        );
    }
    check_bytes(
        &wide(),
        b"timestamp,a,b\n2024-05-01 12:00:00,\xFF,1\n2024-05-01 12:00:00,1,2\n",
        &[
            "3 ! line 2: invalid UTF-8 at byte 20 <2024-05-01 12:00:00,\u{FFFD},1>",
            "5 plant/a=I64(1) good @0",
            "6 plant/b=I64(2) good @0",
        ],
    );
}

#[test]
fn a_quoted_cell_may_have_delimiters_quotes_and_line_ends() {
    check(
        &long(),
        "timestamp,source,tag,\"value\"\r\n\
         2024-05-01 12:00:00,\"s,1\",t,\"a \"\"b\"\"\r\nc\"\r\n\
         \"2024-05-01 12:00:00\",s,t,5\" pipe\n",
        &[
            "2 s,1/t=Text(Text(\"a \\\"b\\\"\\r\\nc\")) good @0",
            "4 s/t=Text(Text(\"5\\\" pipe\")) good @0",
        ],
    );
}

#[test]
fn law_9_a_quote_that_is_never_closed_costs_its_line_and_not_the_rest() {
    let good = "2024-05-01 12:00:00,s,t,1";
    let header = "timestamp,source,tag,value";
    check(
        &long(),
        &format!("{header}\n2024-05-01 12:00:00,s,\"t,1\n{good}\n{good}\n"),
        &[
            "2 ! line 2: a quote is opened and not closed within 1048576 bytes or before the end \
             of the input <2024-05-01 12:00:00,s,\"t,1>",
            "3 s/t=I64(1) good @0",
            "4 s/t=I64(1) good @0",
        ],
    );
}

#[test]
fn law_2_unclosed_quotes_over_a_large_file_take_neither_memory_nor_time() {
    // Each of these lines opens a quote, whether it begins within one or not.
    let line = "x\",\"y\n";
    let count = 3 * LINE_BYTES_MAX / line.len();
    let input = format!("timestamp,a\n{}2024-05-01 12:00:00,1\n", line.repeat(count));
    for lengths in [&[usize::MAX][..], &[4096, 1]] {
        let pieces = Pieces::new(input.as_bytes(), lengths);
        let mut reader = CsvReader::new(pieces, &wide(), Position::START).unwrap();
        let items = read_all(&mut reader, 1000).unwrap();
        assert_eq!(items.len(), count + 1);
        assert!(items[..count].iter().all(|item| item.content.is_err()));
        assert!(items[count].content.is_ok());
    }
}

#[test]
fn law_2_a_row_over_one_mib_is_malformed_whether_quoted_or_not() {
    for quote in ["", "\""] {
        let long_cell = "x".repeat(2 * LINE_BYTES_MAX);
        let input = format!(
            "timestamp,a\n2024-05-01 12:00:00,{quote}{long_cell}{quote}\n2024-05-01 12:00:00,1\n"
        );
        let pieces = Pieces::new(input.as_bytes(), &[65_536]);
        let mut reader = CsvReader::new(pieces, &wide(), Position::START).unwrap();
        let items = read_all(&mut reader, 9).unwrap();
        let malformed = items[0].content.as_ref().unwrap_err();
        assert!(
            malformed.reason().contains("the limit is 1048576"),
            "{}",
            malformed.reason()
        );
        assert_eq!(malformed.original().len(), LINE_BYTES_MAX);
        assert_eq!(show_all(&items[1..]), ["3 plant/a=I64(1) good @0"]);
    }
}

#[test]
fn an_empty_file_is_a_table_without_rows() {
    for input in [
        "",
        "\n",
        " \r\n\n",
        "\u{FEFF}",
        "timestamp,source,tag,value\n",
    ] {
        check(&long(), input, &[]);
    }
}

#[test]
fn a_run_can_be_resumed_in_the_middle_of_a_wide_row() {
    let input = "timestamp,a,b,c\n2024-05-01 12:00:00,1,2,3\nbad\n2024-05-01 12:00:00,4,5,6\n";
    let read_after = |position| {
        let start_after = Position::new(position);
        let mut reader = CsvReader::new(input.as_bytes(), &wide(), start_after).unwrap();
        let items = read_all(&mut reader, 2).unwrap();
        (items, reader.skipped())
    };
    let (all, _) = read_after(0);
    let numbers: Vec<u64> = all.iter().map(|item| item.position.number()).collect();
    assert_eq!(numbers, [4, 5, 6, 7, 10, 11, 12]);
    for position in 0..14 {
        let at = numbers.iter().filter(|number| **number <= position).count();
        assert_eq!(
            read_after(position),
            (all[at..].to_vec(), at as u64),
            "after {position}"
        );
    }
    assert!(
        limit()
            .check(all[0].content.as_ref().unwrap().timestamp)
            .is_ok()
    );
}
