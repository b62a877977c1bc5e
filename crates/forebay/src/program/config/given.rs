//! What a file or the environment gives for a setting.

use sinks::url::hide_password;
use toml::de::DeValue;

use super::error::{Mistake, Origin};
use super::tree::Path;

/// What was given for a setting.
pub(crate) struct Given<'a> {
    /// Where the setting stands.
    pub(crate) path: Path,
    /// Where it was given.
    pub(crate) origin: Origin,
    /// As it stands there.
    pub(crate) shown: String,
    /// What it is.
    pub(crate) value: GivenValue<'a>,
}

/// A value of a file, or the text of a variable.
pub(crate) enum GivenValue<'a> {
    /// Has a type already.
    Toml(DeValue<'a>),
    /// Is of the type that the setting has.
    Text(String),
}

impl Given<'_> {
    /// It is not what is allowed.
    pub(crate) fn mistake(&self, expected: &str) -> Mistake {
        let what = format!("{} is {}, expected {expected}", self.path, self.shown);
        Mistake::new(self.origin.clone(), what)
    }
}

/// A value of a setting, fit to be shown. Path and query are secrets in the URLs of sinks and
/// alerts alone; what is no hash of a token may be the token.
pub(crate) fn without_secrets(path: &Path, value: &str) -> String {
    if value.contains("fb_") || path.section() == "token" && path.ends_with("hash") {
        return "***".to_owned();
    }
    match ["sink", "sinks", "alert"].contains(&path.section()) || value.contains('@') {
        true => hide_password(value),
        false => value.to_owned(),
    }
}

impl GivenValue<'_> {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Toml(value) => value.as_str(),
            Self::Text(text) => Some(text),
        }
    }

    pub(crate) fn whole(&self) -> Option<usize> {
        match self {
            Self::Toml(value) => {
                let number = value.as_integer()?;
                usize::from_str_radix(number.as_str(), number.radix()).ok()
            }
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Toml(DeValue::Float(number)) => number.as_str().parse().ok(),
            Self::Toml(_) => self.whole().map(|whole| whole as f64),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    pub(crate) fn truth(&self) -> Option<bool> {
        match self {
            Self::Toml(value) => value.as_bool(),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }

    pub(crate) fn list(&self) -> Option<Vec<String>> {
        match self {
            Self::Toml(value) => value
                .as_array()?
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned))
                .collect(),
            Self::Text(text) => {
                let parts = text.split(',').map(str::trim);
                let parts = parts.filter(|part| !part.is_empty());
                Some(parts.map(str::to_owned).collect())
            }
        }
    }
}
