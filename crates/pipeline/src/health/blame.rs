//! Gathers reasons, and sees to it that neither their number nor their points grow without end.

use super::{Deduction, Health, HealthReason, HealthStatus};

/// Reasons of one code that are listed one by one.
const LISTED_MAX: usize = 10;

/// What was found so far.
#[derive(Default)]
pub(super) struct Blame {
    reasons: Vec<HealthReason>,
    codes: Vec<Spent>,
}

/// What reasons of one code have come to.
struct Spent {
    code: &'static str,
    points: u8,
    found: usize,
    /// The place of the last that is listed.
    last: usize,
}

impl Blame {
    /// One more thing of this kind was found.
    pub(super) fn on(&mut self, deduction: &Deduction, message: String) {
        let at = match self.codes.iter().position(|it| it.code == deduction.code) {
            Some(at) => at,
            None => {
                self.codes.push(Spent {
                    code: deduction.code,
                    points: 0,
                    found: 0,
                    last: 0,
                });
                self.codes.len() - 1
            }
        };
        let spent = &mut self.codes[at];
        spent.found += 1;
        let left = deduction.points_max.saturating_sub(spent.points);
        let points = deduction.points.min(left);
        spent.points += points;
        if spent.found > LISTED_MAX {
            // What is not listed still counts.
            self.reasons[spent.last].points += points;
            return;
        }
        spent.last = self.reasons.len();
        self.reasons.push(HealthReason {
            code: deduction.code,
            message,
            hint: deduction.hint,
            points,
        });
    }

    /// Whether something of the same code was found.
    pub(super) fn has(&self, deduction: &Deduction) -> bool {
        self.codes.iter().any(|it| it.code == deduction.code)
    }

    pub(super) fn verdict(mut self) -> Health {
        for spent in self.codes.iter().filter(|it| it.found > LISTED_MAX) {
            let more = spent.found - LISTED_MAX;
            let message = &mut self.reasons[spent.last].message;
            message.push_str(&format!(" (and {more} more)"));
        }
        self.reasons
            .sort_by_key(|reason| std::cmp::Reverse(reason.points));
        let points: u32 = self.reasons.iter().map(|it| u32::from(it.points)).sum();
        let score = u8::try_from(100_u32.saturating_sub(points)).unwrap_or(0);
        Health {
            status: HealthStatus::of(score),
            score,
            reasons: self.reasons,
        }
    }
}
