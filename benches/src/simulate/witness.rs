//! What a store has, seen by a witness that stands right in front of it.
//!
//! The witness counts for itself: it knows which rows of a batch are new by the highest position
//! that it saw written, notes each new row, and compares with what the sink says. It finds a row
//! that is written twice (law 8), one that overtakes an earlier one of its key in its scope
//! (law 6), and one that the store must never have (law 9).

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use parking_lot::Mutex;
use record::{Position, Value};
use sinks::{
    Batch, BatchWriter, Entry, Guarantee, MemoryWriter, OpenScope, Receipt, ScopeIndex, ScopeName,
    WriteError,
};

use crate::trace::Trace;

/// The number of a record, the same however often and through which pipeline it is offered. It
/// grows in the order in which records are made, and is even for those that can be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(pub(crate) u32);

impl Id {
    pub(crate) fn new(number: usize, is_positioned: bool) -> Self {
        let number = u32::try_from(number).expect("a simulation is short");
        Self(number * 2 + u32::from(!is_positioned))
    }

    pub(crate) fn number(self) -> usize {
        self.0 as usize / 2
    }

    /// Whether its source can be read again.
    pub(crate) fn is_positioned(self) -> bool {
        self.0.is_multiple_of(2)
    }

    /// The id that an entry carries.
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        let number = match &entry.content {
            Ok(record) => match &record.value {
                Value::I64(number) => u32::try_from(*number).ok(),
                _ => None,
            },
            Err(malformed) => std::str::from_utf8(malformed.original()).ok()?.parse().ok(),
        };
        number.map(Self)
    }
}

/// Where a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Place {
    #[default]
    Nowhere,
    Delivered,
    Quarantined,
    /// A shutdown handed it back, and it was replayed from the fallback file.
    Replayed,
}

/// What is in one sink's store, over all lives of the pipeline.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    places: Vec<Place>,
    scopes: HashMap<ScopeName, Written>,
    /// Rows that a write settled, new and repeated ones.
    pub(crate) settled: u64,
    /// Whether routes were changed: a source that is read again comes to other scopes then.
    pub(crate) was_rerouted: bool,
}

/// What a scope has.
#[derive(Debug, Default)]
struct Written {
    mark: Position,
    newest: HashMap<String, Id>,
    rows: HashMap<Id, Place>,
}

impl Contents {
    pub(crate) fn place(&self, id: Id) -> Place {
        self.places.get(id.0 as usize).copied().unwrap_or_default()
    }

    /// The same of one scope.
    pub(crate) fn place_in(&self, scope: &str, id: Id) -> Place {
        let written = self.scopes.get(&ScopeName::new(scope));
        let place = written.and_then(|written| written.rows.get(&id));
        place.copied().unwrap_or_default()
    }

    pub(crate) fn put(&mut self, id: Id, place: Place) {
        let index = id.0 as usize;
        if self.places.len() <= index {
            self.places.resize(index + 1, Place::Nowhere);
        }
        self.places[index] = place;
    }

    /// How far a scope is written.
    pub(crate) fn mark(&self, scope: &ScopeName) -> Position {
        self.scopes
            .get(scope)
            .map_or(Position::START, |written| written.mark)
    }

    /// Notes a new row.
    fn write(&mut self, scope: &ScopeName, entry: &Entry, id: Id) -> Result<(), String> {
        let place = self.place(id);
        // A source that is read again after its routes were changed comes to other scopes.
        let may_be_elsewhere = id.is_positioned() && self.was_rerouted;
        let again = match may_be_elsewhere {
            true => self.place_in(scope.as_str(), id),
            false => place,
        };
        if again != Place::Nowhere {
            return Err(format!(
                "law 8: row {} is {again:?}, and written again",
                id.0
            ));
        }
        let written = self.scopes.entry(scope.clone()).or_default();
        let place = match &entry.content {
            Ok(record) => {
                let tag = record.tag.as_str();
                if let Some(before) = written.newest.insert(tag.to_owned(), id)
                    && before >= id
                {
                    let before = before.0;
                    return Err(format!(
                        "law 6: in {scope}, row {} of {tag} came after {before}",
                        id.0
                    ));
                }
                Place::Delivered
            }
            Err(_) => Place::Quarantined,
        };
        written.rows.insert(id, place);
        self.put(id, place);
        Ok(())
    }
}

/// A pipeline's connection to a store, and the witness of what passes it.
#[derive(Clone)]
pub(crate) struct Witness {
    inner: MemoryWriter,
    contents: Arc<Mutex<Contents>>,
    names: Arc<Mutex<HashMap<ScopeIndex, (ScopeName, Position)>>>,
    sink: Arc<str>,
    is_poison: fn(Id) -> bool,
    trace: Trace,
}

impl Witness {
    /// In front of `inner`, which is a connection of its own.
    pub(crate) fn new(
        inner: MemoryWriter,
        contents: Arc<Mutex<Contents>>,
        sink: Arc<str>,
        is_poison: fn(Id) -> bool,
        trace: Trace,
    ) -> Self {
        Self {
            inner,
            contents,
            names: Arc::default(),
            sink,
            is_poison,
            trace,
        }
    }

    /// How far a scope was when this connection opened it last, if it has.
    pub(crate) fn opened(&self, scope: &str) -> Option<Position> {
        let names = self.names.lock();
        let found = names.values().filter(|(name, _)| name.as_str() == scope);
        found.map(|(_, watermark)| *watermark).max()
    }

    fn saw(&self, batch: &Batch, receipt: &Receipt) -> Result<(), String> {
        let names = self.names.lock().clone();
        let mut contents = self.contents.lock();
        let mut repeated = 0;
        let mut noted = String::new();
        let mut marks: HashMap<ScopeName, Position> = HashMap::new();
        for entry in batch.rows() {
            let name = names.get(&entry.scope).map(|(name, _)| name);
            let name = name.ok_or_else(|| format!("scope {} was not opened", entry.scope.0))?;
            let id = Id::of(entry).ok_or_else(|| format!("a strange row {entry:?}"))?;
            if entry.position <= contents.mark(name) {
                repeated += 1;
                continue;
            }
            marks.insert(name.clone(), entry.position);
            let _ = write!(noted, " {name}:{}={}", entry.position, id.0);
            if entry.content.is_ok() && (self.is_poison)(id) {
                return Err(format!("law 9: row {}, which is bad, was written", id.0));
            }
            contents.write(name, entry, id)?;
        }
        for (name, mark) in marks {
            contents.scopes.entry(name).or_default().mark = mark;
        }
        contents.settled += batch.len() as u64;
        drop(contents);
        self.trace.note(format_args!("{} has{noted}", self.sink));
        self.trace.count(|tally| {
            tally.batches += 1;
            tally.written += (batch.len() - repeated) as u64;
        });
        if repeated != receipt.repeated() {
            let said = receipt.repeated();
            return Err(format!(
                "law 8: of a batch, {repeated} rows were written before, and the sink says {said}"
            ));
        }
        Ok(())
    }
}

impl BatchWriter for Witness {
    type Row = record::Record;

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn guarantee(&self) -> Guarantee {
        self.inner.guarantee()
    }

    async fn open_scope(
        &self,
        index: ScopeIndex,
        name: &ScopeName,
    ) -> Result<OpenScope, WriteError> {
        let opened = self.inner.open_scope(index, name).await?;
        self.names
            .lock()
            .insert(index, (name.clone(), opened.watermark));
        self.trace.note(format_args!(
            "{} opens {name} at {}",
            self.sink, opened.watermark
        ));
        let seen = self.contents.lock().mark(name);
        if seen != opened.watermark {
            let said = opened.watermark;
            self.trace.broke(format!(
                "law 8: {name} is written to {seen}, and its watermark is {said}"
            ));
        }
        Ok(opened)
    }

    async fn scopes(&self, prefix: &str) -> Result<Vec<(ScopeName, Position)>, WriteError> {
        self.inner.scopes(prefix).await
    }

    async fn rename_scope(&self, from: &ScopeName, to: &ScopeName) -> Result<(), WriteError> {
        self.inner.rename_scope(from, to).await
    }

    async fn write(&self, batch: &Batch) -> Result<Receipt, WriteError> {
        let written = self.inner.write(batch).await;
        match &written {
            Ok(receipt) => {
                if let Err(broken) = self.saw(batch, receipt) {
                    self.trace.broke(format!("{}: {broken}", self.sink));
                }
            }
            Err(error) => {
                self.trace
                    .note(format_args!("{} refuses: {error}", self.sink));
                if error.kind() == sinks::ErrorKind::Fatal {
                    self.trace
                        .broke(format!("{}: law 7 or 6: {error}", self.sink));
                }
            }
        }
        written
    }
}
