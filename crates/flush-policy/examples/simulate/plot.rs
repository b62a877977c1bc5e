//! The table as a picture, and the adaptive size over time: SVG, legible on light and dark pages.

use std::fmt::Write as _;

use crate::scenario::Pattern;
use crate::table::Row;

const WIDTH: f64 = 900.0;
const STYLE: &str = "<style>
  svg { --page: #ffffff; --text: #1f2328; --faint: #656d76; --grid: #d8dee4; --mark: #57606a;
        --lead: #0b62c4; font-family: system-ui, sans-serif; font-size: 12px }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1117; --text: #e6edf3; --faint: #9198a1; --grid: #30363d; --mark: #9da7b3;
          --lead: #58a6ff }
  }
  .page { fill: var(--page) } text { fill: var(--text) } .faint { fill: var(--faint) }
  .title { font-size: 13px; font-weight: 600 } .end { text-anchor: end }
  .middle { text-anchor: middle } .grid { stroke: var(--grid) }
  .bar, .dot { fill: var(--mark) } .range, .line { stroke: var(--mark); stroke-width: 2 }
  .line { fill: none; stroke: var(--lead) }
  .lead .bar, .lead .dot { fill: var(--lead) } .lead .range { stroke: var(--lead) }
  .lead text { fill: var(--lead); font-weight: 600 }
</style>
";

/// A range of values on a stretch of the picture.
struct Axis {
    /// Left and right end, or bottom and top.
    at: (f64, f64),
    values: (f64, f64),
    scale: fn(f64) -> f64,
}

impl Axis {
    fn place(&self, value: f64) -> f64 {
        let [low, high, value] = [self.values.0, self.values.1, value].map(self.scale);
        let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
        self.at.0 + share * (self.at.1 - self.at.0)
    }
}

const BATCHES: Axis = Axis {
    at: (190.0, 480.0),
    values: (10.0, 10_000.0),
    scale: f64::log10,
};
const WAITS_MS: Axis = Axis {
    at: (550.0, 870.0),
    values: (1.0, 100_000.0),
    scale: f64::log10,
};

/// Batches and waits of every row, a panel for each pattern.
pub(crate) fn waits(patterns: &[Pattern], rows: &[Row]) -> String {
    const ROW: f64 = 17.0;
    const FIRST: f64 = 52.0;
    let heights = patterns
        .iter()
        .map(|p| 52.0 + ROW * panel(rows, p).count() as f64);
    let height = FIRST + heights.sum::<f64>();
    let mut svg = begin(
        height,
        "Batches and waits of each policy under each pattern of arrivals",
    );
    text(
        &mut svg,
        (BATCHES.at.0, 24.0),
        "title",
        "batches (fewer: less work for the sink)",
    );
    text(
        &mut svg,
        (WAITS_MS.at.0, 24.0),
        "title",
        "wait of an item: p50 to max, dot at p99",
    );
    let mut y = FIRST;
    for pattern in patterns {
        let label = format!("{}: {}", pattern.name, pattern.about);
        text(&mut svg, (16.0, y), "title", &label);
        let count = panel(rows, pattern).count() as f64;
        let (top, bottom) = (y + 8.0, y + 14.0 + ROW * count);
        decades(
            &mut svg,
            &BATCHES,
            (top, bottom),
            &[10, 100, 1_000, 10_000],
            "",
        );
        let ticks = [1, 10, 100, 1_000, 10_000, 100_000];
        decades(&mut svg, &WAITS_MS, (top, bottom), &ticks, " ms");
        for (index, row) in panel(rows, pattern).enumerate() {
            line(&mut svg, row, y + 22.0 + ROW * index as f64);
        }
        y = bottom + 38.0;
    }
    svg.push_str("</svg>\n");
    svg
}

fn panel<'a>(rows: &'a [Row], pattern: &Pattern) -> impl Iterator<Item = &'a Row> {
    let name = pattern.name;
    rows.iter().filter(move |row| row.pattern == name)
}

/// One policy: its name, a bar for its batches, a range for its waits.
fn line(svg: &mut String, row: &Row, y: f64) {
    let lead = if row.policy.starts_with("adaptive") {
        " class=\"lead\""
    } else {
        ""
    };
    let _ = writeln!(svg, "<g{lead}>");
    text(svg, (180.0, y + 4.0), "end", row.policy);
    let (from, to) = (BATCHES.at.0, BATCHES.place(row.batches as f64));
    let (top, width) = (y - 5.0, to - from);
    let _ = writeln!(
        svg,
        "<rect class=\"bar\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"10\"/>"
    );
    text(svg, (to + 5.0, y + 4.0), "", &row.batches.to_string());
    let [p50, p99, max] =
        [row.wait_p50_ms, row.wait_p99_ms, row.wait_max_ms].map(|ms| WAITS_MS.place(ms));
    let _ = writeln!(
        svg,
        "<line class=\"range\" x1=\"{p50:.1}\" x2=\"{max:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
         <circle class=\"dot\" cx=\"{p99:.1}\" cy=\"{y:.1}\" r=\"4\"/>"
    );
    svg.push_str("</g>\n");
}

/// Upright lines at powers of ten, with their values below.
fn decades(svg: &mut String, axis: &Axis, (top, bottom): (f64, f64), ticks: &[u32], unit: &str) {
    for &tick in ticks {
        let x = axis.place(f64::from(tick));
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\"/>"
        );
        let label = match tick {
            1_000.. if !unit.is_empty() => format!("{} s", tick / 1_000),
            _ => format!("{tick}{unit}"),
        };
        text(svg, (x, bottom + 13.0), "faint middle", &label);
    }
}

/// The size of the policies that have one, over time, a panel for each of the patterns named.
pub(crate) fn sizes(patterns: &[Pattern], rows: &[Row], names: &[&str]) -> String {
    const PANEL: f64 = 170.0;
    let mut svg = begin(
        16.0 + PANEL * names.len() as f64,
        "The adaptive size over time",
    );
    let mut top = 16.0;
    for pattern in patterns
        .iter()
        .filter(|pattern| names.contains(&pattern.name))
    {
        let sized = |row: &&Row| row.pattern == pattern.name && !row.sizes.is_empty();
        for row in rows.iter().filter(sized) {
            size_panel(&mut svg, pattern, row, top);
        }
        top += PANEL;
    }
    svg.push_str("</svg>\n");
    svg
}

fn size_panel(svg: &mut String, pattern: &Pattern, row: &Row, top: f64) {
    let seconds = row.sizes.last().map_or(1.0, |&(at_s, _)| at_s.ceil());
    let (left, right) = (56.0, WIDTH - 20.0);
    let across = Axis {
        at: (left, right),
        values: (0.0, seconds),
        scale: |s| s,
    };
    let up = Axis {
        at: (top + 126.0, top + 26.0),
        values: (1.0, 64.0),
        scale: f64::log2,
    };
    let label = format!("{} under {}: {}", row.policy, pattern.name, pattern.about);
    text(svg, (16.0, top + 12.0), "title", &label);
    for size in [1, 2, 4, 8, 16, 32, 64] {
        let y = up.place(f64::from(size));
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{left}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
        );
        text(svg, (left - 8.0, y + 4.0), "faint end", &size.to_string());
    }
    // The smallest round step that gives at most ten.
    let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];
    let step_s = steps
        .into_iter()
        .find(|step| seconds / step <= 10.0)
        .unwrap_or(seconds);
    let mut at_s = 0.0;
    while at_s <= seconds {
        let place = (across.place(at_s), top + 142.0);
        text(svg, place, "faint middle", &format!("{at_s} s"));
        at_s += step_s;
    }
    let mut path = String::new();
    let mut before = None;
    for &(at_s, size) in &row.sizes {
        if before == Some(size) {
            continue;
        }
        let (x, y) = (across.place(at_s), up.place(size as f64));
        let _ = match before {
            None => write!(path, "M{x:.1} {y:.1}"),
            Some(_) => write!(path, "H{x:.1}V{y:.1}"),
        };
        before = Some(size);
    }
    let _ = writeln!(svg, "<path class=\"line\" d=\"{path}H{right}\"/>");
}

fn begin(height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\">\n<title>{title}</title>\n{STYLE}\
         <rect class=\"page\" width=\"100%\" height=\"100%\"/>\n"
    )
}

fn text(svg: &mut String, (x, y): (f64, f64), class: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{text}</text>"
    );
}
