//! A normal effect with a normal prior: the posterior, the chance to win, and what a wrong choice costs.
//!
//! Likelihood N(d, s²), prior N(m, v): the posterior has the precision 1/s² + 1/v and the mean weighted by precisions; without
//! a prior it is the likelihood. The mean is the forecast of the effect. Gelman et al., *Bayesian Data Analysis*, chapter 2;
//! expected loss: Stucchio, "Bayesian A/B testing at VWO" (2015).

use serde::{Deserialize, Serialize};

use crate::answer::{Degenerate, Interval, checked_alpha, finite};
use crate::tail::{normal_density, normal_mills, normal_quantile_upper, normal_upper};

/// What was believed of an effect before the data, as a normal distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EffectPrior {
    /// Its mean.
    pub mean: f64,
    /// Its variance, greater than zero.
    pub variance: f64,
}

impl EffectPrior {
    /// The prior of an absolute effect, given this prior of the relative effect and control's mean.
    #[must_use]
    pub fn of_absolute(self, baseline: f64) -> Self {
        Self { mean: self.mean * baseline.abs(), variance: self.variance * baseline * baseline }
    }
}

/// What is believed of an effect after the data, as a normal distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EffectPosterior {
    /// The forecast of the effect.
    pub mean: f64,
    /// Its standard deviation.
    pub sd: f64,
}

/// What it costs on average, per unit of audience and in units of the effect, to choose an arm if the other may be better.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ExpectedLoss {
    /// Of staying with control: E[max(Δ, 0)].
    pub control: f64,
    /// Of choosing the treatment: E[max(−Δ, 0)].
    pub treatment: f64,
}

/// What an effect is worth when it is rolled out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stakes {
    /// How many recipients the choice is for.
    pub audience: f64,
    /// Money per recipient for one unit of the effect: 1 where the effect is in money, the value of a conversion where it is a
    /// rate, the baseline in money where it is a relative lift.
    pub value_per_unit: f64,
    /// Money per recipient that the treatment costs more than control.
    #[serde(default)]
    pub extra_cost: f64,
}

/// The posterior of an effect.
///
/// # Errors
/// [`Degenerate`] when a number is not finite, or the standard error or the prior's variance is not greater than zero.
pub fn effect_posterior(effect: f64, standard_error: f64, prior: Option<EffectPrior>) -> Result<EffectPosterior, Degenerate> {
    let effect = finite("effect", effect)?;
    if !(standard_error.is_finite() && standard_error > 0.0) {
        return Err(Degenerate::new("the standard error must be greater than zero"));
    }
    let Some(EffectPrior { mean, variance }) = prior else {
        return Ok(EffectPosterior { mean: effect, sd: standard_error });
    };
    if !(mean.is_finite() && variance.is_finite() && variance > 0.0) {
        return Err(Degenerate::new("the prior needs a finite mean and a variance greater than zero"));
    }
    // The weight of the data, v/(v + s²), through the ratio of deviations so that squares do not leave floating point.
    let ratio = standard_error / variance.sqrt();
    let of_data = 1.0 / (1.0 + ratio * ratio);
    let posterior_mean =
        if of_data >= 0.5 { effect + (1.0 - of_data) * (mean - effect) } else { mean + of_data * (effect - mean) };
    let sd = if ratio <= 1.0 { standard_error * of_data.sqrt() } else { variance.sqrt() / 1.0_f64.hypot(1.0 / ratio) };
    Ok(EffectPosterior { mean: finite("posterior mean", posterior_mean)?, sd: finite("posterior deviation", sd)? })
}

impl EffectPosterior {
    /// P(Δ > 0), or P(Δ < 0) where `inverse` (lower is better).
    #[must_use]
    pub fn chance_to_win(&self, inverse: bool) -> f64 {
        let z = self.statistic();
        normal_upper(if inverse { z } else { -z })
    }

    /// The central interval at one minus `alpha`.
    ///
    /// # Errors
    /// [`Degenerate`] when `alpha` is not between 0 and 1 or the interval leaves floating point.
    pub fn interval(&self, alpha: f64) -> Result<Interval, Degenerate> {
        let reach = normal_quantile_upper(checked_alpha(alpha)? / 2.0) * self.sd;
        Ok(Interval::closed(finite("interval", self.mean - reach)?, finite("interval", self.mean + reach)?))
    }

    /// What a wrong choice costs; where `inverse`, lower is better.
    #[must_use]
    pub fn expected_loss(&self, inverse: bool) -> ExpectedLoss {
        // The smaller by Mills' ratio; the larger exceeds it by the mean.
        let smaller = self.sd * expected_excess(-self.statistic().abs());
        let larger = (self.mean.abs() + smaller).min(f64::MAX);
        let (above, below) = if self.mean >= 0.0 { (larger, smaller) } else { (smaller, larger) };
        if inverse {
            ExpectedLoss { control: below, treatment: above }
        } else {
            ExpectedLoss { control: above, treatment: below }
        }
    }

    /// The posterior of the profit per recipient and what a wrong choice costs over the whole audience, in money; where
    /// `inverse`, a unit of the effect loses its value instead of earning it.
    ///
    /// # Errors
    /// [`Degenerate`] when a stake is not finite, or the audience or the value is negative.
    pub fn at_stake(&self, stakes: Stakes, inverse: bool) -> Result<(Self, ExpectedLoss), Degenerate> {
        let Stakes { audience, value_per_unit, extra_cost } = stakes;
        if !(audience.is_finite()
            && value_per_unit.is_finite()
            && extra_cost.is_finite()
            && audience >= 0.0
            && value_per_unit >= 0.0)
        {
            return Err(Degenerate::new("audience and value must be zero or more, and the extra cost a number"));
        }
        let sign = if inverse { -1.0 } else { 1.0 };
        let profit = Self {
            mean: finite("profit", sign * self.mean * value_per_unit - extra_cost)?,
            sd: finite("spread of the profit", self.sd * value_per_unit)?,
        };
        let ExpectedLoss { control, treatment } = profit.expected_loss(false);
        let loss = ExpectedLoss {
            control: finite("expected loss", control * audience)?,
            treatment: finite("expected loss", treatment * audience)?,
        };
        Ok((profit, loss))
    }

    /// The mean in deviations; without spread it is as far out as numbers go.
    fn statistic(&self) -> f64 {
        if self.sd > 0.0 { (self.mean / self.sd).clamp(f64::MIN, f64::MAX) } else { 0.0 }
    }
}

/// E[max(Z + z, 0)] for a standard normal Z and z ≤ 0: φ(z) − |z| Φ(z) = φ(z) (1 − |z| · Mills(|z|)).
fn expected_excess(z: f64) -> f64 {
    let density = normal_density(z);
    // Beyond, the density is zero, and the ratio would only add rounding.
    if density == 0.0 { 0.0 } else { (density * (1.0 + z * normal_mills(-z))).max(0.0) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(actual: f64, expect: f64) {
        assert!((actual - expect).abs() <= 1e-12 * expect.abs().max(1e-3), "{actual} is not {expect}");
    }

    /// Own pin, and gbstats `TestGetRiskNumericalStability`.
    #[test]
    fn what_a_wrong_choice_costs() {
        let check = |mean: f64, sd: f64, control: f64, treatment: f64, tolerance: f64| {
            let loss = EffectPosterior { mean, sd }.expected_loss(false);
            assert!((loss.control - control).abs() < tolerance && (loss.treatment - treatment).abs() < tolerance, "{loss:?}");
            let inverse = EffectPosterior { mean, sd }.expected_loss(true);
            assert_eq!((inverse.control, inverse.treatment), (loss.treatment, loss.control));
        };
        check(0.02, 0.03, 0.024_533_589_414_732_108, 0.004_533_589_414_732_109, 1e-17);
        check(0.1, 0.05, 0.100_424_535_130_8, 0.000_424_535_130_8, 1e-13);
        check(-0.02, 0.03, 0.004_533_589_414_732_109, 0.024_533_589_414_732_108, 1e-17);
        // mpmath at 40 digits.
        let far = EffectPosterior { mean: 30.0, sd: 1.0 }.expected_loss(false).treatment;
        assert!((far / 1.631_956_734_091_401_2e-199 - 1.0).abs() < 1e-9, "{far:e}");
        assert_eq!(EffectPosterior { mean: 1e300, sd: 1e-300 }.expected_loss(false).treatment, 0.0);
    }

    /// gbstats `TestBinom.test_bayesian_binomial_ab_test` and `TestNorm` (informative): the effect and its error by the delta
    /// method, then the posterior.
    #[test]
    fn peers_posteriors() {
        let round = |value: f64| (value * 1e5).round() / 1e5;
        let error = (0.51 * 0.49 / 100.0 / (0.49 * 0.49) + 0.49 * 0.51 / 100.0 * 0.51 * 0.51 / 0.49_f64.powi(4)).sqrt();
        let binomial = effect_posterior(0.02 / 0.49, error, None).unwrap();
        let (interval, loss) = (binomial.interval(0.05).unwrap(), binomial.expected_loss(false));
        assert_eq!((round(binomial.mean), round(binomial.chance_to_win(false))), (0.04082, 0.60918));
        assert_eq!((round(interval.lower.unwrap()), round(interval.upper.unwrap())), (-0.24779, 0.32943));
        assert_eq!((round(loss.control), round(loss.treatment)), (0.0814, 0.04058));
        let (control, treatment) = (0.25 / 10.0, 1.0 / 10.0);
        let error = (treatment / 100.0 + control * 1.05 * 1.05 / 100.0_f64).sqrt();
        let normal = effect_posterior(0.05, error, None).unwrap();
        assert_eq!((round(normal.sd), round(normal.chance_to_win(false))), (0.03572, 0.91923));
        let informed = effect_posterior(0.05, error, Some(EffectPrior { mean: 0.1, variance: 0.1 })).unwrap();
        assert_eq!((round(informed.mean), round(informed.sd)), (0.05063, 0.03549));
        assert_eq!(round(informed.chance_to_win(false)), 0.92315);
    }

    /// gbstats `TestEffectBayesianABTest.test_bayesian_effect_ab_test`: the prior is of the relative effect, so for the absolute
    /// one it is rescaled by the baseline.
    #[test]
    fn the_prior_is_rescaled_by_the_baseline() {
        let (effect, lower, upper): (f64, f64, f64) = (0.536_512_437_557_977_5, 0.457_255_958_911_542_2, 0.615_768_916_204_412_8);
        let error = (upper - lower) / 2.0 / 1.959_963_984_540_054_2;
        let check = |variance, mean: f64, lower: f64, upper: f64| {
            let prior = EffectPrior { mean: 0.0, variance }.of_absolute(7.157_987_489_967_789);
            let posterior = effect_posterior(effect, error, Some(prior)).unwrap();
            let interval = posterior.interval(0.05).unwrap();
            near(posterior.mean, mean);
            near(interval.lower.unwrap(), lower);
            near(interval.upper.unwrap(), upper);
        };
        check(1e6, 0.536_512_437_540_855, 0.457_255_958_895_684_4, 0.615_768_916_186_025_6);
        check(1.0, 0.536_495_315_442_269, 0.457_240_101_491_048_8, 0.615_750_529_393_489_2);
    }

    #[test]
    fn money_is_audience_times_value() {
        let posterior = EffectPosterior { mean: 0.02, sd: 0.03 };
        let stakes = Stakes { audience: 1e6, value_per_unit: 5.0, extra_cost: 0.0 };
        let (profit, loss) = posterior.at_stake(stakes, false).unwrap();
        near(profit.mean, 0.1);
        near(loss.treatment, 5e6 * 0.004_533_589_414_732_109);
        // A cost as large as the gain leaves an even bet.
        let (_, even) = posterior.at_stake(Stakes { extra_cost: 0.1, ..stakes }, false).unwrap();
        near(even.control, even.treatment);
        assert!(posterior.at_stake(Stakes { audience: -1.0, ..stakes }, false).is_err());
    }

    proptest! {
        #[test]
        fn no_input_gives_nan(effect in any::<f64>(), error in any::<f64>(), mean in any::<f64>(), variance in any::<f64>()) {
            for prior in [None, Some(EffectPrior { mean, variance })] {
                if let Ok(posterior) = effect_posterior(effect, error, prior) {
                    let loss = posterior.expected_loss(false);
                    prop_assert!(posterior.mean.is_finite() && posterior.sd.is_finite());
                    prop_assert!(loss.control >= 0.0 && loss.treatment >= 0.0);
                    prop_assert!((0.0..=1.0).contains(&posterior.chance_to_win(false)));
                }
            }
        }

        /// The losses differ by the mean, and the unit does not matter.
        #[test]
        fn losses_differ_by_the_mean(mean in -5.0..5.0_f64, sd in 0.01..5.0_f64, scale in 1e-6..1e6_f64) {
            let loss = EffectPosterior { mean, sd }.expected_loss(false);
            prop_assert!((loss.control - loss.treatment - mean).abs() < 1e-12);
            let scaled = EffectPosterior { mean: mean * scale, sd: sd * scale }.expected_loss(false);
            // Numbers next to the smallest there are have few digits.
            let least = f64::MIN_POSITIVE * scale.max(1.0);
            prop_assert!((scaled.treatment - loss.treatment * scale).abs() <= 1e-10 * loss.treatment * scale + least);
        }
    }
}
