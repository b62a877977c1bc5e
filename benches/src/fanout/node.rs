//! The peers from npm, in versions that are pinned, below the results; installed once.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

const PACKAGES: [(&str, &str); 2] = [("ws", "8.23.0"), ("socket.io", "4.8.4")];
const SCRIPT: &str = include_str!("peers.js");

/// Node with its packages.
pub(super) struct Node {
    pub(super) interpreter: PathBuf,
    pub(super) script: PathBuf,
}

/// Installs what is missing; `None` where there is no Node or no npm.
pub(super) fn install(results: &Path) -> Result<Option<Node>> {
    if !answers("node") || !answers("npm") {
        return Ok(None);
    }
    let folder = results.join("node");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    let script = folder.join("peers.js");
    std::fs::write(&script, SCRIPT)?;
    if !PACKAGES
        .iter()
        .all(|package| is_installed(&folder, *package))
    {
        // Without a package.json of its own npm looks for one above.
        std::fs::write(folder.join("package.json"), "{\"private\": true}\n")?;
        let mut command = Command::new("npm");
        command.current_dir(&folder).args([
            "install",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]);
        command.args(PACKAGES.map(|(name, version)| format!("{name}@{version}")));
        eprintln!("installing {PACKAGES:?}");
        let status = command.stdout(Stdio::null()).status();
        let status = status.context("cannot start npm")?;
        ensure!(status.success(), "npm ended with {status}");
    }
    Ok(Some(Node {
        interpreter: "node".into(),
        script,
    }))
}

fn answers(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg("--version");
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn is_installed(folder: &Path, (name, version): (&str, &str)) -> bool {
    let path = folder.join("node_modules").join(name).join("package.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        return false;
    };
    serde_json::from_str::<serde_json::Value>(&text)
        .is_ok_and(|package| package["version"] == version)
}
