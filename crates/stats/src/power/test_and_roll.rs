//! Test & Roll: how large a test earns most, for two arms nothing is known about that would set them apart.
//!
//! A test is paid for by the recipients who get the worse message during the test; a small test is paid for by rolling out
//! the worse message. On a list of N the sum of both is smallest at a size that grows with the root of N and needs no
//! significance level. Feit & Berman, "Test & Roll: profit-maximizing A/B tests", Marketing Science 38 (2019).

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::positive;
use crate::answer::{Degenerate, finite};

/// The best test of two equal arms and what it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TestAndRoll {
    /// Recipients in each arm, not rounded.
    pub n_per_arm: f64,
    /// The expected profit over the whole audience, test and roll-out.
    pub expected_profit: f64,
    /// The same if the better message were known from the start.
    pub expected_profit_perfect: f64,
    /// The same without a test.
    pub expected_profit_untested: f64,
    /// The chance that the worse message is rolled out.
    pub error_rate: f64,
}

/// The size of test that earns most: per arm n* = √(N/4 (s/σ)² + (¾ (s/σ)²)²) − ¾ (s/σ)².
///
/// `audience` N is all recipients, at least two; `response_deviation` s is that of one recipient's outcome, above zero
/// (√(μ (1 − μ)) for a rate); `mean` μ and `prior_deviation` σ > 0 are of the prior, common to both arms, of the arm's mean:
/// σ is how much variants of past campaigns differed among themselves.
///
/// # Errors
/// [`Degenerate`] when a number is out of range.
pub fn test_and_roll(audience: f64, response_deviation: f64, mean: f64, prior_deviation: f64) -> Result<TestAndRoll, Degenerate> {
    let plan = Symmetric::new(audience, response_deviation, mean, prior_deviation)?;
    let n_per_arm = plan.best();
    Ok(TestAndRoll {
        n_per_arm,
        expected_profit: finite("profit", plan.expected_profit(n_per_arm))?,
        expected_profit_perfect: finite("profit", audience * (mean + prior_deviation / PI.sqrt()))?,
        expected_profit_untested: finite("profit", audience * mean)?,
        error_rate: plan.error_rate(n_per_arm),
    })
}

struct Symmetric {
    audience: f64,
    mean: f64,
    prior_deviation: f64,
    /// s / σ.
    noise: f64,
}

impl Symmetric {
    fn new(audience: f64, response_deviation: f64, mean: f64, prior_deviation: f64) -> Result<Self, Degenerate> {
        if !(audience >= 2.0 && audience.is_finite()) {
            return Err(Degenerate::new(format!("the audience is {audience}; two arms need at least two recipients")));
        }
        positive("deviation of the response", response_deviation)?;
        positive("deviation of the prior", prior_deviation)?;
        let noise = positive("deviation of the response over that of the prior", response_deviation / prior_deviation)?;
        Ok(Self { audience, mean: finite("mean of the prior", mean)?, prior_deviation, noise })
    }

    /// n* with k = s/σ, written as N/4 k / (√(N/4 + (¾ k)²) + ¾ k): no difference of nearly equal numbers, no overflow.
    fn best(&self) -> f64 {
        let three_quarters = 0.75 * self.noise;
        let quarter = 0.25 * self.audience;
        quarter * (self.noise / ((quarter.sqrt()).hypot(three_quarters) + three_quarters))
    }

    /// μ N + (N − 2n) σ / (√π √(1 + (s/σ)² / n)): the roll-out gets the larger of two posterior means.
    fn expected_profit(&self, n: f64) -> f64 {
        let gain = self.prior_deviation / PI.sqrt() / (1.0 + self.noise * self.noise / n).sqrt();
        self.audience * self.mean + (self.audience - 2.0 * n) * gain
    }

    /// ½ − arctan(√n σ / s) / π: the chance that the true and the estimated difference have different signs.
    fn error_rate(&self, n: f64) -> f64 {
        // The arctangent of the inverse keeps the digits of a small rate.
        (self.noise / n.sqrt()).atan() / PI
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feit & Berman 2019, section 4: websites, N = 100,000, a rate of 68 % that varies by 3 points.
    #[test]
    fn the_example_of_the_paper() {
        let test = test_and_roll(1e5, f64::sqrt(0.68 * 0.32), 0.68, 0.03).unwrap();
        assert!((test.n_per_arm - 2283.9).abs() < 0.05, "{test:?}");
        assert!((test.error_rate - 0.10).abs() < 0.005, "{test:?}");
    }

    /// Lost clicks, by simulation: a rate of 3 %, σ = 0.002, N = 2,000,000.
    #[test]
    fn small_tests_lose_the_fewest_clicks() {
        let plan = Symmetric::new(2e6, f64::sqrt(0.03 * 0.97), 0.03, 0.002).unwrap();
        let test = test_and_roll(2e6, f64::sqrt(0.03 * 0.97), 0.03, 0.002).unwrap();
        let lost = |n: f64| test.expected_profit_perfect - plan.expected_profit(n);
        for (n, expect) in [(test.n_per_arm, 252.0), (1e5, 296.0), (2e5, 484.0), (5e5, 1137.0)] {
            assert!((lost(n) - expect).abs() < 1.5, "{n}: {} is not {expect}", lost(n));
        }
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |audience: f64, response: f64, prior: f64, expect: &str| {
            let error = test_and_roll(audience, response, 0.1, prior).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(1.0, 1.0, 1.0, "audience");
        check(1e5, 0.0, 1.0, "response");
        check(1e5, 1.0, -1.0, "prior");
        check(f64::NAN, 1.0, 1.0, "audience");
    }

    proptest! {
        /// No other size earns more, and the scale of the outcome does not matter.
        #[test]
        fn the_size_is_the_best(
            audience in 2.0..1e9_f64, response in 1e-3..1e3_f64, mean in -1.0..1.0_f64, prior in 1e-4..10.0_f64,
        ) {
            let plan = Symmetric::new(audience, response, 0.0, prior).unwrap();
            let test = test_and_roll(audience, response, mean, prior).unwrap();
            for factor in [0.5, 0.99, 1.01, 2.0] {
                prop_assert!(plan.expected_profit(test.n_per_arm * factor) <= plan.expected_profit(test.n_per_arm) * (1.0 + 1e-12));
            }
            let scaled = test_and_roll(audience, response * 1e3, mean * 1e3, prior * 1e3).unwrap();
            prop_assert!((scaled.n_per_arm / test.n_per_arm - 1.0).abs() < 1e-9);
            prop_assert!(2.0 * test.n_per_arm <= audience && test.error_rate <= 0.5);
        }

        #[test]
        fn nothing_that_can_be_sent_breaks_it(a in any::<f64>(), s in any::<f64>(), m in any::<f64>(), p in any::<f64>()) {
            if let Ok(test) = test_and_roll(a, s, m, p) {
                for number in [test.n_per_arm, test.expected_profit, test.expected_profit_perfect, test.error_rate] {
                    prop_assert!(number.is_finite());
                }
            }
        }
    }
}
