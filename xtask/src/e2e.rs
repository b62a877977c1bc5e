//! `cargo xtask e2e`: the browser test, which must find its browser and must leave screenshots.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use crate::{process, workspace};

/// Runs `tests/browser.rs` of the program and lists the screenshots it wrote to `target/e2e`.
pub(crate) fn run() -> Result<()> {
    let screenshots = workspace::target_directory()?.join("e2e");
    std::fs::create_dir_all(&screenshots)
        .with_context(|| format!("cannot create {}", screenshots.display()))?;
    let started = SystemTime::now();
    // The workspace is selected, not the one package: another feature set would build all again.
    let mut command = process::cargo();
    command
        .current_dir(workspace::root())
        .args(["test", "--workspace", "--all-features", "--test", "browser"])
        .env("FOREBAY_REQUIRE_SERVICES", "1")
        .env("FOREBAY_SCREENSHOTS", &screenshots);
    process::run(&mut command)?;
    let taken = pictures_since(&screenshots, started)?;
    ensure!(
        !taken.is_empty(),
        "the browser test left no picture in {}",
        screenshots.display()
    );
    for name in taken {
        println!("e2e: {}", screenshots.join(name).display());
    }
    Ok(())
}

/// The names of the PNG files that were written at or after `start`, sorted.
fn pictures_since(directory: &Path, start: SystemTime) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".png") && entry.metadata()?.modified()? >= start {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn pictures_of_an_earlier_run_do_not_count() {
        let directory = std::env::temp_dir().join(format!("xtask-e2e-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("page.png"), "").unwrap();
        std::fs::write(directory.join("page.txt"), "").unwrap();
        let hour = Duration::from_secs(3600);
        let since_then = pictures_since(&directory, SystemTime::now() - hour);
        let since_later = pictures_since(&directory, SystemTime::now() + hour);
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(since_then.unwrap(), ["page.png"]);
        assert!(since_later.unwrap().is_empty());
    }
}
