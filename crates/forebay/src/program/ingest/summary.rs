//! What became of every row, for people and for programs.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use pipeline::Report;
use pipeline::source::Input;
use record::Position;
use serde::Serialize;
use sinks::{ErrorKind, ScopeName};

use crate::program::output::{complain, grouped, note, say, with_causes};

/// Why nothing more was read.
#[derive(Debug)]
pub(crate) enum Ending {
    /// All of it was read, or the sink was lost and the report says why.
    Read,
    /// It cannot be read on.
    Failed(anyhow::Error),
    /// A signal came.
    Signal,
}

impl Ending {
    /// How a reading ended.
    pub(crate) fn of(outcome: anyhow::Result<()>) -> Self {
        match outcome {
            Ok(()) => Self::Read,
            Err(error) => Self::Failed(error),
        }
    }
}

/// What became of every row.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) input: Input,
    pub(crate) scope: ScopeName,
    pub(crate) database: PathBuf,
    pub(crate) resumed_after: Position,
    pub(crate) skipped: u64,
    pub(crate) report: Report,
    pub(crate) ending: Ending,
    pub(crate) elapsed: Duration,
}

/// The JSON line. When nothing is lost, `read = delivered + quarantined + skipped + undelivered`.
#[derive(Serialize)]
struct Line<'a> {
    read: u64,
    delivered: u64,
    quarantined: u64,
    skipped: u64,
    undelivered: u64,
    /// Whether all of the input was read.
    complete: bool,
    elapsed_s: f64,
    rows_per_s: f64,
    scope: &'a str,
}

impl Summary {
    /// 0 when everything is in the database or its quarantine.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.ending {
            Ending::Read | Ending::Signal
                if self.report.error.is_none() && self.undelivered() == 0 =>
            {
                ExitCode::SUCCESS
            }
            Ending::Read | Ending::Signal | Ending::Failed(_) => ExitCode::FAILURE,
        }
    }

    /// Says it: what went wrong and what people want to know on standard error, the JSON line on
    /// standard output.
    pub(crate) fn print(&self, json: bool) {
        if let Some(problem) = self.problem() {
            complain(&problem);
        }
        if json {
            say(&self.json());
        } else {
            note(&self.text());
        }
    }

    fn undelivered(&self) -> u64 {
        self.report.stats.pending
    }

    fn rows_per_s(&self) -> f64 {
        let stats = &self.report.stats;
        (stats.delivered + stats.quarantined) as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    fn json(&self) -> String {
        let stats = &self.report.stats;
        let line = Line {
            read: self.skipped + stats.accepted,
            delivered: stats.delivered,
            quarantined: stats.quarantined,
            skipped: self.skipped,
            undelivered: self.undelivered(),
            complete: matches!(self.ending, Ending::Read),
            elapsed_s: self.elapsed.as_secs_f64(),
            rows_per_s: self.rows_per_s().round(),
            scope: self.scope.as_str(),
        };
        serde_json::to_string(&line).expect("numbers and text make JSON")
    }

    fn text(&self) -> String {
        let stats = &self.report.stats;
        let mut text = format!(
            "{}: {} {} delivered in {:.1} s ({} rows/s)",
            self.input,
            grouped(stats.delivered),
            if stats.delivered == 1 { "row" } else { "rows" },
            self.elapsed.as_secs_f64(),
            grouped(self.rows_per_s() as u64),
        );
        if stats.quarantined > 0 {
            text.push_str(&format!(
                "\n  {} quarantined: table `quarantine` has their reasons",
                grouped(stats.quarantined)
            ));
        }
        if self.resumed_after > Position::START {
            text.push_str(&format!(
                "\n  {} skipped: an earlier run delivered them (--again loads them once more)",
                grouped(self.skipped)
            ));
        }
        if self.undelivered() > 0 {
            text.push_str(&format!(
                "\n  {} not delivered",
                grouped(self.undelivered())
            ));
        }
        text.push_str(&format!("\n  database {}", self.database.display()));
        text
    }

    /// What went wrong and what to do about it.
    fn problem(&self) -> Option<String> {
        let lost = match (&self.report.error, &self.ending) {
            (Some(error), _) if error.kind() == ErrorKind::Fenced => {
                return Some(format!(
                    "{error}: the same input is being ingested by another process, which goes on \
                     where this one was"
                ));
            }
            (Some(error), _) => format!("{error}."),
            (None, Ending::Failed(error)) => format!("{}.", with_causes(error)),
            (None, Ending::Signal) => "stopped by a signal.".to_owned(),
            (None, Ending::Read) if self.undelivered() > 0 => {
                "the database did not take everything in time.".to_owned()
            }
            (None, Ending::Read) => return None,
        };
        Some(format!("{lost} {}", self.how_to_resume()))
    }

    fn how_to_resume(&self) -> &'static str {
        let text = self.scope.as_str();
        if text.starts_with("stdin:") || text.starts_with("pipe:") {
            "What was delivered stays; a stream that is to be resumed needs a name (--scope NAME)."
        } else {
            "Run the same command again to resume: no row will be written twice."
        }
    }
}
