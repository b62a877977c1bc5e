//! What is done to the client and the server.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::child::{Child, Told};
use crate::client::{FENCED, WRITE_WITHIN};
use crate::target::{Kind, Target};

/// One way to strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strike {
    /// The client is killed.
    KillClient,
    /// The server is killed and comes back; the client lives on.
    KillServer,
    /// First the one, then the other.
    KillBoth,
    /// The server hangs for longer than the client waits.
    HangServer,
    /// The line between them is cut, again and again, wherever they are.
    CutLine,
    /// The client hangs, another takes over, and the first comes back to life.
    StaleClient,
}

/// How long a client may need to go on after a strike.
const RECOVER_WITHIN: Duration = Duration::from_secs(60);

impl Strike {
    /// A strike that this kind of database can suffer.
    pub(crate) fn choose(random: &mut fastrand::Rng, kind: Kind) -> Self {
        if kind == Kind::Sqlite {
            return match random.u32(..10) {
                0..8 => Self::KillClient,
                _ => Self::StaleClient,
            };
        }
        match random.u32(..12) {
            0..4 => Self::KillClient,
            4..7 => Self::KillServer,
            7 => Self::KillBoth,
            8 => Self::HangServer,
            9..11 => Self::CutLine,
            _ => Self::StaleClient,
        }
    }

    /// Lets a client run for a moment, strikes, and says what the clients were told.
    pub(crate) fn carry_out(
        self,
        target: &mut Target,
        random: &mut fastrand::Rng,
    ) -> Result<Vec<Told>> {
        let mut child = Child::start(target, random.u64(..))?;
        // Now and then it is struck before its first batch, or while it connects.
        if random.u32(..8) > 0 {
            child.wait_acked(1, RECOVER_WITHIN)?;
        }
        pause(random, 40);
        match self {
            Self::KillClient => {}
            Self::KillServer => {
                target.kill();
                pause(random, 20);
                target.restart();
                child.wait_acked_more(random)?;
            }
            Self::KillBoth => {
                target.kill();
                pause(random, 5);
                child.kill();
                target.restart();
            }
            Self::HangServer => {
                target.pause();
                std::thread::sleep(WRITE_WITHIN + Duration::from_millis(random.u64(..100)));
                target.resume();
                child.wait_acked_more(random)?;
            }
            Self::CutLine => {
                for _ in 0..random.u32(1..8) {
                    target.cut();
                    pause(random, 15);
                }
                child.wait_acked_more(random)?;
            }
            Self::StaleClient => return stale(child, target, random),
        }
        Ok(vec![child.kill()])
    }
}

/// The first client hangs while a second one takes over.
fn stale(mut first: Child, target: &Target, random: &mut fastrand::Rng) -> Result<Vec<Told>> {
    first.wait_acked(1, RECOVER_WITHIN)?;
    first.freeze()?;
    let mut second = Child::start(target, random.u64(..))?;
    // The first may hold the lock that the second waits for; then it comes back before.
    let took_over = second.wait_acked(1, Duration::from_millis(700)).is_ok();
    first.thaw()?;
    if !took_over {
        second.wait_acked(1, RECOVER_WITHIN)?;
    }
    let status = first.wait_end(RECOVER_WITHIN)?;
    ensure!(
        status.code() == Some(FENCED.into()),
        "the stale client ended with {status}, expected to be fenced"
    );
    Ok(vec![first.told(), second.kill()])
}

fn pause(random: &mut fastrand::Rng, ms_max: u64) {
    std::thread::sleep(Duration::from_micros(random.u64(..ms_max * 1000)));
}

impl Child {
    /// Whatever happened to the server, the client goes on by itself.
    fn wait_acked_more(&mut self, random: &mut fastrand::Rng) -> Result<()> {
        let more = self.batches_so_far() + random.u32(1..4);
        self.wait_acked(more, RECOVER_WITHIN)
    }
}

/// How often each strike was carried out.
#[derive(Default)]
pub(crate) struct Counts(BTreeMap<Strike, u32>);

impl Counts {
    pub(crate) fn add(&mut self, strike: Strike) {
        *self.0.entry(strike).or_default() += 1;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("strikes:")?;
        for (strike, count) in &self.0 {
            write!(out, " {strike:?} {count}")?;
        }
        Ok(())
    }
}
