//! Merge patches (RFC 7396): what became different in a JSON object, as a JSON object.
//!
//! - A member of a patch replaces the member of that name; `null` removes it; an object is a patch
//!   of the object there. Arrays are replaced as a whole.
//! - So a patch cannot say that a member becomes null. [`diff`] gives none then, and the whole
//!   value has to be sent: [`apply`] of what it does give always leads to the same value.
//! - Both walk the two values once. [`diff`] goes down [`DEPTH_MAX`] levels and gives up below;
//!   [`apply`] needs no stack for depth.

use serde_json::map::Entry;
use serde_json::{Map, Value};

use crate::encoding::DEPTH_MAX;

/// Makes of `target` what `patch` says.
///
/// A patch that is no object replaces the target; a target that is no object counts as an empty
/// one.
///
/// ```
/// use protocol::merge_patch::apply;
/// use serde_json::json;
///
/// let mut state = json!({"name": "agent 7", "position": {"x": 1, "y": 2}, "task": "load"});
/// apply(&mut state, &json!({"position": {"y": 3}, "task": null}));
/// assert_eq!(state, json!({"name": "agent 7", "position": {"x": 1, "y": 3}}));
/// ```
pub fn apply(target: &mut Value, patch: &Value) {
    let mut open = vec![(target, patch)];
    while let Some((target, patch)) = open.pop() {
        let Value::Object(patch) = patch else {
            target.clone_from(patch);
            continue;
        };
        let members = object(target);
        for (name, value) in patch {
            match value {
                Value::Null => drop(members.remove(name)),
                // An object is merged below, into what is there.
                Value::Object(_) => drop(members.entry(name).or_insert(Value::Null)),
                whole => drop(members.insert(name.clone(), whole.clone())),
            }
        }
        if patch.values().any(Value::is_object) {
            open.extend(members.iter_mut().filter_map(|(name, member)| {
                let inner = patch.get(name).filter(|inner| inner.is_object())?;
                Some((member, inner))
            }));
        }
    }
}

/// The patch that makes `to` of `from`, when there is one and it is worth sending.
///
/// None when one of the two is no object; when a member becomes null, or one that is new has null
/// inside; when they are nested too deeply; or when the patch is by estimate not shorter than
/// `to`.
///
/// ```
/// use protocol::merge_patch::diff;
/// use serde_json::json;
///
/// let before = json!({"name": "agent 7", "position": {"x": 1, "y": 2}});
/// let after = json!({"name": "agent 7", "position": {"x": 1, "y": 3}});
/// assert_eq!(diff(&before, &after), Some(json!({"position": {"y": 3}})));
/// assert_eq!(diff(&before, &json!({"name": null, "position": {"x": 1, "y": 2}})), None);
/// ```
#[must_use]
pub fn diff(from: &Value, to: &Value) -> Option<Value> {
    let (Value::Object(from), Value::Object(to)) = (from, to) else {
        return None;
    };
    let mut left = members_bytes(to, DEPTH_MAX)?.checked_sub(EMPTY_BYTES + 1)?;
    let patch = diff_members(from, to, DEPTH_MAX, &mut left)?;
    Some(Value::Object(patch))
}

/// What an empty object or array takes.
const EMPTY_BYTES: usize = 2;

/// The object that a value is, or an empty one in its place.
fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(members) => members,
        _ => unreachable!("it was made an object"),
    }
}

/// The patch between two objects that takes at most `left` bytes, which are taken from it.
fn diff_members(
    from: &Map<String, Value>,
    to: &Map<String, Value>,
    depth: usize,
    left: &mut usize,
) -> Option<Map<String, Value>> {
    let depth = depth.checked_sub(1)?;
    let mut patch = Map::new();
    for (name, after) in to {
        let before = from.get(name);
        if before == Some(after) {
            continue;
        }
        let member = if let (Some(Value::Object(before)), Value::Object(after)) = (before, after) {
            take(left, member_bytes(name) + EMPTY_BYTES)?;
            Value::Object(diff_members(before, after, depth, left)?)
        } else {
            take(left, member_bytes(name) + bytes(after, depth)?)?;
            has_no_null(after).then(|| after.clone())?
        };
        patch.insert(name.clone(), member);
    }
    for name in from.keys() {
        if let Entry::Vacant(place) = patch.entry(name)
            && !to.contains_key(name)
        {
            take(left, member_bytes(name) + bytes(&Value::Null, depth)?)?;
            place.insert(Value::Null);
        }
    }
    Some(patch)
}

fn take(left: &mut usize, bytes: usize) -> Option<()> {
    *left = left.checked_sub(bytes)?;
    Some(())
}

/// Whether a member may be this in a patch: arrays may hold null, since they are never merged.
fn has_no_null(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Object(members) => members.values().all(has_no_null),
        _ => true,
    }
}

/// About how many bytes a value takes; none when it is nested too deeply.
fn bytes(value: &Value, depth: usize) -> Option<usize> {
    let depth = depth.checked_sub(1)?;
    Some(match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => {
            let mut sum = EMPTY_BYTES;
            for item in items {
                sum += bytes(item, depth)? + 1;
            }
            sum
        }
        Value::Object(members) => members_bytes(members, depth)?,
    })
}

fn members_bytes(members: &Map<String, Value>, depth: usize) -> Option<usize> {
    let mut sum = EMPTY_BYTES;
    for (name, value) in members {
        sum += member_bytes(name) + bytes(value, depth)?;
    }
    Some(sum)
}

/// The name of a member with its quotes, colon and comma.
fn member_bytes(name: &str) -> usize {
    name.len() + 4
}
