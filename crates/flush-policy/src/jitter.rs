//! Spread the flushes of many buffers, by flushing some of them earlier.

use std::time::{Duration, Instant};

use crate::buffered::Buffered;
use crate::error::{count_at_least, count_at_most};
use crate::{Decision, FlushPolicy, Flushed, Load, Outcome, PolicyError, Reason};

/// How much [`Jitter`] brings deadlines forward.
///
/// With the feature `serde` it is a table of the same names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct JitterSpec {
    share_pct: u8,
    #[cfg_attr(feature = "serde", serde(default))]
    seed: u64,
}

impl JitterSpec {
    /// Takes away up to `share_pct` per cent of each wait. Instances that shall not flush together
    /// need different seeds; the same seed makes the same choices in every run.
    #[must_use]
    pub const fn new(share_pct: u8, seed: u64) -> Self {
        Self { share_pct, seed }
    }
}

/// Brings the deadlines of a policy forward by a share that differs from instance to instance and
/// from flush to flush; otherwise it decides as that policy does.
///
/// Many buffers that started together, or lost their sink together, would flush together for ever.
/// A delay would spread them too, but would break the promised age; this only ever takes away from
/// the wait, which counts to the deadline of the policy inside: from the arrival of the oldest
/// item, or from the end of the last flush that delivered if that item was left behind by it. So
/// what that policy promises still holds, and what it asks for at once still comes at once. A flush
/// that comes early has the reason that it would have had at the deadline.
///
/// The share is drawn anew whenever a flush has delivered, from a generator with a fixed seed. The
/// deadline moves exactly when that of the policy inside does, or when such a flush ends. Put it
/// outside: around an [`all_of`](crate::all_of) it also shortens what should have lasted at least
/// so long.
///
/// ```
/// use std::time::{Duration, Instant};
/// use flush_policy::{Age, FlushPolicy, Jitter, JitterSpec, Load};
///
/// let minute = Duration::from_secs(60);
/// let mut policy = Jitter::new(Age::new(minute)?.boxed(), JitterSpec::new(20, 4_711))?;
/// let now = Instant::now();
/// assert!(!policy.on_push(now, Load::new(1, 0)).is_flush());
/// let waits = policy.next_deadline().expect("an item waits") - now;
/// assert!(waits <= minute && waits >= minute * 8 / 10);
/// # Ok::<(), flush_policy::PolicyError>(())
/// ```
#[derive(Debug)]
pub struct Jitter {
    policy: Box<dyn FlushPolicy>,
    /// In units of 2^-32, so that no rounding differs from machine to machine.
    share_max: u64,
    /// What is taken away from the wait until the next flush, from 0 up to `share_max`.
    share: u64,
    random: SplitMix64,
    buffered: Buffered,
    /// When the last flush that delivered ended.
    delivered: Option<Instant>,
    /// Since when a flush is due that the policy inside does not ask for yet, and its reason.
    due: Option<(Instant, Reason)>,
}

impl Jitter {
    /// Brings the deadlines of `policy` forward as `spec` says.
    ///
    /// # Errors
    /// If the share is not from 1 to 100 per cent.
    pub fn new(policy: Box<dyn FlushPolicy>, spec: JitterSpec) -> Result<Self, PolicyError> {
        let share_pct = usize::from(spec.share_pct);
        count_at_least("jitter.share_pct", share_pct, 1)?;
        count_at_most("jitter.share_pct", share_pct, 100)?;
        let mut jitter = Self {
            policy,
            share_max: (u64::from(spec.share_pct) << 32) / 100,
            share: 0,
            random: SplitMix64(spec.seed),
            buffered: Buffered::default(),
            delivered: None,
            due: None,
        };
        jitter.draw();
        Ok(jitter)
    }

    fn draw(&mut self) {
        self.share = (self.share_max * (self.random.next() >> 32)) >> 32;
    }

    /// The deadline inside, less the share of the wait that leads to it.
    fn brought_forward(&self) -> Option<Instant> {
        let deadline = self.policy.next_deadline()?;
        let Some(oldest) = self.buffered.oldest() else {
            return Some(deadline);
        };
        // An item that was left behind is older than the wait that a period starts at the flush.
        let since = self.delivered.map_or(oldest, |end| end.max(oldest));
        let wait = deadline.saturating_duration_since(since);
        let less_ns = (wait.as_nanos() * u128::from(self.share)) >> 32;
        let less = Duration::from_nanos(u64::try_from(less_ns).unwrap_or(u64::MAX));
        deadline.checked_sub(less.min(wait))
    }

    fn decide(&mut self, now: Instant, inside: Decision) -> Decision {
        if self.due.is_none()
            && let Some(deadline) = self.brought_forward()
            && now >= deadline
        {
            self.due = Some((deadline, self.policy.deadline_reason()));
        }
        inside.or(match self.due {
            Some((_, reason)) => Decision::Flush(reason),
            None => Decision::Wait,
        })
    }
}

impl FlushPolicy for Jitter {
    fn on_push(&mut self, now: Instant, pushed: Load) -> Decision {
        let now = self.buffered.accept(now, pushed);
        let inside = self.policy.on_push(now, pushed);
        self.decide(now, inside)
    }

    fn next_deadline(&self) -> Option<Instant> {
        match self.due {
            Some((since, _)) => Some(since),
            None => self.brought_forward(),
        }
    }

    fn on_deadline(&mut self, now: Instant) -> Decision {
        let now = self.buffered.advance(now);
        let inside = self.policy.on_deadline(now);
        self.decide(now, inside)
    }

    fn on_flushed(&mut self, now: Instant, flushed: Flushed) -> Decision {
        let now = self.buffered.settle(now, &flushed);
        self.due = None;
        if flushed.outcome() == Outcome::Delivered {
            self.delivered = Some(now);
            self.draw();
        }
        let inside = self.policy.on_flushed(now, flushed);
        self.decide(now, inside)
    }

    fn deadline_reason(&self) -> Reason {
        match self.due {
            Some((_, reason)) => reason,
            None => self.policy.deadline_reason(),
        }
    }

    fn batch_items(&self) -> Option<usize> {
        self.policy.batch_items()
    }
}

/// The generator of Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators"
/// (OOPSLA 2014). It is written out here so that a seed means the same for ever.
#[derive(Debug, Clone)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
