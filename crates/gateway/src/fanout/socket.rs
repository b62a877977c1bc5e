//! The socket of one client, which never waits: it takes or gives what it can at once.
//!
//! It can be asked for both from several local tasks, since nothing is borrowed while one waits.

use std::io;

use tokio::net::TcpStream;

use super::outgoing::TryWrite;
use crate::listen::Stream;

/// The socket of one client.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
}

/// A socket on its way to the loop that serves it.
#[derive(Debug)]
pub(super) struct Passing {
    stream: std::net::TcpStream,
}

impl Passing {
    /// Takes it out of the runtime that it is in.
    pub(super) fn new(stream: Stream) -> io::Result<Self> {
        match stream {
            Stream::Plain(stream) => Ok(Self {
                stream: stream.into_std()?,
            }),
            Stream::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl Socket {
    /// Takes it into the runtime that runs this.
    pub(super) fn new(passing: Passing) -> io::Result<Self> {
        Ok(Self {
            stream: TcpStream::from_std(passing.stream)?,
        })
    }

    /// Comes when there may be something to read.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// Comes when there may be room to write.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    /// Reads what is there; nothing when the client has ended it.
    pub(super) fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.try_read(bytes)
    }
}

impl TryWrite for Socket {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.try_write(bytes)
    }

    fn holds_back(&self) -> bool {
        false
    }

    fn push(&self) -> io::Result<()> {
        Ok(())
    }
}
