//! What is put into the service: a number with its writer.

use crate::ledger::{Alive, Tracked};

/// What the two numbers of a pair add up to, in every commit.
pub(super) const PAIR_SUM: u64 = 1_000_000;

/// The number of values that are rolled back, which nobody may ever see.
pub(super) const NEVER: u64 = u64::MAX;

/// A value that says who wrote it, and which one it is of those that its writer put to its key.
pub(super) trait Value: Clone + Send + Sync + 'static {
    fn new(writer: u32, number: u64, alive: &Alive) -> Self;
    fn writer(&self) -> u32;
    fn number(&self) -> u64;
}

/// Without a destructor: readers are shown the histories' own memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plain {
    writer: u32,
    number: u64,
}

impl Value for Plain {
    fn new(writer: u32, number: u64, _: &Alive) -> Self {
        Self { writer, number }
    }

    fn writer(&self) -> u32 {
        self.writer
    }

    fn number(&self) -> u64 {
        self.number
    }
}

/// With memory of its own, and counted while it exists.
impl Value for Tracked {
    fn new(writer: u32, number: u64, alive: &Alive) -> Self {
        Self::new(writer, number, alive)
    }

    fn writer(&self) -> u32 {
        self.name().owner
    }

    fn number(&self) -> u64 {
        self.name().number
    }
}
