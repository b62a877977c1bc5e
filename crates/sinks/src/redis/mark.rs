//! What the ledger has of a scope, as one text.
//!
//! `fence=3 position=1200 batch=77 hash=12`: a script changes it only where it is what the writer
//! believes it to be. Since positions only grow, it is never the same again, so that comparing the
//! text alone tells whether anything happened meanwhile.

use record::Position;

use crate::BatchId;

/// What the ledger has of a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) fence: u64,
    pub(super) position: u64,
    pub(super) batch: u64,
    pub(super) hash: u64,
}

impl Held {
    /// Reads the text; `None` when it is not one of ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut number = |name: &str| {
            let (found, number) = words.next()?.split_once('=')?;
            (found == name).then(|| number.parse::<u64>().ok())?
        };
        let held = Self {
            fence: number("fence")?,
            position: number("position")?,
            batch: number("batch")?,
            hash: number("hash")?,
        };
        // Scripts compare the text, so that another way to write the same is none of ours.
        (held.position <= Position::MAX.number() && held.to_string() == text).then_some(held)
    }

    pub(super) fn mark(self, scope: crate::ScopeIndex) -> crate::ledger::Mark {
        crate::ledger::Mark {
            scope,
            watermark: Position::new(self.position),
            batch: BatchId(self.batch),
            hash: self.hash,
        }
    }
}

impl std::fmt::Display for Held {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            fence,
            position,
            batch,
            hash,
        } = self;
        write!(
            out,
            "fence={fence} position={position} batch={batch} hash={hash}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back_and_others_refused() {
        let held = Held {
            fence: 3,
            position: Position::MAX.number(),
            batch: u64::MAX,
            hash: 0,
        };
        assert_eq!(Held::parse(&held.to_string()), Some(held));
        let others = [
            "",
            "7",
            "fence=3",
            "fence=3 position=-1 batch=1 hash=1",
            "fence=3 position=1 batch=1 hash=1 more=1",
            "position=1 fence=3 batch=1 hash=1",
            "fence=3 position=9223372036854775808 batch=1 hash=1",
            "fence=03 position=1 batch=1 hash=1",
            "fence=+3 position=1 batch=1 hash=1",
        ];
        for other in others {
            assert_eq!(Held::parse(other), None, "{other}");
        }
    }
}
