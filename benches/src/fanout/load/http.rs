//! Requests over HTTP: on each connection the next one as soon as the last is answered.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::Receiver;

use anyhow::{Context, Result, ensure};

use super::poll::Poll;
use super::tally::{Own, Tally};
use super::{LOOK_EVERY_MS, calls, next_line, say};
use crate::fanout::clock::now_us;
use crate::fanout::plan::{Calls, Ready};

/// What is asked for.
pub(in crate::fanout) const PATH: &str = "/api/buffer/status";
const HEAD_END: &[u8] = b"\r\n\r\n";

struct Line {
    stream: TcpStream,
    answer: Vec<u8>,
    asked_us: u64,
}

/// Asks from the window's beginning to its end.
pub(super) fn run(calls: &Calls, lines: &Receiver<String>, output: &mut impl Write) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut all = Vec::with_capacity(calls.connections);
    for index in 0..calls.connections {
        let stream = calls::call(calls, index)?.stream;
        poll.add(&stream, index)?;
        all.push(Line {
            stream,
            answer: Vec::new(),
            asked_us: 0,
        });
    }
    let connected = all.len();
    say(output, &Ready { connected })?;
    let window = serde_json::from_str(&lines.recv().context("no window")?)?;
    let mut tally = Tally::new(window)?;
    let request = format!(
        "GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n",
        calls.port
    );
    for line in &mut all {
        line.ask(&request)?;
    }
    let mut buffer = vec![0; 64 << 10];
    while now_us() < tally.window().until_us {
        for index in poll.wait(LOOK_EVERY_MS)? {
            let line = &mut all[index];
            match line.stream.read(&mut buffer) {
                Ok(count) => {
                    ensure!(count > 0, "the server hung up");
                    line.answer.extend_from_slice(&buffer[..count]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            }
            if line.take_answer()? {
                tally.answered(line.asked_us, now_us());
                line.ask(&request)?;
            }
        }
    }
    let none: [Own; 0] = [];
    say(output, &tally.heard(none.iter(), 0, now_us()))?;
    while next_line(lines).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(u64::from(LOOK_EVERY_MS)));
    }
    Ok(())
}

impl Line {
    fn ask(&mut self, request: &str) -> Result<()> {
        self.asked_us = now_us();
        Ok(self.stream.write_all(request.as_bytes())?)
    }

    /// Whether all of an answer is there; then it is forgotten.
    fn take_answer(&mut self) -> Result<bool> {
        let Some(length) = answer_length(&self.answer)? else {
            return Ok(false);
        };
        let is_whole = self.answer.len() >= length;
        if is_whole {
            self.answer.drain(..length);
        }
        Ok(is_whole)
    }
}

/// How long the answer is, head and body, once its head is there. One that is not 200 is an error.
fn answer_length(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(end) = memchr::memmem::find(bytes, HEAD_END) else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end])?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "refused: {head}");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    Ok(Some(end + HEAD_END.len() + length.context("no length")?))
}

/// The length of the body that is answered.
pub(in crate::fanout) fn body_length(port: u16) -> Result<usize> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(
        stream,
        "GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let head = memchr::memmem::find(&answer, HEAD_END).context("no answer")? + HEAD_END.len();
    Ok(answer_length(&answer)?.context("no answer")? - head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_its_head_and_its_body() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nx: y\r\n\r\n{}";
        assert_eq!(answer_length(answer).unwrap(), Some(answer.len()));
        assert_eq!(answer_length(&answer[..20]).unwrap(), None);
        let refused = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
        assert!(answer_length(refused).is_err());
    }
}
