//! Settings of the environment: `FOREBAY_<SECTION>__<KEY>`, such as `FOREBAY_BUFFER__MAX_SIZE`.
//!
//! A setting outside of all sections has nothing before the underscores: `FOREBAY__DATA`. Other
//! variables are none of the configuration's business, whatever they begin with.

use std::ffi::OsString;

use super::error::{Mistake, Origin};
use super::file::unknown;
use super::settings::{self, SETTINGS, sections};
use super::slot::{Given, GivenValue};

/// Finds what is set; a variable of this form that is no setting is a mistake.
pub(crate) fn read<'a>(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Given<'a>> {
    let mut given = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        let Some((section, key)) = parts(name) else {
            mistakes.extend(slip(name));
            continue;
        };
        let origin = Origin::Variable(name.to_owned());
        let mut refuse = |what: String| mistakes.push(Mistake::new(origin.clone(), what));
        if !section.is_empty() && !sections().contains(&section.as_str()) {
            let known = sections().join(", ");
            refuse(format!("{section} is no section, expected one of {known}"));
            continue;
        }
        let Some(setting) = settings::find(&section, &key) else {
            refuse(unknown(&section, &key));
            continue;
        };
        match value.into_string() {
            Ok(value) => given.push(Given {
                setting,
                origin,
                shown: format!("{:?}", SETTINGS[setting].without_secrets(&value)),
                value: GivenValue::Text(value),
            }),
            Err(_) => refuse(format!("{section}.{key} is not UTF-8")),
        }
    }
    // The order of an environment means nothing.
    given.sort_by_key(|given| given.setting);
    given
}

/// A setting with one underscore where two belong would be ignored in silence.
fn slip(name: &str) -> Option<Mistake> {
    let rest = name.strip_prefix("FOREBAY_")?.to_ascii_lowercase();
    sections().iter().find_map(|section| {
        let key = rest.strip_prefix(section)?.strip_prefix('_')?;
        settings::find(section, key)?;
        let meant = format!("FOREBAY_{section}__{key}").to_ascii_uppercase();
        let what = format!("is no setting, expected {meant} with two underscores");
        Some(Mistake::new(Origin::Variable(name.to_owned()), what))
    })
}

/// Section and key in lower case.
fn parts(name: &str) -> Option<(String, String)> {
    let name = name.strip_prefix("FOREBAY_")?;
    let (section, key) = match name.strip_prefix('_') {
        Some(key) => ("", key),
        None => name.split_once("__")?,
    };
    Some((section.to_ascii_lowercase(), key.to_ascii_lowercase()))
}
