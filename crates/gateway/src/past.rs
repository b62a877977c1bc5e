//! A range of one key from memory and, further back, from the sink, as one sequence by time.
//!
//! Memory is read first, then the sink. Each sends its values by time, and what is in both is shown
//! once: of the values that a sink has at a moment, as many are left out as memory has at that
//! moment, the last ones, and memory's are shown in their place. So there is no gap and nothing
//! twice, be records late, or not delivered yet: those are shown from memory. The sink is always
//! asked for the whole range: where memory begins says nothing about what was displaced from it or
//! stored before the program started, for clocks step back and older values come later.
//!
//! What memory no longer has and the sink does not have yet is shown by nobody until it is
//! delivered. A sink that keeps coarser times than microseconds shows values near the seam twice.

use std::collections::VecDeque;

use dataservice::{Requirement, Series, View};
use pipeline::Reading;
use record::{Key, Priority, Quality, Timestamp, Value};
use serde::Serialize;
use sinks::{HistoryQuery, HistoryStream, ReadError};

use crate::range::COUNT_MAX;
use crate::state::App;

/// Those who read further back than memory at a time, without exports.
pub(crate) const READERS_MAX: usize = 4;

/// From the first moment up to, and without, the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Between {
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
}

/// A value and its moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Past {
    pub(crate) time_us: i64,
    pub(crate) reading: Reading,
    /// Whether it is from the sink, which knows no priorities.
    pub(crate) is_stored: bool,
}

/// How a value looks in an answer.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    timestamp: i64,
    value: &'a Value,
    quality: Quality,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
}

impl Past {
    pub(crate) fn shown(&self) -> Shown<'_> {
        Shown {
            timestamp: self.time_us,
            value: &self.reading.value,
            quality: self.reading.quality,
            priority: (!self.is_stored).then_some(self.reading.priority),
        }
    }
}

/// What memory has of a range, by time.
#[derive(Debug)]
pub(crate) struct Memory {
    values: VecDeque<Past>,
    /// Whether the key is one that is known.
    pub(crate) is_known: bool,
    asked: Asked,
}

/// Which range is asked for, and whether the sink has to be read too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) range: Between,
    asks_sink: bool,
}

impl Memory {
    pub(crate) fn read(app: &App, key: &Key, range: Between) -> Self {
        let id = app.live.id(key);
        let view = id.and_then(|id| app.live.read(id, Requirement::Count(COUNT_MAX)));
        let is_known = view.is_some();
        let series = view.map(View::into_series);
        let (times, values) = series.map(Series::into_parts).unwrap_or_default();
        Self {
            is_known,
            ..Self::of(&times, values, range)
        }
    }

    /// Of values in the order in which they were committed.
    fn of(times_us: &[i64], values: Vec<Reading>, range: Between) -> Self {
        let within = range.from.micros()..range.until.micros();
        let mut values: Vec<Past> = times_us
            .iter()
            .zip(values)
            .filter(|(time_us, _)| within.contains(time_us))
            .map(|(time_us, reading)| Past {
                time_us: *time_us,
                reading,
                is_stored: false,
            })
            .collect();
        values.sort_by_key(|value| value.time_us);
        Self {
            values: values.into(),
            is_known: false,
            asked: Asked {
                range,
                asks_sink: true,
            },
        }
    }

    /// The same, without asking the sink for more.
    pub(crate) fn alone(mut self) -> Self {
        self.asked.asks_sink = false;
        self
    }

    /// What there is now of a range that was asked for before.
    pub(crate) fn again(app: &App, key: &Key, asked: Asked) -> Self {
        Self {
            asked,
            ..Self::read(app, key, asked.range)
        }
    }

    pub(crate) fn asked(&self) -> Asked {
        self.asked
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(crate) fn last_time_us(&self) -> Option<i64> {
        self.values.back().map(|value| value.time_us)
    }

    pub(crate) fn into_values(self) -> VecDeque<Past> {
        self.values
    }
}

/// Starts to read what a sink has, so that so many values can be shown; `None` where memory is to
/// be alone, or no sink can be read.
pub(crate) fn stored(
    app: &App,
    key: &Key,
    memory: &Memory,
    values_max: usize,
) -> Option<HistoryStream<sinks::Reading>> {
    let reader = app.options.history.as_ref()?;
    if !memory.asked.asks_sink {
        return None;
    }
    let values_max = values_max.saturating_add(memory.values.len());
    let query = query(key, memory.asked.range, values_max);
    Some(reader.range(query))
}

pub(crate) fn query(key: &Key, range: Between, readings_max: usize) -> HistoryQuery {
    HistoryQuery {
        source: key.source.as_str().to_owned(),
        tag: key.tag.as_str().to_owned(),
        from: range.from,
        until: range.until,
        readings_max,
    }
}

/// A range from both, by time.
#[derive(Debug)]
pub(crate) struct Joined {
    memory: VecDeque<Past>,
    stored: Option<HistoryStream<sinks::Reading>>,
    /// The next value of the sink.
    ahead: Option<Past>,
    /// Values of the sink that are at the moment of memory's next ones, and those ones' number.
    tied: VecDeque<Past>,
    tie: Option<(i64, usize)>,
}

impl Joined {
    pub(crate) fn new(memory: Memory, stored: Option<HistoryStream<sinks::Reading>>) -> Self {
        Self {
            memory: memory.values,
            stored,
            ahead: None,
            tied: VecDeque::new(),
            tie: None,
        }
    }

    /// The next value; `None` behind the last one. No value is lost when this is dropped.
    ///
    /// # Errors
    /// When the sink fails. After that come memory's values alone.
    pub(crate) async fn next(&mut self) -> Option<Result<Past, ReadError>> {
        loop {
            if self.ahead.is_none()
                && let Some(stored) = &mut self.stored
            {
                match stored.next().await {
                    Some(Ok(reading)) => self.ahead = Some(past(reading)),
                    Some(Err(error)) => {
                        self.stored = None;
                        return Some(Err(error));
                    }
                    None => self.stored = None,
                }
            }
            let of_memory = self.memory.front().map(|value| value.time_us);
            let order = match (&self.ahead, of_memory) {
                (None, _) => std::cmp::Ordering::Greater,
                (Some(_), None) => std::cmp::Ordering::Less,
                (Some(ahead), Some(time_us)) => ahead.time_us.cmp(&time_us),
            };
            match order {
                std::cmp::Ordering::Less => return self.ahead.take().map(Ok),
                std::cmp::Ordering::Greater => {
                    self.tied.clear();
                    return self.memory.pop_front().map(Ok);
                }
                std::cmp::Ordering::Equal => {
                    self.tied.extend(self.ahead.take());
                    if self.tied.len() > self.ties() {
                        return self.tied.pop_front().map(Ok);
                    }
                }
            }
        }
    }

    /// How many values memory has at the moment of its next one.
    fn ties(&mut self) -> usize {
        let Some(next) = self.memory.front() else {
            return 0;
        };
        match self.tie {
            Some((time_us, count)) if time_us == next.time_us => count,
            _ => {
                let at = |value: &&Past| value.time_us == next.time_us;
                let count = self.memory.iter().take_while(at).count();
                self.tie = Some((next.time_us, count));
                count
            }
        }
    }
}

fn past(reading: sinks::Reading) -> Past {
    Past {
        time_us: reading.timestamp.micros(),
        reading: Reading {
            value: reading.value,
            quality: reading.quality,
            priority: Priority::Normal,
        },
        is_stored: true,
    }
}
