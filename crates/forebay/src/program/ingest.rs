//! `forebay ingest`: one file or stream into a sink, each row exactly once.

use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result};
use pipeline::source::{self, Input};
use record::{Position, Timestamp};

use super::arguments::IngestArguments;
use super::loading::{self, Identity, Naming, Shape, Source};
use super::logs;

/// Loads an input into the sink and says what became of it.
pub(crate) fn ingest(arguments: &IngestArguments) -> Result<ExitCode> {
    let _ = logs::start(arguments.load.log, arguments.load.log_level);
    let input = Input::from_argument(&arguments.file);
    // What cannot be read is refused before anything is created.
    let identity = identify(&input, arguments)?;
    let length = match &input {
        Input::File(path) => std::fs::metadata(path)
            .ok()
            .filter(std::fs::Metadata::is_file)
            .map(|metadata| metadata.len()),
        Input::Stdin => None,
    };
    let options = arguments.open_options();
    let source = Source {
        name: input.to_string(),
        identity,
        length,
        open: Box::new(move |after| Ok(source::open(&input, &options, after)?)),
    };
    loading::load(
        &arguments.load,
        arguments.max_future,
        Naming::Scope,
        vec![source],
    )
}

/// What tells the input from others: its content, a name, or nothing. One that can be read again
/// is checked to be usable on the way.
fn identify(input: &Input, arguments: &IngestArguments) -> Result<Identity> {
    let file = match input {
        Input::File(path) => std::fs::metadata(path)
            .map_or(true, |found| found.is_file() || found.is_dir())
            .then_some(path),
        Input::Stdin => None,
    };
    if file.is_some() {
        source::open(input, &arguments.open_options(), Position::START)?;
    }
    if let Some(name) = &arguments.scope {
        return Ok(Identity::Named(name.clone()));
    }
    match file {
        Some(path) => Ok(Identity::Content {
            prefix: source::prefix_of(path).with_context(|| format!("{input} cannot be read"))?,
            shape: match arguments.table.wide {
                true => Shape::Wide,
                false => Shape::Long,
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
