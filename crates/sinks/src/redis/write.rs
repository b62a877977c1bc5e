//! One batch: what of it is new, in chunks, each of which the ledger takes or refuses whole.

use std::collections::HashMap;

use redis::{Cmd, Pipeline};

use super::link::Link;
use super::mark::Held;
use super::{Opened, ROUNDS_MAX, RedisWriter, script};
use crate::ledger::{self, LedgerPlan, Mark};
use crate::{Batch, ErrorKind, Receipt, Refused, Row, ScopeIndex, ScopeName, WriteError};

/// A chunk of more bytes is ended, whatever its number of rows.
const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Chunks that are sent at once.
const CHUNKS_AT_ONCE: usize = 8;

type Scopes = HashMap<ScopeIndex, Opened>;

/// A step of the ledger on its way.
struct Step {
    scope: ScopeIndex,
    to: Held,
    command: Cmd,
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
        scopes: &mut Scopes,
        batch: &Batch<R>,
    ) -> Result<Receipt, WriteError> {
        for _ in 0..ROUNDS_MAX {
            self.know(link, scopes, batch).await?;
            let plan = LedgerPlan::new(batch, |scope| match scopes.get(&scope) {
                Some(Opened {
                    held: Some(held), ..
                }) => Ok(held.mark(scope)),
                _ => Err(ledger::not_open(scope)),
            })?;
            let steps = self.steps(link, scopes, batch, &plan);
            match self.send(link, scopes, steps).await? {
                Sent::All => return Ok(receipt(batch, &plan)),
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
        scopes: &mut Scopes,
        batch: &Batch<R>,
    ) -> Result<(), WriteError> {
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
            let held = self.read(link, &opened.name).await?;
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

    /// The steps that take the ledger to the end of the batch, in order for each scope.
    fn steps(
        &self,
        link: &Link,
        scopes: &Scopes,
        batch: &Batch<R>,
        plan: &LedgerPlan,
    ) -> Vec<Step> {
        let mut steps = Vec::new();
        for mark in plan.marks() {
            if let Some(Opened {
                name,
                held: Some(held),
                ..
            }) = scopes.get(&mark.scope)
            {
                self.steps_of(link, name, *held, (batch, plan, mark), &mut steps);
            }
        }
        steps
    }

    fn steps_of(
        &self,
        link: &Link,
        name: &ScopeName,
        mut held: Held,
        (batch, plan, mark): (&Batch<R>, &LedgerPlan, &Mark),
        steps: &mut Vec<Step>,
    ) {
        let rows = plan.fresh(batch).map(|(_, row)| row);
        let mut rows = rows.filter(|row| row.scope == mark.scope).peekable();
        while rows.peek().is_some() {
            let (mut count, mut bytes, mut to) = (0, 0, held);
            let mut words: Vec<Vec<u8>> = Vec::new();
            while let Some(row) =
                rows.next_if(|_| count < self.options.chunk_rows && bytes < CHUNK_BYTES_MAX)
            {
                to.position = row.position.number();
                count += 1;
                if let Ok(content) = &row.content {
                    let fields = script::fields(content, self.options.format);
                    bytes += fields.iter().map(Vec::len).sum::<usize>();
                    words.push((fields.len() + 1).to_string().into_bytes());
                    words.push(format!("{}-0", row.position).into_bytes());
                    words.extend(fields);
                }
            }
            (to.batch, to.hash) = (mark.batch.0, mark.hash);
            let mut command = self.advance(link, name, Some(held), to);
            command.arg(words);
            steps.push(Step {
                scope: mark.scope,
                to,
                command,
            });
            held = to;
        }
    }

    /// Sends the steps, several at once. One that is refused leaves no way for those of the same
    /// scope behind it, which begin where it would have ended.
    async fn send(
        &self,
        link: &mut Link,
        scopes: &mut Scopes,
        steps: Vec<Step>,
    ) -> Result<Sent, WriteError> {
        // Until the answers are here, nothing is known; a future that is dropped leaves it so.
        for step in &steps {
            if let Some(opened) = scopes.get_mut(&step.scope) {
                opened.held = None;
            }
        }
        let mut steps = steps.into_iter().peekable();
        let mut known: HashMap<ScopeIndex, Held> = HashMap::new();
        while steps.peek().is_some() {
            let mut pipeline = Pipeline::new();
            let mut sent = Vec::with_capacity(CHUNKS_AT_ONCE);
            for step in steps.by_ref().take(CHUNKS_AT_ONCE) {
                pipeline.add_command(step.command);
                sent.push((step.scope, step.to));
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
}

/// What is malformed is refused each time it is offered, since nobody else keeps it.
fn receipt<R: Row>(batch: &Batch<R>, plan: &LedgerPlan) -> Receipt {
    let rows = batch.rows();
    let refused = rows.iter().enumerate().filter_map(|(row, entry)| {
        let reason = entry.content.as_ref().err()?.reason().to_owned();
        Some(Refused { row, reason })
    });
    let repeated = plan
        .repeated_rows()
        .filter(|row| rows[*row].content.is_ok())
        .count();
    Receipt::new(rows.len(), repeated, Vec::new()).with_rejected(refused.collect())
}
