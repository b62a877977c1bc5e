//! The readers side by side, in the dots of braille characters.

use std::fmt::Write;

use crate::session::{Point, Reader, SPAN_US, VALUES, end_us};

/// The size of a panel in characters; each has two dots by four.
const COLUMNS: usize = 24;
const ROWS: usize = 9;

/// The bits of a braille character, by column and row of the dot.
const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

pub(crate) fn draw(readers: &[Reader]) -> String {
    let end_us = end_us(readers.iter().map(|reader| &reader.seen));
    let panels: Vec<_> = readers
        .iter()
        .map(|reader| panel(reader.seen.points.iter(), end_us))
        .collect();
    let mut out = String::new();
    for reader in readers {
        let _ = write!(out, "{:<width$}", reader.name, width = COLUMNS + 2);
    }
    out.push('\n');
    for row in 0..ROWS {
        for panel in &panels {
            let dots = panel[row].iter();
            out.extend(dots.map(|bits| char::from_u32(0x2800 + u32::from(*bits)).unwrap_or(' ')));
            out.push_str("  ");
        }
        out.push('\n');
    }
    for reader in readers {
        let seen = &reader.seen;
        let summary = format!("{} once, {} again", seen.shown - seen.again, seen.again);
        let _ = write!(out, "{summary:<width$}", width = COLUMNS + 2);
    }
    out.push('\n');
    out
}

fn panel<'a>(points: impl Iterator<Item = &'a Point>, end_us: i64) -> [[u8; COLUMNS]; ROWS] {
    let mut panel = [[0; COLUMNS]; ROWS];
    let (low, high) = VALUES;
    for point in points {
        let across = 1.0 - (end_us - point.time_us) as f64 / SPAN_US as f64;
        let down = (high - point.value) / (high - low);
        if !(0.0..=1.0).contains(&across) || !(0.0..=1.0).contains(&down) {
            continue;
        }
        let x = (across * (COLUMNS * 2 - 1) as f64) as usize;
        let y = (down * (ROWS * 4 - 1) as f64) as usize;
        panel[y / 4][x / 2] |= DOTS[x % 2][y % 4];
    }
    panel
}
