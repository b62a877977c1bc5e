//! A history against a plain vector of everything ever appended: with readers, batches, snapshots
//! that are held for long, and clones that panic.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Once};

use buffer_core::{Cursor, History, Pool, Reader, Room, Snapshot, Window};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Action {
    Append { count: u8, step: i16 },
    Defer { count: u8, step: i16 },
    Publish,
    Grow(usize),
    Shrink(usize),
    Clear,
    Window(usize),
    Since(u64),
    Within(i64),
    AddReader,
    DropReaders,
    Hold(usize),
    Release,
    RefuseClones,
}

fn action() -> impl Strategy<Value = Action> {
    let step = || prop_oneof![4 => 0..20_i16, 1 => -50..500_i16];
    prop_oneof![
        6 => (1..60_u8, step()).prop_map(|(count, step)| Action::Append { count, step }),
        4 => (1..30_u8, step()).prop_map(|(count, step)| Action::Defer { count, step }),
        2 => Just(Action::Publish),
        1 => (0..80_usize).prop_map(Action::Grow),
        1 => (0..80_usize).prop_map(Action::Shrink),
        1 => Just(Action::Clear),
        3 => (0..100_usize).prop_map(Action::Window),
        3 => (0..400_u64).prop_map(Action::Since),
        3 => prop_oneof![-10..2000_i64, 0..20_i64].prop_map(Action::Within),
        2 => Just(Action::AddReader),
        1 => Just(Action::DropReaders),
        3 => (0..100_usize).prop_map(Action::Hold),
        2 => Just(Action::Release),
        1 => Just(Action::RefuseClones),
    ]
}

/// A value that counts the living, and may refuse to be cloned.
struct Value {
    number: u64,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Tally {
    living: AtomicUsize,
    refuse: AtomicBool,
}

const REFUSED: &str = "a clone that panics";

impl Value {
    fn new(number: u64, tally: &Arc<Tally>) -> Self {
        tally.living.fetch_add(1, Ordering::Relaxed);
        Self {
            number,
            tally: Arc::clone(tally),
        }
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        let refuse = self.tally.refuse.load(Ordering::Relaxed) && self.number.is_multiple_of(3);
        assert!(!refuse, "{REFUSED}");
        Self::new(self.number, &self.tally)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.tally.living.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Everything ever appended, and how much of its front is gone.
#[derive(Default)]
struct Model {
    all: Vec<(u64, i64)>,
    gone: usize,
    /// Below this nothing ever comes back, not even to readers who see less than the owner.
    floor: usize,
    published: usize,
    depth: usize,
    /// The depth that readers see: growth reaches them with the next append.
    shown: usize,
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

    /// A batch that is to displace its own beginning is shown before.
    fn before_append(&mut self) {
        if self.depth > 0 && self.all.len() - self.published >= self.shown {
            self.published = self.all.len();
        }
    }

    fn append(&mut self, value: (u64, i64)) -> Vec<u64> {
        self.before_append();
        if self.shown != self.depth {
            self.shown = self.depth;
            self.floor = self.gone;
        }
        self.all.push(value);
        self.evict_to(self.depth)
    }

    /// The rule of `within`, word by word and without regard to cost.
    fn within(run: &[(u64, i64)], span: i64) -> usize {
        let times: Vec<i64> = run.iter().map(|(_, time)| *time).collect();
        let Some(newest) = times.last().copied() else {
            return 0;
        };
        let mut reference = newest;
        if times.len() >= 3 {
            let mut three = times[times.len() - 3..].to_vec();
            three.sort_unstable();
            reference = newest.max(three[1]);
        }
        // Values that follow each other with one time are one poll; the latest 33 count.
        let mut polls = times.clone();
        polls.dedup();
        polls.reverse();
        polls.truncate(33);
        let mut steps: Vec<i64> = polls.windows(2).map(|pair| pair[0] - pair[1]).collect();
        steps.retain(|step| *step > 0);
        steps.sort_unstable();
        // As many steps are shorter than the period as are longer, or one fewer.
        let period = (steps.iter().copied())
            .find(|step| 2 * steps.iter().filter(|other| *other <= step).count() >= steps.len())
            .unwrap_or(0);
        let span = span.max(0);
        // The first whole time that is no less than half a period inside the span.
        let twice = 2 * (reference - span) + period.min(span);
        let begin = twice.div_euclid(2) + twice.rem_euclid(2);
        let start = times
            .iter()
            .position(|time| *time >= begin && *time <= reference)
            .unwrap();
        times.len() - start
    }
}

/// A snapshot, and what it has to show for as long as it is held.
struct Held {
    snapshot: Snapshot<Value>,
    expected: Vec<(u64, i64)>,
}

struct Subject {
    history: History<Value>,
    model: Model,
    readers: Vec<Reader<Value>>,
    held: Vec<Held>,
    tally: Arc<Tally>,
}

fn shown(window: Window<'_, Value>) -> Vec<(u64, i64)> {
    window
        .iter()
        .map(|entry| (entry.value.number, entry.time))
        .collect()
}

impl Subject {
    fn step(&mut self, action: &Action) -> Result<(), TestCaseError> {
        match *action {
            Action::Append { count, step } => self.append(count, step, true)?,
            Action::Defer { count, step } => self.append(count, step, false)?,
            Action::Publish => {
                self.history.publish();
                self.model.published = self.model.all.len();
            }
            Action::Grow(depth) => {
                self.history.grow(depth);
                self.model.depth = self.model.depth.max(depth);
            }
            Action::Shrink(depth) => self.shrink(depth)?,
            Action::Clear => {
                let displaced = self.history.clear();
                let evicted = self.model.evict_to(0);
                prop_assert_eq!(displaced.len(), evicted.len());
                self.model.floor = self.model.gone;
                self.model.shown = self.model.depth;
                self.model.published = self.model.all.len();
            }
            Action::Window(count) => {
                let retained = self.model.retained();
                let expected = &retained[retained.len().saturating_sub(count)..];
                prop_assert_eq!(&shown(self.history.window(count))[..], expected);
            }
            Action::Since(cursor) => self.since(cursor)?,
            Action::Within(span) => {
                let retained = self.model.retained();
                let expected = &retained[retained.len() - Model::within(retained, span)..];
                prop_assert_eq!(&shown(self.history.within(span))[..], expected);
                if let Some(reader) = self.readers.first() {
                    let all = shown(reader.window(usize::MAX).window());
                    let expected = &all[all.len() - Model::within(&all, span)..];
                    prop_assert_eq!(&shown(reader.within(span).window())[..], expected);
                }
            }
            Action::AddReader => {
                if self.readers.is_empty() {
                    self.model.published = self.model.all.len();
                }
                self.readers.push(self.history.reader());
            }
            Action::DropReaders => self.readers.clear(),
            Action::Hold(count) => {
                if let Some(reader) = self.readers.last() {
                    let snapshot = reader.window(count);
                    let expected = shown(snapshot.window());
                    self.held.push(Held { snapshot, expected });
                }
            }
            Action::Release => drop(self.held.pop()),
            Action::RefuseClones => self.tally.refuse.store(true, Ordering::Relaxed),
        }
        self.check()
    }

    fn append(&mut self, count: u8, step: i16, publish: bool) -> Result<(), TestCaseError> {
        for _ in 0..count {
            let number = self.model.all.len() as u64 + 1;
            let time = self.model.all.last().map_or(0, |(_, time)| *time) + i64::from(step);
            let value = Value::new(number, &self.tally);
            let history = &mut self.history;
            let appended = catch_unwind(AssertUnwindSafe(|| {
                if publish {
                    history.append(value, time)
                } else {
                    history.append_deferred(value, time)
                }
            }));
            let Ok(appended) = appended else {
                self.tally.refuse.store(false, Ordering::Relaxed);
                return Ok(());
            };
            let evicted = self.model.append((number, time));
            if publish {
                self.model.published = self.model.all.len();
            }
            prop_assert_eq!(appended.seq.number(), number);
            prop_assert_eq!(appended.displaced.len(), evicted.len());
            let displaced = appended.displaced.into_values();
            if self.readers.is_empty() && self.held.is_empty() && displaced.is_empty() {
                // It may be shared still, until the next turnover.
                continue;
            }
            for (value, number) in displaced.iter().zip(&evicted) {
                prop_assert_eq!(value.number, *number);
            }
        }
        Ok(())
    }

    fn shrink(&mut self, depth: usize) -> Result<(), TestCaseError> {
        let history = &mut self.history;
        let displaced = catch_unwind(AssertUnwindSafe(|| history.shrink(depth)));
        let Ok(displaced) = displaced else {
            self.tally.refuse.store(false, Ordering::Relaxed);
            return Ok(());
        };
        let mut evicted = Vec::new();
        if depth < self.model.depth {
            self.model.published = self.model.all.len();
            self.model.depth = depth;
            self.model.shown = depth;
            evicted = self.model.evict_to(depth);
            self.model.floor = self.model.gone;
        }
        prop_assert_eq!(displaced.len(), evicted.len());
        let values = displaced.into_values();
        prop_assert!(values.is_empty() || values.iter().map(|v| v.number).eq(evicted));
        Ok(())
    }

    fn since(&self, cursor: u64) -> Result<(), TestCaseError> {
        let model = &self.model;
        let since = self.history.since(Cursor::from_number(cursor));
        let seen = usize::try_from(cursor).unwrap().min(model.all.len());
        let start = seen.max(model.gone);
        prop_assert_eq!(since.missed, (start - seen) as u64);
        prop_assert_eq!(since.next.number(), model.all.len() as u64);
        prop_assert_eq!(&shown(since.window)[..], &model.all[start..]);
        for reader in &self.readers {
            let since = reader.since(Cursor::from_number(cursor));
            let seen = cursor.min(model.published as u64);
            let run = shown(since.window.window());
            prop_assert_eq!(since.next.number(), model.published as u64);
            prop_assert_eq!(seen + since.missed + run.len() as u64, since.next.number());
            prop_assert_eq!(since.window.range().start.number(), seen + since.missed + 1);
            // Also while a batch is open, it begins where the longest window does.
            let all = reader.window(usize::MAX);
            let oldest = all.range().start.number();
            prop_assert_eq!(seen + since.missed + 1, oldest.max(seen + 1));
            let unseen = (model.published as u64 - seen).min(all.len() as u64);
            prop_assert_eq!(run.len() as u64, unseen);
            prop_assert_eq!(
                &run[..],
                &model.all[model.published - run.len()..model.published]
            );
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let (history, model) = (&self.history, &self.model);
        prop_assert_eq!(history.depth(), model.depth);
        prop_assert_eq!(history.len(), model.retained().len());
        prop_assert_eq!(history.retained().start.number(), model.gone as u64 + 1);
        prop_assert_eq!(history.retained().end.number(), model.all.len() as u64 + 1);
        prop_assert_eq!(shown(history.window(usize::MAX)), model.retained());
        for reader in &self.readers {
            let all = reader.window(usize::MAX);
            prop_assert_eq!(reader.published(), model.published as u64);
            let run = shown(all.window());
            let start = model.published - run.len();
            prop_assert_eq!(&run[..], &model.all[start..model.published]);
            // What the owner evicted for a batch that is not shown may be there yet, or not.
            let deepest = model.published.saturating_sub(model.depth);
            let earliest = model.floor.max(deepest).min(model.published);
            prop_assert!(
                start >= earliest,
                "{start} shown, {earliest} is the earliest"
            );
            prop_assert!(
                start <= model.gone.max(earliest),
                "{start} is late, {}",
                model.gone
            );
        }
        for held in &self.held {
            prop_assert_eq!(&shown(held.snapshot.window()), &held.expected);
        }
        Ok(())
    }
}

/// Panics that the test asks for are not printed.
fn quiet_clones() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some(REFUSED) {
                print(info);
            }
        }));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn history_is_a_suffix_of_everything_appended(
        depth in 0..40_usize,
        initial in 1..20_u32,
        factor in 1.5..4.0_f32,
        pool_bytes in prop_oneof![Just(0), Just(1 << 20)],
        actions in prop::collection::vec(action(), 1..80),
    ) {
        quiet_clones();
        let room = Room::new(initial, factor).unwrap();
        let pool = Pool::new(pool_bytes);
        let tally = Arc::new(Tally::default());
        let mut subject = Subject {
            history: History::with_room(depth, room).with_pool(&pool),
            model: Model { depth, shown: depth, ..Model::default() },
            readers: Vec::new(),
            held: Vec::new(),
            tally: Arc::clone(&tally),
        };
        for action in &actions {
            subject.step(action)?;
            prop_assert!(pool.bytes() <= pool.bytes_max());
        }
        drop(subject);
        prop_assert_eq!(tally.living.load(Ordering::Relaxed), 0, "each value is dropped once");
    }
}
