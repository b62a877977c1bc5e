//! What of a batch is new, decided purely: the part of exactly-once that all ledgers share.
//!
//! A sink keeps one [`Mark`] per scope: the highest position that is settled, the fence of whoever
//! may write, and the id and hash of the batch that advanced it last. An adapter reads the marks
//! of a batch inside its transaction, asks [`LedgerPlan::new`] what of it is new, writes that,
//! and stores [`LedgerPlan::marks`] before it commits. So it does not matter where batches begin
//! and end: a row is written when its position lies above the watermark, and never otherwise.

use std::hash::{BuildHasher, Hash, Hasher};

use record::Position;

use crate::{Batch, BatchId, Cell, Entry, ErrorKind, Row, ScopeIndex, ScopeName, WriteError};

/// How far a scope is settled, as its sink has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The scope, as the rows of the batch name it.
    pub scope: ScopeIndex,
    /// The highest position that is delivered or quarantined.
    pub watermark: Position,
    /// The batch that advanced it last.
    pub batch: BatchId,
    /// The [hash](content_hash) of the rows of that batch in this scope.
    pub hash: u64,
}

/// What is to be done with a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerPlan {
    /// Whether each row is new; as long as the batch.
    fresh: Vec<bool>,
    repeated: usize,
    marks: Vec<Mark>,
}

impl LedgerPlan {
    /// Decides what of the batch lies above its watermarks; `read` gives the mark of a scope, and
    /// is asked once for each.
    ///
    /// # Errors
    /// Those of `read`; [`ErrorKind::Fatal`] when the batch was written before under the same id
    /// with other rows, which breaks the promise that a batch never changes; and when the positions
    /// of new rows do not grow, because a row in the wrong order would pass for a repeated one.
    pub fn new<R: Row>(
        batch: &Batch<R>,
        mut read: impl FnMut(ScopeIndex) -> Result<Mark, WriteError>,
    ) -> Result<Self, WriteError> {
        let rows = batch.rows();
        let (mut fresh, mut repeated) = (Vec::with_capacity(rows.len()), 0);
        let mut known: Vec<Mark> = Vec::new();
        let mut marks: Vec<Mark> = Vec::new();
        for row in rows {
            // Most rows are of the scope of the row before.
            let at = match marks.iter().rposition(|mark| mark.scope == row.scope) {
                Some(at) => at,
                None => {
                    let mark = read(row.scope)?;
                    known.push(mark.clone());
                    marks.push(mark);
                    marks.len() - 1
                }
            };
            let is_fresh = row.position > known[at].watermark;
            if is_fresh {
                if row.position <= marks[at].watermark {
                    return Err(out_of_order(row.scope, row.position, marks[at].watermark));
                }
                marks[at].watermark = row.position;
            } else {
                repeated += 1;
            }
            fresh.push(is_fresh);
        }
        for (mark, before) in marks.iter_mut().zip(&known) {
            // Of the whole batch also for a slice, so that a batch which a layer split is known
            // again when it comes in one piece, and the other way round.
            let hash = content_hash(batch.whole(), mark.scope);
            let is_repeated = before.batch == batch.id() && mark.watermark == before.watermark;
            if is_repeated && before.hash != hash {
                return Err(changed(batch.id(), mark.watermark));
            }
            if mark.watermark > before.watermark {
                (mark.batch, mark.hash) = (batch.id(), hash);
            }
        }
        Ok(Self {
            fresh,
            repeated,
            marks,
        })
    }

    /// Whether the row with this index is to be written.
    #[must_use]
    pub fn is_fresh(&self, row: usize) -> bool {
        self.fresh.get(row).copied().unwrap_or(false)
    }

    /// The rows to write, with their index in the batch.
    pub fn fresh<'a, R: Row>(
        &'a self,
        batch: &'a Batch<R>,
    ) -> impl Iterator<Item = (usize, &'a Entry<R>)> + Clone {
        let rows = batch.rows().iter().enumerate();
        rows.filter(|(index, _)| self.fresh[*index])
    }

    /// The number of rows to write.
    #[must_use]
    pub fn fresh_len(&self) -> usize {
        self.fresh.len() - self.repeated
    }

    /// The number of rows that were settled before.
    #[must_use]
    pub fn repeated(&self) -> usize {
        self.repeated
    }

    /// The indexes of the rows that were settled before.
    pub fn repeated_rows(&self) -> impl Iterator<Item = usize> {
        let rows = self.fresh.iter().enumerate();
        rows.filter(|(_, fresh)| !**fresh).map(|(index, _)| index)
    }

    /// The marks to store, one for each scope of the batch.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }
}

fn out_of_order(scope: ScopeIndex, position: Position, before: Position) -> WriteError {
    WriteError::new(
        ErrorKind::Fatal,
        format!(
            "position {position} of scope {} comes after {before}; positions must grow from row \
             to row",
            scope.0
        ),
    )
}

fn changed(batch: BatchId, watermark: Position) -> WriteError {
    WriteError::new(
        ErrorKind::Fatal,
        format!(
            "batch {batch} was written before up to position {watermark} with other rows; a batch \
             must not change between attempts"
        ),
    )
}

/// The error for a writer that was shut out of a scope: its fence is not the one that the sink
/// has.
#[must_use]
pub fn fenced(name: &ScopeName, held: u64, ours: u64) -> WriteError {
    WriteError::new(
        ErrorKind::Fenced,
        format!("scope `{name}` was opened by another writer (fence {held}, ours {ours})"),
    )
}

/// The error for a scope that is to have the name of another one.
pub(crate) fn taken(from: &ScopeName, to: &ScopeName) -> WriteError {
    WriteError::new(
        ErrorKind::Fatal,
        format!("scope `{from}` cannot be named `{to}`: there is one of that name"),
    )
}

/// The error for a row whose scope this writer did not open.
#[must_use]
pub fn not_open(scope: ScopeIndex) -> WriteError {
    WriteError::new(ErrorKind::Fatal, format!("scope {} is not open", scope.0))
}

/// Refuses a mark below what was acknowledged: the database was restored, another server took its
/// place, or it lost its last commits. To go on from there would leave out what lies between.
///
/// # Errors
/// [`ErrorKind::Fatal`], with both positions, when the mark lies below.
pub fn check_not_behind(
    name: &ScopeName,
    acknowledged: Position,
    held: &Mark,
) -> Result<(), WriteError> {
    if held.watermark >= acknowledged {
        return Ok(());
    }
    Err(WriteError::new(
        ErrorKind::Fatal,
        format!(
            "the ledger of scope `{name}` went back from position {acknowledged} to {}: the \
             database was restored or lost its last commits; restart, so that the source is read \
             again from there",
            held.watermark
        ),
    ))
}

/// Up to where the batch reaches in each of its scopes: what a sink that wrote it acknowledges.
#[must_use]
pub fn reaches<R>(batch: &Batch<R>) -> Vec<(ScopeIndex, Position)> {
    let mut reached: Vec<(ScopeIndex, Position)> = Vec::new();
    for row in batch.rows() {
        match reached.iter_mut().rfind(|(scope, _)| *scope == row.scope) {
            Some((_, position)) => *position = row.position.max(*position),
            None => reached.push((row.scope, row.position)),
        }
    }
    reached
}

/// A hash over the positions and cells of a scope's rows. It tells batches of one run apart; other
/// builds may hash otherwise.
#[must_use]
pub fn content_hash<R: Row>(rows: &[Entry<R>], scope: ScopeIndex) -> u64 {
    let mut hasher = foldhash::fast::FixedState::with_seed(SEED).build_hasher();
    for row in rows.iter().filter(|row| row.scope == scope) {
        row.position.number().hash(&mut hasher);
        match &row.content {
            Ok(content) => {
                for column in 0..R::SCHEMA.columns.len() {
                    hash_cell(content.cell(column), &mut hasher);
                }
            }
            Err(malformed) => hasher.write(malformed.original()),
        }
    }
    hasher.finish()
}

const SEED: u64 = 0x464f_5245_4241_5921;

fn hash_cell(cell: Cell<'_>, hasher: &mut impl Hasher) {
    match cell {
        Cell::Null => hasher.write_u64(0),
        Cell::Bool(truth) => hasher.write_u64(1 + u64::from(truth)),
        Cell::I64(number) => hasher.write_u64(number.cast_unsigned()),
        Cell::F64(number) => hasher.write_u64(number.to_bits()),
        Cell::Text(text) | Cell::Json(text) => hasher.write(text.as_bytes()),
        Cell::Bytes(bytes) => hasher.write(bytes),
        Cell::Timestamp(moment) => hasher.write_u64(moment.micros().cast_unsigned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use record::{Record, Timestamp, Value};

    use super::*;

    fn entry(scope: u16, position: u64, value: i64) -> Entry {
        Entry {
            scope: ScopeIndex(scope),
            position: Position::new(position),
            arrival: Instant::now(),
            content: Ok(
                Record::new("s", "t", Value::I64(value), Timestamp::default()).expect("valid"),
            ),
        }
    }

    fn mark(scope: u16, watermark: u64) -> Mark {
        Mark {
            scope: ScopeIndex(scope),
            watermark: Position::new(watermark),
            batch: BatchId(0),
            hash: 0,
        }
    }

    #[test]
    fn only_what_lies_above_the_watermark_is_new_whatever_the_boundaries() {
        let rows = vec![
            entry(0, 3, 3),
            entry(1, 1, 1),
            entry(0, 4, 4),
            entry(0, 9, 9),
        ];
        let batch = Batch::new(BatchId(5), rows);
        let plan = LedgerPlan::new(&batch, |scope| {
            Ok(mark(scope.0, if scope.0 == 0 { 3 } else { 0 }))
        })
        .expect("planned");
        let fresh: Vec<usize> = plan.fresh(&batch).map(|(index, _)| index).collect();
        assert_eq!(fresh, [1, 2, 3]);
        assert_eq!((plan.repeated(), plan.fresh_len()), (1, 3));
        let marks: Vec<_> = plan
            .marks()
            .iter()
            .map(|mark| mark.watermark.number())
            .collect();
        assert_eq!(marks, [9, 1]);
        assert!(plan.marks().iter().all(|mark| mark.batch == BatchId(5)));
    }

    #[test]
    fn a_new_row_whose_position_does_not_grow_is_an_error_and_not_repeated() {
        for positions in [[1, 3, 2], [1, 2, 2]] {
            let rows = positions.map(|position| entry(0, position, 0));
            let error = LedgerPlan::new(&Batch::new(BatchId(5), rows), |_| Ok(mark(0, 0)));
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Fatal);
            assert!(error.to_string().contains("positions must grow"), "{error}");
        }
        // What lies below the watermark is settled, in whatever order it comes again.
        let rows = [3, 2, 4].map(|position| entry(0, position, 0));
        let plan = LedgerPlan::new(&Batch::new(BatchId(5), rows), |_| Ok(mark(0, 3)));
        assert_eq!(plan.expect("planned").repeated(), 2);
    }

    #[test]
    fn a_slice_is_known_again_as_part_of_its_batch() {
        let whole = Batch::new(BatchId(5), vec![entry(0, 1, 1), entry(0, 2, 2)]);
        let slice = whole.slice(1..2);
        let written = LedgerPlan::new(&slice, |scope| Ok(mark(scope.0, 0))).expect("planned");
        let again = LedgerPlan::new(&whole, |_| Ok(written.marks()[0].clone())).expect("the same");
        assert_eq!(again.repeated(), 2);
    }

    #[test]
    fn law_7_a_batch_that_changed_between_attempts_is_refused() {
        let first = Batch::new(BatchId(5), vec![entry(0, 1, 1), entry(0, 2, 2)]);
        let written = LedgerPlan::new(&first, |scope| Ok(mark(scope.0, 0))).expect("planned");
        let again = LedgerPlan::new(&first, |_| Ok(written.marks()[0].clone())).expect("the same");
        assert_eq!((again.repeated(), again.marks()), (2, written.marks()));
        let other = Batch::new(BatchId(5), vec![entry(0, 1, 1), entry(0, 2, 3)]);
        let error = LedgerPlan::new(&other, |_| Ok(written.marks()[0].clone())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fatal);
        // Another batch that ends there is a repetition with other boundaries.
        let later = Batch::new(BatchId(6), vec![entry(0, 2, 2)]);
        let plan = LedgerPlan::new(&later, |_| Ok(written.marks()[0].clone())).expect("planned");
        assert_eq!(plan.repeated(), 1);
    }
}
