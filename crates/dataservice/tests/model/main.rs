//! The service against a naive model that keeps every update of every commit.
//!
//! What histories hold is measured, and has to be the newest part of what the model kept; what
//! every reader gets, and every account, is computed from that and compared exactly. Three
//! services: of plain numbers, of texts that are weighed in little memory, and of texts that
//! readers share.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod actions;
mod feeds;
mod subscribers;
mod values;
mod world;

use proptest::prelude::*;

use actions::{Action, action};
use values::{Plain, Setup, SharedText, Value, WeighedText};
use world::World;

fn run<V: Value>(setup: Setup, actions: &[Action]) -> Result<(), TestCaseError> {
    let mut world = World::<V>::new(setup);
    for action in actions {
        world.step(action)?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn windows_are_suffixes_and_accounts_are_exact(
        setup in values::setup(),
        actions in prop::collection::vec(action(), 1..80),
    ) {
        run::<Plain>(setup, &actions)?;
    }

    #[test]
    fn law_2_weighed_texts_stay_within_little_memory_and_newest_values_stay(
        setup in values::small(),
        actions in prop::collection::vec(action(), 1..80),
    ) {
        run::<WeighedText>(setup, &actions)?;
    }

    #[test]
    fn shared_texts_are_shown_and_counted_the_same(
        setup in values::setup(),
        actions in prop::collection::vec(action(), 1..60),
    ) {
        run::<SharedText>(setup, &actions)?;
    }
}
