//! Tests of means: differences, relative differences, and more than two groups.
//!
//! Welch's test is the difference of two means whose variances differ. With v = s²/n per arm, the standard error is
//! √(v_A + v_B) and the degrees of freedom are (v_A + v_B)² / (v_A²/(n_A − 1) + v_B²/(n_B − 1)). Welch, "The
//! generalization of 'Student's' problem when several different population variances are involved", Biometrika 34 (1947).
//!
//! Reading order: the differences here, [`relative`], [`groups`].

pub mod groups;
pub mod relative;

use crate::answer::{Alternative, Degenerate};
use crate::effect::{Arm, Effect, contrast, varying};
use crate::moments::Moments;

/// The difference of means, variant minus control, with Welch's two-sided test and interval.
///
/// # Errors
/// [`Degenerate`] when an arm has fewer than two values, neither varies, or a number is not finite.
pub fn welch(control: &Moments, variant: &Moments, alpha: f64) -> Result<Effect, Degenerate> {
    welch_test(control, variant, Alternative::TwoSided, alpha)
}

/// The difference of means, variant minus control, with Welch's test against any alternative; the interval matches it.
/// `alpha` lies between 0 and 1. Welch, Biometrika 34 (1947).
///
/// # Errors
/// [`Degenerate`] when an arm has fewer than two values, neither varies, or a number is not finite.
pub fn welch_test(control: &Moments, variant: &Moments, alternative: Alternative, alpha: f64) -> Result<Effect, Degenerate> {
    let (control, variant) = (Arm::new("control", control)?, Arm::new("the variant", variant)?);
    let (standard_error, degrees_of_freedom) = contrast(&control, &variant, 1.0)?;
    Effect::new(variant.mean - control.mean, standard_error, Some(degrees_of_freedom), alternative, alpha)
}

/// The difference of means, variant minus control, with Student's test: one variance for both arms,
/// s² = ((n_A − 1) s²_A + (n_B − 1) s²_B) / (n_A + n_B − 2), standard error s √(1/n_A + 1/n_B), n_A + n_B − 2 degrees of
/// freedom. Where arms differ in size and spread it misses more often than it says; prefer [`welch_test`]. Student, "The
/// probable error of a mean", Biometrika 6 (1908); pooled by Fisher, Metron 5 (1925).
///
/// # Errors
/// As [`welch_test`].
pub fn student_test(control: &Moments, variant: &Moments, alternative: Alternative, alpha: f64) -> Result<Effect, Degenerate> {
    let arms = (Arm::new("control", control)?, Arm::new("the variant", variant)?);
    let (count_control, count_variant) = (control.count as f64, variant.count as f64);
    let degrees_of_freedom = (count_control - 1.0) + (count_variant - 1.0);
    let spread = |arm: &Arm, count: f64| arm.variance_of_mean * count * (count - 1.0);
    let spread = spread(&arms.0, count_control) + spread(&arms.1, count_variant);
    let variance = varying(spread / degrees_of_freedom * (1.0 / count_control + 1.0 / count_variant))?;
    Effect::new(variant.mean - control.mean, variance.sqrt(), Some(degrees_of_freedom), alternative, alpha)
}

/// As [`welch_test`] with the normal distribution in place of t: for samples so large that their variances count as
/// known. Cox & Hinkley, *Theoretical Statistics* (1974), §4.
///
/// # Errors
/// As [`welch_test`].
pub fn z_test(control: &Moments, variant: &Moments, alternative: Alternative, alpha: f64) -> Result<Effect, Degenerate> {
    let (control, variant) = (Arm::new("control", control)?, Arm::new("the variant", variant)?);
    let (standard_error, _) = contrast(&control, &variant, 1.0)?;
    Effect::new(variant.mean - control.mean, standard_error, None, alternative, alpha)
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
