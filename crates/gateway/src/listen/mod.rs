//! The listener: takes connections and serves HTTP/1.1 on them until it is told to stop.
//!
//! A connection costs nothing before it has a seat, and then has to be quick: 10 s for TLS to be
//! agreed on, and 10 s for the head of each request, counted from the end of the one before, so
//! that one on which nothing is asked ends too. An answer has to be taken, 16 KiB within 30 s.
//! What is too slow, too large or no HTTP ends its own connection and no other.

mod patient;
mod seats;
mod strangers;
mod stream;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) use patient::Patient;
pub(crate) use seats::{Seat, Seats, within_files};
pub(crate) use strangers::{Stranger, Strangers};
pub(crate) use stream::Stream;
pub use tls::{Tls, TlsError};

/// What a connection may have on its way to its client: what waits there is old by the time it is
/// read, and a client that reads slowly shall get the newest state.
const SEND_BUFFER_BYTES: u32 = 64 << 10;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long it may take to agree on TLS.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long the head of a request may take to arrive.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// Bytes that the head of a request may have.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long open connections may take to end once the gateway closes.
const CLOSE_WITHIN: Duration = Duration::from_secs(3);
/// How long the listener rests when the system has no more to give.
const REST: Duration = Duration::from_millis(100);

/// Binds with small send buffers, which accepted connections inherit.
pub(crate) fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    let socket = match listen {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // As the standard library does, so that a restart finds its port free.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

/// What connections get.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) router: Router,
    pub(crate) tls: Option<Tls>,
    pub(crate) seats: Seats,
}

/// Serves until `closing` is true, then waits 3 s at most for connections to end.
pub(crate) async fn serve(
    listener: TcpListener,
    serving: Serving,
    mut closing: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = closed(&mut closing) => break,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Without a seat it is closed here.
                if let Some(seat) = serving.seats.take(peer.ip()) {
                    let served = connection(stream, peer, seat, serving.clone(), closing.clone());
                    connections.spawn(served);
                }
            }
            // A connection that was gone before it was taken, or no more files: others go on.
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    // Those that do not end are cut off.
    let _ = tokio::time::timeout(CLOSE_WITHIN, all).await;
    Ok(())
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    seat: Seat,
    serving: Serving,
    mut closing: watch::Receiver<bool>,
) {
    // Only latency is lost when the system refuses.
    let _ = stream.set_nodelay(true);
    let Some(stream) = secured(stream, serving.tls.as_ref(), &mut closing).await else {
        return;
    };
    let seat = Arc::new(seat);
    let answers = TowerToHyperService::new(serving.router);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        // It goes with what comes out of the connection.
        request.extensions_mut().insert(Arc::clone(&seat));
        answers.call(request)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Patient::new(stream)), answer)
        .with_upgrades();
    let mut served = std::pin::pin!(served);
    // What a client does wrong ends its connection and is no matter of ours.
    let _ = tokio::select! {
        ended = &mut served => ended,
        () = closed(&mut closing) => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
}

/// The connection, once both sides agree on TLS where there is some; `None` when they do not.
async fn secured(
    stream: TcpStream,
    tls: Option<&Tls>,
    closing: &mut watch::Receiver<bool>,
) -> Option<Stream> {
    let Some(tls) = tls else {
        return Some(Stream::Plain(stream));
    };
    let agreed = tokio::time::timeout(HANDSHAKE_WITHIN, tls.acceptor().accept(stream));
    tokio::select! {
        agreed = agreed => Some(Stream::Tls(Box::new(agreed.ok()?.ok()?))),
        () = closed(closing) => None,
    }
}

/// Comes when the gateway closes, or is gone.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}
