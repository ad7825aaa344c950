//! A look that may decide: what is known, and what to do about it.

use vocabulary::Experiment;

use crate::decision::{Decision, Look, Settings, decide};
use crate::early::Glimpse;
use crate::library::{Lesson, lessons};
use crate::observe::Observed;
use crate::readout::{Readout, readout};

/// A look with all that follows from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// What is known.
    pub readout: Readout,
    /// What to do.
    pub decision: Decision,
    /// What it teaches, where it ends the experiment.
    pub lessons: Vec<Lesson>,
}

/// What a look must know of those before it.
#[derive(Debug, Clone, PartialEq)]
pub struct Before {
    /// Whether all recipients are known beforehand, as those of a list are and those of a triggered flow are not.
    pub is_list: bool,
    /// The [`crate::decision::Information::fraction`] of each earlier look that could have decided, in order.
    pub fractions: Vec<f64>,
    /// Where the experiment has early looks: the [`crate::EarlyLook::fraction`] of each earlier one, in order, and what finished experiments
    /// taught.
    pub early: Option<(Vec<f64>, Vec<Lesson>)>,
}

/// Looks at an experiment, of which everything was observed at one moment. The experiment must have been checked.
#[must_use]
pub fn judge(experiment: &Experiment, observed: &Observed, before: &Before, readout_id: &str) -> Judged {
    let Observed { outcomes, arrivals, days, ages } = observed;
    let at_age = experiment.early.and_then(|early| ages.get(&early.age_hours));
    let glimpse = before.early.as_ref().zip(at_age).map(|((earlier_fractions, lessons), observed)| Glimpse {
        observed,
        earlier_fractions,
        lessons,
    });
    // Whoever is on the list was assigned when it was planned.
    let planned = || outcomes.overall.arms.iter().map(|arm| arm.assigned).sum();
    let look = Look {
        arrivals: Some(arrivals),
        days: Some(days),
        early: glimpse,
        earlier_fractions: &before.fractions,
        // A variant that beats control early need not be the best of every market.
        settings: Settings { waits_until_settled: true, ..Settings::default() },
        ..Look::of(&outcomes.overall, &outcomes.markets, before.is_list.then(planned))
    };
    let (readout, decision) = (readout(experiment, &outcomes.overall, readout_id), decide(experiment, &look));
    Judged { lessons: lessons(experiment, &readout, &decision, outcomes, ages), readout, decision }
}
