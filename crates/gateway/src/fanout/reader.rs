//! The task of one client: reads what it says until the connection ends.
//!
//! Parsing is that of `tungstenite`: masks, fragments, UTF-8, control frames and limits. Its
//! answers, pongs and the close frame, go the way of all answers, between frames. While a client is
//! silent it costs this task, a read buffer of 2 KiB, and no timer.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocol::Encoding;
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

use super::connection::{Connection, Ending};
use super::obey::{obey, too_fast};
use super::pace::{Pace, Verdict};
use super::worker::Worker;
use crate::connections::Connected;

/// Bytes that a message of a client may have.
const MESSAGE_BYTES_MAX: usize = 64 << 10;
/// What each client costs while it is idle; the library's own choice is 128 KiB.
const READ_BUFFER_BYTES: usize = 2 << 10;
/// Messages of one client that are obeyed before others have their turn.
const MESSAGES_AT_ONCE: usize = 16;
/// Reads, of a buffer each, in which the parser may look for one message before others have their
/// turn: parts of a message without content never make one.
const READS_AT_ONCE: usize = 8;
/// Bytes in which a message has to come to its end, however many parts it comes in.
const BYTES_WITHOUT_MESSAGE_MAX: usize = 4 * MESSAGE_BYTES_MAX;
/// How a connection ends that an administrator disconnects, with a code of our own.
const CLOSED_BY_ADMIN: Ending = Ending::Close(4000, "an administrator closed it");
/// How long a client may take to answer a close frame.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Reads until the connection ends, then lets go of it.
pub(super) async fn serve(connection: Rc<Connection>, first: Bytes, worker: Rc<Worker>) {
    let _leaving = Leaving(&connection, &worker);
    let mut reader = Reader::new(&connection, &first, &worker);
    let ending = reader.read().await;
    worker.let_go(&connection);
    if let Ending::Close(code, reason) = ending {
        reader.close(code, reason).await;
    }
}

/// Gives back what a connection has when its task ends, also when it panics or is dropped.
struct Leaving<'a>(&'a Rc<Connection>, &'a Rc<Worker>);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(id = self.0.id, "the task of a connection panicked");
        }
        self.1.let_go(self.0);
        self.1.leave(self.0);
    }
}

struct Reader {
    context: WebSocketContext,
    /// The parser has refused something, and must not be asked again.
    is_parser_done: bool,
    link: Link,
    pace: RefCell<Pace>,
}

/// What the parser reads from and writes to.
struct Link {
    connection: Rc<Connection>,
    worker: Rc<Worker>,
    /// Reads that are left until others have their turn.
    reads_left: usize,
    /// Bytes that were read since the last message.
    unheard: usize,
}

impl Reader {
    fn new(connection: &Rc<Connection>, first: &Bytes, worker: &Rc<Worker>) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(MESSAGE_BYTES_MAX)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let first = first.to_vec();
        Self {
            context: WebSocketContext::from_partially_read(first, Role::Server, Some(config)),
            is_parser_done: false,
            link: Link {
                connection: Rc::clone(connection),
                worker: Rc::clone(worker),
                reads_left: READS_AT_ONCE,
                unheard: 0,
            },
            pace: RefCell::new(Pace::new(Instant::now())),
        }
    }

    /// Obeys what is said until the end, and says how it shall end.
    async fn read(&mut self) -> Ending {
        let connection = Rc::clone(&self.link.connection);
        let mut at_once = 0;
        loop {
            if let Some(ending) = connection.ending() {
                return ending;
            }
            self.link.reads_left = READS_AT_ONCE;
            match self.context.read(&mut self.link) {
                Ok(message) => {
                    self.link.unheard = 0;
                    self.heard(&message);
                    let cost = connection.cost();
                    let owed = self.pace.borrow_mut().charge(cost, Instant::now());
                    if !owed.is_zero() {
                        at_once = 0;
                        tokio::select! {
                            () = tokio::time::sleep(owed) => {}
                            () = connection.account.end().notified() => {
                                return connection.ending().unwrap_or(CLOSED_BY_ADMIN);
                            }
                        }
                    }
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    at_once = 0;
                    if self.link.unheard > BYTES_WITHOUT_MESSAGE_MAX {
                        return Ending::Close(1008, "the parts make no message");
                    }
                    if self.link.reads_left == 0 {
                        // It costs as much as a message does.
                        self.is_heard(&[]);
                        tokio::task::yield_now().await;
                        continue;
                    }
                    tokio::select! {
                        readable = connection.socket.readable() => {
                            if readable.is_err() {
                                return Ending::Cut;
                            }
                        }
                        () = connection.account.end().notified() => {
                            return connection.ending().unwrap_or(CLOSED_BY_ADMIN);
                        }
                    }
                    continue;
                }
                Err(error) => {
                    self.is_parser_done = true;
                    return match error {
                        Error::Capacity(_) => Ending::Close(1009, "the message is too long"),
                        Error::Utf8(_) => Ending::Close(1007, "the text is no UTF-8"),
                        Error::Protocol(_) => Ending::Close(1002, "that is no WebSocket"),
                        _ => Ending::Cut,
                    };
                }
            }
            at_once += 1;
            if at_once >= MESSAGES_AT_ONCE {
                at_once = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    fn heard(&self, message: &Message) {
        let Link {
            connection, worker, ..
        } = &self.link;
        // The parser answers a close frame, and says so with the next read.
        if matches!(message, Message::Close(_)) {
            return;
        }
        if !self.is_heard(&message.clone().into_data()) {
            return;
        }
        match (message, connection.encoding) {
            (Message::Text(text), Encoding::Json) => obey(connection, text.as_bytes(), worker),
            (Message::Binary(bytes), Encoding::MessagePack) => obey(connection, bytes, worker),
            (Message::Binary(_), Encoding::Json) => {
                connection.refuse("binary", "messages are JSON text", None, worker);
            }
            (Message::Text(_), Encoding::MessagePack) => {
                connection.refuse("text", "messages are MessagePack, binary", None, worker);
            }
            _ => {}
        }
    }

    /// Whether the pace of the client allows this message; it is told if not.
    fn is_heard(&self, message: &[u8]) -> bool {
        let Link {
            connection, worker, ..
        } = &self.link;
        match self.pace.borrow_mut().judge(Instant::now()) {
            Verdict::Heard => return true,
            Verdict::Refused => too_fast(connection, message, worker),
            Verdict::PassedOver => {}
            Verdict::CutOff => connection.end(Ending::Close(1008, "too many messages")),
        }
        false
    }

    /// Says why it is closed, and waits a moment for the answer.
    async fn close(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: reason.into(),
        };
        // What cannot be said any more is not waited for either.
        if self.context.close(&mut self.link, Some(frame)).is_err() {
            return;
        }
        let ended = async {
            match self.is_parser_done {
                true => self.pass_over().await,
                false => self.hear_answer().await,
            }
        };
        // It is closed either way.
        let _ = tokio::time::timeout(CLOSE_WITHIN, ended).await;
    }

    /// Comes when the client has answered the close frame, or is gone.
    async fn hear_answer(&mut self) {
        let connection = Rc::clone(&self.link.connection);
        loop {
            self.link.reads_left = READS_AT_ONCE;
            match self.context.read(&mut self.link) {
                Ok(_) => tokio::task::yield_now().await,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.link.reads_left == 0 {
                        tokio::task::yield_now().await;
                    } else if connection.socket.readable().await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }

    /// Comes when the client is gone. What it still says is thrown away: left unread, it would make
    /// the system cut the connection before the close frame is taken.
    async fn pass_over(&mut self) {
        let socket = &self.link.connection.socket;
        // On the heap, or each idle client would have room for it in its task.
        let mut bytes = vec![0; READ_BUFFER_BYTES];
        loop {
            match socket.try_read(&mut bytes) {
                Ok(0) => return,
                Ok(_) => tokio::task::yield_now().await,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if socket.readable().await.is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

impl Read for Link {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.reads_left.checked_sub(1) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let count = self.connection.socket.try_read(bytes)?;
        self.reads_left = left;
        self.unheard += count;
        if count > 0 {
            self.connection.heard.set(Instant::now());
        }
        Ok(count)
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let frame = Bytes::copy_from_slice(bytes);
        self.connection.say_bytes(&frame, &self.worker);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::account::Account;

    fn future_bytes<A, B, C, F>(_: fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn lesson_an_idle_client_costs_a_few_kilobytes() {
        let task = future_bytes(serve);
        let state = size_of::<Connection>() + size_of::<Account>();
        let all = READ_BUFFER_BYTES + task + state;
        assert!(
            all < 6 << 10,
            "{all} bytes, of them the task {task}, the state {state}"
        );
    }
}
