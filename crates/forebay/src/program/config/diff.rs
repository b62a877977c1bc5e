//! What is different between two configurations, setting by setting.

use std::collections::BTreeMap;
use std::fmt;

use super::sections::{Config, LogConfig};
use super::tree::{Path, Visit, walk};

/// Sections of which nothing can be changed while the program runs.
const AT_START: [&str; 7] = ["", "gateway", "history", "host", "input", "source", "token"];
/// Sections that say what sinks and routes there are.
const OF_PIPELINE: [&str; 7] = [
    "sink", "sinks", "buffer", "flush", "lanes", "retry", "route",
];

/// A setting that is different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    path: Path,
    /// As each would stand in a file, without secrets; `None` where nothing is set.
    before: Option<String>,
    after: Option<String>,
}

impl Change {
    /// Whether it counts only once the program is started again.
    pub(crate) fn needs_restart(&self) -> bool {
        AT_START.contains(&self.path.section()) || self.path.to_string() == "log.format"
    }

    /// Whether sinks or routes are others with it.
    pub(crate) fn is_of_pipeline(&self) -> bool {
        OF_PIPELINE.contains(&self.path.section())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) if before == after => {
                write!(out, "{path}: {after}, of which a secret part is another")
            }
            (Some(before), Some(after)) => write!(out, "{path}: {before} -> {after}"),
            (None, Some(after)) => write!(out, "{path}: not set -> {after}"),
            (Some(before), None) => write!(out, "{path}: {before} -> not set"),
            (None, None) => path.fmt(out),
        }
    }
}

impl Config {
    /// What `after` says otherwise, in the order of a file.
    pub(crate) fn changes(&self, after: &Self) -> Vec<Change> {
        let (old, new) = (self.values(), after.values());
        let mut paths: Vec<&Path> = new.iter().map(|(path, _)| path).collect();
        let is_gone = |path: &&Path| !new.iter().any(|(known, _)| known == *path);
        paths.extend(old.iter().map(|(path, _)| path).filter(is_gone));
        let (old, new): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (old.iter().cloned().collect(), new.iter().cloned().collect());
        paths
            .into_iter()
            .filter(|path| old.get(path) != new.get(path))
            .map(|path| Change {
                path: path.clone(),
                before: old.get(path).and_then(|value| value.shown.clone()),
                after: new.get(path).and_then(|value| value.shown.clone()),
            })
            .collect()
    }

    /// This, with what only a restart can change as it is in `before`.
    pub(crate) fn keeping_what_needs_restart(self, before: &Self) -> Self {
        let before = before.clone();
        Self {
            data: before.data,
            gateway: before.gateway,
            history: before.history,
            host: before.host,
            input: before.input,
            source: before.source,
            token: before.token,
            log: LogConfig {
                format: before.log.format,
                ..self.log
            },
            ..self
        }
    }

    /// Every setting with its value, in the order of a file.
    fn values(&self) -> Vec<(Path, Held)> {
        let mut values = Vec::new();
        walk(&mut self.clone(), &mut |path, visit| {
            let held = match visit {
                Visit::Section => Held {
                    shown: Some("a section".to_owned()),
                    secret: None,
                },
                Visit::Value(slot) => Held {
                    shown: slot.show(),
                    secret: slot.secret(),
                },
            };
            if held.shown.is_some() {
                values.push((path.clone(), held));
            }
        });
        values
    }
}

/// What a setting holds.
#[derive(Clone, PartialEq)]
struct Held {
    shown: Option<String>,
    /// The same with what is not to be shown.
    secret: Option<String>,
}
