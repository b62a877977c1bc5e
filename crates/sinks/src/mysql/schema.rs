//! The tables: made where they are missing, given new columns that may be null, refused otherwise.

use std::fmt::Write;

use mysql_async::Conn;
use mysql_async::prelude::Queryable;

use super::MysqlOptions;
use super::failure::Failure;
use crate::{Column, ColumnType, ErrorKind, Row, WriteError};

/// Text is compared by its bytes, and rows of any length are kept off the page.
const TABLE: &str =
    "ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";

/// Somebody else has added the column meanwhile.
const DUPLICATE_COLUMN: u16 = 1060;

/// The names of the three tables.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) rows: String,
    pub(super) ledger: String,
    pub(super) quarantine: String,
}

impl Names {
    pub(super) fn new<R: Row>(options: &MysqlOptions) -> Self {
        let rows = options.table.as_deref().unwrap_or(R::SCHEMA.table());
        Self {
            rows: rows.to_owned(),
            ledger: format!("{}ledger", options.prefix),
            quarantine: format!("{}quarantine", options.prefix),
        }
    }
}

/// A column that a table needs.
struct Needed {
    name: String,
    /// As it is created.
    sql: &'static str,
    /// What `information_schema` may call it.
    accepted: &'static [&'static str],
    nullable: bool,
}

impl Needed {
    fn new(name: &str, sql: &'static str, accepted: &'static [&'static str]) -> Self {
        Self {
            name: name.to_owned(),
            sql,
            accepted,
            nullable: false,
        }
    }

    fn definition(&self) -> String {
        let null = if self.nullable { "NULL" } else { "NOT NULL" };
        format!("`{}` {} {null}", self.name, self.sql)
    }
}

const TEXTS: &[&str] = &[
    "varchar",
    "char",
    "tinytext",
    "text",
    "mediumtext",
    "longtext",
];
const BYTES: &[&str] = &["varbinary", "tinyblob", "blob", "mediumblob", "longblob"];
const BIGINT: &[&str] = &["bigint"];
const DATETIME: &[&str] = &["datetime(6)"];

/// The columns of the table of rows, in the order of their values.
fn needed_of(columns: &[Column]) -> Vec<Needed> {
    let mut needed = Vec::new();
    for column in columns {
        let name = column.name();
        let (sql, accepted): (_, &[&str]) = match column.kind() {
            ColumnType::Bool => ("TINYINT(1)", &["tinyint"]),
            ColumnType::I64 => ("BIGINT", BIGINT),
            ColumnType::F64 => ("DOUBLE", &["double"]),
            ColumnType::Text => ("MEDIUMTEXT", TEXTS),
            ColumnType::Json => ("JSON", &["json", "longtext", "mediumtext"]),
            ColumnType::Bytes => ("LONGBLOB", BYTES),
            ColumnType::Timestamp => ("DATETIME(6)", DATETIME),
            ColumnType::Any => {
                let nullable = |column| Needed {
                    nullable: true,
                    ..column
                };
                let text = format!("{name}_text");
                needed.push(nullable(Needed::new(name, "DOUBLE", &["double"])));
                needed.push(nullable(Needed::new(&text, "LONGTEXT", TEXTS)));
                let kind = format!("{name}_kind");
                needed.push(Needed::new(&kind, "VARCHAR(8)", TEXTS));
                continue;
            }
        };
        let nullable = column.is_nullable();
        needed.push(Needed {
            nullable,
            ..Needed::new(name, sql, accepted)
        });
    }
    needed.push(Needed::new("scope", "INT", &["int", "bigint"]));
    needed.push(Needed::new("position", "BIGINT", BIGINT));
    needed
}

/// The columns of the table of rows, quoted, as an insert names them.
pub(super) fn insert_columns<R: Row>() -> Vec<String> {
    let needed = needed_of(R::SCHEMA.columns());
    needed
        .iter()
        .map(|column| format!("`{}`", column.name))
        .collect()
}

struct Table {
    name: String,
    columns: Vec<Needed>,
    keys: &'static str,
}

fn tables<R: Row>(names: &Names) -> [Table; 3] {
    let id = "INT AUTO_INCREMENT PRIMARY KEY";
    [
        Table {
            name: names.rows.clone(),
            columns: needed_of(R::SCHEMA.columns()),
            keys: "PRIMARY KEY (`scope`, `position`)",
        },
        Table {
            name: names.ledger.clone(),
            columns: vec![
                Needed::new("id", id, &["int", "bigint"]),
                Needed::new("scope", "VARBINARY(1024)", BYTES),
                Needed::new("fence", "BIGINT", BIGINT),
                Needed::new("position", "BIGINT", BIGINT),
                Needed::new("batch", "BIGINT", BIGINT),
                Needed::new("hash", "BIGINT", BIGINT),
                Needed::new("updated_at", "DATETIME(6)", DATETIME),
            ],
            keys: "UNIQUE KEY (`scope`)",
        },
        Table {
            name: names.quarantine.clone(),
            columns: vec![
                Needed::new("scope", "INT", &["int", "bigint"]),
                Needed::new("position", "BIGINT", BIGINT),
                Needed::new("reason", "TEXT", TEXTS),
                Needed::new("original", "LONGBLOB", BYTES),
                Needed::new("quarantined_at", "DATETIME(6)", DATETIME),
            ],
            keys: "PRIMARY KEY (`scope`, `position`)",
        },
    ]
}

/// The statements that make the tables.
pub(super) fn statements<R: Row>(names: &Names) -> Vec<String> {
    tables::<R>(names).iter().map(create).collect()
}

fn create(table: &Table) -> String {
    let mut sql = format!("CREATE TABLE IF NOT EXISTS `{}` (\n", table.name);
    for column in &table.columns {
        // An identity says for itself that it is not null.
        let definition = column.definition().replace("KEY NOT NULL", "KEY");
        let _ = writeln!(sql, "  {definition},");
    }
    let _ = write!(sql, "  {}\n) {TABLE}", table.keys);
    sql
}

/// A column as the server describes it.
struct Found {
    name: String,
    kind: String,
    nullable: bool,
    /// Filled by the server when an insert does not name it.
    is_filled: bool,
}

/// Makes, completes or refuses the tables.
pub(super) async fn prepare<R: Row>(
    conn: &mut Conn,
    options: &MysqlOptions,
    names: &Names,
) -> Result<(), Failure> {
    for (table, create) in tables::<R>(names).iter().zip(statements::<R>(names)) {
        let doing = "look at the tables of";
        let mut found = columns_of(conn, &table.name)
            .await
            .map_err(|error| Failure::of(doing, options, &error))?;
        if found.is_empty() {
            conn.query_drop(create)
                .await
                .map_err(|error| Failure::of("create the tables of", options, &error))?;
            found = columns_of(conn, &table.name)
                .await
                .map_err(|error| Failure::of(doing, options, &error))?;
        }
        check_engine(conn, options, &table.name).await?;
        let missing = difference(table, &found).map_err(|difference| {
            Failure::lost(WriteError::new(
                ErrorKind::Fatal,
                format!(
                    "table `{}` of {options} does not fit: {difference}",
                    table.name
                ),
            ))
        })?;
        for column in missing {
            let (name, definition) = (&table.name, column.definition());
            tracing::info!(table = %name, column = %column.name, "a column is added");
            let added = conn
                .query_drop(format!("ALTER TABLE `{name}` ADD COLUMN {definition}"))
                .await;
            match added {
                Err(mysql_async::Error::Server(error)) if error.code == DUPLICATE_COLUMN => {}
                added => added.map_err(|error| Failure::of("add a column to", options, &error))?,
            }
        }
    }
    Ok(())
}

async fn columns_of(conn: &mut Conn, table: &str) -> mysql_async::Result<Vec<Found>> {
    let sql = format!(
        "SELECT COLUMN_NAME, COLUMN_TYPE, DATA_TYPE, IS_NULLABLE = 'YES',
                COLUMN_DEFAULT IS NOT NULL OR IS_NULLABLE = 'YES'
                    OR EXTRA LIKE '%auto_increment%' OR EXTRA LIKE '%GENERATED%'
                    OR EXTRA LIKE '%VIRTUAL%'
         FROM information_schema.COLUMNS
         WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = '{table}' ORDER BY ORDINAL_POSITION"
    );
    let found = |(name, full, kind, nullable, is_filled): (String, String, String, bool, bool)| {
        let full = full.to_ascii_lowercase();
        // Only these say more in their full type than how wide they are shown.
        let kind = if kind.starts_with("datetime") || full.contains("unsigned") {
            full
        } else {
            kind.to_ascii_lowercase()
        };
        Found {
            name: name.to_ascii_lowercase(),
            kind,
            nullable,
            is_filled,
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

/// The columns to add, or what stands in the way.
fn difference<'a>(table: &'a Table, found: &[Found]) -> Result<Vec<&'a Needed>, String> {
    let (mut missing, mut wrong) = (Vec::new(), Vec::new());
    for needed in &table.columns {
        let (name, expected) = (&needed.name, needed.sql);
        match found.iter().find(|found| found.name == *name) {
            None if needed.nullable => missing.push(needed),
            None => wrong.push(format!("column `{name}` ({expected} NOT NULL) is missing")),
            Some(found) if !needed.accepted.contains(&found.kind.as_str()) => {
                wrong.push(format!(
                    "column `{name}` is {}, expected {expected}",
                    found.kind.to_ascii_uppercase()
                ));
            }
            Some(found) if needed.nullable && !found.nullable => {
                wrong.push(format!("column `{name}` is NOT NULL and must take nulls"));
            }
            Some(_) => {}
        }
    }
    for found in found {
        let is_known = table.columns.iter().any(|needed| needed.name == found.name);
        if !is_known && !found.is_filled {
            let name = &found.name;
            wrong.push(format!("column `{name}` is not filled and has no default"));
        }
    }
    if wrong.is_empty() {
        Ok(missing)
    } else {
        Err(wrong.join("; "))
    }
}
