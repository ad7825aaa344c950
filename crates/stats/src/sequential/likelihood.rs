//! The mixture sequential probability ratio test.
//!
//! The effect under the alternative is drawn from N(θ₀, τ²). With V the squared standard error of the difference, which is
//! 2σ²/n for two arms of n, Λ = √(V/(V + τ²)) exp(τ² (Δ − θ₀)² / (2V (V + τ²))); p = min(1, 1/Λ), and the interval holds
//! every θ₀ with Λ < 1/α. Johari, Koomen, Pekelis & Walsh, "Always valid inference: continuous monitoring of A/B tests",
//! Operations Research 70 (2022).

use serde::{Deserialize, Serialize};

use super::positive;
use crate::answer::{Degenerate, Interval, checked_alpha, finite};
use crate::tail::{normal_density, normal_mills};

/// What the test says at a look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LikelihoodRatio {
    /// ln Λ; the evidence against no difference so far.
    pub log_likelihood_ratio: f64,
    /// min(1, 1/Λ); over looks the smallest may be kept where the effect does not change.
    pub p_value: f64,
    /// Of the difference, valid at all looks together.
    pub interval: Interval,
}

/// The test of no difference at a look. `mixing_variance` is τ², in the squared unit of the outcome.
///
/// # Errors
/// [`Degenerate`] when a number is not finite, the standard error or the mixing variance is not positive, or alpha does not lie
/// between 0 and 1.
pub fn mixture_sequential_test(
    difference: f64,
    standard_error: f64,
    mixing_variance: f64,
    alpha: f64,
) -> Result<LikelihoodRatio, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    let error = positive("standard error", standard_error)?;
    // τ²/V; everything else is in standard errors.
    let ratio = positive("mixing variance", positive("mixing variance", mixing_variance)?.sqrt() / error)?.powi(2);
    let ratio = positive("mixing variance over the squared standard error", ratio)?;
    let statistic = finite("statistic", finite("difference", difference)? / error)?;
    let half_ln = 0.5 * ratio.ln_1p();
    let log_likelihood_ratio = finite("likelihood ratio", 0.5 * statistic * statistic * (ratio / (1.0 + ratio)) - half_ln)?;
    let reach = error * (2.0 * (1.0 + 1.0 / ratio) * (half_ln - alpha.ln())).sqrt();
    let interval = Interval::closed(finite("interval", difference - reach)?, finite("interval", difference + reach)?);
    Ok(LikelihoodRatio { log_likelihood_ratio, p_value: (-log_likelihood_ratio).exp().min(1.0), interval })
}

/// The mixing variance τ² = σ² Φ(−b) / (φ(b)/b − Φ(−b)) that stops soonest on average, σ² being the variance of the outcome
/// per recipient. See [`mixing_threshold`] for b.
///
/// # Errors
/// [`Degenerate`] when σ² or b is not positive.
pub fn optimal_mixing_variance(outcome_variance: f64, threshold: f64) -> Result<f64, Degenerate> {
    let (variance, b) = (positive("variance of the outcome", outcome_variance)?, positive("threshold", threshold)?);
    // Divided by the density, the tail is Mills' ratio.
    let mills = normal_mills(b);
    let rest = 1.0 / b - mills;
    if normal_density(b) == 0.0 || rest <= 0.0 {
        return Err(Degenerate::new(format!("the threshold is {b}; beyond about 38 no mixing variance can be computed")));
    }
    positive("mixing variance", variance * (mills / rest))
}

/// b = 2 ln(1/α) / √(M σ²) for an experiment that ends after M recipients at the latest.
///
/// # Errors
/// [`Degenerate`] when alpha does not lie between 0 and 1, or a number is not positive.
pub fn mixing_threshold(alpha: f64, outcome_variance: f64, units_max: f64) -> Result<f64, Degenerate> {
    let spread =
        (positive("largest number of recipients", units_max)? * positive("variance of the outcome", outcome_variance)?).sqrt();
    positive("threshold", -2.0 * checked_alpha(alpha)?.ln() / spread)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Own evaluations of the formulas.
    #[test]
    fn known_ratios() {
        let test = mixture_sequential_test(0.3, (2.0_f64 / 100.0).sqrt(), 0.1, 0.05).unwrap();
        assert!((test.log_likelihood_ratio.exp() / 2.662_113_258_298_839_4 - 1.0).abs() < 1e-12);
        assert!((optimal_mixing_variance(1.0, 1.96).unwrap() / 5.187_454_969_127_461 - 1.0).abs() < 1e-10);
        assert!((mixing_threshold(0.05, 4.0, 100.0).unwrap() - 0.1 * 20.0_f64.ln()).abs() < 1e-14);
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |difference, error, mixing, alpha, expect: &str| {
            let why = mixture_sequential_test(difference, error, mixing, alpha).unwrap_err().why;
            assert!(why.contains(expect), "{why}");
        };
        check(f64::NAN, 1.0, 1.0, 0.05, "difference");
        check(1.0, 0.0, 1.0, 0.05, "standard error is 0");
        check(1.0, 1.0, -1.0, 0.05, "mixing variance is -1");
        check(1.0, 1.0, 1.0, 1.0, "alpha");
        assert!(optimal_mixing_variance(1.0, 50.0).unwrap_err().why.contains("38"));
        assert!(mixing_threshold(0.05, 1.0, 0.0).is_err());
    }

    proptest! {
        #[test]
        fn the_interval_inverts_the_test(statistic in -9.0..9.0_f64, mixing in 0.001..100.0_f64, alpha in 0.001..0.5_f64) {
            let test = mixture_sequential_test(2.0 * statistic, 2.0, mixing, alpha).unwrap();
            prop_assume!((test.p_value / alpha - 1.0).abs() > 1e-9);
            prop_assert_eq!(test.p_value > alpha, test.interval.contains(0.0));
        }

        #[test]
        fn answers_are_numbers(a in any::<f64>(), b in any::<f64>(), c in any::<f64>(), alpha in any::<f64>()) {
            for (b, c, alpha) in [(b, c, alpha), (b.abs(), c.abs(), 0.05)] {
                if let Ok(test) = mixture_sequential_test(a, b, c, alpha) {
                    prop_assert!(test.log_likelihood_ratio.is_finite() && test.p_value <= 1.0 && test.p_value >= 0.0);
                    prop_assert!(test.interval.lower.unwrap().is_finite());
                }
                prop_assert!(optimal_mixing_variance(b, c).is_ok_and(f64::is_finite) || optimal_mixing_variance(b, c).is_err());
            }
        }
    }
}
