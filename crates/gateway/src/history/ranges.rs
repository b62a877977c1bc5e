//! Histories between two moments.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use dataservice::{Measure, downsample};
use record::{Key, Timestamp};
use serde::Serialize;
use sinks::{Bucket, HistoryReader, ReadError};

use super::{COUNT_DEFAULT, HistoryQuery, Point, no_key, points_of};
use crate::error::Refused;
use crate::past::{Between, Joined, Memory, Past, Shown, query as stored_query, stored};
use crate::query::between;
use crate::range::{COUNT_MAX, Range};
use crate::state::{App, wall_time};

/// How long a sink may take for an answer.
const SINK_WITHIN: Duration = Duration::from_secs(10);
/// Stored values that a plot is made from; of more, the sink is asked for buckets.
const VALUES_MAX: usize = 200_000;
/// Equal parts of the time that a sink reduces its values to, for each point of a plot.
const PARTS_PER_POINT: usize = 2;
/// Such parts at least, and how often they are made finer because most of them are empty.
const PARTS_MIN: usize = 64;
const FINER_MAX: usize = 5;
/// Bytes of text and JSON that an answer has at most.
const TEXT_BYTES_MAX: usize = 32 << 20;

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
    /// The first so many, whether there are more, and the moment of the next one.
    Values {
        cut_off: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<i64>,
    },
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
    /// The moment of the first value that was left out.
    next_us: Option<i64>,
    /// Whether that is one whose other values are shown.
    is_torn: bool,
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

    /// Leaves out the last moment, if there is another and not all its values are here.
    fn cut_at_border(&mut self) {
        let first_us = self.values.front().map(|first| first.time_us);
        self.is_torn = first_us == self.next_us;
        let next_us = self.next_us;
        let is_of_next = |last: &Past| Some(last.time_us) == next_us;
        while !self.is_torn && self.values.back().is_some_and(is_of_next) {
            self.drop_last();
        }
    }

    fn drop_last(&mut self) {
        match self.values.pop_back() {
            Some(last) if last.is_stored => self.from_sink -= 1,
            Some(_) => self.from_memory -= 1,
            None => {}
        }
    }

    fn sort_points(&mut self) {
        let times_us = std::mem::take(&mut self.times_us).into_iter();
        let mut points: Vec<_> = times_us.zip(std::mem::take(&mut self.numbers)).collect();
        points.sort_by_key(|(time_us, _)| *time_us);
        (self.times_us, self.numbers) = points.into_iter().unzip();
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
    let asks_sink = app.options.history.is_some();
    let (mut read, mut warning) = match within_time(app, asks_sink, read(memory)).await {
        Ok(read) => (read, None),
        Err(why) => {
            let memory = Memory::read(app, key, range).alone();
            if memory.is_empty() {
                let message = format!("memory has nothing of this range, and {why}");
                return Err(Refused::unavailable(message).retry_after_s(1));
            }
            let rest = read(memory).await;
            let rest = rest.map_err(|error| Refused::unavailable(error.to_string()))?;
            (rest, Some(format!("this is what memory has: {why}")))
        }
    };
    if !is_known && read.from_sink == 0 {
        return Err(no_key(key));
    }
    if let (true, Some(torn_us)) = (read.is_torn, read.next_us) {
        read.next_us = Some(torn_us.saturating_add(1));
        warning.get_or_insert(format!(
            "not all values at {torn_us} are here: one moment has too many; an export has them"
        ));
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

/// The first `count` values, without those of a last moment that is not whole. A first moment with
/// more than so many values is shown alone.
async fn values(app: &App, key: &Key, memory: Memory, count: usize) -> Result<Read, ReadError> {
    let asked = memory.asked();
    let read = first(app, key, memory, count).await?;
    if !read.is_torn || count == COUNT_MAX {
        return Ok(read);
    }
    let memory = Memory::again(app, key, asked);
    let mut read = first(app, key, memory, COUNT_MAX).await?;
    let first_us = read.values.front().map(|first| first.time_us);
    let other = |past: &&Past| Some(past.time_us) != first_us;
    if let Some(next) = read.values.iter().find(other) {
        read.next_us = Some(next.time_us);
        while read.values.back().is_some_and(|last| other(&last)) {
            read.drop_last();
        }
    }
    Ok(read)
}

async fn first(app: &App, key: &Key, memory: Memory, count: usize) -> Result<Read, ReadError> {
    let stored = stored(app, key, &memory, count + 1);
    let mut joined = Joined::new(memory, stored);
    let mut read = Read::default();
    while let Some(past) = joined.next().await {
        let past = past?;
        read.text_bytes += past.reading.heap_bytes();
        if read.values.len() == count || read.text_bytes > TEXT_BYTES_MAX {
            read.next_us = Some(past.time_us);
            read.cut_at_border();
            break;
        }
        read.add(past);
    }
    Ok(read)
}

/// What a plot of so many points is made from.
async fn plot(app: &App, key: &Key, memory: Memory, points: usize) -> Result<Read, ReadError> {
    let asked = memory.asked();
    let stored = stored(app, key, &memory, VALUES_MAX + 1);
    let mut joined = Joined::new(memory, stored);
    let mut read = Read::default();
    while let Some(past) = joined.next().await {
        let past = past?;
        if past.is_stored && read.from_sink == VALUES_MAX as u64 {
            drop(joined);
            let from_us = read.times_us.first().copied();
            let memory = Memory::again(app, key, asked);
            return reduced(app, key, memory, from_us, points).await;
        }
        read.add_to_plot(past, points);
    }
    Ok(read)
}

/// The same where the sink has too many values: it sends the least and the greatest of each of
/// some equal parts of the time, and memory's values are put among them. What is in both is drawn
/// twice, which no curve shows, and counted once but for values in the last part.
async fn reduced(
    app: &App,
    key: &Key,
    memory: Memory,
    from_us: Option<i64>,
    points: usize,
) -> Result<Read, ReadError> {
    let Some(reader) = &app.options.history else {
        return Ok(Read::default());
    };
    let mut range = memory.asked().range;
    let from = from_us.and_then(|from_us| Timestamp::from_micros(from_us).ok());
    range.from = from.map_or(range.from, |from| from.max(range.from));
    // A range that ends far in the future would have all its values in a single part.
    let last_us = memory.last_time_us().unwrap_or(i64::MIN);
    let end_us = wall_time().micros().max(last_us).saturating_add(1);
    match Timestamp::from_micros(end_us) {
        Ok(end) if end > range.from => range.until = range.until.min(end),
        _ => {}
    }
    let parts = (PARTS_PER_POINT * points).max(PARTS_MIN);
    let parts = u32::try_from(parts).unwrap_or(u32::MAX);
    let parts = NonZeroU32::new(parts).unwrap_or(NonZeroU32::MIN);
    let (width_us, buckets) = buckets(reader.as_ref(), key, range, parts).await?;
    let mut read = Read {
        is_reduced: true,
        ..Read::default()
    };
    let mut counted_until_us = i64::MIN;
    for bucket in buckets {
        read.from_sink += bucket.count;
        let start_us = bucket.start.micros();
        counted_until_us = start_us.saturating_add(width_us);
        match bucket.numbers {
            Some(numbers) => {
                read.add_point(start_us, numbers.min);
                let middle_us = start_us.saturating_add(width_us / 2);
                // No part but the last one can reach behind what memory has.
                let behind = start_us <= last_us && last_us < middle_us;
                read.add_point(if behind { last_us } else { middle_us }, numbers.max);
            }
            None => read.add_point(start_us, f64::NAN),
        }
    }
    let mut counted = 0;
    for past in memory.into_values() {
        counted += usize::from(past.time_us < counted_until_us);
        read.add_to_plot(past, points);
    }
    read.from_memory -= counted;
    read.sort_points();
    Ok(read)
}

/// A range in so many parts, and how long one is. The range is made shorter from its end while it
/// is mostly empty there.
async fn buckets(
    reader: &dyn HistoryReader,
    key: &Key,
    mut range: Between,
    parts: NonZeroU32,
) -> Result<(i64, Vec<Bucket>), ReadError> {
    let mut finer = 0;
    loop {
        let span_us = range.until.micros().saturating_sub(range.from.micros());
        let width_us = (span_us / i64::from(parts.get())).saturating_add(1);
        let query = stored_query(key, range, usize::MAX);
        let buckets = reader.buckets(query, parts).collect().await?;
        let last_us = buckets.last().map_or(i64::MAX, |last| last.start.micros());
        let end_us = last_us.saturating_add(width_us);
        let used_us = end_us.saturating_sub(range.from.micros());
        let end = Timestamp::from_micros(end_us);
        match end {
            Ok(end) if used_us < span_us / 2 && finer < FINER_MAX => range.until = end,
            _ => return Ok((width_us, buckets)),
        }
        finer += 1;
    }
}

fn show(key: &Key, read: &Read, points_max: Option<usize>, warning: Option<String>) -> Response {
    let values = || Points::Values(read.values.iter().map(Past::shown).collect());
    let (shape, points) = match points_max {
        None => {
            let next = read.next_us;
            let cut_off = next.is_some();
            (Shape::Values { cut_off, next }, values())
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
