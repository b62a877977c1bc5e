//! One run: a server, the load client, and what both used while updates were counted.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::child::Talking;
use super::clock::{now_us, sleep_until};
use super::plan::{Calls, Checked, Dialect, Heard, Listening, Ready, Schedule, Window};

/// How long a server may take to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(20);
/// How long the load client may take to connect.
const CONNECTS_WITHIN: Duration = Duration::from_secs(120);
/// From the moment that all is connected to the look at the memory.
const SETTLES_WITHIN: Duration = Duration::from_millis(1_500);
/// From then to the first update: both have read what they are told by then.
const BEFORE_START_US: u64 = 300_000;
/// What is later than this after its window does not count as delivered.
const GRACE_US: u64 = 10_000_000;
const CONNECTIONS_PER_ADDRESS: usize = 100;
/// Clients beside the others that are real ones, and check contents.
const CHECKING: usize = 5;
/// What an update has as JSON.
const UPDATE_BYTES: usize = 200;
/// How often the memory is looked at.
const LOOK_EVERY_US: u64 = 250_000;

/// A server to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// A subcommand of this program, and what it speaks.
    Own(&'static str, Dialect),
    /// A bare handler whose answer has the length of ours.
    Bare,
    /// A script that an interpreter runs with one argument.
    Script {
        interpreter: PathBuf,
        script: PathBuf,
        argument: &'static str,
        dialect: Dialect,
    },
}

/// What clients do, and what is published meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) connections: usize,
    /// How many of them never read.
    pub(super) stalled: usize,
    /// Per second; 0 with `burst`.
    pub(super) rate: u64,
    pub(super) critical_rate: u64,
    /// So many at once, and nothing after.
    pub(super) burst: u64,
    pub(super) agents: u64,
    /// How long updates come before they count.
    pub(super) warm_up: Duration,
    pub(super) measured: Duration,
}

impl Load {
    /// So many clients that read, and so many updates a second.
    pub(super) fn of(connections: usize, rate: u64, measured: Duration) -> Self {
        Self {
            connections,
            stalled: 0,
            rate,
            critical_rate: 0,
            burst: 0,
            agents: 100,
            warm_up: Duration::from_secs(1),
            measured,
        }
    }

    fn schedule(&self, start_us: u64) -> Schedule {
        let total = (self.warm_up + self.measured).as_micros() as u64;
        let interval_us = |rate: u64| 1_000_000_u64.checked_div(rate).unwrap_or(0);
        let count = |rate: u64| total.checked_div(interval_us(rate)).unwrap_or(0);
        Schedule {
            start_us,
            interval_us: interval_us(self.rate),
            count: count(self.rate) + self.burst,
            critical_interval_us: interval_us(self.critical_rate),
            critical_count: count(self.critical_rate),
            agents: self.agents,
            bytes: UPDATE_BYTES,
        }
    }
}

/// What came of a run.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) heard: Heard,
    pub(super) measured_s: f64,
    /// In percent of one core, while it was measured.
    pub(super) server_cpu_pct: f64,
    pub(super) client_cpu_pct: f64,
    /// The server without clients, with all of them, and the most while it was measured.
    pub(super) alone_mb: f64,
    pub(super) connected_mb: f64,
    /// What its memory grew by while it was measured.
    pub(super) growth_mb: f64,
    pub(super) peak_mb: f64,
}

impl Outcome {
    pub(super) fn delivered_pct(&self) -> f64 {
        self.heard.delivered as f64 / self.heard.expected.max(1) as f64 * 100.0
    }

    pub(super) fn arrived_per_s(&self) -> f64 {
        self.heard.arrived as f64 / self.measured_s
    }
}

/// Runs it once.
pub(super) fn run(target: &Target, load: &Load) -> Result<Outcome> {
    let mut server = target.start()?;
    let Listening { port } = server.hear(LISTENS_WITHIN)?;
    let alone = server.usage()?;
    let mut client = Talking::start(own("fanout-load")?)?;
    client.say(&Calls {
        port,
        dialect: target.dialect(),
        connections: load.connections,
        stalled: load.stalled,
        // A server may limit what comes from one.
        addresses: load.connections.div_ceil(CONNECTIONS_PER_ADDRESS),
        checking: if target.dialect() == Dialect::Ours {
            CHECKING
        } else {
            0
        },
    })?;
    let Ready { connected } = client.hear(CONNECTS_WITHIN)?;
    ensure!(connected == load.connections, "{connected} are connected");
    std::thread::sleep(SETTLES_WITHIN);
    let settled = server.usage()?;

    let schedule = load.schedule(now_us() + BEFORE_START_US);
    let from_us = schedule.start_us + load.warm_up.as_micros() as u64;
    let window = schedule.window(
        from_us,
        from_us + load.measured.as_micros() as u64,
        GRACE_US,
    );
    client.say(&window)?;
    server.say(&schedule)?;
    let measured = observe(&server, &client, &window)?;
    let patience = Duration::from_micros(GRACE_US) + LISTENS_WITHIN;
    let heard: Heard = client.hear(patience)?;
    let wrong = heard.wrong;
    ensure!(wrong == 0, "{wrong} connections heard other updates");
    if let Some(Checked {
        clients,
        complete,
        fault,
    }) = &heard.checked
        && let Some(fault) = fault
    {
        eprintln!("{complete} of {clients} checking clients got everything: {fault}");
    }
    if heard.disconnected > 0 {
        eprintln!("the server ended {} connections", heard.disconnected);
    }
    Ok(Outcome {
        heard,
        alone_mb: alone.resident_mb,
        connected_mb: settled.resident_mb,
        ..measured
    })
}

/// What both use from the beginning of the window to its end.
fn observe(server: &Talking, client: &Talking, window: &Window) -> Result<Outcome> {
    sleep_until(window.from_us);
    let (server_before, client_before) = (server.usage()?, client.usage()?);
    let began_us = now_us();
    let mut resident_max_mb = server_before.resident_mb;
    while now_us() < window.until_us {
        sleep_until(window.until_us.min(now_us() + LOOK_EVERY_US));
        resident_max_mb = resident_max_mb.max(server.usage()?.resident_mb);
    }
    let (server_after, client_after) = (server.usage()?, client.usage()?);
    let measured_s = (now_us() - began_us) as f64 / 1e6;
    let pct = |before: f64, after: f64| (after - before) / measured_s * 100.0;
    Ok(Outcome {
        heard: Heard::default(),
        measured_s,
        server_cpu_pct: pct(server_before.cpu_s, server_after.cpu_s),
        client_cpu_pct: pct(client_before.cpu_s, client_after.cpu_s),
        alone_mb: 0.0,
        connected_mb: 0.0,
        growth_mb: resident_max_mb - server_before.resident_mb,
        peak_mb: server_after.peak_mb,
    })
}

impl Target {
    fn dialect(&self) -> Dialect {
        match self {
            Self::Own(_, dialect) | Self::Script { dialect, .. } => *dialect,
            Self::Bare => Dialect::Http,
        }
    }

    fn start(&self) -> Result<Talking> {
        match self {
            Self::Own(kind, _) => {
                let mut command = own("fanout-server")?;
                command.arg(kind);
                Talking::start(command)
            }
            Self::Bare => {
                let mut command = own("fanout-server")?;
                let bytes = length_of_status()?.to_string();
                command.args(["bare", "--body-bytes", &bytes]);
                Talking::start(command)
            }
            Self::Script {
                interpreter,
                script,
                argument,
                ..
            } => {
                let mut command = Command::new(interpreter);
                command.arg(script).arg(argument);
                Talking::start(command)
            }
        }
    }
}

/// A subcommand of this very program.
fn own(subcommand: &str) -> Result<Command> {
    let program = std::env::current_exe().context("this program has no path")?;
    let mut command = Command::new(program);
    command.arg(subcommand);
    Ok(command)
}

/// How long the answer is that the bare handler shall give too.
fn length_of_status() -> Result<usize> {
    let ours = Target::Own("ours", Dialect::Http).start()?;
    let Listening { port } = ours.hear(LISTENS_WITHIN)?;
    super::load::body_length(port)
}
