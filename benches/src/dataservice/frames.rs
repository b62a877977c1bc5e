//! Frames of 512×512 numbers: what a put costs beside copying the memory, and the sum of a window
//! beside summing anew.
//!
//! Pixels are whole numbers, so that sums are exact and can be checked element by element.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dataservice::{
    AggregatedFrame, DataService, Frame, FrameAggregate, FramePool, KeyId, KeyUpdate, Shape, Spec,
    Subscription,
};
use parking_lot::Mutex;

use crate::measure::case::{Against, Case, Contender, Kind, Metric};
use crate::measure::pace::thread_time;
use crate::report::Better;

const SIDE: usize = if cfg!(test) { 16 } else { 512 };
const PIXELS: usize = SIDE * SIDE;
const WINDOW: usize = 64;
/// Frames that come in again and again: more than a core has cache for, as from a camera. Their
/// number does not divide the window, so that one sum is not like the one before.
const SOURCES: usize = 9;
/// A put may take so many times as long as copying the memory.
const PUT_MAX: f64 = 1.3;
const MEMCPY: &str = "memcpy into memory used again";
/// Memory for frames that nobody holds any more.
const SPARE_BYTES: usize = 16 << 20;

/// The cases.
pub(super) fn cases() -> Vec<Case> {
    let put = Metric::new("512x512 f32 frames: put", "µs", Better::Lower);
    let sum = Metric::new(
        "512x512 f32 frames: sum of the last 64 after each",
        "µs",
        Better::Lower,
    );
    vec![
        Case {
            name: "frame-put".into(),
            metrics: vec![put.aim(1.0 / PUT_MAX, Against::BestOf(&[MEMCPY]))],
            contenders: vec![
                Contender::new(Kind::Ours, "ours", put_each::<Service>),
                Contender::new(Kind::Peer, MEMCPY, put_each::<Copied>),
                Contender::new(
                    Kind::Peer,
                    "Mutex, Arc<[f32]> per frame",
                    put_each::<Shared>,
                ),
            ],
            duration: Duration::from_millis(150),
        },
        Case {
            name: "frame-sum".into(),
            metrics: vec![sum.aim(20.0, Against::BestPeer)],
            contenders: vec![
                Contender::new(Kind::Ours, "ours", sum_each::<Followed>),
                Contender::new(Kind::Peer, "summed anew, by blocks", sum_each::<ByBlocks>),
                Contender::new(Kind::Peer, "summed anew, by frames", sum_each::<ByFrames>),
            ],
            duration: Duration::from_millis(300),
        },
    ]
}

/// The frames that come in; the one with a number has that of the source in every pixel.
struct Sources(Vec<Vec<f32>>);

impl Sources {
    fn new() -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let source = |_| (0..PIXELS).map(|_| f32::from(random.u16(..4096))).collect();
        Self((0..SOURCES).map(source).collect())
    }

    fn frame(&self, number: usize) -> &[f32] {
        &self.0[number % SOURCES]
    }

    /// The sum of a pixel over the window that ends with this frame.
    fn sum(&self, newest: usize, pixel: usize) -> f64 {
        let window = (newest + 1).saturating_sub(WINDOW)..=newest;
        window
            .map(|number| f64::from(self.frame(number)[pixel]))
            .sum()
    }
}

/// Something that keeps the newest frame.
trait Put {
    fn new() -> Self;
    fn put(&mut self, number: usize, pixels: &[f32]) -> Result<()>;
    fn newest(&self, look: impl FnOnce(&[f32]));
}

/// Microseconds per put.
fn put_each<P: Put>(duration: Duration) -> Result<Vec<f64>> {
    let sources = Sources::new();
    let mut store = P::new();
    let mut next = 0;
    while next < SOURCES {
        store.put(next, sources.frame(next))?;
        next += 1;
    }
    let (first, started, worked) = (next, Instant::now(), thread_time());
    while started.elapsed() < duration {
        store.put(next, sources.frame(next))?;
        next += 1;
    }
    let worked = thread_time() - worked;
    let mut is_right = false;
    store.newest(|pixels| is_right = pixels == sources.frame(next - 1));
    ensure!(is_right, "the newest frame is not the one put last");
    Ok(vec![worked.as_secs_f64() * 1e6 / (next - first) as f64])
}

fn shape() -> Result<Shape> {
    Ok(Shape::new(&[SIDE, SIDE])?)
}

/// The data service with a pool.
struct Service {
    service: DataService<u32, Frame<f32>>,
    id: KeyId,
    pool: FramePool<f32>,
}

impl Put for Service {
    fn new() -> Self {
        let service = DataService::new();
        let id = service.register(0).expect("there is room for a key");
        let pool = FramePool::new(SPARE_BYTES);
        Self { service, id, pool }
    }

    fn put(&mut self, number: usize, pixels: &[f32]) -> Result<()> {
        let frame = self.pool.copy(shape()?, pixels)?;
        self.service.put(self.id, i64::try_from(number)?, frame)?;
        Ok(())
    }

    fn newest(&self, look: impl FnOnce(&[f32])) {
        if let Some(frame) = self.service.get(&0) {
            look(frame.as_slice());
        }
    }
}

/// The floor: no one could read these safely. Two places, as many as ours needs when nobody reads.
struct Copied {
    places: [Vec<f32>; 2],
    newest: usize,
}

impl Put for Copied {
    fn new() -> Self {
        let place = || vec![0.0; PIXELS];
        Self {
            places: [place(), place()],
            newest: 0,
        }
    }

    fn put(&mut self, number: usize, pixels: &[f32]) -> Result<()> {
        self.newest = number % 2;
        black_box(&mut self.places[self.newest]).copy_from_slice(pixels);
        Ok(())
    }

    fn newest(&self, look: impl FnOnce(&[f32])) {
        look(&self.places[self.newest]);
    }
}

/// A new allocation per frame, which readers can share.
struct Shared(Mutex<VecDeque<(usize, Arc<[f32]>)>>);

impl Put for Shared {
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn put(&mut self, number: usize, pixels: &[f32]) -> Result<()> {
        let frame = Arc::from(pixels);
        let mut history = self.0.lock();
        let displaced = if history.len() == 1 {
            history.pop_front()
        } else {
            None
        };
        history.push_back((number, frame));
        drop(history);
        drop(displaced);
        Ok(())
    }

    fn newest(&self, look: impl FnOnce(&[f32])) {
        if let Some((_, frame)) = self.0.lock().back() {
            look(frame);
        }
    }
}

/// Something that shows the sum over the last frames.
trait Sum {
    fn new() -> Result<Self>
    where
        Self: Sized;
    /// Not timed.
    fn put(&mut self, number: usize, pixels: &[f32]) -> Result<()>;
    fn sum(&mut self) -> Result<()>;
    fn shown(&self) -> &[f64];
}

/// Microseconds per sum.
fn sum_each<S: Sum>(duration: Duration) -> Result<Vec<f64>> {
    let sources = Sources::new();
    let mut window = S::new()?;
    let mut number = 0;
    let (started, mut worked, mut sums) = (Instant::now(), Duration::ZERO, 0);
    loop {
        window.put(number, sources.frame(number))?;
        let before = thread_time();
        window.sum()?;
        // The window is full, and the first sum of a full window is behind it.
        if number > WINDOW {
            worked += thread_time() - before;
            sums += 1;
        }
        let pixels = (number % 7..PIXELS).step_by(PIXELS / 8);
        check_sum(window.shown(), &sources, number, pixels)?;
        if number > WINDOW && started.elapsed() >= duration {
            break;
        }
        number += 1;
    }
    check_sum(window.shown(), &sources, number, 0..PIXELS)?;
    Ok(vec![worked.as_secs_f64() * 1e6 / f64::from(sums)])
}

fn check_sum(
    shown: &[f64],
    sources: &Sources,
    newest: usize,
    pixels: impl Iterator<Item = usize>,
) -> Result<()> {
    ensure!(shown.len() == PIXELS, "a sum of {} pixels", shown.len());
    for pixel in pixels {
        let (sum, expected) = (shown[pixel], sources.sum(newest, pixel));
        ensure!(
            sum == expected,
            "pixel {pixel} adds up to {sum}, not {expected}"
        );
    }
    Ok(())
}

/// The data service with a subscriber that follows the window.
struct Followed {
    service: Service,
    subscription: Subscription<Frame<f32>, AggregatedFrame>,
    shown: Option<AggregatedFrame>,
}

impl Sum for Followed {
    fn new() -> Result<Self> {
        let service = Service::new();
        let spec = Spec::of().key(service.id, FrameAggregate::sum(WINDOW));
        let subscription = service.service.subscribe(spec)?;
        Ok(Self {
            service,
            subscription,
            shown: None,
        })
    }

    fn put(&mut self, number: usize, pixels: &[f32]) -> Result<()> {
        Put::put(&mut self.service, number, pixels)
    }

    fn sum(&mut self) -> Result<()> {
        self.shown = None;
        let snapshot = self.subscription.poll().context("nothing to poll")?;
        let update = snapshot.into_updates().pop();
        self.shown = update.and_then(KeyUpdate::into_extract);
        Ok(())
    }

    fn shown(&self) -> &[f64] {
        let shown = self.shown.as_ref();
        shown.map_or(&[], |aggregated| aggregated.frame().as_slice())
    }
}

/// The frames of a window, and room for their sum.
struct Window {
    frames: VecDeque<Vec<f32>>,
    sum: Vec<f64>,
}

impl Window {
    fn new() -> Self {
        Self {
            frames: VecDeque::new(),
            sum: vec![0.0; PIXELS],
        }
    }

    fn put(&mut self, pixels: &[f32]) {
        let mut frame = if self.frames.len() == WINDOW {
            self.frames.pop_front().unwrap_or_default()
        } else {
            Vec::new()
        };
        frame.clear();
        frame.extend_from_slice(pixels);
        self.frames.push_back(frame);
    }

    /// Adds up the frames, a block of so many pixels after the other.
    fn sum(&mut self, block: usize) {
        for (index, sums) in self.sum.chunks_mut(block).enumerate() {
            let first = index * block;
            sums.fill(0.0);
            for frame in &self.frames {
                for (sum, pixel) in sums.iter_mut().zip(&frame[first..]) {
                    *sum += f64::from(*pixel);
                }
            }
        }
    }
}

macro_rules! anew {
    ($name:ident, $doc:literal, $block:expr) => {
        #[doc = $doc]
        struct $name(Window);

        impl Sum for $name {
            fn new() -> Result<Self> {
                Ok(Self(Window::new()))
            }

            fn put(&mut self, _number: usize, pixels: &[f32]) -> Result<()> {
                self.0.put(pixels);
                Ok(())
            }

            fn sum(&mut self) -> Result<()> {
                self.0.sum($block);
                Ok(())
            }

            fn shown(&self) -> &[f64] {
                &self.0.sum
            }
        }
    };
}

anew!(
    ByBlocks,
    "Sums of a block stay in the nearest cache.",
    2_048
);
anew!(ByFrames, "As one would write it.", PIXELS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_sum_is_detected() {
        let sources = Sources::new();
        let mut window = Window::new();
        for number in 0..100 {
            window.put(sources.frame(number));
        }
        window.sum(100);
        check_sum(&window.sum, &sources, 99, 0..PIXELS).unwrap();
        assert!(check_sum(&window.sum, &sources, 100, 0..PIXELS).is_err());
        window.sum[5] += 1.0;
        let error = check_sum(&window.sum, &sources, 99, 0..PIXELS).unwrap_err();
        assert!(error.to_string().starts_with("pixel 5 adds up"), "{error}");
    }
}
