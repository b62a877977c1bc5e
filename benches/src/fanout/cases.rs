//! The cases, who takes part in each, and what is measured of them.

use std::time::Duration;

use anyhow::Result;

use super::aims;
use super::plan::Dialect;
use super::run::{self, Load, Outcome, Target};
use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::report::Better::{Higher, Lower};

pub(super) const WS: &str = "Node ws";
pub(super) const SOCKET_IO: &str = "Socket.IO";
pub(super) const BROADCAST: &str = "axum + broadcast";
pub(super) const DJANGO: &str = "Django Channels";
const BARE: &str = "bare axum handler";
const OURS: &str = "ours";

/// How long a repetition counts.
const MEASURED: Duration = Duration::from_secs(6);
/// Readers that stall are looked at for longer.
const STALLED: Duration = Duration::from_secs(20);
const CONNECTIONS_OF_STATUS: usize = 64;
/// One key has so many agents as there are in the original's load test.
const AGENTS: u64 = 10;
const BURST: u64 = 1_000;

/// A peer that takes part.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) target: Target,
    /// Whether it can be asked for what only quick servers can do.
    pub(super) is_quick: bool,
}

pub(super) fn all(peers: &[Peer]) -> Vec<Case> {
    vec![
        thousand(peers),
        two_hundred(peers),
        critical(peers),
        stalled(peers),
        idle(peers),
        status(),
        agents(peers),
    ]
}

fn thousand(peers: &[Peer]) -> Case {
    let name = "1,000 clients x 500/s";
    Case {
        name: "clients/1000".into(),
        metrics: vec![
            delivered(name).aim(1.0, Against::Limit(aims::thousand::DELIVERED_PCT)),
            per_second(name),
            p50(name),
            p99(name).aim(1.0, Against::Limit(aims::thousand::P99_MS)),
            cpu(name).aim(1.0, Against::Limit(aims::thousand::CPU_PCT)),
            client_cpu(name),
            memory(name).aim(1.0, Against::Limit(aims::thousand::MEMORY_MB)),
        ],
        contenders: contenders(&quick(peers), |target, measured| {
            run::run(target, &Load::of(1_000, 500, measured)).map(|outcome| usual(&outcome))
        }),
        duration: MEASURED,
    }
}

fn two_hundred(peers: &[Peer]) -> Case {
    let name = "200 clients x 500/s";
    let mut cpu = cpu(name);
    if peers.iter().any(|peer| peer.name == WS) {
        cpu = cpu.aim(aims::two_hundred::CPU_OF_WS, Against::BestOf(&[WS]));
    }
    Case {
        name: "clients/200".into(),
        metrics: vec![
            delivered(name).aim(1.0, Against::Limit(aims::thousand::DELIVERED_PCT)),
            per_second(name),
            p50(name),
            p99(name).aim(1.0, Against::Limit(aims::two_hundred::P99_MS)),
            cpu,
            client_cpu(name),
            memory(name),
        ],
        contenders: contenders(peers, |target, measured| {
            run::run(target, &Load::of(200, 500, measured)).map(|outcome| usual(&outcome))
        }),
        duration: MEASURED,
    }
}

fn critical(peers: &[Peer]) -> Case {
    let name = "10/s critical beside 1,000 clients x 500/s";
    Case {
        name: "critical".into(),
        metrics: vec![
            delivered(name).aim(1.0, Against::Limit(aims::thousand::DELIVERED_PCT)),
            Metric::new(format!("{name}: p50 of the critical"), "ms", Lower),
            Metric::new(format!("{name}: p99 of the critical"), "ms", Lower)
                .aim(1.0, Against::Limit(aims::CRITICAL_P99_MS)),
            p99(name),
            cpu(name),
        ],
        contenders: contenders(&quick(peers), |target, measured| {
            let load = Load {
                critical_rate: 10,
                ..Load::of(1_000, 500, measured)
            };
            let outcome = run::run(target, &load)?;
            Ok(vec![
                outcome.delivered_pct(),
                ms(outcome.heard.critical.p50_us),
                ms(outcome.heard.critical.p99_us),
                ms(outcome.heard.normal.p99_us),
                outcome.server_cpu_pct,
            ])
        }),
        duration: MEASURED,
    }
}

fn stalled(peers: &[Peer]) -> Case {
    let name = "20 of 40 clients never read, 2,000/s";
    Case {
        name: "stalled".into(),
        metrics: vec![
            delivered(name).aim(1.0, Against::Limit(aims::thousand::DELIVERED_PCT)),
            Metric::new(format!("{name}: growth of memory"), "MB", Lower)
                .aim(1.0, Against::Limit(aims::stalled::GROWTH_MB)),
            Metric::new(format!("{name}: p99 of the others"), "ms", Lower),
            Metric::new(format!("{name}: p99 without the stalled"), "ms", Lower),
            Metric::new(
                format!("{name}: p99 with them, times without"),
                "times",
                Lower,
            )
            .aim(1.0, Against::Limit(aims::stalled::P99_TIMES)),
        ],
        contenders: contenders(&quick(peers), |target, measured| {
            let alone = Load::of(20, 2_000, measured / 4);
            let alone = run::run(target, &alone)?;
            let beside = Load {
                stalled: 20,
                ..Load::of(40, 2_000, measured)
            };
            let beside = run::run(target, &beside)?;
            let (p99, p99_alone) = (
                ms(beside.heard.normal.p99_us),
                ms(alone.heard.normal.p99_us),
            );
            Ok(vec![
                beside.delivered_pct(),
                // Memory that was given back is no merit here.
                beside.growth_mb.max(0.01),
                p99,
                p99_alone,
                p99 / p99_alone,
            ])
        }),
        duration: STALLED,
    }
}

fn idle(peers: &[Peer]) -> Case {
    const CLIENTS: usize = 10_000;
    let name = "10,000 idle clients";
    Case {
        name: "idle".into(),
        metrics: vec![
            // A few updates at the end show that all of them are alive.
            delivered(name).aim(1.0, Against::Limit(aims::thousand::DELIVERED_PCT)),
            Metric::new(format!("{name}: memory of each"), "kB", Lower)
                .aim(1.0, Against::Limit(aims::IDLE_KB)),
        ],
        contenders: contenders(&quick(peers), |target, _| {
            let load = Load {
                warm_up: Duration::ZERO,
                ..Load::of(CLIENTS, 2, Duration::from_secs(1))
            };
            let outcome = run::run(target, &load)?;
            let grown_mb = outcome.connected_mb - outcome.alone_mb;
            Ok(vec![
                outcome.delivered_pct(),
                grown_mb * 1e3 / CLIENTS as f64,
            ])
        }),
        duration: MEASURED,
    }
}

fn status() -> Case {
    let name = "REST status, 64 connections";
    let once = |target: Target| {
        move |measured: Duration| {
            let load = Load::of(CONNECTIONS_OF_STATUS, 0, measured);
            let outcome = run::run(&target, &load)?;
            Ok(vec![
                outcome.arrived_per_s(),
                ms(outcome.heard.normal.p50_us),
                ms(outcome.heard.normal.p99_us),
                outcome.server_cpu_pct,
                outcome.client_cpu_pct,
            ])
        }
    };
    Case {
        name: "rest".into(),
        metrics: vec![
            Metric::new(format!("{name}: requests"), "per second", Higher)
                .aim(aims::status::OF_BARE, Against::BestOf(&[BARE]))
                .aim(1.0, Against::Limit(aims::status::PER_S)),
            p50(name),
            p99(name),
            cpu(name),
            client_cpu(name),
        ],
        contenders: vec![
            Contender::new(Kind::Ours, OURS, once(Target::Own("ours", Dialect::Http))),
            Contender::new(Kind::Peer, BARE, once(Target::Bare)),
        ],
        duration: MEASURED,
    }
}

fn agents(peers: &[Peer]) -> Case {
    let name = "1,000 updates over 10 agents at once, 10 clients";
    Case {
        name: "agents".into(),
        metrics: vec![
            delivered(name).aim(1.0, Against::Limit(aims::thousand::DELIVERED_PCT)),
            Metric::new(format!("{name}: until all are delivered"), "ms", Lower),
        ],
        contenders: contenders(peers, |target, _| {
            let load = Load {
                burst: BURST,
                agents: AGENTS,
                warm_up: Duration::ZERO,
                ..Load::of(10, 0, Duration::from_secs(1))
            };
            let outcome = run::run(target, &load)?;
            Ok(vec![outcome.delivered_pct(), ms(outcome.heard.elapsed_us)])
        }),
        duration: MEASURED,
    }
}

/// Ours and the peers, each measured in the same way.
fn contenders(
    peers: &[Peer],
    measure: impl Fn(&Target, Duration) -> Result<Vec<f64>> + Copy + 'static,
) -> Vec<Contender> {
    let ours = Target::Own("ours", Dialect::Ours);
    let mut contenders = vec![Contender::new(Kind::Ours, OURS, move |measured| {
        measure(&ours, measured)
    })];
    contenders.extend(peers.iter().map(|peer| {
        let target = peer.target.clone();
        Contender::new(Kind::Peer, peer.name, move |measured| {
            measure(&target, measured)
        })
    }));
    contenders
}

fn quick(peers: &[Peer]) -> Vec<Peer> {
    peers.iter().filter(|peer| peer.is_quick).cloned().collect()
}

/// The values of the metrics that most cases have.
fn usual(outcome: &Outcome) -> Vec<f64> {
    vec![
        outcome.delivered_pct(),
        outcome.arrived_per_s(),
        ms(outcome.heard.normal.p50_us),
        ms(outcome.heard.normal.p99_us),
        outcome.server_cpu_pct,
        outcome.client_cpu_pct,
        outcome.peak_mb,
    ]
}

fn delivered(name: &str) -> Metric {
    Metric::new(format!("{name}: delivered"), "%", Higher)
}

fn per_second(name: &str) -> Metric {
    Metric::new(format!("{name}: arrivals"), "per second", Higher)
}

fn p50(name: &str) -> Metric {
    Metric::new(format!("{name}: p50"), "ms", Lower)
}

fn p99(name: &str) -> Metric {
    Metric::new(format!("{name}: p99"), "ms", Lower)
}

fn cpu(name: &str) -> Metric {
    Metric::new(format!("{name}: server"), "% of one core", Lower)
}

fn client_cpu(name: &str) -> Metric {
    Metric::new(format!("{name}: load client"), "% of one core", Lower)
}

fn memory(name: &str) -> Metric {
    Metric::new(format!("{name}: peak memory of the server"), "MB", Lower)
}

fn ms(us: u64) -> f64 {
    us as f64 / 1e3
}
