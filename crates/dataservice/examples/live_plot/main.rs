//! One signal with short spikes, and three kinds of subscriber side by side: the newest value, a
//! window, and every update.
//!
//! `cargo run -p dataservice --example live_plot -- --seconds 5 --svg live-plot.svg`
//!
//! A thread commits transactions of 20 to 200 updates, 25 times a second. Each subscriber is looked
//! at 20 times a second, and plots what it was shown. A terminal gets the plots; anything else only
//! the table at the end: which updates each of them saw, and what became of the others.

mod arguments;
mod chart;
mod session;
mod svg;
mod table;

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use arguments::{Arguments, USAGE, is_help};
use session::Session;

fn main() -> ExitCode {
    if std::env::args().skip(1).any(|argument| is_help(&argument)) {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let outcome = Arguments::parse(std::env::args().skip(1)).map_err(|error| {
        let error: Box<dyn Error> = format!("{error}\n{USAGE}").into();
        error
    });
    match outcome.and_then(|arguments| show(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("live_plot: {error}");
            ExitCode::FAILURE
        }
    }
}

fn show(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let is_drawing = out.is_terminal();
    let mut lines_above = 0;
    let mut failed = None;
    let mut session = Session::begin()?;
    session.run(arguments.duration, |readers| {
        if !is_drawing || failed.is_some() {
            return;
        }
        let chart = chart::draw(readers);
        // Back to where the last one began, and over it.
        let home = match lines_above {
            0 => String::new(),
            lines => format!("\x1b[{lines}A"),
        };
        lines_above = chart.lines().count();
        let written = write!(out, "{home}{chart}").and_then(|()| out.flush());
        failed = written.err();
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    let reports = session.finish()?;
    write!(out, "{}", table::lines(&reports))?;
    if let Some(file) = &arguments.svg {
        let written = std::fs::write(file, svg::picture(&reports));
        written.map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    }
    Ok(())
}
