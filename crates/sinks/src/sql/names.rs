//! Names of tables, which are put into statements and so have to be checked.

use crate::row::is_identifier;
use crate::{IDENTIFIER_BYTES_MAX, InvalidUrl};

/// What the tables of a sink are called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Names {
    /// The table of the rows.
    pub(crate) table: String,
    /// The table of the watermarks.
    pub(crate) ledger: String,
    /// The table of what was refused.
    pub(crate) quarantine: String,
}

impl Names {
    /// What the ledger and the quarantine begin with unless an adapter is told otherwise.
    pub(crate) const PREFIX: &'static str = "forebay_";

    /// The rows in `table`, the ledger and the quarantine under the prefix.
    ///
    /// # Errors
    /// When a name is no identifier, or two are the same.
    pub(crate) fn new(table: &str, prefix: &str) -> Result<Self, InvalidUrl> {
        let names = Self::unchecked(table, prefix);
        if !is_identifier(table) {
            return Err(refused("table", table));
        }
        if !is_identifier(&names.ledger) || !is_identifier(&names.quarantine) {
            return Err(refused("prefix", prefix));
        }
        if names.table == names.ledger || names.table == names.quarantine {
            return Err(InvalidUrl::new(format!(
                "table=`{table}`: the sink's own table of this name is there beside it; choose \
                 another"
            )));
        }
        Ok(names)
    }

    /// The same, for names that are checked elsewhere before a statement is sent.
    pub(crate) fn unchecked(table: &str, prefix: &str) -> Self {
        Self {
            table: table.to_owned(),
            ledger: format!("{prefix}ledger"),
            quarantine: format!("{prefix}quarantine"),
        }
    }

    /// Checks the name of a column of a row's schema that a parameter names.
    ///
    /// # Errors
    /// When it is no identifier.
    #[cfg(any(test, feature = "postgres"))]
    pub(crate) fn check(parameter: &str, name: &str) -> Result<(), InvalidUrl> {
        if is_identifier(name) {
            return Ok(());
        }
        Err(refused(parameter, name))
    }
}

fn refused(parameter: &str, name: &str) -> InvalidUrl {
    InvalidUrl::new(format!(
        "{parameter}=`{name}`: a name has 1 to {IDENTIFIER_BYTES_MAX} lower-case letters, digits \
         and underscores behind a letter"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_identifiers_reach_a_statement() {
        let names = Names::new("tag_values", Names::PREFIX).expect("valid");
        assert_eq!(names.ledger, "forebay_ledger");
        assert_eq!(names.quarantine, "forebay_quarantine");
        for (table, prefix) in [
            ("x; DROP TABLE y", "forebay_"),
            ("Rows", "forebay_"),
            ("", "forebay_"),
            ("rows", "1"),
            ("forebay_ledger", "forebay_"),
        ] {
            let error = Names::new(table, prefix).expect_err("refused").to_string();
            let named = error.contains(&format!("`{table}`")) || error.contains(prefix);
            assert!(named, "{error}");
        }
        assert!(Names::check("upsert", "a-b").is_err());
    }
}
