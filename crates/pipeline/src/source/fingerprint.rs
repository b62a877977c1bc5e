//! Which file this is, told by how it begins.
//!
//! A file that is appended to keeps its first 64 KiB, whatever its name. One that was shorter
//! when it was first seen had a fingerprint of that shorter prefix: whoever keeps fingerprints
//! compares with [`Fingerprint::of`] the first `length` bytes of the file as it is now.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// The most bytes a fingerprint is taken of.
pub const FINGERPRINT_BYTES_MAX: usize = 64 << 10;

/// SHA-256 of the first bytes of a file, with how many they were.
///
/// ```
/// use pipeline::source::Fingerprint;
/// let first_seen = Fingerprint::of(b"line 1\n");
/// let grown = b"line 1\nline 2\n";
/// assert!(first_seen.matches(grown));
/// assert!(!first_seen.matches(b"other\n"));
/// assert_ne!(first_seen, Fingerprint::of(grown));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// How many bytes it was taken of, at most [`FINGERPRINT_BYTES_MAX`].
    pub length: u32,
    /// Their SHA-256.
    pub hash: [u8; 32],
}

impl Fingerprint {
    /// The fingerprint of the first [`FINGERPRINT_BYTES_MAX`] bytes of `prefix`.
    #[must_use]
    pub fn of(prefix: &[u8]) -> Self {
        let prefix = &prefix[..prefix.len().min(FINGERPRINT_BYTES_MAX)];
        Self {
            length: prefix.len() as u32,
            hash: Sha256::digest(prefix).into(),
        }
    }

    /// Whether a file that begins with `prefix` may be the one this was taken of: it is at least
    /// as long, and equal as far as the fingerprint goes. The empty fingerprint matches all.
    #[must_use]
    pub fn matches(&self, prefix: &[u8]) -> bool {
        prefix
            .get(..self.length as usize)
            .is_some_and(|prefix| Self::of(prefix) == *self)
    }

    /// The hash in 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex_of(&self.hash)
    }
}

/// The first [`FINGERPRINT_BYTES_MAX`] bytes of a file, or all of a shorter one.
///
/// # Errors
/// When the file cannot be opened or read.
pub fn prefix_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut prefix = Vec::new();
    File::open(path)?
        .take(FINGERPRINT_BYTES_MAX as u64)
        .read_to_end(&mut prefix)?;
    Ok(prefix)
}

/// The length of an input and the SHA-256 of all of it, as text: for files that nobody appends to.
///
/// # Errors
/// When it cannot be read.
pub fn hash_of(mut read: impl Read) -> io::Result<String> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; FINGERPRINT_BYTES_MAX];
    let mut length = 0_u64;
    loop {
        match read.read(&mut chunk) {
            Ok(0) => break,
            Ok(bytes) => {
                hasher.update(&chunk[..bytes]);
                length += bytes as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(format!("{length}:{}", hex_of(&hasher.finalize())))
}

fn hex_of(hash: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    hash.iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256() {
        assert_eq!(
            Fingerprint::of(b"abc").to_hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn all_of_a_file_is_hashed() {
        assert_eq!(
            hash_of(&b"abc"[..]).unwrap(),
            "3:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let mut long = vec![b'x'; 200_000];
        let before = hash_of(&long[..]).unwrap();
        long[100_000] = b'y';
        assert_ne!(hash_of(&long[..]).unwrap(), before);
    }

    #[test]
    fn what_is_appended_after_64_kib_changes_nothing() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut content = vec![b'x'; FINGERPRINT_BYTES_MAX];
        std::fs::write(file.path(), &content).unwrap();
        let before = Fingerprint::of(&prefix_of(file.path()).unwrap());
        assert_eq!(before.length as usize, FINGERPRINT_BYTES_MAX);
        content.extend_from_slice(b"more");
        std::fs::write(file.path(), &content).unwrap();
        let after = prefix_of(file.path()).unwrap();
        assert_eq!(after.len(), FINGERPRINT_BYTES_MAX);
        assert_eq!(Fingerprint::of(&after), before);
        assert_eq!(Fingerprint::of(&content), before);
    }

    #[test]
    fn a_file_that_grew_matches_its_shorter_fingerprint_and_a_shorter_file_does_not() {
        let short = Fingerprint::of(b"abc");
        assert!(short.matches(b"abcdef"));
        assert!(!short.matches(b"ab"));
        assert!(!short.matches(b"abX"));
        assert_eq!(short.length, 3);
    }
}
