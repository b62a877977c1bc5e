//! Which part of a key's history somebody asks for, and to how many points it is thinned out.

use std::ops::RangeInclusive;
use std::time::Duration;

use dataservice::Requirement;

/// Values of a key that are read at most.
pub(crate) const COUNT_MAX: usize = 100_000;
/// The longest span that can be asked for, a year.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;
/// Points to which a history can be thinned out.
const POINTS: RangeInclusive<usize> = 2..=10_000;

/// A part of a key's history. Its end is the newest value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Range {
    /// Everything that is in memory.
    All,
    Count(usize),
    Span(Duration),
}

impl Range {
    /// # Errors
    /// When both are given, or one is out of its limits.
    pub(crate) fn new(count: Option<usize>, seconds: Option<f64>) -> Result<Self, String> {
        match (count, seconds) {
            (Some(_), Some(_)) => Err("give either `count` or `seconds`, not both".to_owned()),
            (None, None) => Ok(Self::All),
            (Some(count), None) if (1..=COUNT_MAX).contains(&count) => Ok(Self::Count(count)),
            (Some(count), None) => Err(format!("`count` is {count}, expected 1 to {COUNT_MAX}")),
            (None, Some(seconds)) if seconds > 0.0 && seconds <= SECONDS_MAX => {
                Ok(Self::Span(Duration::from_secs_f64(seconds)))
            }
            (None, Some(seconds)) => Err(format!(
                "`seconds` is {seconds}, expected more than 0 and at most {SECONDS_MAX}"
            )),
        }
    }

    /// To read it once.
    pub(crate) fn once(self) -> Requirement {
        match self {
            Self::All => Requirement::Count(COUNT_MAX),
            Self::Count(count) => Requirement::Count(count),
            Self::Span(span) => Requirement::Span {
                span,
                count_max: Some(COUNT_MAX),
            },
        }
    }

    /// To have it kept. Only a count makes a history deeper than the service was told to let it
    /// grow for a span.
    pub(crate) fn kept(self) -> Requirement {
        let span = match self {
            Self::All => Duration::MAX,
            Self::Count(count) => return Requirement::Count(count),
            Self::Span(span) => span,
        };
        Requirement::Span {
            span,
            count_max: None,
        }
    }
}

/// A number of points to thin out to.
///
/// # Errors
/// When it is out of its limits.
pub(crate) fn check_points(points: usize) -> Result<usize, String> {
    if POINTS.contains(&points) {
        Ok(points)
    } else {
        let (least, most) = POINTS.into_inner();
        Err(format!("`points` is {points}, expected {least} to {most}"))
    }
}
