//! The peer from `PyPI`, in versions that are pinned, in an environment of its own below the
//! results.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process;

const PACKAGES: [&str; 5] = [
    "channels==4.3.2",
    "django==5.2.19",
    "uvicorn==0.54.0",
    "uvloop==0.23.0",
    "websockets==17.4",
];
const SCRIPT: &str = include_str!("django.py");
/// Beside the packages: with which of them they were installed.
const STAMP: &str = "packages.txt";

/// Python with its packages.
pub(super) struct Django {
    pub(super) interpreter: PathBuf,
    pub(super) script: PathBuf,
}

/// Installs what is missing; `None` where there is no Python.
pub(super) fn install(results: &Path) -> Result<Option<Django>> {
    let Some(python) = process::python() else {
        return Ok(None);
    };
    let folder = results.join("django");
    let interpreter = folder.join("bin/python");
    let wanted = PACKAGES.join("\n");
    let is_installed =
        std::fs::read_to_string(folder.join(STAMP)).is_ok_and(|installed| installed == wanted);
    if !is_installed {
        eprintln!("installing {PACKAGES:?}");
        let mut command = Command::new(python);
        run(command.args(["-m", "venv"]).arg(&folder))?;
        let mut command = Command::new(&interpreter);
        run(command
            .args(["-m", "pip", "install", "--quiet"])
            .args(PACKAGES))?;
        std::fs::write(folder.join(STAMP), wanted)?;
    }
    let script = folder.join("peer.py");
    std::fs::write(&script, SCRIPT)?;
    Ok(Some(Django {
        interpreter,
        script,
    }))
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}
