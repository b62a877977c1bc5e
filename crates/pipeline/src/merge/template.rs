//! Which records have the same key.

use std::str::FromStr;

use record::{NAME_BYTES_MAX, Record};
use serde::{Deserialize, Serialize};

use super::CoalesceError;

/// A text with the placeholders `{source}`, `{tag}` and `{quality}`: records for which it expands
/// to the same have the same key.
///
/// The first `/` outside of placeholders splits it: what stands before becomes the source of the
/// merged record, what stands behind its tag, even where the names that are filled in have slashes
/// of their own. A template without one gives the source alone, and the tag is the aggregate's
/// name.
///
/// ```
/// use pipeline::KeyTemplate;
///
/// let by_tag: KeyTemplate = "plant/{tag}".parse()?;
/// assert_eq!(by_tag.to_string(), "plant/{tag}");
/// assert_eq!(KeyTemplate::default().to_string(), "{source}/{tag}");
/// let error = "{source}/{unit}".parse::<KeyTemplate>().expect_err("there is no unit");
/// assert!(error.to_string().contains("{unit}"));
/// # Ok::<(), pipeline::CoalesceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyTemplate {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Source,
    Tag,
    Quality,
    /// The slash that parts the source from the tag.
    Split,
}

/// Parts the source from the tag in an expanded key. No name has a control character, so it is not
/// taken for anything else.
const SPLIT: char = '\0';

impl KeyTemplate {
    /// Appends the key of this record to `key`.
    pub(super) fn expand(&self, record: &Record, key: &mut String) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => key.push_str(text),
                Piece::Source => key.push_str(record.source.as_str()),
                Piece::Tag => key.push_str(record.tag.as_str()),
                Piece::Quality => key.push_str(record.quality.as_str()),
                Piece::Split => key.push(SPLIT),
            }
        }
    }
}

/// The source and the tag that an expanded key says; the tag is `otherwise` where it says none.
pub(super) fn names<'a>(key: &'a str, otherwise: &'a str) -> (&'a str, &'a str) {
    key.split_once(SPLIT).unwrap_or((key, otherwise))
}

impl Default for KeyTemplate {
    /// `{source}/{tag}`: every history has a key of its own.
    fn default() -> Self {
        Self {
            text: "{source}/{tag}".to_owned(),
            pieces: vec![Piece::Source, Piece::Split, Piece::Tag],
        }
    }
}

impl FromStr for KeyTemplate {
    type Err = CoalesceError;

    /// # Errors
    /// If a placeholder is unknown, a brace has no partner, there is nothing before or behind the
    /// first slash, or the text is empty, longer than a name may be or has control characters.
    fn from_str(text: &str) -> Result<Self, CoalesceError> {
        let wrong = |expected| CoalesceError::Key {
            found: text.chars().take(NAME_BYTES_MAX).collect(),
            expected,
        };
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            return Err(wrong("1 to 256 bytes"));
        }
        if text.chars().any(|each| each.is_ascii_control()) {
            return Err(wrong("text without control characters"));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            push_literal(&mut pieces, &rest[..at]);
            let (name, behind) = rest[at..]
                .strip_prefix('{')
                .and_then(|behind| behind.split_once('}'))
                .ok_or_else(|| wrong("a `}` for each `{`"))?;
            pieces.push(match name {
                "source" => Piece::Source,
                "tag" => Piece::Tag,
                "quality" => Piece::Quality,
                _ => {
                    return Err(CoalesceError::Placeholder {
                        found: name.to_owned(),
                    });
                }
            });
            rest = behind;
        }
        push_literal(&mut pieces, rest);
        if let (Some(Piece::Split), _) | (_, Some(Piece::Split)) = (pieces.first(), pieces.last()) {
            return Err(wrong("something before and behind the first `/`"));
        }
        Ok(Self {
            text: text.to_owned(),
            pieces,
        })
    }
}

/// Appends a literal, which is cut in two at the first slash of the template.
fn push_literal(pieces: &mut Vec<Piece>, literal: &str) {
    let has_split = pieces.contains(&Piece::Split);
    let (before, behind) = match literal.split_once('/') {
        Some((before, behind)) if !has_split => (before, Some(behind)),
        _ => (literal, None),
    };
    if !before.is_empty() {
        pieces.push(Piece::Literal(before.to_owned()));
    }
    if let Some(behind) = behind {
        pieces.push(Piece::Split);
        if !behind.is_empty() {
            pieces.push(Piece::Literal(behind.to_owned()));
        }
    }
}

impl std::fmt::Display for KeyTemplate {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.text)
    }
}

impl TryFrom<String> for KeyTemplate {
    type Error = CoalesceError;

    fn try_from(text: String) -> Result<Self, CoalesceError> {
        text.parse()
    }
}

impl From<KeyTemplate> for String {
    fn from(template: KeyTemplate) -> Self {
        template.text
    }
}
