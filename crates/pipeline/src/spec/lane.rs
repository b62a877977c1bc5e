//! A lane: a class of urgency with its own memory, policy and share of the sink.

use std::time::Duration;

use buffer_core::{OverflowPolicy, Watermark};
use flush_policy::{AdaptiveSpec, FlushSpec};
use record::Priority;

/// What happens to a record for which a lane has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// Whoever offers it waits for room, for so long at the most, and is refused then.
    Block(Duration),
    /// It is refused, and whoever offers it knows.
    Reject,
    /// It is accepted and dropped.
    DropNewest,
    /// The oldest of the lane makes room.
    DropOldest,
    /// Lanes of the same route give up memory above their `max_size_min`: first what they do not
    /// use, then what the least urgent ones below this one hold, their oldest records first. When
    /// they have none, the oldest of this lane makes room.
    DropLowestPriority,
}

impl WhenFull {
    /// The policy of the ring under it.
    pub(crate) fn ring_policy(self) -> OverflowPolicy {
        match self {
            Self::Block(timeout) => OverflowPolicy::Block(timeout),
            Self::Reject => OverflowPolicy::Reject,
            Self::DropNewest => OverflowPolicy::DropNewest,
            Self::DropOldest | Self::DropLowestPriority => OverflowPolicy::DropOldest,
        }
    }
}

/// How much is buffered, and what happens when that is not enough.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BufferOptions {
    /// Records that the buffer holds, those under way to the sink included.
    pub max_size: usize,
    /// Bytes that they may take together.
    pub max_bytes: usize,
    /// What happens to a record for which there is no room.
    pub policy: WhenFull,
    /// When a filling buffer is reported, and its sources are slowed.
    pub watermark: Watermark,
}

impl Default for BufferOptions {
    /// 10,000 records or 64 MiB, the oldest dropped, reported at 80 % and again at 70 %.
    fn default() -> Self {
        Self {
            max_size: 10_000,
            max_bytes: 64 << 20,
            policy: WhenFull::DropOldest,
            watermark: Watermark::default(),
        }
    }
}

/// A class of urgency with its own memory, policy and share of the sink.
///
/// | lane | from acceptance to delivery, p99 | flushes | weight |
/// |---|---|---|---|
/// | critical | 50 ms | at once | 8 |
/// | high | 50 ms | after 10 ms, batches that adapt from 1 to 500 | 4 |
/// | normal | 100 ms (p95 50 ms) | after 25 ms, batches that adapt from 1 to 5,000 | 2 |
/// | low | 500 ms | after 250 ms, batches that adapt from 1 to 5,000 | 1 |
///
/// ```
/// use std::time::Duration;
/// use pipeline::{LaneSpec, WhenFull};
/// use record::Priority;
///
/// let low = LaneSpec::new(Priority::Low)
///     .size(100_000)
///     .when_full(WhenFull::DropOldest)
///     .expires_after(Duration::from_secs(60));
/// assert_eq!(low.priority(), Priority::Low);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct LaneSpec {
    pub(crate) priority: Priority,
    pub(crate) buffer: BufferOptions,
    pub(crate) size_min: usize,
    pub(crate) flush: FlushSpec,
    pub(crate) batch_max: usize,
    pub(crate) batch_bytes_max: usize,
    pub(crate) weight: u32,
    pub(crate) reserved: usize,
    pub(crate) expires_after: Option<Duration>,
    pub(crate) parallel: usize,
    pub(crate) target: Duration,
}

/// Most queues of one lane that are written side by side.
pub(crate) const PARALLEL_MAX: usize = 64;
/// A batch is at most so large, unless said.
const BATCH_BYTES_MAX: usize = 8 << 20;

impl LaneSpec {
    /// A lane with the usual choices for its class.
    pub fn new(priority: Priority) -> Self {
        let ms = Duration::from_millis;
        let adaptive = |size_max, base, wait, target| {
            let spec = AdaptiveSpec::new().sizes(1, size_max).base(base);
            FlushSpec::new().adaptive(spec.wait(ms(wait)).write_target(ms(target)))
        };
        let (flush, weight, target) = match priority {
            Priority::Critical => (FlushSpec::new().size(1), 8, 50),
            Priority::High => (adaptive(500, 200, 10, 20), 4, 50),
            Priority::Normal => (adaptive(5_000, 2_000, 25, 25), 2, 100),
            Priority::Low => (adaptive(5_000, 2_000, 250, 100), 1, 500),
        };
        Self {
            priority,
            buffer: BufferOptions {
                policy: match priority {
                    Priority::Critical | Priority::High => WhenFull::DropLowestPriority,
                    Priority::Normal | Priority::Low => WhenFull::DropOldest,
                },
                ..BufferOptions::default()
            },
            size_min: 1_000,
            flush,
            batch_max: match priority {
                Priority::Critical | Priority::High => 500,
                Priority::Normal | Priority::Low => 5_000,
            },
            batch_bytes_max: BATCH_BYTES_MAX,
            weight,
            reserved: 0,
            expires_after: None,
            parallel: 1,
            target: ms(target),
        }
    }

    /// The four lanes with the usual choices, the most urgent first.
    pub fn all() -> [Self; 4] {
        [
            Priority::Critical,
            Priority::High,
            Priority::Normal,
            Priority::Low,
        ]
        .map(Self::new)
    }

    /// The class of urgency.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// The memory of the lane, and what happens when it is full.
    pub fn buffer(mut self, buffer: BufferOptions) -> Self {
        self.buffer = buffer;
        self
    }

    /// Records that the lane holds; 10,000 unless said.
    pub fn size(mut self, records_max: usize) -> Self {
        self.buffer.max_size = records_max;
        self
    }

    /// Room for so many records stays with the lane when more urgent ones take its memory; 1,000
    /// unless said, and never more than its size.
    pub fn size_min(mut self, records: usize) -> Self {
        self.size_min = records;
        self
    }

    /// What happens to a record for which there is no room.
    pub fn when_full(mut self, policy: WhenFull) -> Self {
        self.buffer.policy = policy;
        self
    }

    /// When a batch goes to the sink. A flush that only a buffer more than full would bring comes
    /// when it is full.
    pub fn flush(mut self, flush: FlushSpec) -> Self {
        self.flush = flush;
        self
    }

    /// Records of one batch at the most; an adaptive size stays below it.
    pub fn batch_max(mut self, records: usize) -> Self {
        self.batch_max = records;
        self
    }

    /// Turns that this lane gets at the sink while all lanes wait, beside the others' weights.
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Writes of the sink that are kept free for this lane; 0 unless said.
    pub fn reserved(mut self, writes: usize) -> Self {
        self.reserved = writes;
        self
    }

    /// Records that wait for longer are dropped and counted when their turn comes.
    pub fn expires_after(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.expires_after = age.into();
        self
    }

    /// Deals scopes out to so many queues, each with its share of the memory and a batch of its
    /// own under way; 1 unless said, and at most 64.
    pub fn parallel(mut self, queues: usize) -> Self {
        self.parallel = queues;
        self
    }

    /// What 99 of 100 records should take from acceptance to delivery; health is measured by it.
    pub fn target(mut self, p99: Duration) -> Self {
        self.target = p99;
        self
    }
}
