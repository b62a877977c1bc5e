//! What a client sends on `/ws` after the handshake, over the wire.
//!
//! The first byte chooses: bit 0 the encoding, bit 1 whether the rest are bytes as they are, or
//! lines that each become the payload of a proper frame. Bytes as they are must lead to an end of
//! the connection; lines, since they may well be messages, to an answer to the two messages that
//! are sent after them. Whatever the server says must be frames of messages.

#![no_main]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};

use fuzz::server::{self, Answer};
use libfuzzer_sys::fuzz_target;
use protocol::{Action, ClientMessage, Encoding, ServerMessage, Subscribe};

/// Fewer than are too fast for a client.
const LINES_MAX: usize = 60;
/// Longer than what is sent to anybody here.
const FRAME_BYTES_MAX: u64 = 16 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else {
        return;
    };
    let encoding = Encoding::ALL[usize::from(choice & 1)];
    let stream = server::with(|server| open(server, encoding));
    if choice & 2 == 0 {
        say_bytes(stream, encoding, rest);
    } else {
        say_lines(stream, encoding, rest);
    }
});

fn open(server: &server::Server, encoding: Encoding) -> TcpStream {
    let handshake = format!(
        "GET /ws HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        sec-websocket-protocol: {}\r\n\r\n",
        server.host(),
        encoding.subprotocol()
    );
    let mut stream = server.connect(handshake.as_bytes());
    let answer = Answer::read(&mut stream);
    assert_eq!(answer.status, 101, "{}", answer.head);
    stream
}

/// Says bytes as they are, and no more.
fn say_bytes(mut stream: TcpStream, encoding: Encoding, bytes: &[u8]) {
    // The server may end it before everything is said.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    while hear(&mut stream, encoding).is_some() {}
}

/// Says messages, and waits for the answers to the last two.
fn say_lines(mut stream: TcpStream, encoding: Encoding, bytes: &[u8]) {
    let subscribe = ClientMessage::Subscribe(Subscribe {
        id: LAST.to_owned(),
        keys: vec!["**".to_owned()],
        ..Subscribe::default()
    });
    let action = ClientMessage::Action(Action {
        id: LAST.to_owned(),
        name: "echo".to_owned(),
        ..Action::default()
    });
    let lines = bytes.split(|byte| *byte == b'\n').take(LINES_MAX);
    let mut said: Vec<u8> = lines.flat_map(|line| frame(encoding, line)).collect();
    for message in [subscribe, action] {
        let message = encoding.encode(&message).expect("a message");
        said.extend(frame(encoding, &message));
    }
    let _ = stream.write_all(&said);
    let (mut is_subscribed, mut is_done) = (false, false);
    while !(is_subscribed && is_done) {
        match hear(&mut stream, encoding) {
            None => return,
            Some(Heard::Snapshot) => is_subscribed = true,
            Some(Heard::Result) => is_done = true,
            // One of both is refused: then the other is not waited for either.
            Some(Heard::Refusal) => return,
            Some(Heard::Other) => {}
        }
    }
}

/// The id of the messages that are sent last.
const LAST: &str = "last of all";

/// A frame as a client sends it; with this mask the payload is as it was.
fn frame(encoding: Encoding, payload: &[u8]) -> Vec<u8> {
    let opcode = if encoding.is_text() { 0x81 } else { 0x82 };
    let mut frame = vec![opcode];
    match u16::try_from(payload.len()) {
        Ok(length @ 0..126) => frame.push(0x80 | length as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend(length.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// What the server said, as far as it matters here.
enum Heard {
    Snapshot,
    Result,
    Refusal,
    Other,
}

/// The next frame; none at the end of the connection.
fn hear(stream: &mut TcpStream, encoding: Encoding) -> Option<Heard> {
    let [first, second] = read(stream)?;
    assert_eq!(first & 0xf0, 0x80, "the server's frames are whole, and nothing is reserved");
    assert_eq!(second & 0x80, 0, "the server's frames have no mask");
    let length = match second {
        126 => u64::from(u16::from_be_bytes(read(stream)?)),
        127 => u64::from_be_bytes(read(stream)?),
        length => u64::from(length),
    };
    assert!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes");
    let mut payload = Vec::new();
    let count = stream.take(length).read_to_end(&mut payload);
    if count.is_err() || (payload.len() as u64) < length {
        return None;
    }
    let is_text = match first & 0x0f {
        0x1 => true,
        0x2 => false,
        0x8..=0xa => {
            assert!(length <= 125, "a control frame of {length} bytes");
            return Some(Heard::Other);
        }
        opcode => panic!("the server has no frames of opcode {opcode}"),
    };
    assert_eq!(is_text, encoding.is_text());
    let message: ServerMessage = encoding.decode(&payload).expect("what it says is a message");
    Some(match message {
        ServerMessage::Snapshot(changes) if changes.id == LAST => Heard::Snapshot,
        ServerMessage::ActionResult(result) if result.id == LAST => Heard::Result,
        ServerMessage::Error(failure) if failure.id.as_deref() == Some(LAST) => Heard::Refusal,
        _ => Heard::Other,
    })
}

/// So many bytes; none at the end of the connection.
fn read<const N: usize>(stream: &mut TcpStream) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    match stream.read_exact(&mut bytes) {
        Ok(()) => Some(bytes),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("the server neither answers nor ends the connection")
        }
        Err(_) => None,
    }
}
