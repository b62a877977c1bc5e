//! A private receiver of alerts, and changes for it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pipeline::{AlertStats, Alerts, HealthChange, HealthReason, HealthStatus};
use sinks::RetryPolicy;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the receiver does with each request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Status(u16),
    Hang,
}

/// A request that came in.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: serde_json::Value,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// A receiver on a free port; the last answer is given again and again.
pub(crate) struct Receiver {
    address: std::net::SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Receiver {
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&seen), answers.clone()));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().clone()
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Vec<Request>>>, answers: Vec<Answer>) {
    let mut bytes = Vec::new();
    loop {
        let Some(request) = read(&mut stream, &mut bytes).await else {
            return;
        };
        let index = {
            let mut seen = seen.lock();
            seen.push(request);
            seen.len() - 1
        };
        match answers[index.min(answers.len() - 1)] {
            Answer::Hang => std::future::pending().await,
            Answer::Status(status) => {
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\nhello");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Request> {
    loop {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase();
            let length = length.split_once("content-length: ").unwrap().1;
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                let body = serde_json::from_str(&body[..length]).unwrap();
                let head = head.to_owned();
                bytes.drain(..head.len() + 4 + length);
                return Some(Request { head, body });
            }
        }
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(count @ 1..) => bytes.extend_from_slice(&part[..count]),
            _ => return None,
        }
    }
}

pub(crate) fn change(to: HealthStatus) -> HealthChange {
    HealthChange {
        from: HealthStatus::Healthy,
        to,
        score: 30,
        reasons: vec![HealthReason {
            code: "sink_failing",
            message: "the sink has failed".to_owned(),
            hint: "mend it",
            points: 70,
        }],
    }
}

/// Retries that follow at once, so many.
pub(crate) fn quick(retries_max: u32) -> RetryPolicy {
    let delay = Duration::from_millis(1);
    RetryPolicy::new(delay, delay, Some(retries_max))
}

/// Waits until the alert with this index looks so.
pub(crate) async fn until(
    alerts: &Alerts,
    index: usize,
    holds: impl Fn(&AlertStats) -> bool,
) -> AlertStats {
    let began = Instant::now();
    loop {
        let stats = alerts.stats().swap_remove(index);
        let (known, ended) = (stats.offered, stats.sent + stats.failed + stats.replaced);
        assert_eq!(known, ended + stats.pending, "{stats:?}");
        if holds(&stats) {
            return stats;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{stats:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn close(alerts: &Alerts) {
    alerts.close(Instant::now() + Duration::from_secs(60)).await;
}
