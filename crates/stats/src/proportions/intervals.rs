//! Intervals that hold for few successes too: of one proportion by Wilson and by Clopper and Pearson, of a difference by
//! Newcombe.

use serde::{Deserialize, Serialize};

use super::{Proportion, checked};
use crate::answer::{Degenerate, Interval, checked_alpha, finite};
use crate::tail::{beta_quantile, f_quantile_upper, normal_quantile_upper};

/// A difference of proportions with an interval and no test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DifferenceInterval {
    /// Variant minus control.
    pub difference: f64,
    /// Of the difference.
    pub interval: Interval,
}

/// Wilson's score interval of a proportion: (p + z²/2n ∓ z √(p(1 − p)/n + z²/4n²)) / (1 + z²/n). `alpha` lies between 0
/// and 1, two-sided. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
///
/// # Errors
/// [`Degenerate`] when nobody was tried, more succeeded than were tried, or alpha does not lie between 0 and 1.
pub fn wilson_interval(proportion: Proportion, alpha: f64) -> Result<Interval, Degenerate> {
    let z = normal_quantile_upper(checked_alpha(alpha)? / 2.0);
    let (lower, upper) = wilson_limits(checked("the sample", proportion)?, z)?;
    Ok(Interval::closed(lower, upper))
}

/// Wilson's limits at the normal quantile `z`; both keep their digits near zero.
pub(super) fn wilson_limits(Proportion { count, successes }: Proportion, z: f64) -> Result<(f64, f64), Degenerate> {
    let n = count as f64;
    let (p, q) = (successes as f64 / n, (count - successes) as f64 / n);
    let square = finite("quantile", z * z)? / n;
    let root = (square * (p * q + square / 4.0)).sqrt();
    // The product of the two roots of Wilson's quadratic is p²/(1 + z²/n), so the lower one needs no subtraction.
    let middle = p + square / 2.0 + root;
    // Rounding must not put the proportion outside.
    Ok(((p * (p / middle)).min(p), (middle / (1.0 + square)).clamp(p, 1.0)))
}

/// The exact interval of a proportion, which covers at least as often as it says: the quantiles alpha/2 of
/// Beta(x, n − x + 1) and 1 − alpha/2 of Beta(x + 1, n − x); 0 and 1 where none or all succeeded. `alpha` lies between 0 and
/// 1, two-sided. Clopper & Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
/// Biometrika 26 (1934).
///
/// # Errors
/// [`Degenerate`] when nobody was tried, more succeeded than were tried, or alpha does not lie between 0 and 1.
pub fn clopper_pearson_interval(proportion: Proportion, alpha: f64) -> Result<Interval, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    let Proportion { count, successes } = checked("the sample", proportion)?;
    let (hits, misses) = (successes as f64, (count - successes) as f64);
    let lower = if successes == 0 { 0.0 } else { beta_quantile(alpha / 2.0, hits, misses + 1.0) };
    let upper = if successes == count {
        1.0
    } else {
        // The upper tail of a beta variable is that of F, which takes alpha/2 as it is where 1 − alpha/2 would be 1.
        let f = f_quantile_upper(alpha / 2.0, 2.0 * (hits + 1.0), 2.0 * misses);
        let odds = finite("interval", (hits + 1.0) / misses * f)?;
        odds / (1.0 + odds)
    };
    Ok(Interval::closed(finite("interval", lower)?, upper))
}

/// The difference of proportions with an interval made of Wilson's limits l and u of each arm:
/// d − √((p_B − l_B)² + (u_A − p_A)²) to d + √((p_A − l_A)² + (u_B − p_B)²). `alpha` lies between 0 and 1, two-sided.
/// Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine 17 (1998),
/// method 10.
///
/// # Errors
/// [`Degenerate`] when an arm is empty or has more successes than recipients, or alpha does not lie between 0 and 1.
pub fn newcombe_interval(control: Proportion, variant: Proportion, alpha: f64) -> Result<DifferenceInterval, Degenerate> {
    let z = normal_quantile_upper(checked_alpha(alpha)? / 2.0);
    let limits = |name: &str, arm: Proportion| {
        let (lower, upper) = wilson_limits(checked(name, arm)?, z)?;
        Ok::<_, Degenerate>((arm.successes as f64 / arm.count as f64, lower, upper))
    };
    let (p_control, lower_control, upper_control) = limits("control", control)?;
    let (p_variant, lower_variant, upper_variant) = limits("the variant", variant)?;
    let difference = p_variant - p_control;
    let below = (p_variant - lower_variant).hypot(upper_control - p_control);
    let above = (p_control - lower_control).hypot(upper_variant - p_variant);
    Ok(DifferenceInterval { difference, interval: Interval::closed(difference - below, difference + above) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tail::{binomial_lower, binomial_upper};

    fn arm(count: u64, successes: u64) -> Proportion {
        Proportion { count, successes }
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |proportion: Proportion, alpha: f64, expect: &str| {
            for interval in [wilson_interval, clopper_pearson_interval] {
                let error = interval(proportion, alpha).unwrap_err();
                assert!(error.why.contains(expect), "{error}");
            }
            assert!(newcombe_interval(proportion, proportion, alpha).is_err());
        };
        check(arm(0, 0), 0.05, "no recipient");
        check(arm(3, 4), 0.05, "more successes");
        check(arm(3, 1), 0.0, "alpha");
        check(arm(3, 1), f64::NAN, "alpha");
    }

    /// Newcombe (1998), table II, contrasts (a) and (h), method 10.
    #[test]
    fn the_examples_of_newcombe() {
        let check = |control, variant, lower: f64, upper: f64| {
            let Interval { lower: Some(low), upper: Some(high) } = newcombe_interval(control, variant, 0.05).unwrap().interval
            else {
                panic!("closed")
            };
            assert!((low - lower).abs() < 5.1e-5 && (high - upper).abs() < 5.1e-5, "{low} {high}");
        };
        check(arm(80, 48), arm(70, 56), 0.0524, 0.3339);
        check(arm(10, 0), arm(10, 10), 0.6075, 1.0);
    }

    proptest! {
        /// The limits of Clopper and Pearson are where the exact tails are alpha/2; turning successes into failures turns
        /// the intervals; the exact one is the wider.
        #[test]
        fn limits_are_where_they_should_be(n in 1..2_000_000_u64, share in 0.0..=1.0_f64, alpha in 0.0001..0.5_f64) {
            let successes = ((n as f64 * share * share * share) as u64).min(n);
            let exact = clopper_pearson_interval(arm(n, successes), alpha).unwrap();
            let (lower, upper) = (exact.lower.unwrap(), exact.upper.unwrap());
            if successes > 0 {
                prop_assert!((binomial_upper(successes, n, lower) / (alpha / 2.0) - 1.0).abs() < 1e-7);
            }
            if successes < n {
                prop_assert!((binomial_lower(successes, n, upper) / (alpha / 2.0) - 1.0).abs() < 1e-7);
            }
            for interval in [wilson_interval, clopper_pearson_interval] {
                let (here, there) = (interval(arm(n, successes), alpha).unwrap(), interval(arm(n, n - successes), alpha).unwrap());
                prop_assert!((here.lower.unwrap() - (1.0 - there.upper.unwrap())).abs() < 1e-11);
                prop_assert!(here.contains(successes as f64 / n as f64));
            }
        }
    }
}
