//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

pub(crate) const USAGE: &str = "usage: live_plot [--seconds 5] [--svg FILE]";

/// Whether somebody asks how to call it.
pub(crate) fn is_help(argument: &str) -> bool {
    matches!(argument, "--help" | "-h")
}

const SECONDS_MIN: f64 = 0.1;
const SECONDS_MAX: f64 = 3_600.0;

#[derive(Debug, PartialEq)]
pub(crate) struct Arguments {
    pub(crate) duration: Duration,
    /// Where a picture of what the subscribers saw goes.
    pub(crate) svg: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn parse(mut given: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self {
            duration: Duration::from_secs(5),
            svg: None,
        };
        while let Some(name) = given.next() {
            let is_known = matches!(name.as_str(), "--seconds" | "--svg");
            if !is_known {
                return Err(format!("unknown argument {name}"));
            }
            let value = given.next().ok_or(format!("{name} needs a value"))?;
            if name == "--svg" {
                arguments.svg = Some(value.into());
                continue;
            }
            let seconds = value.parse::<f64>().ok();
            let seconds = seconds.filter(|it| (SECONDS_MIN..=SECONDS_MAX).contains(it));
            let expected = format!("a number from {SECONDS_MIN} to {SECONDS_MAX}");
            let seconds = seconds.ok_or(format!("--seconds is {value}, expected {expected}"))?;
            arguments.duration = Duration::from_secs_f64(seconds);
        }
        Ok(arguments)
    }
}
