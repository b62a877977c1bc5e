//! One update as JSON, and how to find in it the moment when it was due.
//!
//! Every server sends the same text of the same length; ours inside of its own frames. The moment
//! stands behind a mark, in sixteen digits, so that the load client finds it without parsing.

use anyhow::{Result, ensure};
use memchr::memmem::Finder;

use super::plan::Due;

/// Before every mark; the letter after it says whether the update is critical.
const MARK: &[u8] = b"\"@";
const NORMAL: u8 = b'=';
const CRITICAL: u8 = b'!';
const DIGITS: usize = 16;

/// The source that an update is of.
pub(super) fn source(agent: u64) -> String {
    format!("agent-{agent:03}")
}

/// What all updates are of.
pub(super) const TAG: &str = "state";

/// The value of an update, so long that the whole has the length that was asked for.
pub(super) fn value(due: Due, bytes: usize) -> Result<String> {
    let bare = text_around(due, 0, &value_with(due, 0)).len();
    ensure!(bare <= bytes, "an update has {bare} bytes at least");
    Ok(value_with(due, bytes - bare))
}

/// The whole update.
pub(super) fn text(due: Due, timestamp: i64, bytes: usize) -> Result<String> {
    Ok(text_around(due, timestamp, &value(due, bytes)?))
}

fn text_around(due: Due, timestamp: i64, value: &str) -> String {
    let (source, priority) = (source(due.agent), priority(due));
    let head = format!(r#""source":"{source}","tag":"{TAG}","timestamp":{timestamp:016}"#);
    format!(r#"{{{head},"value":{value},"quality":"good","priority":"{priority}"}}"#)
}

fn value_with(due: Due, padding: usize) -> String {
    let mark = char::from(if due.is_critical { CRITICAL } else { NORMAL });
    let at_us = due.at_us;
    format!(
        r#"{{"at":"@{mark}{at_us:0digits$}","pad":"{:x<padding$}"}}"#,
        "",
        digits = DIGITS
    )
}

fn priority(due: Due) -> &'static str {
    if due.is_critical {
        "critical"
    } else {
        "normal"
    }
}

/// Finds updates in what was received.
pub(super) struct Marks(Finder<'static>);

impl Marks {
    pub(super) fn new() -> Self {
        Self(Finder::new(MARK))
    }

    /// Calls `found` with the moment of each update, and whether it is critical.
    pub(super) fn find(&self, message: &[u8], mut found: impl FnMut(u64, bool)) {
        let mut rest = message;
        while let Some(at) = self.0.find(rest) {
            rest = &rest[at + MARK.len()..];
            let Some((kind, digits)) = rest.split_first() else {
                return;
            };
            if !matches!(*kind, NORMAL | CRITICAL) || digits.len() < DIGITS {
                continue;
            }
            let moment = digits[..DIGITS].iter().fold(0, |sum, digit| {
                sum * 10 + u64::from(digit.wrapping_sub(b'0'))
            });
            rest = &digits[DIGITS..];
            found(moment, *kind == CRITICAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_have_the_length_that_was_asked_for_and_their_moments_are_found() {
        let due = |at_us, is_critical| Due {
            at_us,
            agent: 7,
            is_critical,
        };
        let normal = text(due(123_456, false), 1_795_215_464_571_455, 200).unwrap();
        let critical = text(due(99, true), 1_795_215_464_571_455, 200).unwrap();
        assert_eq!((normal.len(), critical.len()), (200, 200));
        let mut found = Vec::new();
        let frame = format!(r#"{{"changes":[{normal},{critical}],"x":"@","y":"@="}}"#);
        Marks::new().find(frame.as_bytes(), |moment, kind| found.push((moment, kind)));
        assert_eq!(found, [(123_456, false), (99, true)]);
        assert!(serde_json::from_str::<serde_json::Value>(&frame).is_ok());
    }
}
