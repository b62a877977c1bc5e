//! A case: contenders that do the same work, what is measured of them, and what is aimed at.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::report::Better;
use crate::spread::Spread;

/// One repetition of one contender: measures for so long, and returns a value per metric.
pub(crate) type Run = Box<dyn Fn(Duration) -> Result<Vec<f64>>>;

/// Whose a contender is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The one that is compared with the peers.
    Ours,
    /// Another way to use ours; shown, and compared with nobody.
    Variant,
    Peer,
}

/// One way to do the work.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) run: Run,
}

impl Contender {
    pub(crate) fn new(
        kind: Kind,
        name: &'static str,
        run: impl Fn(Duration) -> Result<Vec<f64>> + 'static,
    ) -> Self {
        let run = Box::new(run);
        Self { name, kind, run }
    }
}

/// What a value means.
pub(crate) struct Metric {
    /// As the results call it.
    pub(crate) title: String,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    pub(crate) aims: Vec<Aim>,
}

impl Metric {
    pub(crate) fn new(title: impl Into<String>, unit: &'static str, better: Better) -> Self {
        Self {
            title: title.into(),
            unit,
            better,
            aims: Vec::new(),
        }
    }

    pub(crate) fn aim(mut self, ratio_min: f64, against: Against) -> Self {
        self.aims.push(Aim { ratio_min, against });
        self
    }
}

/// How much better ours should be than whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim {
    pub(crate) ratio_min: f64,
    pub(crate) against: Against,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Against {
    BestPeer,
    /// The best of these.
    BestOf(&'static [&'static str]),
    /// A limit in the unit of the metric.
    Limit(f64),
}

/// One comparison, measured in interleaved repetitions.
pub(crate) struct Case {
    /// How it is selected: `ring-overwrite/4`.
    pub(crate) name: String,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) contenders: Vec<Contender>,
    /// How long one repetition measures.
    pub(crate) duration: Duration,
}

/// The values of one contender: per metric, one per repetition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) values: Vec<Vec<f64>>,
}

impl Lane {
    /// `None` before the first repetition.
    pub(crate) fn spread(&self, metric: usize) -> Option<Spread> {
        Spread::of(self.values[metric].iter().copied())
    }
}

impl Case {
    /// Runs every contender so often, in turns, beginning with another one each time.
    pub(crate) fn measure(
        &self,
        repetitions: u32,
        duration: Duration,
        mut progress: impl FnMut(u32),
    ) -> Result<Vec<Lane>> {
        let mut lanes: Vec<Lane> = self.contenders.iter().map(|c| self.lane(c)).collect();
        for repetition in 0..repetitions {
            progress(repetition);
            for turn in 0..self.contenders.len() {
                let index = (repetition as usize + turn) % self.contenders.len();
                let contender = &self.contenders[index];
                let values = (contender.run)(duration)
                    .with_context(|| format!("{}: {} did other work", self.name, contender.name))?;
                ensure!(values.len() == self.metrics.len(), "a value per metric");
                for (lane, value) in lanes[index].values.iter_mut().zip(values) {
                    lane.push(value);
                }
            }
        }
        Ok(lanes)
    }

    fn lane(&self, contender: &Contender) -> Lane {
        Lane {
            name: contender.name,
            kind: contender.kind,
            values: vec![Vec::new(); self.metrics.len()],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    fn case(contenders: Vec<Contender>) -> Case {
        Case {
            name: "case".into(),
            metrics: vec![Metric::new("speed", "M/s", Better::Higher)],
            contenders,
            duration: Duration::ZERO,
        }
    }

    #[test]
    fn contenders_run_in_turns_and_the_order_turns_too() {
        let calls = Rc::new(RefCell::new(Vec::new()));
        let contender = |name| {
            let calls = Rc::clone(&calls);
            Contender::new(Kind::Peer, name, move |_| {
                calls.borrow_mut().push(name);
                Ok(vec![calls.borrow().len() as f64])
            })
        };
        let case = case(vec![contender("a"), contender("b")]);
        let lanes = case.measure(2, Duration::ZERO, |_| {}).unwrap();
        assert_eq!(*calls.borrow(), ["a", "b", "b", "a"]);
        assert_eq!(lanes[0].values, [[1.0, 4.0]]);
        assert_eq!(lanes[1].spread(0).unwrap().median, 2.5);
    }

    #[test]
    fn a_contender_that_did_other_work_is_named() {
        let broken = Contender::new(Kind::Ours, "ours", |_| anyhow::bail!("an item is lost"));
        let error = case(vec![broken])
            .measure(1, Duration::ZERO, |_| {})
            .unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "case: ours did other work: an item is lost"
        );
    }
}
