//! The schema in the docs is what the types say.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

#[test]
fn the_schema_in_the_docs_is_what_the_types_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.schema.json");
    let written = std::fs::read_to_string(path).unwrap();
    assert!(
        written == format!("{:#}\n", protocol::schema()),
        "docs/protocol.schema.json is old: cargo run -p protocol --example schema"
    );
}

#[test]
fn every_type_that_the_schema_names_is_in_it() {
    let schema = protocol::schema();
    let text = schema.to_string();
    let names = text.split("\"#/$defs/").skip(1);
    let mut count = 0;
    for name in names.filter_map(|rest| rest.split('"').next()) {
        assert!(schema["$defs"][name].is_object(), "{name}");
        count += 1;
    }
    assert!(count > 10, "{count}");
}
