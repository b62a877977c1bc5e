//! How deeply a value may be nested that comes from a client.
//!
//! A message is read up to [`protocol::DEPTH_MAX`] levels, and a value inside a change lies some
//! levels deeper than the client had it that sent it. What is too deep is refused where it comes
//! in; what comes another way, from a source or from the application, is told as text. Else
//! everybody who reads that key would be sent messages that cannot be read.

use record::Value;
use serde_json::Value as Json;

/// Levels of arrays and objects; the rest up to the limit of messages is for what is around them.
const VALUE_DEPTH_MAX: usize = protocol::DEPTH_MAX - 8;

/// Levels that a value may have to be told as what it is: one more, as the record of an action has
/// its parameters inside.
const TOLD_DEPTH_MAX: usize = VALUE_DEPTH_MAX + 1;

/// Whether a value can be sent to clients.
///
/// # Errors
/// In a sentence, with the name of the field.
pub(crate) fn check(field: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::Json(text) => check_text(field, text.as_str()),
        _ => Ok(()),
    }
}

/// The same of JSON text.
pub(crate) fn check_text(field: &str, text: &str) -> Result<(), String> {
    let depth = depth(text);
    if depth <= VALUE_DEPTH_MAX {
        return Ok(());
    }
    Err(format!(
        "`{field}` is nested {depth} levels deep, the limit is {VALUE_DEPTH_MAX}"
    ))
}

/// Whether this JSON text, which is valid, is too deep to be told as what it means.
pub(crate) fn is_deep(text: &str) -> bool {
    // Each level is opened and closed.
    text.len() > 2 * TOLD_DEPTH_MAX && depth(text) > TOLD_DEPTH_MAX
}

/// A value that can be told: one that is too deep as its text.
pub(crate) fn shallow(value: Json) -> Json {
    match is_within(&value, TOLD_DEPTH_MAX) {
        true => value,
        false => Json::from(value.to_string()),
    }
}

fn is_within(value: &Json, levels: usize) -> bool {
    let inside = |levels: usize| levels.checked_sub(1);
    match value {
        Json::Array(items) => {
            inside(levels).is_some_and(|levels| items.iter().all(|item| is_within(item, levels)))
        }
        Json::Object(members) => inside(levels)
            .is_some_and(|levels| members.values().all(|member| is_within(member, levels))),
        _ => true,
    }
}

/// The levels of JSON text, which is valid.
fn depth(text: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'[' | b'{' if !is_text => {
                now += 1;
                most = most.max(now);
            }
            b']' | b'}' if !is_text => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_counted_outside_of_text_alone() {
        for (text, levels) in [
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[{}],"b":[]}"#, 3),
            (r#"["[[[","\"[[","\\",[]]"#, 2),
        ] {
            assert_eq!(depth(text), levels, "{text}");
        }
    }

    #[test]
    fn what_is_too_deep_becomes_text() {
        let nested = |levels| (0..levels).fold(Json::Null, |inner, _| Json::from(vec![inner]));
        for (levels, is_told_deep) in [(1, false), (121, false), (122, true), (1_000, true)] {
            let value = nested(levels);
            let text = value.to_string();
            assert_eq!(is_deep(&text), is_told_deep, "{levels}");
            let expected = if is_told_deep {
                Json::from(text)
            } else {
                value.clone()
            };
            assert_eq!(shallow(value), expected, "{levels}");
        }
    }
}
