//! Opening an input: its format by its content, and an error that says what it is instead.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod source_support;

use std::path::{Path, PathBuf};

use pipeline::source::{Format, Input, OpenError, OpenOptions, detect, open, open_read};
use proptest::prelude::*;
use record::Position;
use source_support::{Pieces, read_all, show_all};

fn refused(input: &Input) -> OpenError {
    match open(input, &OpenOptions::default(), Position::START) {
        Ok(_) => panic!("{input} was opened"),
        Err(error) => error,
    }
}

#[test]
fn the_format_is_told_by_the_first_line_that_is_not_blank() {
    let table: [(&[u8], Option<Format>); 6] = [
        (b"", None),
        (b" \r\n\t\n", None),
        (b"\xEF\xBB\xBF", None),
        (b"{\"source\":\"s\"}\n", Some(Format::Ndjson)),
        (b"\xEF\xBB\xBF\n\n  {\"a\":1,\"b\":2}", Some(Format::Ndjson)),
        (b"{not json, but meant to be", Some(Format::Ndjson)),
    ];
    for (prefix, expected) in table {
        let found = detect(prefix, &OpenOptions::default());
        assert_eq!(
            found,
            Ok(expected),
            "prefix {:?}",
            String::from_utf8_lossy(prefix)
        );
    }
}

#[test]
fn a_header_is_known_by_a_delimiter_or_a_column_and_refused_without_tables() {
    let table: [&[u8]; 4] = [
        b"timestamp,source,tag,value\n1,2,3,4",
        b"a;b\n",
        b"a\tb",
        b"Timestamp\n",
    ];
    for prefix in table {
        let found = detect(prefix, &OpenOptions::default());
        let expected = cfg!(feature = "csv").then_some(Some(Format::Csv));
        assert_eq!(
            found.ok(),
            expected,
            "{:?}",
            String::from_utf8_lossy(prefix)
        );
    }
}

#[test]
fn what_is_no_input_is_named() {
    let table: [(&[u8], &str); 12] = [
        (b"\x1F\x8B\x08\0\0", "gzip-compressed data; unpack it first"),
        (b"\x28\xB5\x2F\xFD..", "zstd"),
        (b"PK\x03\x04....", "a ZIP archive or an .xlsx workbook"),
        (b"\xFF\xFEt\0i\0", "UTF-16 text; convert it to UTF-8"),
        (b"\xFE\xFF\0t\0i", "UTF-16"),
        (b"SQLite format 3\0....", "a SQLite database"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"abc\0def,x\n", "binary data (a NUL byte at offset 3)"),
        (
            b"  [{\"a\":1}]",
            "a JSON array, expected one JSON object per line",
        ),
        (b"{\n  \"a\": 1\n}\n", "goes over several lines"),
        (b"hello world\n", "the first line is \"hello world\""),
        (b"%PDF-1.7\n", "a PDF document"),
    ];
    for (prefix, expected) in table {
        let error = detect(prefix, &OpenOptions::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{error:?} lacks {expected:?}");
    }
}

#[test]
#[allow(
    clippy::needless_update,
    reason = "without tables there is no other option"
)]
fn a_named_format_is_believed_but_not_for_binary_data() {
    let options = OpenOptions {
        format: Some(Format::Ndjson),
        ..OpenOptions::default()
    };
    assert_eq!(detect(b"hello\n", &options), Ok(Some(Format::Ndjson)));
    assert!(detect(b"\x1F\x8B", &options).is_err());
    assert!(detect(b"he\0llo\n", &options).is_err());
}

#[test]
fn a_missing_file_a_directory_and_an_empty_file() {
    let directory = tempfile::tempdir().unwrap();
    let missing = Input::File(directory.path().join("missing.csv"));
    let error = refused(&missing);
    assert!(matches!(error, OpenError::NotFound { .. }), "{error}");
    assert!(
        error.to_string().ends_with("missing.csv: no such file"),
        "{error}"
    );

    let error = refused(&Input::File(directory.path().to_owned()));
    assert!(matches!(error, OpenError::Directory { .. }), "{error}");
    assert!(
        error
            .to_string()
            .ends_with("is a directory, expected a file"),
        "{error}"
    );

    let below_a_file = directory.path().join("empty");
    std::fs::write(&below_a_file, "").unwrap();
    let error = refused(&Input::File(below_a_file.join("x")));
    assert!(matches!(error, OpenError::Unreadable { .. }), "{error}");

    let mut reader = open(
        &Input::File(below_a_file),
        &OpenOptions::default(),
        Position::START,
    )
    .unwrap();
    assert_eq!(read_all(reader.as_mut(), 10).unwrap(), []);
}

#[test]
fn an_argument_of_one_dash_is_standard_input() {
    assert_eq!(Input::from_argument(Path::new("-")), Input::Stdin);
    assert_eq!(Input::Stdin.to_string(), "standard input");
    let file = Input::File(PathBuf::from("./-"));
    assert_eq!(Input::from_argument(Path::new("./-")), file);
}

#[test]
fn the_prefix_that_was_looked_at_is_read_too() {
    let line = "{\"source\":\"s\",\"tag\":\"t\",\"value\":1,\"timestamp\":1714564800000000}\n";
    let blank = "\n".repeat(70_000);
    let table = [
        (
            line.repeat(2),
            vec!["1 s/t=I64(1) good @0", "2 s/t=I64(1) good @0"],
        ),
        (format!("{blank}{line}"), vec!["70001 s/t=I64(1) good @0"]),
        #[cfg(feature = "csv")]
        (
            "timestamp,source,tag,value\n2024-05-01 12:00:00,s,t,1".to_owned(),
            vec!["2 s/t=I64(1) good @0"],
        ),
    ];
    for (input, expected) in table {
        for lengths in [&[1][..], &[100_000]] {
            let pieces = Pieces::new(input.as_bytes(), lengths);
            let options = OpenOptions::default();
            let mut reader = open_read(pieces, &Input::Stdin, &options, Position::START).unwrap();
            let items = read_all(reader.as_mut(), 10).unwrap();
            assert_eq!(show_all(&items), expected);
        }
    }
}

#[cfg(feature = "csv")]
#[test]
fn a_table_without_a_time_is_refused_with_the_name_of_the_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "when,source,tag,value\n").unwrap();
    let error = refused(&Input::File(file.path().to_owned())).to_string();
    assert!(
        error.starts_with(&file.path().display().to_string()),
        "{error}"
    );
    assert!(error.contains("--map timestamp=COLUMN"), "{error}");
}

proptest! {
    #[test]
    fn law_11_arbitrary_bytes_never_panic_when_opened(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        lengths in prop::collection::vec(1usize..40, 1..4),
    ) {
        let pieces = Pieces::new(bytes, &lengths);
        let options = OpenOptions::default();
        if let Ok(mut reader) = open_read(pieces, &Input::Stdin, &options, Position::START) {
            let _ = read_all(reader.as_mut(), 10);
        }
    }
}
