//! Messages in both encodings: what can be read can be written, and is then read as the same.
//!
//! The values of two messages also make a merge patch, which has to lead from one to the other.

#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{AdminAnswer, AdminRequest, ClientMessage, Encoding, ServerMessage, merge_patch};
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|bytes: &[u8]| {
    for encoding in Encoding::ALL {
        let client: Option<ClientMessage> = check(encoding, bytes);
        check::<ServerMessage>(encoding, bytes);
        check::<AdminRequest>(encoding, bytes);
        check::<AdminAnswer>(encoding, bytes);
        match client {
            Some(ClientMessage::Ping { echo }) => patched(echo),
            Some(ClientMessage::Action(action)) => patched(action.params),
            _ => {}
        }
    }
});

/// Reads, writes and reads again. Bytes are compared, since a number that is none equals nothing.
fn check<T: Serialize + DeserializeOwned>(encoding: Encoding, bytes: &[u8]) -> Option<T> {
    let message: T = encoding.decode(bytes).ok()?;
    for other in Encoding::ALL {
        let written = other.encode(&message).expect("what was read can be written");
        let again: T = match other.decode(&written) {
            Ok(again) => again,
            // The encodings do not count nesting alike, nor does JSON know every number.
            Err(_) if other != encoding => continue,
            Err(error) => panic!("what was written cannot be read: {error}"),
        };
        let again = other.encode(&again).expect("it was written before");
        assert!(written == again, "it is read as something else in {other:?}");
    }
    Some(message)
}

/// The first two elements or members are made of each other.
fn patched(value: serde_json::Value) {
    let pair: Vec<serde_json::Value> = match value {
        serde_json::Value::Array(values) => values.into_iter().take(2).collect(),
        serde_json::Value::Object(members) => members.into_iter().map(|it| it.1).take(2).collect(),
        _ => return,
    };
    let [from, to] = pair.as_slice() else { return };
    if let Some(patch) = merge_patch::diff(from, to) {
        let mut patched = from.clone();
        merge_patch::apply(&mut patched, &patch);
        assert_eq!(&patched, to, "by the patch {patch}");
    }
}
