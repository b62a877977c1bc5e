//! A setting of a gate or of a budget that cannot be.

/// A setting is outside of what is possible; nothing was built from it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingError {
    /// A number is below what makes sense.
    #[error("{field} is {value}, but must be at least {min}")]
    TooSmall {
        /// The setting, such as `concurrency` or `low.weight`.
        field: String,
        /// What was given.
        value: usize,
        /// The smallest accepted value.
        min: usize,
    },
    /// A number is above what is possible beside the other settings.
    #[error("{field} is {value}, but must be at most {max}")]
    TooLarge {
        /// The setting, such as `critical.reserved` or `the sum of reserved`.
        field: String,
        /// What was given.
        value: usize,
        /// The greatest accepted value.
        max: usize,
    },
}

/// Ok if the value lies within the bounds; otherwise names the field, the value and the bound.
///
/// # Errors
/// When `value` is below `min` or above `max`.
pub(crate) fn check_range(
    field: impl std::fmt::Display,
    value: usize,
    min: usize,
    max: usize,
) -> Result<(), SettingError> {
    let field = || field.to_string();
    if value < min {
        return Err(SettingError::TooSmall {
            field: field(),
            value,
            min,
        });
    }
    if value > max {
        return Err(SettingError::TooLarge {
            field: field(),
            value,
            max,
        });
    }
    Ok(())
}
