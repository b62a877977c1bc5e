//! Several policies as one: the first that is due, or all of them.

use std::time::Instant;

use crate::{Decision, FlushPolicy, Flushed, Load, PolicyError, Reason};

/// A policy that flushes as soon as one of `policies` does.
///
/// The reason is that of the first policy in the list that is due. No policy waits longer than it
/// would alone, and each sees every call. The deadline is the earliest among theirs, and moves when
/// that does.
///
/// ```
/// use std::time::Duration;
/// use flush_policy::{Age, FlushPolicy, Size, any_of};
///
/// let size = Size::new(10)?.boxed();
/// let age = Age::new(Duration::from_secs(300))?.boxed();
/// let policy = any_of([size, age])?;
/// assert!(policy.next_deadline().is_none());
/// # Ok::<(), flush_policy::PolicyError>(())
/// ```
///
/// # Errors
/// If there are no policies.
pub fn any_of(
    policies: impl IntoIterator<Item = Box<dyn FlushPolicy>>,
) -> Result<AnyOf, PolicyError> {
    let policies = collect("any_of", policies)?;
    Ok(AnyOf { policies })
}

/// A policy that flushes when every one of `policies` is due at the same time.
///
/// A policy is due from its first decision to flush until the next flush ends, and then again if
/// its `on_flushed` says so. The flush comes at the first moment when all are due, and its reason
/// is that of the policy that became due last (the later one in the list if several did).
///
/// The deadline is the latest among the policies that are not due yet, and moves when one of them
/// becomes due or moves its own. While one of them has no deadline, there is none: only a push can
/// help. So an [`Age`] promises nothing in here (`all_of([Size, Age])` reads "at least so many, and
/// not before so long"), and with a [`Manual`] in the list nothing is ever flushed.
///
/// [`Age`]: crate::Age
/// [`Manual`]: crate::Manual
///
/// # Errors
/// If there are no policies.
pub fn all_of(
    policies: impl IntoIterator<Item = Box<dyn FlushPolicy>>,
) -> Result<AllOf, PolicyError> {
    let policies = collect("all_of", policies)?
        .into_iter()
        .map(|policy| Latched { policy, due: false })
        .collect();
    Ok(AllOf {
        policies,
        latest: None,
        all_due: None,
    })
}

/// Flushes as soon as one of its policies does; made by [`any_of`].
#[derive(Debug)]
pub struct AnyOf {
    policies: Vec<Box<dyn FlushPolicy>>,
}

impl AnyOf {
    /// Every policy sees the call, also those after the one that decides.
    fn decide(&mut self, mut call: impl FnMut(&mut dyn FlushPolicy) -> Decision) -> Decision {
        self.policies
            .iter_mut()
            .fold(Decision::Wait, |decision, policy| {
                decision.or(call(policy.as_mut()))
            })
    }
}

impl FlushPolicy for AnyOf {
    fn on_push(&mut self, now: Instant, pushed: Load) -> Decision {
        self.decide(|policy| policy.on_push(now, pushed))
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.policies
            .iter()
            .filter_map(FlushPolicy::next_deadline)
            .min()
    }

    fn on_deadline(&mut self, now: Instant) -> Decision {
        self.decide(|policy| policy.on_deadline(now))
    }

    fn on_flushed(&mut self, now: Instant, flushed: Flushed) -> Decision {
        self.decide(|policy| policy.on_flushed(now, flushed))
    }

    fn deadline_reason(&self) -> Reason {
        self.policies
            .iter()
            .filter_map(|policy| Some((policy.next_deadline()?, policy)))
            .min_by_key(|&(deadline, _)| deadline)
            .map_or(Reason::Age, |(_, policy)| policy.deadline_reason())
    }

    fn batch_items(&self) -> Option<usize> {
        self.policies
            .iter()
            .filter_map(FlushPolicy::batch_items)
            .min()
    }
}

/// Flushes when all of its policies are due; made by [`all_of`].
#[derive(Debug)]
pub struct AllOf {
    policies: Vec<Latched>,
    latest: Option<Instant>,
    /// Since when all are due, and the reason of the last.
    all_due: Option<(Instant, Reason)>,
}

#[derive(Debug)]
struct Latched {
    policy: Box<dyn FlushPolicy>,
    due: bool,
}

impl AllOf {
    fn decide(
        &mut self,
        now: Instant,
        mut call: impl FnMut(&mut dyn FlushPolicy) -> Decision,
    ) -> Decision {
        let now = self.latest.map_or(now, |latest| latest.max(now));
        self.latest = Some(now);
        let mut last = None;
        for latched in &mut self.policies {
            if let Decision::Flush(reason) = call(latched.policy.as_mut())
                && !latched.due
            {
                latched.due = true;
                last = Some(reason);
            }
        }
        if let Some(reason) = last
            && self.policies.iter().all(|latched| latched.due)
        {
            self.all_due = Some((now, reason));
        }
        match self.all_due {
            Some((_, reason)) => Decision::Flush(reason),
            None => Decision::Wait,
        }
    }
}

impl FlushPolicy for AllOf {
    fn on_push(&mut self, now: Instant, pushed: Load) -> Decision {
        self.decide(now, |policy| policy.on_push(now, pushed))
    }

    fn next_deadline(&self) -> Option<Instant> {
        if let Some((since, _)) = self.all_due {
            return Some(since);
        }
        // `None` from one that is not due makes the whole `None`: time alone cannot make it due.
        let mut latest = None;
        for latched in self.policies.iter().filter(|latched| !latched.due) {
            latest = latest.max(Some(latched.policy.next_deadline()?));
        }
        latest
    }

    fn on_deadline(&mut self, now: Instant) -> Decision {
        self.decide(now, |policy| policy.on_deadline(now))
    }

    fn on_flushed(&mut self, now: Instant, flushed: Flushed) -> Decision {
        self.all_due = None;
        for latched in &mut self.policies {
            latched.due = false;
        }
        self.decide(now, |policy| policy.on_flushed(now, flushed))
    }

    fn deadline_reason(&self) -> Reason {
        if let Some((_, reason)) = self.all_due {
            return reason;
        }
        self.policies
            .iter()
            .filter(|latched| !latched.due)
            .filter_map(|latched| Some((latched.policy.next_deadline()?, latched)))
            .max_by_key(|&(deadline, _)| deadline)
            .map_or(Reason::Age, |(_, latched)| latched.policy.deadline_reason())
    }

    fn batch_items(&self) -> Option<usize> {
        self.policies
            .iter()
            .filter_map(|latched| latched.policy.batch_items())
            .min()
    }
}

fn collect(
    combinator: &'static str,
    policies: impl IntoIterator<Item = Box<dyn FlushPolicy>>,
) -> Result<Vec<Box<dyn FlushPolicy>>, PolicyError> {
    let policies: Vec<_> = policies.into_iter().collect();
    if policies.is_empty() {
        return Err(PolicyError::NothingToCombine { combinator });
    }
    Ok(policies)
}
