//! What is on its way to one client: the rest of what was begun, and answers that wait for it.
//!
//! There is no queue. What a client may hold is one frame, which it shares with everybody who was
//! sent the same, and its own answers up to a limit. A frame that comes while something is under
//! way is not taken: then the client is behind, and is sent the newest state once all is gone.
//! Frames are whole, so what follows the rest always begins at the boundary of a frame.

use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Bytes of answers, pongs and errors that may wait for a client.
pub(super) const ANSWER_BYTES_MAX: usize = 128 << 10;

/// Bytes that have to be taken of what is under way to count as progress, unless it is all: one
/// that takes a byte now and then would hold a frame for ever.
const PROGRESS_BYTES: usize = 16 << 10;

/// Where the bytes go.
pub(super) trait TryWrite {
    /// Takes some of the bytes; an error of the kind `WouldBlock` when there is no room.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Whether it holds something back that [`push`](Self::push) would hand on.
    fn holds_back(&self) -> bool;

    /// Hands on what it holds back, as far as there is room; how many bytes.
    fn push(&self) -> io::Result<usize>;
}

/// What is on its way to one client.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    rest: Bytes,
    /// The frame that the rest is of.
    held: Option<Held>,
    answers: Vec<u8>,
    /// Bytes that were taken since the last progress.
    progress: usize,
    is_over: bool,
    /// Since when nothing was taken though there is something.
    blocked_since: Option<Instant>,
    /// Bytes that were taken.
    written: u64,
}

/// A frame that is kept for a client which has not taken all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Where it is: others that hold the same have it there too.
    pub(super) address: usize,
    pub(super) bytes: usize,
    pub(super) since: Instant,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// It is sent, or under way.
    Taken,
    /// Something else is under way.
    Behind,
}

/// Nothing more can be sent: the connection is broken, or too much waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl Outgoing {
    /// Whether nothing is under way.
    pub(super) fn is_clear(&self) -> bool {
        self.blocked_since.is_none()
    }

    /// For how long nothing was taken though there was something.
    pub(super) fn blocked_for(&self, now: Instant) -> Duration {
        self.blocked_since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// Since when nothing was taken though there is something.
    pub(super) fn blocked_since(&self) -> Option<Instant> {
        self.blocked_since
    }

    /// Bytes that were taken so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// The frame that is kept for it, if any.
    pub(super) fn held(&self) -> Option<Held> {
        self.held
    }

    /// Drops what is under way: nothing can be sent after that.
    pub(super) fn forget(&mut self) {
        *self = Self {
            is_over: true,
            written: self.written,
            ..Self::default()
        };
    }

    /// Begins to send a frame, unless something is under way.
    pub(super) fn offer(
        &mut self,
        frame: &Bytes,
        now: Instant,
        socket: &impl TryWrite,
    ) -> Result<Offered, Broken> {
        if self.is_over {
            return Err(Broken);
        }
        if !self.is_clear() {
            return Ok(Offered::Behind);
        }
        let taken = self.write(frame, now, socket)?;
        if taken < frame.len() {
            self.rest = frame.slice(taken..);
            self.held = Some(Held {
                address: frame.as_ptr().addr(),
                bytes: frame.len(),
                since: now,
            });
        }
        Ok(Offered::Taken)
    }

    /// Sends an answer, after what is under way.
    pub(super) fn say(
        &mut self,
        answer: &Bytes,
        now: Instant,
        socket: &impl TryWrite,
    ) -> Result<(), Broken> {
        if self.offer(answer, now, socket)? == Offered::Taken {
            return Ok(());
        }
        if self.answers.len() + answer.len() > ANSWER_BYTES_MAX {
            return Err(Broken);
        }
        self.answers.extend_from_slice(answer);
        Ok(())
    }

    /// Whether there is room for an answer that may be left out.
    pub(super) fn has_room_for(&self, answer: &Bytes) -> bool {
        self.answers.len() + answer.len() <= ANSWER_BYTES_MAX / 4
    }

    /// Sends more of what is under way; whether all is gone.
    pub(super) fn flush(&mut self, now: Instant, socket: &impl TryWrite) -> Result<bool, Broken> {
        if socket.holds_back() {
            let pushed = socket.push().map_err(|_| Broken)?;
            self.moved(pushed, now);
        }
        loop {
            if self.rest.is_empty() {
                self.held = None;
                self.rest = std::mem::take(&mut self.answers).into();
            }
            if self.rest.is_empty() && !socket.holds_back() {
                self.blocked_since = None;
                self.progress = 0;
                return Ok(true);
            }
            if self.rest.is_empty() {
                return Ok(false);
            }
            let rest = std::mem::take(&mut self.rest);
            let taken = self.write(&rest, now, socket)?;
            if taken < rest.len() {
                self.rest = rest.slice(taken..);
                return Ok(false);
            }
        }
    }

    /// Writes until all is taken or there is no more room; how many bytes were taken.
    fn write(
        &mut self,
        bytes: &[u8],
        now: Instant,
        socket: &impl TryWrite,
    ) -> Result<usize, Broken> {
        let mut taken = 0;
        while taken < bytes.len() {
            match socket.try_write(&bytes[taken..]) {
                Ok(0) => return Err(Broken),
                Ok(more) => taken += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Broken),
            }
        }
        self.written += taken as u64;
        if self.blocked_since.is_some() {
            self.moved(taken, now);
        } else if taken < bytes.len() || socket.holds_back() {
            self.blocked_since = Some(now);
        }
        Ok(taken)
    }

    /// So many bytes more are gone.
    fn moved(&mut self, bytes: usize, now: Instant) {
        self.progress += bytes;
        if self.progress >= PROGRESS_BYTES {
            self.progress = 0;
            self.blocked_since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// Takes so many bytes, then has no room.
    #[derive(Default)]
    struct Room {
        bytes: Cell<usize>,
        taken: RefCell<Vec<u8>>,
    }

    impl TryWrite for Room {
        fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.bytes.get());
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.bytes.set(self.bytes.get() - count);
            self.taken.borrow_mut().extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn holds_back(&self) -> bool {
            false
        }

        fn push(&self) -> io::Result<usize> {
            Ok(0)
        }
    }

    #[test]
    fn law_2_a_client_that_takes_nothing_holds_one_frame_and_bounded_answers() {
        let (now, room) = (Instant::now(), Room::default());
        let mut outgoing = Outgoing::default();
        room.bytes.set(3);
        let first = Bytes::from_static(b"first");
        assert_eq!(outgoing.offer(&first, now, &room), Ok(Offered::Taken));
        for _ in 0..1000 {
            let later = Bytes::from_static(b"later");
            assert_eq!(outgoing.offer(&later, now, &room), Ok(Offered::Behind));
        }
        let answer = Bytes::from(vec![b'a'; ANSWER_BYTES_MAX / 2]);
        assert_eq!(outgoing.say(&answer, now, &room), Ok(()));
        assert_eq!(outgoing.say(&answer, now, &room), Ok(()));
        assert_eq!(outgoing.say(&answer, now, &room), Err(Broken));
        assert!(!outgoing.has_room_for(&answer));
    }

    #[test]
    fn answers_go_out_between_frames_and_never_inside_of_one() {
        let (now, room) = (Instant::now(), Room::default());
        let mut outgoing = Outgoing::default();
        room.bytes.set(2);
        assert_eq!(
            outgoing.offer(&Bytes::from_static(b"frame"), now, &room),
            Ok(Offered::Taken)
        );
        outgoing
            .say(&Bytes::from_static(b"[pong]"), now, &room)
            .unwrap();
        room.bytes.set(4);
        assert_eq!(outgoing.flush(now, &room), Ok(false));
        room.bytes.set(100);
        assert_eq!(outgoing.flush(now, &room), Ok(true));
        assert!(outgoing.is_clear());
        assert_eq!(outgoing.written(), 11);
        assert_eq!(*room.taken.borrow(), b"frame[pong]");
    }

    #[test]
    fn law_2_who_takes_enough_is_not_blocked_and_who_takes_a_byte_now_and_then_is() {
        let (start, room) = (Instant::now(), Room::default());
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut outgoing = Outgoing::default();
        let frame = Bytes::from(vec![0; 3 * PROGRESS_BYTES]);
        outgoing.offer(&frame, start, &room).unwrap();
        assert_eq!(outgoing.blocked_for(after(9)), Duration::from_secs(9));
        room.bytes.set(PROGRESS_BYTES);
        assert_eq!(outgoing.flush(after(9), &room), Ok(false));
        assert_eq!(outgoing.blocked_for(after(12)), Duration::from_secs(3));
        // Asking again without room is no progress, and a byte is none either.
        assert_eq!(outgoing.flush(after(13), &room), Ok(false));
        room.bytes.set(1);
        assert_eq!(outgoing.flush(after(14), &room), Ok(false));
        assert_eq!(outgoing.blocked_for(after(15)), Duration::from_secs(6));
        assert_eq!(outgoing.held().map(|held| held.bytes), Some(frame.len()));
        room.bytes.set(2 * PROGRESS_BYTES);
        assert_eq!(outgoing.flush(after(15), &room), Ok(true));
        assert!(outgoing.is_clear() && outgoing.held().is_none());
    }

    #[test]
    fn what_is_forgotten_is_not_held_and_nothing_follows_it() {
        let (now, room) = (Instant::now(), Room::default());
        let mut outgoing = Outgoing::default();
        let frame = Bytes::from_static(b"frame");
        outgoing.offer(&frame, now, &room).unwrap();
        outgoing.forget();
        assert!(outgoing.held().is_none());
        room.bytes.set(100);
        assert_eq!(outgoing.say(&frame, now, &room), Err(Broken));
        assert!(room.taken.borrow().is_empty());
    }
}
