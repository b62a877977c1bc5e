//! Who takes part: the program, a Python script, and a bare Rust loop.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::process::{self, Finished};

/// The script that the Python contender runs.
const PYTHON_SCRIPT: &str = include_str!("peer.py");

/// One way to load the file.
pub(super) enum Contender {
    Forebay {
        program: PathBuf,
    },
    Python {
        interpreter: PathBuf,
        script: PathBuf,
    },
    BareLoop {
        program: PathBuf,
    },
}

/// The line that `forebay ingest --json` ends with, as far as it is checked.
#[derive(Deserialize)]
struct Summary {
    read: u64,
    delivered: u64,
    quarantined: u64,
}

/// All contenders that can run here; says loudly which one cannot.
pub(super) fn all(program: &Path, scratch: &Path) -> Result<Vec<Contender>> {
    ensure!(
        program.is_file(),
        "there is no program at {}",
        program.display()
    );
    let program = program.canonicalize()?;
    let mut contenders = vec![Contender::Forebay { program }];
    if let Some(interpreter) = python() {
        let script = scratch.join("peer.py");
        std::fs::write(&script, PYTHON_SCRIPT)?;
        contenders.push(Contender::Python {
            interpreter,
            script,
        });
    } else {
        println!("SKIPPED: the Python contender, because there is no python3 with sqlite3 here\n");
    }
    contenders.push(Contender::BareLoop {
        program: std::env::current_exe()?,
    });
    Ok(contenders)
}

/// The interpreter itself: a wrapper on the path would be timed along with it.
fn python() -> Option<PathBuf> {
    let question = "import sqlite3, sys; print(sys.executable)";
    let output = Command::new("python3")
        .args(["-c", question])
        .output()
        .ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    (output.status.success()).then(|| PathBuf::from(path.trim()))
}

impl Contender {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Forebay { .. } => "forebay ingest, with its ledger",
            Self::Python { .. } => "Python json + executemany, batches of 500",
            Self::BareLoop { .. } => "bare Rust loop, batches of 5,000",
        }
    }

    pub(super) fn is_ours(&self) -> bool {
        matches!(self, Self::Forebay { .. })
    }

    /// Loads the file into `forebay.sqlite` in the directory, which is empty.
    pub(super) fn load(&self, source: &Path, directory: &Path) -> Result<Finished> {
        let finished = process::measure(&mut self.command(source, directory))?;
        if self.is_ours() {
            check_summary(&finished.stdout)?;
        }
        Ok(finished)
    }

    fn command(&self, source: &Path, directory: &Path) -> Command {
        let database = directory.join("forebay.sqlite");
        match self {
            Self::Forebay { program } => {
                let mut command = process::with_defaults(program);
                command
                    .arg("ingest")
                    .arg(source)
                    .arg("--data")
                    .arg(directory)
                    .arg("--json");
                command
            }
            Self::Python {
                interpreter,
                script,
            } => {
                let mut command = Command::new(interpreter);
                command.arg(script).arg(source).arg(database);
                command
            }
            Self::BareLoop { program } => {
                let mut command = Command::new(program);
                command.arg("peer-ingest").arg(source).arg(database);
                command
            }
        }
    }
}

/// The program's own account: all that was read is in the table.
fn check_summary(stdout: &str) -> Result<()> {
    let line = stdout
        .lines()
        .next_back()
        .context("the program printed nothing")?;
    let Summary {
        read,
        delivered,
        quarantined,
    } = serde_json::from_str(line).with_context(|| format!("the program's last line: {line}"))?;
    ensure!(
        read == delivered && quarantined == 0,
        "the program read {read}, delivered {delivered} and quarantined {quarantined} rows"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::{data, verify};

    #[test]
    fn an_account_with_rows_missing_is_refused() {
        let line = |delivered, quarantined| {
            format!("x\n{{\"read\":3,\"delivered\":{delivered},\"quarantined\":{quarantined}}}\n")
        };
        assert!(check_summary(&line(3, 0)).is_ok());
        assert!(check_summary(&line(2, 1)).is_err());
        assert!(check_summary(&line(2, 0)).is_err());
        assert!(check_summary("").is_err());
    }

    #[test]
    fn the_python_script_does_the_work_that_is_compared() {
        let scratch = tempfile::tempdir().unwrap();
        let Some(interpreter) = python() else {
            eprintln!("SKIPPED: there is no python3 with sqlite3 here");
            return;
        };
        let script = scratch.path().join("peer.py");
        std::fs::write(&script, PYTHON_SCRIPT).unwrap();
        let source = scratch.path().join("readings.ndjson");
        let expected = data::generate(&source, 1_234).unwrap();
        Contender::Python {
            interpreter,
            script,
        }
        .load(&source, scratch.path())
        .unwrap();
        let loaded = verify::content(&scratch.path().join("forebay.sqlite")).unwrap();
        loaded.compare(&expected).unwrap();
    }

    #[test]
    fn a_missing_program_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let error = all(Path::new("no/such/forebay"), scratch.path())
            .err()
            .unwrap();
        assert!(error.to_string().contains("no/such/forebay"), "{error}");
    }
}
