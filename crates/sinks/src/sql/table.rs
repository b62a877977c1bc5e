//! A schema as the table that a database has of it.

use crate::{ColumnType, Schema};

/// The type of a column in a database, which each dialect has its own word for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SqlType {
    /// Truth values.
    Bool,
    /// Whole numbers of 32 bits: a scope's id.
    I32,
    /// Whole numbers of 64 bits.
    I64,
    /// Numbers of 64 bits, which may be rounded to nothing but themselves.
    F64,
    /// Text of any length.
    Text,
    /// Text of at most 255 characters, which a key can be made of.
    Name,
    /// Text of at most 8 characters: the kind of a value.
    Kind,
    /// JSON documents.
    Json,
    /// Bytes of any length.
    Bytes,
    /// Moments, in microseconds since 1970, UTC.
    Timestamp,
    /// When the row was stored, filled in by the database.
    Now,
    /// The number that the database gives a row, its primary key.
    Identity,
}

/// Which part of a row a column takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// The cell with this index.
    Cell(usize),
    /// Of a cell of any type with this index: the number in it.
    AnyNumber(usize),
    /// The text in it, or the digits that a number cannot carry.
    AnyText(usize),
    /// The word for its kind.
    AnyKind(usize),
    /// The scope's id.
    Scope,
    /// The position.
    Position,
    /// Something that is not part of a row.
    Other,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SqlColumn {
    pub(crate) name: String,
    pub(crate) kind: SqlType,
    pub(crate) nullable: bool,
    pub(crate) source: Source,
}

/// A table: its name, its columns, and what else stands between its parentheses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<SqlColumn>,
    /// Constraints over columns, by name, such as `PRIMARY KEY` over `scope` and `position`.
    pub(crate) keys: Vec<(&'static str, Vec<&'static str>)>,
}

/// What differs between databases in the statements that create tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// What stands around a name.
    pub(crate) quote: char,
    /// The word for a type, with what follows it where a column of it always has that.
    pub(crate) type_name: fn(SqlType) -> &'static str,
    /// What `CREATE TABLE` is followed by so that an existing one is left alone.
    pub(crate) if_not_exists: &'static str,
    /// What follows the closing parenthesis of a new table.
    pub(crate) table_suffix: &'static str,
}

impl Table {
    /// The table of the rows: the schema's columns, `scope`, `position`.
    pub(crate) fn of_rows(name: &str, schema: &Schema) -> Self {
        let mut columns = Vec::new();
        for (index, column) in schema.columns().iter().enumerate() {
            let mut add = |suffix: &str, kind, nullable, source| {
                columns.push(SqlColumn {
                    name: format!("{}{suffix}", column.name()),
                    kind,
                    nullable,
                    source,
                });
            };
            let kind = match column.kind() {
                ColumnType::Any => {
                    add("", SqlType::F64, true, Source::AnyNumber(index));
                    add("_text", SqlType::Text, true, Source::AnyText(index));
                    add("_kind", SqlType::Kind, false, Source::AnyKind(index));
                    continue;
                }
                ColumnType::Bool => SqlType::Bool,
                ColumnType::I64 => SqlType::I64,
                ColumnType::F64 => SqlType::F64,
                ColumnType::Text => SqlType::Text,
                ColumnType::Json => SqlType::Json,
                ColumnType::Bytes => SqlType::Bytes,
                ColumnType::Timestamp => SqlType::Timestamp,
            };
            add("", kind, column.is_nullable(), Source::Cell(index));
        }
        columns.push(column("scope", SqlType::I32, Source::Scope));
        columns.push(column("position", SqlType::I64, Source::Position));
        Self {
            name: name.to_owned(),
            columns,
            keys: Vec::new(),
        }
    }

    /// The table of the watermarks, one row for each scope.
    pub(crate) fn of_ledger(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            columns: vec![
                column("id", SqlType::Identity, Source::Other),
                column("scope", SqlType::Name, Source::Other),
                column("fence", SqlType::I64, Source::Other),
                column("position", SqlType::I64, Source::Other),
                column("batch", SqlType::I64, Source::Other),
                column("hash", SqlType::I64, Source::Other),
                column("updated_at", SqlType::Now, Source::Other),
            ],
            keys: vec![("UNIQUE", vec!["scope"])],
        }
    }

    /// The table of what was refused.
    pub(crate) fn of_quarantine(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            columns: vec![
                column("scope", SqlType::I32, Source::Other),
                column("position", SqlType::I64, Source::Other),
                column("reason", SqlType::Text, Source::Other),
                column("original", SqlType::Bytes, Source::Other),
                column("quarantined_at", SqlType::Now, Source::Other),
            ],
            keys: vec![("PRIMARY KEY", vec!["scope", "position"])],
        }
    }
}

fn column(name: &str, kind: SqlType, source: Source) -> SqlColumn {
    SqlColumn {
        name: name.to_owned(),
        kind,
        nullable: false,
        source,
    }
}

#[cfg(test)]
mod tests {
    use record::Record;

    use super::*;
    use crate::Row;

    #[test]
    fn a_column_of_any_type_becomes_three() {
        let table = Table::of_rows("tag_values", &Record::SCHEMA);
        let columns: Vec<_> = table
            .columns
            .iter()
            .map(|column| (column.name.as_str(), column.kind, column.nullable))
            .collect();
        assert_eq!(
            columns,
            [
                ("timestamp", SqlType::Timestamp, false),
                ("source", SqlType::Text, false),
                ("tag", SqlType::Text, false),
                ("value", SqlType::F64, true),
                ("value_text", SqlType::Text, true),
                ("value_kind", SqlType::Kind, false),
                ("quality", SqlType::Text, false),
                ("scope", SqlType::I32, false),
                ("position", SqlType::I64, false),
            ]
        );
    }
}
