//! `forebay check-config FILE`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::config::Config;
use super::output;

/// Prints the configuration in effect, or everything that is wrong with it.
pub(crate) fn check_config(file: &Path) -> Result<ExitCode> {
    let config = Config::load(Some(file))?;
    output::say(config.to_toml().trim_end());
    Ok(ExitCode::SUCCESS)
}
