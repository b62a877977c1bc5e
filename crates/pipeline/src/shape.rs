//! What a pipeline consists of at a moment: its routes and sinks.

use std::sync::Arc;

use crate::PipelineError;
use crate::queue::Queue;
use crate::route::Route;
use crate::sink::Sink;
use crate::spec::{InvalidPlan, Plan, RouteSpec};
use crate::telemetry::Telemetry;

/// Routes and sinks in the order of the plan. It never changes; a new one takes its place.
#[derive(Default)]
pub(crate) struct Shape {
    pub(crate) routes: Vec<Arc<Route>>,
    pub(crate) sinks: Vec<Arc<Sink>>,
}

impl Shape {
    /// Starts what the plan has and `running` has not. What both have goes on.
    ///
    /// # Errors
    /// When the plan is impossible; then whatever was started ends again by itself.
    pub(crate) fn start(
        plan: &Plan,
        running: &Self,
        telemetry: &Telemetry,
        random: &mut fastrand::Rng,
    ) -> Result<Self, PipelineError> {
        plan.check()?;
        let mut shape = Self::default();
        match shape.fill(plan, running, telemetry, random) {
            Ok(()) => Ok(shape),
            Err(error) => {
                shape.close_but(running);
                Err(error)
            }
        }
    }

    fn fill(
        &mut self,
        plan: &Plan,
        running: &Self,
        telemetry: &Telemetry,
        random: &mut fastrand::Rng,
    ) -> Result<(), PipelineError> {
        for spec in &plan.sinks {
            let sink = match &spec.writer {
                Some(writer) => Arc::new(Sink::new(spec, writer.clone())?),
                None => running
                    .sink(&spec.name)
                    .ok_or_else(|| InvalidPlan::NotRunning {
                        name: spec.name.clone(),
                    })?,
            };
            self.sinks.push(sink);
        }
        let specs = plan.effective_routes();
        for (index, spec) in specs.iter().enumerate() {
            let sink = self
                .sink(&spec.sink)
                .ok_or_else(|| InvalidPlan::NotRunning {
                    name: spec.sink.clone(),
                })?;
            let goes_on = |route: &&Arc<Route>| {
                route.spec == *spec
                    && Arc::ptr_eq(&route.sink, &sink)
                    && sink.lost().is_none()
                    && running.gets_the_same(route, &specs[..index])
            };
            let route = match running.routes.iter().find(goes_on) {
                Some(route) => Arc::clone(route),
                None => Route::start(spec, &sink, telemetry, random)?,
            };
            self.routes.push(route);
        }
        Ok(())
    }

    /// Whether a route of this shape gets the same records behind these routes. One that would get
    /// others does not go on: their keys would be in two lanes at once, out of order.
    fn gets_the_same(&self, route: &Route, ahead: &[RouteSpec]) -> bool {
        let spec = &route.spec;
        let running = self.routes.iter().map(|other| &other.spec);
        let running = running.take_while(|other| *other != spec);
        let takes = |other: &&RouteSpec| other.takes_from(spec);
        let keys = |other: &RouteSpec| (other.sources.clone(), other.tags.clone());
        let before = running.filter(takes).map(keys);
        before.eq(ahead.iter().filter(takes).map(keys))
    }

    /// Closes the queues of routes that the other has not.
    pub(crate) fn close_but(&self, other: &Self) {
        for route in self.routes.iter().filter(|route| !other.has(route)) {
            route.queues().for_each(|queue| queue.close(None));
        }
    }

    pub(crate) fn has(&self, route: &Arc<Route>) -> bool {
        self.routes.iter().any(|ours| Arc::ptr_eq(ours, route))
    }

    pub(crate) fn has_sink(&self, sink: &Arc<Sink>) -> bool {
        self.sinks.iter().any(|ours| Arc::ptr_eq(ours, sink))
    }

    pub(crate) fn queues(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.routes.iter().flat_map(|route| route.queues())
    }

    /// The routes that take records of a key: the first that matches of each sink.
    pub(crate) fn routes_of(&self, source: &str, tag: &str) -> Vec<u16> {
        let mut found: Vec<u16> = Vec::new();
        for (index, route) in self.routes.iter().enumerate() {
            let is_taken = found
                .iter()
                .any(|other| Arc::ptr_eq(&self.routes[usize::from(*other)].sink, &route.sink));
            if !is_taken && route.spec.matches_key(source, tag) {
                found.extend(u16::try_from(index));
            }
        }
        found
    }

    /// Whether every record goes to the one route there is.
    pub(crate) fn is_single(&self) -> bool {
        let [route] = self.routes.as_slice() else {
            return false;
        };
        route.spec.sources.is_any() && route.spec.tags.is_any()
    }

    fn sink(&self, name: &str) -> Option<Arc<Sink>> {
        self.sinks.iter().find(|sink| sink.name == name).cloned()
    }
}
