//! Conversion rates with Beta priors: posteriors, the chance that B beats A, and what a wrong choice costs, all exact.
//!
//! With a prior Beta(a, b) and x of n converted, the posterior is Beta(x + a, n − x + b). P(B > A) = ∫ f_B F_A, and the expected
//! losses are ∫ F_B (1 − F_A) and ∫ F_A (1 − F_B). Stucchio, "Bayesian A/B testing at VWO" (2015).

use serde::{Deserialize, Serialize};

use super::standing::{checked_beta, rate_standings};
use crate::answer::{Degenerate, Interval, checked_alpha, finite};
use crate::proportions::Proportion;
use crate::tail::beta_quantile;

/// What is believed of a conversion rate: Beta(a, b).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatePosterior {
    /// Conversions plus the prior's.
    pub a: f64,
    /// Failures plus the prior's.
    pub b: f64,
}

/// A treatment's rate against control's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateRace {
    /// The probability that the treatment's rate is higher.
    pub chance_to_win: f64,
    /// What choosing the treatment costs on average, in rate: E[max(p_A − p_B, 0)].
    pub expected_loss_treatment: f64,
    /// What staying with control costs on average, in rate: E[max(p_B − p_A, 0)].
    pub expected_loss_control: f64,
}

impl RatePosterior {
    /// The posterior of the rate of `arm` with the prior Beta(`prior_alpha`, `prior_beta`).
    ///
    /// # Errors
    /// [`Degenerate`] when there are more successes than recipients, or the posterior is not proper.
    pub fn new(name: &str, arm: Proportion, prior_alpha: f64, prior_beta: f64) -> Result<Self, Degenerate> {
        let Some(failures) = arm.count.checked_sub(arm.successes) else {
            return Err(Degenerate::new(format!("{name} has more successes than recipients")));
        };
        if !(prior_alpha >= 0.0 && prior_beta >= 0.0) {
            return Err(Degenerate::new("prior_alpha and prior_beta must be zero or more"));
        }
        let (a, b) = (arm.successes as f64 + prior_alpha, failures as f64 + prior_beta);
        checked_beta(name, a, b)?;
        Ok(Self { a, b })
    }

    /// The posterior mean, a/(a + b).
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.a / (self.a + self.b)
    }

    /// The central interval at one minus `alpha`.
    ///
    /// # Errors
    /// [`Degenerate`] when `alpha` is not between 0 and 1.
    pub fn interval(&self, alpha: f64) -> Result<Interval, Degenerate> {
        let tail = checked_alpha(alpha)? / 2.0;
        // The upper end from the upper tail, so that a tiny tail is not one minus something.
        let upper = 1.0 - beta_quantile(tail, self.b, self.a);
        let lower = beta_quantile(tail, self.a, self.b);
        Ok(Interval::closed(finite("interval", lower)?, finite("interval", upper)?))
    }
}

/// The treatment's rate against control's.
///
/// # Errors
/// [`Degenerate`] when a posterior is not proper.
pub fn rate_race(control: RatePosterior, treatment: RatePosterior) -> Result<RateRace, Degenerate> {
    let standings = rate_standings(&[(control.a, control.b), (treatment.a, treatment.b)])?;
    Ok(RateRace {
        chance_to_win: standings[1].best.clamp(0.0, 1.0),
        expected_loss_treatment: standings[1].expected_loss,
        expected_loss_control: standings[0].expected_loss,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn race(a: (f64, f64), b: (f64, f64)) -> RateRace {
        rate_race(RatePosterior { a: a.0, b: a.1 }, RatePosterior { a: b.0, b: b.1 }).unwrap()
    }

    /// The finite sum for whole parameters: P(p_B > p_A) = Σ_{i < a_B} B(a_A + i, b_A + b_B)/((b_B + i) B(1 + i, b_B)
    /// B(a_A, b_A)). Evan Miller, "Formulas for Bayesian A/B testing" (2014).
    fn chance(a: (f64, f64), b: (f64, f64)) -> f64 {
        use crate::tail::ln_beta;
        let term = |i: f64| (ln_beta(a.0 + i, a.1 + b.1) - ln_beta(1.0 + i, b.1) - ln_beta(a.0, a.1)).exp() / (b.1 + i);
        (0..b.0 as u64).map(|i| term(i as f64)).sum()
    }

    #[test]
    fn chances_as_by_the_finite_sum() {
        let check = |a: (f64, f64), b: (f64, f64), tolerance: f64| {
            let (actual, expect) = (race(a, b).chance_to_win, chance(a, b));
            assert!((actual - expect).abs() <= tolerance * expect, "{a:?} {b:?} {actual} {expect}");
        };
        check((1.0, 1.0), (1.0, 1.0), 1e-12);
        check((13.0, 298.0), (41.0, 891.0), 1e-11);
        check((300.0, 10_000.0), (250.0, 10_000.0), 1e-10);
        check((1.0, 100_000_001.0), (4.0, 100_000_000.0), 1e-9);
        check((5_000.0, 1.0), (900.0, 2.0), 1e-10);
        check((2_000.0, 5_000.0), (900.0, 5_000.0), 1e-9);
    }

    /// E[p_B − p_A] is the difference of the losses, whatever the counts.
    #[test]
    fn losses_differ_by_the_means() {
        let check = |a: (f64, f64), b: (f64, f64)| {
            let race = race(a, b);
            let means = b.0 / (b.0 + b.1) - a.0 / (a.0 + a.1);
            let difference = race.expected_loss_control - race.expected_loss_treatment;
            let scale = race.expected_loss_control.max(race.expected_loss_treatment);
            assert!((difference - means).abs() <= 1e-9 * scale, "{a:?} {b:?} {race:?} {means}");
            let back = super::tests::race(b, a);
            assert!((race.chance_to_win + back.chance_to_win - 1.0).abs() < 1e-10, "{race:?} {back:?}");
        };
        check((13.0, 298.0), (41.0, 891.0));
        check((0.5, 0.5), (0.5, 0.5));
        check((0.001, 0.001), (0.001, 3.0));
        check((1e8, 1e8), (1e8 + 3e4, 1e8));
        check((1e8, 9.9e9), (1e8 - 5e3, 9.9e9));
        check((1.0, 1e8), (1e8, 1.0));
        check((0.5, 1e8), (3.5, 1e8));
        check((1.0, 1.0), (5e7, 5e7));
        check((1e-6, 1.0), (1.0, 1e-6));
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |count, successes, prior: (f64, f64), expect: &str| {
            let error = RatePosterior::new("control", Proportion { count, successes }, prior.0, prior.1).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(10, 11, (1.0, 1.0), "more successes");
        check(10, 0, (0.0, 0.0), "posterior of control");
        check(10, 5, (-1.0, 1.0), "prior_alpha");
        check(10, 5, (f64::NAN, 1.0), "prior_alpha");
        check(10, 5, (f64::INFINITY, 1.0), "posterior of control");
        assert!(RatePosterior { a: 1.0, b: 1.0 }.interval(0.0).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]

        #[test]
        fn chances_stay_chances(a in 1e-6..1e4_f64, b in 1e-6..1e4_f64, c in 1e-6..1e4_f64, d in 1e-6..1e8_f64) {
            let race = race((a, b), (c, d));
            prop_assert!((0.0..=1.0).contains(&race.chance_to_win));
            prop_assert!(race.expected_loss_control >= 0.0 && race.expected_loss_treatment >= 0.0);
            let means = c / (c + d) - a / (a + b);
            prop_assert!((race.expected_loss_control - race.expected_loss_treatment - means).abs() < 1e-9);
        }
    }
}
