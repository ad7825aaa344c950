//! The difference of two proportions by the normal approximation.
//!
//! With p = x/n per arm, the standard error is √(p_A(1 − p_A)/n_A + p_B(1 − p_B)/n_B), unpooled and without continuity
//! correction, for the test and the interval alike, so that they cannot disagree. Wald's interval; Fleiss, Levin & Paik,
//! *Statistical Methods for Rates and Proportions*, chapter 3.

use serde::{Deserialize, Serialize};

use crate::answer::{Degenerate, Effect, Interval, checked_alpha, finite};
use crate::tail::{normal_quantile_upper, normal_upper};

/// Successes among trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proportion {
    /// How many were tried.
    pub count: u64,
    /// How many of them succeeded.
    pub successes: u64,
}

/// The difference of proportions, variant minus control, with a two-sided test and interval.
///
/// # Errors
/// [`Degenerate`] when an arm is empty, has more successes than trials, or neither varies.
pub fn two_proportion(control: Proportion, variant: Proportion, alpha: f64) -> Result<Effect, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    let (rate_control, variance_control) = rate("control", control)?;
    let (rate_variant, variance_variant) = rate("the variant", variant)?;
    let difference = rate_variant - rate_control;
    let standard_error = (variance_control + variance_variant).sqrt();
    if standard_error <= 0.0 {
        return Err(Degenerate::new("neither arm varies: in each, all or none succeeded"));
    }
    let statistic = finite("statistic", difference / standard_error)?;
    let reach = normal_quantile_upper(alpha / 2.0) * standard_error;
    Ok(Effect {
        difference,
        standard_error,
        statistic,
        degrees_of_freedom: None,
        p_value: (2.0 * normal_upper(statistic.abs())).min(1.0),
        interval: Interval::closed(difference - reach, difference + reach),
    })
}

/// The rate of an arm and the variance of that rate.
fn rate(name: &str, Proportion { count, successes }: Proportion) -> Result<(f64, f64), Degenerate> {
    if count == 0 {
        return Err(Degenerate::new(format!("{name} has no recipient")));
    }
    if successes > count {
        return Err(Degenerate::new(format!("{name} has more successes than recipients")));
    }
    let n = count as f64;
    let rate = successes as f64 / n;
    Ok((rate, rate * ((count - successes) as f64 / n) / n))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(control: (u64, u64), variant: (u64, u64)) -> Result<Effect, Degenerate> {
        let arm = |(count, successes)| Proportion { count, successes };
        two_proportion(arm(control), arm(variant), 0.05)
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |control, variant, expect: &str| {
            let error = compare(control, variant).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check((0, 0), (10, 5), "control has no recipient");
        check((10, 5), (10, 11), "the variant has more successes");
        check((10, 0), (10, 10), "neither arm varies");
    }

    #[test]
    fn tiny_p_values_are_not_zero() {
        // A p-value of 1e-206, far below what one minus a probability could show.
        let effect = compare((10_000, 1_000), (10_000, 2_900)).unwrap();
        assert!(effect.p_value > 0.0 && effect.p_value < 1e-200, "{effect:?}");
    }
}
