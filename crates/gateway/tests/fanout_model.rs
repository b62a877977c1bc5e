//! A model of the fan-out: whatever clients do, what they were told adds up.
//!
//! Clients of every kind read slowly, come, go and come back, while the service remembers little.
//! Each value follows from its key and its number, so that what a client holds can be compared.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::Server;
use common::socket::{Client, connect_small};
use futures_util::StreamExt;
use gateway::GatewayOptions;
use pipeline::{LiveData, Pipeline};
use protocol::merge_patch;
use record::Value;
use serde_json::{Value as Json, json};
use sinks::{BoxWriter, MemoryWriter};
use tokio_tungstenite::tungstenite::Message;

/// Updates that the service remembers: so few that clients stay behind for longer.
const RESUME_UPDATES: i64 = 100;
const CLIENTS_MAX: usize = 14;
/// Long enough for a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(10);

/// Updates of each key, which are numbered from 1 and bear their number as their time.
type Counts = BTreeMap<String, i64>;

/// The value with this number: of one to the next a part is the same, mostly the long one.
fn value_of(tag: &str, number: i64) -> Json {
    let block = number / 3;
    let salt = tag
        .bytes()
        .fold(block as u64, |salt, byte| salt * 31 + u64::from(byte));
    let length = fastrand::Rng::with_seed(salt).usize(0..6_000);
    let mut value = json!({"number": number, "block": "x".repeat(length), "of": {"tag": tag}});
    if number % 2 == 1 {
        value["of"]["odd"] = json!(true);
    }
    value
}

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    wants_all: bool,
    deltas: bool,
}

impl Asked {
    const ALL: [Self; 4] = [
        Self::new(false, false),
        Self::new(true, false),
        Self::new(false, true),
        Self::new(true, true),
    ];

    const fn new(wants_all: bool, deltas: bool) -> Self {
        Self { wants_all, deltas }
    }
}

/// A client as it has to be, by what it was told.
struct Model {
    client: Client,
    asked: Asked,
    instance: Json,
    seq: u64,
    /// The number of the newest value of each key that it was shown.
    newest: Counts,
    /// What a patch may be based on, also after a reconnect.
    bases: BTreeMap<String, (u64, Json)>,
    /// Of a client that wants all: how many updates there were when it began, and how many it was
    /// shown or told to be missing since.
    began: i64,
    told: i64,
    /// Whether it was told something since it asked.
    is_answered: bool,
}

impl Model {
    async fn new(server: &Server, asked: Asked) -> Self {
        let mut model = Self {
            client: connect_small(server).await,
            asked,
            instance: Json::Null,
            seq: 0,
            newest: Counts::new(),
            bases: BTreeMap::new(),
            began: 0,
            told: 0,
            is_answered: false,
        };
        model.instance = model.client.hear(&["welcome"]).await["instance"].clone();
        model.subscribe(None).await;
        model
    }

    async fn subscribe(&mut self, since: Option<Json>) {
        let kind = if self.asked.wants_all {
            "since_last"
        } else {
            "latest"
        };
        let mut asked = json!({"type": "subscribe", "id": "a", "keys": ["*"],
            "extract": {"kind": kind}, "deltas": self.asked.deltas});
        if let Some(since) = since {
            asked["since"] = since;
        }
        self.is_answered = false;
        self.client.say(asked).await;
    }

    async fn reconnect(&mut self, server: &Server) {
        self.client = connect_small(server).await;
        let since = json!({"instance": self.instance, "seq": self.seq});
        self.subscribe(Some(since)).await;
    }

    /// Takes in the next message, when there were so many updates; whether there was one in this
    /// time.
    async fn hear(&mut self, within: Duration, all: i64) -> bool {
        let Ok(next) = tokio::time::timeout(within, self.client.0.next()).await else {
            return false;
        };
        let Message::Text(text) = next.unwrap().unwrap() else {
            return true;
        };
        let told: Json = serde_json::from_str(&text).unwrap();
        match told["type"].as_str().unwrap() {
            "snapshot" => self.told(&told, true),
            "update" => self.told(&told, false),
            "reset" => {
                let behind = all - self.newest.values().sum::<i64>();
                assert!(
                    behind >= RESUME_UPDATES,
                    "{:?}: {behind} updates behind, and begins anew: {told}",
                    self.asked
                );
            }
            kind => assert!(["welcome", "notification"].contains(&kind), "{told}"),
        }
        true
    }

    fn told(&mut self, told: &Json, is_snapshot: bool) {
        let seq = told["seq"].as_u64().unwrap();
        assert!(seq >= self.seq, "{seq} after {}", self.seq);
        self.seq = seq;
        self.is_answered = true;
        if is_snapshot {
            self.bases.clear();
        }
        let changes = told["changes"].as_array().unwrap();
        for change in changes {
            let tag = change["tag"].as_str().unwrap().to_owned();
            let number = change["timestamp"].as_i64().unwrap();
            let value = self.value(&tag, change);
            assert!(
                value == value_of(&tag, number),
                "{:?}: {tag} {number}: {value}",
                self.asked
            );
            let newest = self.newest.entry(tag).or_insert(0);
            if !is_snapshot && self.asked.wants_all {
                assert!(number > *newest, "{number} after {newest}: seen twice");
            }
            assert!(number >= *newest, "{number} after {newest}: back in time");
            *newest = number;
        }
        if is_snapshot {
            self.began = self.newest.values().sum();
            self.told = 0;
        } else {
            self.told += changes.len() as i64 + told["missed"].as_i64().unwrap_or(0);
        }
    }

    /// The whole value of a change.
    fn value(&mut self, tag: &str, change: &Json) -> Json {
        let value = match change.get("patch") {
            None => change["value"].clone(),
            Some(patch) => {
                let (rev, mut value) = self.bases.remove(tag).unwrap();
                assert_eq!(
                    change["base"], rev,
                    "a patch of what this client does not have"
                );
                merge_patch::apply(&mut value, patch);
                value
            }
        };
        if let Some(rev) = change["rev"].as_u64() {
            self.bases.insert(tag.to_owned(), (rev, value.clone()));
        }
        value
    }

    /// Whether it knows all that there is.
    fn is_complete(&self, counts: &Counts) -> bool {
        self.newest == *counts
    }
}

async fn serve() -> Server {
    let live = LiveData::builder()
        .depth_default(100)
        .keys_max(50)
        .resume_updates(RESUME_UPDATES as usize)
        .build()
        .unwrap();
    let sink = MemoryWriter::new();
    let pipeline = Pipeline::to(BoxWriter::new(sink.clone())).live(live);
    Server::over(pipeline.start().unwrap(), sink, GatewayOptions::default()).await
}

async fn run(seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let server = serve().await;
    let mut counts = Counts::new();
    let put = |random: &mut fastrand::Rng, counts: &mut Counts, keys: usize| {
        let tag = format!("D{}", random.usize(0..keys));
        let count = counts.entry(tag.clone()).or_insert(0);
        *count += 1;
        let value = value_of(&tag, *count).to_string();
        server.put(&tag, Value::json(&value).unwrap(), *count);
    };
    // One is never told again but to newcomers.
    let quiet = value_of("quiet", 1).to_string();
    server.put("quiet", Value::json(&quiet).unwrap(), 1);
    counts.insert("quiet".to_owned(), 1);
    let mut models = Vec::new();
    for asked in Asked::ALL.into_iter().chain(Asked::ALL) {
        models.push(Model::new(&server, asked).await);
    }
    for step in 0..160 {
        // Mostly little, so that who comes back can be told what it missed.
        let most = if random.u32(0..3) == 0 { 60 } else { 8 };
        for _ in 0..random.usize(0..most) {
            // Keys appear, and the newest is quiet most of the time.
            let keys = if random.u32(0..40) == 0 {
                4 + step / 40
            } else {
                3 + step / 40
            };
            put(&mut random, &mut counts, keys);
        }
        let all: i64 = counts.values().sum();
        let asked = random.choice(Asked::ALL).unwrap();
        let at = random.usize(0..models.len());
        match random.u32(0..12) {
            0..=1 if models.len() < CLIENTS_MAX => {
                models.push(Model::new(&server, asked).await);
            }
            0..=1 => models[at] = Model::new(&server, asked).await,
            2..=3 => {
                let model = &mut models[at];
                model.reconnect(&server).await;
                while !model.is_answered {
                    assert!(model.hear(PATIENCE, all).await, "no answer");
                }
            }
            4..=8 => {
                for _ in 0..random.usize(0..30) {
                    models[at].hear(Duration::from_millis(1), all).await;
                }
            }
            _ => tokio::time::sleep(Duration::from_millis(random.u64(0..15))).await,
        }
    }
    let all: i64 = counts.values().sum();
    for (number, model) in models.iter_mut().enumerate() {
        while !model.is_complete(&counts) {
            assert!(
                model.hear(PATIENCE, all).await,
                "seed {seed}, client {number} is never told the newest: {:?}, not {counts:?}",
                model.newest
            );
        }
        if model.asked.wants_all {
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
