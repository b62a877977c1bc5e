//! A running sink: its writer, whose turn it is, and whether it is lost.

use parking_lot::Mutex;
use sinks::{BatchWriter, BoxWriter, BreakerHandle, BreakerState, RetryPolicy, ScopeIndex};
use sinks::{ScopeName, WriteError};
use tokio::sync::watch;

use crate::gate::{Gate, Share};
use crate::stats::SinkState;
use crate::{LaneSpec, PipelineError, SinkSpec};

pub(crate) struct Sink {
    pub(crate) name: String,
    pub(crate) writer: BoxWriter,
    pub(crate) gate: Gate,
    pub(crate) retry: RetryPolicy,
    /// The lanes of routes that name none.
    pub(crate) lanes: Vec<LaneSpec>,
    concurrency: usize,
    breaker: Option<BreakerHandle>,
    /// The scopes by their index; those that were given up are `None`, and their index is not
    /// given away again.
    scopes: Mutex<Vec<Option<ScopeName>>>,
    /// Why nothing is written any more.
    lost: watch::Sender<Option<WriteError>>,
}

impl Sink {
    /// Starts nothing: a sink is used by the queues of its routes.
    pub(crate) fn new(spec: &SinkSpec, writer: BoxWriter) -> Result<Self, PipelineError> {
        // A route may have lanes that its sink does not name.
        let mut shares = [None; 4];
        for lane in LaneSpec::all().iter().chain(&spec.lanes) {
            shares[lane.priority as usize] = Some(Share {
                weight: lane.weight,
                reserved: lane.reserved,
            });
        }
        Ok(Self {
            name: spec.name.clone(),
            writer,
            gate: Gate::new(spec.concurrency, shares)?,
            retry: spec.retry,
            lanes: spec.lanes.clone(),
            concurrency: spec.concurrency,
            breaker: spec.breaker.clone(),
            scopes: Mutex::default(),
            lost: watch::Sender::new(None),
        })
    }

    /// A number for a scope of this name, which nobody else has.
    pub(crate) fn take_scope(&self, name: &ScopeName) -> Result<ScopeIndex, PipelineError> {
        let mut scopes = self.scopes.lock();
        if scopes.iter().flatten().any(|open| open == name) {
            return Err(PipelineError::ScopeOpen {
                name: name.to_string(),
            });
        }
        let index = u16::try_from(scopes.len()).map(ScopeIndex);
        let index = index.map_err(|_| PipelineError::TooManyScopes {
            limit: usize::from(u16::MAX) + 1,
        })?;
        scopes.push(Some(name.clone()));
        Ok(index)
    }

    /// The name may be taken again.
    pub(crate) fn give_up_scope(&self, index: ScopeIndex) {
        if let Some(scope) = self.scopes.lock().get_mut(usize::from(index.0)) {
            *scope = None;
        }
    }

    /// It takes nothing more: every queue that writes to it ends.
    pub(crate) fn lose(&self, error: &WriteError) {
        self.lost.send_if_modified(|lost| {
            let is_first = lost.is_none();
            lost.get_or_insert_with(|| error.clone());
            is_first
        });
    }

    pub(crate) fn lost(&self) -> Option<WriteError> {
        self.lost.borrow().clone()
    }

    pub(crate) fn watch_lost(&self) -> watch::Receiver<Option<WriteError>> {
        self.lost.subscribe()
    }

    /// Closes its breaker and lets it forget what it counted; says whether there is one.
    pub(crate) fn reset_breaker(&self) -> bool {
        self.breaker.as_ref().map(BreakerHandle::reset).is_some()
    }

    pub(crate) fn state(&self) -> SinkState {
        let gate = self.gate.snapshot();
        SinkState {
            sink: self.name.clone(),
            kind: self.writer.name().to_owned(),
            concurrency: self.concurrency,
            in_flight: gate.in_flight.iter().sum(),
            waiting: gate.waiting.iter().sum(),
            breaker: self
                .breaker
                .as_ref()
                .map(|breaker| match breaker.snapshot().state {
                    BreakerState::Closed | BreakerState::ForcedClosed => "closed",
                    BreakerState::HalfOpen => "half_open",
                    _ => "open",
                }),
            lost: self.lost().map(|error| error.to_string()),
        }
    }
}
