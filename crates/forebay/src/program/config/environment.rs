//! Settings of the environment: `FOREBAY_<SECTION>__<KEY>`, such as `FOREBAY_BUFFER__MAX_SIZE`,
//! and `FOREBAY_SINKS__ARCHIVE__URL` or `FOREBAY_ROUTE__0__PRIORITY` where sections are nested.
//!
//! A setting outside of all sections has nothing before the underscores: `FOREBAY__DATA`. In names
//! that a file chose, case means nothing, and `_` stands for whatever is no letter or digit. Other
//! variables are none of the configuration's business, whatever they begin with.

use std::ffi::OsString;

use super::error::{Mistake, Origin};
use super::file::bad_name;
use super::given::{Given, GivenValue, without_secrets};
use super::sections::Config;
use super::tree::{At, Meant, Path, Section, Visit, unknown, walk};

/// Finds what is set; a variable of this form that is no setting is a mistake. New names of
/// sections are made in `config`.
pub(crate) fn read<'a>(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    config: &mut Config,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Given<'a>> {
    let mut given = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        let Some(rest) = name.strip_prefix("FOREBAY_") else {
            continue;
        };
        let origin = Origin::Variable(name.to_owned());
        let rest = rest.to_ascii_lowercase();
        if !rest.starts_with('_') && !rest.contains("__") {
            mistakes.extend(slip(&rest, config).map(|what| Mistake::new(origin, what)));
            continue;
        }
        let steps: Vec<&str> = match rest.strip_prefix('_') {
            Some(key) => vec![key],
            None => rest.split("__").collect(),
        };
        let path = match find(config, &Path::default(), &steps) {
            Ok(path) => path,
            Err(what) => {
                mistakes.push(Mistake::new(origin, what));
                continue;
            }
        };
        match value.into_string() {
            Ok(value) => given.push(Given {
                origin,
                shown: format!("{:?}", without_secrets(&path, &value)),
                value: GivenValue::Text(value),
                path,
            }),
            Err(_) => mistakes.push(Mistake::new(origin, format!("{path} is not UTF-8"))),
        }
    }
    // The order of an environment means nothing.
    given.sort_by(|one, two| one.path.cmp(&two.path));
    given
}

/// The place that steps lead to, or what is wrong with them.
fn find(section: &mut dyn Section, path: &Path, steps: &[&str]) -> Result<Path, String> {
    let [key, rest @ ..] = steps else {
        return Err(format!("{path} is a section, expected a key behind it"));
    };
    let here = path.with(*key);
    match (section.at(key), rest) {
        (Some(At::Value(_)), []) => Ok(here),
        (Some(At::Value(_)), _) => Err(format!("{here} is a setting, expected nothing behind it")),
        (Some(At::Section(section)), rest) => find(section, &here, rest),
        (Some(At::Optional(optional)), rest) => find(optional.make(), &here, rest),
        (Some(At::Named(named)), [name, rest @ ..]) => {
            let names = named.names();
            let known = names.iter().find(|known| in_variables(known) == *name);
            let name = known.map_or(*name, String::as_str);
            let here = here.with(name);
            match named.make(name) {
                Some(section) => find(section, &here, rest),
                None => Err(bad_name(&here)),
            }
        }
        (Some(At::List(list)), [place, rest @ ..]) => {
            let count = list.count();
            let found = place.parse().ok().filter(|place| *place < count);
            match found.and_then(|place| Some((place, list.section(place)?))) {
                Some((place, section)) => find(section, &here.with(place), rest),
                None => Err(format!(
                    "there is no {here}.{place}, the file has {count}, counted from 0"
                )),
            }
        }
        (Some(At::Named(_) | At::List(_)), []) => Err(format!(
            "{here} is several sections, expected one of them and a key"
        )),
        (None, rest) => {
            let meant = match rest {
                [] => Meant::Setting,
                _ => Meant::Section,
            };
            Err(unknown(section, path, key, meant))
        }
    }
}

/// A name as it can stand in the name of a variable.
fn in_variables(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric();
    let shown = name.chars().map(|c| if allowed(c) { c } else { '_' });
    shown.collect::<String>().to_ascii_lowercase()
}

/// A setting with one underscore where two belong would be ignored in silence.
fn slip(rest: &str, config: &mut Config) -> Option<String> {
    let mut meant = None;
    walk(config, &mut |path, visit| {
        if let Visit::Value(_) = visit {
            let name = path.to_string();
            if name.contains('.') && in_variables(&name) == rest {
                meant = Some(name.replace('.', "__").to_ascii_uppercase());
            }
        }
    });
    let meant = meant?;
    Some(format!(
        "is no setting, expected FOREBAY_{meant} with two underscores"
    ))
}
