//! The statements, made once for each writer.

use crate::sql::{Dialect, Names, SqlType, Table, column_list};

pub(super) const DIALECT: Dialect = Dialect {
    quote: '"',
    type_name: |kind| match kind {
        SqlType::Bool => "boolean",
        SqlType::I32 => "integer",
        SqlType::I64 => "bigint",
        SqlType::F64 => "double precision",
        SqlType::Text | SqlType::Name | SqlType::Kind => "text",
        SqlType::Json => "jsonb",
        SqlType::Bytes => "bytea",
        SqlType::Timestamp => "timestamp with time zone",
        SqlType::Now => "timestamp with time zone NOT NULL DEFAULT now()",
        SqlType::Identity => "integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    },
    if_not_exists: "IF NOT EXISTS ",
    table_suffix: "",
};

/// Rows on their way into an upsert, which live until the end of the transaction.
pub(super) const INCOMING: &str = "forebay_incoming";
/// The column that keeps their order.
pub(super) const INCOMING_ROW: &str = "forebay_row";

/// The setting that tells which transaction it is. It is part of the session, and empty outside.
const TRANSACTION: &str = "forebay.transaction";

/// Begins a transaction that is known by this number. What is sent together with it has to ask for
/// the number: if BEGIN fails, the server goes on with the next statement, and commits it alone.
pub(super) fn begin(transaction: u64) -> String {
    format!("BEGIN; SET LOCAL {TRANSACTION} = '{transaction}'")
}

/// What is sent to the server.
#[derive(Clone, Debug)]
pub(super) struct Statements {
    pub(super) copy: String,
    pub(super) upsert: Option<Upsert>,
    pub(super) make_scope: String,
    pub(super) read_fence: String,
    pub(super) open_scope: String,
    pub(super) take_fence: String,
    pub(super) read_marks: String,
    pub(super) advance: String,
    pub(super) quarantine: String,
    pub(super) reasons: String,
    pub(super) scopes: String,
    pub(super) rename_scope: String,
}

/// What is sent for rows that replace others.
#[derive(Clone, Debug)]
pub(super) struct Upsert {
    pub(super) create: String,
    /// Stores the last row of each key and says how many keys there were and how many were stored.
    pub(super) merge: String,
}

impl Statements {
    pub(super) fn new(rows: &Table, names: &Names, upsert: &[String]) -> Self {
        let Names {
            table,
            ledger,
            quarantine,
        } = names;
        let columns = column_list(rows, '"');
        let copy = if upsert.is_empty() {
            format!("COPY \"{table}\" ({columns}) FROM STDIN (FORMAT binary)")
        } else {
            format!(
                "COPY pg_temp.{INCOMING} ({columns}, {INCOMING_ROW}) FROM STDIN (FORMAT binary)"
            )
        };
        Self {
            copy,
            upsert: (!upsert.is_empty()).then(|| Upsert::new(rows, table, upsert)),
            make_scope: format!(
                "INSERT INTO \"{ledger}\" (scope, fence, position, batch, hash) \
                 VALUES ($1, 0, 0, 0, 0) ON CONFLICT (scope) DO NOTHING"
            ),
            read_fence: format!("SELECT fence FROM \"{ledger}\" WHERE scope = $1"),
            open_scope: format!(
                "UPDATE \"{ledger}\" SET fence = fence + 1, updated_at = now() \
                 WHERE scope = $1 AND fence = $2 \
                 RETURNING id, fence, position, batch, hash"
            ),
            take_fence: format!(
                "UPDATE \"{ledger}\" SET fence = $4, updated_at = now() \
                 WHERE id = $1 AND (fence = $2 OR fence = $3) \
                 RETURNING id, fence, position, batch, hash"
            ),
            read_marks: format!(
                "SELECT id, fence, position, batch, hash FROM \"{ledger}\" \
                 WHERE id = ANY($1) ORDER BY id FOR UPDATE"
            ),
            advance: format!(
                "UPDATE \"{ledger}\" SET position = $4, batch = $5, hash = $6, \
                 updated_at = now() WHERE id = $1 AND fence = $2 AND position = $3 \
                 AND current_setting('{TRANSACTION}', true) = $7"
            ),
            quarantine: format!(
                "INSERT INTO \"{quarantine}\" (scope, position, reason, original) \
                 SELECT * FROM unnest($1::integer[], $2::bigint[], $3::text[], $4::bytea[])"
            ),
            reasons: format!(
                "SELECT scope, position, reason FROM \"{quarantine}\" \
                 JOIN unnest($1::integer[], $2::bigint[]) AS asked(scope, position) \
                 USING (scope, position)"
            ),
            scopes: format!(
                "SELECT scope, position FROM \"{ledger}\" \
                 WHERE starts_with(scope, $1) ORDER BY id"
            ),
            rename_scope: format!(
                "UPDATE \"{ledger}\" SET scope = $2, updated_at = now() WHERE scope = $1"
            ),
        }
    }
}

impl Upsert {
    fn new(rows: &Table, table: &str, keys: &[String]) -> Self {
        let columns = column_list(rows, '"');
        let key: Vec<_> = keys.iter().map(|name| format!("\"{name}\"")).collect();
        let key = key.join(", ");
        let set: Vec<_> = rows
            .columns
            .iter()
            .filter(|column| !keys.contains(&column.name))
            .map(|column| format!("\"{0}\" = EXCLUDED.\"{0}\"", column.name))
            .collect();
        let set = set.join(", ");
        let definitions: Vec<_> = rows
            .columns
            .iter()
            .map(|column| format!("\"{}\" {}", column.name, (DIALECT.type_name)(column.kind)))
            .collect();
        let definitions = definitions.join(", ");
        Self {
            create: format!(
                "CREATE TEMPORARY TABLE {INCOMING} ({definitions}, {INCOMING_ROW} bigint) \
                 ON COMMIT DELETE ROWS"
            ),
            merge: format!(
                "WITH newest AS MATERIALIZED (\
                 SELECT DISTINCT ON ({key}) * FROM pg_temp.{INCOMING} \
                 ORDER BY {key}, {INCOMING_ROW} DESC), \
                 stored AS (INSERT INTO \"{table}\" ({columns}) \
                 SELECT {columns} FROM newest ORDER BY {key} \
                 ON CONFLICT ({key}) DO UPDATE SET {set} RETURNING 1) \
                 SELECT (SELECT count(*) FROM newest), (SELECT count(*) FROM stored)"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use record::Record;

    use super::*;
    use crate::Row;
    use crate::sql::create_table;

    #[test]
    fn tables_and_statements_are_these() {
        let names = Names::new("tag_values", Names::PREFIX).expect("valid");
        let rows = Table::of_rows(&names.table, &Record::SCHEMA);
        let tables = [
            rows.clone(),
            Table::of_ledger(&names.ledger),
            Table::of_quarantine(&names.quarantine),
        ];
        let tables: Vec<_> = tables
            .iter()
            .map(|table| create_table(table, &DIALECT))
            .collect();
        insta::assert_snapshot!("postgres_tables", tables.join(";\n"));
        let statements = Statements::new(&rows, &names, &[]);
        insta::assert_debug_snapshot!("postgres_statements", statements);
        let keys = ["source".to_owned(), "tag".to_owned()];
        let statements = Statements::new(&rows, &names, &keys);
        let upsert = (statements.copy, statements.upsert);
        insta::assert_debug_snapshot!("postgres_upsert_statements", upsert);
    }
}
