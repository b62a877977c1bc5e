//! A server is started, killed, restarted, stopped, and gone with its owner.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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
    server.pause();
    let processes = processes_of(&server);
    assert!(!processes.is_empty());
    server.kill();
    for process in processes {
        assert!(has_ended(&process), "{} is still there", process.display());
    }
    server.restart();
    server.pause();
    server.stop();
    assert!(!is_up(&server));
    let folder = server.folder().to_owned();
    drop(server);
    assert!(!folder.exists());
}

/// The folders in `/proc` of the processes that name the server's folder, or work in it.
fn processes_of(server: &Service) -> Vec<PathBuf> {
    let folder = server.folder().to_string_lossy().into_owned();
    let is_of = |process: &PathBuf| {
        let arguments = std::fs::read(process.join("cmdline")).unwrap_or_default();
        let works_in = std::fs::read_link(process.join("cwd")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(&folder)
            || works_in.starts_with(server.folder())
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.map(|entry| entry.path()).filter(is_of).collect()
}

/// Whether a process is gone, or waits for nothing but to be forgotten by its parent.
fn has_ended(process: &Path) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let status = std::fs::read_to_string(process.join("status")).unwrap_or_default();
        if status.is_empty() || status.contains("\nState:\tZ") {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
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
