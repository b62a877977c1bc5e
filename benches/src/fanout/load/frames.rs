//! A lean reader of what a WebSocket server sends: frames without a mask, one after the other.
//!
//! It hands out each payload where it lies in the buffer it was read into. What a read ends in the
//! middle of is kept for the next one. Continuations are handed out as they come; a mark that is
//! split between two of them would be missed, and no server here splits messages.

use anyhow::{Result, bail};

/// A frame may have so many bytes.
const BYTES_MAX: usize = 64 << 20;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, binary, or the continuation of one.
    Message,
    Close,
    Ping,
    Pong,
}

/// The beginning of a frame that is not all there.
#[derive(Default)]
pub(super) struct Frames {
    kept: Vec<u8>,
}

/// The first frame of some bytes.
enum First<'a> {
    Frame(Kind, &'a [u8], usize),
    /// So many bytes are needed at least.
    Needs(usize),
}

impl Frames {
    /// Calls `frame` with every frame that is complete with these bytes.
    pub(super) fn read(&mut self, bytes: &[u8], mut frame: impl FnMut(Kind, &[u8])) -> Result<()> {
        let mut rest = bytes;
        // Only the frame that was begun is copied.
        while !self.kept.is_empty() {
            match first(&self.kept)? {
                First::Frame(kind, payload, _) => {
                    frame(kind, payload);
                    self.kept.clear();
                }
                First::Needs(needed) => {
                    let more = (needed - self.kept.len()).min(rest.len());
                    if more == 0 {
                        return Ok(());
                    }
                    self.kept.extend_from_slice(&rest[..more]);
                    rest = &rest[more..];
                }
            }
        }
        while let First::Frame(kind, payload, length) = first(rest)? {
            frame(kind, payload);
            rest = &rest[length..];
        }
        self.kept.extend_from_slice(rest);
        // Ten thousand connections do not each keep the room of their longest frame.
        if self.kept.is_empty() && self.kept.capacity() > 16 << 10 {
            self.kept = Vec::new();
        }
        Ok(())
    }
}

fn first(bytes: &[u8]) -> Result<First<'_>> {
    let [head, length, rest @ ..] = bytes else {
        return Ok(First::Needs(2));
    };
    let kind = match head & 0x0f {
        0..=2 => Kind::Message,
        8 => Kind::Close,
        9 => Kind::Ping,
        10 => Kind::Pong,
        _ => bail!("no frame of a server: {head:02x} {length:02x}"),
    };
    let (before, payload) = match length {
        0..=125 => (2, usize::from(*length)),
        126 => match rest.first_chunk::<2>() {
            Some(length) => (4, usize::from(u16::from_be_bytes(*length))),
            None => return Ok(First::Needs(4)),
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => (10, u64::from_be_bytes(*length) as usize),
            None => return Ok(First::Needs(10)),
        },
        // Servers do not mask.
        _ => bail!("no frame of a server: {head:02x} {length:02x}"),
    };
    if payload > BYTES_MAX {
        bail!("no frame of a server: {head:02x} {length:02x}");
    }
    let end = before + payload;
    Ok(match bytes.get(before..end) {
        Some(payload) => First::Frame(kind, payload, end),
        None => First::Needs(end),
    })
}

/// A frame as a client sends it; masked with zeros, which changes nothing and is allowed.
pub(super) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length => {
            frame.push(0x80 | 126);
            let length = u16::try_from(length).expect("what this client says is short");
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..=125 => bytes.push(length as u8),
            length @ 126..=65_535 => {
                bytes.push(126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                bytes.push(127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn frames_are_found_however_reads_cut_them() {
        let payloads = [vec![1; 3], vec![2; 200], Vec::new(), vec![3; 70_000]];
        let mut bytes: Vec<u8> = payloads.iter().flat_map(|all| frame(2, all)).collect();
        bytes.extend(frame(9, b"?"));
        for step in [1, 2, 7, 199, 4096, bytes.len()] {
            let (mut frames, mut found) = (Frames::default(), Vec::new());
            for part in bytes.chunks(step) {
                let keep = |kind, payload: &[u8]| found.push((kind, payload.to_vec()));
                frames.read(part, keep).unwrap();
            }
            let (last, others) = found.split_last().unwrap();
            assert_eq!(*last, (Kind::Ping, b"?".to_vec()), "{step}");
            let others: Vec<&Vec<u8>> = others.iter().map(|(_, payload)| payload).collect();
            assert_eq!(others, payloads.iter().collect::<Vec<_>>(), "{step}");
        }
    }

    #[test]
    fn what_no_server_sends_is_an_error() {
        for bytes in [[0x83, 0], [0x81, 0x80]] {
            assert!(Frames::default().read(&bytes, |_, _| {}).is_err());
        }
    }
}
