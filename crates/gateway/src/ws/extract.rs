//! What a client may ask for of each key, once it is checked.

use std::time::Duration;

use dataservice::{
    Downsampled, Grant, KeyId, LatestValue, SinceLast, Spec, SubscribeError, Subscription,
    WindowByCount,
};
use pipeline::Reading;

use super::protocol;
use crate::range::{Range, check_points};

const WINDOW_MAX: usize = 10_000;
/// Values that one frame of windows, or of points, may have over all its keys.
const FRAME_VALUES_MAX: usize = 200_000;
/// Values that the points of one frame may be chosen from, over all its keys. A key that is read by
/// time counts as so many.
const CHOSEN_FROM_MAX: usize = 1_000_000;
const CHOSEN_FROM_BY_TIME: usize = 10_000;
/// Choosing points takes milliseconds, so nobody has it done without end.
const INTERVAL_DOWNSAMPLED: Duration = Duration::from_millis(250);

/// The extractor of every key of a subscription.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extract {
    Latest,
    Window(WindowByCount),
    SinceLast,
    Downsampled(Downsampled),
}

impl Extract {
    /// What was asked for, and how many keys a subscription to it may have, so that one frame stays
    /// within what is to be sent and read for it.
    ///
    /// # Errors
    /// When a field is out of its limits.
    pub(super) fn check(asked: protocol::Extract) -> Result<(Self, usize), String> {
        match asked {
            protocol::Extract::Latest => Ok((Self::Latest, usize::MAX)),
            protocol::Extract::SinceLast => Ok((Self::SinceLast, usize::MAX)),
            protocol::Extract::Window { count } if (1..=WINDOW_MAX).contains(&count) => Ok((
                Self::Window(WindowByCount::new(count)),
                FRAME_VALUES_MAX / count,
            )),
            protocol::Extract::Window { count } => Err(format!(
                "`extract.count` is {count}, expected 1 to {WINDOW_MAX}"
            )),
            protocol::Extract::Downsampled {
                count,
                seconds,
                points,
            } => {
                let range = Range::new(count, seconds)?;
                let points = check_points(points)?;
                let chosen_from = count.unwrap_or(CHOSEN_FROM_BY_TIME);
                let keys_max = (CHOSEN_FROM_MAX / chosen_from).min(FRAME_VALUES_MAX / points);
                let extractor = Downsampled::new(range.kept(), points);
                Ok((Self::Downsampled(extractor), keys_max))
            }
        }
    }

    pub(super) fn is_since_last(self) -> bool {
        matches!(self, Self::SinceLast)
    }

    /// The least time between two frames.
    pub(super) fn interval_min(self) -> Duration {
        match self {
            Self::Downsampled(_) => INTERVAL_DOWNSAMPLED,
            _ => Duration::ZERO,
        }
    }

    /// The spec of a subscription to these keys.
    pub(super) fn spec(self, ids: impl Iterator<Item = KeyId>) -> Spec<Reading> {
        match self {
            Self::Latest => Spec::new().keys(ids, LatestValue),
            Self::Window(window) => Spec::new().keys(ids, window),
            Self::SinceLast => Spec::new().keys(ids, SinceLast::default()),
            Self::Downsampled(points) => Spec::new().keys(ids, points),
        }
    }

    /// Adds a key.
    pub(super) fn add(
        self,
        subscription: &mut Subscription<Reading>,
        id: KeyId,
    ) -> Result<Grant, SubscribeError> {
        match self {
            Self::Latest => subscription.add(id, LatestValue),
            Self::Window(window) => subscription.add(id, window),
            Self::SinceLast => subscription.add(id, SinceLast::default()),
            Self::Downsampled(points) => subscription.add(id, points),
        }
    }
}
