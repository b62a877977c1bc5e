//! Who may do what: tokens, the rights that each gives, and the rights of those who show none.
//!
//! A token is looked up by comparing its hash with all that are known, in a time that says nothing
//! about any of them. Administering is never open: it takes a token, also on loopback. Tokens are
//! fixed while a gateway runs; to take one back, take its hash out of the configuration and start
//! anew.

mod failures;
mod origins;
mod require;
mod rights;
mod token;

use std::fmt;
use std::sync::Arc;

use record::Key;
use subtle::ConditionallySelectable;

pub(crate) use failures::{Failure, Failures, network};
pub(crate) use origins::{Origins, Scheme, Strange};
pub(crate) use require::{Caller, Need, RequireAdmin, RequireIngest, RequireRead};
pub use rights::Rights;
pub(crate) use token::has_token;
use token::is_token;
pub use token::{HashError, Token, TokenHash};

/// Tokens that a gateway may know.
const TOKENS_MAX: usize = 1_000;
/// Bytes that the name of a token may have.
const NAME_BYTES_MAX: usize = 64;
/// The name of those who show no token.
const ANONYMOUS: &str = "anonymous";

/// Whom a gateway lets in, and what each may do.
///
/// ```
/// use gateway::{Access, Rights, Token};
///
/// let token = Token::generate()?;
/// let access = Access::new()
///     .anonymous(Rights::none().read(["public/*"])?)
///     .token("operator", token.hash(), Rights::none().read_all().act())?;
/// println!("give this to the operator: {}", token.as_str());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Access {
    anonymous: Principal,
    tokens: Vec<(TokenHash, Principal)>,
}

/// Why somebody cannot be let in as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccessError {
    /// There is no room for another token.
    #[error("there are {TOKENS_MAX} tokens already, which is the limit")]
    TooMany,
    /// The name of a token is empty, too long, or means something else.
    #[error(
        "the name of a token is {name:?}, expected 1 to {NAME_BYTES_MAX} bytes without control \
         characters, and not \"anonymous\""
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// Another token has the name.
    #[error("there are two tokens of the name {name:?}")]
    NameTwice {
        /// The name.
        name: String,
    },
    /// Another token is the same.
    #[error("the tokens {name:?} and {other:?} are the same; make another with `forebay token`")]
    SameToken {
        /// The one that came first.
        name: String,
        /// The other.
        other: String,
    },
    /// What may be read is not said by globs.
    #[error("read: {message}")]
    BadGlob {
        /// What is wrong with it.
        message: String,
    },
}

/// Somebody who asks for something, once it is known who.
#[derive(Clone, Debug)]
pub(crate) struct Principal {
    /// For the log and for people: the name of the token, or `anonymous`.
    pub(crate) name: Arc<str>,
    pub(crate) rights: Arc<Rights>,
}

impl Access {
    /// Nobody may do anything yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            anonymous: Principal::new(ANONYMOUS, Rights::none()),
            tokens: Vec::new(),
        }
    }

    /// Everybody who can connect may read, hand in records and ask for actions; nobody may do what
    /// an administrator may. For a gateway on loopback.
    #[must_use]
    pub fn open() -> Self {
        Self::new().anonymous(Rights::none().read_all().ingest().act())
    }

    /// Lets those who show no token do this. The right to administer is left out: it takes a token.
    #[must_use]
    pub fn anonymous(mut self, rights: Rights) -> Self {
        self.anonymous = Principal::new(ANONYMOUS, rights.without_admin());
        self
    }

    /// Lets whoever shows the token of this hash do this; the name is for logs and people.
    ///
    /// # Errors
    /// When there are 1,000 already, or the name or the token is not new.
    pub fn token(
        mut self,
        name: &str,
        hash: TokenHash,
        rights: Rights,
    ) -> Result<Self, AccessError> {
        let owned = || name.to_owned();
        if self.tokens.len() >= TOKENS_MAX {
            return Err(AccessError::TooMany);
        }
        let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control);
        if !fits || name == ANONYMOUS {
            return Err(AccessError::BadName { name: owned() });
        }
        if self.tokens.iter().any(|(_, known)| *known.name == *name) {
            return Err(AccessError::NameTwice { name: owned() });
        }
        if let Some(known) = self.find(&hash) {
            return Err(AccessError::SameToken {
                name: known.name.to_string(),
                other: owned(),
            });
        }
        self.tokens.push((hash, Principal::new(name, rights)));
        Ok(self)
    }

    /// Whether somebody without a token may do anything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.anonymous.rights.any()
    }

    /// Who has this token.
    pub(crate) fn by_token(&self, token: &str) -> Option<Principal> {
        // What is not even a token is told apart by its form, which is no secret.
        let found = is_token(token).then(|| self.find(&TokenHash::of(token)));
        found.flatten().cloned()
    }

    /// What those may do who say nothing.
    pub(crate) fn nobody(&self) -> Principal {
        self.anonymous.clone()
    }

    /// Whether anybody may administer.
    pub(crate) fn knows_admin(&self) -> bool {
        let mut known = self.tokens.iter();
        known.any(|(_, principal)| principal.rights.administers())
    }

    /// Whose token has this hash. All are compared, in full, whichever it is.
    fn find(&self, hash: &TokenHash) -> Option<&Principal> {
        // Places count from one; zero is none. There are fewer than 2^32.
        let mut place = 0_u32;
        for (number, (known, _)) in (1_u32..).zip(&self.tokens) {
            place.conditional_assign(&number, known.is(hash));
        }
        let index = usize::try_from(place).ok()?.checked_sub(1)?;
        self.tokens.get(index).map(|(_, principal)| principal)
    }
}

impl Default for Access {
    fn default() -> Self {
        Self::open()
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.tokens.iter().map(|(_, principal)| principal);
        out.debug_struct("Access")
            .field("anonymous", &self.anonymous.rights)
            .field("tokens", &names.collect::<Vec<_>>())
            .finish()
    }
}

impl Principal {
    fn new(name: &str, rights: Rights) -> Self {
        Self {
            name: name.into(),
            rights: Arc::new(rights),
        }
    }

    /// Whether this is somebody who showed no token; no token has the name.
    pub(crate) fn is_anonymous(&self) -> bool {
        *self.name == *ANONYMOUS
    }

    pub(crate) fn may_read(&self, key: &Key) -> bool {
        self.rights.reads(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token::generate().unwrap()
    }

    #[test]
    fn each_token_is_found_among_others_and_no_other_is() {
        let tokens: Vec<Token> = (0..5).map(|_| token()).collect();
        let access = tokens
            .iter()
            .enumerate()
            .fold(Access::new(), |access, (n, token)| {
                access
                    .token(&format!("t{n}"), token.hash(), Rights::none())
                    .unwrap()
            });
        for (n, token) in tokens.iter().enumerate() {
            assert_eq!(
                *access.by_token(token.as_str()).unwrap().name,
                format!("t{n}")
            );
        }
        assert!(access.by_token(token().as_str()).is_none());
        assert!(access.by_token("").is_none());
        assert!(access.by_token(&tokens[0].hash().to_string()).is_none());
        assert!(Access::new().by_token(tokens[0].as_str()).is_none());
    }

    #[test]
    fn names_and_tokens_are_unique_and_bounded() {
        let one = token();
        let access = Access::new()
            .token("a", one.hash(), Rights::none())
            .unwrap();
        let refused = |name: &str, hash| {
            access
                .clone()
                .token(name, hash, Rights::none())
                .unwrap_err()
                .to_string()
        };
        assert!(refused("a", token().hash()).contains("two tokens of the name \"a\""));
        assert!(refused("b", one.hash()).contains("\"a\" and \"b\" are the same"));
        for name in ["", "anonymous", "a\nb", &"n".repeat(65)] {
            assert!(
                refused(name, token().hash()).contains("expected 1 to 64"),
                "{name:?}"
            );
        }
        let mut full = Access::new();
        for number in 0..TOKENS_MAX {
            let hash = TokenHash::of(&number.to_string());
            full = full
                .token(&number.to_string(), hash, Rights::none())
                .unwrap();
        }
        let more = full.token("more", token().hash(), Rights::none());
        assert_eq!(more.unwrap_err(), AccessError::TooMany);
    }

    #[test]
    fn debug_shows_no_hash_and_no_token() {
        let token = token();
        let access = Access::open()
            .token(
                "operator",
                token.hash(),
                Rights::none().read(["a/*"]).unwrap(),
            )
            .unwrap();
        let shown = format!("{access:?} {token:?} {:?}", token.hash());
        assert!(shown.contains("operator"), "{shown}");
        let hash = token.hash().to_string();
        let secrets = [token.as_str(), &token.as_str()[3..], &hash, &hash[7..]];
        assert!(
            secrets.iter().all(|secret| !shown.contains(secret)),
            "{shown}"
        );
    }

    #[test]
    fn administering_is_never_open() {
        let access = Access::open().anonymous(Rights::none().read_all().admin());
        assert!(!access.nobody().rights.administers() && !access.knows_admin());
        let admin = Rights::none().admin();
        let access = access.token("admin", token().hash(), admin).unwrap();
        assert!(access.knows_admin());
    }
}
