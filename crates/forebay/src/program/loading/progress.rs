//! The bar on a terminal; elsewhere there is none.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pipeline::{FeedProgress, Pipeline};

use crate::program::output::grouped;

/// How often it is drawn.
pub(crate) const INTERVAL: Duration = Duration::from_millis(100);

/// How far a load has come, for people.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar where the length of all inputs is known, a count of their bytes where it is not.
    pub(crate) fn new(length: Option<u64>) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let template = match length {
            Some(_) => "{bar:32} {bytes}/{total_bytes}  {msg}  {eta}",
            None => "{spinner} {bytes}  {msg}",
        };
        let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(template).expect("the template is valid");
        Self(bar.with_style(style.progress_chars("█▉▊▋▌▍▎▏ ")))
    }

    /// Draws how far it has come in an input, behind those `before`.
    pub(crate) fn show(&self, before: u64, progress: FeedProgress, pipeline: &Pipeline) {
        if self.0.is_hidden() {
            return;
        }
        let stats = pipeline.stats();
        let mut message = format!("{} rows/s", grouped(stats.sink.rows_per_s as u64));
        if stats.quarantined > 0 {
            message.push_str(&format!(", {} quarantined", grouped(stats.quarantined)));
        }
        if stats.sink.failing_for_s > 0.0 {
            message.push_str(", the sink fails");
        }
        self.0.set_position(before + progress.bytes);
        self.0.set_message(message);
        self.0.tick();
    }

    /// Takes it away.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}
