//! A server is started, killed, restarted, stopped, and gone with its owner.

use std::net::TcpStream;

use test_services::{Kind, Service};

fn lives(kind: Kind) {
    let Some(mut server) = Service::start(kind) else {
        return;
    };
    let is_up = |server: &Service| TcpStream::connect(("127.0.0.1", server.port())).is_ok();
    assert!(is_up(&server) && server.url().contains(&server.port().to_string()));
    server.kill();
    assert!(!is_up(&server));
    server.restart();
    assert!(is_up(&server));
    server.stop();
    assert!(!is_up(&server));
    let folder = server.folder().to_owned();
    drop(server);
    assert!(!folder.exists());
}

#[test]
fn postgres_lives_and_dies_as_told() {
    lives(Kind::Postgres);
}

#[test]
fn mariadb_lives_and_dies_as_told() {
    lives(Kind::MariaDb);
}

#[test]
fn redis_lives_and_dies_as_told() {
    lives(Kind::Redis);
}
