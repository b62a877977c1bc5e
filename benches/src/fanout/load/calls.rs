//! Connections before anything is measured: made one after the other, with blocking calls.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::net::{AddressFamily, SocketType};

use super::frames::masked;
use crate::fanout::plan::{Calls, Dialect};

/// How long a server may take to answer a request to connect.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Every update of every key, which is what the peers send too.
const SUBSCRIBE: &str =
    r#"{"type":"subscribe","id":"all","keys":["*"],"extract":{"kind":"since_last"}}"#;

/// A connection on which both sides may talk.
pub(super) struct Called {
    pub(super) stream: TcpStream,
    /// What the server said with or after its answer.
    pub(super) said: Vec<u8>,
}

/// Makes connection number `index`.
pub(super) fn call(calls: &Calls, index: usize) -> Result<Called> {
    let mut stream = connect(calls, index).context("cannot connect")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
    let path = match calls.dialect {
        Dialect::Http => {
            stream.set_nonblocking(true)?;
            return Ok(Called {
                stream,
                said: Vec::new(),
            });
        }
        Dialect::SocketIo => "/socket.io/?EIO=4&transport=websocket",
        Dialect::Plain | Dialect::Ours => "/ws",
    };
    // A key that is not random suffices to be let in; the answer to it is not checked.
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        calls.port
    )?;
    let said = read_head(&mut stream)?;
    if calls.dialect == Dialect::Ours {
        stream.write_all(&masked(1, SUBSCRIBE.as_bytes()))?;
    }
    stream.set_nonblocking(true)?;
    Ok(Called { stream, said })
}

/// From one of the addresses of loopback, so that neither ports nor a limit per address run short.
fn connect(calls: &Calls, index: usize) -> Result<TcpStream> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None)?;
    if calls.addresses > 1 {
        let last = u8::try_from(index % calls.addresses + 1)?;
        rustix::net::bind(
            &socket,
            &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 0),
        )?;
    }
    rustix::net::connect(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, calls.port))?;
    Ok(TcpStream::from(socket))
}

/// Reads the answer, and returns what came after it.
fn read_head(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let count = stream.read(&mut part).context("no answer")?;
        ensure!(count > 0, "the server hung up");
        bytes.extend_from_slice(&part[..count]);
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]);
            ensure!(head.starts_with("HTTP/1.1 101 "), "refused: {head}");
            return Ok(bytes.split_off(end + 4));
        }
        ensure!(bytes.len() < HEAD_BYTES_MAX, "an answer without an end");
    }
}
