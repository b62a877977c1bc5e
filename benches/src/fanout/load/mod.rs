//! The load client: many connections in one thread, each read as soon as it can be.
//!
//! It does as little as it can for each update: frames are not copied, and the moment when an
//! update was due is found by scanning. What it checks is that each connection hears every update
//! once: their number, and the sum of the moments when they were due.

mod calls;
mod checking;
mod frames;
mod http;
mod poll;
mod tally;

use std::io::{BufRead, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

pub(super) use self::http::{PATH as STATUS_PATH, body_length};

use self::checking::Checking;
use self::frames::{Frames, Kind, masked};
use self::poll::Poll;
use self::tally::{Own, Tally};
use super::clock::now_us;
use super::plan::{Calls, Dialect, Heard, Ready, Window};
use super::update::Marks;

/// Read at a time, for all connections.
const READ_BYTES: usize = 256 << 10;
/// How often standard input is looked at.
const LOOK_EVERY_MS: u32 = 20;
/// How long all connections may take until they are ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Runs the load client over these streams until the input ends.
pub(super) fn run(input: impl BufRead + Send + 'static, mut output: impl Write) -> Result<()> {
    let lines = lines(input);
    let calls: Calls = serde_json::from_str(&lines.recv().context("no calls")?)?;
    if calls.dialect == Dialect::Http {
        return http::run(&calls, &lines, &mut output);
    }
    let mut client = Client::connect(&calls)?;
    client.until_ready()?;
    say(
        &mut output,
        &Ready {
            connected: calls.connections,
        },
    )?;
    let window = loop {
        client.pump(None)?;
        if let Some(line) = next_line(&lines)? {
            break serde_json::from_str(&line)?;
        }
    };
    say(&mut output, &client.listen(window)?)?;
    // Until there is no more to be told.
    while next_line(&lines).is_ok() {
        client.pump(None)?;
    }
    Ok(())
}

fn lines(input: impl BufRead + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in input.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// A line if there is one; an error at the end.
fn next_line(lines: &Receiver<String>) -> Result<Option<String>> {
    match lines.try_recv() {
        Ok(line) => Ok(Some(line)),
        Err(TryRecvError::Empty) => Ok(None),
        Err(TryRecvError::Disconnected) => anyhow::bail!("told nothing more"),
    }
}

fn say(output: &mut impl Write, line: &impl serde::Serialize) -> Result<()> {
    writeln!(output, "{}", serde_json::to_string(line)?)?;
    Ok(output.flush()?)
}

struct Socket {
    stream: TcpStream,
    frames: Frames,
    own: Own,
    is_ready: bool,
    is_gone: bool,
}

struct Client {
    dialect: Dialect,
    sockets: Vec<Socket>,
    /// How many of them, the first ones, read once all are connected.
    readers: usize,
    poll: Poll,
    marks: Marks,
    buffer: Vec<u8>,
    ready: usize,
    checking: Checking,
}

impl Client {
    fn connect(calls: &Calls) -> Result<Self> {
        let mut client = Self {
            dialect: calls.dialect,
            sockets: Vec::with_capacity(calls.connections),
            readers: calls.connections - calls.stalled,
            poll: Poll::new()?,
            marks: Marks::new(),
            buffer: vec![0; READ_BYTES],
            ready: 0,
            checking: Checking::start(calls.port, calls.checking)?,
        };
        for index in 0..calls.connections {
            let called =
                calls::call(calls, index).with_context(|| format!("connection {}", index + 1))?;
            client.poll.add(&called.stream, index)?;
            client.sockets.push(Socket {
                stream: called.stream,
                frames: Frames::default(),
                own: Own::default(),
                is_ready: calls.dialect == Dialect::Plain,
                is_gone: false,
            });
            client.ready += usize::from(calls.dialect == Dialect::Plain);
            client.take(index, &called.said, None)?;
            // What the server says meanwhile is not left to pile up.
            if index % 64 == 0 {
                client.pump_within(None, 0)?;
            }
        }
        Ok(client)
    }

    /// Until all may be told updates; those that are to stall are not read any more.
    fn until_ready(&mut self) -> Result<()> {
        let late_us = now_us() + READY_WITHIN.as_micros() as u64;
        while self.ready < self.sockets.len() || !self.checking.are_ready() {
            self.pump(None)?;
            ensure!(
                now_us() < late_us,
                "{} of {} connections are ready",
                self.ready,
                self.sockets.len()
            );
        }
        for socket in &self.sockets[self.readers..] {
            self.poll.remove(&socket.stream)?;
        }
        Ok(())
    }

    /// Until all that counts was heard, or is too late.
    fn listen(&mut self, window: Window) -> Result<Heard> {
        let mut tally = Tally::new(window)?;
        let until_us = tally.window().until_us;
        let late_us = until_us + tally.window().grace_us;
        loop {
            self.pump(Some(&mut tally))?;
            let now = now_us();
            let is_complete =
                || tally.is_complete(self.readers) && self.checking.are_complete(tally.window());
            if now >= late_us || now >= until_us && is_complete() {
                break;
            }
        }
        let readers = &self.sockets[..self.readers];
        let gone = readers.iter().filter(|socket| socket.is_gone).count() as u64;
        let checked = self.checking.judge(tally.window());
        let owns = readers.iter().map(|socket| &socket.own);
        Ok(Heard {
            checked,
            ..tally.heard(owns, gone, now_us())
        })
    }

    fn pump(&mut self, tally: Option<&mut Tally>) -> Result<()> {
        self.pump_within(tally, LOOK_EVERY_MS)
    }

    /// Reads what can be read.
    fn pump_within(&mut self, mut tally: Option<&mut Tally>, timeout_ms: u32) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        for index in self.poll.wait(timeout_ms)? {
            let socket = &mut self.sockets[index];
            match socket.stream.read(&mut buffer) {
                Ok(0) => self.lose(index)?,
                Ok(count) => self.take(index, &buffer[..count], tally.as_deref_mut())?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.lose(index)?,
            }
        }
        self.buffer = buffer;
        Ok(())
    }

    /// The server has ended a connection: it goes on without, and says so at the end.
    fn lose(&mut self, index: usize) -> Result<()> {
        let socket = &mut self.sockets[index];
        ensure!(socket.is_ready, "the server hung up before it was ready");
        socket.is_gone = true;
        self.poll.remove(&socket.stream)
    }

    fn take(&mut self, index: usize, bytes: &[u8], mut tally: Option<&mut Tally>) -> Result<()> {
        let socket = &mut self.sockets[index];
        let (dialect, marks) = (self.dialect, &self.marks);
        let now_us = now_us();
        if let Some(tally) = tally.as_deref_mut() {
            tally.read(bytes.len(), now_us);
        }
        let mut answers = Vec::new();
        let (was_ready, mut is_ready) = (socket.is_ready, socket.is_ready);
        let own = &mut socket.own;
        socket.frames.read(bytes, |kind, payload| match kind {
            Kind::Message => {
                if let Some(tally) = tally.as_deref_mut() {
                    marks.find(payload, |due_us, is_critical| {
                        tally.note(own, due_us, is_critical, now_us);
                    });
                }
                if !is_ready || dialect == Dialect::SocketIo {
                    is_ready |= welcome(dialect, payload, &mut answers);
                }
            }
            Kind::Ping => answers.extend(masked(10, payload)),
            Kind::Pong | Kind::Close => {}
        })?;
        socket.is_ready = is_ready;
        self.ready += usize::from(is_ready && !was_ready);
        if !answers.is_empty() {
            // A few bytes: there is room for them, or the connection is lost anyway.
            let _ = socket.stream.write_all(&answers);
        }
        Ok(())
    }
}

/// Answers what a server wants answered; whether updates follow from now on.
fn welcome(dialect: Dialect, message: &[u8], answers: &mut Vec<u8>) -> bool {
    match dialect {
        Dialect::Ours => {
            let is_error = memchr::memmem::find(message, b"\"type\":\"error\"").is_some();
            if is_error {
                eprintln!("the server: {}", String::from_utf8_lossy(message));
            }
            memchr::memmem::find(message, b"\"type\":\"snapshot\"").is_some()
        }
        Dialect::SocketIo => match message {
            // Engine.IO opens, Socket.IO is asked to connect to the main namespace.
            [b'0', ..] => {
                answers.extend(masked(1, b"40"));
                false
            }
            [b'2'] => {
                answers.extend(masked(1, b"3"));
                false
            }
            [b'4', b'0', ..] => true,
            _ => false,
        },
        Dialect::Plain | Dialect::Http => true,
    }
}
