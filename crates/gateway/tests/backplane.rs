//! Two gateways of one process, joined by a backplane as one over a network would join them: what
//! is put, said and asked for at one of them reaches the clients of both.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::socket::{Client, connect, values};
use common::{Server, live_data};
use dataservice::FeedSpec;
use gateway::{Acting, ActionError, ActionRequest, Actions, Backplane, GatewayOptions, InProcess};
use parking_lot::Mutex;
use pipeline::{Level, LiveData, Notification, Pipeline};
use serde_json::json;
use sinks::{BoxWriter, MemoryWriter, ScopeName};
use tokio::sync::{broadcast, watch};

/// What would be a network: the members, and what each said last of how many clients it has.
#[derive(Default)]
struct Network {
    members: Mutex<Vec<Member>>,
    counts: [AtomicUsize; 2],
}

/// What others may reach of a server.
#[derive(Clone)]
struct Member {
    here: InProcess,
    /// What its clients read: its own updates and those of the others.
    live: LiveData,
    urgent: watch::Sender<u64>,
}

/// The backplane of one of them.
struct Joined {
    number: usize,
    member: Member,
    network: Arc<Network>,
}

impl Joined {
    /// Joins a server, and from then on passes on what its pipeline shows.
    fn new(here: InProcess, network: &Arc<Network>) -> Self {
        let member = Member {
            live: live_data(50),
            urgent: watch::Sender::new(0),
            here,
        };
        let mut members = network.members.lock();
        members.push(member.clone());
        let joined = Self {
            number: members.len() - 1,
            member,
            network: Arc::clone(network),
        };
        tokio::spawn(pass_on(joined.member.here.clone(), Arc::clone(network)));
        joined
    }
}

/// Puts all that a server shows into what every member shows.
async fn pass_on(here: InProcess, network: Arc<Network>) {
    let own = here.live();
    let mut feed = own.feed(FeedSpec::all()).unwrap();
    loop {
        std::future::poll_fn(|context| feed.poll_changed(context)).await;
        let Some(batch) = feed.poll() else { continue };
        for member in network.members.lock().iter() {
            for update in batch.iter() {
                let id = member.live.register(own.key(update.id).unwrap()).unwrap();
                let (time_us, reading) = (update.time_us, update.value.clone());
                member.live.put(id, time_us, reading).unwrap();
            }
            member.urgent.send_modify(|count| *count += 1);
        }
    }
}

impl Backplane for Joined {
    fn live(&self) -> LiveData {
        self.member.live.clone()
    }

    fn urgent(&self) -> watch::Receiver<u64> {
        self.member.urgent.subscribe()
    }

    fn notify(&self, level: Level, message: &str) {
        for member in self.network.members.lock().iter() {
            member.here.notify(level, message);
        }
    }

    fn notifications(&self) -> broadcast::Receiver<Notification> {
        self.member.here.notifications()
    }

    fn act(&self, request: ActionRequest) -> Acting {
        let members = self.network.members.lock();
        let able = members.iter().find(|member| member.here.has(&request.name));
        match able.map(|member| member.here.clone()) {
            Some(able) => {
                drop(members);
                able.act(request)
            }
            None => {
                let name = request.name;
                Box::pin(std::future::ready(Err(ActionError::Unknown { name })))
            }
        }
    }

    fn connected(&self, here: usize) -> usize {
        let counts = &self.network.counts;
        counts[self.number].store(here, Ordering::Relaxed);
        counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }
}

/// A gateway that is joined with the others.
async fn joined(network: &Arc<Network>, actions: Actions) -> Server {
    let sink = MemoryWriter::new();
    let pipeline = Pipeline::to(BoxWriter::new(sink.clone()))
        .live(live_data(50))
        .start()
        .unwrap();
    let intake = pipeline.intake(&ScopeName::new("actions")).await.unwrap();
    let here = InProcess::new(pipeline.clone(), intake, actions);
    let options = GatewayOptions {
        backplane: Some(Arc::new(Joined::new(here, network))),
        ..GatewayOptions::default()
    };
    Server::over(pipeline, sink, options).await
}

async fn watching(server: &Server, keys: &str) -> Client {
    let mut client = connect(server, None).await.unwrap();
    client
        .say(json!({ "type": "subscribe", "id": "s", "keys": [keys] }))
        .await;
    client.hear(&["snapshot"]).await;
    client
}

/// The next values that a client is told.
async fn told(client: &mut Client) -> Vec<(String, f64)> {
    loop {
        let values = values(&client.hear(&["update"]).await);
        if !values.is_empty() {
            return values;
        }
    }
}

async fn administer(server: &Server, path: &str) -> serde_json::Value {
    let bearer = format!("Bearer {}", server.admin.as_str());
    let headers = [("authorization", bearer.as_str())];
    server.send("GET", path, "", &headers).await.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_at_one_server_reaches_the_clients_of_both() {
    let network = Arc::new(Network::default());
    let double = Actions::new().on("double", |request| async move {
        Ok(json!(2.0 * request.params.as_f64().unwrap_or_default()))
    });
    let first = joined(&network, Actions::new()).await;
    let second = joined(&network, double).await;
    let mut clients = [
        watching(&first, "PLC01/*").await,
        watching(&second, "PLC01/*").await,
    ];

    first.put("left", 1.0, 1);
    for client in &mut clients {
        assert_eq!(told(client).await, [("left".to_owned(), 1.0)]);
    }
    second.put("right", 2.0, 2);
    for client in &mut clients {
        assert_eq!(told(client).await, [("right".to_owned(), 2.0)]);
    }

    let body = r#"{"level": "info", "message": "to all"}"#;
    let json = ("content-type", "application/json");
    let notified = first.order("/api/notify", body, &[json]).await;
    assert_eq!(notified.status, 200, "{notified:?}");
    for client in &mut clients {
        assert_eq!(client.hear(&["notification"]).await["message"], "to all");
    }

    // Only the second can do it; it is a record there, and seen at both.
    let mut watchers = [
        watching(&first, "agent7/*").await,
        watching(&second, "agent7/*").await,
    ];
    clients[0]
        .say(
            json!({ "type": "action", "id": "a", "name": "double", "target": "agent7",
            "params": 21 }),
        )
        .await;
    let result = clients[0].hear(&["action_result"]).await;
    assert_eq!(
        (&result["ok"], &result["value"]),
        (&json!(true), &json!(42.0))
    );
    for watcher in &mut watchers {
        let update = watcher.hear(&["update"]).await;
        assert_eq!(update["changes"][0]["tag"], "action.double", "{update}");
    }
    assert_eq!(second.pipeline.stats().accepted, 2);
    assert_eq!(first.pipeline.stats().accepted, 1);

    for server in [&first, &second, &first] {
        let mut list = administer(server, "/api/connections").await;
        for _ in 0..500 {
            if list["count_of_all_servers"] == 4 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            administer(&first, "/api/connections").await;
            administer(&second, "/api/connections").await;
            list = administer(server, "/api/connections").await;
        }
        assert_eq!(
            (&list["count"], &list["count_of_all_servers"]),
            (&json!(2), &json!(4))
        );
    }
    first.stop().await;
    second.stop().await;
}
