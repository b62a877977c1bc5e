//! One running server.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::keeper;
use crate::kind::Kind;
use crate::port::Port;

/// How long a server may take to answer after its start, recovery included.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a server may take to end.
const END_WITHIN: Duration = Duration::from_secs(30);
const PULSE: Duration = Duration::from_millis(10);

/// A private server, ended when this is dropped.
///
/// ```no_run
/// use test_services::{Kind, Service};
/// let Some(mut server) = Service::start(Kind::Postgres) else {
///     return; // It is not installed, and that was said.
/// };
/// println!("{}", server.url());
/// server.kill();
/// server.restart();
/// ```
#[derive(Debug)]
pub struct Service {
    kind: Kind,
    // Declared before the folder: the process ends first.
    child: Option<Child>,
    port: Port,
    extra: Vec<String>,
    folder: TempDir,
}

impl Service {
    /// Starts a server and waits until it answers. `None`, loudly, where it is not installed.
    ///
    /// # Panics
    /// When it is not installed and `FOREBAY_REQUIRE_SERVICES` is set, or when it does not start.
    #[must_use]
    pub fn start(kind: Kind) -> Option<Self> {
        Self::start_with(kind, &[])
    }

    /// The same with further arguments of the server, such as `--maxmemory 1mb`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(kind: Kind, extra: &[&str]) -> Option<Self> {
        if kind.program().is_none() {
            assert!(
                std::env::var_os("FOREBAY_REQUIRE_SERVICES").is_none(),
                "{} is required and not installed",
                kind.name()
            );
            eprintln!("SKIPPED: {} is not installed", kind.name());
            return None;
        }
        let place = std::env::temp_dir();
        keeper::sweep(&place);
        let folder = tempfile::Builder::new()
            .prefix(&format!("{}{}-", keeper::FOLDER_PREFIX, std::process::id()))
            .tempdir_in(place)
            .expect("a temporary directory");
        kind.set_up(folder.path());
        let mut service = Self {
            kind,
            child: None,
            port: Port::free(),
            extra: extra.iter().map(ToString::to_string).collect(),
            folder,
        };
        service.restart();
        Some(service)
    }

    /// Where to connect to.
    #[must_use]
    pub fn url(&self) -> String {
        self.kind.url(self.port.number)
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.number
    }

    /// Its folder: the data, the log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it and the processes that it started at once, as a power cut would, also while paused.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let mut children = Vec::new();
        if matches!(child.try_wait(), Ok(None)) {
            // Stopped first, so that it starts no other behind the list. Those that are stopped
            // themselves would stay behind otherwise: they cannot see that their parent is gone.
            send("STOP", &child);
            wait_for_state(child.id(), "TZ");
            children = children_of(child.id());
            for process in &children {
                send_to("KILL", *process);
            }
        }
        // It may have ended by itself.
        let _ = child.kill();
        let _ = child.wait();
        // One that was just begun has the port still.
        for process in children {
            wait_for_state(process, "Z");
        }
    }

    /// Ends it in good order; one that is paused goes on for that.
    ///
    /// # Panics
    /// When it does not end within half a minute.
    pub fn stop(&mut self) {
        self.resume();
        let Some(mut child) = self.child.take() else {
            return;
        };
        // PostgreSQL waits for its clients after SIGTERM; SIGINT sends them away.
        let signal = if self.kind == Kind::Postgres {
            "INT"
        } else {
            "TERM"
        };
        send(signal, &child);
        let deadline = Instant::now() + END_WITHIN;
        while !matches!(child.try_wait(), Ok(Some(_))) {
            assert!(
                Instant::now() < deadline,
                "{} does not end",
                self.kind.name()
            );
            std::thread::sleep(PULSE);
        }
    }

    /// Stops all its processes where they are, as a machine that hangs would.
    pub fn pause(&self) {
        self.signal_all("STOP");
    }

    /// Lets them go on.
    pub fn resume(&self) {
        self.signal_all("CONT");
    }

    /// Starts it again on the same port with the same data, and waits until it answers.
    ///
    /// # Panics
    /// When it runs already, or does not answer within a minute.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.kind.name());
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let command = self
                .kind
                .command(self.folder.path(), self.port.number, &self.extra);
            let child = keeper::spawn(command)
                .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.kind.name()));
            if self.wait_ready(child, deadline) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{} does not answer:\n{}",
                self.kind.name(),
                self.log()
            );
            // What is left of a killed one holds on to the memory that they share, or to the port.
            std::thread::sleep(PULSE);
        }
    }

    /// What it logged.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Keeps the child and says `true` when it answers, `false` when it ended.
    fn wait_ready(&mut self, mut child: Child, deadline: Instant) -> bool {
        loop {
            if matches!(child.try_wait(), Ok(Some(_))) {
                return false;
            }
            if self.kind.is_ready(self.port.number) {
                self.child = Some(child);
                return true;
            }
            if Instant::now() >= deadline {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
            std::thread::sleep(PULSE);
        }
    }

    /// Signals the server and the processes that it started.
    fn signal_all(&self, signal: &str) {
        let Some(child) = &self.child else {
            return;
        };
        for process in children_of(child.id()) {
            send_to(signal, process);
        }
        send(signal, child);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

fn send(signal: &str, child: &Child) {
    send_to(signal, child.id());
}

fn send_to(signal: &str, process: u32) {
    let status = Command::new("kill")
        .args([format!("-{signal}"), process.to_string()])
        .status();
    assert!(status.is_ok(), "`kill` cannot be run");
}

/// The processes whose parent is this one.
fn children_of(parent: u32) -> Vec<u32> {
    let tasks = format!("/proc/{parent}/task/{parent}/children");
    let listed = std::fs::read_to_string(tasks).unwrap_or_default();
    listed
        .split_whitespace()
        .filter_map(|id| id.parse().ok())
        .collect()
}

/// Waits until a process is gone, or in one of these states of `/proc`.
fn wait_for_state(process: u32, states: &str) {
    let deadline = Instant::now() + END_WITHIN;
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        // The name before it may have spaces and brackets.
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        if state.is_none_or(|state| states.contains(state)) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "process {process} is in {state:?}"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}
