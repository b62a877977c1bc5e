//! The part of an input that is in memory: what was read and not yet used.
//!
//! It grows with the piece that a reader needs to see at once, up to [`WINDOW_BYTES_MAX`]. A UTF-8
//! byte order mark at the start is dropped. It knows nothing of lines.

use std::io::{self, Read};

use record::ndjson::LINE_BYTES_MAX;

/// How much is asked of the system at once.
const CHUNK_BYTES: usize = 256 << 10;

/// The most bytes that can be seen at once: a line at its limit, its line end, and a chunk.
const WINDOW_BYTES_MAX: usize = LINE_BYTES_MAX + CHUNK_BYTES;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

pub(super) struct Window<R> {
    read: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    bytes_read: u64,
    ended: bool,
}

impl<R: Read> Window<R> {
    pub(super) fn new(read: R) -> Self {
        Self {
            read,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            bytes_read: 0,
            ended: false,
        }
    }

    /// What was read and not yet consumed.
    pub(super) fn unread(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// The next `length` bytes, which are consumed with that. They stay where they are until the
    /// next call of [`fill`](Self::fill).
    pub(super) fn take(&mut self, length: usize) -> &[u8] {
        let from = self.start;
        self.start = (from + length).min(self.end);
        &self.buffer[from..self.start]
    }

    /// Whether the input ended; what is unread is all there is then.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Reads on, once, and may wait for that. A full window is left as it is.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        let first = self.bytes_read == 0;
        self.read_once()?;
        // The mark must be seen whole before anything else is looked at.
        while first && !self.ended && is_part_of_mark(self.unread()) {
            self.read_once()?;
        }
        if first && self.unread().starts_with(BYTE_ORDER_MARK) {
            self.start += BYTE_ORDER_MARK.len();
        }
        Ok(())
    }

    fn read_once(&mut self) -> io::Result<()> {
        if self.ended {
            return Ok(());
        }
        self.make_room();
        loop {
            match self.read.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    self.ended = self.end < self.buffer.len();
                    return Ok(());
                }
                Ok(count) => {
                    self.end += count.min(self.buffer.len() - self.end);
                    self.bytes_read += count as u64;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Room for a good read: moves what is unread to the front when the rear is short, and grows
    /// when that is not enough.
    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.buffer.len() - self.end >= CHUNK_BYTES / 2 {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() - self.end < CHUNK_BYTES / 2 {
            let length = (self.buffer.len() * 2).clamp(CHUNK_BYTES, WINDOW_BYTES_MAX);
            self.buffer.resize(length, 0);
        }
    }
}

fn is_part_of_mark(bytes: &[u8]) -> bool {
    bytes.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_dropped_even_when_it_comes_byte_by_byte() {
        struct Drip(&'static [u8]);
        impl Read for Drip {
            fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
                let Some((first, rest)) = self.0.split_first() else {
                    return Ok(0);
                };
                into[0] = *first;
                self.0 = rest;
                Ok(1)
            }
        }
        let table: [(&[u8], &[u8]); 4] = [
            (b"\xEF\xBB\xBFab", b"ab"),
            (b"\xEF\xBBab", b"\xEF\xBBab"),
            (b"\xEF\xBB\xBF", b""),
            (b"a\xEF\xBB\xBF", b"a\xEF\xBB\xBF"),
        ];
        for (input, expected) in table {
            let mut window = Window::new(Drip(input));
            while !window.ended() {
                window.fill().unwrap();
            }
            assert_eq!(window.unread(), expected, "input {input:?}");
            assert_eq!(window.bytes_read(), input.len() as u64);
        }
    }

    #[test]
    fn law_2_the_window_never_grows_past_its_limit() {
        let mut window = Window::new(io::repeat(b'x'));
        for _ in 0..100 {
            window.fill().unwrap();
        }
        assert!(window.unread().len() > LINE_BYTES_MAX + 2);
        assert!(window.buffer.len() <= WINDOW_BYTES_MAX);
        window.take(usize::MAX);
        window.fill().unwrap();
        assert!(!window.unread().is_empty());
    }
}
