//! What every test of an effect shares: [`Effect`], which turns an estimate and its standard error into a statistic, a
//! p-value and an interval, Welch–Satterthwaite degrees of freedom, and arms whose means have known errors.

use serde::{Deserialize, Serialize};

use crate::answer::{Alternative, Degenerate, Interval, checked_alpha, finite, finite_interval};
use crate::moments::Moments;
use crate::proportions::{Proportion, rate};
use crate::tail::{normal_quantile_upper, normal_upper, t_quantile_upper, t_upper};

/// An effect with its test and interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Variant minus control, relative to control where the function that returns it says so.
    pub difference: f64,
    /// The standard error of the difference.
    pub standard_error: f64,
    /// Difference over standard error.
    pub statistic: f64,
    /// Of the t distribution; `None` where the normal distribution is used.
    pub degrees_of_freedom: Option<f64>,
    /// Of the alternative that was asked for; two-sided where there is no choice.
    pub p_value: f64,
    /// Of the difference at one minus alpha; open on the side a one-sided alternative does not look at.
    pub interval: Interval,
}

impl Effect {
    /// The test that a difference is zero: statistic = difference / standard error, p-value and interval difference ∓ q ·
    /// standard error by the t distribution with `degrees_of_freedom` (more than 0), or the normal where there are none; q is
    /// the quantile at 1 − alpha/2, one-sided at 1 − alpha. `alpha` lies between 0 and 1. Student, "The probable error of a
    /// mean", Biometrika 6 (1908).
    ///
    /// # Errors
    /// [`Degenerate`] when the standard error is not more than zero, alpha does not lie between 0 and 1, or a number is
    /// not finite.
    pub fn new(
        difference: f64,
        standard_error: f64,
        degrees_of_freedom: Option<f64>,
        alternative: Alternative,
        alpha: f64,
    ) -> Result<Self, Degenerate> {
        let critical_value = quantile_upper(alternative.alpha_per_tail(checked_alpha(alpha)?), degrees_of_freedom);
        Self::at(difference, standard_error, degrees_of_freedom, alternative, critical_value)
    }

    /// As [`Effect::new`] with the critical value at hand, in standard errors; the p-value remains that of a single look.
    ///
    /// # Errors
    /// [`Degenerate`] when the standard error is not more than zero, or a number is not finite.
    pub fn at(
        difference: f64,
        standard_error: f64,
        degrees_of_freedom: Option<f64>,
        alternative: Alternative,
        critical_value: f64,
    ) -> Result<Self, Degenerate> {
        let difference = finite("effect", difference)?;
        let standard_error = finite("standard error", standard_error)?;
        if standard_error <= 0.0 {
            return Err(Degenerate::new("the standard error is zero: nothing varies"));
        }
        let statistic = finite("statistic", difference / standard_error)?;
        let p_value = finite("p-value", alternative.p_value(statistic, |x| upper_tail(x, degrees_of_freedom)))?;
        let interval = finite_interval(alternative.interval(difference, critical_value * standard_error))?;
        Ok(Self { difference, standard_error, statistic, degrees_of_freedom, p_value, interval })
    }

    /// The two-sided normal test of a difference; see [`Effect::new`].
    pub(crate) fn normal(difference: f64, standard_error: f64, alpha: f64) -> Result<Self, Degenerate> {
        Self::new(difference, standard_error, None, Alternative::TwoSided, alpha)
    }
}

/// The upper tail of t, or of the normal where there are no degrees of freedom.
pub(crate) fn upper_tail(x: f64, degrees_of_freedom: Option<f64>) -> f64 {
    degrees_of_freedom.map_or_else(|| normal_upper(x), |degrees_of_freedom| t_upper(x, degrees_of_freedom))
}

/// The quantile that belongs to [`upper_tail`].
pub(crate) fn quantile_upper(upper: f64, degrees_of_freedom: Option<f64>) -> f64 {
    degrees_of_freedom
        .map_or_else(|| normal_quantile_upper(upper), |degrees_of_freedom| t_quantile_upper(upper, degrees_of_freedom))
}

/// Refuses the variance of a difference of two arms of which neither varies.
pub(crate) fn varying(variance: f64) -> Result<f64, Degenerate> {
    if finite("variance", variance)? > 0.0 {
        return Ok(variance);
    }
    Err(Degenerate::new("neither arm varies: within each, all recipients have the same value"))
}

/// The degrees of freedom of a sum of independent estimates, (Σ v)² / Σ (v²/d), from the squared standard error v of each
/// and the degrees of freedom d of v, in pairs. Satterthwaite, "An approximate distribution of estimates of variance
/// components", Biometrics Bulletin 2 (1946); for two means Welch, Biometrika 34 (1947).
pub(crate) fn satterthwaite(parts: &[(f64, f64)]) -> Result<f64, Degenerate> {
    let variance = varying(parts.iter().map(|(variance, _)| variance).sum())?;
    // Through shares, because squares of small variances vanish.
    let part = |(own, degrees): &(f64, f64)| {
        let share = own / variance;
        share * share / degrees
    };
    finite("degrees of freedom", 1.0 / parts.iter().map(part).sum::<f64>())
}

/// An arm whose mean has a known error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arm {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) variance_of_mean: f64,
}

impl Arm {
    pub(crate) fn new(name: &str, moments: &Moments) -> Result<Self, Degenerate> {
        let Moments { count, mean, m2 } = *moments;
        let Some(variance_of_mean) = moments.variance_of_mean() else {
            return Err(too_few(name, count));
        };
        if !mean.is_finite() || !variance_of_mean.is_finite() || m2 < 0.0 {
            return Err(Degenerate::new(format!("the values of {name} are too large or not numbers")));
        }
        Ok(Self { count, mean, variance_of_mean: if moments.varies() { variance_of_mean } else { 0.0 } })
    }

    /// A proportion p with the variance p(1 − p)/n, without a degree of freedom spent on p.
    pub(crate) fn of_proportion(name: &str, proportion: Proportion) -> Result<Self, Degenerate> {
        let (mean, variance_of_mean) = rate(name, proportion)?;
        if proportion.count < 2 {
            return Err(too_few(name, proportion.count));
        }
        Ok(Self { count: proportion.count, mean, variance_of_mean })
    }
}

fn too_few(name: &str, count: u64) -> Degenerate {
    let has = if count == 0 { "no recipient" } else { "only one recipient" };
    Degenerate::new(format!("{name} has {has}; a spread needs two"))
}

/// The standard error of mean_B − `ratio` · mean_A and its Welch–Satterthwaite degrees of freedom.
pub(crate) fn contrast(control: &Arm, variant: &Arm, ratio: f64) -> Result<(f64, f64), Degenerate> {
    let (of_control, of_variant) = (ratio * ratio * control.variance_of_mean, variant.variance_of_mean);
    let degrees_of_freedom =
        satterthwaite(&[(of_control, (control.count - 1) as f64), (of_variant, (variant.count - 1) as f64)])?;
    Ok(((of_control + of_variant).sqrt(), degrees_of_freedom))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |effect, standard_error, alpha, expect: &str| {
            let error = Effect::new(effect, standard_error, Some(3.0), Alternative::Less, alpha).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(1.0, 0.0, 0.05, "standard error is zero");
        check(1.0, -1.0, 0.05, "standard error is zero");
        check(f64::NAN, 1.0, 0.05, "effect");
        check(1.0, f64::INFINITY, 0.05, "standard error");
        check(1e200, 1e-200, 0.05, "statistic");
        check(1.0, 1.0, 1.0, "alpha");
        check(1e308, 1e308, 1e-300, "interval");
    }

    proptest! {
        /// A value inside the interval is not rejected, one outside is; for each alternative and for t and normal.
        #[test]
        fn the_interval_inverts_the_test(
            effect in -10.0..10.0_f64,
            standard_error in 0.01..10.0_f64,
            df in prop::option::of(0.5..1e7_f64),
            alpha in 1e-6..0.999_f64,
            inside in 0.001..10.0_f64,
        ) {
            for alternative in [Alternative::TwoSided, Alternative::Greater, Alternative::Less] {
                let test = |effect: f64| Effect::new(effect, standard_error, df, alternative, alpha).unwrap();
                let interval = test(effect).interval;
                let step = 1e-6 * (1.0 + interval.lower.or(interval.upper).unwrap().abs()) * inside;
                for (end, inwards) in [(interval.lower, step), (interval.upper, -step)] {
                    let Some(end) = end else { continue };
                    let width = interval.lower.zip(interval.upper).map_or(f64::INFINITY, |(lower, upper)| upper - lower);
                    prop_assume!(width > 4.0 * step);
                    prop_assert!(test(effect - (end + inwards)).p_value > alpha);
                    prop_assert!(test(effect - (end - inwards)).p_value < alpha);
                }
            }
        }

        #[test]
        fn no_number_gives_nan(effect: f64, standard_error: f64, df in prop::option::of(1.0..1e300_f64), alpha: f64) {
            for alternative in [Alternative::TwoSided, Alternative::Greater, Alternative::Less] {
                if let Ok(test) = Effect::new(effect, standard_error, df, alternative, alpha) {
                    prop_assert!(test.p_value.is_finite() && test.statistic.is_finite());
                    prop_assert!(finite_interval(test.interval).is_ok());
                }
            }
        }
    }
}
