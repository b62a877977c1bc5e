//! What the tests of the program share: running it within bounds, and looking into its database.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test uses a part")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const POLL_EVERY: Duration = Duration::from_millis(5);

/// The program, without settings of this environment, in a directory of its own.
pub(crate) fn forebay(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FOREBAY_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(directory)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// How the program ended, and what it said.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `None` when it was killed.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The JSON line at the end.
    pub(crate) fn json(&self) -> serde_json::Value {
        let line = self.stdout.lines().next_back().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A number of the JSON line.
    pub(crate) fn count(&self, field: &str) -> u64 {
        self.json()[field]
            .as_u64()
            .unwrap_or_else(|| panic!("no {field}: {self:?}"))
    }

    /// `read`, `delivered`, `quarantined`, `skipped` and `undelivered` of the JSON line.
    pub(crate) fn counts(&self) -> [u64; 5] {
        ["read", "delivered", "quarantined", "skipped", "undelivered"].map(|name| self.count(name))
    }

    /// Fails unless it ended with this code, saying all of this on standard error, without a panic.
    #[track_caller]
    pub(crate) fn check(self, code: i32, says: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        for part in says {
            assert!(self.stderr.contains(part), "{part:?} is not in {self:?}");
        }
        let said = self.stderr.to_lowercase();
        for word in ["panicked", "backtrace", "unwrap"] {
            assert!(!said.contains(word), "{self:?}");
        }
        self
    }
}

/// Runs the program to its end.
pub(crate) fn finish(command: &mut Command) -> Outcome {
    Running::start(command).end()
}

/// The program while it runs; ended by force when dropped.
pub(crate) struct Running {
    pub(crate) child: Child,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            stderr.read_to_end(&mut text).unwrap();
            String::from_utf8_lossy(&text).into_owned()
        });
        let stdout = child.stdout.take().map(BufReader::new);
        Self {
            child,
            stdout,
            stderr: Some(stderr),
        }
    }

    /// Starts `forebay run` and waits until it listens; the address is the second.
    pub(crate) fn serve(command: &mut Command) -> (Self, String) {
        let mut running = Self::start(command);
        let mut line = String::new();
        running
            .stdout
            .as_mut()
            .unwrap()
            .read_line(&mut line)
            .unwrap();
        match line.trim().strip_prefix("listening on ") {
            Some(address) => (running, address.to_owned()),
            None => panic!("{line:?}, then {:?}", running.end()),
        }
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Ends it by force, unless it ends by itself at this very moment.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Outcome {
        drop(self.child.stdin.take());
        let mut stdout = self.stdout.take().unwrap();
        let said = std::thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        });
        until("the program to end", || self.has_ended());
        Outcome {
            code: self.child.wait().unwrap().code(),
            stdout: said.join().unwrap(),
            stderr: self.stderr.take().unwrap().join().unwrap(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended cannot be killed, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for something that another process does.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(POLL_EVERY);
    }
}

/// Checks a configuration, with these variables set.
pub(crate) fn check_config(text: &str, variables: &[(&str, &str)]) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f.toml"), text).unwrap();
    let mut command = forebay(folder.path(), &["check-config", "f.toml"]);
    finish(command.envs(variables.iter().copied()))
}

/// A file alone is refused with this, and nothing else.
#[track_caller]
pub(crate) fn check_refused(text: &str, expected: &str) {
    let outcome = check_config(text, &[]).check(1, &[]);
    assert_eq!(outcome.stderr.trim_end(), format!("forebay: {expected}"));
    assert_eq!(outcome.stdout, "");
}

/// The database in the default data directory below `directory`.
pub(crate) fn database(directory: &Path) -> PathBuf {
    directory.join("forebay-data/forebay.sqlite")
}

/// A connection to it.
pub(crate) fn open(directory: &Path) -> Connection {
    let connection = Connection::open(database(directory)).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    connection
}

/// The rows of a query, each with its columns joined by `|`.
pub(crate) fn query(directory: &Path, sql: &str) -> Vec<String> {
    let connection = open(directory);
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let rows = statement
        .query_map((), |row| {
            let cells: Result<Vec<_>, _> = (0..columns).map(|column| row.get_ref(column)).collect();
            Ok(cells?.into_iter().map(show).collect::<Vec<_>>().join("|"))
        })
        .unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// The number that a query gives.
pub(crate) fn number(directory: &Path, sql: &str) -> i64 {
    open(directory)
        .query_row(sql, (), |row| row.get(0))
        .unwrap()
}

/// The rows delivered so far; none while there is no table yet.
pub(crate) fn delivered(directory: &Path) -> i64 {
    if !database(directory).exists() {
        return 0;
    }
    let count = "SELECT count(*) FROM tag_values";
    open(directory)
        .query_row(count, (), |row| row.get(0))
        .unwrap_or(0)
}

fn show(cell: rusqlite::types::ValueRef<'_>) -> String {
    use rusqlite::types::ValueRef;
    match cell {
        ValueRef::Null => "null".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => format!("{bytes:?}"),
    }
}

/// NDJSON of one source, one line per number; two tags take turns.
pub(crate) fn lines(numbers: impl IntoIterator<Item = u64>) -> String {
    numbers
        .into_iter()
        .map(|number| {
            format!(
                "{{\"timestamp\":{},\"source\":\"PLC01\",\"tag\":\"D{}\",\"value\":{number}}}\n",
                1_700_000_000_000_000 + number,
                number % 2
            )
        })
        .collect()
}
