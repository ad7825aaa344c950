//! Relative effects: the lift with Fieller's interval, and the guardrail test on the same contrast.
//!
//! Fieller's interval of ρ = mean_B / mean_A holds every ρ that a test of mean_B − ρ · mean_A = 0 would not reject:
//! {ρ : (m_B − ρ m_A)² ≤ k² (v_B + ρ² v_A)}, with v = s²/n and k the two-sided t quantile at the degrees of freedom of
//! Welch's test. At ρ = 1 this is Welch's test itself, so the lift excludes zero exactly when the difference does.
//! Fieller, "Some problems in interval estimation", JRSS B 16 (1954).
//!
//! The linear (delta-method) interval is not used: for rare, skewed outcomes it misses several times too often.

use serde::{Deserialize, Serialize};

use crate::answer::{Degenerate, Interval, checked_alpha, finite};
use crate::means::{Arm, contrast};
use crate::moments::Moments;
use crate::tail::{t_quantile_upper, t_upper};

/// A relative difference, (variant − control) / |control|.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lift {
    /// As a fraction: 0.1 is 10 % more.
    pub relative: f64,
    /// Of `relative`, two-sided, at one minus alpha.
    pub interval: Interval,
}

/// The answer of a guardrail.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NonInferiority {
    /// How far the variant is from being worse by the whole margin, in standard errors; positive speaks for it.
    pub statistic: f64,
    /// One-sided: small when the variant is shown to be worse by less than the margin.
    pub p_value: f64,
    /// Whether `p_value` is at most alpha.
    pub shown: bool,
}

/// The relative difference with Fieller's interval. Where the baseline is negative, more is still more.
///
/// # Errors
/// [`Degenerate`] where Welch's test is, and when control's mean cannot be told from zero: then every lift from
/// minus to plus infinity agrees with the data, so only the absolute difference should be shown.
pub fn fieller_lift(control: &Moments, variant: &Moments, alpha: f64) -> Result<Lift, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    let control = Arm::new("control", control)?;
    let variant = Arm::new("the variant", variant)?;
    let (_, degrees_of_freedom) = contrast(&control, &variant, 1.0)?;
    let k = t_quantile_upper(alpha / 2.0, degrees_of_freedom);
    // Everything is divided by control's mean, which leaves one relative standard error per arm. In these units the
    // quadratic of Fieller's set is a ρ² − 2 ρ₀ ρ + ρ₀² − reach_B² ≤ 0 with a = 1 − reach_A².
    if control.mean == 0.0 {
        return Err(Degenerate::new("the mean of control is zero"));
    }
    let ratio = variant.mean / control.mean;
    let reach_control = k * control.variance_of_mean.sqrt() / control.mean.abs();
    let reach_variant = k * variant.variance_of_mean.sqrt() / control.mean.abs();
    let a = 1.0 - reach_control * reach_control;
    if a.is_nan() || a <= 0.0 {
        return Err(Degenerate::new("the mean of control cannot be told from zero, so the lift is not identifiable yet"));
    }
    // ρ₀² − a (ρ₀² − reach_B²), without the cancellation.
    let root = (ratio * ratio * reach_control * reach_control + a * reach_variant * reach_variant).sqrt();
    let (low, high) = ((ratio - root) / a - 1.0, (ratio + root) / a - 1.0);
    let (relative, lower, upper) = if control.mean > 0.0 { (ratio - 1.0, low, high) } else { (1.0 - ratio, -high, -low) };
    Ok(Lift { relative: finite("lift", relative)?, interval: Interval::closed(finite("lift", lower)?, finite("lift", upper)?) })
}

/// Tests that the variant is worse than control by `margin` (relative to control's mean) or more, hoping to reject it.
///
/// The contrast is Fieller's at the margin: with c = 1 − margin (1 + margin where lower is better),
/// t = (m_B − c m_A) / √(v_B + c² v_A), no linearisation, with the Welch–Satterthwaite degrees of freedom of that
/// contrast. At a margin of zero it is Welch's one-sided test.
///
/// # Errors
/// [`Degenerate`] where Welch's test is, when control's mean is zero (a relative margin of nothing is nothing), and
/// when the margin is negative or not finite.
pub fn non_inferior(
    control: &Moments,
    variant: &Moments,
    margin: f64,
    lower_is_better: bool,
    alpha: f64,
) -> Result<NonInferiority, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    if !(margin.is_finite() && margin >= 0.0) {
        return Err(Degenerate::new(format!("the margin is {margin}; it must be zero or more")));
    }
    let control = Arm::new("control", control)?;
    let variant = Arm::new("the variant", variant)?;
    if control.mean == 0.0 {
        return Err(Degenerate::new("the mean of control is zero, so a relative margin has no size"));
    }
    let worse = if lower_is_better { 1.0 } else { -1.0 };
    let tolerated = 1.0 + worse * margin * control.mean.signum();
    let (standard_error, degrees_of_freedom) = contrast(&control, &variant, tolerated)?;
    let distance = variant.mean - tolerated * control.mean;
    let statistic = finite("statistic", -worse * distance / standard_error)?;
    let p_value = t_upper(statistic, degrees_of_freedom);
    Ok(NonInferiority { statistic, p_value, shown: p_value <= alpha })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::means::welch;

    fn arm(count: u64, mean: f64, deviation: f64) -> Moments {
        Moments { count, mean, m2: deviation * deviation * (count - 1) as f64 }
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |control: Moments, expect: &str| {
            let error = fieller_lift(&control, &arm(100, 2.0, 1.0), 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(arm(100, 0.1, 1.0), "not identifiable");
        check(arm(100, 0.0, 1.0), "is zero");
        check(arm(100, 0.0, 0.0), "is zero");
        check(arm(1, 1.0, 0.0), "only one recipient");
        let margin = |margin| non_inferior(&arm(100, 1.0, 1.0), &arm(100, 1.0, 1.0), margin, false, 0.05).unwrap_err().why;
        assert!(margin(-0.1).contains("margin"));
        assert!(margin(f64::NAN).contains("margin"));
    }

    #[test]
    fn a_negative_baseline_keeps_more_as_more() {
        let lift = fieller_lift(&arm(1000, -2.0, 1.0), &arm(1000, -1.0, 1.0), 0.05).unwrap();
        assert!((lift.relative - 0.5).abs() < 1e-12);
        assert!(lift.interval.lower.unwrap() > 0.4 && lift.interval.upper.unwrap() < 0.6);
        // -2.1 is 5 % worse than -2, within a margin of 20 %.
        let test = non_inferior(&arm(10_000, -2.0, 1.0), &arm(10_000, -2.1, 1.0), 0.2, false, 0.05).unwrap();
        assert!(test.shown, "{test:?}");
    }

    #[test]
    fn a_guardrail_is_kept_by_being_shown_not_by_being_unknown() {
        let check = |control: Moments, variant: Moments, lower_is_better: bool, expect: bool| {
            assert_eq!(non_inferior(&control, &variant, 0.1, lower_is_better, 0.05).unwrap().shown, expect);
        };
        let unsubscribes = |count, successes| Moments::from_successes(count, successes);
        check(unsubscribes(1_000_000, 2000), unsubscribes(1_000_000, 2000), true, true);
        check(unsubscribes(10_000, 20), unsubscribes(10_000, 20), true, false);
        check(unsubscribes(1_000_000, 2000), unsubscribes(1_000_000, 2400), true, false);
        check(unsubscribes(1_000_000, 2000), unsubscribes(1_000_000, 2400), false, true);
    }

    proptest! {
        /// The lift excludes zero exactly when the difference does.
        #[test]
        fn lift_and_difference_never_disagree(
            counts in (2..100_000_u64, 2..100_000_u64),
            means in (-10.0..10.0_f64, -10.0..10.0_f64),
            deviations in (0.01..50.0_f64, 0.01..50.0_f64),
            alpha in 0.001..0.4_f64,
        ) {
            let (control, variant) = (arm(counts.0, means.0, deviations.0), arm(counts.1, means.1, deviations.1));
            let difference = welch(&control, &variant, alpha).unwrap();
            if let Ok(lift) = fieller_lift(&control, &variant, alpha) {
                // At the very edge rounding decides.
                prop_assume!((difference.p_value / alpha - 1.0).abs() > 1e-6);
                prop_assert_eq!(difference.interval.contains(0.0), lift.interval.contains(0.0));
                prop_assert_eq!(difference.p_value > alpha, lift.interval.contains(0.0));
                prop_assert_eq!(difference.difference > 0.0, lift.relative > 0.0);
                prop_assert!(lift.interval.contains(lift.relative));
            }
        }

        /// At a margin of zero the guardrail is Welch's one-sided test.
        #[test]
        fn no_margin_is_welch(means in (0.1..10.0_f64, 0.1..10.0_f64), deviation in 0.1..50.0_f64, lower in any::<bool>()) {
            let (control, variant) = (arm(500, means.0, deviation), arm(700, means.1, 1.0));
            let both = welch(&control, &variant, 0.05).unwrap();
            let one = non_inferior(&control, &variant, 0.0, lower, 0.05).unwrap();
            prop_assert!((one.statistic.abs() - both.statistic.abs()).abs() <= 1e-9);
            prop_assert!((2.0 * one.p_value.min(1.0 - one.p_value) - both.p_value).abs() <= 1e-9);
        }
    }
}
