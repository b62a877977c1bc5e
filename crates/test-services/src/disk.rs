//! File systems that fill up, or become read-only.

use std::path::Path;
use std::process::Command;

/// A small file system of its own, unmounted when dropped.
#[derive(Debug)]
pub struct Disk(tempfile::TempDir);

impl Disk {
    /// `None`, loudly, where nothing can be mounted. `options` are those of a tmpfs, such as
    /// `size=1m`.
    ///
    /// # Panics
    /// When nothing can be mounted and `FOREBAY_REQUIRE_SERVICES` is set.
    #[must_use]
    pub fn mount(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        if mounted {
            return Some(Self(folder));
        }
        assert!(
            std::env::var_os("FOREBAY_REQUIRE_SERVICES").is_none(),
            "a small file system is required and cannot be mounted here"
        );
        eprintln!("SKIPPED: no small file system can be mounted here");
        None
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Makes it read-only from now on.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn make_read_only(&self) {
        let status = Command::new("mount")
            .args(["-o", "remount,ro"])
            .arg(self.path())
            .status();
        assert!(status.expect("`mount` can be run").success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(self.path())
            .status();
    }
}
