//! What a client may ask for of each key, once it is checked.

use std::time::Duration;

use dataservice::{
    Backpressure, Downsampled, Grant, KeyId, LatestValue, SinceLast, Spec, SubscribeError,
    Subscription, WindowByCount,
};
use pipeline::Reading;

use crate::range::{Range, check_points};

const WINDOW_MAX: usize = 10_000;
/// Values of a key that may wait for one frame of every value, where the keys are few.
const SINCE_LAST_MAX: usize = 1_000;
/// Values that one frame may have over all its keys. Of newest values there is one for each key.
const FRAME_VALUES_MAX: usize = 200_000;
/// Values that the points of one frame may be chosen from, over all its keys: they are copied
/// while the service is locked.
pub(super) const CHOSEN_FROM_MAX: usize = 200_000;
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
            protocol::Extract::SinceLast => Ok((Self::SinceLast, 1 << FRAME_VALUES_MAX.ilog2())),
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
                // What a key that is read by time has is known once it is subscribed to.
                let chosen_from = count.unwrap_or(1);
                let keys_max = (CHOSEN_FROM_MAX / chosen_from).min(FRAME_VALUES_MAX / points);
                let extractor = Downsampled::new(range.kept(), points);
                Ok((Self::Downsampled(extractor), keys_max))
            }
            _ => Err("`extract.kind` is not one that this server knows".to_owned()),
        }
    }

    pub(super) fn is_since_last(self) -> bool {
        matches!(self, Self::SinceLast)
    }

    /// How many values of a key a frame may be chosen from, when it was granted so many.
    pub(super) fn chosen_from(self, grant: Grant) -> usize {
        match self {
            Self::Downsampled(_) => grant.depth,
            _ => 0,
        }
    }

    /// The least time between two frames.
    pub(super) fn interval_min(self) -> Duration {
        match self {
            Self::Downsampled(_) => INTERVAL_DOWNSAMPLED,
            _ => Duration::ZERO,
        }
    }

    /// The spec of a subscription to these keys.
    pub(super) fn spec(self, ids: impl ExactSizeIterator<Item = KeyId>) -> Spec<Reading> {
        match self {
            Self::Latest => Spec::new().keys(ids, LatestValue),
            Self::Window(window) => Spec::new().keys(ids, window),
            Self::SinceLast => {
                let every = since_last(ids.len());
                // However deep others keep the histories, a frame has no more than its share.
                let spec = Spec::new().backpressure(Backpressure::DropOldest);
                spec.keys(ids, every)
            }
            Self::Downsampled(points) => Spec::new().keys(ids, points),
        }
    }

    /// Adds a key that the subscription does not have.
    pub(super) fn add(
        self,
        subscription: &mut Subscription<Reading>,
        id: KeyId,
    ) -> Result<Grant, SubscribeError> {
        match self {
            Self::Latest => subscription.add(id, LatestValue),
            Self::Window(window) => subscription.add(id, window),
            Self::SinceLast => {
                let keys = subscription.ids().len();
                let every = since_last(keys + 1);
                if every != since_last(keys) {
                    let ids: Vec<KeyId> = subscription.ids().collect();
                    for id in ids {
                        subscription.add(id, every)?;
                    }
                }
                subscription.add(id, every)
            }
            Self::Downsampled(points) => subscription.add(id, points),
        }
    }
}

/// Every value, of so many keys that a frame of all of them stays within its limit. The share of a
/// key becomes smaller only when their number passes a power of two, so that new keys seldom
/// change it for the others.
fn since_last(keys: usize) -> SinceLast {
    let share = FRAME_VALUES_MAX / keys.next_power_of_two();
    SinceLast::new(share.clamp(1, SINCE_LAST_MAX))
}
