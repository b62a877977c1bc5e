//! The example that shows three kinds of subscriber side by side, for a moment.

#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

#[path = "../examples/live_plot/arguments.rs"]
mod arguments;
#[path = "../examples/live_plot/chart.rs"]
mod chart;
#[path = "../examples/live_plot/session.rs"]
mod session;
#[path = "../examples/live_plot/svg.rs"]
mod svg;
#[path = "../examples/live_plot/table.rs"]
mod table;

use arguments::{Arguments, USAGE, is_help};
use session::{Report, Session};

fn parse(line: &str) -> Result<Arguments, String> {
    Arguments::parse(line.split_whitespace().map(str::to_owned))
}

/// Looks for so long, and on until there was something to see.
fn reports(duration: Duration) -> (Vec<Report>, usize) {
    let mut session = Session::begin().unwrap();
    let mut frames = 0;
    while frames == 0 {
        session.run(duration, |readers| {
            frames += 1;
            let chart = chart::draw(readers);
            assert_eq!(chart.lines().count(), 11);
            assert!(chart.lines().all(|line| line.chars().count() <= 80));
        });
    }
    (session.finish().unwrap(), frames)
}

#[test]
fn what_every_kind_of_subscriber_saw_adds_up() {
    let (reports, frames) = reports(Duration::from_millis(300));
    let [newest, window, every] = &reports[..] else {
        panic!("three readers");
    };
    for Report {
        name, stats, seen, ..
    } in &reports
    {
        let sum = stats.delivered + stats.missed + stats.filtered + stats.pending;
        assert_eq!(sum, stats.committed, "{name}");
        assert_eq!(seen.shown - seen.again, stats.delivered, "{name}");
        assert!(stats.polls <= frames as u64 + 1);
        assert_eq!(stats.pending, 0);
    }
    // All three were there from the first commit on.
    assert_eq!(newest.stats.committed, every.stats.committed);
    assert_eq!(window.stats.committed, every.stats.committed);
    // However late the looks were: once each, or counted as missed.
    assert_eq!(every.seen.again, 0);
    assert_eq!(every.seen.shown + every.stats.missed, every.stats.committed);
    assert_eq!(newest.seen.shown, newest.stats.polls);
    assert!(newest.seen.shown < every.seen.shown);
    assert!(every.seen.spikes <= every.spikes_written);
}

#[test]
fn the_table_and_the_picture_tell_of_every_reader() {
    let (reports, _) = reports(Duration::from_millis(200));
    let (table, picture) = (table::lines(&reports), svg::picture(&reports));
    assert_eq!(table.lines().count(), 4);
    for report in &reports {
        let line = table.lines().find(|line| line.starts_with(report.name));
        let committed = report.stats.committed.to_string();
        assert!(line.unwrap().ends_with(&committed));
        assert!(picture.contains(report.name));
    }
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
}

#[test]
fn nonsense_on_the_command_line_is_named() {
    let five = Duration::from_secs(5);
    assert_eq!(
        parse("").unwrap(),
        Arguments {
            duration: five,
            svg: None
        }
    );
    let all = parse("--seconds 0.5 --svg a.svg").unwrap();
    assert_eq!(all.duration, Duration::from_millis(500));
    assert_eq!(all.svg.unwrap().to_str(), Some("a.svg"));

    for nonsense in ["0", "-1", "NaN", "inf", "soon", "3601", "1e300"] {
        let error = parse(&format!("--seconds {nonsense}")).unwrap_err();
        let expected = format!("--seconds is {nonsense}, expected a number from 0.1 to 3600");
        assert_eq!(error, expected);
    }
    assert_eq!(parse("--seconds").unwrap_err(), "--seconds needs a value");
    assert_eq!(
        parse("--minutes 1").unwrap_err(),
        "unknown argument --minutes"
    );
    assert!(USAGE.contains("--seconds"));
    assert!(is_help("--help") && is_help("-h") && !is_help("--svg"));
}
