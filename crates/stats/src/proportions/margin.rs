//! Non-inferiority by a fixed margin: is the variant shown to be worse by less than the margin? The guardrail that the
//! product decides by is [`crate::non_inferior`], whose relative margin takes the error of control's mean into account.

use serde::{Deserialize, Serialize};

use super::{Proportion, two_proportion};
use crate::answer::{Alternative, Degenerate, checked_alpha, finite};
use crate::means::z_test;
use crate::moments::Moments;
use crate::tail::{normal_quantile_upper, normal_upper};

/// The test of a fixed margin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MarginTest {
    /// Variant minus control.
    pub difference: f64,
    /// The standard error of the difference.
    pub standard_error: f64,
    /// The distance from the margin in standard errors: large positive speaks for the variant where higher is better, large
    /// negative where lower is better.
    pub statistic: f64,
    /// One-sided: small when the variant is shown to be worse by less than the margin.
    pub p_value: f64,
    /// The one-sided bound of the difference on the bad side, at one minus alpha.
    pub bound: f64,
}

/// A margin in absolute units for proportions. Where higher is better the hypothesis to reject is d ≤ −margin, with
/// z = (d + margin)/s and p the upper tail; where lower is better d ≥ margin, z = (d − margin)/s and p the lower tail; s is
/// unpooled. `margin` is zero or more, in units of proportion; `alpha`, one-sided, lies between 0 and 1. Piaggio et al.,
/// "Reporting of noninferiority and equivalence randomized trials: extension of the CONSORT 2010 statement", JAMA 308 (2012).
///
/// # Errors
/// [`Degenerate`] when an arm is empty or has more successes than recipients, neither varies, the margin is negative or not
/// finite, or alpha does not lie between 0 and 1.
pub fn non_inferior_proportion(
    control: Proportion,
    variant: Proportion,
    margin: f64,
    lower_is_better: bool,
    alpha: f64,
) -> Result<MarginTest, Degenerate> {
    let effect = two_proportion(control, variant, alpha)?;
    beyond(effect.difference, effect.standard_error, checked_margin(margin)?, lower_is_better, alpha)
}

/// As [`non_inferior_proportion`] for means, by the normal distribution, with the margin a fraction of control's mean:
/// `margin` · m_A is taken as fixed, though m_A is an estimate. s² = s²_A/n_A + s²_B/n_B. The margin has the sign of control's
/// mean: where that is below zero, the variant must be better by the margin. [`crate::non_inferior`] has no such turn.
///
/// # Errors
/// [`Degenerate`] when an arm has fewer than two values, neither varies, control's mean is zero, the margin is negative or not
/// finite, or alpha does not lie between 0 and 1.
pub fn non_inferior_fixed(
    control: &Moments,
    variant: &Moments,
    margin: f64,
    lower_is_better: bool,
    alpha: f64,
) -> Result<MarginTest, Degenerate> {
    let test = z_test(control, variant, Alternative::TwoSided, alpha)?;
    if control.mean == 0.0 {
        return Err(Degenerate::new("the mean of control is zero, so a relative margin has no size"));
    }
    beyond(test.difference, test.standard_error, checked_margin(margin)? * control.mean, lower_is_better, alpha)
}

fn checked_margin(margin: f64) -> Result<f64, Degenerate> {
    if margin.is_finite() && margin >= 0.0 {
        return Ok(margin);
    }
    Err(Degenerate::new(format!("the margin is {margin}; it must be zero or more")))
}

fn beyond(
    difference: f64,
    standard_error: f64,
    margin: f64,
    lower_is_better: bool,
    alpha: f64,
) -> Result<MarginTest, Degenerate> {
    let (worse, alternative) = if lower_is_better { (1.0, Alternative::Less) } else { (-1.0, Alternative::Greater) };
    let statistic = finite("statistic", (difference - worse * margin) / standard_error)?;
    let reach = normal_quantile_upper(checked_alpha(alpha)?) * standard_error;
    Ok(MarginTest {
        difference,
        standard_error,
        statistic,
        p_value: alternative.p_value(statistic, normal_upper),
        bound: finite("bound", difference + worse * reach)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arm(count: u64, successes: u64) -> Proportion {
        Proportion { count, successes }
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |control, variant, margin, expect: &str| {
            let error = non_inferior_proportion(control, variant, margin, false, 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(arm(9, 3), arm(9, 3), -0.1, "margin is -0.1");
        check(arm(9, 3), arm(9, 3), f64::NAN, "margin is NaN");
        check(arm(0, 0), arm(9, 3), 0.1, "no recipient");
        check(arm(9, 9), arm(9, 0), 0.1, "neither arm varies");
        let zero = Moments { count: 9, mean: 0.0, m2: 3.0 };
        assert!(non_inferior_fixed(&zero, &zero, 0.1, true, 0.05).unwrap_err().why.contains("no size"));
    }

    #[test]
    fn a_margin_of_a_negative_mean_is_negative() {
        let arm = |mean| Moments { count: 101, mean, m2: 100.0 };
        let test = non_inferior_fixed(&arm(-10.0), &arm(-9.0), 0.05, false, 0.05).unwrap();
        let error = (2.0_f64 / 101.0).sqrt();
        assert!((test.standard_error - error).abs() < 1e-15);
        assert!((test.statistic - (1.0 - 0.5) / error).abs() < 1e-12, "{}", test.statistic);
    }

    proptest! {
        /// The bound lies within the margin exactly when the test rejects; calling successes failures turns the direction.
        #[test]
        fn bound_and_test_agree(
            n in (10..1_000_000_u64, 10..1_000_000_u64),
            share in (0.1..0.9_f64, 0.1..0.9_f64),
            margin in 0.0..0.3_f64,
            alpha in 0.001..0.5_f64,
        ) {
            let (a, b) = (arm(n.0, (n.0 as f64 * share.0) as u64), arm(n.1, (n.1 as f64 * share.1) as u64));
            let higher = non_inferior_proportion(a, b, margin, false, alpha).unwrap();
            prop_assume!((higher.p_value / alpha - 1.0).abs() > 1e-6);
            prop_assert_eq!(higher.p_value < alpha, higher.bound > -margin);
            let turned = |p: Proportion| arm(p.count, p.count - p.successes);
            let lower = non_inferior_proportion(turned(a), turned(b), margin, true, alpha).unwrap();
            prop_assert!((higher.statistic + lower.statistic).abs() <= 1e-9 * (1.0 + higher.statistic.abs()));
            prop_assert!((higher.p_value - lower.p_value).abs() <= 1e-9);
            prop_assert!((higher.bound + lower.bound).abs() <= 1e-12);
        }
    }
}
