//! A setting of a layer that cannot be.

/// A setting of a layer is outside of what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {value}, but has to be {allowed}")]
pub struct InvalidSetting {
    setting: &'static str,
    value: String,
    allowed: &'static str,
}

impl InvalidSetting {
    /// The name of the setting.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        self.setting
    }
}

/// Ok if it holds, otherwise the error.
pub(crate) fn require(
    holds: bool,
    setting: &'static str,
    value: impl std::fmt::Debug,
    allowed: &'static str,
) -> Result<(), InvalidSetting> {
    if holds {
        return Ok(());
    }
    Err(InvalidSetting {
        setting,
        value: format!("{value:?}"),
        allowed,
    })
}
