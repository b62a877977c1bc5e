//! What an existing table lacks.

use super::table::{Dialect, SqlColumn, SqlType, Table};

/// A column as the database describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FoundColumn {
    pub(crate) name: String,
    /// The database's word for its type, as [`compare`]'s `is_type` knows it.
    pub(crate) type_name: String,
    pub(crate) nullable: bool,
    /// Whether the database fills it in when nobody does.
    pub(crate) has_default: bool,
}

/// What is to be done about an existing table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Comparison<'a> {
    /// Rows can be written once these columns are added; with none, as it is.
    Add(Vec<&'a SqlColumn>),
    /// Rows cannot be written: every difference, as text.
    Refuse(String),
}

/// Compares a table with what it has to be. Further columns do no harm if they may be empty.
pub(crate) fn compare<'a>(
    table: &'a Table,
    found: &[FoundColumn],
    dialect: &Dialect,
    is_type: impl Fn(SqlType, &str) -> bool,
) -> Comparison<'a> {
    let (mut missing, mut differences) = (Vec::new(), Vec::new());
    for column in &table.columns {
        let name = &column.name;
        let expected = (dialect.type_name)(column.kind);
        let Some(there) = found.iter().find(|there| there.name == *name) else {
            if column.nullable {
                missing.push(column);
            } else {
                differences.push(format!("column `{name}` ({expected}) is missing"));
            }
            continue;
        };
        if !is_type(column.kind, &there.type_name) {
            let type_name = &there.type_name;
            differences.push(format!(
                "column `{name}` is {type_name}, expected {expected}"
            ));
        }
        if column.nullable && !there.nullable {
            differences.push(format!(
                "column `{name}` is NOT NULL, expected to allow null"
            ));
        }
    }
    for there in found {
        let is_known = table.columns.iter().any(|column| column.name == there.name);
        if !is_known && !there.nullable && !there.has_default {
            let name = &there.name;
            differences.push(format!(
                "column `{name}` must have a value, and none is written"
            ));
        }
    }
    if differences.is_empty() {
        return Comparison::Add(missing);
    }
    Comparison::Refuse(format!(
        "table `{}` cannot take these rows: {}",
        table.name,
        differences.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Column, ColumnType, Schema};

    const SCHEMA: Schema = Schema::new(
        "orders",
        &[
            Column::new("id", ColumnType::I64),
            Column::new("note", ColumnType::Text).or_null(),
        ],
    );

    const DIALECT: Dialect = Dialect {
        quote: '"',
        type_name: |kind| match kind {
            SqlType::I64 => "bigint",
            SqlType::I32 => "integer",
            _ => "text",
        },
        if_not_exists: "IF NOT EXISTS ",
        table_suffix: "",
    };

    fn found(name: &str, type_name: &str) -> FoundColumn {
        FoundColumn {
            name: name.into(),
            type_name: type_name.into(),
            nullable: false,
            has_default: false,
        }
    }

    fn check(columns: &[FoundColumn]) -> Result<Vec<String>, String> {
        let table = Table::of_rows("orders", &SCHEMA);
        let is_type = |kind, name: &str| (DIALECT.type_name)(kind) == name;
        match compare(&table, columns, &DIALECT, is_type) {
            Comparison::Add(columns) => {
                Ok(columns.iter().map(|column| column.name.clone()).collect())
            }
            Comparison::Refuse(difference) => Err(difference),
        }
    }

    #[test]
    fn what_may_be_null_is_added_and_anything_else_refused_column_by_column() {
        let base = [
            found("id", "bigint"),
            found("scope", "integer"),
            found("position", "bigint"),
        ];
        assert_eq!(check(&base), Ok(vec!["note".to_owned()]));
        let mut other = base.to_vec();
        other[0].type_name = "text".into();
        other.remove(2);
        other.push(found("note", "text"));
        other.push(found("extra", "text"));
        assert_eq!(
            check(&other).unwrap_err(),
            "table `orders` cannot take these rows: column `id` is text, expected bigint; column \
             `note` is NOT NULL, expected to allow null; column `position` (bigint) is missing; \
             column `extra` must have a value, and none is written"
        );
    }
}
