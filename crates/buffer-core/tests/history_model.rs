//! A history against a plain vector of everything ever appended.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

use buffer_core::{Cursor, History, Room};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Action {
    Append { count: u8, step: i16 },
    Grow(usize),
    Shrink(usize),
    Clear,
    Window(usize),
    Since(u64),
    Within(i64),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => (1..60_u8, prop_oneof![4 => 0..20_i16, 1 => -50..500_i16])
            .prop_map(|(count, step)| Action::Append { count, step }),
        1 => (0..80_usize).prop_map(Action::Grow),
        1 => (0..80_usize).prop_map(Action::Shrink),
        1 => Just(Action::Clear),
        3 => (0..100_usize).prop_map(Action::Window),
        3 => (0..400_u64).prop_map(Action::Since),
        3 => (-10..2000_i64).prop_map(Action::Within),
    ]
}

/// Everything ever appended, and how much of its front is gone.
#[derive(Default)]
struct Model {
    all: Vec<(u64, i64)>,
    gone: usize,
    depth: usize,
}

impl Model {
    fn retained(&self) -> &[(u64, i64)] {
        &self.all[self.gone..]
    }

    fn evict_to(&mut self, len: usize) -> Vec<u64> {
        let end = self.all.len().saturating_sub(len).max(self.gone);
        let evicted = self.all[self.gone..end]
            .iter()
            .map(|(value, _)| *value)
            .collect();
        self.gone = end;
        evicted
    }

    /// The rule of `within`, word by word and without regard to cost.
    fn within(&self, span: i64) -> usize {
        let times: Vec<i64> = self.retained().iter().map(|(_, time)| *time).collect();
        let Some(newest) = times.last().copied() else {
            return 0;
        };
        let mut reference = newest;
        if times.len() >= 3 {
            let mut three = times[times.len() - 3..].to_vec();
            three.sort_unstable();
            reference = newest.max(three[1]);
        }
        let recent = &times[times.len().saturating_sub(33)..];
        let mut steps: Vec<i64> = recent.windows(2).map(|pair| pair[1] - pair[0]).collect();
        steps.retain(|step| *step > 0);
        steps.sort_unstable();
        let period = steps.get(steps.len() / 2).copied().unwrap_or(0);
        let span = span.max(0);
        let begin = reference - span + period.min(span) / 2;
        let start = times
            .iter()
            .position(|time| *time >= begin && *time <= reference)
            .unwrap();
        times.len() - start
    }
}

fn step(
    history: &mut History<u64>,
    model: &mut Model,
    action: &Action,
) -> Result<(), TestCaseError> {
    match *action {
        Action::Append { count, step } => {
            for _ in 0..count {
                let value = model.all.len() as u64 + 1;
                let time = model.all.last().map_or(0, |(_, time)| *time) + i64::from(step);
                let appended = history.append(value, time);
                model.all.push((value, time));
                prop_assert_eq!(appended.seq.number(), value);
                prop_assert_eq!(
                    appended.displaced.into_values(),
                    model.evict_to(model.depth)
                );
            }
        }
        Action::Grow(depth) => {
            history.grow(depth);
            model.depth = model.depth.max(depth);
        }
        Action::Shrink(depth) => {
            let evicted = if depth < model.depth {
                model.evict_to(depth)
            } else {
                Vec::new()
            };
            model.depth = model.depth.min(depth);
            prop_assert_eq!(history.shrink(depth).into_values(), evicted);
        }
        Action::Clear => prop_assert_eq!(history.clear().into_values(), model.evict_to(0)),
        Action::Window(count) => {
            let window = history.window(count);
            let start = model.all.len().saturating_sub(count).max(model.gone);
            check_window(window.range().start.number(), window, &model.all, start)?;
        }
        Action::Since(cursor) => {
            let since = history.since(Cursor::from_number(cursor));
            let seen = usize::try_from(cursor).unwrap().min(model.all.len());
            let start = seen.max(model.gone);
            prop_assert_eq!(since.missed, (start - seen) as u64);
            prop_assert_eq!(since.next.number(), model.all.len() as u64);
            check_window(start as u64 + 1, since.window, &model.all, start)?;
        }
        Action::Within(span) => {
            let expected = model.within(span);
            check_window(
                (model.all.len() - expected) as u64 + 1,
                history.within(span),
                &model.all,
                model.all.len() - expected,
            )?;
        }
    }
    prop_assert_eq!(history.depth(), model.depth);
    prop_assert_eq!(history.len(), model.retained().len());
    prop_assert_eq!(history.retained().start.number(), model.gone as u64 + 1);
    prop_assert_eq!(history.retained().end.number(), model.all.len() as u64 + 1);
    Ok(())
}

fn check_window(
    first: u64,
    window: buffer_core::Window<'_, u64>,
    all: &[(u64, i64)],
    start: usize,
) -> Result<(), TestCaseError> {
    let expected: Vec<(u64, i64)> = all[start..].to_vec();
    let shown: Vec<(u64, i64)> = window
        .values()
        .iter()
        .copied()
        .zip(window.times().iter().copied())
        .collect();
    prop_assert_eq!(shown, expected);
    prop_assert_eq!(window.range().start.number(), first);
    prop_assert_eq!(window.range().end.number(), first + window.len() as u64);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn history_is_a_suffix_of_everything_appended(
        depth in 0..40_usize,
        initial in 1..20_u32,
        factor in 1.5..4.0_f32,
        actions in prop::collection::vec(action(), 1..60),
    ) {
        let room = Room::new(initial, factor).unwrap();
        let mut history = History::with_room(depth, room);
        let mut model = Model { depth, ..Model::default() };
        for action in &actions {
            step(&mut history, &mut model, action)?;
        }
    }
}
