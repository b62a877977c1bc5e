//! What a benchmark leaves: lines for people, and `target/bench/<case>.json` for machines.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// One figure of ours next to that of a peer, or to a limit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Comparison {
    pub(crate) case: String,
    pub(crate) ours: f64,
    pub(crate) peer: String,
    pub(crate) peer_value: f64,
    pub(crate) unit: &'static str,
    /// Above 1 means that ours is better.
    pub(crate) ratio: f64,
}

/// The name of the peer where a figure is held against a limit that the project sets itself.
pub(crate) const LIMIT: &str = "limit";

/// Which of two figures is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    Higher,
    Lower,
}

impl Comparison {
    pub(crate) fn new(
        (case, unit, better): (&str, &'static str, Better),
        ours: f64,
        (peer, peer_value): (&str, f64),
    ) -> Self {
        let ratio = match better {
            Better::Higher => ours / peer_value,
            Better::Lower => peer_value / ours,
        };
        Self {
            case: case.to_owned(),
            ours,
            peer: peer.to_owned(),
            peer_value,
            unit,
            ratio,
        }
    }

    /// A line that says whether the ratio reaches what the project promises.
    pub(crate) fn goal(&self, ratio_min: f64) -> String {
        let Self {
            case,
            ours,
            peer,
            peer_value,
            unit,
            ratio,
        } = self;
        let word = if *ratio >= ratio_min { "met" } else { "MISSED" };
        if peer == LIMIT {
            return format!("goal: {case} at most {peer_value} {unit}: {ours:.1}, {word}");
        }
        format!("goal: {case} at least {ratio_min:.1} times {peer}: {ratio:.2}, {word}")
    }
}

/// Writes the list as JSON and says where.
pub(crate) fn write(path: &Path, comparisons: &[Comparison]) -> Result<()> {
    let mut json = serde_json::to_string_pretty(comparisons)?;
    json.push('\n');
    std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    println!("\nresults: {}", path.display());
    Ok(())
}

/// The three load averages of this machine: a busy machine makes every figure doubtful.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first_three: Vec<&str> = text.split(' ').take(3).collect();
    if first_three.len() == 3 {
        first_three.join(" ")
    } else {
        "unknown".to_owned()
    }
}

/// A whole number with commas between the thousands.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
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
    fn a_ratio_above_one_means_that_ours_is_better() {
        let rate = Comparison::new(("load", "rows/s", Better::Higher), 400.0, ("peer", 100.0));
        let memory = Comparison::new(("memory", "MB", Better::Lower), 25.0, (LIMIT, 100.0));
        assert_eq!((rate.ratio, memory.ratio), (4.0, 4.0));
        assert!(rate.goal(4.0).ends_with("4.00, met"), "{}", rate.goal(4.0));
        assert!(
            rate.goal(4.1).ends_with("4.00, MISSED"),
            "{}",
            rate.goal(4.1)
        );
    }

    #[test]
    fn the_file_has_the_fields_that_readers_expect() {
        let row = Comparison::new(("load", "rows/s", Better::Higher), 3.0, ("peer", 2.0));
        assert_eq!(
            serde_json::to_string(&[row]).unwrap(),
            concat!(
                r#"[{"case":"load","ours":3.0,"peer":"peer","peer_value":2.0,"#,
                r#""unit":"rows/s","ratio":1.5}]"#
            )
        );
    }

    #[test]
    fn thousands_are_separated() {
        for (value, text) in [
            (0.4, "0"),
            (999.0, "999"),
            (1000.0, "1,000"),
            (1234567.0, "1,234,567"),
        ] {
            assert_eq!(thousands(value), text);
        }
    }
}
