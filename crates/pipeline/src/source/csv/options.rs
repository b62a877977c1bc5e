//! What the caller says about a file of separated values.

use std::str::FromStr;

use jiff::tz::TimeZone;

use super::error::CsvError;

/// What cannot be told from a file of separated values. The default is a file with the record's
/// own column names, a point in its numbers, and times in UTC.
#[derive(Clone, Debug)]
pub struct CsvOptions {
    /// What stands between cells; `None` finds comma, semicolon or tab by itself.
    pub delimiter: Option<u8>,
    /// Columns that are not named like the fields they give.
    pub map: ColumnMap,
    /// The source of all records; it takes the place of a column.
    pub source: Option<String>,
    /// The tag of all records; it takes the place of a column. Not for [`Layout::Wide`].
    pub tag: Option<String>,
    /// One record per row, or one per cell.
    pub layout: Layout,
    /// Where the clocks were set by which times without an offset were written. A time that
    /// occurred twice, when clocks were set back, is taken as the first.
    pub timezone: TimeZone,
    /// The unit of times that are numbers.
    pub time_unit: Option<TimeUnit>,
    /// What separates the fraction of a number.
    pub decimal: Decimal,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: None,
            map: ColumnMap::default(),
            source: None,
            tag: None,
            layout: Layout::default(),
            timezone: TimeZone::UTC,
            time_unit: None,
            decimal: Decimal::default(),
        }
    }
}

/// How a table holds readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// One reading per row, with columns for its time, source, tag and value. The position of a
    /// record is the line on which its row begins.
    #[default]
    Long,
    /// One time per row and a column per tag, as plant historians export. The position of a
    /// record is `(line - 1) * tags + column`, where columns are those of tags, from 1; a row
    /// that is malformed as a whole has the first position of its row.
    Wide,
}

/// What separates the fraction of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decimal {
    /// `1234.5`.
    #[default]
    Point,
    /// `1234,5`. A cell with a point is text then, because a point may separate thousands.
    Comma,
}

/// The unit of a time that is a number since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds; what is finer than a microsecond is cut off.
    Nanoseconds,
}

/// A time unit that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time unit is {found:?}, expected s, ms, us or ns")]
pub struct UnknownTimeUnit {
    found: String,
}

impl FromStr for TimeUnit {
    type Err = UnknownTimeUnit;

    fn from_str(text: &str) -> Result<Self, UnknownTimeUnit> {
        match text {
            "s" => Ok(Self::Seconds),
            "ms" => Ok(Self::Milliseconds),
            "us" | "µs" => Ok(Self::Microseconds),
            "ns" => Ok(Self::Nanoseconds),
            _ => Err(UnknownTimeUnit {
                found: text.to_owned(),
            }),
        }
    }
}

/// A field of the record that a column can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Field {
    /// When it happened.
    Timestamp,
    /// Who reads; also `plc_code`.
    Source,
    /// What is read; also `tag_address`.
    Tag,
    /// What was read; also `tag_value`.
    Value,
    /// How far it can be trusted.
    Quality,
    /// The urgency it asks for.
    Priority,
    /// The caller's own id.
    Id,
}

impl Field {
    /// All fields.
    pub const ALL: [Self; 7] = [
        Self::Timestamp,
        Self::Source,
        Self::Tag,
        Self::Value,
        Self::Quality,
        Self::Priority,
        Self::Id,
    ];

    /// The field's name, which is also that of its column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timestamp => "timestamp",
            Self::Source => "source",
            Self::Tag => "tag",
            Self::Value => "value",
            Self::Quality => "quality",
            Self::Priority => "priority",
            Self::Id => "id",
        }
    }

    /// The field that a column of this name gives, in any case.
    #[must_use]
    pub fn of_column(name: &str) -> Option<Self> {
        let name = match name {
            _ if name.eq_ignore_ascii_case("plc_code") => "source",
            _ if name.eq_ignore_ascii_case("tag_address") => "tag",
            _ if name.eq_ignore_ascii_case("tag_value") => "value",
            _ => name,
        };
        Self::ALL
            .into_iter()
            .find(|field| field.as_str().eq_ignore_ascii_case(name))
    }
}

/// Which columns give which fields, where their names do not say it.
///
/// ```
/// use pipeline::source::{ColumnMap, Field};
/// let map: ColumnMap = "timestamp=datetime, value=reading".parse()?;
/// assert_eq!(map.column(Field::Value), Some("reading"));
/// assert_eq!(map.column(Field::Tag), None);
/// assert!("time=datetime".parse::<ColumnMap>().is_err());
/// # Ok::<(), pipeline::source::CsvError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColumnMap([Option<String>; Field::ALL.len()]);

impl ColumnMap {
    /// The column that gives `field`, when the map says so.
    #[must_use]
    pub fn column(&self, field: Field) -> Option<&str> {
        self.0[field as usize].as_deref()
    }
}

impl FromStr for ColumnMap {
    type Err = CsvError;

    /// Reads `FIELD=COLUMN` parts, separated by commas; spaces around names do not matter.
    fn from_str(text: &str) -> Result<Self, CsvError> {
        let mut map = Self::default();
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let refused = || CsvError::Map {
                text: part.trim().to_owned(),
            };
            let (field, column) = part.split_once('=').ok_or_else(refused)?;
            let field = Field::of_column(field.trim()).ok_or_else(refused)?;
            let column = column.trim();
            let slot = &mut map.0[field as usize];
            if column.is_empty() || slot.is_some() {
                return Err(refused());
            }
            *slot = Some(column.to_owned());
        }
        Ok(map)
    }
}
