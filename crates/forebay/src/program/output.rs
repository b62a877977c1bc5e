//! What the program says. A reader that went away is no reason to fail, let alone to panic.

use std::io::Write;

/// A line on standard output.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// A line on standard error.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Why the program ends without having done its work, as one paragraph on standard error.
pub(crate) fn complain(message: &str) {
    note(&format!("forebay: {message}"));
}

/// An error with its causes, as far as it does not tell them itself.
pub(crate) fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// A count with separators, such as `1,234,567`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_was_told_is_not_told_again() {
        let error = anyhow::anyhow!("no room")
            .context("disk: no room")
            .context("cannot write");
        assert_eq!(with_causes(&error), "cannot write: disk: no room");
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        let table = [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ];
        for (count, expected) in table {
            assert_eq!(grouped(count), expected);
        }
    }
}
