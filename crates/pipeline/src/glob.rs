//! Patterns of names: `*` stands for any text, `?` for one character, and everything else for
//! itself. There are no classes and no alternatives, so that it can be told whether two patterns
//! overlap, or one covers the other; that is what routes need.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest pattern, in bytes.
pub const GLOB_BYTES_MAX: usize = 1_024;

/// A pattern of names.
///
/// ```
/// use pipeline::Glob;
///
/// let plcs: Glob = "PLC*".parse()?;
/// assert!(plcs.matches("PLC01") && !plcs.matches("host"));
/// assert!(plcs.overlaps(&"*01".parse()?));
/// assert!(plcs.covers(&"PLC0?".parse()?));
/// # Ok::<(), pipeline::InvalidGlob>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Glob {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Token {
    One(char),
    AnyOne,
    Any,
}

/// A text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidGlob {
    /// Nothing could match it but an empty name, and there is none.
    #[error("a pattern is empty, expected `*` for everything")]
    Empty,
    /// It is longer than any pattern needs to be.
    #[error("a pattern has {bytes} bytes, expected at most {limit}")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
}

impl Glob {
    /// The pattern that matches everything.
    #[must_use]
    pub fn any() -> Self {
        Self {
            text: "*".to_owned(),
            tokens: vec![Token::Any],
        }
    }

    /// The pattern as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches every name.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.tokens == [Token::Any]
    }

    /// Whether it matches this name. At worst takes time in the product of both lengths.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        if self.is_any() {
            return true;
        }
        let name: Vec<Token> = name.chars().map(Token::One).collect();
        covers(&self.tokens, &name)
    }

    /// Whether there is a name that both match.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (left, right) = (&self.tokens, &other.tokens);
        // `row[j]`: the first `i` tokens of the left and `j` of the right match a common text.
        let mut row = vec![false; right.len() + 1];
        row[0] = true;
        for j in 0..right.len() {
            row[j + 1] = row[j] && right[j] == Token::Any;
        }
        for &one in left {
            let mut next = vec![false; right.len() + 1];
            next[0] = row[0] && one == Token::Any;
            for (j, &two) in right.iter().enumerate() {
                next[j + 1] = match (one, two) {
                    (Token::Any, _) | (_, Token::Any) => row[j + 1] || next[j] || row[j],
                    (Token::AnyOne, _) | (_, Token::AnyOne) => row[j],
                    (Token::One(one), Token::One(two)) => row[j] && one == two,
                };
            }
            row = next;
        }
        row[right.len()]
    }

    /// Whether it matches every name that `other` matches. May say no where it takes several
    /// wildcards of one to cover those of the other.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        covers(&self.tokens, &other.tokens)
    }
}

/// Whether the pattern matches the text, whose wildcards only the pattern's own can match.
fn covers(pattern: &[Token], text: &[Token]) -> bool {
    let (mut at, mut seen) = (0, 0);
    // Where the last star stands, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        let fits = match pattern.get(at) {
            Some(Token::Any) => {
                star = Some((at, seen));
                at += 1;
                continue;
            }
            Some(Token::AnyOne) => text[seen] != Token::Any,
            Some(one) => *one == text[seen],
            None => false,
        };
        if fits {
            at += 1;
            seen += 1;
        } else if let Some((place, taken)) = star {
            star = Some((place, taken + 1));
            (at, seen) = (place + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|token| *token == Token::Any)
}

impl FromStr for Glob {
    type Err = InvalidGlob;

    fn from_str(text: &str) -> Result<Self, InvalidGlob> {
        if text.is_empty() {
            return Err(InvalidGlob::Empty);
        }
        if text.len() > GLOB_BYTES_MAX {
            return Err(InvalidGlob::TooLong {
                bytes: text.len(),
                limit: GLOB_BYTES_MAX,
            });
        }
        let mut tokens: Vec<Token> = text
            .chars()
            .map(|c| match c {
                '*' => Token::Any,
                '?' => Token::AnyOne,
                other => Token::One(other),
            })
            .collect();
        tokens.dedup_by(|a, b| *a == Token::Any && *b == Token::Any);
        Ok(Self {
            text: text.to_owned(),
            tokens,
        })
    }
}

impl TryFrom<String> for Glob {
    type Error = InvalidGlob;

    fn try_from(text: String) -> Result<Self, InvalidGlob> {
        text.parse()
    }
}

impl From<Glob> for String {
    fn from(glob: Glob) -> Self {
        glob.text
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glob(text: &str) -> Glob {
        text.parse().expect("a pattern")
    }

    #[test]
    fn patterns_match_overlap_and_cover_as_written() {
        let matching = [
            ("*", "a"),
            ("a*c", "abbc"),
            ("?", "é"),
            ("*b*", "abc"),
            ("a**", "a"),
        ];
        for (pattern, name) in matching {
            assert!(glob(pattern).matches(name), "{pattern} {name}");
        }
        for (pattern, name) in [("a", "b"), ("a?", "a"), ("*b", "abc"), ("a*c", "ab")] {
            assert!(!glob(pattern).matches(name), "{pattern} {name}");
        }
        assert!(glob("a*").overlaps(&glob("*b")) && !glob("a*").overlaps(&glob("b*")));
        assert!(!glob("?").overlaps(&glob("??")));
        assert!(glob("a*").covers(&glob("a?b*")) && !glob("a?").covers(&glob("a*")));
        assert_eq!("".parse::<Glob>(), Err(InvalidGlob::Empty));
    }

    proptest! {
        #[test]
        fn what_two_patterns_match_is_what_they_overlap_in(
            one in "[ab*?]{1,5}", two in "[ab*?]{1,5}",
        ) {
            let (one, two) = (glob(&one), glob(&two));
            let names = (0..=5_u32).flat_map(|length| (0..1_u32 << length).map(move |bits| {
                (0..length).map(|i| if bits >> i & 1 == 0 { 'a' } else { 'b' }).collect::<String>()
            }));
            let mut common = false;
            for name in names.filter(|name| !name.is_empty()) {
                let both = (one.matches(&name), two.matches(&name));
                common |= both == (true, true);
                if one.covers(&two) {
                    prop_assert!(both != (false, true), "{one} covers {two}, but not {name}");
                }
            }
            // A common name may be longer than those tried, or empty; but never missed.
            if common {
                prop_assert!(one.overlaps(&two), "{one} {two}");
            }
        }
    }
}
