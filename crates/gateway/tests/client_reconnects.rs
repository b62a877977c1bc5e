//! The Rust client over a line that breaks.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client::{Client, ClientBuilder, Encoding, Event, Extract, Subscribe, Wait};
use common::Server;
use gateway::GatewayOptions;
use pipeline::BufferOptions;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const PATIENCE: Duration = Duration::from_secs(60);

/// A line between clients and a server that can be cut.
struct Line {
    listener: TcpListener,
    cut: Arc<Notify>,
    connections: Arc<AtomicUsize>,
}

impl Line {
    async fn new() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            cut: Arc::new(Notify::new()),
            connections: Arc::default(),
        }
    }

    /// A gateway that knows itself by the address of the line.
    async fn server(&self) -> Server {
        let origin = format!("http://{}", self.address());
        let options = GatewayOptions {
            allowed_origins: vec![origin],
            ..GatewayOptions::default()
        };
        Server::with(BufferOptions::default(), options).await
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    fn client(&self) -> ClientBuilder {
        Client::builder(format!("ws://{}/ws", self.address())).wait(Wait {
            base: Duration::from_millis(1),
            cap: Duration::from_millis(20),
            ..Wait::default()
        })
    }

    /// Passes on what comes, until it is dropped.
    fn pass_on(self, server: SocketAddr) -> Arc<Notify> {
        let cut = Arc::clone(&self.cut);
        tokio::spawn(async move {
            loop {
                let (mut near, _) = self.listener.accept().await.unwrap();
                self.connections.fetch_add(1, Ordering::Relaxed);
                let cut = Arc::clone(&self.cut);
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(server).await else {
                        return;
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        () = cut.notified() => {}
                    }
                });
            }
        });
        cut
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lesson_every_update_comes_once_and_in_order_over_a_line_that_breaks() {
    for encoding in Encoding::ALL {
        let line = Line::new().await;
        let server = line.server().await;
        let builder = line.client().encoding(encoding);
        let connections = Arc::clone(&line.connections);
        let cut = line.pass_on(server.address);
        let client = builder.connect().await.unwrap();
        let asked = Subscribe {
            id: "log".to_owned(),
            keys: vec!["PLC01/D*".to_owned()],
            extract: Extract::SinceLast,
            ..Subscribe::default()
        };
        // So that every key is known when the first update comes.
        for key in 0..4 {
            server.put(&format!("D{key}"), 0.0, 1);
        }
        let mut subscription = client.subscribe(asked).await.unwrap();
        let first = tokio::time::timeout(PATIENCE, subscription.next()).await;
        let Some(Event::Snapshot(first)) = first.unwrap() else {
            panic!("a snapshot comes first");
        };
        assert_eq!(first.readings.len(), 4);

        const COUNT: i64 = 400;
        let put = async {
            for number in 1..=COUNT {
                server.put(&format!("D{}", number % 4), number as f64, number + 1);
                if number % 60 == 0 {
                    cut.notify_waiters();
                }
                if number % 3 == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        };
        let take = async {
            // Each key has every fourth number.
            let key = |key: i64| (format!("D{key}"), if key == 0 { 0 } else { key - 4 });
            let mut last: BTreeMap<String, i64> = (0..4).map(key).collect();
            let mut taken = 0;
            while taken < COUNT {
                let event = tokio::time::timeout(PATIENCE, subscription.next()).await;
                let Some(Event::Update(frame)) = event.unwrap() else {
                    panic!("everything is continued");
                };
                assert_eq!(frame.missed, 0);
                for reading in frame.readings {
                    let value = reading.value.as_f64().unwrap() as i64;
                    let before = last.insert(reading.key.tag.to_string(), value);
                    assert_eq!(before, Some(value - 4), "{}", reading.key.tag);
                    taken += 1;
                }
            }
        };
        tokio::join!(put, take);
        assert!(connections.load(Ordering::Relaxed) > 1, "the line was cut");
        client.close().await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_state_is_right_over_a_line_that_breaks() {
    let line = Line::new().await;
    let server = line.server().await;
    let builder = line.client().encoding(Encoding::MessagePack);
    let cut = line.pass_on(server.address);
    let client = builder.connect().await.unwrap();
    let asked = Subscribe {
        id: "state".to_owned(),
        keys: vec!["*".to_owned()],
        deltas: true,
        ..Subscribe::default()
    };
    let mut subscription = client.subscribe(asked).await.unwrap();
    const COUNT: i64 = 300;
    const KEYS: i64 = 5;
    let text = "what stays the same in every value of every key";
    let put = async {
        for number in 1..=COUNT {
            let state = serde_json::json!({"text": text, "number": number});
            let value = record::Value::json(&state.to_string()).unwrap();
            server.put(&format!("D{}", number % KEYS), value, number);
            if number % 50 == 0 {
                cut.notify_waiters();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    let take = async {
        let mut state: BTreeMap<String, i64> = BTreeMap::new();
        while state.len() < KEYS as usize || state.values().any(|at| *at <= COUNT - KEYS) {
            let event = tokio::time::timeout(PATIENCE, subscription.next()).await;
            let frame = match event.unwrap() {
                Some(Event::Snapshot(frame)) => {
                    state.clear();
                    frame
                }
                Some(Event::Update(frame)) => frame,
                other => panic!("{other:?}"),
            };
            for reading in frame.readings {
                assert_eq!(reading.value["text"], text);
                let number = reading.value["number"].as_i64().unwrap();
                let before = state.insert(reading.key.tag.to_string(), number);
                assert!(before.is_none_or(|before| before <= number), "it went back");
            }
        }
    };
    tokio::join!(put, take);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_subscription_beside_busy_ones_is_not_disturbed() {
    let line = Line::new().await;
    let server = line.server().await;
    let builder = line.client().ping_every(Duration::from_millis(10));
    let _cut = line.pass_on(server.address);
    server.put("quiet", 1.0, 1);
    let client = builder.connect().await.unwrap();
    let quiet = |extract| Subscribe {
        id: format!("{extract:?}"),
        keys: vec!["PLC01/quiet".to_owned()],
        extract,
        ..Subscribe::default()
    };
    let mut latest = client.subscribe(quiet(Extract::Latest)).await.unwrap();
    let mut every = client.subscribe(quiet(Extract::SinceLast)).await.unwrap();
    for subscription in [&mut latest, &mut every] {
        let event = tokio::time::timeout(PATIENCE, subscription.next()).await;
        assert!(matches!(event.unwrap(), Some(Event::Snapshot(_))));
    }
    // Long enough for both to be asked for again several times, since the server goes on.
    for number in 1..=100 {
        server.put("busy", f64::from(number), i64::from(number));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    server.put("quiet", 2.0, 2);
    for subscription in [&mut latest, &mut every] {
        let event = tokio::time::timeout(PATIENCE, subscription.next()).await;
        let Some(Event::Update(frame)) = event.unwrap() else {
            panic!("nothing but the update is told");
        };
        assert_eq!(frame.readings.len(), 1);
        assert_eq!(frame.readings[0].value, serde_json::json!(2.0));
        assert_eq!(frame.missed, 0);
    }
    server.stop().await;
}
