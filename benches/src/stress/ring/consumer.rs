//! A consumer that takes in every way there is, and keeps an account of what it took for good.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, ensure};
use buffer_core::{Demand, Lease, LeaseError};

use super::Round;
use crate::ledger::{Ascending, Ledger, Report, Tracked};

/// What consumers took, and how.
#[derive(Default)]
pub(super) struct Consumed {
    pub(super) acknowledged: Ledger,
    drains: u64,
    leases: u64,
    leases_dropped: u64,
    waits: u64,
}

impl Consumed {
    pub(super) fn add(&mut self, other: &Self) {
        self.acknowledged.add(&other.acknowledged);
        self.drains += other.drains;
        self.leases += other.leases;
        self.leases_dropped += other.leases_dropped;
        self.waits += other.waits;
    }

    pub(super) fn report(&self) -> Report {
        let mut report = Report::default();
        report.count("items acknowledged", self.acknowledged.count());
        report.count("drains", self.drains);
        report.count("leases", self.leases);
        report.count("leases dropped", self.leases_dropped);
        report.count("waits", self.waits);
        report
    }
}

/// Takes until the ring is closed and empty. A consumer that is alone also checks the order.
pub(super) fn run(round: &Round, mut random: fastrand::Rng, is_alone: bool) -> Result<Consumed> {
    let ring = &round.ring;
    let mut taker = Taker {
        out: Consumed::default(),
        order: is_alone.then(Ascending::default),
    };
    let mut batch = Vec::new();
    loop {
        let closed = round.closed.load(Ordering::Acquire);
        match random.u8(0..100) {
            0..30 => {
                ring.drain_into(&mut batch);
                taker.out.drains += 1;
                for item in batch.drain(..) {
                    taker.keep(&item)?;
                }
            }
            30..60 => {
                if let Some(lease) = ring.lease(random.usize(0..64)) {
                    taker.lease(lease, &mut random)?;
                }
            }
            60..75 => {
                let patience = Duration::from_micros(random.u64(0..2_000));
                match ring.lease_timeout(random.usize(1..200), patience) {
                    Ok(lease) => taker.lease(lease, &mut random)?,
                    Err(LeaseError::Empty | LeaseError::Closed) => {}
                }
            }
            75..85 => {
                let demand = Demand::items(random.usize(1..200));
                let _ = ring.wait(demand, Duration::from_micros(random.u64(0..2_000)));
                taker.out.waits += 1;
            }
            85..90 if !is_alone => taker.two_leases(round, &mut random)?,
            _ => std::thread::yield_now(),
        }
        if closed && ring.is_empty() {
            return Ok(taker.out);
        }
    }
}

struct Taker {
    out: Consumed,
    order: Option<Ascending>,
}

impl Taker {
    fn keep(&mut self, item: &Tracked) -> Result<()> {
        self.out.acknowledged.see(item.name());
        if let Some(order) = &mut self.order {
            order.see(item.name())?;
        }
        Ok(())
    }

    /// Acknowledges a lease, or lets it go in one of several ways, after which its items come back.
    fn lease(&mut self, lease: Lease<Tracked>, random: &mut fastrand::Rng) -> Result<()> {
        self.out.leases += 1;
        ensure!(!lease.is_empty(), "an empty lease was handed out");
        match random.u8(0..10) {
            0 | 1 => drop(lease),
            2 => {
                let lost = catch_unwind(AssertUnwindSafe(move || {
                    let _lease = lease;
                    // Unlike `panic!`, this prints nothing.
                    resume_unwind(Box::new(()))
                }));
                ensure!(lost.is_err(), "a panic was lost");
            }
            3 => {
                // A reader that outlives the acknowledgement.
                let items = lease.share();
                lease.ack();
                for item in items.iter() {
                    self.keep(item)?;
                }
                return Ok(());
            }
            _ => {
                for item in lease.iter() {
                    self.keep(item)?;
                }
                lease.ack();
                return Ok(());
            }
        }
        self.out.leases_dropped += 1;
        Ok(())
    }

    /// Two leases at once, that end in the other order.
    fn two_leases(&mut self, round: &Round, random: &mut fastrand::Rng) -> Result<()> {
        let first = round.ring.lease(random.usize(1..20));
        let second = round.ring.lease(random.usize(1..20));
        for lease in [second, first].into_iter().flatten() {
            self.lease(lease, random)?;
        }
        Ok(())
    }
}
