//! What the adaptive policy accepts as settings, and where its size can be read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use flush_policy::{
    Adaptive, AdaptiveSpec, FlushPolicy, FlushSpec, Jitter, JitterSpec, Manual, PolicyError, Size,
    all_of, any_of,
};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn size_can_be_read_through_every_combination() {
    let adaptive = || Adaptive::new(AdaptiveSpec::new().base(9)).unwrap().boxed();
    let small = Adaptive::new(AdaptiveSpec::new().base(4)).unwrap().boxed();
    let size = Size::new(3).unwrap().boxed();
    assert_eq!(adaptive().batch_items(), Some(9));
    assert_eq!(
        any_of([size, adaptive(), small]).unwrap().batch_items(),
        Some(4)
    );
    assert_eq!(
        all_of([adaptive(), Manual.boxed()]).unwrap().batch_items(),
        Some(9)
    );
    let spread = Jitter::new(adaptive(), JitterSpec::new(10, 1)).unwrap();
    assert_eq!(spread.boxed().batch_items(), Some(9));
    assert_eq!(FlushSpec::default().build().unwrap().batch_items(), None);
}

#[test]
fn impossible_settings_name_field_value_and_limit() {
    fn check(spec: AdaptiveSpec, message: &str) {
        let error: PolicyError = Adaptive::new(spec).unwrap_err();
        assert_eq!(error.to_string(), message);
        let error = FlushSpec::new().adaptive(spec).build().unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    let spec = AdaptiveSpec::new();
    check(
        spec.sizes(0, 50),
        "adaptive.size_min is 0, but must be at least 1",
    );
    check(
        spec.sizes(9, 8),
        "adaptive.size_max is 8, but must be at least 9",
    );
    check(
        spec.sizes(5, 9).base(4),
        "adaptive.base is 4, but must be at least 5",
    );
    check(spec.base(51), "adaptive.base is 51, but must be at most 50");
    check(
        spec.wait(ms(0)),
        "adaptive.wait is 0ns, but must be longer than 0 s",
    );
    check(
        spec.write_target(ms(0)),
        "adaptive.write_target is 0ns, but must be longer than 0 s",
    );
    check(
        spec.quiet(Duration::from_secs(31_536_001)),
        "adaptive.quiet is 31536001 s, but must be at most 31536000 s",
    );
    for (min, max, base) in [
        (3, 3, 3),
        (1, 2, 1),
        (1, usize::MAX, 1 << 32),
        (100, 10_000, 1_000),
    ] {
        let size = Adaptive::new(spec.sizes(min, max)).unwrap().size();
        assert!(size.abs_diff(base) <= 1, "{size}");
    }
}
