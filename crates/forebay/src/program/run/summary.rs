//! What became of every record, said at the end.

use std::process::ExitCode;
use std::time::Duration;

use pipeline::Report;
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
    pub(crate) place: Place,
    pub(crate) report: Report,
    pub(crate) ending: Ending,
    /// What became of records that were not delivered, if there are any.
    pub(crate) kept: Option<anyhow::Result<Kept>>,
    pub(crate) uptime: Duration,
}

impl Summary {
    /// 0 when everything is accounted for in the sink.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.kept.is_none() && self.ending != Ending::SinkLost {
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
        match &self.kept {
            Some(Ok(kept)) => {
                let file = kept.path.display();
                say(&format!(
                    "  undelivered records are in {file}; deliver them later with `forebay replay \
                     {file}{}`{}",
                    self.place.arguments(),
                    match self.place.hides_password() {
                        true => ", with the password for `***`",
                        false => "",
                    }
                ));
            }
            Some(Err(error)) => complain(&format!(
                "{} records are lost: {}",
                grouped(stats.pending),
                with_causes(error)
            )),
            None => {}
        }
    }

    fn problem(&self) -> Option<String> {
        let error = match &self.report.error {
            Some(error) if error.kind() == ErrorKind::Fenced => {
                return Some(format!(
                    "another process took over {} and goes on with it: {error}",
                    self.place
                ));
            }
            Some(error) => error.to_string(),
            None if self.kept.is_some() => {
                let last = self.report.stats.sink.last_error.as_deref();
                last.map_or_else(
                    || format!("the {} was too slow", self.place.word()),
                    str::to_owned,
                )
            }
            None => return None,
        };
        Some(format!("not everything was delivered: {error}"))
    }
}
