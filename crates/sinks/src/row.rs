//! What a struct has to say of itself so that every adapter can write it.
//!
//! A [`Row`] names its table and its columns once, in [`Row::SCHEMA`], and lends one [`Cell`] per
//! column. SQL adapters make tables and statements of that, files their header, HTTP its JSON. The
//! ready-made row is [`Record`]; [`row!`](crate::row!) writes the implementation for any struct.

use record::{Record, Timestamp, Value, ndjson};

/// A value of one column, lent by its row.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cell<'a> {
    /// There is no value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    I64(i64),
    /// A number; adapters store what is not finite as null where the sink knows no NaN.
    F64(f64),
    /// Text.
    Text(&'a str),
    /// A JSON document, as text.
    Json(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A moment.
    Timestamp(Timestamp),
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ColumnType {
    /// Truth values.
    Bool,
    /// Whole numbers of 64 bits.
    I64,
    /// Numbers of 64 bits.
    F64,
    /// Text.
    Text,
    /// JSON documents.
    Json,
    /// Bytes.
    Bytes,
    /// Moments, in microseconds since 1970, UTC.
    Timestamp,
    /// A cell of any kind but bytes and moments, which differs from row to row.
    Any,
}

/// A column of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: ColumnType,
    pub(crate) nullable: bool,
}

impl Column {
    /// A column that has a value in every row.
    #[must_use]
    pub const fn new(name: &'static str, kind: ColumnType) -> Self {
        Self {
            name,
            kind,
            nullable: false,
        }
    }

    /// The same column, in which a cell may be [`Cell::Null`].
    #[must_use]
    pub const fn or_null(self) -> Self {
        Self {
            nullable: true,
            ..self
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it holds.
    #[must_use]
    pub const fn kind(&self) -> ColumnType {
        self.kind
    }

    /// Whether a cell may be [`Cell::Null`].
    #[must_use]
    pub const fn is_nullable(&self) -> bool {
        self.nullable
    }
}

/// The table and the columns of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Schema {
    pub(crate) table: &'static str,
    pub(crate) columns: &'static [Column],
}

/// The most bytes a table's or a column's name may have: what each of the databases takes.
pub const IDENTIFIER_BYTES_MAX: usize = 48;

/// Names that adapters add to each table themselves.
const RESERVED: [&str; 2] = ["scope", "position"];

impl Schema {
    /// A table of these columns.
    ///
    /// # Panics
    /// When a name is not made of 1 to [`IDENTIFIER_BYTES_MAX`] lower-case ASCII letters, digits
    /// and underscores behind a letter, is `scope` or `position`, which each table has anyway, or
    /// occurs twice. In a constant, as [`Row::SCHEMA`] is, that is an error of the compiler.
    #[must_use]
    pub const fn new(table: &'static str, columns: &'static [Column]) -> Self {
        assert!(is_identifier(table), "the table's name is no identifier");
        let mut index = 0;
        while index < columns.len() {
            let name = columns[index].name;
            assert!(is_identifier(name), "a column's name is no identifier");
            assert!(
                !is_same(name, RESERVED[0]) && !is_same(name, RESERVED[1]),
                "`scope` and `position` are columns of every table"
            );
            let mut other = 0;
            while other < index {
                assert!(!is_same(name, columns[other].name), "two columns of a name");
                other += 1;
            }
            index += 1;
        }
        Self { table, columns }
    }

    /// The name that the table has unless an adapter is told otherwise.
    #[must_use]
    pub const fn table(&self) -> &'static str {
        self.table
    }

    /// The columns, in order.
    #[must_use]
    pub const fn columns(&self) -> &'static [Column] {
        self.columns
    }
}

/// Whether a name is one that no database has to quote or cut off.
#[must_use]
pub(crate) const fn is_identifier(name: &str) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > IDENTIFIER_BYTES_MAX || !bytes[0].is_ascii_lowercase() {
        return false;
    }
    let mut index = 1;
    while index < bytes.len() {
        let byte = bytes[index];
        if !(byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
            return false;
        }
        index += 1;
    }
    true
}

const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut index = 0;
    while index < a.len() {
        if a[index] != b[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// A struct that every adapter can write.
///
/// Implement it by [`row!`](crate::row!), or by hand where cells are computed.
///
/// ```
/// use sinks::{Cell, Column, ColumnType, Row, Schema};
///
/// struct Order {
///     id: i64,
///     note: Option<String>,
/// }
///
/// impl Row for Order {
///     const SCHEMA: Schema = Schema::new(
///         "orders",
///         &[Column::new("id", ColumnType::I64), Column::new("note", ColumnType::Text).or_null()],
///     );
///
///     fn cell(&self, column: usize) -> Cell<'_> {
///         match column {
///             0 => Cell::I64(self.id),
///             _ => self.note.as_deref().into(),
///         }
///     }
/// }
///
/// let order = Order { id: 7, note: None };
/// assert_eq!(order.cell(1), Cell::Null);
/// assert_eq!(order.to_json(), r#"{"id":7,"note":null}"#);
/// ```
pub trait Row: Send + Sync + 'static {
    /// Its table and columns.
    const SCHEMA: Schema;

    /// The cell of the column with this index in [`SCHEMA`](Self::SCHEMA).
    fn cell(&self, column: usize) -> Cell<'_>;

    /// Bytes on the heap that the row holds, for buffers that are bounded in bytes.
    fn heap_bytes(&self) -> usize {
        0
    }

    /// The row as a JSON object on one line: what the quarantine keeps of it.
    fn to_json(&self) -> String {
        let mut text = String::from("{");
        for (index, column) in Self::SCHEMA.columns.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            text.push_str(&format!("{comma}\"{}\":", column.name));
            write_json(self.cell(index), &mut text);
        }
        text.push('}');
        text
    }
}

/// Appends a cell as JSON: moments as microseconds, bytes as hexadecimal digits, what is not
/// finite as null.
pub(crate) fn write_json(cell: Cell<'_>, text: &mut String) {
    match cell {
        Cell::Null => text.push_str("null"),
        Cell::Bool(truth) => text.push_str(if truth { "true" } else { "false" }),
        Cell::I64(number) => text.push_str(&number.to_string()),
        Cell::F64(number) if !number.is_finite() => text.push_str("null"),
        Cell::F64(number) => text.push_str(&serde_json::json!(number).to_string()),
        Cell::Text(string) => text.push_str(&serde_json::json!(string).to_string()),
        Cell::Json(document) => text.push_str(document),
        Cell::Bytes(bytes) => {
            text.push('"');
            for byte in bytes {
                text.push_str(&format!("{byte:02x}"));
            }
            text.push('"');
        }
        Cell::Timestamp(moment) => text.push_str(&moment.micros().to_string()),
    }
}

impl Row for Record {
    const SCHEMA: Schema = Schema::new(
        "tag_values",
        &[
            Column::new("timestamp", ColumnType::Timestamp),
            Column::new("source", ColumnType::Text),
            Column::new("tag", ColumnType::Text),
            Column::new("value", ColumnType::Any).or_null(),
            Column::new("quality", ColumnType::Text),
        ],
    );

    fn cell(&self, column: usize) -> Cell<'_> {
        match column {
            0 => Cell::Timestamp(self.timestamp),
            1 => Cell::Text(self.source.as_str()),
            2 => Cell::Text(self.tag.as_str()),
            3 => Cell::from(&self.value),
            _ => Cell::Text(self.quality.as_str()),
        }
    }

    fn heap_bytes(&self) -> usize {
        self.size_bytes() - size_of::<Self>()
    }

    fn to_json(&self) -> String {
        ndjson::write(self)
    }
}

impl<'a> From<&'a Value> for Cell<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(truth) => Self::Bool(*truth),
            Value::I64(number) => Self::I64(*number),
            Value::F64(number) => Self::F64(*number),
            Value::Text(text) => Self::Text(text.as_str()),
            Value::Json(text) => Self::Json(text.as_str()),
        }
    }
}

impl From<bool> for Cell<'_> {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i64> for Cell<'_> {
    fn from(number: i64) -> Self {
        Self::I64(number)
    }
}

impl From<i32> for Cell<'_> {
    fn from(number: i32) -> Self {
        Self::I64(number.into())
    }
}

impl From<u32> for Cell<'_> {
    fn from(number: u32) -> Self {
        Self::I64(number.into())
    }
}

impl From<f64> for Cell<'_> {
    fn from(number: f64) -> Self {
        Self::F64(number)
    }
}

impl From<Timestamp> for Cell<'_> {
    fn from(moment: Timestamp) -> Self {
        Self::Timestamp(moment)
    }
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Cell<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Cell<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Implements [`Row`](crate::Row) for a struct: the table, then each column with its type and the
/// cell that it lends. Behind a type, `or null` allows [`Cell::Null`].
///
/// ```
/// use sinks::{Cell, Row, row};
///
/// struct Order {
///     id: i64,
///     price: f64,
///     note: Option<String>,
/// }
///
/// row! {
///     Order => "orders" {
///         "id": I64 = |order| order.id;
///         "price": F64 = |order| order.price;
///         "note": Text or null = |order| order.note.as_deref();
///     }
/// }
///
/// assert_eq!(Order::SCHEMA.columns()[2].name(), "note");
/// let order = Order { id: 1, price: 2.5, note: Some("fragile".into()) };
/// assert_eq!(order.cell(2), Cell::Text("fragile"));
/// ```
#[macro_export]
macro_rules! row {
    ($row:ty => $table:literal {
        $($column:literal : $kind:ident $(or $null:ident)? = |$this:ident| $cell:expr;)+
    }) => {
        impl $crate::Row for $row {
            const SCHEMA: $crate::Schema = $crate::Schema::new(
                $table,
                &[$($crate::row!(@column $column, $kind $(, $null)?)),+],
            );

            fn cell(&self, column: usize) -> $crate::Cell<'_> {
                let mut left = column;
                $(
                    if left == 0 {
                        let $this = self;
                        return $crate::Cell::from($cell);
                    }
                    left = left.wrapping_sub(1);
                )+
                let _ = left;
                $crate::Cell::Null
            }
        }
    };
    (@column $column:literal, $kind:ident) => {
        $crate::Column::new($column, $crate::ColumnType::$kind)
    };
    (@column $column:literal, $kind:ident, null) => {
        $crate::Column::new($column, $crate::ColumnType::$kind).or_null()
    };
}
