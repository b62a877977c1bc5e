//! What the tests of Redis share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::sync::OnceLock;

use sinks::{BatchWriter, RedisOptions, RedisWriter, ScopeName};
use test_services::{Kind, Service};

use crate::common::SCOPE;

/// One server for all, a prefix for each.
pub(crate) fn server() -> Option<&'static Service> {
    static SERVER: OnceLock<Option<Service>> = OnceLock::new();
    SERVER.get_or_init(|| Service::start(Kind::Redis)).as_ref()
}

pub(crate) fn options(server: &Service, prefix: &str) -> RedisOptions {
    RedisOptions::new(&server.url()).unwrap().prefix(prefix)
}

pub(crate) fn connection(server: &Service) -> redis::Connection {
    redis::Client::open(server.url())
        .unwrap()
        .get_connection()
        .unwrap()
}

pub(crate) async fn opened(options: RedisOptions) -> RedisWriter {
    let writer = RedisWriter::new(options);
    writer
        .open_scope(SCOPE, &ScopeName::new("plc/normal"))
        .await
        .unwrap();
    writer
}

pub(crate) type Fields = BTreeMap<String, String>;

pub(crate) fn entries(server: &Service, stream: &str) -> Vec<(String, Fields)> {
    let mut command = redis::cmd("XRANGE");
    command.arg(stream).arg("-").arg("+");
    command.query(&mut connection(server)).unwrap()
}

pub(crate) fn ids(server: &Service, stream: &str) -> Vec<String> {
    entries(server, stream)
        .into_iter()
        .map(|(id, _)| id)
        .collect()
}

pub(crate) fn expected_ids(positions: impl IntoIterator<Item = u64>) -> Vec<String> {
    positions
        .into_iter()
        .map(|position| format!("{position}-0"))
        .collect()
}
