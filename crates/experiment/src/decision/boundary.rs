//! What is shown at a look that is one of many: every variant against control on the primary metric.
//!
//! The family of variants is stepped down by Holm at each look: while k variants are left, the most extreme is tested at a boundary
//! that spends alpha/k over the looks. Maurer & Bretz, "Multiple testing in group sequential trials using graphical approaches",
//! Statistics in Biopharmaceutical Research 5 (2013).

use stats::lift::{EstimatePair, fieller_at};
use stats::sequential::confidence::{log_e_value, multiplier, multiplier_one_sided, rho};
use stats::sequential::group::{Sides, Spending, boundaries};
use stats::tail::normal_quantile_upper;
use stats::{Degenerate, Effect, Interval, Moments, welch};
use vocabulary::{Experiment, Measure, Metric, VariantName};

use super::{BoundaryMethod, BoundaryTest, Information, Look, Settings, Shown};
use crate::cuped;
use crate::early::late_alpha;
use crate::observe::{ArmObservations, Observations};

/// With fewer outcomes in either arm nothing is shown: the normal distribution is no guide there, least of all far out.
pub(crate) const OUTCOMES_MIN: f64 = 10.0;

/// Looks whose fractions differ by less than this are the same look.
const FRACTION_STEP_MIN: f64 = 1e-6;

/// What keeps the promise over all looks at this one.
pub(crate) struct Rule {
    method: BoundaryMethod,
    /// Of all looks so far, this one last.
    fractions: Vec<f64>,
    tuning_units: f64,
}

impl Rule {
    pub(super) fn new(look: &Look<'_>, information: &Information) -> Self {
        let now = if information.is_last { 1.0 } else { information.fraction.unwrap_or(1.0) };
        Self::of(information.method, look.earlier_fractions, now, look.settings.tuning_units)
    }

    /// The rule at the share `now` of planned recipients, after looks at `earlier` ones.
    pub(crate) fn of(method: BoundaryMethod, earlier: &[f64], now: f64, tuning_units: f64) -> Self {
        let mut fractions: Vec<f64> = Vec::new();
        for fraction in earlier.iter().copied().chain([now]) {
            while fractions.last().is_some_and(|last| *last + FRACTION_STEP_MIN > now) {
                fractions.pop();
            }
            if fraction.is_finite() && fraction > fractions.last().map_or(0.0, |last| last + FRACTION_STEP_MIN) {
                fractions.push(fraction);
            }
        }
        Self { method, fractions, tuning_units }
    }

    /// How many standard errors this look asks for, after so many recipients of both arms.
    pub(crate) fn critical_value(&self, spending: Spending, alpha: f64, sides: Sides, units: f64) -> Result<f64, Degenerate> {
        match (self.method, sides) {
            (BoundaryMethod::GroupSequential, _) => {
                let found = boundaries(spending, alpha, sides, &self.fractions)?;
                found.critical_values.last().copied().ok_or_else(|| Degenerate::new("there was no look yet"))
            }
            (BoundaryMethod::AlwaysValid, Sides::Two) => multiplier(units, alpha, self.tuning_units),
            (BoundaryMethod::AlwaysValid, Sides::One) => multiplier_one_sided(units, alpha, self.tuning_units),
        }
    }
}

/// How far the experiment is; without the tests.
pub(super) fn information(look: &Look<'_>) -> Information {
    let mature = look.overall.arms.iter().map(|arm| arm.mature).sum::<u64>();
    let planned = look.planned_units.filter(|planned| *planned > 0);
    // Who was erased will not come any more.
    let is_last = planned.is_some_and(|planned| mature.saturating_add(look.overall.erased_units) >= planned);
    let method = if planned.is_some() { BoundaryMethod::GroupSequential } else { BoundaryMethod::AlwaysValid };
    let fraction = planned.map(|planned| (mature as f64 / planned as f64).min(1.0));
    let variance_removed = cuped::variance_removed(look.overall);
    Information { mature, planned: look.planned_units, fraction, method, is_last, variance_removed, tests: Vec::new() }
}

/// The difference in standard errors, on the scale of the normal distribution: positive is better.
pub(crate) fn statistic(control: &Moments, variant: &Moments, lower_is_better: bool) -> Result<f64, Degenerate> {
    Ok(on_normal_scale(&welch(control, variant, 0.5)?, lower_is_better))
}

/// The same of an effect that is computed already.
pub(super) fn on_normal_scale(effect: &Effect, lower_is_better: bool) -> f64 {
    let normal = normal_quantile_upper(effect.p_value / 2.0);
    // So far out that the p-value is no number any more, t is normal or certain.
    let size = if normal.is_finite() { normal } else { effect.statistic.abs() };
    let is_better = (effect.difference > 0.0) != lower_is_better;
    if is_better { size } else { -size }
}

/// Every variant but control, stepped down by Holm.
pub(super) fn tests(experiment: &Experiment, look: &Look<'_>, rule: &Rule, primary: &Metric) -> Vec<BoundaryTest> {
    let control = experiment.control();
    let moments = |variant: &VariantName| look.overall.deciding(variant, primary);
    let of_control = moments(control);
    let others = experiment.others();
    let others: Vec<(&VariantName, Moments)> = others.map(|variant| (variant, moments(variant))).collect();
    let tested = |(variant, of_variant): &(&VariantName, Moments)| Tested {
        statistic: statistic(&of_control, of_variant, primary.lower_is_better).ok(),
        units: of_control.count as f64 + of_variant.count as f64,
        is_enough: [control, variant].iter().all(|arm| outcomes(look.overall, arm, primary) >= OUTCOMES_MIN),
    };
    let tested: Vec<Tested> = others.iter().map(tested).collect();
    let critical = |test: &Tested, left: usize| {
        let alpha = late_alpha(experiment) / left as f64;
        rule.critical_value(Spending::ObrienFlemingSpending, alpha, Sides::Two, test.units).ok()
    };
    let shown = step_down(&tested, critical);
    let open = Interval { lower: None, upper: None };
    let tests = others.iter().zip(&tested).zip(shown).map(|(((variant, of_variant), tested), (boundary, shown))| BoundaryTest {
        variant: (*variant).clone(),
        statistic: tested.statistic,
        boundary,
        lift_interval: tested.statistic.and(boundary).map_or(open, |boundary| lift_interval(&of_control, of_variant, boundary)),
        log_e_value: tested
            .statistic
            .and_then(|statistic| log_e_value_of(experiment, look.overall, variant, statistic, look.planned_units.is_some())),
        shown,
    });
    tests.collect()
}

/// The natural logarithm of the e-value of a variant that is so many standard errors ahead of control. It is most sensitive at as many
/// recipients of both as a list has assigned to them, which is known when it is planned; else at those that decisions are tuned to, so that
/// it never depends on outcomes.
pub(crate) fn log_e_value_of(
    experiment: &Experiment,
    observed: &Observations,
    variant: &VariantName,
    statistic: f64,
    is_list: bool,
) -> Option<f64> {
    let arms = [experiment.control(), variant].map(|arm| observed.arm(arm));
    let sum = |of: fn(&ArmObservations) -> u64| arms.iter().flatten().map(|arm| of(arm)).sum::<u64>() as f64;
    let (units, assigned) = (sum(|arm| arm.mature), sum(|arm| arm.assigned));
    let tuning_units = if is_list && assigned > 0.0 { assigned } else { Settings::default().tuning_units };
    log_e_value(statistic, units, rho(experiment.alpha, tuning_units).ok()?).ok()
}

/// A test of a family.
pub(crate) struct Tested {
    /// In standard errors: positive is better. `None` where it cannot be computed.
    pub(crate) statistic: Option<f64>,
    /// Recipients it rests on.
    pub(crate) units: f64,
    /// Whether there are outcomes enough for it to show anything.
    pub(crate) is_enough: bool,
}

/// The boundary of each test of a family and what is shown there, stepped down by Holm: the most extreme is tested first, at alpha over
/// as many as are left, and once one is not shown no other is. `critical` gives the boundary while so many are left.
pub(crate) fn step_down(family: &[Tested], critical: impl Fn(&Tested, usize) -> Option<f64>) -> Vec<(Option<f64>, Shown)> {
    let mut order: Vec<usize> = (0..family.len()).collect();
    let size = |index: &usize| family[*index].statistic.map_or(0.0, f64::abs);
    order.sort_by(|one, other| size(other).total_cmp(&size(one)));
    let mut results = vec![(None, Shown::Neither); family.len()];
    let (mut left, mut goes_on) = (family.len(), true);
    for index in order {
        let test = &family[index];
        let boundary = critical(test, left);
        results[index].0 = boundary;
        let (Some(statistic), Some(boundary)) = (test.statistic, boundary) else { continue };
        goes_on &= test.is_enough && statistic.abs() >= boundary;
        if goes_on {
            results[index].1 = if statistic > 0.0 { Shown::Better } else { Shown::Worse };
            left -= 1;
        }
    }
    results
}

/// Whether any variant has too few outcomes for its test to show anything.
pub(super) fn too_few_outcomes(experiment: &Experiment, observations: &Observations, primary: &Metric) -> bool {
    experiment.sending().any(|variant| outcomes(observations, &variant.name, primary) < OUTCOMES_MIN)
}

/// How many outcomes an arm's mean rests on. Amounts may be negative and cancel, so that orders are counted for them.
pub(crate) fn outcomes(observations: &Observations, variant: &VariantName, metric: &Metric) -> f64 {
    let moments = observations.moments(variant, &metric.name);
    let others = if metric.measure == Measure::Occurred { moments.count as f64 } else { f64::INFINITY };
    match metric.measure {
        Measure::Amount | Measure::Profit => observations.arm(variant).map_or(0.0, |arm| arm.funnel.ordered as f64),
        Measure::Occurred | Measure::Count | Measure::HoursToFirst => {
            let outcomes = moments.effective_outcomes();
            outcomes.min(others - outcomes)
        }
    }
}

fn lift_interval(control: &Moments, variant: &Moments, boundary: f64) -> Interval {
    let open = Interval { lower: None, upper: None };
    let Some((own, others)) = control.variance_of_mean().zip(variant.variance_of_mean()) else { return open };
    let pair = EstimatePair::new(control.mean, variant.mean, own, others, 0.0, None);
    fieller_at(&pair, boundary).map_or(open, |lift| lift.interval)
}
