//! A line between client and server that can be cut: both ends live, and what is on its way is
//! lost, such as the answer to a commit.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};

/// Passes on what comes to its port, until its process ends.
pub(crate) struct Relay {
    port: u16,
    /// Both ends of the connections that were made since the last cut.
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    /// A relay to this port of the loopback interface.
    pub(crate) fn start(to: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port is free")?;
        let port = listener.local_addr()?.port();
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let kept = Arc::clone(&open);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is down: the client is told so by a connection that ends.
                if let Ok(server) = TcpStream::connect(("127.0.0.1", to)) {
                    join(&client, &server, &kept);
                }
            }
        });
        Ok(Self { port, open })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Cuts all connections, whatever is on its way.
    pub(crate) fn cut(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for end in open.drain(..) {
            // One that has ended is cut already.
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

/// Copies both ways until one end closes.
fn join(client: &TcpStream, server: &TcpStream, kept: &Mutex<Vec<TcpStream>>) {
    let pair = || Some((client.try_clone().ok()?, server.try_clone().ok()?));
    let (Some(there), Some((client, server)), Some((one, other))) = (pair(), pair(), pair()) else {
        return;
    };
    // Small answers must not wait for each other, which would only make everything slow.
    let _ = one.set_nodelay(true);
    let _ = other.set_nodelay(true);
    kept.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .extend([one, other]);
    std::thread::spawn(move || copy(there.0, there.1));
    std::thread::spawn(move || copy(server, client));
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(count) if count > 0 && to.write_all(&buffer[..count]).is_ok() => {}
            _ => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
