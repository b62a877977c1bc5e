//! Wrong tokens, counted per address.
//!
//! An address may be wrong ten times at once and ten times a minute. Beyond that it is told to
//! wait, and the log hears of it once and then no more. A right token is let in all the same:
//! otherwise whoever shares an address, behind a proxy, could lock the others out. Nobody guesses
//! 256 bits at any rate; what is bounded here is what guessing costs the log and the others.
//!
//! An IPv6 address counts by its network of 64 bits, since one host has all of it. 4,096 addresses
//! are remembered, and those who come on top of that share one account.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Mistakes that an address may make at once.
const BURST: u32 = 10;
/// How long one of them is remembered.
const EACH: Duration = Duration::from_secs(6);
/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 4_096;

/// Who was wrong how often. Knows no clock.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    accounts: HashMap<IpAddr, Account>,
    /// Of those for whom there was no room.
    others: Option<Account>,
}

#[derive(Debug)]
struct Account {
    /// When all its mistakes are forgiven.
    forgiven: Instant,
    /// Whether it was said that there were too many.
    said: bool,
}

/// What follows from a wrong token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It is told that it is wrong, and so is the log.
    Wrong,
    /// There were too many: it is told to wait, and the log hears of the first of them.
    TooMany { wait_s: u32, first: bool },
}

impl Failures {
    /// Counts one more.
    pub(crate) fn fail(&mut self, now: Instant, address: IpAddr) -> Failure {
        let address = network(address);
        let is_full = |failures: &Self| failures.accounts.len() >= ADDRESSES_MAX;
        if is_full(self) && !self.accounts.contains_key(&address) {
            self.accounts.retain(|_, account| account.forgiven > now);
        }
        let new = || Account {
            forgiven: now,
            said: false,
        };
        let account = if is_full(self) && !self.accounts.contains_key(&address) {
            self.others.get_or_insert_with(new)
        } else {
            self.accounts.entry(address).or_insert_with(new)
        };
        let owed = account.forgiven.saturating_duration_since(now) + EACH;
        match owed.checked_sub(EACH * BURST) {
            None | Some(Duration::ZERO) => {
                account.forgiven = now + owed;
                account.said = false;
                Failure::Wrong
            }
            Some(wait) => Failure::TooMany {
                wait_s: u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX),
                first: !std::mem::replace(&mut account.said, true),
            },
        }
    }
}

/// What stands for the host that has this address.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => IpAddr::V4(v4),
            None => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ten_mistakes_are_told_and_then_one_each_six_seconds() {
        let (mut failures, start) = (Failures::default(), Instant::now());
        let me = address("10.0.0.1");
        let too_many = |wait_s, first| Failure::TooMany { wait_s, first };
        for _ in 0..10 {
            assert_eq!(failures.fail(start, me), Failure::Wrong);
        }
        assert_eq!(failures.fail(start, me), too_many(6, true));
        assert_eq!(failures.fail(start, me), too_many(6, false));
        assert_eq!(failures.fail(start, address("10.0.0.2")), Failure::Wrong);
        let later = start + Duration::from_millis(5_500);
        assert_eq!(failures.fail(later, me), too_many(1, false));
        let later = start + Duration::from_secs(6);
        assert_eq!(failures.fail(later, me), Failure::Wrong);
        assert_eq!(failures.fail(later, me), too_many(6, true));
        // A minute later everything is forgiven.
        let later = later + Duration::from_secs(60);
        for _ in 0..10 {
            assert_eq!(failures.fail(later, me), Failure::Wrong);
        }
    }

    #[test]
    fn all_addresses_of_a_network_are_one_host() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for host in 0..10 {
            let fine = failures.fail(now, address(&format!("2001:db8::{host:x}")));
            assert_eq!(fine, Failure::Wrong);
        }
        assert_ne!(
            failures.fail(now, address("2001:db8::ffff")),
            Failure::Wrong
        );
        assert_eq!(
            failures.fail(now, address("2001:db8:0:1::1")),
            Failure::Wrong
        );
        assert_eq!(network(address("::ffff:10.0.0.1")), address("10.0.0.1"));
    }

    #[test]
    fn law_2_addresses_are_bounded_and_strangers_share_what_is_left() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        let nth = |n: u32| IpAddr::V4(n.into());
        for n in 0..2 * 4_096 {
            failures.fail(now, nth(n));
        }
        assert_eq!(failures.accounts.len(), ADDRESSES_MAX);
        assert_ne!(failures.fail(now, nth(1 << 20)), Failure::Wrong);
        // Who is remembered has an account of their own.
        assert_eq!(failures.fail(now, nth(0)), Failure::Wrong);
        let later = now + Duration::from_secs(61);
        assert_eq!(failures.fail(later, nth(1 << 20)), Failure::Wrong);
        assert_eq!(failures.accounts.len(), 1);
    }
}
