//! Why a file of separated values cannot be read at all.

/// What is wrong with the header, or with what was said about the columns.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CsvError {
    /// The input failed before the header was read.
    #[error("cannot read the header: {0}")]
    Io(#[source] std::io::Error),
    /// The header is too long, or has a quote that is never closed.
    #[error("the header cannot be read: {0}")]
    Header(String),
    /// The header is not text.
    #[error("line {line}: the header is not UTF-8 at byte {at}")]
    HeaderNotUtf8 {
        /// The line of the header.
        line: u64,
        /// Offset of the first byte that is not.
        at: usize,
    },
    /// A name is given to two columns.
    #[error("line {line}: the header has two columns `{name}`")]
    DuplicateColumn {
        /// The line of the header.
        line: u64,
        /// The name.
        name: String,
    },
    /// Two columns say the same thing.
    #[error(
        "columns `{first}` and `{second}` both give the {field}: choose one with \
         `--map {field}=COLUMN`"
    )]
    Ambiguous {
        /// The field.
        field: &'static str,
        /// The first column.
        first: String,
        /// The second column.
        second: String,
    },
    /// A column has no name.
    #[error("line {line}: column {column} of the header has no name")]
    Unnamed {
        /// The line of the header.
        line: u64,
        /// Its number, from 1.
        column: usize,
    },
    /// There are too many columns.
    #[error("the header has {found} columns, the limit is {limit}")]
    TooManyColumns {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// No column has what every record needs.
    #[error("no column gives the {field}; the columns are {columns}; {hint}")]
    Missing {
        /// The field.
        field: &'static str,
        /// What to do.
        hint: &'static str,
        /// The columns found.
        columns: String,
    },
    /// The map names a column that is not there.
    #[error("`--map {field}={name}`: there is no such column; the columns are {columns}")]
    UnknownColumn {
        /// The field.
        field: &'static str,
        /// The name that the map gives.
        name: String,
        /// The columns found.
        columns: String,
    },
    /// A column of a wide file cannot be a tag.
    #[error("column {column} cannot be a tag: {source}")]
    Tag {
        /// Its number, from 1.
        column: usize,
        /// What is wrong with its name.
        source: record::RecordError,
    },
    /// A wide file has no column besides its time.
    #[error("a wide file needs a column per tag; the columns are {columns}")]
    NoTags {
        /// The columns found.
        columns: String,
    },
    /// A constant given by the caller is no valid name.
    #[error("`--{field}`: {source}")]
    Constant {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        source: record::RecordError,
    },
    /// The column map cannot be understood.
    #[error(
        "`--map {text}`: expected FIELD=COLUMN,…, where FIELD is timestamp, source, tag, value, \
         quality, priority or id, each at most once"
    )]
    Map {
        /// The part that is wrong.
        text: String,
    },
    /// The delimiter cannot separate cells.
    #[error("the delimiter cannot be {found}: it is one ASCII character, no quote, no line end")]
    Delimiter {
        /// What was given.
        found: String,
    },
}
