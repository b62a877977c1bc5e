//! What is written in either encoding is what is read from it, and what is read is bounded.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use proptest::prelude::*;
use protocol::{ClientMessage, DecodeError, Encoding, Pong, ServerMessage};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(message: &T) {
    for encoding in Encoding::ALL {
        let bytes = encoding.encode(message).unwrap();
        assert_eq!(&encoding.decode::<T>(&bytes).unwrap(), message);
        let mut appended = b"before".to_vec();
        encoding.encode_into(message, &mut appended).unwrap();
        assert_eq!(&appended[6..], bytes);
        let cut = encoding.decode::<T>(&bytes[..bytes.len() - 1]);
        assert!(
            matches!(cut, Err(DecodeError::Malformed { .. })),
            "{encoding:?}"
        );
        appended.push(b'0');
        assert_eq!(
            encoding.decode::<T>(&appended[6..]).unwrap_err(),
            DecodeError::Trailing {
                encoding: encoding.name()
            }
        );
    }
}

proptest! {
    #[test]
    fn each_client_message_is_read_as_it_was_written(message in common::client_message()) {
        check(&message);
    }

    #[test]
    fn each_server_message_is_read_as_it_was_written(message in common::server_message()) {
        check(&message);
    }

    #[test]
    fn both_encodings_say_the_same(message in common::server_message()) {
        let [binary, text] = Encoding::ALL.map(|encoding| {
            let bytes = encoding.encode(&message).unwrap();
            encoding.decode::<Value>(&bytes).unwrap()
        });
        prop_assert_eq!(binary, text);
    }

    #[test]
    fn law_11_no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for encoding in Encoding::ALL {
            let _ = encoding.decode::<ClientMessage>(&bytes);
            let _ = encoding.decode::<ServerMessage>(&bytes);
            let _ = encoding.decode::<Value>(&bytes);
        }
    }
}

#[test]
fn numbers_are_exact_in_both_encodings() {
    let numbers = [
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
        json!((1_i64 << 53) + 1),
        json!(0.1),
        json!(-0.0),
        json!(1.0),
        json!(5e-324),
        json!(f64::MAX),
    ];
    for encoding in Encoding::ALL {
        for number in &numbers {
            let pong = ServerMessage::Pong(Pong {
                seq: u64::MAX,
                echo: number.clone(),
                timestamp: i64::MIN,
            });
            let read = encoding.decode(&encoding.encode(&pong).unwrap()).unwrap();
            let ServerMessage::Pong(read) = read else {
                panic!("{read:?}");
            };
            assert_eq!((read.seq, read.timestamp), (u64::MAX, i64::MIN));
            // As text, because -0.0 and 0.0 are equal and 1 and 1.0 must not be mixed up.
            assert_eq!(read.echo.to_string(), number.to_string(), "{encoding:?}");
        }
    }
}

#[test]
fn deep_nesting_is_refused_and_not_followed() {
    for depth in [200, 100_000] {
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let refused = Encoding::Json.decode::<Value>(text.as_bytes());
        assert!(matches!(refused, Err(DecodeError::Malformed { .. })));
        // An array of one, again and again.
        let bytes = vec![0x91; depth];
        let refused = Encoding::MessagePack.decode::<Value>(&bytes).unwrap_err();
        let reason = "no message in MessagePack: depth limit exceeded";
        assert_eq!(refused.to_string(), reason);
    }
    let nested = (0..100).fold(json!(1), |inner, _| json!([inner]));
    for encoding in Encoding::ALL {
        let bytes = encoding.encode(&nested).unwrap();
        assert_eq!(encoding.decode::<Value>(&bytes).unwrap(), nested);
    }
}

#[test]
fn a_length_that_lies_takes_no_memory() {
    // Text, an array and a map of 4 GB each, of which nothing follows.
    for marker in [0xdb, 0xdd, 0xdf] {
        let bytes = [marker, 0xff, 0xff, 0xff, 0xff];
        let refused = Encoding::MessagePack.decode::<Value>(&bytes);
        assert!(matches!(refused, Err(DecodeError::Malformed { .. })));
    }
}

#[test]
fn what_json_cannot_say_is_refused_in_message_pack() {
    let binary = [0xc4, 0x01, 0xff];
    let extension = [0xd4, 0x01, 0xff];
    for bytes in [&binary[..], &extension[..]] {
        assert!(Encoding::MessagePack.decode::<Value>(bytes).is_err());
    }
}

#[test]
fn what_cannot_be_written_leaves_the_bytes_as_they_were() {
    let map: std::collections::BTreeMap<(u8, u8), u8> = [((1, 2), 3)].into();
    let mut bytes = b"before".to_vec();
    let refused = Encoding::Json.encode_into(&map, &mut bytes).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "no message in JSON: key must be a string"
    );
    assert_eq!(bytes, b"before");
}

#[test]
fn subprotocols_are_found_by_their_exact_name() {
    for encoding in Encoding::ALL {
        let name = encoding.subprotocol();
        assert_eq!(Encoding::from_subprotocol(name), Some(encoding));
    }
    for unknown in ["", "forebay.v2.json", "FOREBAY.V1.JSON", "forebay.v1.json "] {
        assert_eq!(Encoding::from_subprotocol(unknown), None, "{unknown:?}");
    }
    assert_eq!(Encoding::default(), Encoding::Json);
}

#[test]
fn a_change_without_a_value_or_with_half_a_patch_is_refused() {
    let with = |fields: Value| {
        let mut change = json!({"source": "a", "tag": "b", "timestamp": 1});
        protocol::merge_patch::apply(&mut change, &fields);
        serde_json::from_value::<protocol::Change>(change).is_ok()
    };
    assert!(with(json!({"value": 1})));
    assert!(with(json!({"patch": {}, "base": 1})));
    for wrong in [
        json!({}),
        json!({"patch": {}}),
        json!({"base": 1}),
        json!({"value": 1, "patch": {}, "base": 1}),
    ] {
        assert!(!with(wrong.clone()), "{wrong}");
    }
    let null = json!({"source": "a", "tag": "b", "timestamp": 1, "value": null});
    assert!(serde_json::from_value::<protocol::Change>(null).is_ok());
}

#[test]
fn fields_that_are_not_known_are_passed_over() {
    let newer = json!({"type": "pause", "id": "a", "until": [1, {"b": 2}]});
    for encoding in Encoding::ALL {
        let read: ClientMessage = encoding.decode(&encoding.encode(&newer).unwrap()).unwrap();
        assert_eq!(read, ClientMessage::Pause { id: "a".to_owned() });
    }
}
