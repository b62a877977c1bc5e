//! What keeps the values of one key that is deeper than its newest, and who chooses it.
//!
//! Three kinds, chosen when a key becomes deep and not on every put:
//!
//! - *shared*: the history's own segments are shown to readers, and nothing is copied. The usual
//!   choice for plain values. A value that leaves stays in its segment until that is left.
//! - *owned*: readers get copies of the values, and a value that leaves is dropped at once. The
//!   usual choice for values with a destructor (texts, frames), and the only one for values that
//!   are weighed.
//! - one that was registered for the value; see [`Builder::register_buffer`].
//!
//! [`Builder::register_buffer`]: crate::Builder::register_buffer

use std::fmt;
use std::sync::Arc;

use buffer_core::{Displaced, History, Pool, Reader, Room};

use crate::after::After;
use crate::{Sample, Series};

/// Keeps the last values of one key, in the order in which they were committed.
///
/// It is called under the service's lock, so that it must neither block nor call the service. The
/// service numbers the values; a buffer only keeps them.
///
/// ```
/// use dataservice::{Buffer, DataService, Series, Spec, WindowByCount};
///
/// /// Keeps every value as a byte, for a service of numbers between 0 and 1.
/// #[derive(Default)]
/// struct Bytes { depth: usize, values: std::collections::VecDeque<(i64, u8)> }
///
/// impl Buffer<f64> for Bytes {
///     fn append(&mut self, value: f64, time_us: i64) -> Option<f64> {
///         self.values.push_back((time_us, (value * 255.0) as u8));
///         if self.values.len() <= self.depth { return None }
///         self.values.pop_front().map(|(_, byte)| f64::from(byte) / 255.0)
///     }
///     fn len(&self) -> usize { self.values.len() }
///     fn depth(&self) -> usize { self.depth }
///     fn window(&self, count: usize) -> Series<f64> {
///         let first = self.values.len().saturating_sub(count);
///         let kept = self.values.iter().skip(first);
///         kept.map(|&(time_us, byte)| (time_us, f64::from(byte) / 255.0)).collect()
///     }
///     fn resize(&mut self, depth: usize) -> Vec<f64> {
///         self.depth = depth;
///         let leaving = self.values.len().saturating_sub(depth);
///         self.values.drain(..leaving).map(|(_, byte)| f64::from(byte) / 255.0).collect()
///     }
///     fn bytes(&self) -> usize { self.values.capacity() * 16 }
/// }
///
/// let service: DataService<&str, f64> = DataService::builder()
///     .register_buffer(
///         |value| (0.0..=1.0).contains(value),
///         |depth| Box::new(Bytes { depth, ..Bytes::default() }),
///     )
///     .build()?;
/// let level = service.register("level")?;
/// let mut window = service.subscribe(Spec::new().key(level, WindowByCount::new(3)))?;
/// service.put_many(level, [(1, 0.0), (2, 1.0)])?;
/// assert_eq!(window.poll().unwrap().update(level).unwrap().values(), [0.0, 1.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Buffer<V>: Send + Sync {
    /// Appends a value, and hands back the one that no longer fits.
    fn append(&mut self, value: V, time_us: i64) -> Option<V>;

    /// How many values it holds.
    fn len(&self) -> usize;

    /// Whether it holds none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many it holds at most.
    fn depth(&self) -> usize;

    /// The last `count` values, or as many as there are.
    fn window(&self, count: usize) -> Series<V>;

    /// The values of the last `span_us` microseconds of event time. As it is given, it sorts out
    /// the whole window by the rules of [`History::within`].
    fn within(&self, span_us: i64) -> Series<V> {
        let all = self.window(usize::MAX);
        let len = len_within(all.times_us(), span_us);
        all.last(len)
    }

    /// Holds so many values from now on, and hands back those that no longer fit, oldest first.
    fn resize(&mut self, depth: usize) -> Vec<V>;

    /// How much memory it takes, without what the values own on the heap.
    fn bytes(&self) -> usize;
}

/// Makes an empty buffer of a depth.
pub(crate) type MakeBuffer<V> = Arc<dyn Fn(usize) -> Box<dyn Buffer<V>> + Send + Sync>;

/// Whether a buffer is made for a value, and how.
pub(crate) type Registered<V> = (Arc<dyn Fn(&V) -> bool + Send + Sync>, MakeBuffer<V>);

/// Chooses what keeps the values of a key that becomes deep.
pub(crate) struct Registry<V> {
    pub(crate) registered: Vec<Registered<V>>,
    /// For values that no registered buffer is made for.
    pub(crate) share: bool,
    pub(crate) room: Room,
    /// Segments that were left, to be filled again.
    pub(crate) pool: Pool<V>,
}

impl<V> Clone for Registry<V> {
    fn clone(&self) -> Self {
        Self {
            registered: self.registered.clone(),
            share: self.share,
            room: self.room,
            pool: self.pool.clone(),
        }
    }
}

impl<V> Default for Registry<V> {
    fn default() -> Self {
        Self {
            registered: Vec::new(),
            share: !std::mem::needs_drop::<V>(),
            room: Room::default(),
            pool: Pool::new(0),
        }
    }
}

/// What keeps the values of one key.
pub(crate) enum Kept<V> {
    Shared(History<V>, Reader<V>),
    Owned(History<V>),
    Registered(Box<dyn Buffer<V>>),
}

/// What left a buffer, to be dropped after unlocking.
pub(crate) enum Left<V> {
    Values(Displaced<V>),
    Registered(Vec<V>),
    /// Values, and the buffer that they were in, which is dropped with them.
    Kept(
        Vec<V>,
        #[expect(dead_code, reason = "held to be dropped")] Box<Kept<V>>,
    ),
}

impl<V> Left<V> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Values(values) => values.len(),
            Self::Registered(values) | Self::Kept(values, _) => values.len(),
        }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        match self {
            Self::Values(values) => values.holds_nothing(),
            Self::Registered(values) => values.is_empty(),
            Self::Kept(..) => false,
        }
    }

    /// What the values own on the heap, as far as they can be seen: those of a shared history,
    /// which is never weighed, cannot.
    pub(crate) fn weighed(self, weigh: fn(&V) -> usize) -> (Self, usize) {
        let left = match self {
            Self::Values(values) => Self::Registered(values.into_values()),
            other => other,
        };
        let (Self::Registered(values) | Self::Kept(values, _)) = &left else {
            return (left, 0);
        };
        let weight = values.iter().map(weigh).sum();
        (left, weight)
    }
}

impl<V: Clone> Registry<V> {
    /// A buffer for a key whose first value to keep is this one.
    pub(crate) fn make(&self, depth: usize, first: &V) -> Kept<V> {
        for (is_made_for, make) in &self.registered {
            if is_made_for(first) {
                return Kept::Registered(make(depth));
            }
        }
        let mut history = History::with_room(depth, self.room).with_pool(&self.pool);
        if self.share {
            let reader = history.reader();
            Kept::Shared(history, reader)
        } else {
            Kept::Owned(history)
        }
    }
}

impl<V: Clone> Kept<V> {
    /// Appends a value, and says how many left for it.
    #[inline(always)]
    pub(crate) fn append(&mut self, value: V, time_us: i64, after: &mut After<V>) -> usize {
        match self {
            Self::Shared(history, _) | Self::Owned(history) => {
                let displaced = history.append(value, time_us).displaced;
                let len = displaced.len();
                if !displaced.holds_nothing() {
                    after.displaced(displaced);
                }
                len
            }
            Self::Registered(buffer) => {
                let left = buffer.append(value, time_us);
                let len = usize::from(left.is_some());
                if let Some(value) = left {
                    after.value(value);
                }
                len
            }
        }
    }

    #[inline(always)]
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Shared(history, _) | Self::Owned(history) => history.is_empty(),
            Self::Registered(buffer) => buffer.is_empty(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Shared(history, _) | Self::Owned(history) => history.len(),
            Self::Registered(buffer) => buffer.len(),
        }
    }

    pub(crate) fn depth(&self) -> usize {
        match self {
            Self::Shared(history, _) | Self::Owned(history) => history.depth(),
            Self::Registered(buffer) => buffer.depth(),
        }
    }

    pub(crate) fn window(&self, count: usize) -> Series<V> {
        match self {
            Self::Shared(_, reader) => Series::shared(reader.window(count)),
            Self::Owned(history) => copied(history.window(count)),
            Self::Registered(buffer) => buffer.window(count),
        }
    }

    pub(crate) fn within(&self, span_us: i64, count_max: usize) -> Series<V> {
        match self {
            Self::Shared(_, reader) => Series::shared(reader.within(span_us)).last(count_max),
            Self::Owned(history) => copied(history.within(span_us).last(count_max)),
            Self::Registered(buffer) => buffer.within(span_us).last(count_max),
        }
    }

    pub(crate) fn latest(&self) -> Option<Sample<V>> {
        match self {
            Self::Shared(history, _) | Self::Owned(history) => {
                history.latest().map(|newest| Sample {
                    time_us: newest.time,
                    value: newest.value.clone(),
                })
            }
            Self::Registered(buffer) => buffer.window(1).into_latest(),
        }
    }

    /// Whether all values are of the last `span_us` up to `time_us`: a longer history might hold
    /// more of the span.
    pub(crate) fn lies_within(&self, span_us: i64, time_us: i64) -> bool {
        let oldest = match self {
            Self::Shared(history, _) | Self::Owned(history) => {
                history.window(usize::MAX).times().first().copied()
            }
            Self::Registered(buffer) => buffer.window(usize::MAX).times_us().first().copied(),
        };
        oldest.is_some_and(|oldest| time_us.saturating_sub(oldest) <= span_us)
    }

    pub(crate) fn grow(&mut self, depth: usize) {
        match self {
            Self::Shared(history, _) | Self::Owned(history) => history.grow(depth),
            Self::Registered(buffer) => {
                if depth > buffer.depth() {
                    drop(buffer.resize(depth));
                }
            }
        }
    }

    pub(crate) fn shrink(&mut self, depth: usize) -> Left<V> {
        match self {
            Self::Shared(history, _) | Self::Owned(history) => Left::Values(history.shrink(depth)),
            Self::Registered(buffer) => Left::Registered(buffer.resize(depth)),
        }
    }

    /// Empties it: the newest value, and the others as far as they are not shared with readers. It
    /// is of no use afterwards, and only to be dropped after unlocking.
    ///
    /// # Panics
    /// When a clone does; then nothing has changed.
    pub(crate) fn take_newest(&mut self) -> (Option<Sample<V>>, Vec<V>) {
        let (time_us, mut values) = match self {
            Self::Shared(..) => return (self.latest(), Vec::new()),
            Self::Owned(history) => {
                let time_us = history.latest().map(|newest| newest.time);
                (time_us, history.clear().into_values())
            }
            Self::Registered(buffer) => {
                let time_us = buffer.window(1).times_us().first().copied();
                (time_us, buffer.resize(0))
            }
        };
        let newest = time_us.zip(values.pop());
        let newest = newest.map(|(time_us, value)| Sample { time_us, value });
        (newest, values)
    }

    /// Tells that [`bytes`](Self::bytes) changed when it does.
    #[inline(always)]
    pub(crate) fn capacity(&self) -> usize {
        match self {
            Self::Shared(history, _) | Self::Owned(history) => history.capacity(),
            Self::Registered(_) => 0,
        }
    }

    /// How many values can be appended at most before [`bytes`](Self::bytes) changes, though the
    /// [capacity](Self::capacity) does not.
    pub(crate) fn appends_left(&self) -> usize {
        match self {
            // After so many the segment is full and left.
            Self::Shared(history, _) | Self::Owned(history) => {
                history.capacity().saturating_sub(history.len())
            }
            Self::Registered(_) => 1,
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Shared(history, _) | Self::Owned(history) => history.bytes().allocated,
            Self::Registered(buffer) => buffer.bytes(),
        }
    }
}

/// How many of these values, from the last, are of the last `span_us`, by the rules of
/// [`History::within`].
pub(crate) fn len_within(times_us: &[i64], span_us: i64) -> usize {
    let mut times = History::new(times_us.len());
    for time_us in times_us {
        drop(times.append((), *time_us));
    }
    times.within(span_us).len()
}

fn copied<V: Clone>(window: buffer_core::Window<'_, V>) -> Series<V> {
    match window.latest() {
        None => Series::empty(),
        Some(newest) if window.len() == 1 => Series::one(Sample {
            time_us: newest.time,
            value: newest.value.clone(),
        }),
        Some(_) => Series::own(window.times().to_vec(), window.values().to_vec()),
    }
}

impl<V> fmt::Debug for Kept<V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Shared(..) => "Shared",
            Self::Owned(_) => "Owned",
            Self::Registered(_) => "Registered",
        })
    }
}

impl<V> fmt::Debug for Registry<V> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Registry")
            .field("registered", &self.registered.len())
            .field("share", &self.share)
            .field("room", &self.room)
            .finish()
    }
}
