//! The statements that create and alter tables.

use super::table::{Dialect, SqlColumn, SqlType, Table};

/// `CREATE TABLE` with all columns and keys.
pub(crate) fn create_table(table: &Table, dialect: &Dialect) -> String {
    let q = dialect.quote;
    let mut lines: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("    {}", definition(column, dialect)))
        .collect();
    for (key, columns) in &table.keys {
        let columns: Vec<_> = columns.iter().map(|name| format!("{q}{name}{q}")).collect();
        lines.push(format!("    {key} ({})", columns.join(", ")));
    }
    format!(
        "CREATE TABLE {}{q}{}{q} (\n{}\n){}",
        dialect.if_not_exists,
        table.name,
        lines.join(",\n"),
        dialect.table_suffix
    )
}

/// `ALTER TABLE` that adds a column, which has to be nullable.
pub(crate) fn add_column(table: &Table, column: &SqlColumn, dialect: &Dialect) -> String {
    let q = dialect.quote;
    format!(
        "ALTER TABLE {q}{}{q} ADD {}",
        table.name,
        definition(column, dialect)
    )
}

/// The names of all columns, quoted, separated by commas.
pub(crate) fn column_list(table: &Table, quote: char) -> String {
    let names: Vec<_> = table
        .columns
        .iter()
        .map(|column| format!("{quote}{}{quote}", column.name))
        .collect();
    names.join(", ")
}

fn definition(column: &SqlColumn, dialect: &Dialect) -> String {
    let q = dialect.quote;
    // What fills itself in says itself what it may be.
    let not_null = match column.kind {
        SqlType::Identity | SqlType::Now => "",
        _ if column.nullable => "",
        _ => " NOT NULL",
    };
    let type_name = (dialect.type_name)(column.kind);
    format!("{q}{}{q} {type_name}{not_null}", column.name)
}
