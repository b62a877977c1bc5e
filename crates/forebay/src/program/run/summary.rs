//! What became of every record, said at the end.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use pipeline::{Report, RouteStats};
use sinks::ErrorKind;

use super::undelivered::Kept;
use crate::program::output::{complain, grouped, say, with_causes};
use crate::program::signals::Signal;
use crate::program::storage::Place;

/// Why it ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Somebody asked it to.
    Signal(Signal),
    /// Its time was over.
    Elapsed,
    /// The sink takes nothing more.
    SinkLost,
}

/// What became of every record.
#[derive(Debug)]
pub(crate) struct Summary {
    /// Where the sinks are, by name.
    pub(crate) places: BTreeMap<String, Place>,
    pub(crate) report: Report,
    pub(crate) ending: Ending,
    /// What became of records that were not delivered, sink by sink.
    pub(crate) kept: Vec<anyhow::Result<Kept>>,
    pub(crate) uptime: Duration,
}

impl Summary {
    /// 0 when everything is accounted for in the sink.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.kept.is_empty() && self.ending != Ending::SinkLost {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    /// Says it: the account on standard output, what went wrong on standard error.
    pub(crate) fn print(&self) {
        if let Some(problem) = self.problem() {
            complain(&problem);
        }
        let stats = &self.report.stats;
        let rejected = stats.dropped.rejected;
        say(&format!(
            "stopped after {:.1} s: {} accepted, {} delivered, {} dropped by policy, {} \
             quarantined, {} undelivered{}",
            self.uptime.as_secs_f64(),
            grouped(stats.accepted),
            grouped(stats.delivered),
            grouped(stats.dropped.total() - rejected),
            grouped(stats.quarantined),
            grouped(stats.pending),
            match rejected {
                0 => String::new(),
                rejected => format!(", {} refused by the sink", grouped(rejected)),
            },
        ));
        if stats.routes.len() > 1 {
            stats.routes.iter().for_each(say_route);
        }
        for kept in &self.kept {
            match kept {
                Ok(kept) => say(&format!("  {}", kept.advice())),
                Err(error) => complain(&format!("records are lost: {}", with_causes(error))),
            }
        }
    }

    fn problem(&self) -> Option<String> {
        let sinks = &self.report.sinks;
        let fenced = sinks.iter().find_map(|sink| {
            let error = sink
                .error
                .as_ref()
                .filter(|error| error.kind() == ErrorKind::Fenced)?;
            let place = self.places.get(&sink.sink);
            Some((place.map_or(sink.sink.clone(), Place::to_string), error))
        });
        if let Some((place, error)) = fenced {
            return Some(format!(
                "another process took over {place} and goes on with it: {error}"
            ));
        }
        if self.kept.is_empty() && self.report.error.is_none() {
            return None;
        }
        let why = match &self.report.error {
            Some(error) => error.to_string(),
            None => self.last_error().unwrap_or_else(|| {
                let word = self.places.values().next().map_or("sink", Place::word);
                format!("the {word} was too slow")
            }),
        };
        Some(format!("not everything was delivered: {why}"))
    }

    /// The last error of a sink that still has records to get.
    fn last_error(&self) -> Option<String> {
        let routes = self.report.stats.routes.iter();
        let mut lanes = routes.flat_map(|route| &route.lanes);
        lanes.find_map(|lane| {
            let is_behind = lane.totals.pending > 0;
            lane.last_error.clone().filter(|_| is_behind)
        })
    }
}

/// What became of the records of each lane that had any.
fn say_route(route: &RouteStats) {
    let name = match &route.route {
        Some(name) => format!("{}/{name}", route.sink),
        None => route.sink.clone(),
    };
    for lane in route.lanes.iter().filter(|lane| lane.totals.offered > 0) {
        let totals = &lane.totals;
        say(&format!(
            "  {name}/{}: {} accepted, {} delivered, {} dropped, {} quarantined, {} undelivered",
            lane.lane.as_str(),
            grouped(totals.accepted),
            grouped(totals.delivered),
            grouped(totals.dropped.total()),
            grouped(totals.quarantined),
            grouped(totals.pending),
        ));
    }
}
