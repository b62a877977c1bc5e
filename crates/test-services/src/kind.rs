//! The servers that are known, and how each is set up and started.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::account;

/// A server that can be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// PostgreSQL, with its defaults: `fsync` and `synchronous_commit` on.
    Postgres,
    /// MariaDB, with `innodb_flush_log_at_trx_commit=1`.
    MariaDb,
    /// Redis, with an append-only file that is synced with every write.
    Redis,
}

impl Kind {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::MariaDb => "MariaDB",
            Self::Redis => "Redis",
        }
    }

    /// The server program, if it is installed.
    pub(crate) fn program(self) -> Option<PathBuf> {
        match self {
            Self::Postgres => postgres_program("postgres"),
            Self::MariaDb => find("mariadbd"),
            Self::Redis => find("redis-server"),
        }
    }

    /// Where to connect to: a database that is there from the start.
    pub(crate) fn url(self, port: u16) -> String {
        match self {
            Self::Postgres => format!("postgres://forebay@127.0.0.1:{port}/postgres"),
            Self::MariaDb => format!("mysql://root@127.0.0.1:{port}/forebay"),
            Self::Redis => format!("redis://127.0.0.1:{port}/"),
        }
    }

    /// Creates what the server needs in its folder.
    pub(crate) fn set_up(self, folder: &Path) {
        match self {
            Self::Postgres => {
                if account::is_root() {
                    account::give_away(folder);
                }
                let program = postgres_program("initdb").expect("initdb stands beside postgres");
                let mut command = self.as_account(&program);
                command
                    .args(["--auth=trust", "--username=forebay", "--encoding=UTF8"])
                    .args(["--no-sync", "--locale=C", "--pgdata"])
                    .arg(folder.join("data"));
                run(command);
            }
            Self::MariaDb => {
                let program = find("mariadb-install-db").expect("it comes with the server");
                let mut command = Command::new(program);
                command
                    .args(["--no-defaults", "--user=root", "--skip-test-db"])
                    .arg("--auth-root-authentication-method=normal")
                    // Set-ups at the same time would share one otherwise.
                    .arg(format!("--tmpdir={}", folder.display()))
                    .arg(format!("--datadir={}", folder.join("data").display()));
                run(command);
                let init = "CREATE DATABASE IF NOT EXISTS forebay;\n";
                std::fs::write(folder.join("init.sql"), init).expect("the folder is ours");
            }
            Self::Redis => {}
        }
    }

    /// The command that runs the server until it is told to end.
    pub(crate) fn command(self, folder: &Path, port: u16, extra: &[String]) -> Command {
        let program = self
            .program()
            .expect("it was there when the service was started");
        let mut command = self.as_account(&program);
        let data = folder.join("data");
        match self {
            Self::Postgres => {
                command
                    .arg("-D")
                    .arg(data)
                    .args(["-h", "127.0.0.1", "-p", &port.to_string()])
                    .arg("-c")
                    .arg(format!("unix_socket_directories={}", folder.display()));
            }
            Self::MariaDb => {
                command
                    .args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1"])
                    .args(["--innodb-flush-log-at-trx-commit=1", "--skip-log-bin"])
                    .args([
                        "--innodb-buffer-pool-size=64M",
                        "--innodb-log-file-size=32M",
                    ])
                    .arg(format!("--port={port}"))
                    .arg(format!("--tmpdir={}", folder.display()))
                    .arg(format!("--datadir={}", data.display()))
                    .arg(format!("--socket={}", folder.join("socket").display()))
                    .arg(format!("--pid-file={}", folder.join("pid").display()))
                    .arg(format!("--init-file={}", folder.join("init.sql").display()));
            }
            Self::Redis => {
                command
                    .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
                    .args([
                        "--appendonly",
                        "yes",
                        "--appendfsync",
                        "always",
                        "--save",
                        "",
                    ])
                    .arg("--dir")
                    .arg(folder);
            }
        }
        command.args(extra);
        let log = std::fs::File::options()
            .append(true)
            .create(true)
            .open(folder.join("log"));
        let log = log.expect("the folder is ours");
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor is free"))
            .stderr(log);
        command
    }

    /// Whether the server answers.
    pub(crate) fn is_ready(self, port: u16) -> bool {
        match self {
            Self::Postgres => {
                let program = postgres_program("pg_isready").expect("it stands beside postgres");
                Command::new(program)
                    .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
                    .status()
                    .is_ok_and(|status| status.success())
            }
            // The server greets first, with the version of its protocol behind a header of four.
            Self::MariaDb => talk(port, b"").is_some_and(|answer| answer.get(4) == Some(&10)),
            Self::Redis => {
                talk(port, b"PING\r\n").is_some_and(|answer| answer.starts_with(b"+PONG"))
            }
        }
    }

    /// The program under the account that it may run under, ended with whoever started it.
    fn as_account(self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if self == Self::Postgres && account::is_root() {
            let (user, group) = account::unprivileged();
            command
                .arg(format!("--reuid={user}"))
                .arg(format!("--regid={group}"))
                .arg("--clear-groups");
        }
        command.arg("--").arg(program);
        command
    }
}

fn run(mut command: Command) {
    let output = command
        .current_dir("/")
        .output()
        .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn talk(port: u16, say: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(say).ok()?;
    let mut answer = vec![0; 128];
    let count = stream.read(&mut answer).ok()?;
    answer.truncate(count);
    Some(answer)
}

/// A program on the path, or where Debian keeps those of the system.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

/// A program of PostgreSQL, which Debian keeps in a folder per version.
fn postgres_program(name: &str) -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let newest = versions
        .flatten()
        .map(|version| version.path().join("bin").join(name))
        .filter(|program| program.is_file())
        .max();
    newest.or_else(|| find(name))
}
