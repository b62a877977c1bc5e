//! A source on its way in: whoever waits for it may stop waiting at any moment.
//!
//! The names of its scopes are taken while the sinks are asked to open them. Unless the source
//! arrives, they are given back, and only once nothing tries to open them any more: an opening
//! that came late would shut the next one out.

use std::sync::Arc;

use sinks::{ScopeIndex, ScopeName, WriteError};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::Targets;
use super::targets::first_answers;
use crate::PipelineError;
use crate::opening::{Hold, Opening};
use crate::queue::Queue;
use crate::shape::Shape;
use crate::sources::Sources;

/// What has to be undone unless the source arrives.
pub(crate) struct Coming {
    sources: Arc<Sources>,
    name: ScopeName,
    /// Where it led when it was here before.
    before: Option<Targets>,
    targets: Option<Targets>,
    announced: Vec<(Arc<Queue>, ScopeIndex)>,
    tasks: Vec<JoinHandle<()>>,
}

impl Coming {
    /// # Errors
    /// When a source of this name is on its way in already.
    pub(crate) fn new(sources: &Arc<Sources>, name: &ScopeName) -> Result<Self, PipelineError> {
        Ok(Self {
            before: sources.come(name)?,
            sources: Arc::clone(sources),
            name: name.clone(),
            targets: None,
            announced: Vec::new(),
            tasks: Vec::new(),
        })
    }

    /// Takes the scopes of this shape that the source does not have yet. They have to be opened.
    pub(crate) fn announce(
        &mut self,
        shape: &Arc<Shape>,
        hold: Hold,
    ) -> Result<Vec<Opening>, PipelineError> {
        let before = self.targets.as_ref().or(self.before.as_ref());
        let (targets, openings) = Targets::announce(shape, &self.name, before, hold)?;
        let taken = openings.iter();
        let taken = taken.map(|opening| (Arc::clone(&opening.queue), opening.index));
        self.announced.extend(taken);
        self.targets = Some(targets);
        Ok(openings)
    }

    /// Opens scopes now, one after the other.
    pub(crate) async fn open(&mut self, openings: Vec<Opening>) -> Result<(), WriteError> {
        for opening in openings {
            let opened = opening.open().await?;
            if let Some(targets) = &mut self.targets {
                targets.begin_at(&opening.queue, opening.index, opened.numbered_to);
            }
        }
        Ok(())
    }

    /// Opens scopes in the background, and waits for a while until each has been tried once.
    pub(crate) async fn open_soon(&mut self, openings: Vec<Opening>) -> Result<(), WriteError> {
        let mut answers = Vec::with_capacity(openings.len());
        for opening in openings {
            let (answer, task) = opening.start();
            answers.push(answer);
            self.tasks.push(task);
        }
        first_answers(answers).await
    }

    /// Whether it is known of each of its scopes how far it was delivered.
    pub(crate) fn is_open(&self) -> bool {
        self.targets.as_ref().is_some_and(Targets::is_open)
    }

    /// Nothing of it remains.
    pub(crate) async fn give_up(&mut self) {
        // They stay with `self` until they have ended: this may be cancelled too.
        for task in &mut self.tasks {
            task.abort();
            // An error says that it was aborted.
            let _ = task.await;
        }
        self.tasks.clear();
        self.targets = None;
        withdraw(std::mem::take(&mut self.announced));
    }

    /// The source is here.
    pub(crate) fn arrive(mut self) -> Option<Targets> {
        self.before = None;
        self.announced.clear();
        self.tasks.clear();
        self.targets.take()
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        let announced = std::mem::take(&mut self.announced);
        let tasks = std::mem::take(&mut self.tasks);
        let sources = Arc::clone(&self.sources);
        let (name, before) = (self.name.clone(), self.before.take());
        if tasks.is_empty() {
            withdraw(announced);
            return sources.came(&name, before);
        }
        // Without a runtime the tasks are gone, and the queues with them.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                for task in tasks {
                    task.abort();
                    let _ = task.await;
                }
                withdraw(announced);
                sources.came(&name, before);
            });
        }
    }
}

/// The names of these scopes may be used again, and no queue waits for them.
fn withdraw(announced: Vec<(Arc<Queue>, ScopeIndex)>) {
    for (queue, scope) in announced {
        queue.openings.withdraw(scope);
        queue.sink.give_up_scope(scope);
    }
}
