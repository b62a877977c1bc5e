//! What specifications look like in configuration.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use flush_policy::{AdaptiveSpec, FlushSpec, JitterSpec, Preset};
use serde_json::{Value, from_value, json, to_value};

fn check(spec: FlushSpec, json: &Value) {
    assert_eq!(&to_value(spec).unwrap(), json);
    assert_eq!(from_value::<FlushSpec>(json.clone()).unwrap(), spec);
}

#[test]
fn specification_is_a_table_in_which_what_is_left_out_is_off() {
    let ms = Duration::from_millis;
    check(FlushSpec::new(), &json!({}));
    check(FlushSpec::default(), &json!({ "size": 10, "age_s": 300.0 }));
    check(
        FlushSpec::new()
            .bytes(1_024)
            .age(Duration::from_nanos(1_500))
            .interval(ms(500)),
        &json!({ "bytes": 1_024, "age_s": 0.000_001_5, "interval_s": 0.5 }),
    );
    let adaptive = AdaptiveSpec::new()
        .sizes(2, 90)
        .base(30)
        .wait(ms(20))
        .quiet(ms(3_000));
    check(
        FlushSpec::new()
            .adaptive(adaptive)
            .jitter(JitterSpec::new(10, 7)),
        &json!({
            "adaptive": {
                "size_min": 2,
                "size_max": 90,
                "base": 30,
                "wait_s": 0.02,
                "write_target_s": 0.05,
                "quiet_s": 3.0,
            },
            "jitter": { "share_pct": 10, "seed": 7 },
        }),
    );
    assert_eq!(to_value(Preset::LowLatency).unwrap(), json!("low-latency"));
}

#[test]
fn adaptive_settings_that_are_left_out_have_their_defaults() {
    let spec: FlushSpec = from_value(json!({ "adaptive": { "size_max": 200 } })).unwrap();
    assert_eq!(
        spec,
        FlushSpec::new().adaptive(AdaptiveSpec::new().sizes(1, 200))
    );
    let spec: FlushSpec = from_value(json!({ "adaptive": {}, "age_s": null })).unwrap();
    assert_eq!(spec, FlushSpec::new().adaptive(AdaptiveSpec::new()));
    let spec: FlushSpec = from_value(json!({ "jitter": { "share_pct": 5 } })).unwrap();
    assert_eq!(spec, FlushSpec::new().jitter(JitterSpec::new(5, 0)));
}

#[test]
fn unknown_names_and_impossible_durations_are_refused() {
    for (json, part) in [
        (json!({ "age": 5 }), "unknown field `age`"),
        (json!({ "adaptive": { "size": 5 } }), "unknown field `size`"),
        (
            json!({ "jitter": { "seed": 1 } }),
            "missing field `share_pct`",
        ),
        (json!({ "age_s": -1.0 }), "-1 s is no duration"),
        (json!({ "interval_s": 1e300 }), "s is no duration"),
    ] {
        let error = from_value::<FlushSpec>(json).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
