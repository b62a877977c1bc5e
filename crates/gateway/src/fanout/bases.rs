//! What the clients of a cohort hold, so that they can be told only what became different.
//!
//! Kept per cohort for subscriptions with `deltas`, and only for values that are objects. All
//! cohorts of a loop share one limit of memory; what has no room is sent whole.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use dataservice::KeyId;
use protocol::merge_patch::diff;
use serde_json::Value;

use super::frame::{Content, Whole};

/// Bytes that the bases of one loop may have, by estimate.
const BYTES_MAX: usize = 16 << 20;
/// What a member of an object costs beside its text, by estimate.
const MEMBER_BYTES: usize = 64;

/// The values that the clients of a cohort hold.
#[derive(Debug)]
pub(super) struct Bases {
    values: HashMap<KeyId, Base>,
    bytes: usize,
    /// What all of the loop have.
    held: Rc<Cell<usize>>,
}

#[derive(Debug)]
struct Base {
    rev: u64,
    value: Value,
    bytes: usize,
}

impl Bases {
    pub(super) fn new(held: Rc<Cell<usize>>) -> Self {
        Self {
            values: HashMap::new(),
            bytes: 0,
            held,
        }
    }

    /// What is sent of a value: a patch of the one before, if that is known and shorter.
    pub(super) fn content(&mut self, id: KeyId, rev: u64, value: Value) -> Content<'static> {
        let known = self.forget(id);
        if !value.is_object() {
            return Content::Whole(Whole::Made(value));
        }
        let patch = known.and_then(|base| Some((diff(&base.value, &value)?, base.rev)));
        let Some((patch, base)) = patch else {
            self.keep(id, rev, value.clone());
            return Content::Whole(Whole::Made(value));
        };
        self.keep(id, rev, value);
        Content::Patch { patch, base }
    }

    /// The key holds nothing, or nobody knows what.
    pub(super) fn remove(&mut self, id: KeyId) {
        self.forget(id);
    }

    fn keep(&mut self, id: KeyId, rev: u64, value: Value) {
        let bytes = weight(&value);
        if self.held.get() + bytes > BYTES_MAX {
            return;
        }
        self.bytes += bytes;
        self.held.set(self.held.get() + bytes);
        self.values.insert(id, Base { rev, value, bytes });
    }

    fn forget(&mut self, id: KeyId) -> Option<Base> {
        let base = self.values.remove(&id)?;
        self.bytes -= base.bytes;
        self.held.set(self.held.get() - base.bytes);
        Some(base)
    }
}

impl Drop for Bases {
    fn drop(&mut self) {
        self.held.set(self.held.get() - self.bytes);
    }
}

/// What a value costs in memory, by estimate.
fn weight(value: &Value) -> usize {
    let inner: usize = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| name.len() + weight(member))
            .sum(),
        _ => 0,
    };
    MEMBER_BYTES + inner
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn law_2_bases_of_a_loop_are_bounded_and_given_back() {
        let held = Rc::new(Cell::new(0));
        let mut bases = Bases::new(Rc::clone(&held));
        let text = "x".repeat(1 << 20);
        for number in 0..40 {
            bases.content(KeyId::from_number(number), 1, json!({"text": text}));
            assert!(held.get() <= BYTES_MAX);
        }
        assert!(held.get() > BYTES_MAX / 2);
        bases.remove(KeyId::FIRST);
        drop(bases);
        assert_eq!(held.get(), 0);
    }

    #[test]
    fn a_patch_is_of_the_value_before_and_never_of_one_that_was_not_sent() {
        let mut bases = Bases::new(Rc::default());
        let id = KeyId::FIRST;
        let value = |x: u32| json!({"name": "agent number seven", "task": "loading", "x": x});
        assert!(matches!(
            bases.content(id, 1, value(1)),
            Content::Whole(Whole::Made(_))
        ));
        let Content::Patch { patch, base } = bases.content(id, 5, value(2)) else {
            panic!("whole");
        };
        assert_eq!((patch, base), (json!({"x": 2}), 1));
        // What is no object has no patch, and neither has what follows it.
        assert!(matches!(
            bases.content(id, 6, json!(7)),
            Content::Whole(Whole::Made(_))
        ));
        assert!(matches!(
            bases.content(id, 7, value(3)),
            Content::Whole(Whole::Made(_))
        ));
    }
}
