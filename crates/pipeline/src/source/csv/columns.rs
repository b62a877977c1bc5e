//! Which column gives what: the header, read once.

use record::{Name, RecordError};

use super::cells::Cells;
use super::error::CsvError;
use super::options::{ColumnMap, CsvOptions, Field, Layout};

/// The most columns a table may have.
pub const COLUMNS_MAX: usize = 16_384;

/// What delimiters are found among when none is named.
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// Why a row is not a record, or not several.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("the row has {found} cells, the header has {expected}")]
    Ragged { found: usize, expected: usize },
    #[error("field `timestamp` is {found}, a number without a unit (`--time-unit`)")]
    TimeUnitMissing { found: String },
    #[error("the quotes of the row cannot be understood")]
    Quotes,
}

/// What the columns of a table give.
pub(super) struct Columns {
    count: usize,
    /// A header that ends with a delimiter; then so may rows, or not.
    last_is_unnamed: bool,
    pub(super) time: usize,
    pub(super) source: Given,
    pub(super) readings: Readings,
}

/// Where a name comes from.
pub(super) enum Given {
    Column(usize),
    Constant(Name),
}

/// Where values come from.
pub(super) enum Readings {
    Long(Box<LongColumns>),
    /// A column per tag.
    Wide(Vec<(usize, Name)>),
}

pub(super) struct LongColumns {
    pub(super) tag: Given,
    pub(super) value: usize,
    pub(super) quality: Option<usize>,
    pub(super) priority: Option<usize>,
    pub(super) id: Option<usize>,
}

impl Columns {
    /// Finds the columns in the header, which stands on `line`.
    pub(super) fn find(
        header: Cells<'_>,
        line: u64,
        options: &CsvOptions,
    ) -> Result<Self, CsvError> {
        let names: Vec<&str> = header.iter().map(str::trim).collect();
        check_names(&names, line, options.layout)?;
        let given = |field| column_of(&names, field, &options.map);
        let time = required(given(Field::Timestamp)?, &names, Field::Timestamp)?;
        let source = match constant(Field::Source, options.source.as_deref())? {
            Some(name) => Given::Constant(name),
            None => Given::Column(required(given(Field::Source)?, &names, Field::Source)?),
        };
        let readings = match options.layout {
            Layout::Long => Readings::Long(Box::new(LongColumns {
                tag: match constant(Field::Tag, options.tag.as_deref())? {
                    Some(name) => Given::Constant(name),
                    None => Given::Column(required(given(Field::Tag)?, &names, Field::Tag)?),
                },
                value: required(given(Field::Value)?, &names, Field::Value)?,
                quality: given(Field::Quality)?,
                priority: given(Field::Priority)?,
                id: given(Field::Id)?,
            })),
            Layout::Wide => Readings::Wide(tags(&names, time, given(Field::Source)?)?),
        };
        Ok(Self {
            count: names.len(),
            last_is_unnamed: names.last() == Some(&""),
            time,
            source,
            readings,
        })
    }

    /// Passes a row that has the columns of the header.
    pub(super) fn check(&self, cells: Cells<'_>) -> Result<(), RowError> {
        let found = cells.len();
        if found == self.count || (self.last_is_unnamed && found + 1 == self.count) {
            return Ok(());
        }
        let expected = self.count;
        Err(RowError::Ragged { found, expected })
    }
}

impl Given {
    /// The name that it gives for a row.
    pub(super) fn name(&self, field: Field, cells: Cells<'_>) -> Result<Name, RecordError> {
        match self {
            Self::Column(index) => Name::new(field.as_str(), cells.at(*index).trim()),
            Self::Constant(name) => Ok(name.clone()),
        }
    }
}

/// The delimiter that makes the most of a header: the most columns with a known name, then the
/// most columns. Comma when there is none.
pub(super) fn find_delimiter(header: &[u8], map: &ColumnMap) -> u8 {
    let header = String::from_utf8_lossy(header);
    let mut best = (b',', (0, 1));
    for delimiter in DELIMITERS {
        let names = split_naively(&header, delimiter);
        let known = names.clone().filter(|name| is_known(name, map)).count();
        let score = (known, names.count());
        if score.1 > 1 && score > best.1 {
            best = (delimiter, score);
        }
    }
    best.0
}

/// Whether a line may be the header of a table: it has a delimiter, or a column with a known name.
pub(in super::super) fn looks_like_header(line: &str, options: &CsvOptions) -> bool {
    let delimiters: &[u8] = match &options.delimiter {
        Some(delimiter) => std::slice::from_ref(delimiter),
        None => &DELIMITERS,
    };
    is_known(unquoted(line), &options.map)
        || delimiters
            .iter()
            .any(|delimiter| split_naively(line, *delimiter).nth(1).is_some())
}

/// Good enough to guess by: quotes are taken off a name, but do not hide a delimiter.
fn split_naively(line: &str, delimiter: u8) -> impl Iterator<Item = &str> + Clone {
    line.split(char::from(delimiter)).map(unquoted)
}

fn unquoted(name: &str) -> &str {
    name.trim().trim_matches('"').trim()
}

fn is_known(name: &str, map: &ColumnMap) -> bool {
    Field::of_column(name).is_some()
        || Field::ALL.into_iter().any(|field| {
            map.column(field)
                .is_some_and(|mapped| mapped.eq_ignore_ascii_case(name))
        })
}

fn check_names(names: &[&str], line: u64, layout: Layout) -> Result<(), CsvError> {
    if names.len() > COLUMNS_MAX {
        return Err(CsvError::TooManyColumns {
            found: names.len(),
            limit: COLUMNS_MAX,
        });
    }
    let mut seen = std::collections::HashSet::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            // Columns that give nothing need no name. Every column of a wide table gives a tag,
            // but for the one after a delimiter at the end.
            if (layout == Layout::Wide && index + 1 < names.len()) || names.len() == 1 {
                let column = index + 1;
                return Err(CsvError::Unnamed { line, column });
            }
        } else if !seen.insert(*name) {
            let name = shortened(name);
            return Err(CsvError::DuplicateColumn { line, name });
        }
    }
    Ok(())
}

/// The column that gives `field`: the mapped one, or the one with its name or alias.
fn column_of(names: &[&str], field: Field, map: &ColumnMap) -> Result<Option<usize>, CsvError> {
    if let Some(mapped) = map.column(field) {
        let same = names.iter().position(|name| *name == mapped);
        let found = same.or_else(|| {
            names
                .iter()
                .position(|name| name.eq_ignore_ascii_case(mapped))
        });
        return found.map(Some).ok_or_else(|| CsvError::UnknownColumn {
            field: field.as_str(),
            name: shortened(mapped),
            columns: listed(names),
        });
    }
    let mut found = names
        .iter()
        .enumerate()
        .filter(|(_, name)| Field::of_column(name) == Some(field) && !is_mapped(name, map));
    let Some((index, first)) = found.next() else {
        return Ok(None);
    };
    match found.next() {
        None => Ok(Some(index)),
        Some((_, second)) => Err(CsvError::Ambiguous {
            field: field.as_str(),
            first: shortened(first),
            second: shortened(second),
        }),
    }
}

/// Whether the map uses this column for a field, so that its own name means nothing.
fn is_mapped(name: &str, map: &ColumnMap) -> bool {
    Field::ALL
        .into_iter()
        .any(|field| map.column(field) == Some(name))
}

fn required(found: Option<usize>, names: &[&str], field: Field) -> Result<usize, CsvError> {
    found.ok_or_else(|| CsvError::Missing {
        field: field.as_str(),
        hint: match field {
            Field::Timestamp => "name one with `--map timestamp=COLUMN`",
            Field::Source => {
                "name one with `--map source=COLUMN`, or give the source with `--source NAME`"
            }
            Field::Tag => {
                "name one with `--map tag=COLUMN`, give the tag with `--tag NAME`, or say `--wide` \
                 if each column is a tag"
            }
            _ => "name one with `--map value=COLUMN`, or say `--wide` if each column is a tag",
        },
        columns: listed(names),
    })
}

fn constant(field: Field, text: Option<&str>) -> Result<Option<Name>, CsvError> {
    text.map(|text| Name::new(field.as_str(), text.trim()))
        .transpose()
        .map_err(|source| CsvError::Constant {
            field: field.as_str(),
            source,
        })
}

/// The columns of a wide table that are tags: all but those of the time and the source.
fn tags(
    names: &[&str],
    time: usize,
    source: Option<usize>,
) -> Result<Vec<(usize, Name)>, CsvError> {
    let tags = names
        .iter()
        .enumerate()
        .filter(|(index, name)| *index != time && Some(*index) != source && !name.is_empty())
        .map(|(index, name)| {
            let tag = Name::new("tag", name).map_err(|source| CsvError::Tag {
                column: index + 1,
                source,
            })?;
            Ok((index, tag))
        })
        .collect::<Result<Vec<_>, CsvError>>()?;
    if tags.is_empty() {
        let columns = listed(names);
        return Err(CsvError::NoTags { columns });
    }
    Ok(tags)
}

/// The names of the columns as an error lists them.
fn listed(names: &[&str]) -> String {
    const LISTED_MAX: usize = 20;
    let mut text = names
        .iter()
        .take(LISTED_MAX)
        .map(|name| format!("`{}`", shortened(name)))
        .collect::<Vec<_>>()
        .join(", ");
    if names.len() > LISTED_MAX {
        text.push_str(&format!(" and {} more", names.len() - LISTED_MAX));
    }
    text
}

/// A text from the input, cut so that a message stays readable.
pub(super) fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
