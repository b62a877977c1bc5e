//! As many points as a plot has pixels.

use super::lttb;
use super::{Extracted, Extractor, Measure};
use crate::{Requirement, Series, View};

/// A part of the history thinned out to what a plot can show: at most so many of its points, by
/// `MinMaxLTTB`. [`downsample`] says how; it is the same for data from elsewhere.
///
/// Values of a shape other than the newest value's are left out; fresh ones count as filtered. A
/// poll costs time linear in the window, and n log n in the points. Two points are too few for a
/// window with gaps at both ends: they show the gaps and no number.
///
/// ```
/// use dataservice::{DataService, Downsampled, Requirement, Series, Spec};
///
/// let service: DataService<&str, f64> = DataService::new();
/// let pressure = service.register("pressure")?;
/// let plot = Downsampled::new(Requirement::Count(10_000), 500);
/// let mut plot = service.subscribe(Spec::<_, Series<f64>>::of().key(pressure, plot))?;
/// service.put_many(pressure, (0..10_000).map(|i| (i, if i == 4_321 { 9.0 } else { 1.0 })))?;
///
/// let snapshot = plot.poll().expect("it was woken");
/// let points = snapshot.update(pressure).unwrap().extract().unwrap();
/// assert!(points.len() <= 500 && points.values().contains(&9.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Downsampled {
    requirement: Requirement,
    points: usize,
}

impl Downsampled {
    /// At most `points` points, and two at least, of this part of the history.
    #[must_use]
    pub const fn new(requirement: Requirement, points: usize) -> Self {
        Self {
            requirement,
            points,
        }
    }
}

impl<V: Measure> Extractor<V> for Downsampled {
    type Output = Series<f64>;

    fn requirement(&self) -> Requirement {
        self.requirement
    }

    fn extract(&mut self, view: View<V>) -> Extracted<Series<f64>> {
        if view.is_empty() {
            return Extracted::nothing();
        }
        let numbers = view.uniform().iter().map(Measure::measure);
        let values: Vec<f64> = numbers.map(|number| number.unwrap_or(f64::NAN)).collect();
        let foreign = view.fresh().saturating_sub(values.len());
        Extracted::show(downsample(view.uniform_times_us(), &values, self.points))
            .and_filtered(foreign)
    }
}

/// At most `points` of these points, and two at least, that look like all of them when drawn as a
/// line. If there are no more, it is all of them. Times without a value, and the reverse, are
/// ignored.
///
/// - The first and the last point are kept, also where both are gaps: three points are needed then
///   to show a number.
/// - A gap, which is a run of values that are no finite number, stays visible: as one of its
///   points, between the last number before it and the first after it. Up to a quarter of the
///   points go to gaps, the longest first; shorter ones are bridged.
/// - Between gaps, points are chosen by `MinMaxLTTB` (Van Der Donckt et al., *`MinMaxLTTB`:
///   Leveraging MinMax-Preselection to Scale LTTB for Time Series Visualization*, 2023): the
///   smallest and the largest value of each of many bins are candidates, about four per point;
///   among these, largest-triangle-three-buckets (Steinarsson, *Downsampling Time Series for
///   Visual Representation*, 2013) chooses. Bins are cut half by time and half by count, so that
///   neither a burst nor a sparse stretch loses its shape, nor does one time from the future take
///   all.
/// - The order stays as it is. Where times do not ascend, bins are cut by count alone.
///
/// It takes time linear in the number of points given, and n log n in that of points shown.
///
/// ```
/// let times_us: Vec<i64> = (0..100_000).collect();
/// let values: Vec<f64> = times_us.iter().map(|t| (*t as f64 / 5_000.0).sin()).collect();
/// let plot = dataservice::downsample(&times_us, &values, 1_000);
/// assert_eq!(plot.len(), 1_000);
/// assert_eq!((plot.times_us()[0], plot.times_us()[999]), (0, 99_999));
/// ```
#[must_use]
pub fn downsample(times_us: &[i64], values: &[f64], points: usize) -> Series<f64> {
    let len = times_us.len().min(values.len());
    let (times_us, values) = (&times_us[..len], &values[..len]);
    if len <= points.max(2) {
        return Series::own(times_us.to_vec(), values.to_vec());
    }
    let chosen = lttb::choose(times_us, values, points.max(2));
    Series::own(
        chosen.iter().map(|at| times_us[*at]).collect(),
        chosen.iter().map(|at| values[*at]).collect(),
    )
}
