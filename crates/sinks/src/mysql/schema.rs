//! The tables: made where they are missing, given new columns that may be null, refused otherwise.

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::failure::Failure;
use super::{Context, MysqlOptions};
use crate::sql::{
    Comparison, Dialect, FoundColumn, Names, SqlType, Table, add_column, compare, create_table,
};
use crate::{ErrorKind, Schema, WriteError};

const DIALECT: Dialect = Dialect {
    quote: '`',
    type_name: |kind| match kind {
        SqlType::Bool => "TINYINT(1)",
        SqlType::I32 => "INT",
        SqlType::I64 => "BIGINT",
        SqlType::F64 => "DOUBLE",
        SqlType::Text => "MEDIUMTEXT",
        // Compared by its bytes, and longer than 255 letters of four bytes.
        SqlType::Name => "VARBINARY(1024)",
        SqlType::Kind => "VARCHAR(8)",
        SqlType::Json => "JSON",
        SqlType::Bytes => "LONGBLOB",
        SqlType::Timestamp => "DATETIME(6)",
        SqlType::Now => "DATETIME(6) NOT NULL",
        SqlType::Identity => "INT AUTO_INCREMENT PRIMARY KEY",
    },
    if_not_exists: "IF NOT EXISTS ",
    // Text is compared by its bytes, and rows of any length are kept off the page.
    table_suffix: " ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 \
                   COLLATE utf8mb4_bin",
};

/// Whether a type takes what is sent for ours.
fn is_type(kind: SqlType, found: &str) -> bool {
    const BYTES: [&str; 5] = ["VARBINARY", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB"];
    const TEXTS: [&str; 6] = [
        "VARCHAR",
        "CHAR",
        "TINYTEXT",
        "TEXT",
        "MEDIUMTEXT",
        "LONGTEXT",
    ];
    match kind {
        SqlType::Bool => found == "TINYINT",
        SqlType::I32 | SqlType::Identity => matches!(found, "INT" | "BIGINT"),
        SqlType::I64 => found == "BIGINT",
        SqlType::F64 => found == "DOUBLE",
        SqlType::Text | SqlType::Kind => TEXTS.contains(&found),
        SqlType::Name | SqlType::Bytes => BYTES.contains(&found),
        SqlType::Json => matches!(found, "JSON" | "LONGTEXT" | "MEDIUMTEXT"),
        SqlType::Timestamp | SqlType::Now => found == "DATETIME(6)",
    }
}

/// Somebody else has added the column meanwhile.
const DUPLICATE_COLUMN: u16 = 1060;

/// The rows, the ledger and the quarantine.
pub(super) fn tables(names: &Names, schema: &Schema) -> [Table; 3] {
    let mut rows = Table::of_rows(&names.table, schema);
    rows.keys = vec![("PRIMARY KEY", vec!["scope", "position"])];
    [
        rows,
        Table::of_ledger(&names.ledger),
        Table::of_quarantine(&names.quarantine),
    ]
}

/// The statements that make the tables.
pub(super) fn statements(tables: &[Table; 3]) -> Vec<String> {
    let create = |table| create_table(table, &DIALECT);
    tables.iter().map(create).collect()
}

/// Makes, completes or refuses the tables.
pub(super) async fn prepare(conn: &mut Conn, context: &Context) -> Result<(), Failure> {
    let options = &context.options;
    for table in &context.tables {
        let doing = "look at the tables of";
        let mut found = columns_of(conn, &table.name)
            .await
            .map_err(|error| Failure::of(doing, options, &error))?;
        if found.is_empty() {
            conn.query_drop(create_table(table, &DIALECT))
                .await
                .map_err(|error| Failure::of("create the tables of", options, &error))?;
            found = columns_of(conn, &table.name)
                .await
                .map_err(|error| Failure::of(doing, options, &error))?;
        }
        check_engine(conn, options, &table.name).await?;
        let missing = match compare(table, &found, &DIALECT, is_type) {
            Comparison::Add(columns) => columns,
            Comparison::Refuse(difference) => {
                let message = format!("cannot use {options}: {difference}");
                return Err(Failure::lost(WriteError::new(ErrorKind::Fatal, message)));
            }
        };
        for column in missing {
            tracing::info!(table = %table.name, column = %column.name, "a column is added");
            let added = conn.query_drop(add_column(table, column, &DIALECT)).await;
            match added {
                Err(mysql_async::Error::Server(error)) if error.code == DUPLICATE_COLUMN => {}
                added => added.map_err(|error| Failure::of("add a column to", options, &error))?,
            }
        }
    }
    Ok(())
}

async fn columns_of(conn: &mut Conn, table: &str) -> mysql_async::Result<Vec<FoundColumn>> {
    let sql = format!(
        "SELECT COLUMN_NAME, COLUMN_TYPE, DATA_TYPE, IS_NULLABLE = 'YES',
                COLUMN_DEFAULT IS NOT NULL OR EXTRA LIKE '%auto_increment%'
                    OR EXTRA LIKE '%GENERATED%' OR EXTRA LIKE '%VIRTUAL%'
         FROM information_schema.COLUMNS
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}' ORDER BY ORDINAL_POSITION"
    );
    let found = |(name, full, kind, nullable, has_default): (String, String, String, _, _)| {
        let (full, kind) = (full.to_ascii_uppercase(), kind.to_ascii_uppercase());
        // Only these say more in their full type than how wide they are shown.
        let says_more = kind == "DATETIME" || full.contains("UNSIGNED");
        FoundColumn {
            name: name.to_ascii_lowercase(),
            type_name: if says_more { full } else { kind },
            nullable,
            has_default,
        }
    };
    conn.query_map(sql, found).await
}

async fn check_engine(conn: &mut Conn, options: &MysqlOptions, table: &str) -> Result<(), Failure> {
    let sql = format!(
        "SELECT coalesce(ENGINE, TABLE_TYPE) FROM information_schema.TABLES
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}'"
    );
    let engine: Option<String> = conn
        .query_first(sql)
        .await
        .map_err(|error| Failure::of("look at the tables of", options, &error))?;
    let engine = engine.unwrap_or_default();
    if engine.eq_ignore_ascii_case("InnoDB") {
        return Ok(());
    }
    Err(Failure::lost(WriteError::new(
        ErrorKind::Fatal,
        format!(
            "table `{table}` of {options} is kept by {engine}, which has no transactions; convert \
             it by ALTER TABLE `{table}` ENGINE=InnoDB"
        ),
    )))
}
