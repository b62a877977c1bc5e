//! The sum or mean over the last frames, for a subscriber.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use buffer_core::Shape;

use super::total::{Change, Show, Total};
use super::{Element, Frame, FramePool};
use crate::{Extract, Extracted, Extractor, Requirement, Sample, View};

/// Shows the sum or the mean of the last frames, element by element.
///
/// It follows the window: what entered is added, what left is taken away, so that a poll costs two
/// passes over each new frame, however long the window is. For floats it costs half a pass more, by
/// which no rounding error outlives two windows. If less than half of a window stays, it is summed
/// anew. A change of shape begins a new window, of the frames of the new shape alone.
///
/// Sums are `f64` whatever frames consist of. NaN is left out: the sum of nothing else is 0, the
/// mean NaN. Infinities are summed as they are, and gone when they leave.
///
/// It holds the frames of its window until the next poll: a subscriber that stops polling keeps
/// that much memory from being used again.
///
/// ```
/// use dataservice::{
///     AggregatedFrame, DataService, Frame, FrameAggregate, FramePool, Shape, Spec,
/// };
///
/// let service: DataService<&str, Frame<f32>> = DataService::new();
/// let camera = service.register("camera")?;
/// let spec = Spec::of().key(camera, FrameAggregate::mean(2));
/// let mut means = service.subscribe::<AggregatedFrame>(spec)?;
///
/// let (pool, shape) = (FramePool::new(1 << 20), Shape::new(&[2])?);
/// for (time_us, elements) in [(10, [9.0, 9.0]), (20, [1.0, 2.0]), (30, [2.0, f32::NAN])] {
///     service.put(camera, time_us, pool.copy(shape, &elements)?)?;
/// }
///
/// let seen = means.poll().expect("there are frames");
/// let mean = seen.update(camera).unwrap().extract().unwrap();
/// assert_eq!(mean.frame().as_slice(), [1.5, 2.0]);
/// assert_eq!((mean.start_us(), mean.end_us(), mean.absent()), (20, 30, 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FrameAggregate<E> {
    show: Show,
    count: usize,
    span: Option<Duration>,
    pool: FramePool<f64>,
    /// Away while an update goes on: if that panics, the next poll begins anew.
    followed: Option<Followed<E>>,
}

struct Followed<E> {
    window: VecDeque<(i64, Frame<E>)>,
    total: Total,
    shown: AggregatedFrame,
}

/// A sum or mean of frames, and what it covers.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregatedFrame {
    frame: Frame<f64>,
    frames: usize,
    absent: u64,
    start_us: i64,
    end_us: i64,
}

/// How much memory for results waits to be used again unless a pool is given, in bytes.
const SPARE_BYTES_MAX: usize = 64 << 20;

impl<E: Element> FrameAggregate<E> {
    /// The sum of the last `count` frames; 0 is taken for 1.
    #[must_use]
    pub fn sum(count: usize) -> Self {
        Self::new(Show::Sum, count)
    }

    /// The mean of the last `count` frames; 0 is taken for 1.
    #[must_use]
    pub fn mean(count: usize) -> Self {
        Self::new(Show::Mean, count)
    }

    fn new(show: Show, count: usize) -> Self {
        Self {
            show,
            count: count.max(1),
            span: None,
            pool: FramePool::new(SPARE_BYTES_MAX),
            followed: None,
        }
    }

    /// Of these only the frames of the last `span` of event time, as
    /// [`WindowByDuration`](crate::WindowByDuration) counts it.
    #[must_use]
    pub fn within(mut self, span: Duration) -> Self {
        self.span = Some(span);
        self
    }

    /// Takes the memory of results from this pool, which several may share. Without one it keeps
    /// up to 64 MiB for itself, of which it needs two results at a time if the last is held.
    #[must_use]
    pub fn with_pool(mut self, pool: &FramePool<f64>) -> Self {
        self.pool = pool.clone();
        self
    }

    fn follow(&self, before: Option<Followed<E>>, newest: &Newest<'_, E>) -> Followed<E> {
        let continued = before.and_then(|before| {
            let overlap = newest.overlap(&before.window)?;
            Some((before, overlap))
        });
        let Some((before, overlap)) = continued else {
            return self.begin(newest);
        };
        let leaving = before.window.len() - overlap;
        let entering = newest.frames.len() - overlap;
        if leaving + entering == 0 {
            return before;
        }
        if leaving + entering >= newest.frames.len() {
            return self.begin(newest);
        }
        let Followed {
            mut window,
            mut total,
            shown,
        } = before;
        // A result that nobody else holds is written over.
        drop(shown);
        window.extend(newest.iter().skip(overlap));
        let change = Change {
            window: &slices(&window),
            leaving,
            entering,
        };
        let frame = total.update(&change, &self.pool);
        window.drain(..leaving);
        let shown = newest.shown(frame, &total);
        Followed {
            window,
            total,
            shown,
        }
    }

    fn begin(&self, newest: &Newest<'_, E>) -> Followed<E> {
        let window: VecDeque<_> = newest.iter().collect();
        let mut total = Total::new(self.show, newest.shape, &self.pool);
        let change = Change {
            window: &slices(&window),
            leaving: 0,
            entering: window.len(),
        };
        let frame = total.update(&change, &self.pool);
        let shown = newest.shown(frame, &total);
        Followed {
            window,
            total,
            shown,
        }
    }
}

/// The newest frames of a view that have one shape, and are no more than asked for.
struct Newest<'a, E> {
    shape: Shape,
    times_us: &'a [i64],
    frames: &'a [Frame<E>],
}

impl<'a, E> Newest<'a, E> {
    /// `None` if there is no frame.
    fn of(view: &'a View<Frame<E>>, count_max: usize) -> Option<Self> {
        let frames = view.uniform();
        let shape = frames.last()?.shape();
        // A service that was not told what a shape is does not know generations.
        let newest_first = frames.iter().rev().take(count_max);
        let count = newest_first
            .take_while(|frame| frame.shape() == shape)
            .count();
        Some(Self {
            shape,
            times_us: &view.times_us()[view.len() - count..],
            frames: &frames[frames.len() - count..],
        })
    }

    fn iter(&self) -> impl Iterator<Item = (i64, Frame<E>)> {
        self.times_us
            .iter()
            .copied()
            .zip(self.frames.iter().cloned())
    }

    fn shown(&self, frame: Frame<f64>, total: &Total) -> AggregatedFrame {
        let times = self.times_us.iter().copied();
        AggregatedFrame {
            frame,
            frames: self.frames.len(),
            absent: total.absent(),
            // Times need not ascend.
            start_us: times.clone().min().unwrap_or_default(),
            end_us: times.max().unwrap_or_default(),
        }
    }

    /// How many of these frames, from the first, are the last of that window. `None` if the window
    /// does not go on in these: values were cleared, or all of them are new.
    ///
    /// Told by the frames themselves, which are held and so cannot have been recycled. Counts of
    /// updates would not do: an extractor around this one may choose what it passes on.
    fn overlap(&self, window: &VecDeque<(i64, Frame<E>)>) -> Option<usize> {
        let same = |held: &(i64, Frame<E>), at: usize| {
            held.0 == self.times_us[at] && Frame::ptr_eq(&held.1, &self.frames[at])
        };
        let newest = window.back()?;
        let last = (0..self.frames.len()).rev().find(|at| same(newest, *at))?;
        let left = window.len().checked_sub(last + 1)?;
        let mut pairs = window.iter().skip(left).zip(0..);
        pairs.all(|(held, at)| same(held, at)).then_some(last + 1)
    }
}

fn slices<E>(window: &VecDeque<(i64, Frame<E>)>) -> Vec<&[E]> {
    window.iter().map(|(_, frame)| frame.as_slice()).collect()
}

impl<E: Element> Extractor<Frame<E>> for FrameAggregate<E> {
    type Output = AggregatedFrame;

    fn requirement(&self) -> Requirement {
        match self.span {
            None => Requirement::Count(self.count),
            Some(span) => Requirement::Span {
                span,
                count_max: Some(self.count),
            },
        }
    }

    fn extract(&mut self, view: View<Frame<E>>) -> Extracted<AggregatedFrame> {
        let before = self.followed.take();
        let Some(newest) = Newest::of(&view, self.count) else {
            return Extracted::nothing();
        };
        let followed = self.follow(before, &newest);
        let shown = followed.shown.clone();
        self.followed = Some(followed);
        Extracted::show(shown)
    }
}

impl AggregatedFrame {
    /// The sums or means, in the shape of the frames.
    #[must_use]
    pub fn frame(&self) -> &Frame<f64> {
        &self.frame
    }

    /// The sums or means, to be kept.
    #[must_use]
    pub fn into_frame(self) -> Frame<f64> {
        self.frame
    }

    /// How many frames it covers; fewer than asked for at the start and after a change of shape.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// How many elements of all these frames were NaN and left out.
    #[must_use]
    pub fn absent(&self) -> u64 {
        self.absent
    }

    /// The earliest event time of what it covers, in microseconds.
    #[must_use]
    pub fn start_us(&self) -> i64 {
        self.start_us
    }

    /// The latest event time of what it covers, in microseconds.
    #[must_use]
    pub fn end_us(&self) -> i64 {
        self.end_us
    }
}

/// As one value, at the end of what it covers: beside other extractors of frames of `f64`.
impl From<AggregatedFrame> for Extract<Frame<f64>> {
    fn from(aggregated: AggregatedFrame) -> Self {
        Self::Latest(Sample {
            time_us: aggregated.end_us,
            value: aggregated.frame,
        })
    }
}

impl<E> Clone for FrameAggregate<E> {
    /// For another key: the clone has followed nothing yet, and shares the pool.
    fn clone(&self) -> Self {
        Self {
            show: self.show,
            count: self.count,
            span: self.span,
            pool: self.pool.clone(),
            followed: None,
        }
    }
}

impl<E> fmt::Debug for FrameAggregate<E> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FrameAggregate")
            .field("show", &self.show)
            .field("count", &self.count)
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}
