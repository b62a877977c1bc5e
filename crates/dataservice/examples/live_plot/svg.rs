//! A picture of what each of the readers saw last.

use std::fmt::Write;

use dataservice::downsample;

use crate::session::{Point, Report, SPAN_US, VALUES, end_us};

const WIDTH: f64 = 280.0;
const HEIGHT: f64 = 150.0;
const GAP: f64 = 20.0;
const TOP: f64 = 40.0;

/// More than two points per pixel nobody sees.
const POINTS_MAX: usize = 560;
/// Updates further apart than that are no line: the reader saw nothing in between.
const DOTS_MAX: usize = 100;

const STYLE: &str = "\
  svg { --page: #ffffff; --text: #1f2328; --faint: #656d76; --grid: #d8dee4; --lead: #0b62c4;
        font-family: system-ui, sans-serif; font-size: 12px }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --text: #e6edf3; --faint: #9198a1; --grid: #30363d; --lead: #58a6ff }
  }
  .page { fill: var(--page) } text { fill: var(--text) } .faint { fill: var(--faint) }
  .title { font-size: 13px; font-weight: 600 } .frame { fill: none; stroke: var(--grid) }
  .line { fill: none; stroke: var(--lead) } .dot { fill: var(--lead) }";

pub(crate) fn picture(reports: &[Report]) -> String {
    let width = GAP + reports.len() as f64 * (WIDTH + GAP);
    let height = TOP + HEIGHT + 45.0;
    let end_us = end_us(reports.iter().map(|report| &report.seen));
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>What three kinds of subscriber saw of one signal with spikes</title>\n\
         <style>\n{STYLE}\n</style>\n<rect class=\"page\" width=\"100%\" height=\"100%\"/>\n"
    );
    for (nth, report) in reports.iter().enumerate() {
        panel(&mut out, report, GAP + nth as f64 * (WIDTH + GAP), end_us);
    }
    out.push_str("</svg>\n");
    out
}

fn panel(out: &mut String, report: &Report, left: f64, end_us: i64) {
    let seen = &report.seen;
    let below = TOP + HEIGHT;
    let _ = writeln!(
        out,
        "<rect class=\"frame\" x=\"{left}\" y=\"{TOP}\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>\n\
         <text class=\"title\" x=\"{left}\" y=\"{}\">{}</text>\n\
         <text class=\"faint\" x=\"{left}\" y=\"{}\">{} of {} updates seen, {} shown again</text>\n\
         <text class=\"faint\" x=\"{left}\" y=\"{}\">{} of {} spikes</text>",
        TOP - 12.0,
        report.name,
        below + 18.0,
        seen.shown - seen.again,
        report.stats.committed,
        seen.again,
        below + 34.0,
        seen.spikes,
        report.spikes_written,
    );
    let place = |time_us: i64, value: f64| {
        let across = 1.0 - (end_us - time_us) as f64 / SPAN_US as f64;
        let down = (VALUES.1 - value) / (VALUES.1 - VALUES.0);
        (left + across.max(0.0) * WIDTH, TOP + down * HEIGHT)
    };
    let points: Vec<Point> = seen.points.iter().copied().collect();
    if points.len() <= DOTS_MAX {
        for point in &points {
            let (x, y) = place(point.time_us, point.value);
            let _ = writeln!(
                out,
                "<circle class=\"dot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2\"/>"
            );
        }
        return;
    }
    let (times_us, values) = with_gaps(&points);
    let shown = downsample(&times_us, &values, POINTS_MAX);
    let mut path = String::new();
    let mut step = 'M';
    for point in shown.iter() {
        if point.value.is_nan() {
            step = 'M';
            continue;
        }
        let (x, y) = place(point.time_us, *point.value);
        let _ = write!(path, "{step}{x:.1} {y:.1}");
        step = 'L';
    }
    let _ = writeln!(out, "<path class=\"line\" d=\"{path}\"/>");
}

/// Times and values, with a NaN wherever updates are missing.
fn with_gaps(points: &[Point]) -> (Vec<i64>, Vec<f64>) {
    let mut samples = Vec::with_capacity(points.len());
    let mut expected = None;
    for point in points {
        if expected.is_some_and(|expected| expected != point.seq) {
            samples.push((point.time_us, f64::NAN));
        }
        samples.push((point.time_us, point.value));
        expected = Some(point.seq + 1);
    }
    samples.into_iter().unzip()
}
