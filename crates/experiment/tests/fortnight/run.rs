//! One run of two weeks: the test's looks, the decision, and what the rest of the list brings.

use std::collections::BTreeSet;
use std::thread;

use experiment::decision::{Action, BoundaryMethod, Decision, Look, Settings, Shown, decide};
use experiment::observe::ARRIVAL_HOURS;
use experiment::{Cells, Cut};
use stats::numeric::Draws;
use vocabulary::{Experiment, Timestamp};

use crate::world::{Fault, MARKETS, Truth, VARIANTS, experiment, name, test};

/// Runs go side by side.
const THREADS: u64 = 2;
/// A winner matters where the second-best brings so much less.
const GAP_MIN: f64 = 0.05;
/// Recipients of the first day count on the eighth, those of the last on the last.
const LOOK_DAYS: std::ops::RangeInclusive<i64> = 8..=14;

/// What all runs of a kind have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    pub(crate) list: u64,
    pub(crate) test_share: f64,
    pub(crate) fault: Fault,
    pub(crate) is_same: bool,
    pub(crate) waits_until_settled: bool,
}

/// What came of one run. Profits are in major units per recipient of the rest of the list.
#[derive(Debug, Default)]
pub(crate) struct Season {
    /// Markets in which the best variant is ahead by more than [`GAP_MIN`], and those of them that are sent it.
    pub(crate) pairs: u64,
    pub(crate) right: u64,
    /// Those whose best variant was stopped for harm overall, so that no market is sent it.
    pub(crate) stopped: u64,
    pub(crate) oracle: f64,
    pub(crate) realised: f64,
    pub(crate) control: f64,
    /// The gain over control that was forecast of what each market is sent.
    pub(crate) forecast: f64,
    /// Of the variant that is best overall: the gain that was forecast, that is true, and that was observed.
    pub(crate) overall_forecast: f64,
    pub(crate) overall_lifted: f64,
    pub(crate) overall_raw: f64,
    /// The day of the decision.
    pub(crate) day: i64,
    pub(crate) shipped: bool,
    /// Whether a variant was shown to be better, or to do harm, at any look.
    pub(crate) shown: bool,
    pub(crate) harmed: bool,
    pub(crate) doubts: BTreeSet<String>,
}

/// Runs with the seeds from `first` on.
pub(crate) fn seasons(course: Course, first: u64, runs: u64) -> Vec<Season> {
    let every = |offset: u64| (first + offset..first + runs).step_by(THREADS as usize).map(|seed| season(course, seed)).collect();
    let parts: Vec<Vec<Season>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|offset| scope.spawn(move || every(offset))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a run ends")).collect()
    });
    parts.into_iter().flatten().collect()
}

pub(crate) fn season(course: Course, seed: u64) -> Season {
    let draws = Draws::seeded(seed);
    let experiment = experiment();
    let truth = if course.is_same { Truth::same() } else { Truth::drawn(&mut draws.split(1)) };
    let recipients = (course.list as f64 * course.test_share) as u64;
    let cells = test(&experiment, &truth, recipients, course.fault, &mut draws.split(2));
    let planned = {
        let all = cells.observe(&experiment, &Cut::default(), Timestamp::UNIX_EPOCH);
        all.arms.iter().map(|arm| arm.assigned).sum()
    };
    let mut season = Season::default();
    let mut fractions = Vec::new();
    for day in LOOK_DAYS {
        let decision = look(&experiment, &cells, day, planned, &fractions, course);
        season.shown |= decision.information.tests.iter().any(|test| test.shown == Shown::Better);
        season.harmed |= !decision.stopped.is_empty();
        season.doubts.extend(decision.doubts.iter().map(|doubt| doubt.code.clone()));
        assert_eq!(decision.information.method, BoundaryMethod::GroupSequential);
        fractions.extend(decision.information.fraction);
        season.day = day;
        let is_over = decision.information.is_last || matches!(decision.action, Action::Ship | Action::StopForHarm);
        if is_over {
            roll_out(&truth, &decision, &mut season);
            break;
        }
    }
    season
}

fn look(experiment: &Experiment, cells: &Cells, day: i64, planned: u64, fractions: &[f64], course: Course) -> Decision {
    let as_of = Timestamp::from_second(day * 86_400).expect("a day of 1970");
    let outcomes = cells.observe_by_market(experiment, None, as_of);
    let arrivals = cells.observe_by_market(experiment, Some(ARRIVAL_HOURS), as_of);
    let settings = Settings { waits_until_settled: course.waits_until_settled, ..Settings::default() };
    let look = Look {
        arrivals: Some(&arrivals),
        earlier_fractions: fractions,
        settings,
        ..Look::of(&outcomes.overall, &outcomes.markets, Some(planned))
    };
    decide(experiment, &look)
}

/// The rest of the list is sent what was decided for its market.
fn roll_out(truth: &Truth, decision: &Decision, season: &mut Season) {
    season.shipped = decision.action == Action::Ship;
    let place = |variant: &str| (0..VARIANTS).find(|v| name(*v) == variant).expect("a variant of the experiment");
    let overall = place(decision.variant.as_str());
    for (m, (market, share, ..)) in MARKETS.iter().enumerate() {
        let decided = decision.markets.iter().find(|decided| decided.market == *market);
        let sent = decided.map_or(overall, |decided| place(decided.variant.as_str()));
        let mut ranked: Vec<f64> = (0..VARIANTS).map(|v| truth.profit(m, v)).collect();
        let (of_sent, of_control, of_overall) = (ranked[sent], ranked[0], ranked[overall]);
        ranked.sort_by(|one, other| other.total_cmp(one));
        if ranked[0] - ranked[1] > GAP_MIN * ranked[0] {
            season.pairs += 1;
            season.right += u64::from(of_sent == ranked[0]);
            let is_best = |v: usize| truth.profit(m, v) == ranked[0];
            season.stopped += u64::from(decision.stopped.iter().any(|stopped| is_best(place(stopped.as_str()))));
        }
        season.oracle += share * ranked[0];
        season.realised += share * of_sent;
        season.control += share * of_control;
        season.overall_lifted += share * (of_overall - of_control);
        let forecast = decided.filter(|_| season.shipped).and_then(|decided| decided.best.as_ref());
        season.forecast += share * forecast.map_or(0.0, |best| best.gain);
    }
    if let Some(best) = decision.best.as_ref().filter(|_| season.shipped) {
        season.overall_forecast = best.gain;
        let level = best.lift.map_or(0.0, |lift| if lift == 0.0 { 0.0 } else { best.gain / lift });
        season.overall_raw = best.raw_lift.map_or(0.0, |raw| raw * level);
    }
}
