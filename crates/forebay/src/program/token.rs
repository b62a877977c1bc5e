//! `forebay token`: makes a token, shows it once, and says what belongs into the configuration.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use gateway::{Rights, Token};

use super::arguments::TokenArguments;
use super::config::quoted;
use super::output;

/// Prints a token, and the section of the configuration that lets in whoever shows it.
pub(crate) fn token(arguments: &TokenArguments) -> Result<ExitCode> {
    // Whatever the configuration would refuse is refused before there is a token.
    if !arguments.read.is_empty() {
        let globs = arguments.read.iter().map(String::as_str);
        Rights::none().read(globs).context("--read")?;
    }
    let may_something = arguments.ingest || arguments.act || arguments.admin;
    if arguments.read.is_empty() && !may_something {
        bail!("the token would give no right: say --read GLOB, --ingest, --act or --admin");
    }
    let token = Token::generate().context("the system has no randomness to give")?;
    output::say("the token, which is shown this once and kept nowhere:");
    output::say(&format!("\n{}\n", token.as_str()));
    output::say("what belongs into the configuration, and is no secret:\n");
    output::say("[[token]]");
    output::say(&format!("name = {}", quoted(&arguments.name)));
    output::say(&format!("hash = {}", quoted(&token.hash().to_string())));
    if !arguments.read.is_empty() {
        let globs: Vec<_> = arguments.read.iter().map(|glob| quoted(glob)).collect();
        output::say(&format!("read = [{}]", globs.join(", ")));
    }
    for (right, is_given) in [
        ("ingest", arguments.ingest),
        ("act", arguments.act),
        ("admin", arguments.admin),
    ] {
        if is_given {
            output::say(&format!("{right} = true"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
