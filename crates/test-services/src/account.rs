//! The account that a server runs under: PostgreSQL refuses to run as root.

use std::path::Path;
use std::process::Command;

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    number_of(&["-u"]) == Some(0)
}

/// The account for servers that refuse root: that of PostgreSQL's package, or that of nobody.
pub(crate) fn unprivileged() -> (u32, u32) {
    for name in ["postgres", "nobody"] {
        if let (Some(user), Some(group)) = (number_of(&["-u", name]), number_of(&["-g", name])) {
            return (user, group);
        }
    }
    (65_534, 65_534)
}

/// Gives the folder to the account that servers run under.
pub(crate) fn give_away(folder: &Path) {
    let (user, group) = unprivileged();
    std::os::unix::fs::chown(folder, Some(user), Some(group))
        .unwrap_or_else(|error| panic!("cannot give {} away: {error}", folder.display()));
}

fn number_of(arguments: &[&str]) -> Option<u32> {
    let output = Command::new("id").args(arguments).output().ok()?;
    if !output.status.success() {
        return None;
    }
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}
