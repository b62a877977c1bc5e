//! The listener: takes connections and serves HTTP/1.1 on them until it is told to stop.

mod stream;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) use stream::Stream;

/// What a connection may have on its way to its client: what waits there is old by the time it is
/// read, and a client that reads slowly shall get the newest state.
const SEND_BUFFER_BYTES: u32 = 64 << 10;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
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

/// Serves until `closing` is true, then waits 3 s at most for connections to end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
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
                let served = connection(stream, peer, router.clone(), closing.clone());
                connections.spawn(served);
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
    router: Router,
    mut closing: watch::Receiver<bool>,
) {
    // Only latency is lost when the system refuses.
    let _ = stream.set_nodelay(true);
    let router = router.layer(axum::Extension(ConnectInfo(peer)));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(
            TokioIo::new(Stream::Plain(stream)),
            TowerToHyperService::new(router),
        )
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

/// Comes when the gateway closes, or is gone.
async fn closed(closing: &mut watch::Receiver<bool>) {
    let _ = closing.wait_for(|closing| *closing).await;
}
