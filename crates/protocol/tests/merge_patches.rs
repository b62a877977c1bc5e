//! A patch leads from one value to the other, or there is none.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use proptest::prelude::*;
use protocol::merge_patch::{apply, diff};
use serde_json::{Value, json};

/// RFC 7396, section 2, word by word.
fn as_the_rfc_says(target: Value, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut target = match target {
        Value::Object(members) => members,
        _ => serde_json::Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            let before = target.remove(name).unwrap_or(Value::Null);
            target.insert(name.clone(), as_the_rfc_says(before, value));
        }
    }
    Value::Object(target)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn the_difference_applied_gives_the_new_value(
        (before, after) in (common::json(), common::json(), common::json()).prop_map(
            |(before, change, unrelated)| {
                // Mostly values that are alike, because others have no patch.
                let mut after = before.clone();
                apply(&mut after, &change);
                (json!({"a": before, "b": unrelated}), json!({"a": after, "b": unrelated}))
            }
        )
    ) {
        if let Some(patch) = diff(&before, &after) {
            let mut applied = before.clone();
            apply(&mut applied, &patch);
            prop_assert_eq!(&applied, &after);
            prop_assert!(patch.to_string().len() <= after.to_string().len() * 3);
        }
    }

    #[test]
    fn a_patch_does_what_the_rfc_says(target in common::json(), patch in common::json()) {
        let expected = as_the_rfc_says(target.clone(), &patch);
        let mut applied = target;
        apply(&mut applied, &patch);
        prop_assert_eq!(applied, expected);
    }

    #[test]
    fn any_two_values_have_a_patch_that_is_right_or_none(
        before in common::json(), after in common::json()
    ) {
        if let Some(patch) = diff(&before, &after) {
            let mut applied = before;
            apply(&mut applied, &patch);
            prop_assert_eq!(applied, after);
        }
    }
}

#[test]
fn the_table_of_the_rfc_holds() {
    let table = [
        (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#),
        (r#"{"a":"b"}"#, r#"{"a":null}"#, r"{}"),
        (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
        (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
        (r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#),
        (
            r#"{"a":{"b":"c"}}"#,
            r#"{"a":{"b":"d","c":null}}"#,
            r#"{"a":{"b":"d"}}"#,
        ),
        (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
        (r#"["a","b"]"#, r#"["c","d"]"#, r#"["c","d"]"#),
        (r#"{"a":"b"}"#, r#"["c"]"#, r#"["c"]"#),
        (r#"{"a":"foo"}"#, "null", "null"),
        (r#"{"a":"foo"}"#, r#""bar""#, r#""bar""#),
        (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#),
        (r"[1,2]", r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#),
        (r"{}", r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
    ];
    for (target, patch, expected) in table {
        let [mut target, patch, expected] =
            [target, patch, expected].map(|text| serde_json::from_str::<Value>(text).unwrap());
        apply(&mut target, &patch);
        assert_eq!(target, expected, "after {patch}");
    }
}

#[test]
fn what_a_patch_cannot_say_has_none() {
    let long = "a long text that makes every patch worth it".repeat(3);
    let from = json!({"kept": long, "a": 1, "none": null});
    let to = |member: Value| json!({"kept": long, "a": member, "none": null});
    assert_eq!(diff(&from, &to(json!(2))), Some(json!({"a": 2})));
    assert_eq!(
        diff(&from, &to(json!([null]))),
        Some(json!({"a": [null]})),
        "an array is replaced as a whole"
    );
    assert_eq!(diff(&from, &to(json!(null))), None, "it would be removed");
    assert_eq!(
        diff(&from, &to(json!({"b": null}))),
        None,
        "null inside would be left out"
    );
    assert_eq!(diff(&json!(1), &json!(2)), None);
    assert_eq!(diff(&json!([1]), &json!({"a": 1})), None);
    assert_eq!(
        diff(&json!({"a": 1, "b": 2}), &json!({"c": 3})),
        None,
        "the value is shorter"
    );
    assert_eq!(
        diff(&from, &from),
        Some(json!({})),
        "nothing became different"
    );
}

#[test]
fn deep_values_have_no_patch_and_deep_patches_are_applied() {
    let deep = |leaf: Value| (0..1_000).fold(leaf, |inner, _| json!({"a": inner, "b": "same"}));
    assert_eq!(diff(&deep(json!(1)), &deep(json!(2))), None);
    let patch = (0..1_000).fold(json!(2), |inner, _| json!({"a": inner}));
    let mut target = deep(json!(1));
    apply(&mut target, &patch);
    assert_eq!(target, deep(json!(2)));
}
