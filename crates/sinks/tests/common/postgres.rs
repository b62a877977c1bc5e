//! A PostgreSQL server for the tests of one file, and what they ask it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::sync::{Mutex, OnceLock};

use sinks::{PostgresOptions, PostgresWriter};
use test_services::{Kind, Service};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use url::Url;

static SERVER: OnceLock<Option<Mutex<Service>>> = OnceLock::new();

/// Where the server of this process is; `None` where there is no PostgreSQL.
pub(crate) fn server() -> Option<String> {
    let server = SERVER.get_or_init(|| Service::start(Kind::Postgres).map(Mutex::new));
    server.as_ref().map(|server| server.lock().unwrap().url())
}

/// Options with tables of their own.
pub(crate) fn options(url: &str, name: &str, more: &str) -> PostgresOptions {
    let url = format!("{url}?table={name}&prefix={name}_{more}");
    PostgresOptions::from_url(&Url::parse(&url).unwrap()).unwrap()
}

pub(crate) fn writer(url: &str, name: &str) -> PostgresWriter {
    PostgresWriter::new(options(url, name, ""))
}

/// A connection of the test's own.
pub(crate) async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The first column of each row, as text.
pub(crate) async fn ask(client: &Client, sql: &str) -> Vec<String> {
    let mut found = Vec::new();
    for message in client.simple_query(sql).await.unwrap() {
        if let SimpleQueryMessage::Row(row) = message {
            found.push(row.get(0).unwrap_or("NULL").to_owned());
        }
    }
    found
}

/// The positions in a table, in the order in which they are stored.
pub(crate) async fn positions(client: &Client, table: &str) -> Vec<u64> {
    let found = ask(
        client,
        &format!("SELECT position FROM {table} ORDER BY ctid"),
    )
    .await;
    found.iter().map(|text| text.parse().unwrap()).collect()
}
