//! Two arms at any look: the absolute difference, and the lift with an interval that is valid at every look as well.
//!
//! The lift's interval is Fieller's, with the multiplier k of the confidence sequence in place of a quantile
//! ([`fieller_at`]): it holds every ρ = 1 + lift for which (m_B − ρ m_A)² ≤ k² (v_B − 2ρ c + ρ² v_A). At ρ = 1 this is the
//! absolute sequence itself, so lift and difference exclude zero at the same looks. An always-valid multiplier on a
//! linearised ratio has no such guarantee, and for rare, skewed outcomes it fails often. Fieller, "Some problems in
//! interval estimation", JRSS B 16 (1954); the multiplier is that of [`confidence`](super::confidence).

use serde::{Deserialize, Serialize};

use super::confidence::ConfidenceSequence;
use crate::answer::Degenerate;
use crate::effect::{Arm, varying};
use crate::lift::{EstimatePair, Lift, fieller_at};
use crate::moments::Moments;

/// A comparison that holds at every look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Variant minus control.
    pub absolute: ConfidenceSequence,
    /// (Variant − control) / |control|, or why it is not identifiable yet.
    pub relative: Result<Lift, Degenerate>,
}

/// Compares two means at a look. `tuning` is the number of recipients at which the intervals are to be narrowest.
///
/// # Errors
/// [`Degenerate`] when an arm has fewer than two recipients, neither varies, a number is not finite, alpha does not lie
/// between 0 and 1, or the tuning is not positive.
pub fn compare(control: &Moments, treatment: &Moments, tuning: f64, alpha: f64) -> Result<Comparison, Degenerate> {
    let units = control.count as f64 + treatment.count as f64;
    let (control, treatment) = (Arm::new("control", control)?, Arm::new("the variant", treatment)?);
    let (own, others) = (control.variance_of_mean, treatment.variance_of_mean);
    compare_pair(&EstimatePair::new(control.mean, treatment.mean, own, others, 0.0, None), units, tuning, alpha)
}

/// Compares any two estimates at a look, such as ratios or means adjusted by covariates; their degrees of freedom are not
/// used. `units` are the recipients of both arms together (never messages).
///
/// # Errors
/// [`Degenerate`] when a variance is negative, the difference has none, the covariance is larger than the variances allow, a
/// number is not finite, alpha does not lie between 0 and 1, or the tuning is not positive.
pub fn compare_pair(pair: &EstimatePair, units: f64, tuning: f64, alpha: f64) -> Result<Comparison, Degenerate> {
    let (own, both) = (pair.variance_control, pair.variance_difference);
    if !(own >= 0.0 && both >= 0.0) {
        return Err(Degenerate::new("a variance is negative or not a number"));
    }
    if pair.covariance.is_nan() || pair.covariance.abs() > own.sqrt() * both.sqrt() + 1e-9 * (own + both) {
        return Err(Degenerate::new("the covariance is larger than the variances allow"));
    }
    let absolute = ConfidenceSequence::new(pair.difference, varying(both)?.sqrt(), units, alpha, tuning)?;
    Ok(Comparison { absolute, relative: fieller_at(pair, absolute.multiplier) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::confidence::OneSidedSequence;
    use super::*;
    use crate::answer::{Alternative, Interval};

    /// The arms of `test_tests.py` in GrowthBook's gbstats.
    fn arms() -> (Moments, Moments) {
        let control = Moments::from_sums(3000, 1396.87, 52_377.976_7).unwrap();
        (control, Moments::from_sums(3461, 2422.7, 134_698.29).unwrap())
    }

    fn interval(actual: Interval, lower: f64, upper: f64, tolerance: f64) {
        let (a, b) = (actual.lower.unwrap(), actual.upper.unwrap());
        assert!((a - lower).abs() <= tolerance && (b - upper).abs() <= tolerance, "({a}, {b}) is not ({lower}, {upper})");
    }

    /// The standard error of the linearised lift, which peers use.
    fn linear((control, variant): (Moments, Moments)) -> (f64, f64) {
        let (mean, other) = (control.mean, variant.mean);
        let (v, w) = (control.variance_of_mean().unwrap(), variant.variance_of_mean().unwrap());
        ((other - mean) / mean, (w / (mean * mean) + v * other * other / mean.powi(4)).sqrt())
    }

    /// TestSequentialTTest.test_sequential_test_runs for the linearised lift; the others by own evaluation of the formulas.
    #[test]
    fn the_sequence_of_a_mailing() {
        let (control, variant) = arms();
        let comparison = compare(&control, &variant, 1000.0, 0.05).unwrap();
        assert!((comparison.absolute.multiplier - 3.184_651_1).abs() < 1e-7);
        interval(comparison.absolute.interval, -0.179_089, 0.647_843, 1e-6);
        interval(comparison.relative.unwrap().interval, -0.303_001, 2.415_907, 1e-6);
        let (lift, error) = linear(arms());
        let sequence = ConfidenceSequence::new(lift, error, 6461.0, 0.05, 1000.0).unwrap();
        assert!((sequence.difference - 0.503_36).abs() < 5e-6 && (sequence.standard_error - 0.333_41).abs() < 5e-6);
        interval(sequence.interval, -0.558_44, 1.565_16, 5e-6);
        assert_eq!(sequence.p_value, 1.0);
    }

    /// test_sequential_test_runs_prop and test_sequential_test_tuning_as_expected.
    #[test]
    fn other_sequences_of_peers() {
        let sequence = |lift, error, units| ConfidenceSequence::new(lift, error, units, 0.05, 5000.0).unwrap();
        let (a, b) = (1396.0_f64 / 3000.0, 2422.0_f64 / 3461.0);
        let error = (b * (1.0 - b) / 3461.0 / (a * a) + a * (1.0 - a) / 3000.0 * b * b / a.powi(4)).sqrt();
        interval(sequence((b - a) / a, error, 6461.0).interval, 0.400_98, 0.606_75, 5e-6);
        let (lift, error) = linear(arms());
        let width = |tuning| ConfidenceSequence::new(lift, error, 6461.0, 0.05, tuning).unwrap().multiplier;
        assert!(width(6461.0) < width(10_000.0) && width(10_000.0) < width(10.0));
    }

    /// TestSequentialOneSidedGreaterTTest and TestSequentialOneSidedLesserTTest; the peer's p-value comes from a bisection that
    /// ends early, and is cut at 0.4999.
    #[test]
    fn one_sided_sequences_of_peers() {
        let check = |(difference, error): (f64, f64), alternative, bound: f64, p_value: f64| {
            let actual = OneSidedSequence::new(difference, error, 6461.0, 0.05, 5000.0, alternative).unwrap();
            assert!((actual.bound - bound).abs() < 1e-9, "{actual:?}");
            assert!((actual.p_value - p_value).abs() < 2e-4 || p_value == 0.4999 && actual.p_value > p_value, "{actual:?}");
        };
        let (control, variant) = arms();
        let error = (control.variance_of_mean().unwrap() + variant.variance_of_mean().unwrap()).sqrt();
        let absolute = (variant.mean - control.mean, error);
        check(linear(arms()), Alternative::Greater, -0.423_564_546_027_908_83, 0.4999);
        check(absolute, Alternative::Greater, -0.126_568_441_728_049_82, 0.463_164_919_433_593_84);
        check(linear(arms()), Alternative::Less, 1.430_286_717_740_380_6, 0.4999);
        check(absolute, Alternative::Less, 0.595_321_775_061_383_2, 0.4999);
    }

    fn pair(means: (f64, f64), variances: (f64, f64), correlation: f64) -> EstimatePair {
        let covariance = correlation * (variances.0 * variances.1).sqrt();
        EstimatePair::new(means.0, means.1, variances.0, variances.1, covariance, None)
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |pair: EstimatePair, expect: &str| {
            let error = match compare_pair(&pair, 1000.0, 1000.0, 0.05) {
                Ok(comparison) => comparison.relative.unwrap_err(),
                Err(error) => error,
            };
            assert!(error.why.contains(expect), "{error}");
        };
        check(pair((0.0, 1.0), (1.0, 1.0), 0.0), "control is zero");
        check(pair((0.1, 1.0), (1.0, 1.0), 0.0), "not identifiable yet");
        check(pair((1.0, 1.0), (-1.0, 1.0), 0.0), "negative");
        check(pair((1.0, 1.0), (0.1, 0.1), 1.1), "negative");
        check(pair((1.0, 1.0), (0.1, 0.4), 1.1), "covariance");
        check(pair((1.0, 1.0), (0.0, 0.0), 0.0), "neither arm varies");
        check(pair((f64::NAN, 1.0), (1.0, 1.0), 0.0), "difference");
    }

    proptest! {
        /// The lift excludes zero at exactly the looks at which the difference does, and its ends are where the contrast is
        /// as large as its error times k.
        #[test]
        fn lift_and_difference_never_disagree(
            means in (-3.0..3.0_f64, -3.0..3.0_f64), variances in (0.0001..0.2_f64, 0.0001..0.2_f64), correlation in -0.9..0.9_f64,
            alpha in 0.001..0.4_f64,
        ) {
            let pair = pair(means, variances, correlation);
            let comparison = compare_pair(&pair, 1000.0, 500.0, alpha).unwrap();
            let Comparison { absolute, relative: Ok(lift) } = comparison else { return Ok(()) };
            let zero_side = absolute.interval.lower.unwrap() * absolute.interval.upper.unwrap();
            prop_assume!(zero_side.abs() > 1e-9);
            prop_assert_eq!(absolute.interval.contains(0.0), lift.interval.contains(0.0));
            prop_assert!(lift.interval.contains(lift.relative));
            for end in [lift.interval.lower.unwrap(), lift.interval.upper.unwrap()] {
                let ratio = 1.0 + end * means.0.signum();
                let variance = variances.1 - 2.0 * ratio * (pair.covariance + variances.0) + ratio * ratio * variances.0;
                let distance = (means.1 - ratio * means.0).abs() / variance.sqrt();
                prop_assert!((distance / absolute.multiplier - 1.0).abs() < 1e-6, "{} is not {}", distance, absolute.multiplier);
            }
        }

        /// The unit of the outcome does not matter, and no number is lost.
        #[test]
        fn scale_is_harmless(
            means in (0.1..3.0_f64, 0.1..3.0_f64), variances in (0.0001..0.01_f64, 0.0001..0.01_f64), power in -60..60_i32,
        ) {
            let scale = 2.0_f64.powi(power);
            let one = compare_pair(&pair(means, variances, 0.0), 1000.0, 500.0, 0.05).unwrap();
            let scaled = pair((means.0 * scale, means.1 * scale), (variances.0 * scale * scale, variances.1 * scale * scale), 0.0);
            let other = compare_pair(&scaled, 1000.0, 500.0, 0.05).unwrap();
            prop_assert_eq!(one.relative, other.relative);
            prop_assert_eq!(one.absolute.p_value, other.absolute.p_value);
        }

        #[test]
        fn answers_are_numbers(means in (any::<f64>(), any::<f64>()), variances in (any::<f64>(), any::<f64>()), covariance in any::<f64>()) {
            let (control, treatment) = means;
            let (variance_control, variance_treatment) = (variances.0.abs(), variances.1.abs());
            for covariance in [covariance, 0.0] {
                let pair = EstimatePair::new(control, treatment, variance_control, variance_treatment, covariance, None);
                if let Ok(Comparison { relative: Ok(lift), .. }) = compare_pair(&pair, 1000.0, 1000.0, 0.05) {
                    prop_assert!(lift.interval.lower.unwrap() <= lift.interval.upper.unwrap());
                }
            }
        }
    }
}
