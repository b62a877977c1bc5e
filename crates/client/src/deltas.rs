//! Whole values from patches. Keeps the newest object of each key of a subscription with `deltas`.

use std::collections::HashMap;

use protocol::{Change, Content, KeyName, merge_patch};
use serde_json::Value;

use crate::event::Reading;

/// The newest object of each key that a patch may be based on.
#[derive(Debug, Default)]
pub(crate) struct Deltas {
    bases: HashMap<KeyName, (u64, Value)>,
}

/// A patch of a value that this client does not have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownBase;

impl Deltas {
    /// The values of these changes.
    pub(crate) fn resolve(&mut self, changes: Vec<Change>) -> Result<Vec<Reading>, UnknownBase> {
        let readings = changes.into_iter().map(|change| self.resolve_one(change));
        readings.collect()
    }

    fn resolve_one(&mut self, change: Change) -> Result<Reading, UnknownBase> {
        let key = KeyName {
            source: change.source,
            tag: change.tag,
        };
        let value = match change.content {
            Content::Whole(value) => value,
            Content::Patch { patch, base } => {
                let (rev, mut value) = self.bases.remove(&key).ok_or(UnknownBase)?;
                if rev != base {
                    return Err(UnknownBase);
                }
                merge_patch::apply(&mut value, &patch);
                value
            }
        };
        // Without a number nothing can be based on it.
        match change.rev {
            Some(rev) if value.is_object() => {
                self.bases.insert(key.clone(), (rev, value.clone()));
            }
            _ => {
                self.bases.remove(&key);
            }
        }
        Ok(Reading {
            key,
            timestamp: change.timestamp,
            value,
            quality: change.quality,
            priority: change.priority,
        })
    }

    /// Keys that hold no value any more.
    pub(crate) fn remove(&mut self, keys: &[KeyName]) {
        for key in keys {
            self.bases.remove(key);
        }
    }

    /// What comes next is based on nothing that was before.
    pub(crate) fn clear(&mut self) {
        self.bases.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use record::{Name, Priority, Quality};
    use serde_json::json;

    use super::*;

    fn change(content: Content, rev: u64) -> Change {
        Change {
            source: Name::new("source", "a").unwrap(),
            tag: Name::new("tag", "b").unwrap(),
            timestamp: 1,
            content,
            quality: Quality::Good,
            priority: Priority::Normal,
            rev: Some(rev),
        }
    }

    fn patch(patch: Value, base: u64, rev: u64) -> Change {
        change(Content::Patch { patch, base }, rev)
    }

    #[test]
    fn patches_follow_each_other_also_within_a_frame() {
        let mut deltas = Deltas::default();
        let readings = deltas.resolve(vec![
            change(Content::Whole(json!({"x": 1, "y": 1})), 4),
            patch(json!({"x": 2}), 4, 5),
            patch(json!({"y": null}), 5, 7),
        ]);
        let values: Vec<Value> = readings.unwrap().into_iter().map(|one| one.value).collect();
        let expected = [
            json!({"x": 1, "y": 1}),
            json!({"x": 2, "y": 1}),
            json!({"x": 2}),
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn a_patch_of_what_is_not_known_is_refused() {
        let whole = || change(Content::Whole(json!({"x": 1})), 4);
        let mut deltas = Deltas::default();
        assert_eq!(
            deltas.resolve(vec![patch(json!({}), 4, 5)]),
            Err(UnknownBase)
        );
        deltas.resolve(vec![whole()]).unwrap();
        assert_eq!(
            deltas.resolve(vec![patch(json!({}), 3, 5)]),
            Err(UnknownBase)
        );
        deltas
            .resolve(vec![whole(), change(Content::Whole(json!(1)), 5)])
            .unwrap();
        assert_eq!(
            deltas.resolve(vec![patch(json!({}), 5, 6)]),
            Err(UnknownBase)
        );
        deltas.resolve(vec![whole()]).unwrap();
        deltas.clear();
        assert_eq!(
            deltas.resolve(vec![patch(json!({}), 4, 5)]),
            Err(UnknownBase)
        );
    }
}
