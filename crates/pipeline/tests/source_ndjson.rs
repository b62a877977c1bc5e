//! Newline-delimited JSON: what becomes of each line, however it comes in.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod source_support;

use std::io::{self, Read};

use pipeline::source::{Item, NdjsonReader, Progress, ReadError, Reader};
use proptest::prelude::*;
use record::{Malformed, Position, ndjson};
use source_support::{Pieces, limit, read_all, show_all};

const GOOD: &str = r#"{"source":"s","tag":"t","value":1,"timestamp":1714564800000000}"#;
const SHOWN: &str = "s/t=I64(1) good @0";

fn check(input: &[u8], expected: &[&str]) {
    for lengths in [&[usize::MAX][..], &[1], &[3, 1, 7]] {
        let mut reader = NdjsonReader::new(Pieces::new(input, lengths), Position::START);
        let items = read_all(&mut reader, 10).unwrap();
        let input = String::from_utf8_lossy(input);
        assert_eq!(show_all(&items), expected, "input {input:?} by {lengths:?}");
        assert_eq!(reader.skipped(), 0);
    }
}

#[test]
fn a_position_is_a_line_and_blank_lines_are_lines_but_no_items() {
    let one = format!("1 {SHOWN}");
    let two = format!("2 {SHOWN}");
    let four = format!("4 {SHOWN}");
    check(b"", &[]);
    check(b"\n \n\t\r\n", &[]);
    check(GOOD.as_bytes(), &[&one]);
    check(format!("{GOOD}\n").as_bytes(), &[&one]);
    check(format!("{GOOD}\r\n{GOOD}\r\n").as_bytes(), &[&one, &two]);
    check(format!("{GOOD}\n\n \r\n{GOOD}").as_bytes(), &[&one, &four]);
    check(format!("\u{FEFF}{GOOD}\n").as_bytes(), &[&one]);
    check(format!("  {GOOD}  \n").as_bytes(), &[&one]);
}

#[test]
fn a_malformed_line_is_one_item_with_line_reason_and_original() {
    check(
        b"{\"source\":\"s\",\"value\":1}\r\n",
        &["1 ! line 1: field `tag` is missing <{\"source\":\"s\",\"value\":1}>"],
    );
    check(
        b"\n[1]",
        &["2 ! line 2: expected a JSON object, found an array <[1]>"],
    );
    check(
        b"{\"source\":\"s\",\"tag\":\"t\",\"value\":NaN}",
        &["1 ! line 1: invalid JSON at column 33: expected value \
           <{\"source\":\"s\",\"tag\":\"t\",\"value\":NaN}>"],
    );
    check(
        b"{\"source\":\"s\",\"tag\":\"t\",\"value\":1,\"timestamp\":\"2034-05-01T12:00:00Z\"}",
        &[
            "1 ! line 1: field `timestamp` is 2034-05-01T12:00:00Z, more than 86400 s after now \
           (2024-05-01T12:00:00Z) \
           <{\"source\":\"s\",\"tag\":\"t\",\"value\":1,\"timestamp\":\"2034-05-01T12:00:00Z\"}>",
        ],
    );
    let bad_text = format!("{GOOD}\n\"\u{FF}\"\n{GOOD}\n").into_bytes();
    let bad_text: Vec<u8> = bad_text.into_iter().filter(|byte| *byte != 0xC3).collect();
    check(
        &bad_text,
        &[
            &format!("1 {SHOWN}"),
            "2 ! line 2: invalid UTF-8 at byte 1 <\"\u{FFFD}\">",
            &format!("3 {SHOWN}"),
        ],
    );
}

#[test]
fn law_2_a_line_over_one_mib_is_reported_once_with_its_length_and_its_beginning() {
    let mib = ndjson::LINE_BYTES_MAX;
    for (length, end) in [
        (mib + 1, "\n"),
        (mib + 1, "\r\n"),
        (3 * mib, "\n"),
        (3 * mib, ""),
    ] {
        let mut input = vec![b'x'; length];
        input.extend_from_slice(end.as_bytes());
        input.extend_from_slice(if end.is_empty() { b"" } else { GOOD.as_bytes() });
        for lengths in [&[usize::MAX][..], &[65_536], &[100_000, 1]] {
            let mut reader = NdjsonReader::new(Pieces::new(&input[..], lengths), Position::START);
            let items = read_all(&mut reader, 10).unwrap();
            let malformed = items[0].content.as_ref().unwrap_err();
            assert_eq!(
                malformed.reason(),
                format!(
                    "line 1: the line has {length} bytes, the limit is 1048576; \
                     the first 1048576 bytes are kept"
                )
            );
            assert_eq!(malformed.original(), &input[..mib]);
            let rest = if end.is_empty() {
                vec![]
            } else {
                vec![format!("2 {SHOWN}")]
            };
            assert_eq!(show_all(&items[1..]), rest);
        }
    }
}

#[test]
fn a_line_of_exactly_one_mib_is_read() {
    for end in ["", "\n", "\r\n"] {
        let padding = " ".repeat(ndjson::LINE_BYTES_MAX - GOOD.len());
        let input = format!("{GOOD}{padding}{end}");
        let mut reader =
            NdjsonReader::new(Pieces::new(input.as_bytes(), &[65_536, 9]), Position::START);
        let items = read_all(&mut reader, 10).unwrap();
        assert_eq!(show_all(&items), [format!("1 {SHOWN}")], "line end {end:?}");
    }
}

#[test]
fn law_2_an_endless_line_returns_control_and_keeps_nothing() {
    let mut reader = NdjsonReader::new(io::repeat(b'x'), Position::START);
    let mut items = Vec::new();
    for _ in 0..20 {
        let progress = reader.read(&limit(), 10, &mut items).unwrap();
        assert_eq!(progress, Progress::More);
    }
    assert!(items.is_empty());
    assert!(reader.bytes_read() >= 20 << 20);
}

#[test]
fn law_5_lines_that_trickle_in_are_handed_out_without_waiting_for_more() {
    /// Gives one line, and panics when asked for another.
    struct Trickle(Option<Vec<u8>>);
    impl Read for Trickle {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let line = self
                .0
                .take()
                .expect("nothing was asked for while items were there");
            into[..line.len()].copy_from_slice(&line);
            Ok(line.len())
        }
    }
    let line = format!("{GOOD}\n").into_bytes();
    let mut reader = NdjsonReader::new(Trickle(Some(line)), Position::START);
    let mut items = Vec::new();
    let progress = reader.read(&limit(), 5000, &mut items).unwrap();
    assert_eq!((progress, items.len()), (Progress::More, 1));
}

#[test]
fn an_input_that_fails_keeps_what_was_read_and_names_the_line() {
    struct Failing(Option<Vec<u8>>);
    impl Read for Failing {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let Some(bytes) = self.0.take() else {
                return Err(io::Error::other("disk on fire"));
            };
            into[..bytes.len()].copy_from_slice(&bytes);
            Ok(bytes.len())
        }
    }
    let input = format!("{GOOD}\n{GOOD}\nhalf").into_bytes();
    let mut reader = NdjsonReader::new(Failing(Some(input)), Position::START);
    let mut items = Vec::new();
    let first = reader.read(&limit(), 10, &mut items).unwrap();
    assert_eq!((first, items.len()), (Progress::More, 2));
    let error = reader.read(&limit(), 10, &mut items).unwrap_err();
    assert!(matches!(error, ReadError::Io { line: 2, .. }));
    assert_eq!(
        error.to_string(),
        "cannot read on after line 2: disk on fire"
    );
}

/// What the reader should give, without any thought of memory or pieces.
fn model(input: &[u8]) -> Vec<Item> {
    let input = input.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(input);
    let mut items = Vec::new();
    for (index, line) in input.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let number = index as u64 + 1;
        items.push(Item {
            position: Position::new(number),
            content: ndjson::parse(line, &limit())
                .map_err(|error| Malformed::new(format!("line {number}: {error}"), line)),
        });
    }
    items
}

fn inputs() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        4 => Just(GOOD.as_bytes().to_vec()),
        1 => Just(Vec::new()),
        1 => prop::collection::vec(any::<u8>(), 0..30),
        1 => "[ -~]{0,30}".prop_map(String::into_bytes),
    ];
    let end = prop_oneof![Just(&b"\n"[..]), Just(&b"\r\n"[..])];
    let lines = prop::collection::vec((line, end), 0..20);
    (any::<bool>(), any::<bool>(), lines).prop_map(|(mark, open, lines)| {
        let mut input = if mark {
            b"\xEF\xBB\xBF".to_vec()
        } else {
            Vec::new()
        };
        for (line, end) in lines {
            input.extend_from_slice(&line);
            input.extend_from_slice(end);
        }
        if open {
            input.extend_from_slice(GOOD.as_bytes());
        }
        input
    })
}

proptest! {
    #[test]
    fn law_11_items_are_those_of_the_model_however_the_input_is_cut(
        input in inputs(),
        lengths in prop::collection::vec(1usize..50, 1..8),
        max in 1usize..10,
    ) {
        let mut reader = NdjsonReader::new(Pieces::new(&input[..], &lengths), Position::START);
        prop_assert_eq!(read_all(&mut reader, max).unwrap(), model(&input));
        prop_assert_eq!(reader.bytes_read(), input.len() as u64);
    }

    #[test]
    fn law_8_a_reader_that_starts_after_a_position_gives_the_tail_of_the_full_run(
        input in inputs(),
        start_after in 0u64..25,
    ) {
        let pieces = Pieces::new(&input[..], &[9]);
        let mut reader = NdjsonReader::new(pieces, Position::new(start_after));
        let items = read_all(&mut reader, 4).unwrap();
        let (head, tail): (Vec<_>, Vec<_>) = model(&input)
            .into_iter()
            .partition(|item| item.position.number() <= start_after);
        prop_assert_eq!(items, tail);
        prop_assert_eq!(reader.skipped(), head.len() as u64);
    }
}
