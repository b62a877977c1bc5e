//! Which column gives what, and tables that are refused when they are opened.

#![cfg(feature = "csv")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod source_support;

use pipeline::source::{COLUMNS_MAX, ColumnMap, CsvOptions, CsvReader, Layout};
use record::Position;
use source_support::Pieces;

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

fn refused(options: &CsvOptions, input: &str) -> String {
    match CsvReader::new(Pieces::new(input, &[7]), options, Position::START) {
        Ok(_) => panic!("{input:?} was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_table_without_usable_columns_is_refused_with_its_columns_and_the_cure() {
    let unmapped = "datetime,source,tag,value\n";
    let with_map = |text| CsvOptions {
        map: map(text),
        ..long()
    };
    let no_source = CsvOptions {
        source: None,
        ..wide()
    };
    let bad_source = CsvOptions {
        source: Some("a\tb".to_owned()),
        ..long()
    };
    let bad_delimiter = CsvOptions {
        delimiter: Some(b'"'),
        ..long()
    };
    let table = [
        (
            long(),
            unmapped,
            "no column gives the timestamp; the columns are `datetime`, `source`, `tag`, \
             `value`; name one with `--map timestamp=COLUMN`",
        ),
        (
            long(),
            "timestamp,source,tag,reading\n",
            "--map value=COLUMN",
        ),
        (long(), "timestamp,tag,value\n", "--source NAME"),
        (long(), "timestamp,source,value\n", "--tag NAME"),
        (no_source, "timestamp,a\n", "--source NAME"),
        (wide(), "timestamp\n", "a wide file needs a column per tag"),
        (
            wide(),
            "timestamp,a,,b\n",
            "line 1: column 3 of the header has no name",
        ),
        (
            wide(),
            "\ntimestamp,a,a\n",
            "line 2: the header has two columns `a`",
        ),
        (
            long(),
            "tag,Tag_Address,timestamp,source,value\n",
            "both give the tag",
        ),
        (
            with_map("timestamp=time"),
            unmapped,
            "`--map timestamp=time`: there is no such column",
        ),
        (bad_source, "timestamp,source,tag,value\n", "`--source`: "),
        (bad_delimiter, unmapped, "the delimiter cannot be '\"'"),
        (
            long(),
            "timestamp,\"source\n2024,1\n",
            "a quote is opened and not closed",
        ),
    ];
    for (options, input, expected) in table {
        let error = refused(&options, input);
        assert!(
            error.contains(expected),
            "{error:?} for {input:?} lacks {expected:?}"
        );
    }
    let many = format!("timestamp{}\n", ",".repeat(COLUMNS_MAX));
    assert!(refused(&long(), &many).contains("the limit is 16384"));
}

#[test]
fn a_map_that_cannot_be_understood_is_refused() {
    for text in [
        "timestamp",
        "when=x",
        "tag=",
        "tag=a,tag=b",
        "tag=a,plc_code=b,source=c",
    ] {
        assert!(text.parse::<ColumnMap>().is_err(), "map {text:?}");
    }
    assert_eq!(map(""), ColumnMap::default());
}

#[test]
fn the_delimiter_that_gives_known_columns_is_found() {
    let table = [
        ("timestamp,source,tag,value", b','),
        ("timestamp;source;tag;value (a, b, c, d, e)", b';'),
        ("timestamp\tsource\ttag\tvalue", b'\t'),
        ("\"timestamp\";\"source\";\"tag\";\"value\"", b';'),
    ];
    for (header, expected) in table {
        let input = format!("{header}\n");
        let found = CsvReader::new(input.as_bytes(), &long(), Position::START);
        let delimiter = found.map(|reader| reader.delimiter());
        if header.contains('(') {
            assert!(
                delimiter
                    .unwrap_err()
                    .to_string()
                    .contains("--map value=COLUMN")
            );
        } else {
            assert_eq!(delimiter.unwrap(), expected, "header {header:?}");
        }
    }
}
