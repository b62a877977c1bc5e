//! The settings of a TOML file, each with its line.

use std::path::Path as FilePath;

use sinks::url::hide_password;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Mistake, Origin};
use super::given::{Given, GivenValue, without_secrets};
use super::sections::Config;
use super::tree::{At, Meant, Path, Section, unknown};

/// How much of a value is shown in an error.
const SHOWN_CHARS_MAX: usize = 60;

/// What a file says.
#[derive(Default)]
pub(crate) struct FileContent<'a> {
    /// What is set.
    pub(crate) given: Vec<Given<'a>>,
    /// The sections that the file chose to have.
    pub(crate) sections: Vec<(Path, Origin)>,
}

/// Finds what is set, and makes the sections that the file has in `config`; what is no setting is a
/// mistake.
pub(crate) fn read<'a>(
    path: &FilePath,
    text: &'a str,
    config: &mut Config,
    mistakes: &mut Vec<Mistake>,
) -> FileContent<'a> {
    let mut reader = Reader {
        path,
        text,
        content: FileContent::default(),
        mistakes,
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let at = error.span().map_or(text.len(), |span| span.start);
        reader.refuse(at, error.message().to_owned());
    }
    // What was recovered from a broken file may be half of what was meant.
    if errors.is_empty() {
        reader.table(config, &Path::default(), table.get_ref());
    }
    reader.content
}

struct Reader<'a, 'm> {
    path: &'m FilePath,
    text: &'a str,
    content: FileContent<'a>,
    mistakes: &'m mut Vec<Mistake>,
}

impl<'a> Reader<'a, '_> {
    fn table(&mut self, section: &mut dyn Section, path: &Path, table: &DeTable<'a>) {
        for (key, value) in table {
            let (name, at) = (key.get_ref(), key.span().start);
            let path = path.with(name.as_ref());
            match (section.at(name), value.get_ref()) {
                (Some(At::Value(_)), _) => self.setting(path, at, value),
                (Some(At::Section(section)), DeValue::Table(table)) => {
                    self.table(section, &path, table);
                }
                (Some(At::Optional(optional)), DeValue::Table(table)) => {
                    self.section(&path, at);
                    self.table(optional.make(), &path, table);
                }
                (Some(At::Named(named)), DeValue::Table(tables)) => {
                    for (key, value) in tables {
                        let (name, at) = (key.get_ref(), key.span().start);
                        let path = path.with(name.as_ref());
                        match (named.make(name), value.get_ref()) {
                            (Some(section), DeValue::Table(table)) => {
                                self.section(&path, at);
                                self.table(section, &path, table);
                            }
                            (Some(_), _) => self.no_section(&path, at, value),
                            (None, _) => self.refuse(at, bad_name(&path)),
                        }
                    }
                }
                (Some(At::List(list)), DeValue::Array(items)) => {
                    for (place, item) in items.iter().enumerate() {
                        let at = item.span().start;
                        let path = path.with(place);
                        let section = list.push();
                        match item.get_ref() {
                            DeValue::Table(table) => {
                                self.section(&path, at);
                                self.table(section, &path, table);
                            }
                            _ => self.no_section(&path, at, item),
                        }
                    }
                }
                (Some(At::List(_)), _) => self.no_section(&path.with(0), at, value),
                (Some(_), _) => self.no_section(&path, at, value),
                (None, value) => {
                    let meant = match value {
                        DeValue::Table(_) => Meant::Section,
                        _ => Meant::Setting,
                    };
                    let parent = path.parent();
                    self.refuse(at, unknown(section, &parent, name, meant));
                }
            }
        }
    }

    fn section(&mut self, path: &Path, at: usize) {
        let origin = self.origin(at);
        self.content.sections.push((path.clone(), origin));
    }

    fn setting(&mut self, path: Path, at: usize, value: &Spanned<DeValue<'a>>) {
        self.content.given.push(Given {
            origin: self.origin(at),
            shown: self.shown(value, |text| without_secrets(&path, text)),
            value: GivenValue::Toml(value.get_ref().clone()),
            path,
        });
    }

    fn no_section(&mut self, path: &Path, at: usize, value: &Spanned<DeValue<'_>>) {
        let shown = self.shown(value, hide_password);
        let heading = path.heading();
        let name = match heading.starts_with("[[") {
            true => path.parent(),
            false => path.clone(),
        };
        self.refuse(
            at,
            format!("{name} is {shown}, expected the section {heading}"),
        );
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

/// What to say of a section whose name no section can have.
pub(crate) fn bad_name(path: &Path) -> String {
    let heading = path.heading();
    format!("{heading} has a name of other than 1 to 64 letters, digits, `-`, `_` and `.`")
}
