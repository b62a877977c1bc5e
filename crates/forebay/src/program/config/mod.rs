//! What the program does when nobody says otherwise, and what a file or the environment says.
//!
//! Each setting stands once, in the table of its kind of section in [`settings`]: its name, its
//! place in [`sections`], and what is allowed. The file, the environment, the errors,
//! `check-config` and the diff of a reload all go by those tables. What the command line says wins
//! over the environment, that over the file, and that over the defaults. All mistakes are reported
//! at once, each with file and line or variable, key, value and what is allowed.

mod check;
mod diff;
mod environment;
mod error;
mod file;
mod gateway;
mod given;
mod lanes;
mod plan;
mod sections;
mod settings;
mod slot;
mod tree;

use std::path::Path;

use anyhow::{Context, Result, anyhow};
use clap::ValueEnum;

use super::logs::{LogFormat, LogLevel};
use check::Check;
pub(crate) use diff::Change;
use error::Mistakes;
pub(crate) use gateway::ADMIN_OF_RUN;
pub(crate) use plan::Planned;
pub(crate) use sections::Config;
pub(crate) use slot::{is_label, quoted};
use tree::Visit;

impl Config {
    /// The configuration of a file, if there is one, with what the environment says.
    ///
    /// # Errors
    /// When the file cannot be read, or with everything that is wrong.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self> {
        let text = match file {
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the configuration {}", path.display()))?,
            ),
            None => None,
        };
        let file = file.zip(text.as_deref());
        Self::build(file, std::env::vars_os(), memory_of_this_machine())
            .map_err(|mistakes| anyhow!(mistakes))
    }

    /// The same from the text of a file and from given variables, for a machine of so many bytes.
    fn build(
        file: Option<(&Path, &str)>,
        variables: impl IntoIterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
        machine: u64,
    ) -> Result<Self, Mistakes> {
        let mut mistakes = Vec::new();
        let mut config = Self::default();
        let content = match file {
            Some((path, text)) => file::read(path, text, &mut config, &mut mistakes),
            None => file::FileContent::default(),
        };
        let mut given = content.given;
        given.extend(environment::read(variables, &mut config, &mut mistakes));
        let mut refused = Vec::new();
        for (index, each) in given.iter().enumerate() {
            // The environment was read last, and wins.
            let is_last = !given[index + 1..]
                .iter()
                .any(|other| other.path == each.path);
            let slot = tree::slot(&mut config, &each.path).filter(|_| is_last);
            if let Some(Err(expected)) = slot.map(|slot| slot.set(&each.value)) {
                mistakes.push(each.mistake(&expected));
                refused.push(each.path.clone());
            }
        }
        let mut check = Check {
            config: &config,
            given: &given,
            sections: &content.sections,
            refused: &refused,
            machine,
            mistakes: &mut mistakes,
        };
        check.check();
        match Mistakes::new(mistakes) {
            None => Ok(config),
            Some(mistakes) => Err(mistakes),
        }
    }

    /// What is in effect, as a file that says the same.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut section = tree::Path::default();
        tree::walk(&mut self.clone(), &mut |path, visit| {
            let (here, line) = match visit {
                Visit::Section => (path.clone(), None),
                Visit::Value(slot) => match slot.show() {
                    Some(value) => (path.parent(), Some((path.key().to_owned(), value))),
                    None => return,
                },
            };
            if section != here {
                text.push_str(&format!("\n{}\n", here.heading()));
                section = here;
            }
            if let Some((key, value)) = line {
                text.push_str(&format!("{key} = {value}\n"));
            }
        });
        text
    }

    /// How log lines look.
    pub(crate) fn log_format(&self) -> LogFormat {
        LogFormat::from_str(self.log.format, false).unwrap_or(LogFormat::Human)
    }

    /// How much is logged.
    pub(crate) fn log_level(&self) -> LogLevel {
        LogLevel::from_str(self.log.level, false).unwrap_or(LogLevel::Info)
    }

    /// Where records are kept that could not be delivered.
    pub(crate) fn fallback(&self) -> &Path {
        self.shutdown.fallback.as_deref().unwrap_or(&self.data)
    }
}

/// The bytes of memory that this machine has, or its container; no limit where it does not say.
fn memory_of_this_machine() -> u64 {
    let Ok(mut system) = sysinfo::System::new() else {
        return u64::MAX;
    };
    system.refresh_memory();
    let container = system.cgroup_limits().map(|limits| limits.total_memory);
    let known = [Some(system.total_memory()), container];
    let known = known.into_iter().flatten().filter(|bytes| *bytes > 0);
    known.min().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
