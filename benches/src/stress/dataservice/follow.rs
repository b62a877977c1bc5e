//! What one reader has seen, and whether what it is shown next can follow that.

use std::collections::HashMap;

use anyhow::{Context, Result, ensure};
use dataservice::{Extract, FeedBatch, KeyId, KeyUpdate};

use super::Keys;
use super::value::{NEVER, PAIR_SUM, Value};

/// The last number of each writer to a key. Writers number what they put to a key without gaps.
#[derive(Debug, Default)]
struct Numbers {
    /// With whether the next one has to be its neighbour.
    last: HashMap<u32, (u64, bool)>,
    /// Whether nothing is left out since the first update of the key.
    is_whole: bool,
}

impl Numbers {
    fn see(&mut self, value: &impl Value) -> Result<()> {
        let (writer, number) = (value.writer(), value.number());
        ensure!(number != NEVER, "a value that was rolled back is shown");
        match self.last.insert(writer, (number, true)) {
            Some((last, true)) => ensure!(
                number == last + 1,
                "number {number} of writer {writer} came after {last}"
            ),
            Some((last, false)) => ensure!(
                number > last,
                "number {number} of writer {writer} came after a gap and after {last}"
            ),
            None => ensure!(
                number == 1 || !self.is_whole,
                "number {number} of writer {writer} came first"
            ),
        }
        Ok(())
    }

    fn skip(&mut self) {
        self.is_whole = false;
        for (_, is_neighbour) in self.last.values_mut() {
            *is_neighbour = false;
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    /// The number of the next update.
    end: u64,
    numbers: Numbers,
}

/// What a reader has seen of each of its keys.
#[derive(Debug, Default)]
pub(super) struct Follow {
    keys: HashMap<KeyId, Seen>,
    pub(super) shown: u64,
    pub(super) missed: u64,
}

impl Follow {
    /// Of one who was there before anything was put.
    pub(super) fn from_start(ids: &[KeyId]) -> Self {
        let seen = || Seen {
            end: 1,
            numbers: Numbers {
                is_whole: true,
                ..Numbers::default()
            },
        };
        Self {
            keys: ids.iter().map(|id| (*id, seen())).collect(),
            ..Self::default()
        }
    }

    pub(super) fn forget(&mut self, id: KeyId) {
        self.keys.remove(&id);
    }

    /// An update of a reader that wants each exactly once.
    pub(super) fn see_all<V: Value>(
        &mut self,
        keys: &Keys,
        update: &KeyUpdate<Extract<V>>,
    ) -> Result<()> {
        self.see(keys, update)
            .with_context(|| format!("key {}: {}", update.id(), describe(update)))
    }

    fn see<V: Value>(&mut self, keys: &Keys, update: &KeyUpdate<Extract<V>>) -> Result<()> {
        let (start, end) = (update.range().start.number(), update.range().end.number());
        let is_known = self.keys.contains_key(&update.id());
        let seen = self.keys.entry(update.id()).or_default();
        if is_known {
            ensure!(
                start == seen.end + update.missed(),
                "it begins at {start}, after {} and a gap of {}",
                seen.end,
                update.missed()
            );
        }
        ensure!(
            update.values().len() as u64 == end - start,
            "the numbers are not those of its values"
        );
        if update.missed() > 0 {
            seen.numbers.skip();
        }
        seen.end = end;
        if keys.is_numbered(update.id()) {
            for value in update.values() {
                seen.numbers.see(value)?;
            }
        }
        self.shown += end - start;
        self.missed += update.missed();
        Ok(())
    }

    /// An update that does not continue what was shown.
    pub(super) fn see_anew<V: Value>(&mut self, update: &KeyUpdate<Extract<V>>) -> Result<()> {
        let end = update.range().end.number();
        let seen = self.keys.entry(update.id()).or_default();
        ensure!(
            end >= seen.end,
            "a reset goes back from {} to {end}",
            seen.end
        );
        seen.end = end;
        seen.numbers.skip();
        Ok(())
    }

    /// How many updates a reader knows of, shown or missed.
    pub(super) fn accounted(&self) -> u64 {
        self.shown + self.missed
    }
}

fn describe<V: Value>(update: &KeyUpdate<Extract<V>>) -> String {
    let numbers = update.values().iter().map(|it| (it.writer(), it.number()));
    format!(
        "range {:?}, missed {}, cleared {}, values {:?}",
        update.range(),
        update.missed(),
        update.is_cleared(),
        numbers.collect::<Vec<_>>()
    )
}

/// Whether a window is one run of a key's updates.
pub(super) fn check_window<V: Value>(
    keys: &Keys,
    update: &KeyUpdate<Extract<V>>,
    count_max: usize,
) -> Result<()> {
    let len = update.values().len();
    let range = update.range();
    ensure!(
        len <= count_max && len as u64 == range.end.number() - range.start.number(),
        "a window of {count_max} of key {}: {}",
        update.id(),
        describe(update)
    );
    check_run(keys, update.id(), update.values())
        .with_context(|| format!("window of key {}: {}", update.id(), describe(update)))
}

/// Whether values are one run of a key's updates.
pub(super) fn check_run<V: Value>(keys: &Keys, id: KeyId, values: &[V]) -> Result<()> {
    let mut numbers = Numbers::default();
    let mut numbered = values.iter().filter(|_| keys.is_numbered(id));
    numbered.try_for_each(|value| numbers.see(value))
}

/// Whether the keys of each pair are of the same commit, where both may be missing.
pub(super) fn check_pairs<'a, V: Value>(
    keys: &Keys,
    values: impl Iterator<Item = (KeyId, Option<&'a V>)>,
) -> Result<u64> {
    let values: HashMap<KeyId, Option<&V>> = values.collect();
    let mut whole = 0;
    for (a, b) in &keys.pairs {
        let (left, right) = (values.get(a).copied(), values.get(b).copied());
        match (left.flatten(), right.flatten()) {
            (Some(left), Some(right)) => {
                ensure!(
                    left.number() + right.number() == PAIR_SUM && left.writer() == right.writer(),
                    "a torn commit: keys {a} and {b} are {} and {}",
                    left.number(),
                    right.number()
                );
                whole += 1;
            }
            (None, None) => {}
            (left, right) => anyhow::bail!(
                "a torn commit: keys {a} and {b} are {:?} and {:?}",
                left.map(V::number),
                right.map(V::number)
            ),
        }
    }
    Ok(whole)
}

/// What a feed has seen of each key.
#[derive(Debug, Default)]
pub(super) struct FollowFeed {
    keys: HashMap<KeyId, Seen>,
    is_from_start: bool,
    /// Gaps that were found between numbers.
    gaps: u64,
    pub(super) shown: u64,
    pub(super) missed: u64,
}

impl FollowFeed {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Of one who was there before anything was put.
    pub(super) fn from_start() -> Self {
        Self {
            is_from_start: true,
            ..Self::default()
        }
    }

    pub(super) fn see<V: Value>(&mut self, keys: &Keys, batch: &FeedBatch<V>) -> Result<()> {
        if batch.is_reset() {
            *self = Self::default();
            let state = batch.state().iter();
            check_pairs(keys, state.map(|(id, sample)| (*id, Some(&sample.value))))?;
            return Ok(());
        }
        self.missed += batch.missed();
        let mut half = None;
        for update in batch.iter() {
            let (id, number) = (update.id, update.seq.number());
            let is_from_start = self.is_from_start;
            let seen = self.keys.entry(id).or_insert_with(|| Seen {
                end: if is_from_start { 1 } else { number },
                numbers: Numbers {
                    is_whole: is_from_start,
                    ..Numbers::default()
                },
            });
            ensure!(
                number >= seen.end,
                "update {number} of key {id} is shown, and {} was next",
                seen.end
            );
            if number > seen.end {
                self.gaps += number - seen.end;
                seen.numbers.skip();
            }
            seen.end = number + 1;
            if keys.is_numbered(id) {
                let seen = seen.numbers.see(&update.value);
                seen.with_context(|| format!("update {number} of key {id}"))?;
            }
            half = match half {
                None => keys
                    .other_half(id)
                    .map(|other| (other, update.value.number())),
                Some((other, before)) => {
                    ensure!(
                        id == other && before + update.value.number() == PAIR_SUM,
                        "a torn commit: after half a pair comes {number} of key {id}"
                    );
                    None
                }
            };
        }
        ensure!(half.is_none(), "a torn commit: a batch ends in a pair");
        ensure!(
            self.gaps <= self.missed,
            "there are gaps of {}, and {} are missed",
            self.gaps,
            self.missed
        );
        self.shown += batch.len() as u64;
        Ok(())
    }

    /// The keys that were added to it may have gaps before that.
    pub(super) fn forget(&mut self, id: KeyId) {
        self.keys.remove(&id);
    }
}
