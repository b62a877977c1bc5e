//! What the tests of readers share.

#![allow(dead_code, reason = "no test file uses all of it")]

use std::io::{self, Read};
use std::time::Duration;

use pipeline::source::{Item, Progress, ReadError, Reader};
use record::{FutureLimit, Record, Timestamp};

/// A limit with a clock of 2024-05-01T12:00:00Z and one day ahead.
pub(crate) fn limit() -> FutureLimit {
    let now = Timestamp::from_micros(1_714_564_800_000_000).unwrap();
    FutureLimit::new(now, Duration::from_secs(86_400))
}

/// Gives its bytes in pieces of these lengths, over and over.
pub(crate) struct Pieces {
    pub(crate) bytes: Vec<u8>,
    pub(crate) at: usize,
    pub(crate) lengths: Vec<usize>,
    pub(crate) turn: usize,
}

impl Pieces {
    pub(crate) fn new(bytes: impl Into<Vec<u8>>, lengths: &[usize]) -> Self {
        Self {
            bytes: bytes.into(),
            at: 0,
            lengths: lengths.to_vec(),
            turn: 0,
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.lengths[self.turn % self.lengths.len()];
        self.turn += 1;
        let rest = &self.bytes[self.at..];
        let count = length.min(rest.len()).min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

/// Reads to the end, `max` items at a time.
pub(crate) fn read_all(reader: &mut dyn Reader, max: usize) -> Result<Vec<Item>, ReadError> {
    let mut items = Vec::new();
    loop {
        let before = items.len();
        let progress = reader.read(&limit(), max, &mut items)?;
        if progress == Progress::End {
            break;
        }
        assert!(max == 0 || items.len() >= before);
    }
    let grows = items
        .windows(2)
        .all(|pair| pair[0].position < pair[1].position);
    assert!(grows, "positions must strictly increase");
    Ok(items)
}

/// `position source/tag=value quality @micros`, or `position ! reason <original>`.
pub(crate) fn show(item: &Item) -> String {
    let position = item.position;
    match &item.content {
        Ok(Record {
            timestamp,
            source,
            tag,
            value,
            quality,
            ..
        }) => {
            let time = timestamp.micros() - limit().now().micros();
            let quality = quality.as_str();
            format!("{position} {source}/{tag}={value:?} {quality} @{time}")
        }
        Err(malformed) => {
            let original = String::from_utf8_lossy(malformed.original());
            format!("{position} ! {} <{original}>", malformed.reason())
        }
    }
}

pub(crate) fn show_all(items: &[Item]) -> Vec<String> {
    items.iter().map(show).collect()
}
