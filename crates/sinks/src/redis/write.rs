//! One batch: what of it is new, in chunks, each of which the ledger takes or refuses whole.

use std::collections::HashMap;

use redis::{Cmd, Pipeline};

use super::link::Link;
use super::mark::Held;
use super::{Opened, ROUNDS_MAX, RedisWriter, State, script};
use crate::ledger::{self, LedgerPlan, Mark};
use crate::{Batch, ErrorKind, Receipt, Refused, Row, ScopeIndex, ScopeName, WriteError};

/// A chunk of more bytes is ended, whatever its number of rows.
const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Chunks that are sent at once, and made in memory.
const CHUNKS_AT_ONCE: usize = 8;
/// No more chunks are added to those that have so many bytes together.
const SENT_BYTES_MAX: usize = CHUNKS_AT_ONCE * CHUNK_BYTES_MAX;

type Scopes = HashMap<ScopeIndex, Opened>;

/// What is left of a scope.
struct Part<'a> {
    mark: &'a Mark,
    name: ScopeName,
    held: Held,
    rows: std::iter::Peekable<std::vec::IntoIter<usize>>,
}

/// A step of the ledger on its way.
struct Step {
    scope: ScopeIndex,
    to: Held,
    command: Cmd,
    bytes: usize,
}

/// What became of the steps that were sent.
enum Sent {
    All,
    /// The ledger of this scope is not what was believed.
    Surprised(ScopeIndex),
}

impl<R: Row> RedisWriter<R> {
    pub(super) async fn write_to(
        &self,
        link: &mut Link,
        state: &mut State,
        batch: &Batch<R>,
    ) -> Result<Receipt, WriteError> {
        for _ in 0..ROUNDS_MAX {
            self.know(link, state, batch).await?;
            let scopes = &mut state.scopes;
            let plan = LedgerPlan::new(batch, |scope| match scopes.get(&scope) {
                Some(Opened {
                    held: Some(held), ..
                }) => Ok(held.mark(scope)),
                _ => Err(ledger::not_open(scope)),
            })?;
            match self.send(link, scopes, batch, &plan).await? {
                Sent::All => return Ok(self.receipt(batch, &plan)),
                Sent::Surprised(scope) => {
                    if let Some(opened) = scopes.get_mut(&scope) {
                        opened.held = None;
                    }
                }
            }
        }
        Err(self.error(
            ErrorKind::Transient,
            "write",
            "the ledger changes all the time",
        ))
    }

    /// Reads what the ledger has of those scopes of the batch of which it is not known.
    async fn know(
        &self,
        link: &mut Link,
        state: &mut State,
        batch: &Batch<R>,
    ) -> Result<(), WriteError> {
        let scopes = &mut state.scopes;
        let mut last = None;
        for row in batch.rows() {
            if last == Some(row.scope) {
                continue;
            }
            last = Some(row.scope);
            let opened = scopes
                .get_mut(&row.scope)
                .ok_or_else(|| ledger::not_open(row.scope))?;
            if opened.held.is_some() {
                continue;
            }
            let mut held = self.read(link, &opened.name).await?;
            let renamed = state.renaming.iter().find(|(from, _)| *from == opened.name);
            if let (None, Some((_, to))) = (held, renamed) {
                let there = self.read(link, to).await?;
                if there.is_some_and(|there| there.fence >= opened.fence) {
                    // It was renamed, although the answer was lost.
                    (held, opened.name) = (there, to.clone());
                }
            }
            opened.held = Some(self.ours(opened, held)?);
        }
        Ok(())
    }

    /// The same, if the scope is still ours and the server has lost nothing of it.
    fn ours(&self, opened: &Opened, held: Option<Held>) -> Result<Held, WriteError> {
        let Opened { name, fence, .. } = opened;
        let held = match held {
            Some(held) if held.fence > *fence => {
                return Err(ledger::fenced(name, held.fence, *fence));
            }
            Some(held) if held.fence == *fence => held,
            _ => {
                let why = "it is gone, or older than it was: Redis has lost what it acknowledged, \
                           or the key was deleted; open the scope again to go on";
                let doing = format!("write to the ledger of `{name}`");
                return Err(self.error(ErrorKind::Fatal, &doing, why));
            }
        };
        if held.position < opened.acknowledged {
            self.warn(&format!(
                "Redis has lost rows of scope `{name}` that it acknowledged: positions {} to {}; \
                 set `appendonly yes` and `appendfsync always`",
                held.position + 1,
                opened.acknowledged
            ));
        }
        Ok(held)
    }

    /// What is to be written, by scope.
    fn parts<'a>(scopes: &Scopes, batch: &Batch<R>, plan: &'a LedgerPlan) -> Vec<Part<'a>> {
        let mut rows: HashMap<ScopeIndex, Vec<usize>> = HashMap::new();
        for (row, entry) in plan.fresh(batch) {
            rows.entry(entry.scope).or_default().push(row);
        }
        let parts = plan.marks().iter().filter_map(|mark| {
            let opened = scopes.get(&mark.scope)?;
            Some(Part {
                mark,
                name: opened.name.clone(),
                held: opened.held?,
                rows: rows.remove(&mark.scope)?.into_iter().peekable(),
            })
        });
        parts.collect()
    }

    /// The next step of a scope. A row that is too long ends the write, so that it is set aside
    /// before the ledger passes it; what was written until then is known again.
    fn step(&self, link: &Link, batch: &Batch<R>, part: &mut Part<'_>) -> Result<Step, WriteError> {
        let (mut count, mut bytes, mut to) = (0, 0, part.held);
        let mut words: Vec<Vec<u8>> = Vec::new();
        let has_room = |count, bytes| count < self.options.chunk_rows && bytes < CHUNK_BYTES_MAX;
        while let Some(row) = part.rows.next_if(|_| has_room(count, bytes)) {
            let entry = &batch.rows()[row];
            to.position = entry.position.number();
            count += 1;
            let Ok(content) = &entry.content else {
                continue;
            };
            let fields = script::fields(content, self.options.format);
            let length = length_of(&fields);
            if length > self.options.row_bytes_max {
                let why = self.too_long(length);
                return Err(self.error(ErrorKind::Data, "write", why).at_row(row));
            }
            bytes += length;
            words.push((fields.len() + 1).to_string().into_bytes());
            words.push(format!("{}-0", entry.position).into_bytes());
            words.extend(fields);
        }
        (to.batch, to.hash) = (part.mark.batch.0, part.mark.hash);
        let mut command = self.advance(link, &part.name, Some(part.held), to);
        command.arg(words);
        part.held = to;
        Ok(Step {
            scope: part.mark.scope,
            to,
            command,
            bytes,
        })
    }

    /// Makes the steps and sends them, several at once. One that is refused leaves no way for
    /// those of the same scope behind it, which begin where it would have ended.
    async fn send(
        &self,
        link: &mut Link,
        scopes: &mut Scopes,
        batch: &Batch<R>,
        plan: &LedgerPlan,
    ) -> Result<Sent, WriteError> {
        let mut parts = Self::parts(scopes, batch, plan);
        // Until the answers are here, nothing is known; a future that is dropped leaves it so.
        for part in &parts {
            if let Some(opened) = scopes.get_mut(&part.mark.scope) {
                opened.held = None;
            }
        }
        let mut known: HashMap<ScopeIndex, Held> = HashMap::new();
        let mut at = 0;
        while at < parts.len() {
            let (mut pipeline, mut sent, mut bytes) = (Pipeline::new(), Vec::new(), 0);
            while sent.len() < CHUNKS_AT_ONCE && bytes < SENT_BYTES_MAX {
                let Some(part) = parts.get_mut(at) else { break };
                if part.rows.peek().is_none() {
                    at += 1;
                    continue;
                }
                let step = self.step(link, batch, part)?;
                pipeline.add_command(step.command);
                sent.push((step.scope, step.to));
                bytes += step.bytes;
            }
            if sent.is_empty() {
                break;
            }
            let answers = link
                .query_all::<String>(&mut pipeline, self.options.timeout)
                .await;
            let answers = answers.map_err(|error| self.failed("write", &error))?;
            for ((scope, to), answer) in sent.into_iter().zip(answers) {
                let now = answer.map_err(|error| self.failed("write", &error))?;
                if now != to.to_string() {
                    return Ok(Sent::Surprised(scope));
                }
                if let Some(opened) = scopes.get_mut(&scope) {
                    opened.acknowledged = opened.acknowledged.max(to.position);
                }
                known.insert(scope, to);
            }
        }
        for (scope, held) in known {
            if let Some(opened) = scopes.get_mut(&scope) {
                opened.held = Some(held);
            }
        }
        Ok(Sent::All)
    }

    fn too_long(&self, length: usize) -> String {
        let most = self.options.row_bytes_max;
        format!("the row has {length} bytes, more than the {most} of `row_max`")
    }

    /// What is malformed or too long is refused each time it is offered, since nobody else keeps
    /// it.
    fn receipt(&self, batch: &Batch<R>, plan: &LedgerPlan) -> Receipt {
        let mut refused = Vec::new();
        let rows = batch.rows();
        let mut repeated = 0;
        for row in plan.repeated_rows() {
            if let Ok(content) = &rows[row].content {
                let length = length_of(&script::fields(content, self.options.format));
                if length > self.options.row_bytes_max {
                    let reason = self.too_long(length);
                    refused.push(Refused { row, reason });
                } else {
                    repeated += 1;
                }
            }
        }
        refused.extend(rows.iter().enumerate().filter_map(|(row, entry)| {
            let reason = entry.content.as_ref().err()?.reason().to_owned();
            Some(Refused { row, reason })
        }));
        refused.sort_unstable_by_key(|refused| refused.row);
        Receipt::new(rows.len(), repeated, Vec::new()).with_rejected(refused)
    }
}

fn length_of(fields: &[Vec<u8>]) -> usize {
    fields.iter().map(Vec::len).sum()
}
