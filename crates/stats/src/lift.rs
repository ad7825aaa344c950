//! Relative effects: the lift with Fieller's interval, and the guardrail test on the same contrast.
//!
//! Fieller's interval of ρ = mean_B / mean_A holds every ρ that a test of mean_B − ρ · mean_A = 0 would not reject:
//! {ρ : (m_B − ρ m_A)² ≤ k² (v_B − 2 ρ c_AB + ρ² v_A)}, with v the squared standard error of each estimate, c_AB their
//! covariance, and k the two-sided quantile of the test of the difference. At ρ = 1 this is that test itself, so the lift
//! excludes zero exactly when the difference does. Fieller, "Some problems in interval estimation", JRSS B 16 (1954).
//!
//! The linear (delta-method) interval is not used: for rare, skewed outcomes it misses several times too often.

use serde::{Deserialize, Serialize};

use crate::answer::{Alternative, Degenerate, Interval, checked_alpha, finite};
use crate::effect::{Arm, Effect, contrast, quantile_upper, upper_tail, varying};
use crate::moments::Moments;

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

/// The estimates of two arms, which may share noise, such as two means that were moved to the same covariate mean.
///
/// The second of the two is written as the difference, because that is what tests are about and because it is often far
/// smaller than either estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EstimatePair {
    /// The estimate of control.
    pub control: f64,
    /// The estimate of the variant minus that of control.
    pub difference: f64,
    /// The squared standard error of `control`.
    pub variance_control: f64,
    /// The squared standard error of `difference`.
    pub variance_difference: f64,
    /// The covariance of `control` with `difference`; minus `variance_control` where the arms are independent.
    pub covariance: f64,
    /// Of the t distribution of the difference; `None` for the normal distribution.
    pub degrees_of_freedom: Option<f64>,
}

impl EstimatePair {
    /// Two estimates with their squared standard errors and the covariance between them (0 where they are independent).
    #[must_use]
    pub fn new(
        control: f64,
        variant: f64,
        variance_control: f64,
        variance_variant: f64,
        covariance: f64,
        degrees_of_freedom: Option<f64>,
    ) -> Self {
        Self {
            control,
            difference: variant - control,
            variance_control,
            variance_difference: variance_control + variance_variant - 2.0 * covariance,
            covariance: covariance - variance_control,
            degrees_of_freedom,
        }
    }

    /// The estimate of the variant.
    #[must_use]
    pub fn variant(&self) -> f64 {
        self.control + self.difference
    }

    /// The two-sided critical value at `alpha`: a quantile of t, or of the normal distribution.
    ///
    /// # Errors
    /// [`Degenerate`] when alpha is not between 0 and 1 or the degrees of freedom are not positive.
    pub fn critical_value(&self, alpha: f64) -> Result<f64, Degenerate> {
        let half = checked_alpha(alpha)? / 2.0;
        if let Some(degrees) = self.degrees_of_freedom.filter(|degrees| degrees.is_nan() || *degrees <= 0.0) {
            return Err(Degenerate::new(format!("there are {degrees} degrees of freedom; a test needs more")));
        }
        finite("critical value", quantile_upper(half, self.degrees_of_freedom))
    }

    /// The difference with its two-sided test and interval at one minus `alpha`.
    ///
    /// # Errors
    /// [`Degenerate`] when the difference has no noise, a number is not finite, or alpha is not between 0 and 1.
    pub fn absolute(&self, alpha: f64) -> Result<Effect, Degenerate> {
        self.absolute_at(self.critical_value(alpha)?)
    }

    /// As [`EstimatePair::absolute`], with the critical value at hand; the p-value remains that of a single look.
    ///
    /// # Errors
    /// [`Degenerate`] when the difference has no noise or a number is not finite.
    pub fn absolute_at(&self, critical_value: f64) -> Result<Effect, Degenerate> {
        let standard_error = varying(self.variance_difference)?.sqrt();
        Effect::at(self.difference, standard_error, self.degrees_of_freedom, Alternative::TwoSided, critical_value)
    }

    /// The squared standard error of the variant − ratio · control.
    fn variance_of_contrast(&self, ratio: f64) -> f64 {
        let beyond = 1.0 - ratio;
        self.variance_difference + 2.0 * beyond * self.covariance + beyond * beyond * self.variance_control
    }
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
    let (of_control, of_variant) = (control.variance_of_mean, variant.variance_of_mean);
    fieller(&EstimatePair::new(control.mean, variant.mean, of_control, of_variant, 0.0, Some(degrees_of_freedom)), alpha)
}

/// Fieller's interval of the relative difference of two estimates that may share noise: means, ratios, adjusted means.
///
/// # Errors
/// [`Degenerate`] when the difference has no noise, a number is not finite, or control's estimate is zero or cannot be
/// told from zero.
pub fn fieller(pair: &EstimatePair, alpha: f64) -> Result<Lift, Degenerate> {
    fieller_at(pair, pair.critical_value(alpha)?)
}

/// As [`fieller`] with the critical value at hand, such as that of a confidence sequence or a group-sequential look.
///
/// # Errors
/// As [`fieller`].
pub fn fieller_at(pair: &EstimatePair, critical_value: f64) -> Result<Lift, Degenerate> {
    let k = finite("critical value", critical_value)?;
    let scale = finite("estimate of control", pair.control)?.abs();
    if scale == 0.0 {
        return Err(Degenerate::new("the mean of control is zero"));
    }
    varying(pair.variance_difference)?;
    // In units of control's size the set of lifts δ is (d − δ)² ≤ s² − 2 δ w + δ² r², a quadratic whose leading
    // coefficient is 1 − r². At δ = 0 it is the test of the difference, d² ≤ s². With a negative control the sign of w turns
    // together with that of δ.
    let d = pair.difference / scale;
    let square = |variance: f64| {
        let reach = k * variance.max(0.0).sqrt() / scale;
        reach * reach
    };
    let (s, r) = (square(pair.variance_difference), square(pair.variance_control));
    let w = k * (pair.covariance / pair.control) * (k / scale);
    let a = 1.0 - r;
    if a.is_nan() || a <= 0.0 {
        return Err(Degenerate::new("the mean of control cannot be told from zero, so the lift is not identifiable yet"));
    }
    // The discriminant (d − w)² − a (d² − s²) as a sum of squares, without the cancellation.
    let excess = d * r - w;
    let root = (a * (s - 2.0 * d * w + d * d * r).max(0.0) + excess * excess).sqrt();
    let (lower, upper) = ((d - w - root) / a, (d - w + root) / a);
    Ok(Lift { relative: finite("lift", d)?, interval: Interval::closed(finite("lift", lower)?, finite("lift", upper)?) })
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
    let (control, variant) = (Arm::new("control", control)?, Arm::new("the variant", variant)?);
    let limit = Limit::new(control.mean, margin, lower_is_better)?;
    let (standard_error, degrees_of_freedom) = contrast(&control, &variant, limit.ratio)?;
    limit.test(variant.mean - limit.ratio * control.mean, standard_error, Some(degrees_of_freedom), alpha)
}

/// As [`non_inferior`] for two estimates that may share noise: ratios, adjusted means. The degrees of freedom are those of
/// the difference.
///
/// # Errors
/// [`Degenerate`] when the contrast has no noise, control's estimate is zero, or the margin is negative or not finite.
pub fn non_inferior_pair(
    pair: &EstimatePair,
    margin: f64,
    lower_is_better: bool,
    alpha: f64,
) -> Result<NonInferiority, Degenerate> {
    let limit = Limit::new(pair.control, margin, lower_is_better)?;
    let standard_error = varying(pair.variance_of_contrast(limit.ratio))?.sqrt();
    let distance = pair.difference + (1.0 - limit.ratio) * pair.control;
    limit.test(distance, standard_error, pair.degrees_of_freedom, alpha)
}

/// Where a variant becomes worse by the whole margin.
struct Limit {
    /// The variant's mean over control's mean there.
    ratio: f64,
    /// 1 where more is worse, else −1.
    worse: f64,
}

impl Limit {
    fn new(control: f64, margin: f64, lower_is_better: bool) -> Result<Self, Degenerate> {
        if !(margin.is_finite() && margin >= 0.0) {
            return Err(Degenerate::new(format!("the margin is {margin}; it must be zero or more")));
        }
        if control == 0.0 {
            return Err(Degenerate::new("the mean of control is zero, so a relative margin has no size"));
        }
        let worse = if lower_is_better { 1.0 } else { -1.0 };
        Ok(Self { ratio: 1.0 + worse * margin * control.signum(), worse })
    }

    /// The test that the variant is `distance` away from the limit.
    fn test(
        &self,
        distance: f64,
        standard_error: f64,
        degrees_of_freedom: Option<f64>,
        alpha: f64,
    ) -> Result<NonInferiority, Degenerate> {
        let alpha = checked_alpha(alpha)?;
        let statistic = finite("statistic", -self.worse * distance / standard_error)?;
        let p_value = finite("p-value", upper_tail(statistic, degrees_of_freedom))?;
        Ok(NonInferiority { statistic, p_value, shown: p_value <= alpha })
    }
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

        /// A lift just inside Fieller's interval is not rejected by the contrast's test, one just outside is; at zero that
        /// test is the difference's. The guardrail on a pair at no margin is half of it.
        #[test]
        fn fieller_inverts_its_test(
            means in (-10.0..10.0_f64, -10.0..10.0_f64), deviations in (0.01..2.0_f64, 0.01..2.0_f64),
            correlation in -0.99..0.99_f64, degrees in prop::option::of(2.0..500.0_f64), alpha in 0.001..0.4_f64,
        ) {
            let covariance = correlation * deviations.0 * deviations.1;
            let (own, others) = (deviations.0 * deviations.0, deviations.1 * deviations.1);
            let pair = EstimatePair::new(means.0, means.1, own, others, covariance, degrees);
            let k = pair.critical_value(alpha).unwrap();
            let effect = pair.absolute(alpha).unwrap();
            prop_assert_eq!(effect.p_value > alpha, effect.interval.contains(0.0));
            let Ok(lift) = fieller(&pair, alpha) else {
                prop_assert!(means.0.abs() <= k * deviations.0 * (1.0 + 1e-9));
                return Ok(());
            };
            let (lower, upper) = (lift.interval.lower.unwrap(), lift.interval.upper.unwrap());
            let is_rejected = |relative: f64| {
                let ratio = 1.0 + relative * means.0.signum();
                let variance = others - 2.0 * ratio * covariance + ratio * ratio * own;
                (means.1 - ratio * means.0).powi(2) > k * k * variance
            };
            let step = 1e-6 * (upper - lower);
            prop_assert!(is_rejected(lower - step) && is_rejected(upper + step));
            prop_assert!(!is_rejected(lower + step) && !is_rejected(upper - step));
            let guardrail = non_inferior_pair(&pair, 0.0, false, alpha).unwrap();
            prop_assert!((guardrail.statistic - effect.statistic).abs() <= 1e-9 * (1.0 + effect.statistic.abs()));
        }

        #[test]
        fn any_pair_has_an_answer_or_a_reason(
            numbers in prop::array::uniform6(prop::num::f64::ANY), is_normal in any::<bool>(), alpha in prop::num::f64::ANY,
        ) {
            let [a, b, va, vb, c, degrees] = numbers;
            let pair = EstimatePair::new(a, b, va, vb, c, (!is_normal).then_some(degrees));
            for alpha in [alpha, 0.05] {
                if let Ok(found) = pair.absolute(alpha) {
                    prop_assert!(found.p_value.is_finite() && found.interval.lower.unwrap().is_finite());
                }
                if let Ok(found) = fieller(&pair, alpha) {
                    prop_assert!(found.interval.lower.unwrap().is_finite() && found.relative.is_finite());
                }
                if let Ok(found) = non_inferior_pair(&pair, 0.1, true, alpha) {
                    prop_assert!(found.p_value.is_finite());
                }
            }
        }
    }
}
