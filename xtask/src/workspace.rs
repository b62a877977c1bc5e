//! What the commands know about the workspace: `cargo metadata` and the files that git tracks.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::{CargoOpt, Metadata, MetadataCommand};

/// The root of the workspace: the directory above this package.
pub(crate) fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package
        .parent()
        .expect("the xtask package lies below the workspace root")
        .to_path_buf()
}

/// `cargo metadata` with all features, for this platform only: other platforms' dependencies would
/// have to be fetched first, and say nothing about what is linked here.
pub(crate) fn metadata() -> Result<Metadata> {
    let platform = host_platform()?;
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .other_options(["--filter-platform".to_owned(), platform])
        .exec()
        .context("cannot read `cargo metadata`")
}

/// Where cargo puts what it builds.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("cannot read `cargo metadata`")?;
    Ok(metadata.target_directory.into_std_path_buf())
}

/// A file that git tracks, by its path from the root with `/` between the parts.
pub(crate) struct TrackedFile {
    /// For example `crates/record/src/lib.rs`.
    pub(crate) path: String,
    /// Size in the working tree.
    pub(crate) size_bytes: u64,
    /// The content, unless it is not UTF-8.
    pub(crate) text: Option<String>,
}

/// All tracked files that exist in the working tree.
pub(crate) fn tracked_files() -> Result<Vec<TrackedFile>> {
    let root = root();
    let mut files = Vec::new();
    for path in tracked_paths(&root)? {
        let full = root.join(&path);
        // A path can be tracked and already deleted, and a link can point at a directory.
        if !full.is_file() {
            continue;
        }
        let content = std::fs::read(&full).with_context(|| format!("cannot read {path}"))?;
        let size_bytes = content.len() as u64;
        files.push(TrackedFile {
            path,
            size_bytes,
            text: String::from_utf8(content).ok(),
        });
    }
    ensure!(
        !files.is_empty(),
        "git tracks no file below {}",
        root.display()
    );
    Ok(files)
}

fn tracked_paths(root: &Path) -> Result<Vec<String>> {
    // A container's checkout often belongs to another user, which git refuses without this option.
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z"])
        .current_dir(root)
        .output()
        .context("cannot start `git ls-files`")?;
    if !output.status.success() {
        bail!(
            "`git ls-files` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let listing = String::from_utf8(output.stdout).context("a tracked path is not UTF-8")?;
    Ok(listing
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect())
}

/// What `rustc` calls the platform that it runs on.
pub(crate) fn host_platform() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .arg("-vV")
        .output()
        .context("cannot start `rustc -vV`")?;
    let text = String::from_utf8(output.stdout).context("`rustc -vV` did not print text")?;
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("`rustc -vV` names no host")
}
