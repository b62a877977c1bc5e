//! What the table must hold, checked row by row as it is read.

use anyhow::{Result, ensure};

use crate::child::{Marks, Told};
use crate::source::{Fate, SCOPES, fate};

/// How far the table was read and found right.
#[derive(Debug)]
pub(crate) struct Verified {
    /// The number, in the order of insertion, of the last row that was read.
    pub(crate) last_inserted: i64,
    /// The position that has to come next, of each scope.
    next: Marks,
    rows: u64,
    quarantined: usize,
    /// The furthest that any client was told.
    acked: Marks,
}

impl Default for Verified {
    fn default() -> Self {
        Self {
            last_inserted: 0,
            next: [1; SCOPES.len()],
            rows: 0,
            quarantined: 0,
            acked: [0; SCOPES.len()],
        }
    }
}

impl Verified {
    /// Rows that were read.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows that are in the quarantine.
    pub(crate) fn quarantined(&self) -> usize {
        self.quarantined
    }

    /// Clients were told this, one after the other: nobody may begin before what another was told
    /// is delivered.
    pub(crate) fn acked(&mut self, told: Vec<Told>) -> Result<()> {
        for Told { opened, acked } in told {
            for (scope, name) in SCOPES.iter().enumerate() {
                let before = self.acked[scope];
                if let Some(opened) = opened {
                    ensure!(
                        opened[scope] >= before,
                        "{name} was delivered up to {before}, and the next client began behind {}",
                        opened[scope]
                    );
                }
                if let Some(acked) = acked {
                    self.acked[scope] = before.max(acked[scope]);
                }
            }
        }
        Ok(())
    }

    /// The next row in the order of insertion.
    pub(crate) fn row(
        &mut self,
        inserted: i64,
        scope: &str,
        position: u64,
        (tag, value): (&str, &str),
    ) -> Result<()> {
        let index = SCOPES.iter().position(|name| *name == scope);
        let Some(index) = index else {
            anyhow::bail!("a row of scope `{scope}`, which nobody opened");
        };
        while !matches!(fate(self.next[index]), Fate::Stored { .. }) {
            self.next[index] += 1;
        }
        let expected = self.next[index];
        ensure!(
            position == expected,
            "row {inserted} of {scope} has position {position}, expected {expected}: {}",
            if position < expected {
                "it is there twice, or out of order"
            } else {
                "some are lost"
            }
        );
        let Fate::Stored {
            tag: right_tag,
            value: right_value,
        } = fate(position)
        else {
            unreachable!("the next stored position was looked for");
        };
        ensure!(
            (tag, value) == (right_tag.as_str(), right_value.as_str()),
            "position {position} of {scope} holds {tag}={value}, expected {right_tag}={right_value}"
        );
        self.next[index] += 1;
        self.rows += 1;
        self.last_inserted = inserted;
        Ok(())
    }

    /// All rows were read: they must reach as far as the ledger says, and no client may have been
    /// told more.
    pub(crate) fn finish(
        &mut self,
        watermarks: Marks,
        mut quarantine: Vec<(String, u64)>,
        rows: u64,
    ) -> Result<()> {
        ensure!(
            rows == self.rows,
            "the table has {rows} rows, and {} were read",
            self.rows
        );
        for (index, scope) in SCOPES.iter().enumerate() {
            let watermark = watermarks[index];
            let is_stored = |position: &u64| matches!(fate(*position), Fate::Stored { .. });
            let missing = (self.next[index]..=watermark).find(is_stored);
            ensure!(
                missing.is_none(),
                "the ledger of {scope} says {watermark}, and {missing:?} is not in the table"
            );
            let beyond = self.next[index].saturating_sub(1);
            ensure!(
                beyond <= watermark,
                "the table has {beyond} of {scope}, and its ledger says {watermark}"
            );
            ensure!(
                watermark >= self.acked[index],
                "a client was told that {scope} is delivered up to {}, and its ledger says \
                 {watermark}",
                self.acked[index]
            );
        }
        quarantine.sort();
        let mut expected = Vec::new();
        for (index, scope) in SCOPES.iter().enumerate() {
            let bad = (1..=watermarks[index])
                .filter(|position| !matches!(fate(*position), Fate::Stored { .. }));
            expected.extend(bad.map(|position| ((*scope).to_owned(), position)));
        }
        ensure!(
            quarantine == expected,
            "the quarantine has {} rows, expected {}",
            quarantine.len(),
            expected.len()
        );
        self.quarantined = quarantine.len();
        Ok(())
    }
}
