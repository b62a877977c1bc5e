//! A way to a server that can lose an answer: the server has done what it was asked, and nobody
//! hears of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) struct Proxy {
    port: u16,
    to_lose: Arc<AtomicUsize>,
}

impl Proxy {
    /// A proxy on a free port to this port of the loopback interface.
    pub(crate) fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            to_lose: Arc::default(),
        };
        let to_lose = proxy.to_lose.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                // A server that is down is one that hangs up.
                let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else {
                    continue;
                };
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let never = Arc::new(AtomicUsize::new(0));
                std::thread::spawn(move || pump(from, to, &never));
                let to_lose = to_lose.clone();
                std::thread::spawn(move || pump(server, client, &to_lose));
            }
        });
        proxy
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Loses the next answer, and the connection with it.
    pub(crate) fn lose_an_answer(&self) {
        self.to_lose.fetch_add(1, Ordering::SeqCst);
    }

    /// Answers that are still to be lost.
    pub(crate) fn to_lose(&self) -> usize {
        self.to_lose.load(Ordering::SeqCst)
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, to_lose: &AtomicUsize) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let lost = to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            left.checked_sub(1)
        });
        if lost.is_ok() || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // The other direction ends with this one.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
