//! A model of the fan-out: whatever clients do, what they were told adds up.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::Server;
use common::socket::{Client, connect_small};
use futures_util::StreamExt;
use record::Value;
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::Message;

/// Updates of each key, which are numbered from 1 and bear their number as their time.
type Counts = BTreeMap<String, i64>;

/// A client as it has to be, by what it was told.
struct Model {
    client: Client,
    wants_all: bool,
    instance: Json,
    seq: u64,
    /// The number of the newest value of each key that it was shown.
    newest: Counts,
    /// Of a client that wants all: how many updates there were when it began, and how many it was
    /// shown or told to be missing since.
    began: i64,
    told: i64,
}

impl Model {
    async fn new(server: &Server, wants_all: bool) -> Self {
        let mut model = Self {
            client: connect_small(server).await,
            wants_all,
            instance: Json::Null,
            seq: 0,
            newest: Counts::new(),
            began: 0,
            told: 0,
        };
        model.instance = model.client.hear(&["welcome"]).await["instance"].clone();
        model.subscribe(None).await;
        model
    }

    async fn subscribe(&mut self, since: Option<Json>) {
        let kind = if self.wants_all {
            "since_last"
        } else {
            "latest"
        };
        let mut asked = json!({"type": "subscribe", "id": "a", "keys": ["*"],
            "extract": {"kind": kind}});
        if let Some(since) = since {
            asked["since"] = since;
        }
        self.client.say(asked).await;
    }

    async fn reconnect(&mut self, server: &Server) {
        self.client = connect_small(server).await;
        let since = json!({"instance": self.instance, "seq": self.seq});
        self.subscribe(Some(since)).await;
    }

    /// Takes in the next message; whether there was one in this time.
    async fn hear(&mut self, within: Duration) -> bool {
        let Ok(next) = tokio::time::timeout(within, self.client.0.next()).await else {
            return false;
        };
        let Message::Text(text) = next.unwrap().unwrap() else {
            return true;
        };
        let told: Json = serde_json::from_str(&text).unwrap();
        let kind = told["type"].as_str().unwrap();
        if !["snapshot", "update"].contains(&kind) {
            assert!(
                ["welcome", "reset", "notification"].contains(&kind),
                "{told}"
            );
            return true;
        }
        let seq = told["seq"].as_u64().unwrap();
        assert!(seq >= self.seq, "{seq} after {}", self.seq);
        self.seq = seq;
        let changes = told["changes"].as_array().unwrap();
        for change in changes {
            let tag = change["tag"].as_str().unwrap().to_owned();
            let number = change["timestamp"].as_i64().unwrap();
            let newest = self.newest.entry(tag).or_insert(0);
            if kind == "update" && self.wants_all {
                assert!(number > *newest, "{number} after {newest}: seen twice");
            }
            assert!(number >= *newest, "{number} after {newest}: back in time");
            *newest = number;
        }
        if kind == "snapshot" {
            self.began = self.newest.values().sum();
            self.told = 0;
        } else {
            self.told += changes.len() as i64 + told["missed"].as_i64().unwrap_or(0);
        }
        true
    }

    /// Whether it knows all that there is.
    fn is_complete(&self, counts: &Counts) -> bool {
        self.newest == *counts
    }
}

async fn run(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let server = Server::start().await;
    let mut counts = Counts::new();
    let put = |random: &mut fastrand::Rng, counts: &mut Counts| {
        let tag = format!("D{}", random.u32(0..4));
        let count = counts.entry(tag.clone()).or_insert(0);
        *count += 1;
        let text = Value::text(&"x".repeat(random.usize(0..6_000))).unwrap();
        server.put(&tag, text, *count);
    };
    put(&mut random, &mut counts);
    let mut models = Vec::new();
    for number in 0..8 {
        models.push(Model::new(&server, number % 2 == 0).await);
    }
    for _ in 0..120 {
        for _ in 0..random.usize(0..40) {
            put(&mut random, &mut counts);
        }
        let model = random.choice(&mut models).unwrap();
        match random.u32(0..10) {
            0 => model.reconnect(&server).await,
            1..=6 => {
                for _ in 0..random.usize(0..30) {
                    model.hear(Duration::from_millis(1)).await;
                }
            }
            _ => tokio::time::sleep(Duration::from_millis(random.u64(0..15))).await,
        }
    }
    for (number, model) in models.iter_mut().enumerate() {
        while !model.is_complete(&counts) {
            let heard = model.hear(Duration::from_secs(10)).await;
            assert!(
                heard,
                "seed {seed}, client {number} is never told the newest: {:?}, not {counts:?}",
                model.newest
            );
        }
        if model.wants_all {
            let all: i64 = counts.values().sum();
            assert_eq!(
                model.began + model.told,
                all,
                "seed {seed}, client {number}: updates are neither told nor missing"
            );
        }
    }
    drop(models);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_1_every_update_is_told_once_in_order_or_counted_and_the_newest_always_comes() {
    for seed in 0..3 {
        run(seed).await;
    }
}
