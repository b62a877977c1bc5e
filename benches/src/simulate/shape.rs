//! The random plan of a seed: sinks, routes, lanes and sources.

use std::time::Duration;

use flush_policy::FlushSpec;
use pipeline::WhenFull;

/// Everything that a seed is made of at first.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) sinks: Vec<SinkShape>,
    pub(crate) sources: Vec<SourceShape>,
}

/// A sink and its layers.
#[derive(Clone, Debug)]
pub(crate) struct SinkShape {
    pub(crate) name: String,
    pub(crate) write_max: Duration,
    pub(crate) timeout: Option<Duration>,
    /// Failures in a row, and how long it rests.
    pub(crate) breaker: Option<(u32, Duration)>,
    pub(crate) refuses_rows: bool,
    pub(crate) names_rows: bool,
    pub(crate) lanes: Vec<LaneShape>,
}

/// A lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LaneShape {
    pub(crate) size: usize,
    pub(crate) policy: WhenFull,
    pub(crate) batch: usize,
    pub(crate) age: Duration,
}

/// How a source hands over its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SourceKind {
    /// Its records have positions, and can be read again.
    Positioned,
    /// The intake numbers them.
    Numbered,
}

/// A source.
#[derive(Clone, Debug)]
pub(crate) struct SourceShape {
    pub(crate) name: String,
    pub(crate) kind: SourceKind,
    pub(crate) tags: Vec<String>,
    pub(crate) malformed_pct: u8,
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Shape {
    pub(crate) fn random(random: &mut fastrand::Rng) -> Self {
        let sinks = (0..1).map(|index| sink(random, index)).collect();
        let sources = (0..random.usize(1..=4))
            .map(|index| source(random, index))
            .collect();
        Self { sinks, sources }
    }
}

fn choose<T: Copy>(random: &mut fastrand::Rng, from: &[T]) -> T {
    from[random.usize(0..from.len())]
}

fn sink(random: &mut fastrand::Rng, index: usize) -> SinkShape {
    SinkShape {
        name: format!("sink{index}"),
        write_max: ms(choose(random, &[0, 1, 5, 20])),
        timeout: (random.u8(0..5) > 0).then(|| ms(random.u64(300..3_000))),
        breaker: random
            .bool()
            .then(|| (random.u32(1..=4), ms(random.u64(200..5_000)))),
        refuses_rows: random.bool(),
        names_rows: random.bool(),
        lanes: vec![lane(random)],
    }
}

fn lane(random: &mut fastrand::Rng) -> LaneShape {
    let size = random.usize(4..=60);
    LaneShape {
        size,
        policy: choose(
            random,
            &[
                WhenFull::Block(Duration::from_micros(20)),
                WhenFull::Reject,
                WhenFull::DropNewest,
                WhenFull::DropOldest,
            ],
        ),
        batch: random.usize(1..=size),
        age: ms(choose(random, &[1, 20, 100, 500, 3_000])),
    }
}

fn source(random: &mut fastrand::Rng, index: usize) -> SourceShape {
    SourceShape {
        name: format!("src{index}"),
        kind: choose(random, &[SourceKind::Positioned, SourceKind::Numbered]),
        tags: (0..random.usize(1..=5))
            .map(|tag| format!("tag{tag}"))
            .collect(),
        malformed_pct: choose(random, &[0, 0, 5]),
    }
}

impl LaneShape {
    /// The policy that flushes it.
    pub(crate) fn flush(&self) -> FlushSpec {
        FlushSpec::new().size(self.batch).age(self.age)
    }
}
