//! The token for administering a run whose configuration has none, in a file for its owner alone.
//!
//! It is written beside its place and then moved there, so that nobody finds half of one, and a
//! link that somebody put there is replaced, not followed. It is removed when the run ends; what a
//! run that was killed leaves behind opens nothing any more.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use gateway::Token;

/// The file in the data directory.
const FILE: &str = "admin-token";

/// A token in its file, which is removed with this.
#[derive(Debug)]
pub(super) struct AdminToken {
    token: Token,
    path: PathBuf,
}

impl AdminToken {
    /// Makes one and writes it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(data: &Path) -> io::Result<Self> {
        let token = Token::generate()?;
        let path = data.join(FILE);
        // A name that nobody else has.
        let unique = Token::generate()?;
        let beside = data.join(format!(".{FILE}-{}", &unique.as_str()[3..19]));
        let written = write_new(&beside, &token).and_then(|()| fs::rename(&beside, &path));
        if let Err(error) = written {
            // It may not even be there.
            let _ = fs::remove_file(&beside);
            return Err(error);
        }
        Ok(Self { token, path })
    }

    pub(super) fn token(&self) -> &Token {
        &self.token
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for AdminToken {
    fn drop(&mut self) {
        // Another run in the same directory may have put its own there.
        let is_ours = fs::read_to_string(&self.path)
            .is_ok_and(|found| found.trim_end() == self.token.as_str());
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "the admin token of this run is left behind");
        }
    }
}

/// Writes a file that was not there, for its owner alone from the first moment.
fn write_new(path: &Path, token: &Token) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(token.as_str().as_bytes())?;
    file.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_for_its_owner_alone_and_goes_with_the_run() {
        let folder = tempfile::tempdir().unwrap();
        let admin = AdminToken::write(folder.path()).unwrap();
        let read = fs::read_to_string(admin.path()).unwrap();
        assert_eq!(read, format!("{}\n", admin.token().as_str()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(admin.path()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(admin);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_its_place_is_replaced_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "precious").unwrap();
        let link = folder.path().join(FILE);
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let admin = AdminToken::write(folder.path()).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_file());
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        drop(admin);
        assert!(!link.exists() && target.exists());
    }

    #[test]
    fn the_token_of_another_run_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = AdminToken::write(folder.path()).unwrap();
        let second = AdminToken::write(folder.path()).unwrap();
        drop(first);
        let read = fs::read_to_string(second.path()).unwrap();
        assert_eq!(read.trim_end(), second.token().as_str());
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(AdminToken::write(&folder.path().join("none")).is_err());
        fs::create_dir(folder.path().join(FILE)).unwrap();
        assert!(AdminToken::write(folder.path()).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
