//! Quantiles: differences between arms without densities, with clustered rows, at one look or at every look.
//!
//! The spread of a sample quantile is read off two other quantiles of the same sample, those at q ∓ z √(q(1 − q)/n*): they
//! are where its interval ends, so their distance is 2 z standard errors ("outer interval"). Rows of the same recipient are
//! alike, which widens the spread by the delta-method variance of the share of rows below the quantile over q(1 − q)/n.
//! Deng, Knoblich & Lu, "Applying the delta method in metric analytics", KDD 2018; Yao, Li & Lu, arXiv 2401.14549 (2024).

pub mod rows;
pub mod sequence;

use serde::{Deserialize, Serialize};

use crate::adjusted::estimate::{check_arm, linearised, square_of};
use crate::adjusted::named::{ArmEstimate, independent};
use crate::answer::{Degenerate, checked_alpha, finite};
use crate::co_moments::CoMoments;
use crate::effect::Effect;
use crate::lift::{EstimatePair, Lift, fieller_at};

/// The two-sided normal quantile at 95 %: the outer interval is always that of 95 %, whatever alpha is asked for later.
const OUTER_Z: f64 = 1.959_963_984_540_054;

/// A quantile of one arm, with those that tell its spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct QuantileArm {
    /// How many rows.
    pub count: u64,
    /// n*: how many rows the outer interval was computed for; `count` where nothing else is known.
    pub count_effective: f64,
    /// Which quantile, between 0 and 1: 0.5 is the median.
    pub level: f64,
    /// The sample quantile at `level`.
    pub quantile: f64,
    /// The sample quantile at `level` − z(0.975) √(level (1 − level)/n*).
    pub lower: f64,
    /// The sample quantile at `level` + z(0.975) √(level (1 − level)/n*).
    pub upper: f64,
}

impl QuantileArm {
    /// The variance of the quantile times the number of rows, (n*/n)(n − 1)((upper − lower)/2z)², as if rows were independent.
    ///
    /// # Errors
    /// [`Degenerate`] when there are fewer than two rows, a number is not finite, the level is not between 0 and 1, or the
    /// outer quantiles are out of order.
    pub fn variance_per_row(&self, arm: &str) -> Result<f64, Degenerate> {
        let Self { count, count_effective, level, quantile, lower, upper } = *self;
        if count < 2 {
            return Err(Degenerate::new(format!("{arm} has fewer than two rows; a spread needs two")));
        }
        if !(level > 0.0 && level < 1.0) {
            return Err(Degenerate::new(format!("the level of {arm} is {level}; it must lie between 0 and 1")));
        }
        finite("quantile", quantile)?;
        if !(count_effective.is_finite() && count_effective > 0.0) {
            return Err(Degenerate::new(format!("n* of {arm} is {count_effective}; it must be more than zero")));
        }
        if lower.is_nan() || upper.is_nan() || lower > upper {
            return Err(Degenerate::new(format!("the lower outer quantile of {arm} is above the upper one")));
        }
        let reach = (upper - lower) / (2.0 * OUTER_Z);
        finite("variance", count_effective / count as f64 * (count - 1) as f64 * reach * reach)
    }

    /// Refuses a quantile whose outer interval reaches beyond the sample: n* ≤ z² q/(1 − q), or z² (1 − q)/q.
    fn check_reach(&self, arm: &str) -> Result<(), Degenerate> {
        let odds = self.level / (1.0 - self.level);
        let needs = OUTER_Z * OUTER_Z * odds.max(1.0 / odds);
        if self.count_effective > needs {
            return Ok(());
        }
        let rows = self.count_effective.floor();
        Err(Degenerate::new(format!(
            "{arm} has too few rows for the quantile at {}: {rows}, and more than {} are needed",
            self.level,
            needs.floor()
        )))
    }
}

/// By how much clustering widens the variance: that of Σ below / Σ rows over clusters, divided by q(1 − q)/n.
///
/// `clusters` holds per cluster the rows at or below the quantile and the rows.
///
/// # Errors
/// [`Degenerate`] when there are fewer than two clusters, no rows, or a number is not finite.
pub fn design_effect(arm: &str, count: u64, level: f64, clusters: &CoMoments) -> Result<f64, Degenerate> {
    check_arm(arm, "", clusters, 2)?;
    let (_, gradient) = linearised(arm, clusters.mean(0), Some(clusters.mean(1)))?;
    let n = clusters.count as f64;
    let variance = square_of(clusters, &gradient) / (n - 1.0) / n;
    finite("variance", variance / (level * (1.0 - level)) * count as f64)
}

/// The answer of [`compare_quantiles`].
#[derive(Debug, Clone, PartialEq)]
pub struct QuantileComparison {
    /// The difference of the quantiles, with its test and interval.
    pub absolute: Effect,
    /// The relative difference with Fieller's interval, or why there is none.
    pub relative: Result<Lift, Degenerate>,
    /// What both are made of.
    pub pair: EstimatePair,
}

/// A quantile with its clusters; without them every row is a recipient of its own.
pub type ClusteredQuantile<'a> = (QuantileArm, Option<&'a CoMoments>);

/// Compares a quantile of two arms by Welch's t and Fieller; degrees of freedom count clusters where there are any.
///
/// # Errors
/// [`Degenerate`] when an arm has too few rows for the level, the levels differ, neither arm varies around its quantile, or
/// a number is not finite.
pub fn compare_quantiles(
    control: ClusteredQuantile<'_>,
    treatment: ClusteredQuantile<'_>,
    alpha: f64,
) -> Result<QuantileComparison, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    if control.0.level != treatment.0.level {
        return Err(Degenerate::new("the two arms are asked for quantiles of different levels"));
    }
    let estimate = |name: &str, (arm, clusters): ClusteredQuantile<'_>| {
        let variance = arm.variance_per_row(name)?;
        arm.check_reach(name)?;
        let (count, factor) = match clusters {
            Some(clusters) => (clusters.count, design_effect(name, arm.count, arm.level, clusters)?),
            None => (arm.count, 1.0),
        };
        let variance = variance * factor / arm.count as f64;
        Ok::<_, Degenerate>(ArmEstimate { count, estimate: arm.quantile, variance_per_unit: variance * count as f64 })
    };
    let pair = independent(&estimate("control", control)?, &estimate("the variant", treatment)?)?;
    let critical_value = pair.critical_value(alpha)?;
    Ok(QuantileComparison { absolute: pair.absolute_at(critical_value)?, relative: fieller_at(&pair, critical_value), pair })
}

/// GrowthBook's variant, to check numbers against: no gate, degrees of freedom of rows, and for 100 rows or more a variance of
/// at least 0.00001 per row, which depends on the unit of measure.
///
/// # Errors
/// [`Degenerate`] when an arm has fewer than two rows, neither varies, or a number is not finite.
pub fn quantile_pair_floored(
    control: ClusteredQuantile<'_>,
    treatment: ClusteredQuantile<'_>,
) -> Result<EstimatePair, Degenerate> {
    let estimate = |name: &str, (arm, clusters): ClusteredQuantile<'_>| {
        let variance = arm.variance_per_row(name)?;
        let floored = if arm.count >= 100 { variance.max(1e-5) } else { variance };
        let factor = match clusters {
            Some(clusters) => design_effect(name, arm.count, arm.level, clusters)?,
            None => 1.0,
        };
        Ok::<_, Degenerate>(ArmEstimate { count: arm.count, estimate: arm.quantile, variance_per_unit: floored * factor })
    };
    independent(&estimate("control", control)?, &estimate("the variant", treatment)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arm(count: u64, level: f64, quantile: f64, reach: f64) -> QuantileArm {
        QuantileArm { count, count_effective: count as f64, level, quantile, lower: quantile - reach, upper: quantile + reach }
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let good = arm(1000, 0.9, 5.0, 1.0);
        let check = |control: QuantileArm, expect: &str| {
            let error = compare_quantiles((control, None), (good, None), 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(arm(1, 0.9, 5.0, 1.0), "fewer than two rows");
        check(arm(1000, 0.5, 5.0, 1.0), "different levels");
        check(arm(30, 0.9, 5.0, 1.0), "control has too few rows for the quantile at 0.9: 30, and more than 34");
        check(arm(1000, 0.9, 5.0, -1.0), "above the upper one");
        check(arm(1000, 0.9, f64::NAN, 1.0), "not a finite number");
        let still = arm(1000, 0.9, 5.0, 0.0);
        let error = compare_quantiles((still, None), (still, None), 0.05).unwrap_err();
        assert!(error.why.contains("neither arm varies"), "{error}");
    }

    /// The unit of measure does not matter to the product's own, but to the floored variant.
    #[test]
    fn days_and_seconds_agree() {
        let answers = [1.0, 1.0 / 86_400.0].map(|unit| {
            let (control, treatment) = (arm(1000, 0.5, 5.0 * unit, unit), arm(1000, 0.5, 6.0 * unit, unit));
            let floored = quantile_pair_floored((control, None), (treatment, None)).unwrap().absolute(0.05).unwrap();
            (compare_quantiles((control, None), (treatment, None), 0.05).unwrap().absolute.p_value, floored.p_value)
        });
        assert!((answers[0].0 / answers[1].0 - 1.0).abs() < 1e-9 && answers[0].0 == answers[0].1);
        assert!(answers[1].1 > 1.5 * answers[0].1, "{answers:?}");
    }

    proptest! {
        #[test]
        fn any_input_has_an_answer_or_a_reason(
            count in prop_oneof![0..3_u64, any::<u64>()], numbers in prop::array::uniform5(prop::num::f64::ANY), alpha in prop::num::f64::ANY,
        ) {
            let [count_effective, level, quantile, lower, upper] = numbers;
            let arm = QuantileArm { count, count_effective, level, quantile, lower, upper };
            let usual = QuantileArm { count: 500, count_effective: 500.0, level, quantile: 1.0, lower: 0.5, upper: 1.5 };
            for (arm, alpha) in [(arm, alpha), (QuantileArm { level: 0.5, ..arm }, 0.1)] {
                let usual = QuantileArm { level: arm.level, ..usual };
                if let Ok(found) = compare_quantiles((arm, None), (usual, None), alpha) {
                    prop_assert!(found.absolute.p_value.is_finite() && found.pair.covariance.is_finite());
                }
                if let Ok(pair) = quantile_pair_floored((usual, None), (arm, None)) {
                    prop_assert!(pair.absolute(0.05).is_err() || pair.variance_difference.is_finite());
                }
            }
        }
    }
}
