//! Histories between two moments.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use dataservice::{Measure, downsample};
use record::{Key, Timestamp};
use serde::Serialize;
use sinks::ReadError;

use super::{COUNT_DEFAULT, HistoryQuery, Point, TEXT_BYTES_MAX, no_key, points_of};
use crate::error::Refused;
use crate::past::{Between, Joined, Memory, Part, Past, Shown, query as stored_query, stored};
use crate::query::between;
use crate::range::Range;
use crate::state::{App, wall_time};

/// How long a sink may take for an answer.
const SINK_WITHIN: Duration = Duration::from_secs(10);
/// Stored values that a plot is made from; of more, the sink is asked for buckets.
const VALUES_MAX: usize = 200_000;
/// Equal parts of the time that a sink reduces its values to, for each point of a plot.
const PARTS_PER_POINT: usize = 2;

/// A history between two moments.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    key: &'a Key,
    /// The values that came from memory.
    from_memory: usize,
    /// The values that came from the sink.
    from_sink: u64,
    #[serde(flatten)]
    shape: Shape,
    /// Why a part is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
    points: Points<'a>,
}

/// How the points relate to the values of the range.
#[derive(Serialize)]
#[serde(untagged)]
enum Shape {
    /// The first so many, and whether there are more.
    Values { cut_off: bool },
    /// Thinned out for a plot, of stored values that were reduced by the sink or not.
    Plot {
        downsampled: bool,
        points_in: u64,
        reduced_by_sink: bool,
    },
}

#[derive(Serialize)]
#[serde(untagged)]
enum Points<'a> {
    Values(Vec<Shown<'a>>),
    Curve(Vec<Point>),
}

/// What was read.
#[derive(Default)]
struct Read {
    from_memory: usize,
    from_sink: u64,
    values: VecDeque<Past>,
    /// Of a plot: the moments and numbers of all values.
    times_us: Vec<i64>,
    numbers: Vec<f64>,
    /// What the values have on the heap.
    text_bytes: usize,
    is_cut_off: bool,
    is_reduced: bool,
}

impl Read {
    fn add(&mut self, past: Past) {
        match past.is_stored {
            true => self.from_sink += 1,
            false => self.from_memory += 1,
        }
        self.values.push_back(past);
    }

    /// Of a plot only the last values are kept as they are.
    fn add_to_plot(&mut self, past: Past, values_max: usize) {
        let number = past.reading.measure();
        self.add_point(past.time_us, number.unwrap_or(f64::NAN));
        self.text_bytes += past.reading.heap_bytes();
        self.add(past);
        while self.values.len() > values_max || self.text_bytes > TEXT_BYTES_MAX {
            let Some(first) = self.values.pop_front() else {
                return;
            };
            self.text_bytes -= first.reading.heap_bytes();
        }
    }

    fn add_point(&mut self, time_us: i64, number: f64) {
        self.times_us.push(time_us);
        self.numbers.push(number);
    }

    fn len(&self) -> u64 {
        self.from_memory as u64 + self.from_sink
    }
}

pub(super) async fn answer(
    app: &App,
    key: &Key,
    query: &HistoryQuery,
    points_max: Option<usize>,
) -> Result<Response, Refused> {
    let range = wanted(query)?;
    let count = query.count.unwrap_or(COUNT_DEFAULT);
    let read = async |memory: Memory| match points_max {
        None => values(app, key, memory, count).await,
        Some(points_max) => plot(app, key, memory, points_max).await,
    };
    let memory = Memory::read(app, key, range);
    let is_known = memory.is_known;
    let asks_sink = memory.asks_sink() && app.options.history.is_some();
    let (read, warning) = match within_time(app, asks_sink, read(memory)).await {
        Ok(read) => (read, None),
        Err(why) => {
            let memory = Memory::read(app, key, range).alone();
            if memory.is_empty() {
                let message = format!("memory has nothing of this range, and {why}");
                return Err(Refused::unavailable(message).retry_after_s(1));
            }
            let rest = read(memory).await;
            let rest = rest.map_err(|error| Refused::unavailable(error.to_string()))?;
            (rest, Some(format!("older values are missing: {why}")))
        }
    };
    if !is_known && read.from_sink == 0 {
        return Err(no_key(key));
    }
    Ok(show(key, &read, points_max, warning))
}

/// The range, once it is known that nothing else is asked for with it.
fn wanted(query: &HistoryQuery) -> Result<Between, Refused> {
    let Some(from) = &query.from else {
        return Err(Refused::bad_request("`until` needs `from`"));
    };
    if query.seconds.is_some() || (query.count.is_some() && query.points.is_some()) {
        let message = "with `from`, give `count` or `points` or neither, and no `seconds`";
        return Err(Refused::bad_request(message));
    }
    Range::new(query.count, None).map_err(Refused::bad_request)?;
    between(Some(from), query.until.as_deref())
}

/// Reads, with one of the places of those who read a sink, and within their time.
async fn within_time(
    app: &App,
    asks_sink: bool,
    read: impl Future<Output = Result<Read, ReadError>>,
) -> Result<Read, String> {
    let in_time = async {
        let place = match asks_sink {
            true => app.past_readers.acquire().await.ok(),
            false => None,
        };
        let read = read.await;
        drop(place);
        read
    };
    match tokio::time::timeout(SINK_WITHIN, in_time).await {
        Ok(read) => read.map_err(|error| error.to_string()),
        Err(_) => {
            let within = SINK_WITHIN.as_secs();
            Err(format!("the sink did not answer within {within} s"))
        }
    }
}

/// The first `count` values.
async fn values(app: &App, key: &Key, memory: Memory, count: usize) -> Result<Read, ReadError> {
    let stored = stored(app, key, &memory, count + 1);
    let mut joined = Joined::new(memory, stored);
    let mut read = Read::default();
    while let Some(past) = joined.next().await {
        let past = past?;
        read.text_bytes += past.reading.heap_bytes();
        if read.values.len() == count || read.text_bytes > TEXT_BYTES_MAX {
            read.is_cut_off = true;
            break;
        }
        read.add(past);
    }
    Ok(read)
}

/// What a plot of so many points is made from.
async fn plot(app: &App, key: &Key, memory: Memory, points: usize) -> Result<Read, ReadError> {
    let part = memory.part();
    let stored = stored(app, key, &memory, VALUES_MAX + 1);
    let mut joined = Joined::new(memory, stored);
    let mut read = Read::default();
    while let Some(past) = joined.next().await {
        let past = past?;
        if past.is_stored && read.from_sink == VALUES_MAX as u64 {
            drop(joined);
            let from = read.times_us.first().copied();
            return reduced(app, key, part, from, points).await;
        }
        read.add_to_plot(past, points);
    }
    Ok(read)
}

/// The same where the sink has too many values: it sends the least and the greatest of each of
/// some equal parts of the time up to where memory begins.
async fn reduced(
    app: &App,
    key: &Key,
    part: Part,
    first_us: Option<i64>,
    points: usize,
) -> Result<Read, ReadError> {
    let (Some(reader), Some(mut before)) = (&app.options.history, part.before) else {
        return Ok(Read::default());
    };
    let memory = Memory::read(app, key, part.range);
    let first = first_us.and_then(|first| Timestamp::from_micros(first).ok());
    before.from = first.map_or(before.from, |first| first.max(before.from));
    // A range that ends far in the future would have all its values in a single part.
    let now_us = wall_time()
        .micros()
        .max(memory.last_time_us().unwrap_or(i64::MIN));
    let end = Timestamp::from_micros(now_us.saturating_add(1)).unwrap_or(before.until);
    before.until = before.until.min(end.max(before.from));
    if part.is_seamless
        && let Some(first) = memory.first_time_us()
    {
        let first = Timestamp::from_micros(first).unwrap_or(before.until);
        before.until = before.until.min(first);
    }
    let parts = u32::try_from(PARTS_PER_POINT * points).unwrap_or(u32::MAX);
    let parts = NonZeroU32::new(parts).unwrap_or(NonZeroU32::MIN);
    let span_us = before.until.micros().saturating_sub(before.from.micros());
    let width_us = span_us / i64::from(parts.get()) + 1;
    let mut buckets = reader.buckets(stored_query(key, before, usize::MAX), parts);
    let mut read = Read {
        is_reduced: true,
        ..Read::default()
    };
    let mut end_us = before.from.micros();
    while let Some(bucket) = buckets.next().await {
        let bucket = bucket?;
        read.from_sink += bucket.count;
        let start_us = bucket.start.micros();
        end_us = start_us.saturating_add(width_us).min(before.until.micros());
        match bucket.numbers {
            Some(numbers) => {
                read.add_point(start_us, numbers.min);
                read.add_point(start_us.saturating_add(width_us / 2), numbers.max);
            }
            None => read.add_point(start_us, f64::NAN),
        }
    }
    // Where memory is out of order its values are in the buckets already, but for the newest.
    let seam_us = if part.is_seamless { i64::MIN } else { end_us };
    for past in memory.into_values() {
        if past.time_us >= seam_us {
            read.add_to_plot(past, points);
        }
    }
    Ok(read)
}

fn show(key: &Key, read: &Read, points_max: Option<usize>, warning: Option<String>) -> Response {
    let values = || Points::Values(read.values.iter().map(Past::shown).collect());
    let (shape, points) = match points_max {
        None => {
            let cut_off = read.is_cut_off;
            (Shape::Values { cut_off }, values())
        }
        Some(points_max) => {
            let is_curve = read.numbers.iter().any(|number| !number.is_nan());
            let downsampled = is_curve && (read.is_reduced || read.numbers.len() > points_max);
            let points = match downsampled {
                true => {
                    let curve = downsample(&read.times_us, &read.numbers, points_max);
                    Points::Curve(points_of(&curve))
                }
                false => values(),
            };
            let shape = Shape::Plot {
                downsampled,
                points_in: read.len(),
                reduced_by_sink: read.is_reduced,
            };
            (shape, points)
        }
    };
    Json(Answer {
        key,
        from_memory: read.from_memory,
        from_sink: read.from_sink,
        shape,
        warning,
        points,
    })
    .into_response()
}
