//! Child processes: how they are started, and how their failure is reported.
//!
//! A child writes to the terminal itself; nothing is captured that a person or a log should see.

use std::fmt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

/// A child process that ran and did not succeed.
#[derive(Debug)]
pub(crate) struct Failed {
    command: String,
    /// The child's exit code; `None` if a signal ended it.
    code: Option<i32>,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "`{}` failed with exit code {code}", self.command),
            None => write!(f, "`{}` was ended by a signal", self.command),
        }
    }
}

impl std::error::Error for Failed {}

/// The `cargo` that started this program, so that a `+toolchain` choice holds for children too.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs the command to its end, with its output going where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if status.success() {
        return Ok(());
    }
    Err(Failed {
        command: shown,
        code: status.code(),
    }
    .into())
}

/// Exit code 2 (a usage error) is passed on from a child; every other failure is 1.
pub(crate) fn exit_code_of(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Failed>() {
        Some(Failed { code: Some(2), .. }) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

/// The command as a person would type it.
fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut text = program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_failed_child_is_an_error_that_names_command_and_code() {
        assert!(run(&mut shell("exit 0")).is_ok());
        let error = run(&mut shell("exit 7")).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c exit 7` failed with exit code 7");
        let error = run(&mut shell("kill -9 $$")).unwrap_err();
        assert!(
            error.to_string().ends_with("was ended by a signal"),
            "{error}"
        );
    }

    #[test]
    fn only_a_usage_error_of_the_child_keeps_its_code() {
        let code = |script| exit_code_of(&run(&mut shell(script)).unwrap_err());
        assert_eq!(code("exit 2"), ExitCode::from(2));
        assert_eq!(code("exit 101"), ExitCode::FAILURE);
    }

    #[test]
    fn a_program_that_is_missing_is_named() {
        let error = run(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(
            error.to_string().contains("no-such-program-here"),
            "{error}"
        );
    }
}
