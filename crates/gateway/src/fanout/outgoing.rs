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
    answers: Vec<u8>,
    /// Since when nothing was taken though there is something.
    blocked_since: Option<Instant>,
    /// Bytes that were taken.
    written: u64,
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

    /// Begins to send a frame, unless something is under way.
    pub(super) fn offer(
        &mut self,
        frame: &Bytes,
        now: Instant,
        socket: &impl TryWrite,
    ) -> Result<Offered, Broken> {
        if !self.is_clear() {
            return Ok(Offered::Behind);
        }
        let taken = self.write(frame, now, socket)?;
        if taken < frame.len() {
            self.rest = frame.slice(taken..);
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
        if socket.holds_back() && socket.push().map_err(|_| Broken)? > 0 {
            self.blocked_since = Some(now);
        }
        loop {
            if self.rest.is_empty() {
                self.rest = std::mem::take(&mut self.answers).into();
            }
            if self.rest.is_empty() && !socket.holds_back() {
                self.blocked_since = None;
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
        let is_held_up = taken < bytes.len() || socket.holds_back();
        if is_held_up && (taken > 0 || self.blocked_since.is_none()) {
            self.blocked_since = Some(now);
        }
        Ok(taken)
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
    fn a_client_that_takes_a_little_is_not_blocked() {
        let (start, room) = (Instant::now(), Room::default());
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut outgoing = Outgoing::default();
        outgoing
            .offer(&Bytes::from(vec![0; 100]), start, &room)
            .unwrap();
        assert_eq!(outgoing.blocked_for(after(9)), Duration::from_secs(9));
        room.bytes.set(1);
        assert_eq!(outgoing.flush(after(9), &room), Ok(false));
        assert_eq!(outgoing.blocked_for(after(12)), Duration::from_secs(3));
        // Asking again without room is no progress.
        assert_eq!(outgoing.flush(after(13), &room), Ok(false));
        assert_eq!(outgoing.blocked_for(after(14)), Duration::from_secs(5));
    }
}
