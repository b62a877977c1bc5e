//! One key: its newest value, or its history.
//!
//! There may be a million of these, and few are watched: a slot is one enum without a heap, and
//! everything that only watched keys need lies in a [`Watch`](crate::watch::Watch). A number that
//! only keeps its newest value takes 32 bytes.

use crate::after::After;
use crate::buffer::{Kept, Left, Registry};
use crate::watch::WatchIndex;
use crate::{Requirement, Sample, Series};

/// `appended` counts the updates that the key ever had; `idle_rounds` how often the sweep for idle
/// keys came by since the last one.
#[derive(Debug)]
pub(crate) enum Slot<V> {
    Empty {
        watch: Option<WatchIndex>,
        appended: u64,
    },
    Newest {
        watch: Option<WatchIndex>,
        idle_rounds: u8,
        appended: u64,
        time_us: i64,
        value: V,
    },
    Deep {
        watch: Option<WatchIndex>,
        idle_rounds: u8,
        deep: Box<Deep<V>>,
    },
}

#[derive(Debug)]
pub(crate) struct Deep<V> {
    pub(crate) kept: Kept<V>,
    pub(crate) appended: u64,
    /// The span that somebody reads, in microseconds, and the depth up to which the history grows
    /// by itself while all it holds lies within; 0 if nobody reads one.
    pub(crate) span_us: i64,
    pub(crate) span_depth_max: usize,
    /// The capacity for which `charged` was computed, and after how many appends it is computed
    /// anew though that stays the same: a shared history has a second segment after a while.
    capacity: usize,
    appends_left: u32,
    /// The bytes that the service has counted for this history.
    charged: usize,
}

/// After how many appends the memory of a history is computed anew at the latest: it takes about as
/// long as an append, and is off by little until then.
const APPENDS_MAX: usize = 16;

/// What a put did to a slot. What no longer fits is in the [`After`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Put {
    pub(crate) seq: u64,
    /// How many values no longer fit.
    pub(crate) left_len: usize,
    /// By how much the memory of the key changed, in bytes.
    pub(crate) bytes: isize,
    pub(crate) was_empty: bool,
}

impl<V> Slot<V> {
    pub(crate) const fn new() -> Self {
        Self::Empty {
            watch: None,
            appended: 0,
        }
    }

    #[inline(always)]
    pub(crate) fn watch(&self) -> Option<WatchIndex> {
        match self {
            Self::Empty { watch, .. } | Self::Newest { watch, .. } | Self::Deep { watch, .. } => {
                *watch
            }
        }
    }

    pub(crate) fn set_watch(&mut self, index: Option<WatchIndex>) {
        match self {
            Self::Empty { watch, .. } | Self::Newest { watch, .. } | Self::Deep { watch, .. } => {
                *watch = index;
            }
        }
    }

    /// How many updates the key ever had.
    pub(crate) fn appended(&self) -> u64 {
        match self {
            Self::Empty { appended, .. } | Self::Newest { appended, .. } => *appended,
            Self::Deep { deep, .. } => deep.appended,
        }
    }
}

impl<V: Clone> Slot<V> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Empty { .. } => 0,
            Self::Newest { .. } => 1,
            Self::Deep { deep, .. } => deep.kept.len(),
        }
    }

    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::Empty { .. } | Self::Newest { .. } => 1,
            Self::Deep { deep, .. } => deep.kept.depth(),
        }
    }

    /// The bytes beyond the slot itself.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Empty { .. } | Self::Newest { .. } => 0,
            Self::Deep { deep, .. } => deep.charged,
        }
    }

    pub(crate) fn latest(&self) -> Option<Sample<V>> {
        match self {
            Self::Empty { .. } => None,
            Self::Newest { time_us, value, .. } => Some(Sample {
                time_us: *time_us,
                value: value.clone(),
            }),
            Self::Deep { deep, .. } => deep.kept.latest(),
        }
    }

    /// The last `count` values, or as many as there are.
    pub(crate) fn window(&self, count: usize) -> Series<V> {
        match self {
            Self::Deep { deep, .. } if count > 1 => deep.kept.window(count),
            _ if count == 0 => Series::empty(),
            _ => self.latest().map_or_else(Series::empty, Series::one),
        }
    }

    /// What a requirement names, `count_max` values of it at most. `unseen` is how many updates
    /// came since the reader looked.
    pub(crate) fn select(
        &self,
        requirement: Requirement,
        unseen: u64,
        count_max: usize,
    ) -> Series<V> {
        let count = match requirement {
            Requirement::Latest => 1,
            Requirement::Count(count) => count,
            Requirement::All { count_max, .. } => count_max,
            Requirement::Since { .. } => usize::try_from(unseen).unwrap_or(usize::MAX),
            Requirement::Span { span, .. } => {
                let span_us = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
                return match self {
                    Self::Deep { deep, .. } => deep.kept.within(span_us, count_max),
                    _ => self.window(1),
                };
            }
        };
        self.window(count.min(count_max))
    }

    /// Appends a value where only the newest is kept, the path of nearly every key. Hands the value
    /// back where that does not do.
    #[inline(always)]
    pub(crate) fn put_newest(&mut self, newer_us: i64, newer: V) -> Result<(u64, V), V> {
        match self {
            Self::Newest {
                idle_rounds,
                appended,
                time_us,
                value,
                ..
            } => {
                *idle_rounds = 0;
                *appended += 1;
                *time_us = newer_us;
                Ok((*appended, std::mem::replace(value, newer)))
            }
            _ => Err(newer),
        }
    }

    /// Appends a value. `depth` is what is wanted of a key that holds nothing yet.
    pub(crate) fn put(
        &mut self,
        time_us: i64,
        value: V,
        depth: usize,
        registry: &Registry<V>,
        after: &mut After<V>,
    ) -> Put {
        match self {
            Self::Empty { watch, appended } if depth <= 1 => {
                let seq = *appended + 1;
                *self = Self::Newest {
                    watch: *watch,
                    idle_rounds: 0,
                    appended: seq,
                    time_us,
                    value,
                };
                Put::of_newest(seq, true)
            }
            Self::Empty { watch, appended } => {
                let mut deep = Deep::new(registry.make(depth, &value), *appended);
                let watch = *watch;
                let put = deep.put(time_us, value, after);
                *self = Self::Deep {
                    watch,
                    idle_rounds: 0,
                    deep: Box::new(deep),
                };
                put
            }
            Self::Newest { .. } => {
                let (seq, left) = self
                    .put_newest(time_us, value)
                    .unwrap_or_else(|_| unreachable!("the slot holds its newest value"));
                after.value(left);
                Put::of_newest(seq, false)
            }
            Self::Deep {
                idle_rounds, deep, ..
            } => {
                *idle_rounds = 0;
                deep.put(time_us, value, after)
            }
        }
    }

    /// Keeps at least `depth` values from now on; by how much its memory changed, in bytes. A key
    /// without a value becomes deep with its first one.
    pub(crate) fn grow(&mut self, depth: usize, registry: &Registry<V>) -> isize {
        match self {
            Self::Newest {
                appended, value, ..
            } if depth > 1 => {
                // Before anything is changed: it may be somebody else's code, and panic.
                let mut deep = Deep::new(registry.make(depth, value), *appended - 1);
                let empty = Self::Empty {
                    watch: None,
                    appended: 0,
                };
                let Self::Newest {
                    watch,
                    idle_rounds,
                    time_us,
                    value,
                    ..
                } = std::mem::replace(self, empty)
                else {
                    unreachable!("the slot held its newest value");
                };
                // The history is empty, so that nothing leaves it.
                let put = deep.put(time_us, value, &mut After::new());
                *self = Self::Deep {
                    watch,
                    idle_rounds,
                    deep: Box::new(deep),
                };
                put.bytes
            }
            Self::Deep { deep, .. } => {
                deep.kept.grow(depth);
                deep.recharge()
            }
            Self::Empty { .. } | Self::Newest { .. } => 0,
        }
    }

    /// Keeps at most `depth` values from now on: hands back what no longer fits, how many values
    /// that are, and by how much its memory changed. The newest value stays.
    pub(crate) fn shrink(&mut self, depth: usize) -> (Option<Left<V>>, usize, isize) {
        let Self::Deep {
            watch,
            idle_rounds,
            deep,
        } = self
        else {
            return (None, 0, 0);
        };
        let depth = depth.max(1);
        if depth >= deep.kept.depth() {
            return (None, 0, 0);
        }
        if depth > 1 {
            let left = deep.kept.shrink(depth);
            let left_len = left.len();
            return (Some(left), left_len, deep.recharge());
        }
        let left_len = deep.kept.len().saturating_sub(1);
        let (newest, values) = deep.kept.take_newest();
        let (watch, idle_rounds, appended) = (*watch, *idle_rounds, deep.appended);
        let shallow = match newest {
            Some(Sample { time_us, value }) => Self::Newest {
                watch,
                idle_rounds,
                appended,
                time_us,
                value,
            },
            None => Self::Empty { watch, appended },
        };
        let (kept, bytes) = std::mem::replace(self, shallow).into_kept();
        (
            kept.map(|kept| Left::Kept(values, Box::new(kept))),
            left_len,
            bytes,
        )
    }

    /// Takes away every value, the newest last, with what kept them; how many there were, and by
    /// how much its memory changed, in bytes. Numbering stays.
    pub(crate) fn clear(&mut self) -> (Vec<V>, Option<Kept<V>>, usize, isize) {
        let (watch, appended) = (self.watch(), self.appended());
        let empty = Self::Empty { watch, appended };
        let Self::Deep { deep, .. } = self else {
            return match std::mem::replace(self, empty) {
                Self::Newest { value, .. } => (vec![value], None, 1, 0),
                _ => (Vec::new(), None, 0, 0),
            };
        };
        let len = deep.kept.len();
        let (newest, mut values) = deep.kept.take_newest();
        values.extend(newest.map(|sample| sample.value));
        let (kept, bytes) = std::mem::replace(self, empty).into_kept();
        (values, kept, len, bytes)
    }

    /// What kept the values, and by how much less memory there is without it, in bytes.
    fn into_kept(self) -> (Option<Kept<V>>, isize) {
        match self {
            Self::Deep { deep, .. } => {
                let bytes = -(deep.charged as isize);
                (Some(deep.kept), bytes)
            }
            _ => (None, 0),
        }
    }

    /// The sweep for idle keys came by: whether it did so `rounds` times since the last put.
    pub(crate) fn is_idle_for(&mut self, rounds: u8) -> bool {
        match self {
            Self::Empty { .. } => false,
            Self::Newest { idle_rounds, .. } | Self::Deep { idle_rounds, .. } => {
                *idle_rounds = idle_rounds.saturating_add(1);
                *idle_rounds > rounds
            }
        }
    }
}

impl<V: Clone> Deep<V> {
    fn new(kept: Kept<V>, appended: u64) -> Self {
        Self {
            kept,
            appended,
            span_us: 0,
            span_depth_max: 0,
            capacity: usize::MAX,
            appends_left: 0,
            charged: 0,
        }
    }

    #[inline]
    fn put(&mut self, time_us: i64, value: V, after: &mut After<V>) -> Put {
        if self.span_us > 0 {
            self.follow_span(time_us);
        }
        let was_empty = self.kept.is_empty();
        let left_len = self.kept.append(value, time_us, after);
        self.appended += 1;
        let bytes = match self.appends_left.checked_sub(1) {
            Some(appends_left) if self.kept.capacity() == self.capacity => {
                self.appends_left = appends_left;
                0
            }
            _ => self.recharge(),
        };
        Put {
            seq: self.appended,
            left_len,
            bytes,
            was_empty,
        }
    }

    /// Grows while all that is held lies within the span that somebody reads.
    fn follow_span(&mut self, time_us: i64) {
        let depth = self.kept.depth();
        if depth < self.span_depth_max
            && self.kept.len() == depth
            && self.kept.lies_within(self.span_us, time_us)
        {
            self.kept
                .grow(depth.saturating_mul(2).min(self.span_depth_max));
        }
    }

    /// Counts its memory anew; by how much it changed.
    fn recharge(&mut self) -> isize {
        let before = self.charged;
        self.capacity = self.kept.capacity();
        let appends_left = self.kept.appends_left().clamp(1, APPENDS_MAX) - 1;
        self.appends_left = appends_left as u32;
        self.charged = size_of::<Self>() + self.kept.bytes();
        self.charged as isize - before as isize
    }
}

impl Put {
    /// Only the newest value is kept.
    fn of_newest(seq: u64, was_empty: bool) -> Self {
        Self {
            seq,
            left_len: usize::from(!was_empty),
            bytes: 0,
            was_empty,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Slot;

    #[test]
    fn a_key_that_keeps_only_its_newest_number_takes_32_bytes() {
        assert_eq!(size_of::<Slot<f64>>(), 32);
    }
}
