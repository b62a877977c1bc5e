//! Any message, for the properties.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use protocol::{
    Action, ActionResult, Change, Changes, ClientMessage, Content, Extract, Failure, Hello,
    KeyName, Level, Notification, Plot, Pong, Removed, Reset, ServerMessage, Since, Subscribe,
    Welcome,
};
use record::{Name, Priority, Quality};
use serde_json::Value;

pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9./*-]{0,12}",
        any::<String>(),
        Just("\u{0}\"\\\u{1f600}".to_owned())
    ]
}

pub(crate) fn name() -> impl Strategy<Value = Name> {
    "[a-zA-Z0-9._/ äß\"\\\\-]{1,40}".prop_map(|text| Name::new("name", &text).unwrap())
}

pub(crate) fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("JSON has no others", |number| number.is_finite()),
        Just(0.1),
        Just(1.0),
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
        Just(5e-324),
        Just(9_007_199_254_740_993.0),
    ]
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        float().prop_map(Value::from),
        text().prop_map(Value::from),
    ]
}

/// Any JSON, with names that often meet.
pub(crate) fn json() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map("[a-d]|[a-z]{1,8}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn extract() -> impl Strategy<Value = Extract> {
    let downsampled = (
        option::of(any::<usize>()),
        option::of(float()),
        any::<usize>(),
    );
    prop_oneof![
        Just(Extract::Latest),
        any::<usize>().prop_map(|count| Extract::Window { count }),
        Just(Extract::SinceLast),
        downsampled.prop_map(|(count, seconds, points)| Extract::Downsampled {
            count,
            seconds,
            points
        }),
    ]
}

fn subscribe() -> impl Strategy<Value = Subscribe> {
    let since = (text(), any::<u64>()).prop_map(|(instance, seq)| Since { instance, seq });
    let which = (text(), vec(text(), 0..4), option::of(text()));
    let how = (extract(), any::<u64>(), vec(text(), 0..4), any::<bool>());
    (which, how, option::of(since)).prop_map(
        |((id, keys, channel), (extract, min_interval_ms, fields, deltas), since)| Subscribe {
            id,
            keys,
            channel,
            extract,
            min_interval_ms,
            fields,
            deltas,
            since,
        },
    )
}

pub(crate) fn client_message() -> impl Strategy<Value = ClientMessage> {
    let hello = (option::of(text()), option::of(any::<u32>()));
    let action = (text(), text(), text(), json());
    prop_oneof![
        hello.prop_map(|(token, protocol)| ClientMessage::Hello(Hello { token, protocol })),
        subscribe().prop_map(ClientMessage::Subscribe),
        text().prop_map(|id| ClientMessage::Unsubscribe { id }),
        text().prop_map(|id| ClientMessage::Pause { id }),
        text().prop_map(|id| ClientMessage::Unpause { id }),
        action.prop_map(|(id, name, target, params)| ClientMessage::Action(Action {
            id,
            name,
            target,
            params
        })),
        json().prop_map(|echo| ClientMessage::Ping { echo }),
    ]
}

fn key() -> impl Strategy<Value = KeyName> {
    (name(), name()).prop_map(|(source, tag)| KeyName { source, tag })
}

fn change() -> impl Strategy<Value = Change> {
    let content = prop_oneof![
        json().prop_map(Content::Whole),
        (json(), any::<u64>()).prop_map(|(patch, base)| Content::Patch { patch, base }),
    ];
    let quality = prop_oneof![
        Just(Quality::Good),
        Just(Quality::Uncertain),
        Just(Quality::Bad)
    ];
    let priority = prop_oneof![
        Just(Priority::Low),
        Just(Priority::Normal),
        Just(Priority::High),
        Just(Priority::Critical)
    ];
    let how = (quality, priority, option::of(any::<u64>()));
    (key(), any::<i64>(), content, how).prop_map(
        |(key, timestamp, content, (quality, priority, rev))| Change {
            source: key.source,
            tag: key.tag,
            timestamp,
            content,
            quality,
            priority,
            rev,
        },
    )
}

fn plot() -> impl Strategy<Value = Plot> {
    let columns = (vec(any::<i64>(), 0..5), vec(option::of(float()), 0..5));
    (key(), any::<u64>(), columns).prop_map(|(key, points_in, (timestamps, values))| Plot {
        source: key.source,
        tag: key.tag,
        points_in,
        timestamps,
        values,
    })
}

fn changes() -> impl Strategy<Value = Changes> {
    let state = (any::<u64>(), any::<i64>(), any::<bool>(), any::<u64>());
    let content = (vec(change(), 0..6), vec(plot(), 0..3));
    (text(), state, content).prop_map(
        |(id, (seq, timestamp, resumed, missed), (changes, plots))| Changes {
            id,
            seq,
            timestamp,
            resumed,
            missed,
            changes,
            plots,
        },
    )
}

pub(crate) fn server_message() -> impl Strategy<Value = ServerMessage> {
    let level = prop_oneof![Just(Level::Info), Just(Level::Warning), Just(Level::Error)];
    prop_oneof![
        (any::<u32>(), text(), any::<u64>(), any::<i64>()).prop_map(
            |(protocol, instance, connection_id, timestamp)| ServerMessage::Welcome(Welcome {
                protocol,
                instance,
                connection_id,
                timestamp
            })
        ),
        changes().prop_map(ServerMessage::Snapshot),
        changes().prop_map(ServerMessage::Update),
        (text(), any::<u64>(), vec(key(), 0..5))
            .prop_map(|(id, seq, keys)| ServerMessage::Removed(Removed { id, seq, keys })),
        (text(), text()).prop_map(|(id, reason)| ServerMessage::Reset(Reset { id, reason })),
        (level, text(), any::<i64>()).prop_map(|(level, message, timestamp)| {
            ServerMessage::Notification(Notification {
                level,
                message,
                timestamp,
            })
        }),
        (
            text(),
            any::<bool>(),
            json(),
            option::of(text()),
            any::<i64>()
        )
            .prop_map(
                |(id, ok, value, error, timestamp)| ServerMessage::ActionResult(ActionResult {
                    id,
                    ok,
                    value,
                    error,
                    timestamp
                })
            ),
        (any::<u64>(), json(), any::<i64>()).prop_map(|(seq, echo, timestamp)| {
            ServerMessage::Pong(Pong {
                seq,
                echo,
                timestamp,
            })
        }),
        (text(), text(), option::of(text()))
            .prop_map(|(code, message, id)| ServerMessage::Error(Failure { code, message, id })),
    ]
}
