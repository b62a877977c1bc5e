//! Which class of urgency gets the next permit to write, decided purely.
//!
//! Each class may have permits of its own (*reserved*): nobody else ever holds them, and a class
//! that waits takes them at once. The others are *common* and go by weight: start-time fair
//! queueing (Goyal, Vin and Cheng 1996) with a turn as the unit. The earliest due in virtual time
//! is next, and a turn puts its class off by 1/weight, in whole units. Turns are counted, not their
//! length. No permit is kept idle for a class that does not wait, except for those reserved.
//!
//! - While a class waits, the others take at most as many common turns as all weights sum up to;
//!   while all wait, their turns are in proportion to the weights.
//! - A class that was away is due at once, for one turn: idleness earns nothing more, and what the
//!   class took too early before, it still owes.
//! - Of those that are due together, the most urgent is next, and critical that comes from idling
//!   is due before all others.

use record::Priority;

use crate::setting::{SettingError, check_range};

/// Every class, the most urgent first: the order in which equals are served.
pub(crate) const URGENT_FIRST: [Priority; 4] = [
    Priority::Critical,
    Priority::High,
    Priority::Normal,
    Priority::Low,
];

/// The greatest weight, so that virtual time cannot run out.
pub(crate) const WEIGHT_MAX: u32 = 1_000;

/// One number per class, the least urgent first; `counts[priority as usize]`.
pub(crate) type PerClass<T> = [T; 4];

/// What a class gets of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Turns at the common permits, beside the other classes' weights; from 1 to [`WEIGHT_MAX`].
    pub(crate) weight: u32,
    /// Permits that no other class may have.
    pub(crate) reserved: usize,
}

/// Decides who writes next; see the module.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    concurrency: usize,
    /// Permits that any class may have: those that are not reserved.
    common: usize,
    reserved: PerClass<usize>,
    present: PerClass<bool>,
    /// What a turn costs a class in virtual time: inverse to its weight, exact.
    stride: PerClass<u128>,
    /// When a class is due, in virtual time; fixed while it waits. It grows by at most 2·10¹² per
    /// turn, so that 10²⁶ turns fit.
    due: PerClass<u128>,
    /// Which classes waited at the last decision.
    waits: PerClass<bool>,
    /// The virtual time of the latest common turn. No class that waits is due before it.
    reached: u128,
}

impl Turns {
    /// Turns at a sink that takes so many writes at once, with a share for each class that has a
    /// lane; `shares[priority as usize]`.
    ///
    /// # Errors
    /// When `concurrency` is 0, a weight is 0 or above [`WEIGHT_MAX`], or more is reserved than
    /// there is: the reservations may take every permit only if each class has one of its own.
    pub(crate) fn new(
        concurrency: usize,
        shares: PerClass<Option<Share>>,
    ) -> Result<Self, SettingError> {
        check_range("concurrency", concurrency, 1, usize::MAX)?;
        let mut present = [false; 4];
        let mut reserved = [0; 4];
        let mut weights = [1; 4];
        for class in URGENT_FIRST {
            let index = class as usize;
            let Some(share) = shares[index] else {
                continue;
            };
            let field = format_args!("{}.weight", class.as_str());
            check_range(field, share.weight as usize, 1, WEIGHT_MAX as usize)?;
            let field = format_args!("{}.reserved", class.as_str());
            check_range(field, share.reserved, 0, concurrency)?;
            present[index] = true;
            reserved[index] = share.reserved;
            weights[index] = u128::from(share.weight);
        }
        let sum = reserved.iter().fold(0_usize, |a, b| a.saturating_add(*b));
        check_range("the sum of reserved", sum, 0, concurrency)?;
        // Who has no permit of its own could wait for ever if none were common.
        if shares.iter().flatten().any(|share| share.reserved == 0) {
            check_range("the sum of reserved", sum, 0, concurrency - 1)?;
        }
        // Twice the least common multiple: each stride is exact, and leaves room for the one unit
        // by which who arrives comes after who is due already.
        let scale = 2 * weights.iter().fold(1, |a, b| least_common_multiple(a, *b));
        Ok(Self {
            concurrency,
            common: concurrency - sum,
            reserved,
            present,
            stride: weights.map(|weight| scale / weight),
            due: [0; 4],
            waits: [false; 4],
            reached: 0,
        })
    }

    /// Writes at once, over all classes.
    #[must_use]
    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency
    }

    /// Whether the class has a share.
    #[must_use]
    pub(crate) fn has(&self, class: Priority) -> bool {
        self.present[class as usize]
    }

    /// The class that gets the next free permit, if there is one for any that waits.
    ///
    /// `waiting` and `in_flight` count per class who waits and who holds a permit, at this moment.
    /// The caller hands the permit out (one less waits, one more is in flight) and asks again until
    /// the answer is `None`; and it asks whenever one comes to wait or a permit comes back. Classes
    /// without a share are passed over.
    #[must_use = "a class that is not given its permit has lost its turn"]
    pub(crate) fn next(
        &mut self,
        waiting: PerClass<usize>,
        in_flight: PerClass<usize>,
    ) -> Option<Priority> {
        self.see(waiting);
        if in_flight.iter().sum::<usize>() >= self.concurrency {
            return None;
        }
        let waits = |class: &Priority| self.waits[*class as usize];
        let waiting = URGENT_FIRST.into_iter().filter(waits);
        let own = |class: &Priority| in_flight[*class as usize] < self.reserved[*class as usize];
        if let Some(class) = waiting.clone().find(own) {
            return Some(class);
        }
        let held = in_flight.iter().zip(self.reserved);
        let common_held: usize = held.map(|(held, own)| held.saturating_sub(own)).sum();
        if common_held >= self.common {
            return None;
        }
        // Of equals, `min_by_key` finds the first: the most urgent.
        let class = waiting.min_by_key(|class| self.due[*class as usize])?;
        let index = class as usize;
        self.reached = self.reached.max(self.due[index]);
        self.due[index] += self.stride[index];
        Some(class)
    }

    /// Fixes when those are due who have come to wait since the last decision.
    fn see(&mut self, waiting: PerClass<usize>) {
        for class in URGENT_FIRST {
            let index = class as usize;
            let waits = waiting[index] > 0 && self.present[index];
            if waits && !self.waits[index] {
                // Who waits already and is due now comes first, or else newcomers could delay the
                // same class again and again. Critical alone passes them.
                let arrival = self.reached + u128::from(class != Priority::Critical);
                self.due[index] = self.due[index].max(arrival);
            }
            self.waits[index] = waits;
        }
    }
}

fn least_common_multiple(a: u128, b: u128) -> u128 {
    let (mut divisor, mut rest) = (a, b);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    a / divisor * b
}
