//! `forebay check-config FILE`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::config::Config;
use super::output;
use super::units::show_rounded;

/// Prints the configuration in effect and what is probably not meant in it, or everything that is
/// wrong with it.
pub(crate) fn check_config(file: &Path) -> Result<ExitCode> {
    let config = Config::load(Some(file))?;
    // The certificate is read too.
    config
        .gateway_options()
        .with_context(|| file.display().to_string())?;
    for warning in config.warnings() {
        output::note(&format!("{}: {warning}", file.display()));
    }
    output::say(config.to_toml().trim_end());
    let (lanes, bytes) = config.memory();
    let bytes = show_rounded(bytes);
    output::say(&format!(
        "\n# {lanes} lanes, which may take {bytes} together:"
    ));
    output::say(config.lanes_in_words().trim_end());
    Ok(ExitCode::SUCCESS)
}
