//! A thread that writes in every way there is, and keeps an account of what was committed.

use anyhow::{Result, bail, ensure};
use dataservice::{KeyId, Refusal, Transaction};

use super::Round;
use super::value::{NEVER, PAIR_SUM, Value};
use crate::ledger::Report;

/// Updates of one key in one commit at most, which every reader that blocks has room for.
pub(super) const OF_KEY_MAX: usize = 16;

/// What was committed.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Updates by key.
    pub(super) updates: Vec<u64>,
    pub(super) refused: u64,
    commits: u64,
    rolled_back: u64,
    cleared: u64,
}

impl Written {
    pub(super) fn of_keys(keys: usize) -> Self {
        Self {
            updates: vec![0; keys],
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (total, more) in self.updates.iter_mut().zip(&other.updates) {
            *total += more;
        }
        self.refused += other.refused;
        self.commits += other.commits;
        self.rolled_back += other.rolled_back;
        self.cleared += other.cleared;
    }

    pub(super) fn report(&self) -> Report {
        let mut report = Report::default();
        report.count("updates committed", self.updates.iter().sum());
        report.count("commits", self.commits);
        report.count("commits refused for lack of memory", self.refused);
        report.count("savepoints and transactions rolled back", self.rolled_back);
        report.count("keys and pairs cleared", self.cleared);
        report
    }
}

struct Writer<'a, V> {
    round: &'a Round<V>,
    number: u32,
    random: fastrand::Rng,
    /// By key, the number of the last update that was committed.
    last: Vec<u64>,
    last_commit: u64,
    out: Written,
}

/// Writes until the round is over.
pub(super) fn run<V: Value>(
    round: &Round<V>,
    number: u32,
    random: fastrand::Rng,
) -> Result<Written> {
    let keys = round.keys.all.len();
    let mut writer = Writer {
        round,
        number,
        random,
        last: vec![0; keys],
        last_commit: 0,
        out: Written::of_keys(keys),
    };
    while !round.is_over() {
        writer.step()?;
    }
    Ok(writer.out)
}

impl<V: Value> Writer<'_, V> {
    fn step(&mut self) -> Result<()> {
        match self.random.u8(0..100) {
            0..30 => {
                let id = self.key();
                let value = self.next_value(id, 0);
                let done = self.round.service.put(id, self.time_us(), value);
                self.note(&[id], done.map_err(|error| error.refusal))
            }
            30..35 => {
                let id = self.key();
                let value = self.next_value(id, 0);
                let done = self
                    .round
                    .service
                    .insert(id.number(), self.time_us(), value);
                self.note(&[id], done.map_err(|error| error.refusal))
            }
            35..45 => {
                let id = self.key();
                let count = self.random.usize(1..=OF_KEY_MAX);
                let values: Vec<_> = (0..count as u64)
                    .map(|nth| (self.time_us(), self.next_value(id, nth)))
                    .collect();
                let done = self.round.service.put_many(id, values);
                self.note(&vec![id; count], done.map_err(|error| error.refusal))
            }
            45..97 => self.transact(),
            97 => {
                self.clear();
                Ok(())
            }
            _ => {
                std::thread::yield_now();
                Ok(())
            }
        }
    }

    fn transact(&mut self) -> Result<()> {
        let round = self.round;
        let mut transaction = round.service.begin();
        let mut staged = Vec::new();
        for _ in 0..self.random.usize(1..OF_KEY_MAX / 2) {
            match self.random.u8(0..10) {
                0..4 => self.put_pair(&mut transaction, &mut staged)?,
                4..7 => self.put_one(&mut transaction, &mut staged)?,
                7 => {
                    let mut rolled_back = transaction.begin();
                    let (a, _) = round.keys.pairs[self.random.usize(..round.keys.pairs.len())];
                    for id in [a, self.key()] {
                        let never = V::new(self.number, NEVER, &round.alive);
                        rolled_back.put(id, self.time_us(), never)?;
                    }
                    ensure!(
                        rolled_back.len() == 2,
                        "a savepoint does not hold two updates"
                    );
                    drop(rolled_back);
                    self.out.rolled_back += 1;
                }
                _ => {
                    let id = self.key();
                    let value = self.next_value(id, count(&staged, id));
                    let never = V::new(self.number, NEVER, &round.alive);
                    let mut kept = transaction.begin();
                    kept.put(id, 0, value)?;
                    let mut rolled_back = kept.begin();
                    rolled_back.put(id, 0, never)?;
                    drop(rolled_back);
                    kept.commit();
                    staged.push(id);
                    self.out.rolled_back += 1;
                }
            }
        }
        ensure!(
            transaction.len() == staged.len(),
            "the transaction is not as long as what is staged"
        );
        if self.random.u8(0..10) == 0 {
            drop(transaction);
            self.out.rolled_back += 1;
            return Ok(());
        }
        let done = transaction.commit().map_err(|error| error.refusal);
        self.note(&staged, done)
    }

    fn put_pair(
        &mut self,
        transaction: &mut Transaction<V>,
        staged: &mut Vec<KeyId>,
    ) -> Result<()> {
        let round = self.round;
        let (a, b) = round.keys.pairs[self.random.usize(..round.keys.pairs.len())];
        let number = self.random.u64(0..=PAIR_SUM);
        for (id, number) in [(a, number), (b, PAIR_SUM - number)] {
            let value = V::new(self.number, number, &round.alive);
            transaction.put(id, self.time_us(), value)?;
            staged.push(id);
        }
        let back = transaction.get(b).map(|value| value.number());
        ensure!(
            back == Some(PAIR_SUM - number),
            "a transaction does not read its own write"
        );
        Ok(())
    }

    fn put_one(&mut self, transaction: &mut Transaction<V>, staged: &mut Vec<KeyId>) -> Result<()> {
        let id = self.key();
        let value = self.next_value(id, count(staged, id));
        transaction.put(id, self.time_us(), value)?;
        staged.push(id);
        Ok(())
    }

    /// Takes into account what was committed, or refused.
    fn note(&mut self, ids: &[KeyId], done: Result<dataservice::CommitSeq, Refusal>) -> Result<()> {
        match done {
            Ok(commit_seq) => {
                let number = commit_seq.number();
                let before = std::mem::replace(&mut self.last_commit, number);
                // Nothing at all is no commit, and gives the number of the last one.
                ensure!(
                    before < number || (ids.is_empty() && before == number),
                    "commit {number} came after {before}"
                );
                for id in ids {
                    self.last[id.number() as usize] += 1;
                    self.out.updates[id.number() as usize] += 1;
                }
                self.out.commits += 1;
            }
            Err(Refusal::OutOfMemory { .. }) => self.out.refused += 1,
            Err(other) => bail!("a commit was refused: {other}"),
        }
        Ok(())
    }

    fn clear(&mut self) {
        let keys = &self.round.keys;
        if self.random.bool() {
            let (a, b) = keys.pairs[self.random.usize(..keys.pairs.len())];
            self.round.service.clear(&[a, b]);
        } else {
            let id = keys.clearable[self.random.usize(..keys.clearable.len())];
            drop(self.round.service.remove(&id.number()));
        }
        self.out.cleared += 1;
    }

    /// A key whose updates are numbered.
    fn key(&mut self) -> KeyId {
        let keys = &self.round.keys;
        let at = self
            .random
            .usize(..keys.streams.len() + keys.clearable.len());
        match at.checked_sub(keys.streams.len()) {
            None => keys.streams[at],
            Some(at) => keys.clearable[at],
        }
    }

    /// The next value of a key of which so many more are on their way.
    fn next_value(&self, id: KeyId, staged: u64) -> V {
        let number = self.last[id.number() as usize] + staged + 1;
        V::new(self.number, number, &self.round.alive)
    }

    fn time_us(&mut self) -> i64 {
        self.last_commit as i64 * 10 + self.random.i64(0..10)
    }
}

fn count(staged: &[KeyId], id: KeyId) -> u64 {
    staged.iter().filter(|other| **other == id).count() as u64
}
