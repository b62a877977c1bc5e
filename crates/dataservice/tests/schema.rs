//! What a value is, and how it differs from what was declared.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use dataservice::{DataService, Described, Frame, Kind, Mismatch, Schema, Shape};

fn frame(extents: &[usize]) -> Frame<f32> {
    let shape = Shape::new(extents).unwrap();
    Frame::new(shape, vec![0.0; shape.elements()]).unwrap()
}

#[test]
fn every_kind_of_value_tells_what_it_is() {
    let cases: [(&dyn Described, &str); 18] = [
        (&0.5_f32, "f32"),
        (&0.5_f64, "f64"),
        (&1_i8, "i8"),
        (&1_i16, "i16"),
        (&1_i32, "i32"),
        (&1_i64, "i64"),
        (&1_u8, "u8"),
        (&1_u16, "u16"),
        (&1_u32, "u32"),
        (&1_u64, "u64"),
        (&true, "bool"),
        (&"a", "text"),
        (&"a".to_owned(), "text"),
        (&Box::<str>::from("a"), "text"),
        (&Arc::<str>::from("a"), "text"),
        (&frame(&[2, 3]), "f32[2, 3]"),
        (&Arc::new(frame(&[5])), "f32[5]"),
        (&frame(&[]), "f32[]"),
    ];
    for (value, expected) in cases {
        assert_eq!(value.schema().to_string(), expected);
    }
}

fn check(expected: Schema, got: Schema, message: Option<&str>) {
    let mismatch = expected.mismatch(&got);
    assert_eq!(mismatch.map(|found| found.to_string()).as_deref(), message);
    assert_eq!(mismatch.is_some(), expected != got);
}

#[test]
fn a_mismatch_names_the_field_the_value_and_what_was_expected() {
    let image = frame(&[4, 4]).schema();
    check(image, frame(&[4, 4]).schema(), None);
    check(0.5.schema(), 1.5.schema(), None);
    check("a".schema(), "b".to_owned().schema(), None);
    check(
        image,
        frame(&[2, 8]).schema(),
        Some("shape is [2, 8], expected [4, 4]"),
    );
    check(
        image,
        0.5_f32.schema(),
        Some("kind is f32, expected frame of f32"),
    );
    check(
        0.5_f32.schema(),
        frame(&[]).schema(),
        Some("kind is frame of f32, expected f32"),
    );
    check(
        0.5.schema(),
        true.schema(),
        Some("kind is bool, expected f64"),
    );
}

#[test]
fn a_service_refuses_what_was_not_declared() {
    let builder = DataService::<&str, Frame<f32>>::builder();
    let service = builder.describe(Frame::schema).build().unwrap();
    let camera = service.register("camera").unwrap();
    service.declare(camera, frame(&[4, 4]).schema()).unwrap();
    service.put(camera, 1, frame(&[4, 4])).unwrap();
    let refused = service.put(camera, 2, frame(&[2, 8])).unwrap_err();
    let message = refused.to_string();
    assert!(
        message.ends_with("shape is [2, 8], expected [4, 4]"),
        "{message}"
    );
    assert_eq!(refused.value.shape().extents(), [2, 8], "it is handed back");
}

#[test]
fn the_kind_is_told_before_the_shape() {
    let other = Schema::frame::<u16>(Shape::new(&[7]).unwrap());
    assert_eq!(
        frame(&[2]).schema().mismatch(&other),
        Some(Mismatch::Kind {
            expected: Kind::Frame("f32"),
            got: Kind::Frame("u16"),
        })
    );
}
