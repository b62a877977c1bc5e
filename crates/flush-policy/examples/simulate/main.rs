//! Plays patterns of arrivals against flush policies in simulated time, and prints what came of it.
//!
//! ```text
//! cargo run --release -p flush-policy --example simulate -- [--pattern NAME] [--seed N] [--csv]
//!     [--svg FILE] [--sizes-svg FILE]
//! ```

mod plot;
mod scenario;
#[path = "../../tests/sim/mod.rs"]
mod sim;
mod table;

use std::error::Error;
use std::path::PathBuf;

const USAGE: &str = "usage: simulate [--pattern NAME] [--seed N] [--csv] [--svg FILE] \
                     [--sizes-svg FILE]";

fn main() -> Result<(), Box<dyn Error>> {
    let mut pattern: Option<String> = None;
    let mut seed = 1;
    let mut csv = false;
    let mut svg: Option<PathBuf> = None;
    let mut sizes_svg: Option<PathBuf> = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE);
        match argument.as_str() {
            "--pattern" => pattern = Some(value()?),
            "--seed" => seed = value()?.parse()?,
            "--csv" => csv = true,
            "--svg" => svg = Some(value()?.into()),
            "--sizes-svg" => sizes_svg = Some(value()?.into()),
            _ => return Err(USAGE.into()),
        }
    }
    let mut patterns = scenario::patterns(seed);
    if let Some(name) = pattern {
        patterns.retain(|pattern| pattern.name == name);
    }
    let rows = table::rows(&patterns, &scenario::contenders())?;
    let text = if csv {
        table::csv(&rows)
    } else {
        table::markdown(&rows)
    };
    print!("{text}");
    if let Some(file) = svg {
        std::fs::write(file, plot::waits(&patterns, &rows))?;
    }
    if let Some(file) = sizes_svg {
        std::fs::write(file, plot::sizes(&patterns, &rows, scenario::SIZES_SHOWN))?;
    }
    Ok(())
}
