//! Welch's test: the difference of two means whose variances differ.
//!
//! With v = s²/n per arm, the standard error is √(v_A + v_B) and the degrees of freedom are
//! (v_A + v_B)² / (v_A²/(n_A − 1) + v_B²/(n_B − 1)). Welch, "The generalization of 'Student's' problem when several
//! different population variances are involved", Biometrika 34 (1947).

use crate::answer::{Degenerate, Effect, Interval, checked_alpha, finite};
use crate::moments::Moments;
use crate::tail::{t_quantile_upper, t_upper};

/// A spread this small against the mean is what rounding leaves of equal values: nine tenths of the digits are gone.
const SPREAD_RELATIVE_MIN: f64 = 1e-13;

/// The difference of means, variant minus control, with Welch's two-sided test and interval.
///
/// # Errors
/// [`Degenerate`] when an arm has fewer than two values, neither varies, or a number is not finite.
pub fn welch(control: &Moments, variant: &Moments, alpha: f64) -> Result<Effect, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    let control = Arm::new("control", control)?;
    let variant = Arm::new("the variant", variant)?;
    let difference = finite("difference", variant.mean - control.mean)?;
    let (standard_error, degrees_of_freedom) = contrast(&control, &variant, 1.0)?;
    let statistic = finite("statistic", difference / standard_error)?;
    let reach = t_quantile_upper(alpha / 2.0, degrees_of_freedom) * standard_error;
    Ok(Effect {
        difference,
        standard_error,
        statistic,
        degrees_of_freedom: Some(degrees_of_freedom),
        p_value: (2.0 * t_upper(statistic.abs(), degrees_of_freedom)).min(1.0),
        interval: Interval::closed(finite("interval", difference - reach)?, finite("interval", difference + reach)?),
    })
}

/// An arm whose mean has a known error.
pub(crate) struct Arm {
    pub(crate) count: u64,
    pub(crate) mean: f64,
    pub(crate) variance_of_mean: f64,
}

impl Arm {
    pub(crate) fn new(name: &str, moments: &Moments) -> Result<Self, Degenerate> {
        let Moments { count, mean, m2 } = *moments;
        let Some(variance_of_mean) = moments.variance_of_mean() else {
            let has = if count == 0 { "no recipient".to_owned() } else { "only one recipient".to_owned() };
            return Err(Degenerate::new(format!("{name} has {has}; a spread needs two")));
        };
        if !mean.is_finite() || !variance_of_mean.is_finite() || m2 < 0.0 {
            return Err(Degenerate::new(format!("the values of {name} are too large or not numbers")));
        }
        let noise = mean * SPREAD_RELATIVE_MIN;
        let varies = m2 > noise * noise * count as f64;
        Ok(Self { count, mean, variance_of_mean: if varies { variance_of_mean } else { 0.0 } })
    }
}

/// The standard error of mean_B − `ratio` · mean_A and its Welch–Satterthwaite degrees of freedom.
pub(crate) fn contrast(control: &Arm, variant: &Arm, ratio: f64) -> Result<(f64, f64), Degenerate> {
    let (of_control, of_variant) = (ratio * ratio * control.variance_of_mean, variant.variance_of_mean);
    let variance = finite("variance", of_control + of_variant)?;
    if variance <= 0.0 {
        return Err(Degenerate::new("neither arm varies: within each, all recipients have the same value"));
    }
    // Through shares, because squares of small variances vanish.
    let (share_control, share_variant) = (of_control / variance, of_variant / variance);
    let inverse =
        share_control * share_control / (control.count - 1) as f64 + share_variant * share_variant / (variant.count - 1) as f64;
    Ok((variance.sqrt(), 1.0 / inverse))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |control: &[f64], variant: &[f64], alpha: f64, expect: &str| {
            let error = welch(&Moments::from_values(control), &Moments::from_values(variant), alpha).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[], &[1.0, 2.0], 0.05, "control has no recipient");
        check(&[1.0, 2.0], &[3.0], 0.05, "the variant has only one recipient");
        check(&[0.1; 30], &[0.2; 30], 0.05, "neither arm varies");
        check(&[0.1; 3000], &[0.7; 5000], 0.05, "neither arm varies");
        check(&[1.0, f64::NAN], &[1.0, 2.0], 0.05, "not numbers");
        check(&[1e200, -1e200], &[1.0, 2.0], 0.05, "too large");
        check(&[1.0, 2.0], &[1.0, 2.0], 0.0, "alpha");
        check(&[1.0, 2.0], &[1.0, 2.0], f64::NAN, "alpha");
    }

    #[test]
    fn one_arm_without_spread_is_enough() {
        let effect = welch(&Moments::from_values(&[0.0; 100]), &Moments::from_successes(100, 20), 0.05).unwrap();
        assert!((effect.degrees_of_freedom.unwrap() - 99.0).abs() < 1e-9);
        assert!(effect.p_value < 1e-5);
    }

    proptest! {
        /// Swapping the arms turns the sign and nothing else, and shifting or scaling both arms is harmless.
        #[test]
        fn welch_is_symmetric(
            a in prop::collection::vec(0.0..100.0_f64, 2..50),
            b in prop::collection::vec(0.0..100.0_f64, 2..50),
        ) {
            let moments = |values: &[f64], scale: f64| Moments::from_values(&values.iter().map(|v| v * scale).collect::<Vec<_>>());
            let (one, other) = (moments(&a, 1.0), moments(&b, 1.0));
            if let (Ok(there), Ok(back)) = (welch(&one, &other, 0.05), welch(&other, &one, 0.05)) {
                prop_assert_eq!(there.difference, -back.difference);
                prop_assert!((there.p_value - back.p_value).abs() <= 1e-12);
                let scaled = welch(&moments(&a, 1e-90), &moments(&b, 1e-90), 0.05).unwrap();
                prop_assert!((there.p_value - scaled.p_value).abs() <= 1e-9);
                prop_assert_eq!(there.p_value < 0.05, !there.interval.contains(0.0));
            }
        }
    }
}
