//! A process that is killed while it loads into a server: the next run goes on where the server is,
//! and the server has each row once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Outcome, Running, finish, forebay, lines, until};
use test_services::{Kind, Service};

/// Rows of one load.
const ROWS: u64 = 20_000;
/// Loads until one was cut short in its middle.
const LOADS_MAX: u64 = 12;

/// Rows, and rows of which no two are alike, that a server has of these scopes.
type Count = fn(&Service, &[String]) -> [u64; 2];

/// Loads a file of its own, killed after this time, and once more to its end.
fn load(service: &Service, number: u64, delay: Duration) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let first = number * ROWS + 1;
    std::fs::write(folder.path().join("a.ndjson"), lines(first..first + ROWS)).unwrap();
    let url = service.url();
    let arguments = [
        "ingest",
        "a.ndjson",
        "--json",
        "--batch-size",
        "200",
        "--sink",
        &url,
    ];
    let mut running = Running::start(&mut forebay(folder.path(), &arguments));
    let begun = Instant::now();
    until("the moment to kill", || {
        running.has_ended() || begun.elapsed() >= delay
    });
    running.kill();
    running.end();
    let outcome = finish(&mut forebay(folder.path(), &arguments)).check(0, &[]);
    let again = finish(&mut forebay(folder.path(), &arguments)).check(0, &[]);
    assert_eq!(again.counts(), [ROWS, 0, 0, ROWS, 0]);
    outcome
}

/// Kills loads until one was under way, and counts what the server has of all of them.
fn assert_once(kind: Kind, name: &str, count: Count) {
    let Some(service) = Service::start(kind) else {
        return;
    };
    let mut delay = Duration::from_millis(300);
    let mut scopes = Vec::new();
    loop {
        let number = scopes.len() as u64;
        assert!(number < LOADS_MAX, "no kill came while rows were delivered");
        let outcome = load(&service, number, delay);
        let [read, delivered, quarantined, skipped, undelivered] = outcome.counts();
        assert_eq!((read, quarantined, undelivered), (ROWS, 0, 0));
        assert_eq!(delivered + skipped, ROWS);
        assert_eq!(outcome.json()["sink"], name);
        scopes.push(outcome.json()["scope"].as_str().unwrap().to_owned());
        match (delivered, skipped) {
            (0, _) => delay /= 2,
            (_, 0) => delay = delay * 3 / 2,
            _ => break,
        }
    }
    let rows = scopes.len() as u64 * ROWS;
    assert_eq!(count(&service, &scopes), [rows, rows]);
}

#[test]
fn law_8_postgres_has_each_row_once_after_a_kill() {
    assert_once(Kind::Postgres, "postgres", |service, _| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let tls = tokio_postgres::NoTls;
            let (client, connection) = tokio_postgres::connect(&service.url(), tls).await.unwrap();
            tokio::spawn(connection);
            let sql = "SELECT count(*), count(DISTINCT (scope, position, value)) FROM tag_values";
            let row = client.query_one(sql, &[]).await.unwrap();
            [0, 1].map(|column| row.get::<_, i64>(column).unsigned_abs())
        })
    });
}

#[test]
fn law_8_mariadb_has_each_row_once_after_a_kill() {
    assert_once(Kind::MariaDb, "mysql", |service, _| {
        let sql = "SELECT count(*), count(DISTINCT scope, `position`, value) FROM tag_values";
        let port = format!("--port={}", service.port());
        let arguments = [
            "--no-defaults",
            "--host=127.0.0.1",
            &port,
            "--user=root",
            "-BN",
        ];
        let mut client = Command::new("mariadb");
        let said = client.args(arguments).args(["forebay", "-e", sql]).output();
        let said = said.unwrap();
        assert!(said.status.success(), "{said:?}");
        let text = String::from_utf8(said.stdout).unwrap();
        let counts: Vec<u64> = text
            .split_whitespace()
            .map(|n| n.parse().unwrap())
            .collect();
        counts.try_into().unwrap()
    });
}

#[test]
fn law_8_redis_has_each_row_once_after_a_kill() {
    assert_once(Kind::Redis, "redis", |service, scopes| {
        let lengths = scopes.iter().map(|scope| {
            let mut server = TcpStream::connect(("127.0.0.1", service.port())).unwrap();
            write!(server, "XLEN forebay:stream:{scope}\r\nQUIT\r\n").unwrap();
            let mut answer = String::new();
            server.read_to_string(&mut answer).unwrap();
            let line = answer.lines().next().unwrap();
            line.strip_prefix(':').unwrap().parse::<u64>().unwrap()
        });
        // The id of an entry is its position, and the server has each id once.
        let rows = lengths.sum();
        [rows, rows]
    });
}
