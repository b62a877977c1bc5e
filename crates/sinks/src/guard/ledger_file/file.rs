//! The file of a ledger: how it is read, locked and replaced.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::append::{failure, lock, sync_directory};
use crate::{ErrorKind, WriteError};

/// The version of the format; a file of a later one is refused.
const VERSION: u32 = 1;

pub(super) type Scopes = BTreeMap<String, Row>;

/// How far a scope is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) fence: u64,
    pub(super) position: u64,
    pub(super) batch: u64,
    pub(super) hash: u64,
}

#[derive(Deserialize)]
struct Contents {
    version: u32,
    scopes: Scopes,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    scopes: &'a Scopes,
}

/// What the file says of these scopes.
pub(super) fn contents(scopes: &Scopes) -> Result<Vec<u8>, WriteError> {
    let version = VERSION;
    serde_json::to_vec(&Written { version, scopes }).map_err(|error| {
        let message = format!("the ledger cannot be written as JSON: {error}");
        WriteError::new(ErrorKind::Fatal, message)
    })
}

#[derive(Debug)]
pub(super) struct LedgerFile {
    path: PathBuf,
    temporary: PathBuf,
    /// Held until it is closed.
    _lock: File,
    /// The version of the state in memory that is saved.
    pub(super) version: u64,
}

impl LedgerFile {
    /// Locks and reads the file; there need be none. A temporary file that a crash left is
    /// overwritten by the next save: only a whole one was ever renamed.
    pub(super) fn open(path: &Path) -> Result<(Self, Scopes), WriteError> {
        let directory = directory_of(path);
        create_directory(directory).map_err(|error| failure("cannot create", directory, &error))?;
        let file = Self {
            path: path.to_owned(),
            temporary: beside(path, ".tmp"),
            _lock: lock(&beside(path, ".lock"))?,
            version: 0,
        };
        let scopes = match fs::read(path) {
            Ok(bytes) => parse(path, &bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Scopes::new(),
            Err(error) => return Err(failure("cannot read the ledger", path, &error)),
        };
        Ok((file, scopes))
    }

    /// Replaces the file. It is the old or the new one at every moment, and the new one when this
    /// returns.
    pub(super) fn save(&mut self, contents: &[u8]) -> Result<(), WriteError> {
        let replace = || {
            let mut file = File::create(&self.temporary)?;
            file.write_all(contents)?;
            file.sync_all()?;
            fs::rename(&self.temporary, &self.path)?;
            sync_directory(directory_of(&self.path))
        };
        replace().map_err(|error| failure("cannot save the ledger", &self.path, &error))
    }
}

/// Makes the directory and those above it, so that they survive a power cut.
fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = directory_of(directory);
    create_directory(parent)?;
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync_directory(parent)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Scopes, WriteError> {
    let refused = |why: String| {
        let message = format!("the ledger {} cannot be read: {why}", path.display());
        WriteError::new(ErrorKind::Fatal, message)
    };
    let contents: Contents =
        serde_json::from_slice(bytes).map_err(|error| refused(error.to_string()))?;
    if contents.version != VERSION {
        let found = contents.version;
        return Err(refused(format!(
            "it is of version {found}, expected {VERSION}"
        )));
    }
    Ok(contents.scopes)
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
