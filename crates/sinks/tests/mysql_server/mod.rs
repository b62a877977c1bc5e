//! What the tests of MariaDB share: one server per test file, a database per test.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use mysql_async::Conn;
use mysql_async::prelude::{FromRow, Queryable};
use sinks::{BatchWriter, MysqlOptions, MysqlWriter, OpenScope, Row, ScopeIndex, ScopeName};
use test_services::{Kind, Service};

/// A database of its own on the server that the tests of a file share.
pub(crate) struct Database {
    pub(crate) url: String,
}

impl Database {
    pub(crate) async fn create() -> Option<Self> {
        static SERVER: OnceLock<Option<Service>> = OnceLock::new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = SERVER
            .get_or_init(|| Service::start(Kind::MariaDb))
            .as_ref()?;
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let database = Self {
            url: server.url().replace("/forebay", &format!("/{name}")),
        };
        let mut root = Conn::from_url(server.url()).await.unwrap();
        root.query_drop(format!("CREATE DATABASE {name}"))
            .await
            .unwrap();
        Some(database)
    }

    pub(crate) fn options(&self) -> MysqlOptions {
        options(&self.url)
    }

    pub(crate) fn writer<R: Row>(&self) -> MysqlWriter<R> {
        MysqlWriter::new(self.options())
    }

    pub(crate) async fn connect(&self) -> Conn {
        Conn::from_url(&self.url).await.unwrap()
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.connect().await.query_drop(sql).await.unwrap();
    }

    pub(crate) async fn query<T: FromRow + Send + 'static>(&self, sql: &str) -> Vec<T> {
        query(&self.url, sql).await
    }

    pub(crate) async fn positions(&self, table: &str) -> Vec<u64> {
        self.query(&format!(
            "SELECT position FROM {table} ORDER BY scope, position"
        ))
        .await
    }
}

pub(crate) fn options(url: &str) -> MysqlOptions {
    let url = format!("{url}?lock_wait_timeout=1s");
    MysqlOptions::from_url(&url.parse().unwrap()).unwrap()
}

pub(crate) async fn query<T: FromRow + Send + 'static>(url: &str, sql: &str) -> Vec<T> {
    let mut conn = Conn::from_url(url).await.unwrap();
    conn.query(sql).await.unwrap()
}

pub(crate) async fn open<W: BatchWriter>(writer: &W) -> OpenScope {
    let name = ScopeName::new("plc/normal");
    writer.open_scope(ScopeIndex(0), &name).await.unwrap()
}
