//! The reader of tables against the `csv` crate, on random tables in random pieces.

#![cfg(feature = "csv")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod source_support;

use pipeline::source::{CsvOptions, CsvReader, Item, Layout, Reader, TimeUnit};
use proptest::prelude::*;
use record::Position;
use source_support::{Pieces, read_all};

const HEADER: &str = "timestamp,a,b\n";

fn options() -> CsvOptions {
    CsvOptions {
        layout: Layout::Wide,
        source: Some("s".to_owned()),
        time_unit: Some(TimeUnit::Seconds),
        ..CsvOptions::default()
    }
}

fn read(input: &[u8], lengths: &[usize], max: usize, start_after: u64) -> (Vec<Item>, u64) {
    let start_after = Position::new(start_after);
    let mut reader = CsvReader::new(Pieces::new(input, lengths), &options(), start_after).unwrap();
    let items = read_all(&mut reader, max).unwrap();
    (items, reader.skipped())
}

/// Cells as a program would write them: quoted where they must be, and sometimes where not.
fn cell() -> impl Strategy<Value = (String, bool)> {
    (r#"[ -~äß]{0,8}|[0-9,"\r\n]{0,6}"#, any::<bool>())
}

fn written((text, quoted): &(String, bool)) -> String {
    if *quoted || text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.clone()
    }
}

/// Bytes in which quotes, delimiters and line ends are frequent.
fn rubbish() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => prop::sample::select(&b"\"\",,\n\r1x "[..]),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..120)
}

proptest! {
    #[test]
    fn cells_of_a_well_formed_table_are_those_that_were_written(
        rows in prop::collection::vec((cell(), cell()), 0..12),
        lengths in prop::collection::vec(1usize..40, 1..6),
        max in 1usize..8,
    ) {
        let mut input = HEADER.to_owned();
        let mut lines = Vec::new();
        for (a, b) in &rows {
            lines.push(input.matches('\n').count() as u64 + 1);
            input += &format!("2024-05-01 12:00:00,{},{}\r\n", written(a), written(b));
        }
        let mut reader = csv::Reader::from_reader(input.as_bytes());
        let mut expected = Vec::new();
        for (row, line) in reader.records().zip(lines) {
            for (index, cell) in row.unwrap().iter().skip(1).enumerate() {
                let position = (line - 1) * 2 + index as u64 + 1;
                expected.push((position, record::Value::infer(cell).unwrap()));
            }
        }
        let found: Vec<_> = read(input.as_bytes(), &lengths, max, 0)
            .0
            .into_iter()
            .map(|item| (item.position.number(), item.content.unwrap().value))
            .collect();
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn law_11_arbitrary_bytes_never_panic_and_give_the_same_in_any_pieces(
        rubbish in rubbish(),
        lengths in prop::collection::vec(1usize..20, 1..6),
        max in 1usize..8,
    ) {
        let mut input = HEADER.as_bytes().to_vec();
        input.extend_from_slice(&rubbish);
        let whole = read(&input, &[usize::MAX], 1000, 0);
        prop_assert_eq!(&read(&input, &lengths, max, 0), &whole);
        // What is not blank gives something, if only what is wrong with it.
        let mut lines = rubbish.split(|byte| *byte == b'\n');
        let is_filled = lines.any(|line| !line.trim_ascii().is_empty());
        prop_assert_eq!(is_filled, !whole.0.is_empty());
    }

    #[test]
    fn law_11_arbitrary_bytes_as_a_header_never_panic(header in rubbish()) {
        if let Ok(mut reader) =
            CsvReader::new(Pieces::new(&header[..], &[3]), &options(), Position::START)
        {
            let _ = read_all(&mut reader, 10);
        }
    }

    #[test]
    fn law_8_a_reader_that_starts_after_a_position_gives_the_tail_of_the_full_run(
        rubbish in rubbish(),
        rows in 0usize..5,
        start_after in 0u64..40,
    ) {
        let mut input = HEADER.as_bytes().to_vec();
        input.extend_from_slice(&b"2024-05-01 12:00:00,1,2\n".repeat(rows));
        input.extend_from_slice(&rubbish);
        input.extend_from_slice(&b"\n2024-05-01 12:00:00,1,2\n".repeat(rows));
        let (all, _) = read(&input, &[11], 5, 0);
        let (items, skipped) = read(&input, &[11], 5, start_after);
        let at = all
            .iter()
            .filter(|item| item.position.number() <= start_after)
            .count();
        prop_assert_eq!(&items[..], &all[at..]);
        prop_assert_eq!(skipped, at as u64);
    }
}
