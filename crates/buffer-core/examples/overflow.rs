//! Overfills a ring and shows that nothing goes missing unnoticed.
//!
//! `cargo run -p buffer-core --example overflow -- --buffer-size 1000 --overflow-count 500`

use std::process::ExitCode;

use buffer_core::{Crossing, OverflowPolicy, PushedMany, Ring};

const USAGE: &str = "usage: overflow [--buffer-size 1000] [--overflow-count 500]";

fn main() -> ExitCode {
    let outcome = arguments(std::env::args().skip(1))
        .and_then(|(buffer_size, overflow_count)| demonstrate(buffer_size, overflow_count));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("overflow: {error}\n{USAGE}");
            ExitCode::FAILURE
        }
    }
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<(usize, usize), String> {
    let (mut buffer_size, mut overflow_count) = (1000, 500);
    while let Some(name) = given.next() {
        let place = match name.as_str() {
            "--buffer-size" => &mut buffer_size,
            "--overflow-count" => &mut overflow_count,
            _ => return Err(format!("unknown argument {name}")),
        };
        let value = given.next().ok_or(format!("{name} needs a number"))?;
        *place = value
            .parse()
            .map_err(|_| format!("{name} is {value}, expected a whole number"))?;
    }
    Ok((buffer_size, overflow_count))
}

fn demonstrate(buffer_size: usize, overflow_count: usize) -> Result<(), String> {
    let total = buffer_size
        .checked_add(overflow_count)
        .ok_or("--buffer-size and --overflow-count are too large together")?;
    for policy in [
        OverflowPolicy::DropOldest,
        OverflowPolicy::DropNewest,
        OverflowPolicy::Reject,
    ] {
        let ring = Ring::builder(buffer_size)
            .policy(policy)
            .on_crossing(|crossing: Crossing| {
                println!(
                    "  {:?} across the watermark at {:.0} %",
                    crossing.direction,
                    crossing.utilization_pct()
                );
            })
            .build()
            .map_err(|error| error.to_string())?;
        println!("{policy:?}: {total} updates into {buffer_size} places");
        let mut updates: Vec<usize> = (0..total).collect();
        let PushedMany {
            displaced, dropped, ..
        } = ring.push_many(&mut updates);
        println!(
            "  handed back: {displaced} displaced, {dropped} dropped, {} refused",
            updates.len() - displaced - dropped
        );
        let (oldest, held) = ring.lease(buffer_size).map_or((None, 0), |lease| {
            let first = lease.first().copied();
            let held = lease.len();
            lease.ack();
            (first, held)
        });
        println!("  delivered: {held}, the oldest is number {oldest:?}");
        let stats = ring.stats();
        println!(
            "  overflow_count {}, overflow_rate {:.1} %; \
             {} added = {} acknowledged + {} dropped + {} held",
            stats.overflow_count(),
            stats.overflow_rate_pct(),
            stats.total_added,
            stats.total_acked,
            stats.dropped.total(),
            stats.current_size
        );
    }
    Ok(())
}
