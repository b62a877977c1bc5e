//! What clients ask the application to do, and what the application tells them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::socket::connect;
use common::{Server, live_data};
use gateway::{
    ActionError, ActionRequest, Actions, Backplane, BindError, Gateway, GatewayOptions, InProcess,
};
use pipeline::{BufferOptions, LaneSpec, Pipeline, SinkSpec};
use record::Priority;
use serde_json::{Value as Json, json};
use sinks::{BoxWriter, MemoryWriter, RetryPolicy, ScopeName};
use tokio::sync::broadcast::error::RecvError;

fn request(name: &str, target: &str, params: Json) -> ActionRequest {
    ActionRequest {
        id: "7".to_owned(),
        name: name.to_owned(),
        target: target.to_owned(),
        params,
        by: "ops".into(),
        connection_id: 1,
    }
}

/// What does these actions, over a pipeline of one lane of class high with so much room.
async fn doing(actions: Actions, size: usize) -> (InProcess, Pipeline, MemoryWriter) {
    let sink = MemoryWriter::new();
    let lanes = [Priority::High, Priority::Normal]
        .map(|priority| LaneSpec::new(priority).size(size).size_min(size));
    let spec = SinkSpec::new("archive", BoxWriter::new(sink.clone()))
        .lanes(lanes)
        .retry(RetryPolicy::default().unlimited());
    let pipeline = Pipeline::builder()
        .sink(spec)
        .live(live_data(50))
        .start()
        .unwrap();
    let intake = pipeline.intake(&ScopeName::new("http")).await.unwrap();
    (
        InProcess::new(pipeline.clone(), intake, actions),
        pipeline,
        sink,
    )
}

fn echo(count: &Arc<AtomicUsize>) -> Actions {
    let count = Arc::clone(count);
    Actions::new().on("echo", move |request| {
        count.fetch_add(1, Ordering::Relaxed);
        async move { Ok(request.params) }
    })
}

#[tokio::test]
async fn an_action_is_a_record_of_urgency_high_before_it_is_done() {
    let seen = Arc::new(AtomicUsize::new(0));
    let (plane, pipeline, sink) = doing(echo(&seen), 100).await;
    let live = plane.live();
    let done = plane
        .act(request("echo", "agent7", json!({ "speed": 3 })))
        .await;
    assert_eq!(done, Ok(json!({ "speed": 3 })));
    assert_eq!(
        plane.act(request("echo", "", Json::Null)).await,
        Ok(Json::Null)
    );
    let keys: Vec<String> = live
        .keys_from(dataservice::KeyId::FIRST)
        .iter()
        .map(|(_, key)| key.to_string())
        .collect();
    assert_eq!(keys, ["agent7/action.echo", "actions/action.echo"]);
    pipeline.shutdown(None).await;
    let stored = sink.delivered();
    assert_eq!(stored.len(), 2);
    let record = &stored[0].2;
    assert_eq!(record.priority, Some(Priority::High));
    let record::Value::Json(text) = &record.value else {
        panic!("{record:?}");
    };
    let value: Json = serde_json::from_str(text.as_str()).unwrap();
    assert_eq!(
        value,
        json!({ "params": { "speed": 3 }, "by": "ops", "id": "7" })
    );
}

#[tokio::test]
async fn an_action_that_makes_no_record_or_finds_no_room_is_not_done() {
    let seen = Arc::new(AtomicUsize::new(0));
    let (plane, pipeline, sink) = doing(echo(&seen), 2).await;
    sink.go_down();
    let unknown = plane.act(request("sing", "agent7", Json::Null)).await;
    assert_eq!(
        unknown,
        Err(ActionError::Unknown {
            name: "sing".to_owned()
        })
    );
    for (target, params) in [
        ("t".repeat(257), Json::Null),
        ("a\nb".to_owned(), Json::Null),
        ("agent7".to_owned(), json!("x".repeat(1 << 20))),
    ] {
        let invalid = plane.act(request("echo", &target, params)).await;
        assert!(
            matches!(invalid, Err(ActionError::Invalid(_))),
            "{invalid:?}"
        );
    }
    assert_eq!(seen.load(Ordering::Relaxed), 0);
    assert_eq!(pipeline.stats().accepted, 0);
    let mut last = Ok(Json::Null);
    for _ in 0..10 {
        last = plane.act(request("echo", "agent7", Json::Null)).await;
        if last.is_err() {
            break;
        }
    }
    let error = last.unwrap_err();
    assert!(matches!(error, ActionError::Refused(_)), "{error:?}");
    assert!(error.to_string().contains("the lane high"), "{error}");
    let stats = pipeline.stats();
    assert_eq!(seen.load(Ordering::Relaxed) as u64, stats.accepted);
    sink.recover();
    pipeline.shutdown(None).await;
}

#[tokio::test]
async fn law_10_a_handler_that_panics_or_takes_too_long_fails_alone() {
    let actions = Actions::new()
        .within(Duration::from_millis(50))
        .on("panic", |_| async { panic!("a handler may") })
        .on("hang", |_| std::future::pending())
        .on("throw", |request| {
            assert!(request.name.is_empty(), "before there is a future");
            async { Ok(Json::Null) }
        })
        .on("refuse", |_| async {
            Err(ActionError::Failed("no".to_owned()))
        })
        .on("work", |_| async { Ok(json!(1)) });
    let (plane, pipeline, _sink) = doing(actions, 100).await;
    let panicked = |name: &str| {
        Err(ActionError::Panicked {
            name: name.to_owned(),
        })
    };
    for (name, outcome) in [
        ("panic", panicked("panic")),
        ("throw", panicked("throw")),
        (
            "hang",
            Err(ActionError::TimedOut {
                within: Duration::from_millis(50),
            }),
        ),
        ("refuse", Err(ActionError::Failed("no".to_owned()))),
        ("work", Ok(json!(1))),
    ] {
        assert_eq!(plane.act(request(name, "", Json::Null)).await, outcome);
    }
    pipeline.shutdown(None).await;
}

#[tokio::test]
async fn law_2_actions_under_way_are_bounded_and_end_though_nobody_waits() {
    let (go, gone) = tokio::sync::watch::channel(false);
    let done = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&done);
    let actions = Actions::new().on("wait", move |_| {
        let (mut gone, count) = (gone.clone(), Arc::clone(&count));
        async move {
            let _ = gone.wait_for(|gone| *gone).await;
            count.fetch_add(1, Ordering::Relaxed);
            Ok(Json::Null)
        }
    });
    let (plane, pipeline, _sink) = doing(actions, 1_000).await;
    // Each is begun by the call; what it returns is dropped at once.
    for _ in 0..256 {
        drop(plane.act(request("wait", "", Json::Null)));
    }
    let busy = plane.act(request("wait", "", Json::Null)).await;
    assert_eq!(busy, Err(ActionError::Busy { limit: 256 }));
    go.send_replace(true);
    for _ in 0..1_000 {
        if done.load(Ordering::Relaxed) == 256 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(done.load(Ordering::Relaxed), 256);
    pipeline.shutdown(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_answered_and_others_see_the_action() {
    let seen = Arc::new(AtomicUsize::new(0));
    let options = GatewayOptions {
        actions: echo(&seen),
        ..GatewayOptions::default()
    };
    let server = Server::with(BufferOptions::default(), options).await;
    let mut watcher = connect(&server, None).await.unwrap();
    watcher
        .say(json!({ "type": "subscribe", "id": "w", "keys": ["agent7/action.*"] }))
        .await;
    watcher.hear(&["snapshot"]).await;
    let mut client = connect(&server, None).await.unwrap();
    client
        .say(
            json!({ "type": "action", "id": "a1", "name": "echo", "target": "agent7",
            "params": { "go": 1 } }),
        )
        .await;
    let result = client.hear(&["action_result"]).await;
    assert_eq!(
        (&result["id"], &result["ok"], &result["value"]),
        (&json!("a1"), &json!(true), &json!({ "go": 1 }))
    );
    let update = loop {
        let update = watcher.hear(&["update"]).await;
        if update["changes"]
            .as_array()
            .is_some_and(|changes| !changes.is_empty())
        {
            break update;
        }
    };
    let change = &update["changes"][0];
    assert_eq!(
        (&change["tag"], &change["priority"]),
        (&json!("action.echo"), &json!("high"))
    );
    assert_eq!(
        change["value"],
        json!({ "params": { "go": 1 }, "by": "anonymous", "id": "a1" })
    );
    client
        .say(json!({ "type": "action", "id": "a2", "name": "sing" }))
        .await;
    let result = client.hear(&["action_result"]).await;
    assert_eq!(
        (&result["ok"], &result["id"]),
        (&json!(false), &json!("a2"))
    );
    assert!(
        result["error"].as_str().unwrap().contains("sing"),
        "{result}"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_application_notifies_reaches_clients_and_laggards_only_miss_some() {
    let sink = MemoryWriter::new();
    let pipeline = Pipeline::to(BoxWriter::new(sink))
        .live(live_data(50))
        .start()
        .unwrap();
    let ingest = pipeline
        .intake(&ScopeName::new("http/normal"))
        .await
        .unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let gateway = Gateway::bind(listen, GatewayOptions::default(), pipeline.clone(), ingest)
        .await
        .unwrap();
    let mut late = pipeline.notifications();
    let notifier = gateway.notifier();
    for number in 0..1_000 {
        notifier.notify(pipeline::Level::Info, &number.to_string());
    }
    let missed = late.recv().await;
    assert!(
        matches!(missed, Err(RecvError::Lagged(missed)) if missed > 0),
        "{missed:?}"
    );
    let next = late.recv().await.unwrap();
    assert!(next.message.parse::<u32>().unwrap() >= 900, "{next:?}");
    gateway.notify(pipeline::Level::Error, "the last");
    let mut last = next;
    while let Ok(next) = late.try_recv() {
        last = next;
    }
    assert_eq!(
        (last.level, last.message.as_str()),
        (pipeline::Level::Error, "the last")
    );
    pipeline.shutdown(None).await;
}

#[tokio::test]
async fn a_gateway_does_not_start_with_an_action_or_a_channel_that_cannot_be() {
    let channel = |name: &str, patterns: &[&str]| GatewayOptions {
        channels: [(
            name.to_owned(),
            patterns.iter().map(|&pattern| pattern.to_owned()).collect(),
        )]
        .into(),
        ..GatewayOptions::default()
    };
    let action = |name: &str| GatewayOptions {
        actions: Actions::new().on(name, |_| async { Ok(Json::Null) }),
        ..GatewayOptions::default()
    };
    let many: Vec<&str> = vec!["a"; 513];
    for (options, said) in [
        (action(""), "expected 1 to 64"),
        (action(&"a".repeat(65)), "has 65 bytes"),
        (action("a\nb"), "control characters"),
        (channel("", &["a/*"]), "its name has 0 bytes"),
        (channel(&"c".repeat(65), &["a/*"]), "has 65 bytes"),
        (channel("agents", &[]), "\"agents\": there are 0 patterns"),
        (channel("agents", &many), "there are 513 patterns"),
        (channel("agents", &["a/[b"]), "\"agents\": "),
    ] {
        let pipeline = Pipeline::to(BoxWriter::new(MemoryWriter::new()))
            .start()
            .unwrap();
        let ingest = pipeline
            .intake(&ScopeName::new("http/normal"))
            .await
            .unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let bound = Gateway::bind(listen, options, pipeline.clone(), ingest).await;
        let error = bound.unwrap_err();
        assert!(matches!(error, BindError::Invalid(_)), "{error:?}");
        assert!(error.to_string().contains(said), "{error}");
        pipeline.shutdown(None).await;
    }
}
