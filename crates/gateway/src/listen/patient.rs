//! A connection that waits for its client, but not for ever.
//!
//! An answer stays in memory until it is taken, so a client has to take 16 KiB of it, or its rest,
//! within 30 s each time. One that does not is cut off. While nothing is on its way nothing is
//! timed; how long a request may take to come is no matter of this.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long a client may take for [`PART_BYTES`].
const TAKEN_WITHIN: Duration = Duration::from_secs(30);
/// What has to be taken within that time.
const PART_BYTES: usize = 16 << 10;

/// A connection with a deadline for what is written to it.
#[derive(Debug)]
pub(crate) struct Patient<S> {
    stream: S,
    /// Runs while the client is waited for.
    deadline: Option<Pin<Box<Sleep>>>,
    /// What was taken since it began to run.
    taken: usize,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            deadline: None,
            taken: 0,
        }
    }

    /// The connection alone, for those who have deadlines of their own.
    pub(crate) fn into_inner(self) -> S {
        self.stream
    }

    /// Stops waiting when it has been too long.
    fn within<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            return polled;
        }
        let start = || Box::pin(tokio::time::sleep(TAKEN_WITHIN));
        let deadline = self.deadline.get_or_insert_with(start);
        match deadline.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
        }
    }

    fn written(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = polled {
            self.taken += count;
            if self.taken >= PART_BYTES {
                self.begin_anew();
            }
        }
        self.within(context, polled)
    }

    fn begin_anew(&mut self) {
        self.taken = 0;
        self.deadline = None;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.written(context, polled)
    }

    /// Comes when all is taken.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_flush(context);
        if polled.is_ready() {
            this.begin_anew();
        }
        this.within(context, polled)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_shutdown(context);
        this.within(context, polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.written(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::{Instant, sleep};

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_ends_the_connection() {
        let (server, _client) = tokio::io::duplex(1024);
        let mut server = Patient::new(server);
        let start = Instant::now();
        let error = server.write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((30..32).contains(&start.elapsed().as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_enough_has_all_the_time_and_who_takes_drops_has_not() {
        for (bytes, is_enough) in [(1 << 10, true), (100, false)] {
            let (server, mut client) = tokio::io::duplex(1024);
            let mut server = Patient::new(server);
            let reading = tokio::spawn(async move {
                let mut taken = vec![0; bytes];
                while client.read_exact(&mut taken).await.is_ok() {
                    sleep(Duration::from_secs(1)).await;
                }
            });
            let written = server.write_all(&[0; 256 << 10]).await;
            assert_eq!(written.is_ok(), is_enough, "{bytes}");
            if is_enough {
                server.flush().await.unwrap();
                // A connection on which nothing is under way has no deadline.
                sleep(Duration::from_secs(100)).await;
                server.write_all(b"next").await.unwrap();
            }
            drop(server);
            reading.await.unwrap();
        }
    }
}
