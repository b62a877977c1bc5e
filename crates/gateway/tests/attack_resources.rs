//! Attacks on what all share: memory, places, room for bodies, time of the loops.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::Server;
use gateway::{Access, GatewayOptions};
use pipeline::BufferOptions;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

async fn with(options: GatewayOptions) -> Server {
    Server::with(BufferOptions::default(), options).await
}

/// Sends the head of a request, and no more.
async fn begin(server: &Server, method_and_path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let address = server.address;
    let head = format!("{method_and_path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[cfg(target_os = "linux")]
fn resident_kibibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    let number = line.unwrap().split_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_chart_library_is_in_memory_once_however_many_do_not_take_it() {
    let closed = GatewayOptions {
        access: Access::new(),
        ..GatewayOptions::default()
    };
    let server = with(closed).await;
    let library = server.get("/assets/plotly.min.js").await;
    assert!(library.text.len() > 1 << 20);
    let before = resident_kibibytes();
    let mut held = Vec::new();
    for _ in 0..60 {
        held.push(begin(&server, "GET /assets/plotly.min.js", "").await);
    }
    for stream in &held {
        // The answer has begun.
        stream.peek(&mut [0]).await.unwrap();
    }
    // A copy for each of them would be over 200 MiB.
    let more = resident_kibibytes().saturating_sub(before);
    assert!(more < 100 << 10, "{more} KiB for answers that nobody takes");
    drop(held);
    server.stop().await;
}
