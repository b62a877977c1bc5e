//! The socket of one client, which never waits: it takes or gives what it can at once.
//!
//! It can be asked for both from several local tasks, since nothing is borrowed while one waits.
//! Behind TLS a frame is encrypted for each client, so there is no sharing of what goes over the
//! wire; of what is encrypted and not yet sent one record of 16 KiB is held at most.

use std::cell::RefCell;
use std::io::{self, Read, Write};

use rustls::ServerConnection;
use tokio::net::TcpStream;

use super::outgoing::TryWrite;
use crate::listen::Stream;

/// Bytes that are encrypted at once: what fits into a record.
const RECORD_BYTES: usize = 16 << 10;

/// Reads in which TLS may find nothing for its user: a record takes five of them.
const READS_WITHOUT_BYTES_MAX: usize = 64;

/// The socket of one client.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    tls: Option<Box<RefCell<ServerConnection>>>,
}

/// A socket on its way to the loop that serves it.
#[derive(Debug)]
pub(super) struct Passing {
    stream: std::net::TcpStream,
    tls: Option<Box<RefCell<ServerConnection>>>,
}

/// What TLS reads from and writes to.
struct Raw<'a>(&'a TcpStream);

impl Passing {
    /// Takes it out of the runtime that it is in.
    pub(super) fn new(stream: Stream) -> io::Result<Self> {
        let (stream, tls) = match stream {
            Stream::Plain(stream) => (stream, None),
            Stream::Tls(stream) => {
                let (stream, tls) = stream.into_inner();
                (stream, Some(Box::new(RefCell::new(tls))))
            }
        };
        Ok(Self {
            stream: stream.into_std()?,
            tls,
        })
    }
}

impl Socket {
    /// Takes it into the runtime that runs this.
    pub(super) fn new(passing: Passing) -> io::Result<Self> {
        Ok(Self {
            stream: TcpStream::from_std(passing.stream)?,
            tls: passing.tls,
        })
    }

    /// Comes when there may be something to read that is not yet [read](Self::try_read).
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    /// Comes when there may be room to write.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    /// Reads what is there; nothing when the client has ended it.
    pub(super) fn try_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else {
            return self.stream.try_read(bytes);
        };
        let mut tls = tls.borrow_mut();
        for _ in 0..READS_WITHOUT_BYTES_MAX {
            match tls.reader().read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            if tls.read_tls(&mut Raw(&self.stream))? == 0 {
                return Ok(0);
            }
            tls.process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the records are empty",
        ))
    }
}

impl TryWrite for Socket {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else {
            return self.stream.try_write(bytes);
        };
        self.push()?;
        if self.holds_back() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let record = &bytes[..bytes.len().min(RECORD_BYTES)];
        let taken = tls.borrow_mut().writer().write(record)?;
        self.push()?;
        Ok(taken)
    }

    fn holds_back(&self) -> bool {
        let tls = self.tls.as_ref();
        tls.is_some_and(|tls| tls.borrow().wants_write())
    }

    fn push(&self) -> io::Result<usize> {
        let Some(tls) = &self.tls else { return Ok(0) };
        let mut tls = tls.borrow_mut();
        let mut pushed = 0;
        while tls.wants_write() {
            match tls.write_tls(&mut Raw(&self.stream)) {
                Ok(count) => pushed += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(pushed)
    }
}

impl Read for Raw<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(bytes)
    }
}

impl Write for Raw<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
