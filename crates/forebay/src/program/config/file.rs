//! The settings of a TOML file, each with its line.

use std::path::Path;

use sinks::url::hide_password;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Mistake, Origin};
use super::settings::{self, SETTINGS, sections};
use super::slot::{Given, GivenValue};

/// How much of a value is shown in an error.
const SHOWN_CHARS_MAX: usize = 60;

/// Finds what is set; what is no setting is a mistake.
pub(crate) fn read<'a>(path: &Path, text: &'a str, mistakes: &mut Vec<Mistake>) -> Vec<Given<'a>> {
    let mut reader = Reader {
        path,
        text,
        given: Vec::new(),
        mistakes,
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(text.len(), |span| span.start);
        reader.refuse(at, error.message().to_owned());
    }
    // What was recovered from a broken file may be half of what was meant.
    if errors.is_empty() {
        for (key, value) in table.get_ref() {
            reader.top(key.get_ref(), key.span().start, value);
        }
    }
    reader.given
}

struct Reader<'a, 'm> {
    path: &'m Path,
    text: &'a str,
    given: Vec<Given<'a>>,
    mistakes: &'m mut Vec<Mistake>,
}

impl<'a> Reader<'a, '_> {
    fn top(&mut self, name: &str, at: usize, value: &Spanned<DeValue<'a>>) {
        let known = sections();
        match (known.contains(&name), value.get_ref()) {
            (true, DeValue::Table(keys)) => {
                for (key, value) in keys {
                    self.setting(name, key.get_ref(), key.span().start, value);
                }
            }
            (true, _) => {
                let shown = self.shown(value, hide_password);
                self.refuse(
                    at,
                    format!("{name} is {shown}, expected the section [{name}]"),
                );
            }
            (false, DeValue::Table(_)) => {
                let known = known.join("], [");
                self.refuse(
                    at,
                    format!("[{name}] is no section, expected one of [{known}]"),
                );
            }
            (false, _) => self.setting("", name, at, value),
        }
    }

    fn setting(&mut self, section: &str, key: &str, at: usize, value: &Spanned<DeValue<'a>>) {
        match settings::find(section, key) {
            Some(setting) => self.given.push(Given {
                setting,
                origin: self.origin(at),
                shown: self.shown(value, |text| SETTINGS[setting].without_secrets(text)),
                value: GivenValue::Toml(value.get_ref().clone()),
            }),
            None => self.refuse(at, unknown(section, key)),
        }
    }

    fn refuse(&mut self, at: usize, what: String) {
        self.mistakes.push(Mistake::new(self.origin(at), what));
    }

    fn origin(&self, at: usize) -> Origin {
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        Origin::File {
            path: self.path.to_owned(),
            line: before.iter().filter(|byte| **byte == b'\n').count() + 1,
        }
    }

    /// A value as it stands in the file, on one line and without a password.
    fn shown(&self, value: &Spanned<DeValue<'_>>, hide: impl Fn(&str) -> String) -> String {
        let text = hide(self.text.get(value.span()).unwrap_or_default());
        let mut shown: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(SHOWN_CHARS_MAX)
            .collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        shown
    }
}

/// What to say of a setting that there is not.
pub(crate) fn unknown(section: &str, key: &str) -> String {
    let known = settings::keys_of(section).join(", ");
    match section {
        "" => {
            let sections = sections().join("], [");
            format!("{key} is no setting, expected {known} or a section: [{sections}]")
        }
        _ => format!("{section}.{key} is no setting, [{section}] has {known}"),
    }
}
