//! The configuration as a tree of sections and settings.
//!
//! Each kind of section has one table of [`Entry`]s; file, environment, errors, `check-config` and
//! the diff of a reload all walk the tree that those tables span.

use std::collections::BTreeMap;
use std::fmt;

use super::slot::{Slot, is_label, quoted};

/// A kind of section.
pub(crate) trait Kind: Sized + 'static {
    /// What stands in it, in order.
    const ENTRIES: &'static [Entry<Self>];
}

/// Something that stands in a section: its name, and where it is kept.
pub(crate) struct Entry<T> {
    pub(crate) key: &'static str,
    pub(crate) at: for<'a> fn(&'a mut T) -> At<'a>,
}

/// What stands under a name.
pub(crate) enum At<'a> {
    /// A setting.
    Value(Slot<'a>),
    /// A section that is always there.
    Section(&'a mut dyn Section),
    /// A section that may be left out, which means something else than an empty one.
    Optional(&'a mut dyn Optional),
    /// Sections by names that the file chooses.
    Named(&'a mut dyn Named),
    /// Sections one after the other.
    List(&'a mut dyn List),
}

/// A section, whatever its kind.
pub(crate) trait Section {
    /// The names in it, in order.
    fn keys(&self) -> Vec<&'static str>;
    /// What stands under a name.
    fn at(&mut self, key: &str) -> Option<At<'_>>;
}

/// A section that may be left out.
pub(crate) trait Optional {
    /// It, if it is there.
    fn section(&mut self) -> Option<&mut dyn Section>;
    /// It, from now on there.
    fn make(&mut self) -> &mut dyn Section;
}

/// Sections by name.
pub(crate) trait Named {
    /// The names that there are.
    fn names(&self) -> Vec<String>;
    /// The section of a name, from now on there; `None` when no section can have it.
    fn make(&mut self, name: &str) -> Option<&mut dyn Section>;
}

/// Sections one after the other.
pub(crate) trait List {
    /// How many there are.
    fn count(&self) -> usize;
    /// One of them.
    fn section(&mut self, index: usize) -> Option<&mut dyn Section>;
    /// One more.
    fn push(&mut self) -> &mut dyn Section;
}

impl<T: Kind> Section for T {
    fn keys(&self) -> Vec<&'static str> {
        T::ENTRIES.iter().map(|entry| entry.key).collect()
    }

    fn at(&mut self, key: &str) -> Option<At<'_>> {
        let entry = T::ENTRIES.iter().find(|entry| entry.key == key)?;
        Some((entry.at)(self))
    }
}

impl<T: Kind + Default> Optional for Option<T> {
    fn section(&mut self) -> Option<&mut dyn Section> {
        self.as_mut().map(|section| section as &mut dyn Section)
    }

    fn make(&mut self) -> &mut dyn Section {
        self.get_or_insert_default()
    }
}

impl<T: Kind + Default> Named for BTreeMap<String, T> {
    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }

    fn make(&mut self, name: &str) -> Option<&mut dyn Section> {
        is_label(name).then(|| self.entry(name.to_owned()).or_default() as &mut dyn Section)
    }
}

impl<T: Kind + Default> List for Vec<T> {
    fn count(&self) -> usize {
        self.len()
    }

    fn section(&mut self, index: usize) -> Option<&mut dyn Section> {
        self.get_mut(index)
            .map(|section| section as &mut dyn Section)
    }

    fn push(&mut self) -> &mut dyn Section {
        self.push(T::default());
        let last = self.len() - 1;
        &mut self[last]
    }
}

/// One step on the way to a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// A name.
    Name(String),
    /// A place in a list, from 0.
    Place(usize),
}

impl From<&str> for Step {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<usize> for Step {
    fn from(place: usize) -> Self {
        Self::Place(place)
    }
}

/// Where something stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path(Vec<Step>);

impl Path {
    /// The place that is reached by these steps.
    pub(crate) fn of<const N: usize>(steps: [Step; N]) -> Self {
        Self(steps.into())
    }

    /// The place one step further.
    pub(crate) fn with(&self, step: impl Into<Step>) -> Self {
        let mut steps = self.0.clone();
        steps.push(step.into());
        Self(steps)
    }

    /// The place one step back.
    pub(crate) fn parent(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    /// The name at its beginning; empty at the top.
    pub(crate) fn section(&self) -> &str {
        match self.0.as_slice() {
            [Step::Name(name), _, ..] => name,
            _ => "",
        }
    }

    /// The name of the last step; empty for a place in a list.
    pub(crate) fn key(&self) -> &str {
        match self.0.last() {
            Some(Step::Name(name)) => name,
            _ => "",
        }
    }

    /// Whether the last step is this name.
    pub(crate) fn ends_with(&self, name: &str) -> bool {
        self.key() == name
    }

    /// Its heading in a file.
    pub(crate) fn heading(&self) -> String {
        let is_bare = |name: &str| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let names: Vec<String> = (self.0.iter())
            .filter_map(|step| match step {
                Step::Name(name) if is_bare(name) => Some(name.clone()),
                Step::Name(name) => Some(quoted(name)),
                Step::Place(_) => None,
            })
            .collect();
        let heading = format!("[{}]", names.join("."));
        match self.0.last() {
            Some(Step::Place(_)) => format!("[{heading}]"),
            _ => heading,
        }
    }
}

impl fmt::Display for Path {
    /// Its name in messages, such as `sinks.archive.url` or `route.0.tags`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            if index > 0 {
                out.write_str(".")?;
            }
            match step {
                Step::Name(name) => out.write_str(name)?,
                Step::Place(place) => place.fmt(out)?,
            }
        }
        Ok(())
    }
}

/// The setting at a place, if there is one.
pub(crate) fn slot<'a>(section: &'a mut dyn Section, path: &Path) -> Option<Slot<'a>> {
    slot_at(section, &path.0)
}

fn slot_at<'a>(section: &'a mut dyn Section, steps: &[Step]) -> Option<Slot<'a>> {
    let (Step::Name(key), rest) = steps.split_first()? else {
        return None;
    };
    match (section.at(key)?, rest) {
        (At::Value(slot), []) => Some(slot),
        (At::Section(section), rest) => slot_at(section, rest),
        (At::Optional(optional), rest) => slot_at(optional.make(), rest),
        (At::Named(named), [Step::Name(name), rest @ ..]) => slot_at(named.make(name)?, rest),
        (At::List(list), [Step::Place(place), rest @ ..]) => slot_at(list.section(*place)?, rest),
        _ => None,
    }
}

/// What a walk comes by.
pub(crate) enum Visit<'a> {
    /// A section that says something by being there.
    Section,
    /// A setting.
    Value(Slot<'a>),
}

/// Walks over everything that is there: in each section first its settings, then what is in it.
pub(crate) fn walk(section: &mut dyn Section, visit: &mut dyn FnMut(&Path, Visit<'_>)) {
    walk_from(section, &Path::default(), visit);
}

fn walk_from(section: &mut dyn Section, path: &Path, visit: &mut dyn FnMut(&Path, Visit<'_>)) {
    let keys = section.keys();
    for key in &keys {
        if let Some(At::Value(slot)) = section.at(key) {
            visit(&path.with(*key), Visit::Value(slot));
        }
    }
    for key in &keys {
        let path = path.with(*key);
        match section.at(key) {
            Some(At::Section(section)) => walk_from(section, &path, visit),
            Some(At::Optional(optional)) => {
                if let Some(section) = optional.section() {
                    visit(&path, Visit::Section);
                    walk_from(section, &path, visit);
                }
            }
            Some(At::Named(named)) => {
                for name in named.names() {
                    let path = path.with(name.as_str());
                    visit(&path, Visit::Section);
                    if let Some(section) = named.make(&name) {
                        walk_from(section, &path, visit);
                    }
                }
            }
            Some(At::List(list)) => {
                for place in 0..list.count() {
                    let path = path.with(place);
                    visit(&path, Visit::Section);
                    if let Some(section) = list.section(place) {
                        walk_from(section, &path, visit);
                    }
                }
            }
            Some(At::Value(_)) | None => {}
        }
    }
}

/// What somebody meant to name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    Setting,
    Section,
}

/// What to say of a name that a section does not have.
pub(crate) fn unknown(section: &mut dyn Section, path: &Path, key: &str, meant: Meant) -> String {
    let keys = section.keys();
    let (settings, sections): (Vec<&str>, Vec<&str>) = keys
        .into_iter()
        .partition(|key| matches!(section.at(key), Some(At::Value(_))));
    let headings = || -> String {
        let heading = |key: &&str| path.with(*key).heading();
        sections.iter().map(heading).collect::<Vec<_>>().join(", ")
    };
    let as_section = meant == Meant::Section && !sections.is_empty() || settings.is_empty();
    let near = nearest(key, if as_section { &sections } else { &settings });
    let near = near.map_or(String::new(), |near| format!(" (did you mean {near}?)"));
    let name = path.with(key);
    let known = settings.join(", ");
    if as_section {
        let (name, known) = (name.heading(), headings());
        format!("{name} is no section{near}, expected one of {known}")
    } else if *path == Path::default() {
        let headings = headings();
        format!("{name} is no setting{near}, expected {known} or a section: {headings}")
    } else {
        let heading = path.heading();
        format!("{name} is no setting{near}, {heading} has {known}")
    }
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |known: &&str| strsim::damerau_levenshtein(name, known);
    let near = known.iter().min_by_key(|known| distance(known))?;
    // A third of it may be wrong; beyond that a guess would mislead.
    (distance(near) * 3 <= name.chars().count().max(3)).then_some(near)
}
