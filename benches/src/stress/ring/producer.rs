//! A producer that pushes in every way there is, and keeps an account of what became of each item.

use anyhow::{Result, ensure};
use buffer_core::{Producer, Pushed, PushedMany, Refusal};

use super::Round;
use crate::ledger::{Ledger, Name, Report, Tracked};

const BATCH_MAX: usize = 40;

/// What producers did, and what was handed back to them.
#[derive(Default)]
pub(super) struct Produced {
    pub(super) offered: u64,
    pub(super) refused: u64,
    /// Items that the ring took, those dropped on arrival included.
    pub(super) accepted: Ledger,
    pub(super) displaced: Ledger,
    pub(super) dropped: Ledger,
    handles: u64,
}

impl Produced {
    pub(super) fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.refused += other.refused;
        self.accepted.add(&other.accepted);
        self.displaced.add(&other.displaced);
        self.dropped.add(&other.dropped);
        self.handles += other.handles;
    }

    pub(super) fn report(&self) -> Report {
        let mut report = Report::default();
        report.count("items offered", self.offered);
        report.count("items refused", self.refused);
        report.count("items displaced", self.displaced.count());
        report.count("items dropped on arrival", self.dropped.count());
        report.count("producer handles", self.handles);
        report
    }
}

/// Numbers the items of one owner.
struct Source<'a> {
    round: &'a Round,
    owner: u32,
    next: u64,
}

impl<'a> Source<'a> {
    fn new(round: &'a Round) -> Self {
        Self {
            round,
            owner: round.new_owner(),
            next: 0,
        }
    }

    fn item(&mut self) -> Tracked {
        self.next += 1;
        Tracked::new(self.owner, self.next, &self.round.alive)
    }
}

/// Pushes until the round is over or the ring is closed.
pub(super) fn run(round: &Round, mut random: fastrand::Rng) -> Result<Produced> {
    let ring = &round.ring;
    let mut out = Produced::default();
    let mut shared = Source::new(round);
    let (mut handle, mut own) = (ring.producer(), Source::new(round));
    out.handles += 1;
    let mut items = Vec::new();
    while !round.is_over() {
        match random.u8(0..100) {
            0..40 => out.push(own.item(), |item| handle.push(item))?,
            40..50 => out.push(shared.item(), |item| ring.push(item))?,
            50..60 => out.try_push(own.item(), &mut handle)?,
            60..78 => {
                fill(&mut items, &mut own, random.usize(0..BATCH_MAX));
                out.push_many(&mut items, |items| handle.push_many(items))?;
            }
            78..84 => {
                fill(&mut items, &mut shared, random.usize(0..BATCH_MAX));
                out.push_many(&mut items, |items| ring.push_many(items))?;
            }
            84..90 => {
                fill(&mut items, &mut own, random.usize(0..BATCH_MAX));
                out.push_many(&mut items, |items| handle.try_push_many(items))?;
            }
            90..95 => {
                fill(&mut items, &mut shared, random.usize(1..BATCH_MAX));
                out.push_all(&mut items, |items| ring.try_push_all(items))?;
            }
            95..98 => {
                handle = ring.producer();
                own = Source::new(round);
                out.handles += 1;
            }
            _ => std::thread::yield_now(),
        }
    }
    Ok(out)
}

fn fill(items: &mut Vec<Tracked>, source: &mut Source<'_>, count: usize) {
    items.extend((0..count).map(|_| source.item()));
}

impl Produced {
    fn push(&mut self, item: Tracked, push: impl FnOnce(Tracked) -> Pushed<Tracked>) -> Result<()> {
        let name = item.name();
        self.offered += 1;
        match push(item) {
            Pushed::Stored => self.accepted.see(name),
            Pushed::Displaced { first, rest } => {
                self.accepted.see(name);
                self.displaced.see(first.name());
                rest.iter().for_each(|item| self.displaced.see(item.name()));
            }
            Pushed::Dropped(item) => {
                self.accepted.see(name);
                self.dropped.see(item.name());
                check_same(&item, name)?;
            }
            Pushed::Refused(_, item) => {
                self.refused += 1;
                check_same(&item, name)?;
            }
        }
        Ok(())
    }

    fn try_push(&mut self, item: Tracked, handle: &mut Producer<Tracked>) -> Result<()> {
        let push = |item| match handle.try_push(item) {
            Ok(()) => Pushed::Stored,
            Err((refusal, item)) => Pushed::Refused(refusal, item),
        };
        self.push(item, push)
    }

    /// Offers all, and takes the answer apart: the displaced, the dropped and the refused are in
    /// the vector, in this order.
    fn push_many(
        &mut self,
        items: &mut Vec<Tracked>,
        push: impl FnOnce(&mut Vec<Tracked>) -> PushedMany,
    ) -> Result<()> {
        let names: Vec<Name> = items.iter().map(Tracked::name).collect();
        self.offered += names.len() as u64;
        let pushed = push(items);
        ensure!(pushed.accepted <= names.len(), "too many: {pushed:?}");
        let (accepted, refused_names) = names.split_at(pushed.accepted);
        accepted.iter().for_each(|name| self.accepted.see(*name));
        ensure!(
            items.len() == pushed.displaced + pushed.dropped + refused_names.len()
                && refused_names.is_empty() == pushed.refusal.is_none(),
            "{} items came back of {}: {pushed:?}",
            items.len(),
            names.len()
        );
        let (displaced, rest) = items.split_at(pushed.displaced);
        let (dropped, refused) = rest.split_at(pushed.dropped);
        displaced
            .iter()
            .for_each(|item| self.displaced.see(item.name()));
        dropped
            .iter()
            .for_each(|item| self.dropped.see(item.name()));
        for (item, name) in refused.iter().zip(refused_names) {
            check_same(item, *name)?;
        }
        self.refused += refused.len() as u64;
        items.clear();
        Ok(())
    }

    /// Offers all or nothing.
    fn push_all(
        &mut self,
        items: &mut Vec<Tracked>,
        push: impl FnOnce(&mut Vec<Tracked>) -> Result<(), Refusal>,
    ) -> Result<()> {
        self.push_many(items, |items| {
            let offered = items.len();
            match push(items) {
                Ok(()) => PushedMany {
                    accepted: offered,
                    ..PushedMany::default()
                },
                Err(refusal) => PushedMany {
                    refusal: Some(refusal),
                    ..PushedMany::default()
                },
            }
        })
    }
}

fn check_same(item: &Tracked, name: Name) -> Result<()> {
    ensure!(
        item.name() == name,
        "{:?} was handed back in place of {name:?}",
        item.name()
    );
    Ok(())
}
