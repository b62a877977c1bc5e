//! The open directory: what is done with it, one thing at a time, blocking.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use record::Position;
use tokio::time::Instant;

use super::log::{Begin, Log, Marks, Meta, StoredMark};
use super::options::{FileOptions, WhenFull};
use super::{directory, finish, layout};
use crate::ledger::{self, LedgerPlan, Mark};
use crate::{
    Batch, BatchId, ErrorKind, OpenScope, Receipt, Row, ScopeIndex, ScopeName, WriteError,
};
use layout::Layout;

/// What a mark takes in the log, generously.
const MARKS_BYTES: u64 = 512;

/// What the rows of an entry may take, whose length is a number of 32 bits; the rest is for marks.
const LINES_BYTES_MAX: usize = 0xF000_0000;

/// A log without many rows may grow to this, or what makes a file, before it is begun anew.
const OVERGROWN_BYTES: u64 = 4 << 20;

/// What the writer counts.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) finished: AtomicU64,
    pub(super) deleted: AtomicU64,
    pub(super) deleted_bytes: AtomicU64,
}

/// A scope as this writer opened it.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub(super) name: ScopeName,
    pub(super) fence: u64,
}

/// The directory, locked, with its log.
#[derive(Debug)]
pub(super) struct Store {
    options: FileOptions,
    layout: Layout,
    counters: Arc<Counters>,
    /// Tells the files of this writer from those of others.
    writer: u64,
    /// How many files it has named.
    named: u64,
    /// Held for as long as the store is open.
    lock: File,
    log: Log,
    marks: Marks,
    /// When the rows of the log are old enough to be finished.
    due_at: Option<Instant>,
    /// Whether the log is known to be what the disk has; if not, the store is to be opened again.
    is_sound: bool,
}

impl Store {
    pub(super) fn open<R: Row>(
        options: &FileOptions,
        counters: &Arc<Counters>,
        writer: u64,
        now: Instant,
    ) -> Result<Self, WriteError> {
        let name = options.name.as_deref().unwrap_or(R::SCHEMA.table);
        let layout = Layout::of::<R>(options.format.extension(), name)
            .map_err(|reason| WriteError::new(ErrorKind::Fatal, reason))?;
        let lock = directory::lock(&options.directory)?;
        let path = options.directory.join("forebay.log");
        let failed = |error| directory::write_error("open", &path, &error);
        let (log, marks) = match Log::open(&path).map_err(failed)? {
            Some(found) => found,
            None => {
                let begin = Begin {
                    layout: layout.clone(),
                    finished: None,
                };
                let at = (options.clock)().micros();
                let log = Log::begin(&path, at, &Marks::new(), begin).map_err(failed)?;
                (log, Marks::new())
            }
        };
        if let Some(finished) = &log.begin.finished {
            finish::publish(&options.directory, finished).map_err(failed)?;
        }
        directory::remove_parts(&options.directory, &log.begin.layout.name).map_err(failed)?;
        let mut store = Self {
            options: options.clone(),
            layout,
            counters: Arc::clone(counters),
            writer,
            named: 0,
            lock,
            log,
            marks,
            due_at: None,
            is_sound: true,
        };
        if let Some(first_at) = store.log.first_at {
            let age_us = store
                .wall_us()
                .saturating_sub(first_at)
                .max(0)
                .unsigned_abs();
            let age_max = store.options.rotate_age;
            let left = age_max.map(|max| max.saturating_sub(Duration::from_micros(age_us)));
            store.due_at = left.and_then(|left| now.checked_add(left));
        }
        if store.log.begin.layout != store.layout {
            // Rows of another shape, of an earlier build or another format, are finished as such.
            store.rotate()?;
        }
        Ok(store)
    }

    /// Whether it can go on after an error.
    pub(super) fn is_sound(&self) -> bool {
        self.is_sound
    }

    fn wall_us(&self) -> i64 {
        (self.options.clock)().micros()
    }

    fn path(&self) -> PathBuf {
        self.options.directory.join("forebay.log")
    }

    pub(super) fn open_scope(&mut self, name: &ScopeName) -> Result<OpenScope, WriteError> {
        let mut mark = self.mark_of(name);
        mark.fence += 1;
        let opened = OpenScope::new(Position::new(mark.position), mark.fence);
        self.append(vec![mark], None, 0, &[])?;
        Ok(opened)
    }

    fn mark_of(&self, name: &ScopeName) -> StoredMark {
        let new = || StoredMark {
            scope: name.as_str().to_owned(),
            fence: 0,
            position: 0,
            batch: 0,
            hash: 0,
        };
        self.marks.get(name.as_str()).cloned().unwrap_or_else(new)
    }

    pub(super) fn scopes(&self, prefix: &str) -> Vec<(ScopeName, Position)> {
        let named = self
            .marks
            .values()
            .filter(|mark| mark.scope.starts_with(prefix));
        named
            .map(|mark| (ScopeName::new(&*mark.scope), Position::new(mark.position)))
            .collect()
    }

    pub(super) fn rename_scope(
        &mut self,
        from: &ScopeName,
        to: &ScopeName,
    ) -> Result<(), WriteError> {
        if from == to || !self.marks.contains_key(from.as_str()) {
            return Ok(());
        }
        if self.marks.contains_key(to.as_str()) {
            return Err(WriteError::new(
                ErrorKind::Fatal,
                format!("cannot rename scope `{from}`: there is a scope `{to}` already"),
            ));
        }
        let mark = StoredMark {
            scope: to.as_str().to_owned(),
            ..self.mark_of(from)
        };
        self.append(vec![mark], Some(from.as_str().to_owned()), 0, &[])
    }

    /// Writes what is new in the batch; `scope` says how a scope was opened when it was handed in.
    pub(super) fn write<R: Row>(
        &mut self,
        batch: &Batch<R>,
        scope: impl Fn(ScopeIndex) -> Option<Opened>,
        now: Instant,
    ) -> Result<Receipt, WriteError> {
        if self.is_due(now) {
            self.rotate()?;
        }
        let opened = |index| scope(index).ok_or_else(|| ledger::not_open(index));
        let plan = LedgerPlan::new(batch, |index| {
            let Opened { name, fence } = opened(index)?;
            let mark = self.mark_of(&name);
            if mark.fence != fence {
                return Err(ledger::fenced(&name, mark.fence, fence));
            }
            Ok(Mark {
                scope: index,
                watermark: Position::new(mark.position),
                batch: BatchId(mark.batch),
                hash: mark.hash,
            })
        })?;
        let mut marks = Vec::with_capacity(plan.marks().len());
        for mark in plan.marks() {
            let Opened { name, fence } = opened(mark.scope)?;
            marks.push((
                mark.scope,
                StoredMark {
                    scope: name.as_str().to_owned(),
                    fence,
                    position: mark.watermark.number(),
                    batch: mark.batch.0,
                    hash: mark.hash,
                },
            ));
        }
        let (lines, rows) = self.lines(batch, &plan, &marks)?;
        if plan.fresh_len() > 0 {
            if self.log.rows == 0 && rows > 0 {
                self.make_room()?;
            }
            let marks = marks.into_iter().map(|(_, mark)| mark).collect();
            self.append(marks, None, rows, &lines)?;
            if self.due_at.is_none() && rows > 0 {
                let age = self.options.rotate_age;
                self.due_at = age.and_then(|age| now.checked_add(age));
            }
        }
        Ok(Receipt::new(batch.len(), plan.repeated(), Vec::new()))
    }

    /// The new rows as lines, and how many they are. A row that cannot be a line fails the batch,
    /// which names it: there is no quarantine here, and the watermark must not pass what is kept
    /// nowhere. So does one of an earlier write, whose answer may have been lost.
    fn lines<R: Row>(
        &self,
        batch: &Batch<R>,
        plan: &LedgerPlan,
        marks: &[(ScopeIndex, StoredMark)],
    ) -> Result<(Vec<u8>, u64), WriteError> {
        let (mut lines, mut rows) = (Vec::new(), 0);
        for (index, row) in batch.rows().iter().enumerate() {
            let mark = marks.iter().find(|(scope, _)| *scope == row.scope);
            let name = mark.map_or("", |(_, mark)| mark.scope.as_str());
            let start = lines.len();
            let position = row.position.number();
            let pushed = match &row.content {
                Ok(content) => layout::push_line(content, &self.layout, name, position, &mut lines),
                Err(malformed) => Err(malformed.reason().to_owned()),
            };
            pushed.map_err(|reason| WriteError::new(ErrorKind::Data, reason).at_row(index))?;
            if plan.is_fresh(index) {
                rows += 1;
            } else {
                lines.truncate(start);
            }
            if lines.len() > LINES_BYTES_MAX {
                // Nobody's fault: halves of it fit.
                return Err(WriteError::new(
                    ErrorKind::Data,
                    format!("the batch has more than {LINES_BYTES_MAX} bytes as CSV"),
                ));
            }
        }
        Ok((lines, rows))
    }

    fn append(
        &mut self,
        marks: Vec<StoredMark>,
        removed: Option<String>,
        rows: u64,
        lines: &[u8],
    ) -> Result<(), WriteError> {
        self.check_lock()?;
        if !self.log.is_in_place() {
            return Err(directory::displaced(&self.path()));
        }
        let meta = Meta {
            at: self.wall_us(),
            rows,
            marks,
            removed,
            begin: None,
        };
        if let Err(error) = self.log.append(&meta, lines) {
            self.is_sound = false;
            return Err(directory::write_error("write to", &self.path(), &error));
        }
        if let Some(removed) = &meta.removed {
            self.marks.remove(removed);
        }
        let set = meta.marks.into_iter();
        self.marks
            .extend(set.map(|mark| (mark.scope.clone(), mark)));
        Ok(())
    }

    /// Refuses to go on without the lock's file: another writer could lock a new one.
    fn check_lock(&self) -> Result<(), WriteError> {
        let path = directory::lock_path(&self.options.directory);
        if directory::is_at(&self.lock, &path) {
            return Ok(());
        }
        Err(directory::displaced(&path))
    }

    /// Whether the rows of the log are to be finished.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let rows_max = self.options.rotate_rows.unwrap_or(u64::MAX);
        let is_large = self.log.bytes >= self.options.rotate_bytes || self.log.rows >= rows_max;
        let is_old = self.due_at.is_some_and(|due_at| due_at <= now);
        self.log.rows > 0 && (is_large || is_old) || self.is_overgrown()
    }

    /// Whether most of the log is marks that later ones took the place of.
    fn is_overgrown(&self) -> bool {
        let rows_and_marks = self.log.bytes + MARKS_BYTES * (1 + self.marks.len() as u64);
        self.log.length >= 2 * rows_and_marks + self.options.rotate_bytes.max(OVERGROWN_BYTES)
    }

    /// When the rows of the log will be old enough.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// Finishes the file, if there are rows, and begins a new log. After an error the store has to
    /// be opened again; no row is lost or doubled by that.
    pub(super) fn rotate(&mut self) -> Result<(), WriteError> {
        let is_same = self.log.begin.layout == self.layout;
        if self.log.rows == 0 && is_same && !self.is_overgrown() {
            return Ok(());
        }
        self.check_lock()?;
        let directory = self.options.directory.clone();
        let failed = |error| directory::write_error("finish a file in", &directory, &error);
        let finished = if self.log.rows > 0 {
            let (file, name) = finish::create(
                &directory,
                &self.log.begin.layout,
                self.next_at()?,
                self.writer,
                &mut self.named,
            )
            .map_err(failed)?;
            // The name of the copy has to be durable before the log that relies on it.
            let converted = finish::convert(&self.log, file);
            let converted = converted.and_then(|()| directory::sync(&directory));
            if let Err(error) = converted {
                // The rows are in the log; an incomplete copy is in the way of nothing but room.
                let _ = std::fs::remove_file(finish::part(&directory, &name));
                return Err(failed(error));
            }
            Some(name)
        } else {
            None
        };
        let begin = Begin {
            layout: self.layout.clone(),
            finished: finished.clone().or(self.log.begin.finished.clone()),
        };
        self.is_sound = false;
        // From here on the rows are those of the finished file, whatever its name still is.
        self.log = Log::begin(&self.path(), self.wall_us(), &self.marks, begin).map_err(failed)?;
        self.due_at = None;
        if let Some(finished) = finished {
            finish::publish(&directory, &finished).map_err(failed)?;
            self.counters.finished.fetch_add(1, Ordering::Relaxed);
            tracing::info!(directory = %directory.display(), file = finished, "finished a file");
        }
        self.is_sound = true;
        Ok(())
    }

    /// The time for the next name: the clock's, but never before that of the file before.
    fn next_at(&self) -> Result<record::Timestamp, WriteError> {
        let name = &self.log.begin.layout.name;
        let before = self.log.begin.finished.as_deref();
        let before = before.and_then(|before| directory::time_of(before, name));
        let now = (self.options.clock)();
        Ok(before.map_or(now, |before| before.max(now)))
    }

    /// Sees to it that one more file may be finished.
    fn make_room(&mut self) -> Result<(), WriteError> {
        let options = &self.options;
        let failed = |error| directory::write_error("look for room in", &options.directory, &error);
        let found = directory::finished(&options.directory, &self.layout.name).map_err(failed)?;
        let mut files = found.len() as u64;
        let mut bytes: u64 = found.iter().map(|file| file.bytes).sum();
        let bytes_max = options.bytes_max.unwrap_or(u64::MAX);
        let age_us = options
            .age_max
            .map(|age| i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
        let oldest = age_us.map_or(i64::MIN, |age| self.wall_us().saturating_sub(age));
        for file in &found {
            let is_full = files >= options.files_max || bytes >= bytes_max;
            if !is_full && file.at.micros() >= oldest {
                break;
            }
            if options.when_full == WhenFull::Stop {
                return Err(WriteError::new(
                    ErrorKind::Transient,
                    format!(
                        "directory {} is full: it has {files} finished files of {bytes} bytes, at \
                         most {} of {bytes_max} bytes are allowed; move some away",
                        options.directory.display(),
                        options.files_max
                    ),
                ));
            }
            let removed = std::fs::remove_file(options.directory.join(&file.file_name));
            match removed {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
            files -= 1;
            bytes -= file.bytes;
            self.counters.deleted.fetch_add(1, Ordering::Relaxed);
            self.counters
                .deleted_bytes
                .fetch_add(file.bytes, Ordering::Relaxed);
            tracing::warn!(
                directory = %options.directory.display(),
                file = file.file_name,
                bytes = file.bytes,
                "removed the oldest file to make room"
            );
        }
        Ok(())
    }
}
