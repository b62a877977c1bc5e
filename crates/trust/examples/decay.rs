//! Evidence that grows old: the mean stays, the interval widens, down to a floor.
//!
//! `cargo run -p trust --example decay`

use std::time::Duration;

use trust::{Decay, Interval, Outcome, TrustTracker};

const DAY: Duration = Duration::from_secs(86_400);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let decay = Decay::half_life(DAY).floor(4.0);
    let tracker = TrustTracker::<String>::builder().decay(decay).build()?;
    tracker.batch_update([
        ("rule 7", Outcome::Success, 94.0),
        ("rule 7", Outcome::Failure, 4.0),
    ])?;
    println!(
        "{:>4} {:>6} {:>9} {:>16}",
        "day", "trust", "strength", "95 %"
    );
    for day in 0..8 {
        tracker.advance(DAY * day);
        let trust = tracker.posterior("rule 7");
        let range = trust.interval(Interval::Quantile, 0.95)?;
        println!(
            "{day:>4} {:>6.3} {:>9.2} {:>7.3} to {:.3}",
            trust.mean(),
            trust.strength(),
            range.lower,
            range.upper
        );
        assert!((trust.mean() - 0.95).abs() < 1e-12, "the mean stays");
    }
    assert!(
        (tracker.posterior("rule 7").strength() - 4.0).abs() < 1e-12,
        "the floor"
    );
    Ok(())
}
