//! Batch writers with an outcome per row, their retry layer, and the SQLite adapter
