//! The sum and mean over a window of frames, kept up to date, against the same summed anew.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use dataservice::{
    AggregatedFrame, DataService, Element, Extractor, Frame, FrameAggregate, FramePool,
    LatestValue, Requirement, Series, Shape, Spec, View,
};
use proptest::prelude::*;

fn frame<E: Element>(elements: &[E]) -> Frame<E> {
    let shape = Shape::new(&[elements.len()]).unwrap();
    Frame::new(shape, elements.to_vec()).unwrap()
}

fn extract<E: Element>(
    extractor: &mut FrameAggregate<E>,
    frames: &[(i64, Frame<E>)],
) -> Option<AggregatedFrame> {
    let series: Series<_> = frames.iter().cloned().collect();
    extractor.extract(View::of(series)).into_output()
}

/// The last `count` frames of the newest shape.
fn window<E>(frames: &[(i64, Frame<E>)], count: usize) -> &[(i64, Frame<E>)] {
    let Some((_, newest)) = frames.last() else {
        return &[];
    };
    let same = |pair: &&(i64, Frame<E>)| pair.1.shape() == newest.shape();
    let length = frames.iter().rev().take(count).take_while(same).count();
    &frames[frames.len() - length..]
}

/// Sums and counts of what is not NaN, one frame after the other.
fn naive<E: Element>(window: &[(i64, Frame<E>)]) -> (Vec<f64>, Vec<f64>) {
    let elements = window[0].1.as_slice().len();
    let (mut sums, mut counts) = (vec![0.0; elements], vec![0.0; elements]);
    for (_, frame) in window {
        for (at, element) in frame.as_slice().iter().enumerate() {
            if !element.to_f64().is_nan() {
                sums[at] += element.to_f64();
                counts[at] += 1.0;
            }
        }
    }
    (sums, counts)
}

#[track_caller]
fn assert_same(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        let same = got == expected
            || got.is_nan() && expected.is_nan()
            || (got - expected).abs() <= tolerance;
        assert!(same, "element {at}: {got}, expected {expected}");
    }
}

#[test]
fn it_covers_the_last_frames_and_tells_from_when_to_when() {
    let mut sum = FrameAggregate::sum(3);
    let mut frames = Vec::new();
    let steps = [
        (10, [1, 10], ([1.0, 10.0], 1, 10, 10)),
        (30, [2, 20], ([3.0, 30.0], 2, 10, 30)),
        // It came late.
        (20, [3, 30], ([6.0, 60.0], 3, 10, 30)),
        (40, [4, 40], ([9.0, 90.0], 3, 20, 40)),
        (50, [5, 50], ([12.0, 120.0], 3, 20, 50)),
    ];
    for (time_us, elements, (sums, count, start_us, end_us)) in steps {
        frames.push((time_us, frame::<u16>(&elements)));
        let shown = extract(&mut sum, &frames).unwrap();
        assert_eq!(shown.frame().as_slice(), sums);
        assert_eq!((shown.frames(), shown.absent()), (count, 0));
        assert_eq!((shown.start_us(), shown.end_us()), (start_us, end_us));
        assert_eq!(extract(&mut sum, &frames), Some(shown), "nothing is new");
    }
}

#[test]
fn nan_is_left_out_and_infinities_go_when_they_leave() {
    const NAN: f32 = f32::NAN;
    const INF: f32 = f32::INFINITY;
    const ABSENT: f64 = f64::NAN;
    let frames = [
        [1.0, NAN],
        [NAN, NAN],
        [3.0, INF],
        [5.0, -INF],
        [7.0, 1.0],
        [9.0, 2.0],
    ];
    let expected = [
        ([1.0, 0.0], [1.0, ABSENT], 1),
        ([1.0, 0.0], [1.0, ABSENT], 3),
        ([3.0, f64::INFINITY], [3.0, f64::INFINITY], 2),
        ([8.0, ABSENT], [4.0, ABSENT], 0),
        ([12.0, -f64::INFINITY], [6.0, -f64::INFINITY], 0),
        ([16.0, 3.0], [8.0, 1.5], 0),
    ];
    let (mut sum, mut mean) = (FrameAggregate::sum(2), FrameAggregate::mean(2));
    let mut history = Vec::new();
    for (elements, (sums, means, absent)) in frames.iter().zip(expected) {
        history.push((0, frame(elements)));
        let shown = extract(&mut sum, &history).unwrap();
        assert_same(shown.frame().as_slice(), &sums, 0.0);
        assert_eq!(shown.absent(), absent);
        let shown = extract(&mut mean, &history).unwrap();
        assert_same(shown.frame().as_slice(), &means, 0.0);
    }
}

#[test]
fn a_change_of_shape_begins_a_new_window() {
    let mut mean = FrameAggregate::mean(4);
    let mut history = vec![(1, frame(&[1.0, 2.0])), (2, frame(&[3.0, 4.0]))];
    assert_eq!(
        extract(&mut mean, &history).unwrap().frame().as_slice(),
        [2.0, 3.0]
    );
    history.push((3, frame(&[5.0, 6.0, 7.0])));
    let shown = extract(&mut mean, &history).unwrap();
    assert_eq!(shown.frame().as_slice(), [5.0, 6.0, 7.0]);
    assert_eq!(
        (shown.frames(), shown.start_us(), shown.end_us()),
        (1, 3, 3)
    );
    history.push((4, frame(&[9.0, 9.0])));
    assert_eq!(
        extract(&mut mean, &history).unwrap().frames(),
        1,
        "not across another shape"
    );
}

#[test]
fn without_frames_there_is_nothing_and_afterwards_a_new_window() {
    let mut sum = FrameAggregate::sum(2);
    let history = [(1, frame(&[1])), (2, frame(&[2])), (3, frame(&[4]))];
    assert_eq!(
        extract(&mut sum, &history[..2]).unwrap().frame().as_slice(),
        [3.0]
    );
    assert_eq!(extract::<i32>(&mut sum, &[]), None);
    assert_eq!(
        extract(&mut sum, &history[2..]).unwrap().frame().as_slice(),
        [4.0]
    );
    assert_eq!(
        FrameAggregate::<i32>::sum(0).requirement(),
        Requirement::Count(1)
    );
}

#[test]
fn a_span_is_asked_of_the_service() {
    let span = Duration::from_secs(1);
    let sum = FrameAggregate::<f32>::sum(100).within(span);
    let count_max = Some(100);
    assert_eq!(sum.requirement(), Requirement::Span { span, count_max });
}

#[test]
fn what_a_reader_holds_is_not_written_over() {
    let pool = FramePool::new(1 << 20);
    let mut sum = FrameAggregate::sum(4).with_pool(&pool);
    let mut history = Vec::new();
    let mut shown = Vec::new();
    for n in 0..30_i32 {
        history.push((0, frame(&[n; 3])));
        shown.push(extract(&mut sum, window(&history, 4)).unwrap());
    }
    for (n, shown) in (0..30).zip(&shown) {
        let expected: i32 = (n - 3..=n).map(|n| n.max(0)).sum();
        assert_eq!(shown.frame().as_slice(), [f64::from(expected); 3]);
    }
    drop(shown);
    let before = pool.stats();
    for n in 0..30_i32 {
        history.push((0, frame(&[n; 3])));
        assert!(extract(&mut sum, window(&history, 4)).is_some());
    }
    let after = pool.stats();
    assert_eq!(after.allocated, before.allocated, "two results take turns");
}

#[test]
fn rounding_errors_do_not_outlive_two_windows() {
    // What enters beside 1e30 is lost in the sum, and comes back when it leaves only by summing
    // anew.
    let mut sum = FrameAggregate::sum(8);
    let mut history = vec![(0, frame(&[1e30_f64; 2000]))];
    for n in 0..200 {
        history.push((n, frame(&[0.1_f64; 2000])));
        let shown = extract(&mut sum, window(&history, 8)).unwrap();
        if n >= 7 + 16 {
            assert_same(shown.frame().as_slice(), &[0.8; 2000], 1e-14);
        }
    }
}

/// Slides windows over these frames of a few parts, of which the first and the last element vary
/// and the others are always 1, and compares each sum with one made anew.
#[track_caller]
fn assert_exact<E: Element>(count: usize, one: E, nan: Option<E>, firsts: &[E]) {
    let mut sum = FrameAggregate::sum(count);
    let frame_of = |at: usize, first: E| {
        let mut elements = vec![one; 2_500];
        (elements[0], elements[2_499]) = (first, first);
        if let Some(nan) = nan.filter(|_| at.is_multiple_of(3)) {
            elements[1] = nan;
        }
        (at as i64, frame(&elements))
    };
    let frames: Vec<_> = (0..)
        .zip(firsts)
        .map(|(at, first)| frame_of(at, *first))
        .collect();
    for end in 1..=frames.len() {
        let shown = extract(&mut sum, window(&frames[..end], count)).unwrap();
        let (expected, _) = naive(window(&frames[..end], count));
        assert_same(shown.frame().as_slice(), &expected, 0.0);
    }
}

#[test]
fn a_number_that_outweighs_the_others_is_gone_when_it_leaves() {
    for nan in [None, Some(f32::NAN)] {
        let mut firsts = [1.0; 40];
        (firsts[9], firsts[30]) = (f32::MAX, f32::MIN);
        assert_exact(8, 1.0, nan, &firsts);
    }
    let mut firsts = [1; 40];
    (firsts[9], firsts[30]) = (i64::MAX, i64::MIN);
    assert_exact(8, 1, None, &firsts);
}

#[test]
fn a_sum_that_overflowed_is_a_number_again_when_what_was_too_large_left() {
    for nan in [None, Some(f64::NAN)] {
        let mut firsts = [1.0; 40];
        (firsts[9], firsts[10]) = (1.5e308, 1.5e308);
        (firsts[27], firsts[31]) = (-1.5e308, -1.5e308);
        assert_exact(8, 1.0, nan, &firsts);
    }
}

#[test]
fn it_outweighs_also_when_several_frames_come_at_a_time_or_the_window_grows_shorter() {
    let mut sum = FrameAggregate::<f32>::sum(8);
    let large = |at: i64| if at == 2 { f32::MAX } else { 1.0 };
    let frames: Vec<_> = (0..10).map(|at| (at, frame(&[large(at), 1.0]))).collect();
    for (from, to, expected) in [(0, 8, None), (2, 10, None), (4, 10, Some(6.0))] {
        let shown = extract(&mut sum, &frames[from..to]).unwrap();
        let first = shown.frame().as_slice()[0];
        assert!(expected.is_none_or(|expected| first == expected), "{first}");
        assert_eq!(shown.frame().as_slice()[1], (to - from) as f64);
    }
}

#[test]
fn it_follows_a_key_of_a_service_beside_other_extractors() {
    let service: DataService<&str, Frame<f64>> = DataService::new();
    let camera = service.register("camera").unwrap();
    let spec = Spec::of().key(camera, FrameAggregate::mean(2));
    let mut means = service.subscribe::<AggregatedFrame>(spec).unwrap();
    let spec = Spec::new().key(camera, LatestValue);
    let mut latest = service.subscribe(spec).unwrap();
    for n in 0..20_i32 {
        let value = f64::from(n);
        service
            .put(camera, i64::from(n), frame(&[value, 1.0]))
            .unwrap();
        let seen = means.poll().unwrap();
        let mean = seen.update(camera).unwrap().extract().unwrap();
        let expected = if n == 0 { 0.0 } else { value - 0.5 };
        assert_eq!(mean.frame().as_slice(), [expected, 1.0]);
        assert!(latest.poll().is_some());
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(Vec<u64>),
    Reshape(usize),
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        20 => prop::collection::vec(any::<u64>(), 1..6).prop_map(Step::Append),
        1 => (0..LENGTHS.len()).prop_map(Step::Reshape),
        1 => Just(Step::Clear),
    ];
    prop::collection::vec(step, 1..40)
}

/// Within one part, at its edge, and over several.
const LENGTHS: [usize; 4] = [3, 1024, 1025, 2500];

/// Follows the steps with frames made of seeds, and compares each result.
fn follow<E: Element>(
    steps: &[Step],
    count: usize,
    tolerance: f64,
    mut element: impl FnMut(&mut fastrand::Rng) -> E,
) {
    let (mut sum, mut mean) = (FrameAggregate::sum(count), FrameAggregate::mean(count));
    let (mut history, mut length, mut kept) = (Vec::new(), LENGTHS[0], None);
    for step in steps {
        match step {
            Step::Clear => history.clear(),
            Step::Reshape(index) => length = LENGTHS[*index],
            Step::Append(seeds) => history.extend(seeds.iter().map(|seed| {
                let mut random = fastrand::Rng::with_seed(*seed);
                let elements: Vec<E> = (0..length).map(|_| element(&mut random)).collect();
                (seed.cast_signed(), frame(&elements))
            })),
        }
        let newest = &history[history.len().saturating_sub(count)..];
        let (sums, means) = (extract(&mut sum, newest), extract(&mut mean, newest));
        let window = window(&history, count);
        if window.is_empty() {
            assert!(sums.is_none() && means.is_none());
            continue;
        }
        let (expected, counts) = naive(window);
        let sums = sums.unwrap();
        assert_same(sums.frame().as_slice(), &expected, tolerance);
        let expected: Vec<f64> = expected
            .iter()
            .zip(&counts)
            .map(|(sum, n)| sum / n)
            .collect();
        assert_same(means.unwrap().frame().as_slice(), &expected, tolerance);
        let absent = window.len() as f64 * counts.len() as f64 - counts.iter().sum::<f64>();
        assert_eq!(
            (sums.absent() as f64, sums.frames()),
            (absent, window.len())
        );
        // Every other result is held, so that both ways to update take their turns.
        kept = if kept.is_none() { Some(sums) } else { None };
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn following_equals_summing_anew_for_whole_numbers(steps in steps(), count in 1_usize..12) {
        follow(&steps, count, 0.0, |random| random.i16(..));
    }

    #[test]
    fn also_for_whole_numbers_in_floats_among_nan_and_infinities(
        steps in steps(),
        count in 1_usize..12,
        odd_one_in in prop_oneof![Just(5_u32), Just(1_000), Just(20_000)],
    ) {
        follow(&steps, count, 0.0, |random| {
            if random.u32(..odd_one_in) == 0 {
                let odd = [f32::NAN, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
                return odd[random.usize(..odd.len())];
            }
            f32::from(random.i16(..))
        });
    }

    #[test]
    fn nearly_so_for_fractions(steps in steps(), count in 1_usize..12) {
        follow(&steps, count, 1e-9, |random| random.f64() * 1e3);
    }
}
