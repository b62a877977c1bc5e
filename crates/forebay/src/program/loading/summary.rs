//! What became of every row, for people and for programs.

use std::process::ExitCode;
use std::time::Duration;

use pipeline::{FeedProgress, Intake, Report};
use record::Position;
use serde::Serialize;
use sinks::{ErrorKind, Guarantee, ScopeName};

use crate::program::storage::Place;

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

/// An input that was begun.
#[derive(Debug)]
pub(crate) struct Part {
    name: String,
    scope: ScopeName,
    resumed_after: Position,
    /// How far it was read.
    pub(crate) progress: FeedProgress,
}

impl Part {
    /// An input before its first row.
    pub(crate) fn new(name: String, intake: &Intake) -> Self {
        Self {
            name,
            scope: intake.name().clone(),
            resumed_after: intake.watermark(),
            progress: FeedProgress::default(),
        }
    }
}

/// How the JSON line names what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// The scope of the only input.
    Scope,
    /// Each file with its scope.
    Files,
}

/// What became of every row.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) naming: Naming,
    /// The inputs that were begun; at least one.
    pub(crate) parts: Vec<Part>,
    pub(crate) place: Place,
    pub(crate) report: Report,
    pub(crate) ending: Ending,
    pub(crate) elapsed: Duration,
}

/// The JSON line. When nothing is lost, `read = delivered + quarantined + rejected + skipped +
/// undelivered`.
#[derive(Serialize)]
struct Line<'a> {
    read: u64,
    delivered: u64,
    quarantined: u64,
    skipped: u64,
    /// Refused by a sink that keeps none of what it refuses.
    rejected: u64,
    undelivered: u64,
    /// Whether all of the input was read.
    complete: bool,
    elapsed_s: f64,
    rows_per_s: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<FileLine<'a>>>,
    sink: &'a str,
}

/// One file of the JSON line.
#[derive(Serialize)]
struct FileLine<'a> {
    file: &'a str,
    scope: &'a str,
    /// Rows found, those of earlier runs included.
    read: u64,
    skipped: u64,
}

impl Summary {
    /// 0 when everything is in the sink or its quarantine.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self.ending {
            Ending::Read | Ending::Signal
                if self.report.error.is_none()
                    && self.undelivered() == 0
                    && self.report.stats.dropped.rejected == 0 =>
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

    fn input(&self) -> String {
        match self.parts.as_slice() {
            [part] => part.name.clone(),
            parts => format!("{} files", parts.len()),
        }
    }

    fn skipped(&self) -> u64 {
        self.parts.iter().map(|part| part.progress.skipped).sum()
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
        let skipped = self.skipped();
        let files = self.parts.iter().map(|part| FileLine {
            file: &part.name,
            scope: part.scope.as_str(),
            read: part.progress.skipped + part.progress.items,
            skipped: part.progress.skipped,
        });
        let first = self.parts.first().map(|part| part.scope.as_str());
        let line = Line {
            read: skipped + stats.accepted,
            delivered: stats.delivered,
            quarantined: stats.quarantined,
            skipped,
            rejected: stats.dropped.rejected,
            undelivered: self.undelivered(),
            complete: matches!(self.ending, Ending::Read),
            elapsed_s: self.elapsed.as_secs_f64(),
            rows_per_s: self.rows_per_s().round(),
            scope: first.filter(|_| self.naming == Naming::Scope),
            files: (self.naming == Naming::Files).then(|| files.collect()),
            sink: self.place.name(),
        };
        serde_json::to_string(&line).expect("numbers and text make JSON")
    }

    fn text(&self) -> String {
        let stats = &self.report.stats;
        let mut text = format!(
            "{}: {} {} delivered in {:.1} s ({} rows/s)",
            self.input(),
            grouped(stats.delivered),
            if stats.delivered == 1 { "row" } else { "rows" },
            self.elapsed.as_secs_f64(),
            grouped(self.rows_per_s() as u64),
        );
        if stats.quarantined > 0 {
            text.push_str(&format!(
                "\n  {} quarantined: {} has their reasons",
                grouped(stats.quarantined),
                self.place.quarantine(),
            ));
        }
        let resumed = |part: &Part| part.resumed_after > Position::START;
        if self.parts.iter().any(resumed) {
            text.push_str(&format!(
                "\n  {} skipped: an earlier run delivered them (--again loads them once more)",
                grouped(self.skipped())
            ));
        }
        if stats.dropped.rejected > 0 {
            let rejected = grouped(stats.dropped.rejected);
            text.push_str(&format!(
                "\n  {rejected} refused by the sink, and kept nowhere"
            ));
        }
        if self.undelivered() > 0 {
            text.push_str(&format!(
                "\n  {} not delivered",
                grouped(self.undelivered())
            ));
        }
        text.push_str(&format!("\n  {} {}", self.place.word(), self.place));
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
                format!("the {} did not take everything in time.", self.place.word())
            }
            (None, Ending::Read) => return None,
        };
        Some(format!("{lost} {}", self.how_to_resume()))
    }

    fn how_to_resume(&self) -> &'static str {
        let cannot = |part: &Part| {
            let scope = part.scope.as_str();
            scope.starts_with("stdin:") || scope.starts_with("pipe:")
        };
        if self.parts.iter().any(cannot) {
            "What was delivered stays; a stream that is to be resumed needs a name (--scope NAME)."
        } else if self.place.guarantee() == Guarantee::ExactlyOnce {
            "Run the same command again to resume: no row will be written twice."
        } else if self.place.guarantee() == Guarantee::UpToSnapshot {
            "What was delivered counts already: the same command would count it once more."
        } else {
            "Run the same command again to resume: rows whose answer was lost may be posted once \
             more."
        }
    }
}
