//! The JSON schema of all messages, made of the types.
//!
//! It is one document: the kinds of messages are in `anyOf`, and everything they are made of is in
//! `$defs`. It says what a reader accepts, so fields that have a default are not required. The
//! file `docs/protocol.schema.json` is this document; it is made anew by
//! `cargo run -p protocol --example schema`.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::{AdminAnswer, AdminRequest, ClientMessage, ServerMessage, VERSION};

/// The JSON schema (draft 2020-12) of what is said on `/ws` and `/ws/admin`, in either direction.
///
/// ```
/// let schema = protocol::schema();
/// assert_eq!(schema["anyOf"][0]["$ref"], "#/$defs/ClientMessage");
/// assert!(schema["$defs"]["Subscribe"]["properties"]["keys"].is_object());
/// ```
#[must_use]
pub fn schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let kinds = [
        of::<ClientMessage>(&mut generator),
        of::<ServerMessage>(&mut generator),
        of::<AdminRequest>(&mut generator),
        of::<AdminAnswer>(&mut generator),
    ];
    let definitions = generator.take_definitions(true);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("The protocol of the gateway, version {VERSION}"),
        "anyOf": kinds,
        "$defs": definitions,
    })
}

/// A reference to the definition of a type, which is added.
fn of<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}
