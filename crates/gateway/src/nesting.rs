//! How deeply a value may be nested that comes from a client.
//!
//! A message is read up to [`protocol::DEPTH_MAX`] levels, and a value inside a change lies some
//! levels deeper than the client had it that sent it. What is too deep is refused where it comes
//! in: else everybody who reads that key would be sent messages that cannot be read.

use record::Value;

/// Levels of arrays and objects; the rest up to the limit of messages is for what is around them.
const VALUE_DEPTH_MAX: usize = protocol::DEPTH_MAX - 8;

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
}
