//! Tokens: what somebody shows to be known, and what is kept of it.
//!
//! A token is 256 random bits, so that guessing is hopeless and a plain hash is enough to keep it:
//! there is no short secret in it to search for. A configuration holds the [`TokenHash`] alone.
//! Neither shows itself in `Debug`, and a hash is compared in a time that does not depend on where
//! it differs.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// Random bytes of a token, and bytes of its hash.
const BYTES: usize = 32;
/// What tokens begin with, so that people and scanners of repositories know one when they see it.
const PREFIX: &str = "fb_";
/// What hashes begin with.
const ALGORITHM: &str = "sha256:";

/// A token in the clear: `fb_` and 64 hexadecimal digits.
///
/// It is shown once, by [`as_str`](Self::as_str), to whoever asked for it; `Debug` does not show
/// it.
///
/// ```
/// use gateway::Token;
///
/// let token = Token::generate()?;
/// assert!(token.as_str().starts_with("fb_"));
/// assert!(token.hash().to_string().starts_with("sha256:"));
/// assert_eq!(format!("{token:?}"), "Token(..)");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// A new one, of 256 bits from the operating system.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn generate() -> std::io::Result<Self> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
        Ok(Self(format!("{PREFIX}{}", hexadecimal(&bytes))))
    }

    /// The token itself. Whoever has it is let in.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(&self.0)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Token(..)")
    }
}

/// The SHA-256 of a token, written `sha256:` and 64 hexadecimal digits.
///
/// `Display` writes it, for a configuration; `Debug` does not. It has no `PartialEq`: hashes are
/// compared where nobody can measure how much of them agrees.
#[derive(Clone)]
pub struct TokenHash([u8; BYTES]);

/// Why a text is not the hash of a token. It does not repeat the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected `sha256:` and 64 hexadecimal digits, as `forebay token` prints them; the token \
     itself is not kept"
)]
pub struct HashError;

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Whether both are the same, in a time that does not depend on where they differ.
    pub(super) fn is(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl FromStr for TokenHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let digits = text.strip_prefix(ALGORITHM).ok_or(HashError)?.as_bytes();
        let mut bytes = [0; BYTES];
        if digits.len() != 2 * BYTES {
            return Err(HashError);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4) | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{ALGORITHM}{}", hexadecimal(&self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("TokenHash(..)")
    }
}

/// Whether a text has the form of a token.
pub(crate) fn is_token(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|digits| {
        digits.len() == 2 * BYTES && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Whether something in a text has the form of a token.
pub(crate) fn has_token(text: &str) -> bool {
    let length = PREFIX.len() + 2 * BYTES;
    text.match_indices(PREFIX)
        .any(|(at, _)| text.get(at..at + length).is_some_and(is_token))
}

fn hexadecimal(bytes: &[u8]) -> String {
    use fmt::Write;

    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn digit(byte: u8) -> Result<u8, HashError> {
    let value = char::from(byte).to_digit(16).ok_or(HashError)?;
    u8::try_from(value).map_err(|_| HashError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_their_hashes_are_read_back() {
        let [one, other] = [Token::generate().unwrap(), Token::generate().unwrap()];
        assert_ne!(one.as_str(), other.as_str());
        assert!(is_token(one.as_str()), "{}", one.as_str().len());
        let read: TokenHash = one.hash().to_string().parse().unwrap();
        assert!(bool::from(read.is(&one.hash())));
        assert!(!bool::from(read.is(&other.hash())));
    }

    #[test]
    fn the_hash_is_sha_256_of_the_whole_text() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(TokenHash::of("").to_string(), empty);
    }

    #[test]
    fn what_is_not_a_hash_is_refused_without_repeating_it() {
        let token = Token::generate().unwrap();
        let digits = "0".repeat(64);
        for text in [
            "",
            "sha256:",
            token.as_str(),
            &digits,
            &format!("md5:{digits}"),
            &format!("sha256:{digits}0"),
            &format!("sha256:{}", "0".repeat(63)),
            &format!("sha256:{}", "g".repeat(64)),
            &format!("sha256:{}", "é".repeat(32)),
        ] {
            let error = text.parse::<TokenHash>().unwrap_err().to_string();
            assert!(
                text.is_empty() || !error.contains(text) || text == "sha256:",
                "{error}"
            );
        }
    }

    #[test]
    fn tokens_are_recognized_inside_a_text() {
        let token = Token::generate().unwrap();
        let token = token.as_str();
        for text in [
            token.to_owned(),
            format!("/ws?x={token}"),
            format!("/{token}/a"),
            format!("fb_fb_{token}"),
        ] {
            assert!(has_token(&text), "{text}");
        }
        for text in [
            "",
            "fb_",
            "/api/history/fb_1/x",
            &token[..token.len() - 1],
            "fb_é",
        ] {
            assert!(!has_token(text), "{text}");
        }
    }
}
