//! What a case came to: its table, its comparisons, and whether its aims were reached.

use super::case::{Against, Aim, Kind, Lane, Metric};
use crate::report::{self, Better, Comparison};

/// Every comparison of ours with a peer or a limit; none if ours did not take part.
pub(crate) fn comparisons(metric: &Metric, index: usize, lanes: &[Lane]) -> Vec<Comparison> {
    let Some(ours) = median_of_ours(lanes, index) else {
        return Vec::new();
    };
    let what = (metric.title.as_str(), metric.unit, metric.better);
    let mut rows = Vec::new();
    for peer in lanes.iter().filter(|lane| lane.kind == Kind::Peer) {
        if let Some(spread) = peer.spread(index) {
            rows.push(Comparison::new(what, ours, (peer.name, spread.median)));
        }
    }
    for aim in &metric.aims {
        if let Against::Limit(limit) = aim.against {
            rows.push(Comparison::new(what, ours, (report::LIMIT, limit)));
        }
    }
    rows
}

fn median_of_ours(lanes: &[Lane], index: usize) -> Option<f64> {
    let ours = lanes.iter().find(|lane| lane.kind == Kind::Ours)?;
    Some(ours.spread(index)?.median)
}

/// An aim beside what was reached.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) case: String,
    pub(crate) aim: String,
    pub(crate) peer: String,
    /// What ours came to, with its unit.
    pub(crate) ours: String,
    pub(crate) ratio: f64,
    pub(crate) is_met: bool,
}

/// One verdict per aim that has somebody to be held against.
pub(crate) fn verdicts(metric: &Metric, comparisons: &[Comparison]) -> Vec<Verdict> {
    let of_aim = |aim: &Aim| {
        let considered = comparisons
            .iter()
            .filter(|row| concerns(aim.against, &row.peer));
        // The best peer is the one over which ours has the least advantage.
        let best = considered.min_by(|a, b| a.ratio.total_cmp(&b.ratio))?;
        Some(Verdict {
            case: metric.title.clone(),
            aim: aim_text(metric, aim),
            peer: best.peer.clone(),
            ours: format!("{} {}", figure(best.ours), metric.unit),
            ratio: best.ratio,
            is_met: best.ratio >= aim.ratio_min,
        })
    };
    metric.aims.iter().filter_map(of_aim).collect()
}

fn concerns(against: Against, peer: &str) -> bool {
    match against {
        Against::BestPeer => peer != report::LIMIT,
        Against::BestOf(names) => names.contains(&peer),
        Against::Limit(_) => peer == report::LIMIT,
    }
}

fn aim_text(metric: &Metric, aim: &Aim) -> String {
    let ratio_min = (aim.ratio_min * 100.0).round() / 100.0;
    match aim.against {
        Against::Limit(limit) => match metric.better {
            Better::Lower => format!("at most {limit} {}", metric.unit),
            Better::Higher => format!("at least {limit} {}", metric.unit),
        },
        Against::BestPeer => format!("at least {ratio_min} against the best peer"),
        Against::BestOf([name]) => format!("at least {ratio_min} against {name}"),
        Against::BestOf(names) => {
            format!(
                "at least {ratio_min} against the best of {}",
                names.join(", ")
            )
        }
    }
}

/// The contenders of one metric as a Markdown table.
pub(crate) fn table(metric: &Metric, index: usize, lanes: &[Lane]) -> String {
    let ours = median_of_ours(lanes, index);
    let mut text = format!(
        "| contender | {}, median | min–max | ours is better by |\n|---|---:|---:|---:|\n",
        metric.unit
    );
    for lane in lanes {
        let Some(spread) = lane.spread(index) else {
            continue;
        };
        let ratio = match (ours, lane.kind) {
            (Some(ours), Kind::Peer) => {
                let what = (metric.title.as_str(), metric.unit, metric.better);
                let ratio = Comparison::new(what, ours, (lane.name, spread.median)).ratio;
                format!("{ratio:.2}")
            }
            _ => "–".to_owned(),
        };
        let [median, min, max] = [spread.median, spread.min, spread.max].map(figure);
        text.push_str(&format!(
            "| {} | {median} | {min}–{max} | {ratio} |\n",
            lane.name
        ));
    }
    text
}

/// All metrics of a case as one Markdown table: a row for each contender, medians.
pub(crate) fn case_table(metrics: &[Metric], lanes: &[Lane]) -> String {
    let mut text = "| contender |".to_owned();
    for metric in metrics {
        // What all titles begin with is the name of the case.
        let title = metric.title.rsplit(": ").next().unwrap_or_default();
        text.push_str(&format!(" {title}, {} |", metric.unit));
    }
    text.push_str(&format!("\n|---|{}\n", "---:|".repeat(metrics.len())));
    for lane in lanes {
        text.push_str(&format!("| {} |", lane.name));
        for index in 0..metrics.len() {
            let median = lane.spread(index).map(|spread| figure(spread.median));
            text.push_str(&format!(" {} |", median.unwrap_or_default()));
        }
        text.push('\n');
    }
    text
}

/// The aims beside what was reached, as a Markdown table.
pub(crate) fn summary(verdicts: &[Verdict]) -> String {
    let mut text = String::from(
        "| case | aim | ours | best peer | reached | |\n\
         |---|---|---:|---|---:|---|\n",
    );
    for verdict in verdicts {
        let Verdict {
            case,
            aim,
            peer,
            ours,
            ratio,
            is_met,
        } = verdict;
        let word = if *is_met { "met" } else { "MISSED" };
        text.push_str(&format!(
            "| {case} | {aim} | {ours} | {peer} | {ratio:.2} | {word} |\n"
        ));
    }
    text
}

/// Three significant digits at least.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => report::thousands(value),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lanes(kinds: &[(&'static str, Kind, &[f64])]) -> Vec<Lane> {
        let lane = |&(name, kind, values): &(&'static str, Kind, &[f64])| Lane {
            name,
            kind,
            values: vec![values.to_vec()],
        };
        kinds.iter().map(lane).collect()
    }

    #[test]
    fn times_are_inverted_so_that_above_one_is_better() {
        let lanes = lanes(&[
            ("ours", Kind::Ours, &[10.0, 5.0, 20.0]),
            ("other use of ours", Kind::Variant, &[1.0]),
            ("slow", Kind::Peer, &[30.0]),
            ("quick", Kind::Peer, &[5.0]),
        ]);
        let metric = Metric::new("push", "ns", Better::Lower);
        let ratios: Vec<f64> = comparisons(&metric, 0, &lanes)
            .iter()
            .map(|row| row.ratio)
            .collect();
        assert_eq!(ratios, [3.0, 0.5]);
        let metric = Metric::new("pushes", "M/s", Better::Higher);
        let rows = comparisons(&metric, 0, &lanes);
        assert_eq!((rows[0].ratio, rows[1].ratio), (1.0 / 3.0, 2.0));
    }

    #[test]
    fn an_aim_is_held_against_the_best_of_those_it_names() {
        let lanes = lanes(&[
            ("ours", Kind::Ours, &[60.0]),
            ("a", Kind::Peer, &[10.0]),
            ("b", Kind::Peer, &[20.0]),
            ("c", Kind::Peer, &[50.0]),
        ]);
        let metric = Metric::new("pushes", "M/s", Better::Higher)
            .aim(1.3, Against::BestPeer)
            .aim(3.0, Against::BestOf(&["a", "b"]))
            .aim(5.0, Against::BestOf(&["absent"]));
        let verdicts = verdicts(&metric, &comparisons(&metric, 0, &lanes));
        let shown: Vec<(&str, f64, bool)> = verdicts
            .iter()
            .map(|v| (v.peer.as_str(), v.ratio, v.is_met))
            .collect();
        assert_eq!(shown, [("c", 1.2, false), ("b", 3.0, true)]);
        assert!(summary(&verdicts).contains("| c | 1.20 | MISSED |"));
    }

    #[test]
    fn a_case_is_one_table_with_a_column_for_each_metric() {
        let lane = |name, values: &[f64]| Lane {
            name,
            kind: Kind::Ours,
            values: values.iter().map(|value| vec![*value]).collect(),
        };
        let metrics = [
            Metric::new("case: pause", "ms", Better::Lower),
            Metric::new("case: speed", "M/s", Better::Higher),
        ];
        let table = case_table(
            &metrics,
            &[lane("a", &[2.5, 4000.0]), lane("b", &[1.0, 12.0])],
        );
        let expected = "| contender | pause, ms | speed, M/s |\n|---|---:|---:|\n\
                        | a | 2.50 | 4,000 |\n| b | 1.00 | 12.0 |\n";
        assert_eq!(table, expected);
    }

    #[test]
    fn a_limit_is_a_row_of_its_own() {
        let lanes = lanes(&[("ours", Kind::Ours, &[0.5]), ("peer", Kind::Peer, &[4.0])]);
        let metric = Metric::new("pause", "ms", Better::Lower).aim(1.0, Against::Limit(1.0));
        let rows = comparisons(&metric, 0, &lanes);
        assert_eq!((rows[1].peer.as_str(), rows[1].ratio), (report::LIMIT, 2.0));
        let verdicts = verdicts(&metric, &rows);
        assert_eq!(verdicts[0].aim, "at most 1 ms");
        assert!(verdicts[0].is_met && verdicts.len() == 1);
    }

    #[test]
    fn without_ours_there_is_a_table_and_no_comparison() {
        let lanes = lanes(&[("peer", Kind::Peer, &[4.0, 2.0, 1234.0])]);
        let metric = Metric::new("pushes", "M/s", Better::Higher).aim(1.0, Against::BestPeer);
        assert!(comparisons(&metric, 0, &lanes).is_empty());
        assert!(table(&metric, 0, &lanes).contains("| peer | 4.00 | 2.00–1,234 | – |"));
    }
}
