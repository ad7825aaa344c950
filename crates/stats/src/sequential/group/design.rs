//! A planned design and the looks that were really taken. Jennison & Turnbull, *Group Sequential Methods with Applications to
//! Clinical Trials* (2000).

use serde::{Deserialize, Serialize};

use super::boundaries::{Boundaries, boundaries, critical_value};
use super::futility::{Futility, futility, lower_critical_value};
use super::inference::{StageWise, stage_wise};
use super::power::{ConditionalPower, Crossing, crossings, lower_of, still_to_come};
use super::spending::{Sides, Spending, checked_fractions};
use super::walk::Walk;
use crate::answer::{Degenerate, Interval, finite};
use crate::tail::normal_upper;

/// Drifts and statistics farther out leave nothing to be asked: chances are then 0 or 1 to three hundred digits.
const DRIFT_MAX: f64 = 1_000.0;

/// The least information on which a prediction is made, as a share of that at the next look.
const INFORMATION_MIN: f64 = 1e-4;

/// A group-sequential design. Looks need not be taken as planned: with a spending function each look spends what its
/// information fraction says, and with a classic shape what the planned boundaries spend up to there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupSequential {
    spending: Spending,
    alpha: f64,
    sides: Sides,
    fractions: Vec<f64>,
    planned: Boundaries,
    futility: Option<(Futility, Spending, f64)>,
}

/// One look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// Information so far over planned information, such as mature recipients over planned recipients. May exceed 1.
    pub information_fraction: f64,
    /// The estimate over its standard error.
    pub statistic: f64,
}

/// What a look decides.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The critical value of this look.
    pub critical_value: f64,
    /// The one-sided p-value that the critical value has by itself.
    pub nominal_p: f64,
    /// The error spent up to this look, on all sides.
    pub cumulative_alpha: f64,
    /// Whether the critical value is crossed; on two sides in either direction.
    pub crossed: bool,
    /// Below this the experiment may be given up.
    pub lower_critical_value: Option<f64>,
    /// Whether it may be given up.
    pub futile: bool,
    /// The repeated confidence interval, statistic ± critical value: in standard errors of this look, valid at all looks
    /// whether or not the experiment stops. With one side it has no upper end.
    pub repeated_interval: Interval,
}

/// The boundaries of the looks that were taken, on the scale of z.
struct Taken {
    upper: Vec<f64>,
    spent: Vec<f64>,
    lower: Option<Vec<f64>>,
}

impl GroupSequential {
    /// Plans looks at the given information fractions, the last of which is the planned end.
    ///
    /// # Errors
    /// [`Degenerate`] where [`boundaries`] is.
    pub fn planned(spending: Spending, alpha: f64, sides: Sides, fractions: &[f64]) -> Result<Self, Degenerate> {
        let planned = boundaries(spending, alpha, sides, fractions)?;
        Ok(Self { spending, alpha, sides, fractions: fractions.to_vec(), planned, futility: None })
    }

    /// Adds a boundary for giving up, by spending `beta`.
    ///
    /// # Errors
    /// [`Degenerate`] with two sides or a classic shape, when beta does not lie between 0 and 1 − alpha, and when no effect has
    /// that power.
    pub fn with_futility(self, spending: Spending, beta: f64, binding: bool) -> Result<Self, Degenerate> {
        if self.sides == Sides::Two {
            return Err(Degenerate::new("giving up needs a one-sided design: on two sides neither direction is futile"));
        }
        let found = futility((self.spending, self.alpha), (spending, beta), &self.fractions, binding)?;
        Ok(Self { planned: found.boundaries.clone(), futility: Some((found, spending, beta)), ..self })
    }

    /// The boundaries of the planned looks.
    #[must_use]
    pub fn boundaries(&self) -> &Boundaries {
        &self.planned
    }

    /// The boundaries for giving up at the planned looks, if there are any.
    #[must_use]
    pub fn futility(&self) -> Option<&Futility> {
        self.futility.as_ref().map(|(futility, ..)| futility)
    }

    /// What each look decides. `last` says that the latest look is the last one wherever it is; it then spends all that is left.
    ///
    /// # Errors
    /// [`Degenerate`] when the fractions do not ascend from above zero, there are too many, or a statistic is not a number.
    pub fn analyse(&self, looks: &[Look], last: bool) -> Result<Vec<Decision>, Degenerate> {
        let taken = self.taken(looks, last)?;
        let decide = |(index, look): (usize, &Look)| {
            let critical_value = taken.upper[index];
            let crossed = match self.sides {
                Sides::One => look.statistic >= critical_value,
                Sides::Two => look.statistic.abs() >= critical_value,
            };
            let lower_critical_value = taken.lower.as_ref().map(|lower| lower[index]);
            let lower = finite("repeated interval", look.statistic - critical_value)?;
            let upper = finite("repeated interval", look.statistic + critical_value)?;
            Ok(Decision {
                critical_value,
                nominal_p: normal_upper(critical_value),
                cumulative_alpha: taken.spent[index] * self.sides.count(),
                crossed,
                lower_critical_value,
                futile: !crossed && lower_critical_value.is_some_and(|lower| look.statistic < lower),
                repeated_interval: Interval { lower: Some(lower), upper: (self.sides == Sides::Two).then_some(upper) },
            })
        };
        looks.iter().enumerate().map(decide).collect()
    }

    /// The p-value and the estimate by stage-wise ordering, at the first look that crossed or else at the latest. The interval
    /// has the two-sided error alpha (twice alpha for a one-sided design).
    ///
    /// # Errors
    /// [`Degenerate`] where [`GroupSequential::analyse`] is, and when a statistic is too far out for any effect.
    pub fn estimate(&self, looks: &[Look], last: bool) -> Result<StageWise, Degenerate> {
        let decisions = self.analyse(looks, last)?;
        checked_statistics(looks)?;
        let taken = self.taken(looks, last)?;
        let binding = self.binding();
        let stops = |decision: &Decision| decision.crossed || (binding && decision.futile);
        let stop = decisions.iter().position(stops).unwrap_or(decisions.len() - 1);
        let fractions: Vec<f64> = looks[..=stop].iter().map(|look| look.information_fraction).collect();
        let lower = self.obeyed(&taken);
        let alpha = (2.0 / self.sides.count() * self.alpha).min(1.0 - 1e-9);
        stage_wise(&fractions, &lower, &taken.upper, looks[stop].statistic, alpha)
    }

    /// The chance that one of the planned looks still to come crosses, at `drift` (the mean of z at the planned end).
    ///
    /// # Errors
    /// [`Degenerate`] where [`GroupSequential::analyse`] is, when there was no look yet, none is to come, or the drift is not
    /// a number.
    pub fn conditional_power(&self, looks: &[Look], drift: f64) -> Result<ConditionalPower, Degenerate> {
        self.to_come(looks, Some(finite("drift", drift)?))
    }

    /// The same chance, averaged over the drifts that agree with the data (flat prior).
    ///
    /// # Errors
    /// As [`GroupSequential::conditional_power`].
    pub fn predictive_power(&self, looks: &[Look]) -> Result<ConditionalPower, Degenerate> {
        self.to_come(looks, None)
    }

    /// The chances of stopping at each planned look, at `drift`.
    ///
    /// # Errors
    /// [`Degenerate`] when the drift is not a number or larger than 1,000.
    pub fn crossings(&self, drift: f64) -> Result<Vec<Crossing>, Degenerate> {
        if drift.is_nan() || drift.abs() > DRIFT_MAX {
            return Err(Degenerate::new(format!("the drift is {drift}; it must lie between -{DRIFT_MAX} and {DRIFT_MAX}")));
        }
        let lower = match &self.futility {
            Some((futility, ..)) => futility.lower_critical_values.clone(),
            None => lower_of(&self.planned.critical_values, self.sides),
        };
        Ok(crossings(drift, &self.fractions, &lower, &self.planned.critical_values))
    }

    fn to_come(&self, looks: &[Look], drift: Option<f64>) -> Result<ConditionalPower, Degenerate> {
        let Some(latest) = looks.last() else { return Err(Degenerate::new("there was no look yet")) };
        checked_statistics(looks)?;
        let ahead = self.fractions.iter().filter(|t| **t > latest.information_fraction * (1.0 + 1e-6));
        let ahead: Vec<Look> = ahead.map(|t| Look { information_fraction: *t, statistic: 0.0 }).collect();
        if ahead.is_empty() {
            return Err(Degenerate::new("no planned look is still to come"));
        }
        let taken = self.taken(&[looks, &ahead].concat(), true)?;
        let lower = self.obeyed(&taken);
        let fractions: Vec<f64> = ahead.iter().map(|look| look.information_fraction).collect();
        let now = (latest.information_fraction, latest.statistic);
        if drift.is_some_and(|drift| drift.abs() > DRIFT_MAX) {
            return Err(Degenerate::new(format!("the drift must lie between -{DRIFT_MAX} and {DRIFT_MAX}")));
        }
        if now.0 < INFORMATION_MIN * fractions[0] {
            return Err(Degenerate::new("there is too little information so far to tell what will come"));
        }
        let done = looks.len();
        Ok(still_to_come(now, drift, &fractions, &lower[done..], &taken.upper[done..]))
    }

    fn binding(&self) -> bool {
        self.futility().is_some_and(|futility| futility.binding)
    }

    /// The lower boundaries at which an experiment really stops.
    fn obeyed(&self, taken: &Taken) -> Vec<f64> {
        match &taken.lower {
            Some(lower) if self.binding() => lower.clone(),
            _ => lower_of(&taken.upper, self.sides),
        }
    }

    /// The boundaries of the looks that were taken.
    fn taken(&self, looks: &[Look], last: bool) -> Result<Taken, Degenerate> {
        let fractions: Vec<f64> = looks.iter().map(|look| look.information_fraction).collect();
        checked_fractions(&fractions)?;
        for look in looks {
            finite("statistic", look.statistic)?;
        }
        let end = self.fractions[self.fractions.len() - 1];
        let spent = |index: usize, t: f64, of: &dyn Fn(f64) -> Result<f64, Degenerate>| {
            of(if last && index + 1 == fractions.len() { t.max(end) } else { t })
        };
        let tail = self.alpha / self.sides.count();
        let mut taken = Taken { upper: Vec::new(), spent: Vec::new(), lower: self.futility.is_some().then(Vec::new) };
        let mut without = Walk::new(0.0, fractions[0]);
        let mut with = self.futility().map(|futility| Walk::new(futility.drift, fractions[0]));
        let (mut alpha_before, mut beta_before, mut share) = (0.0, 0.0, 1.0);
        for (index, t) in fractions.iter().enumerate() {
            let alpha = spent(index, *t, &|t| self.spent(t, tail))?;
            let upper = critical_value(&without, alpha - alpha_before, *t, share)?;
            share = ((alpha - alpha_before) / normal_upper(upper)).clamp(1e-3, 1.0);
            alpha_before = alpha;
            let mut lower = f64::INFINITY;
            if let (Some((futility, spending, beta)), Some(with), Some(lowers)) = (&self.futility, &with, &mut taken.lower) {
                let beta = spent(index, *t, &|t| Ok(spending.spent((t / end).min(1.0), *beta)?.unwrap_or(*beta)))?;
                let is_last = *t >= end || (last && index + 1 == fractions.len());
                if !is_last {
                    lower = lower_critical_value(with, beta - beta_before, *t, futility.drift);
                }
                lower = lower.min(upper);
                beta_before = beta;
                lowers.push(lower);
            }
            taken.upper.push(upper);
            taken.spent.push(alpha);
            if let Some(next) = fractions.get(index + 1) {
                let root = t.sqrt();
                let floor = match self.sides {
                    Sides::Two => -upper,
                    Sides::One if self.binding() => lower,
                    Sides::One => f64::NEG_INFINITY,
                };
                without.proceed(floor * root, upper * root, *next);
                if let Some(with) = &mut with {
                    with.proceed(lower * root, upper * root, *next);
                }
            }
        }
        Ok(taken)
    }

    /// What is spent in one tail up to `t`, with the planned end taken as 1.
    fn spent(&self, t: f64, tail: f64) -> Result<f64, Degenerate> {
        if let Some(spent) = self.spending.spent(t, tail)?
            && self.spending.exponent().is_none()
        {
            return Ok(spent);
        }
        // A classic shape: straight between what its planned boundaries spend, exactly that at the planned looks.
        let (mut t_before, mut spent_before) = (0.0, 0.0);
        for (planned, alpha) in self.fractions.iter().zip(&self.planned.cumulative_alpha) {
            let spent = alpha / self.sides.count();
            if t <= *planned {
                return Ok(spent_before + (spent - spent_before) * ((t - t_before) / (planned - t_before)));
            }
            (t_before, spent_before) = (*planned, spent);
        }
        Ok(spent_before)
    }
}

/// Refuses statistics for which no effect can be told.
fn checked_statistics(looks: &[Look]) -> Result<(), Degenerate> {
    match looks.iter().find(|look| look.statistic.is_nan() || look.statistic.abs() > DRIFT_MAX) {
        None => Ok(()),
        Some(look) => Err(Degenerate::new(format!("a statistic is {}; effects are told up to {DRIFT_MAX}", look.statistic))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn looks(looks: &[(f64, f64)]) -> Vec<Look> {
        looks
            .iter()
            .map(|(information_fraction, statistic)| Look { information_fraction: *information_fraction, statistic: *statistic })
            .collect()
    }

    fn plan(spending: Spending, sides: Sides) -> GroupSequential {
        GroupSequential::planned(spending, 0.05, sides, &[0.25, 0.5, 0.75, 1.0]).unwrap()
    }

    #[test]
    fn looks_as_planned_have_the_planned_boundaries() {
        for spending in [Spending::ObrienFlemingSpending, Spending::Pocock, Spending::ObrienFleming] {
            for sides in [Sides::One, Sides::Two] {
                let plan = plan(spending, sides);
                let decisions = plan.analyse(&looks(&[(0.25, 0.1), (0.5, -3.5), (0.75, 1.0), (1.0, 2.5)]), false).unwrap();
                for (decision, expect) in decisions.iter().zip(&plan.boundaries().critical_values) {
                    assert!((decision.critical_value - expect).abs() < 1e-8, "{decision:?} is not {expect}");
                }
                assert_eq!(decisions[1].crossed, sides == Sides::Two);
                assert!(decisions[3].crossed && !decisions[0].crossed);
                assert!((decisions[3].cumulative_alpha - 0.05).abs() < 1e-9);
            }
        }
    }

    /// Fewer, later or more looks than planned still spend alpha in all and no more.
    #[test]
    fn unplanned_looks_spend_what_is_left() {
        let check = |plan: &GroupSequential, taken: &[(f64, f64)], last: bool, expect: f64| {
            let decisions = plan.analyse(&looks(taken), last).unwrap();
            let fractions: Vec<f64> = taken.iter().map(|(t, _)| *t).collect();
            let upper: Vec<f64> = decisions.iter().map(|decision| decision.critical_value).collect();
            let spent: f64 = crossings(0.0, &fractions, &upper.iter().map(|z| -z).collect::<Vec<_>>(), &upper)
                .iter()
                .map(|crossing| crossing.above + crossing.below)
                .sum();
            assert!((spent - expect).abs() < 1e-8 * expect, "{spent} is not {expect}");
        };
        for spending in [Spending::PocockSpending, Spending::Pocock, Spending::WangTsiatis { shape: 0.2 }] {
            let plan = plan(spending, Sides::Two);
            check(&plan, &[(0.1, 0.0), (0.6, 0.0), (0.8, 0.0)], true, 0.05);
            check(&plan, &[(0.3, 0.0), (1.3, 0.0)], false, 0.05);
            check(&plan, &[(0.3, 0.0), (0.9, 0.0), (1.1, 0.0), (1.2, 0.0)], false, 0.05);
            let early = plan.analyse(&looks(&[(0.5, 0.0)]), false).unwrap();
            check(&plan, &[(0.5, 0.0)], false, early[0].cumulative_alpha);
            assert!((early[0].cumulative_alpha - plan.boundaries().cumulative_alpha[1]).abs() < 1e-9);
        }
    }

    #[test]
    fn giving_up_is_advice_unless_it_binds() {
        let even = Spending::Power { exponent: 1.0 };
        for binding in [false, true] {
            let plan = plan(Spending::ObrienFlemingSpending, Sides::One).with_futility(even, 0.2, binding).unwrap();
            let futility = plan.futility().unwrap().clone();
            let taken = looks(&[(0.25, -3.0), (0.5, 4.0), (0.75, 2.0), (1.0, 1.0)]);
            let decisions = plan.analyse(&taken, false).unwrap();
            for (decision, expect) in decisions.iter().zip(&futility.lower_critical_values) {
                assert!((decision.lower_critical_value.unwrap() - expect).abs() < 1e-7, "{decision:?} is not {expect}");
            }
            assert!(decisions[0].futile && decisions[1].crossed && !decisions[1].futile && decisions[3].futile);
            assert_eq!(plan.estimate(&taken, false).unwrap().look, if binding { 1 } else { 2 });
            let misses: f64 = plan.crossings(futility.drift).unwrap().iter().map(|crossing| crossing.below).sum();
            assert!((misses - 0.2).abs() < 1e-9);
        }
        assert!(plan(even, Sides::Two).with_futility(even, 0.2, true).unwrap_err().why.contains("one-sided"));
    }

    #[test]
    fn what_may_still_come() {
        let plan = plan(Spending::ObrienFlemingSpending, Sides::Two);
        let so_far = looks(&[(0.25, 1.0), (0.5, 2.0)]);
        let trend = 2.0 / f64::sqrt(0.5);
        let chance = |drift| plan.conditional_power(&so_far, drift).unwrap();
        assert!(chance(0.0).above < chance(trend).above && chance(trend).above > 0.8);
        let predicted = plan.predictive_power(&so_far).unwrap();
        assert!(predicted.above > chance(0.0).above && predicted.above < chance(trend).above);
        assert!(plan.conditional_power(&looks(&[(1.0, 2.0)]), 0.0).unwrap_err().why.contains("no planned look"));
        assert!(plan.conditional_power(&[], 0.0).unwrap_err().why.contains("no look yet"));
        assert!(plan.conditional_power(&so_far, f64::NAN).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// The interval after stopping excludes zero exactly where a boundary was crossed, and turning the sign of the
        /// statistics turns the answers.
        #[test]
        fn estimates_agree_with_decisions(zs in prop::collection::vec(-4.5..4.5_f64, 4), stop in 1..5_usize) {
            let plan = plan(Spending::PocockSpending, Sides::Two);
            let taken: Vec<Look> = looks(&[(0.25, zs[0]), (0.5, zs[1]), (0.75, zs[2]), (1.0, zs[3])])[..stop].to_vec();
            let decisions = plan.analyse(&taken, false).unwrap();
            let estimate = plan.estimate(&taken, false).unwrap();
            let crossed = decisions.iter().any(|decision| decision.crossed);
            if crossed || stop == 4 {
                prop_assert_eq!(crossed, !estimate.interval.contains(0.0));
                prop_assert_eq!(crossed, estimate.p_value <= 0.05);
            }
            prop_assert!(estimate.interval.contains(estimate.median_unbiased));
            let turned: Vec<Look> = taken.iter().map(|look| Look { statistic: -look.statistic, ..*look }).collect();
            let other = plan.estimate(&turned, false).unwrap();
            prop_assert!((other.median_unbiased + estimate.median_unbiased).abs() < 1e-8);
            prop_assert!((other.p_value - estimate.p_value).abs() < 1e-10);
        }

        /// Whatever is looked at, there is a number or a reason.
        #[test]
        fn answers_are_numbers(a in any::<f64>(), z in any::<f64>(), drift in any::<f64>(), last in any::<bool>()) {
            let plan = plan(Spending::ObrienFlemingSpending, Sides::One).with_futility(Spending::Power { exponent: 2.0 }, 0.1, true).unwrap();
            for taken in [looks(&[(a.abs(), z)]), looks(&[(0.3, z), (0.3 + a.abs(), z)]), looks(&[(0.3, 1.0), (0.9, z)])] {
                if let Ok(decisions) = plan.analyse(&taken, last) {
                    prop_assert!(decisions.iter().all(|d| d.critical_value.is_finite() && d.repeated_interval.lower.unwrap().is_finite()));
                }
                if let Ok(estimate) = plan.estimate(&taken, last) {
                    prop_assert!(estimate.median_unbiased.is_finite() && estimate.p_value >= 0.0 && estimate.p_value <= 1.0);
                }
                for chance in [plan.conditional_power(&taken, drift), plan.predictive_power(&taken)] {
                    prop_assert!(chance.is_err() || chance.is_ok_and(|c| c.above >= 0.0 && c.above <= 1.0 && c.below >= 0.0 && c.below <= 1.0));
                }
            }
        }
    }
}
