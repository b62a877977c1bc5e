//! What each of the readers saw.

use std::fmt::Write;

use crate::session::Report;

pub(crate) fn lines(reports: &[Report]) -> String {
    let mut out = String::from(
        "reader         polls    shown     once    again   spikes   \
         delivered +   missed + filtered + pending = committed\n",
    );
    for Report {
        name,
        stats,
        seen,
        spikes_written,
    } in reports
    {
        let once = seen.shown - seen.again;
        let spikes = format!("{}/{spikes_written}", seen.spikes);
        let _ = write!(out, "{name:<14} {:>5} {:>8} ", stats.polls, seen.shown);
        let _ = write!(out, "{once:>8} {:>8} {spikes:>8}   ", seen.again);
        let _ = write!(out, "{:>9} + {:>8} + ", stats.delivered, stats.missed);
        let _ = write!(out, "{:>8} + {:>7} = ", stats.filtered, stats.pending);
        let _ = writeln!(out, "{:>9}", stats.committed);
    }
    out
}
