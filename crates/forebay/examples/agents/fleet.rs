//! The agents: where they are, what they do, and what can be done with them.
//!
//! They know no clock and no socket: whoever owns them says how much time passed, and sends what
//! became different.

use forebay::record::Priority;
use serde_json::{Value as Json, json};

/// The world is a square with sides of so many metres.
const SIDE_M: f64 = 1_000.0;
const SPEED_M_PER_S: f64 = 12.0;
/// Percent of its battery that a moving agent takes, and one that is charged gets.
const DRAIN_PER_S: f64 = 0.4;
const CHARGE_PER_S: f64 = 6.0;
const EMPTY: f64 = 10.0;
const FULL: f64 = 95.0;
/// How long an alarm lasts that nobody resolves.
const ALARM_S: f64 = 20.0;
const NAME_CHARS_MAX: usize = 40;

/// What became different of an agent.
pub(crate) struct Update {
    /// The agent.
    pub(crate) source: String,
    /// `state`, or `alarm`: a key of its own, so that pages can hear of alarms at once and of the
    /// rest at their own pace.
    pub(crate) tag: &'static str,
    /// What it is now, whole.
    pub(crate) value: Json,
    /// How urgent it is; none leaves that to the route.
    pub(crate) priority: Option<Priority>,
}

/// What somebody wants of an agent.
pub(crate) enum Order {
    Stop,
    Resume,
    Rename(String),
}

#[derive(Clone, Copy, PartialEq)]
enum Status {
    Moving,
    Charging,
    Stopped,
    /// Blocked, for so many seconds more.
    Alarm(f64),
}

struct Agent {
    source: String,
    name: String,
    status: Status,
    x: f64,
    y: f64,
    heading: f64,
    battery: f64,
    odometer_m: f64,
}

/// All agents.
pub(crate) struct Fleet {
    agents: Vec<Agent>,
    random: fastrand::Rng,
}

impl Fleet {
    /// So many, all of them moving; the same seed makes the same ones.
    pub(crate) fn new(count: usize, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let agents = (0..count).map(|number| Agent {
            source: format!("agent-{number:04}"),
            name: format!("Agent {number}"),
            status: Status::Moving,
            x: random.f64() * SIDE_M,
            y: random.f64() * SIDE_M,
            heading: random.f64() * std::f64::consts::TAU,
            battery: 20.0 + 80.0 * random.f64(),
            odometer_m: 0.0,
        });
        let agents = agents.collect();
        Self { agents, random }
    }

    /// Every agent as it is.
    pub(crate) fn all(&self) -> Vec<Update> {
        self.agents.iter().map(|agent| agent.state(None)).collect()
    }

    /// Lets time pass; what does not move and does not change says nothing.
    pub(crate) fn step(&mut self, seconds: f64) -> Vec<Update> {
        let mut updates = Vec::new();
        for agent in &mut self.agents {
            agent.step(seconds, &mut self.random, &mut updates);
        }
        updates
    }

    /// Blocks one that moves: its name, and what became different, which is critical.
    pub(crate) fn raise_alarm(&mut self) -> Option<(String, Vec<Update>)> {
        let moving = self.agents.iter_mut();
        let moving = moving.filter(|agent| agent.status == Status::Moving);
        let agent = self.random.choice(moving.collect::<Vec<_>>())?;
        agent.status = Status::Alarm(ALARM_S);
        let critical = Some(Priority::Critical);
        let updates = vec![agent.alarm(critical), agent.state(critical)];
        Some((agent.name.clone(), updates))
    }

    /// Does what somebody wants.
    ///
    /// # Errors
    /// In a sentence, when there is no such agent, or its name cannot be that.
    pub(crate) fn obey(&mut self, source: &str, order: Order) -> Result<Vec<Update>, String> {
        let mut agents = self.agents.iter_mut();
        let agent = agents
            .find(|agent| agent.source == source)
            .ok_or_else(|| format!("there is no agent {source:?}"))?;
        let was_in_alarm = agent.is_in_alarm();
        match order {
            Order::Stop => agent.status = Status::Stopped,
            Order::Resume => agent.status = Status::Moving,
            Order::Rename(name) => {
                let length = name.chars().count();
                if !(1..=NAME_CHARS_MAX).contains(&length) {
                    return Err(format!(
                        "`params.name` has {length} characters, expected 1 to {NAME_CHARS_MAX}"
                    ));
                }
                agent.name = name;
            }
        }
        let high = Some(Priority::High);
        let mut updates = vec![agent.state(high)];
        if was_in_alarm && !agent.is_in_alarm() {
            updates.push(agent.alarm(high));
        }
        Ok(updates)
    }
}

impl Agent {
    fn step(&mut self, seconds: f64, random: &mut fastrand::Rng, updates: &mut Vec<Update>) {
        match self.status {
            Status::Stopped => return,
            Status::Moving => {
                let distance = SPEED_M_PER_S * seconds;
                self.heading += (random.f64() - 0.5) * seconds;
                self.x = (self.x + self.heading.cos() * distance).rem_euclid(SIDE_M);
                self.y = (self.y + self.heading.sin() * distance).rem_euclid(SIDE_M);
                self.odometer_m += distance;
                self.battery -= DRAIN_PER_S * seconds;
                if self.battery <= EMPTY {
                    self.status = Status::Charging;
                }
            }
            Status::Charging => {
                self.battery += CHARGE_PER_S * seconds;
                if self.battery >= FULL {
                    self.status = Status::Moving;
                }
            }
            Status::Alarm(left) if left > seconds => {
                self.status = Status::Alarm(left - seconds);
                return;
            }
            Status::Alarm(_) => {
                self.status = Status::Moving;
                updates.push(self.alarm(Some(Priority::High)));
            }
        }
        updates.push(self.state(None));
    }

    fn is_in_alarm(&self) -> bool {
        matches!(self.status, Status::Alarm(_))
    }

    fn alarm(&self, priority: Option<Priority>) -> Update {
        Update {
            source: self.source.clone(),
            tag: "alarm",
            value: json!({ "raised": self.is_in_alarm(), "reason": "blocked" }),
            priority,
        }
    }

    fn state(&self, priority: Option<Priority>) -> Update {
        let status = match self.status {
            Status::Moving => "moving",
            Status::Charging => "charging",
            Status::Stopped => "stopped",
            Status::Alarm(_) => "alarm",
        };
        let value = json!({
            "name": self.name,
            "status": status,
            "x": self.x,
            "y": self.y,
            "battery": self.battery,
            "odometer_m": self.odometer_m,
        });
        Update {
            source: self.source.clone(),
            tag: "state",
            value,
            priority,
        }
    }
}
