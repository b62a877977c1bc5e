//! What the adapters of SQL databases share: a schema as a table of a database without variants.
//!
//! A [`Table`] is made of [`Row::SCHEMA`]: each column as it is, a column of any type as three
//! (`value`, `value_text`, `value_kind`), then `scope` and `position`. [`Table::cell`] lends what a
//! row has for each of them, [`value_of`] is the way back. [`Dialect`] names the types of one
//! database, and with it the statements that create and alter tables are made; [`compare()`] tells
//! what an existing table lacks. Everything is pure: no connection, no clock.

mod cell;
mod compare;
mod names;
mod statement;
mod table;

#[cfg_attr(
    not(feature = "postgres"),
    allow(unused_imports, reason = "not of every adapter")
)]
pub(crate) use cell::{SqlCell, value_of};
pub(crate) use compare::{Comparison, FoundColumn, compare};
pub(crate) use names::Names;
pub(crate) use statement::{add_column, column_list, create_table};
pub(crate) use table::{Dialect, SqlColumn, SqlType, Table};

#[cfg(doc)]
use crate::Row;
