//! What tells an input from others: its content, a name, or nothing.

use std::time::SystemTime;

use anyhow::{Context, Result};
use pipeline::source::{self, Input, Layout};
use record::{Position, Timestamp};

use super::scope::Identity;
use crate::program::arguments::IngestArguments;

/// Looks at the input; one that can be read again is checked to be usable on the way.
pub(crate) fn identify(input: &Input, arguments: &IngestArguments) -> Result<Identity> {
    let file = match input {
        Input::File(path) => std::fs::metadata(path)
            .map_or(true, |found| found.is_file() || found.is_dir())
            .then_some(path),
        Input::Stdin => None,
    };
    if file.is_some() {
        source::open(input, &arguments.open_options(), Position::START)?;
    }
    if let Some(name) = &arguments.resume.scope {
        return Ok(Identity::Named(name.clone()));
    }
    match file {
        Some(path) => Ok(Identity::Content {
            prefix: source::prefix_of(path).with_context(|| format!("{input} cannot be read"))?,
            layout: match arguments.table.wide {
                true => Layout::Wide,
                false => Layout::Long,
            },
        }),
        None => {
            let time = Timestamp::from_system(SystemTime::now()).micros();
            let kind = match input {
                Input::Stdin => "stdin",
                Input::File(_) => "pipe",
            };
            Ok(Identity::Once(format!(
                "{kind}:{time}-{}",
                std::process::id()
            )))
        }
    }
}
