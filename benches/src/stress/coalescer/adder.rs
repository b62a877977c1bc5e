//! A thread that adds in every way there is, and keeps an account of what became of each update.

use std::sync::atomic::Ordering;

use anyhow::{Result, bail, ensure};
use coalesce::{AddError, AddResult, AddedMany, Sum};

use super::{Round, Totals};
use crate::ledger::Report;

/// What adders did, and what was handed to them.
#[derive(Default)]
pub(super) struct Added {
    pub(super) accepted: Totals,
    /// Taken out by an add that met a cap, and delivered by its caller.
    pub(super) flushed: Totals,
    pub(super) refused: u64,
    /// Those of the refused that no aggregate takes.
    pub(super) invalid: u64,
    writers: u64,
}

impl Added {
    pub(super) fn merge(&mut self, other: &Self) {
        self.accepted.merge(&other.accepted);
        self.flushed.merge(&other.flushed);
        self.refused += other.refused;
        self.invalid += other.invalid;
        self.writers += other.writers;
    }

    pub(super) fn report(&self) -> Report {
        let mut report = Report::default();
        report.count("updates accepted", self.accepted.all().0);
        report.count("updates refused", self.refused);
        report.count("updates flushed by an add", self.flushed.all().0);
        report.count("writers", self.writers);
        report
    }
}

/// Adds until the round is over.
pub(super) fn run(round: &Round, mut random: fastrand::Rng) -> Result<Added> {
    let coalescer = &round.coalescer;
    let mut out = Added::default();
    let mut writer = coalescer.writer();
    out.writers += 1;
    while !round.over.load(Ordering::Relaxed) {
        let (key, value) = (key(round, &mut random), f64::from(random.u8(1..9)));
        match random.u8(0..100) {
            0..40 => out.note(&key, value, writer.add(key.clone(), value))?,
            40..60 => out.note(&key, value, writer.add_ref(key.as_str(), value))?,
            60..65 => out.note(&key, value, coalescer.add(key.clone(), value))?,
            65..80 => {
                let bound = writer.bind(key.clone());
                for _ in 0..random.u8(0..20) {
                    out.note(&key, value, bound.add(value))?;
                }
            }
            80..90 => {
                let count = random.usize(0..20);
                let updates: Vec<_> = (0..count)
                    .map(|_| (self::key(round, &mut random), value))
                    .collect();
                let added = if random.bool() {
                    writer.add_many(updates.clone())
                } else {
                    coalescer.add_many(updates.clone())
                };
                out.note_many(&updates, added)?;
            }
            90..93 => out.note(&key, f64::NAN, writer.add(key.clone(), f64::NAN))?,
            93..97 => {
                writer = coalescer.writer();
                out.writers += 1;
            }
            _ => std::thread::yield_now(),
        }
    }
    Ok(out)
}

/// A key; some are much more frequent than others.
fn key(round: &Round, random: &mut fastrand::Rng) -> String {
    let rank = random.u32(0..round.keys) >> random.u32(0..8);
    if rank.is_multiple_of(16) {
        format!("a key that is too long to be kept inline, number {rank}")
    } else {
        format!("key {rank}")
    }
}

impl Added {
    fn note(&mut self, key: &str, value: f64, answer: AddResult<String, Sum>) -> Result<()> {
        match answer {
            Ok(coalesce::Added::Buffered | coalesce::Added::FlushDue) => {
                self.accepted.add(key, 1, value);
            }
            Ok(coalesce::Added::Flushed(batch)) => {
                self.accepted.add(key, 1, value);
                self.flushed.add_batch(&batch);
            }
            Err(error) => {
                self.note_refused(&error)?;
                let (back, update) = error.into_update();
                ensure!(
                    back == key && update.to_bits() == value.to_bits(),
                    "{back} = {update} was handed back in place of {key} = {value}"
                );
            }
        }
        Ok(())
    }

    fn note_refused(&mut self, error: &AddError<String, f64>) -> Result<()> {
        self.refused += 1;
        match error {
            AddError::Invalid { update, .. } => {
                ensure!(update.is_nan(), "{update} was called invalid");
                self.invalid += 1;
            }
            AddError::KeysFull { .. } | AddError::UpdatesFull { .. } => {}
            other => bail!("an unknown refusal: {other}"),
        }
        Ok(())
    }

    /// Takes the answer to many apart: what was not refused was accepted.
    fn note_many(
        &mut self,
        updates: &[(String, f64)],
        added: AddedMany<String, Sum>,
    ) -> Result<()> {
        let offered = updates.len() as u64;
        ensure!(
            added.accepted + added.refused.len() as u64 == offered,
            "of {offered} updates, {} were accepted and {} refused",
            added.accepted,
            added.refused.len()
        );
        let mut accepted = Totals::default();
        for (key, value) in updates {
            accepted.add(key, 1, *value);
        }
        for error in added.refused {
            self.note_refused(&error)?;
            let (key, value) = error.into_update();
            let Some(total) = accepted.0.get_mut(&key) else {
                bail!("{key} was handed back and never offered");
            };
            total.0 = total.0.saturating_sub(1);
            total.1 -= value;
        }
        self.accepted.merge(&accepted);
        for batch in &added.flushed {
            self.flushed.add_batch(batch);
        }
        Ok(())
    }
}
