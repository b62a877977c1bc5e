//! The services that are compared, and their values.

use std::fmt::Debug;
use std::time::Duration;

use dataservice::{Builder, Schema};
use proptest::prelude::*;

pub(crate) const GRACE: Duration = Duration::from_secs(30);

/// What a service is built with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) depth_default: usize,
    pub(crate) resume_updates: usize,
    pub(crate) idle_after: Option<Duration>,
    pub(crate) memory_max: Option<usize>,
}

pub(crate) fn setup() -> impl Strategy<Value = Setup> {
    let resume = prop_oneof![Just(0_usize), Just(20), Just(100_000)];
    let idle = prop_oneof![3 => Just(None), 1 => Just(Some(Duration::from_secs(50)))];
    (1..4_usize, resume, idle).prop_map(|(depth_default, resume_updates, idle_after)| Setup {
        depth_default,
        resume_updates,
        idle_after,
        memory_max: None,
    })
}

/// So little memory that histories have to be cut.
pub(crate) fn small() -> impl Strategy<Value = Setup> {
    (setup(), 6_000..20_000_usize).prop_map(|(setup, bytes)| Setup {
        memory_max: Some(bytes),
        ..setup
    })
}

/// A value that stands for a number.
pub(crate) trait Value: Clone + Debug + PartialEq + Send + Sync + 'static {
    fn of(number: u64) -> Self;
    fn weight(&self) -> usize;
    fn builder(builder: Builder<usize, Self>) -> Builder<usize, Self>;
    fn schema(&self) -> Schema;
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plain(u64);

impl Value for Plain {
    fn of(number: u64) -> Self {
        Self(number)
    }

    fn weight(&self) -> usize {
        0
    }

    fn builder(builder: Builder<usize, Self>) -> Builder<usize, Self> {
        builder.describe(Self::schema)
    }

    fn schema(&self) -> Schema {
        kind(self.0)
    }
}

/// The shape changes now and then.
fn kind(number: u64) -> Schema {
    Schema::single(if number % 50 < 30 { "low" } else { "high" })
}

fn text(number: u64) -> String {
    format!("{number}{}", "-".repeat((number % 40) as usize))
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WeighedText(String);

impl Value for WeighedText {
    fn of(number: u64) -> Self {
        Self(text(number))
    }

    fn weight(&self) -> usize {
        self.0.len()
    }

    fn builder(builder: Builder<usize, Self>) -> Builder<usize, Self> {
        builder.weigh(Self::weight)
    }

    fn schema(&self) -> Schema {
        Schema::single("text")
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SharedText(String);

impl Value for SharedText {
    fn of(number: u64) -> Self {
        Self(text(number))
    }

    fn weight(&self) -> usize {
        0
    }

    fn builder(builder: Builder<usize, Self>) -> Builder<usize, Self> {
        builder.share_values()
    }

    fn schema(&self) -> Schema {
        Schema::single("text")
    }
}
