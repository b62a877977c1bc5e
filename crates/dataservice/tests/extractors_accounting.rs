//! Whatever stands around an extractor, fresh updates are delivered or filtered.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use dataservice::{
    Aggregated, Aggregation, DataService, Deadband, Extract, Extractor, LatestValue, Sample,
    SinceLast, Spec, View, WindowByCount,
};
use proptest::collection::vec;
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Push(Vec<i32>),
    Poll,
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => vec(-20_i32..20, 0..12).prop_map(Step::Push),
        4 => Just(Step::Poll),
        1 => Just(Step::Clear),
    ];
    vec(step, 1..60)
}

proptest! {
    #[test]
    fn fresh_is_delivered_and_filtered_in_every_case_and_windows_hold_what_passed(
        steps in steps(), window in 1_usize..20,
    ) {
        let odd = |sample: Sample<&i32>| sample.value % 2 != 0;
        let mut values = WindowByCount::new(window).filter(odd);
        let mut sums = Aggregated::by_count(window).show(Aggregation::Sum).filter(odd);
        let mut both = WindowByCount::new(window).deadband(Deadband::absolute(3.0)).filter(odd);
        let (mut kept, mut appended, mut fresh) = (Vec::<i32>::new(), 0_u64, 0_usize);
        for step in steps {
            match step {
                Step::Push(pushed) => {
                    appended += pushed.len() as u64;
                    fresh += pushed.len();
                    kept.extend(pushed);
                    continue;
                }
                Step::Clear => {
                    kept.clear();
                    fresh = 0;
                }
                Step::Poll => {}
            }
            let seen = kept[kept.len().saturating_sub(window)..].to_vec();
            let new = seen[seen.len() - fresh.min(seen.len())..].to_vec();
            let view = View::of((0..).zip(seen.iter().copied()).collect());
            let view = view.with_history(fresh, appended);
            let passed: Vec<i32> = seen.iter().copied().filter(|value| value % 2 != 0).collect();
            let held_back = new.iter().filter(|value| **value % 2 == 0).count();
            let quiet = new.len() == held_back && !new.is_empty();

            let extracted = values.extract(view.clone());
            prop_assert_eq!(extracted.filtered(), held_back as u64);
            let shown: Option<Extract<i32>> = extracted.into_output();
            if quiet || passed.is_empty() {
                prop_assert!(shown.is_none());
            } else {
                let shown = shown.unwrap();
                prop_assert_eq!(shown.values(), &passed[..]);
            }

            let extracted = sums.extract(view.clone());
            prop_assert_eq!(extracted.filtered(), held_back as u64);
            if !quiet && !passed.is_empty() {
                let sum: i32 = passed.iter().sum();
                prop_assert_eq!(extracted.into_output().unwrap().sum(), f64::from(sum));
            }

            let extracted = both.extract(view);
            prop_assert!((held_back as u64..=new.len() as u64).contains(&extracted.filtered()));
            fresh = 0;
        }
    }
}

proptest! {
    #[test]
    fn through_a_service_committed_is_delivered_missed_filtered_and_pending(
        steps in steps(), separation_us in 1_u64..6,
    ) {
        let service: DataService<u8, i32> = DataService::new();
        let ids: Vec<_> = (0..4).map(|key| service.register(key).unwrap()).collect();
        let odd = |sample: Sample<&i32>| sample.value % 2 != 0;
        let separation = Duration::from_micros(separation_us);
        let spec = Spec::new()
            .key(ids[0], SinceLast::new(5).deadband(Deadband::percent(50.0)))
            .key(ids[1], LatestValue.min_separation(separation).filter(odd))
            .key(ids[2], WindowByCount::new(6).filter(odd).min_separation(separation))
            .key(ids[3], Aggregated::by_count(4).deadband(Deadband::absolute(4.0)));
        let mut subscription = service.subscribe(spec).unwrap();
        let mut time_us = 0;
        for step in steps {
            match step {
                Step::Push(values) => for value in values {
                    time_us += 1;
                    service.put_many(ids[(time_us % 4) as usize], [(time_us, value)]).unwrap();
                    service.put(ids[(value.unsigned_abs() % 4) as usize], time_us, value).unwrap();
                },
                Step::Poll => drop(subscription.poll()),
                Step::Clear => {
                    service.clear(&ids[..2]);
                }
            }
            let stats = subscription.stats();
            prop_assert_eq!(
                stats.committed,
                stats.delivered + stats.missed + stats.filtered + stats.pending
            );
        }
        drop(subscription.snapshot());
        let stats = subscription.stats();
        prop_assert_eq!(stats.pending, 0);
        prop_assert_eq!(stats.committed, stats.delivered + stats.missed + stats.filtered);
    }
}
