//! What a running experiment will still show: the power at its present error, and how many recipients more are needed.
//! Spiegelhalter, Abrams & Myles, "Bayesian Approaches to Clinical Trials and Health-Care Evaluation" (2004), chapter 6.

use serde::{Deserialize, Serialize};

use super::inverse::crossing;
use super::{fraction, positive};
use crate::answer::{Degenerate, checked_alpha, finite};
use crate::sequential::confidence::multiplier;
use crate::tail::{normal_quantile_upper, normal_upper};

/// Recipients more are sought up to this multiple of those so far.
const SCALING_FACTOR_MAX: f64 = 1e15;

/// Points of the scan that looks for the first crossing: a strong prior can make power fall before it rises.
const SCAN_POINTS: u32 = 400;

/// A running experiment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MidExperiment {
    /// The standard error of the effect so far, above zero.
    pub standard_error: f64,
    /// Recipients so far, both arms together.
    pub n: f64,
    /// The effect to be seen, in the unit of the standard error.
    pub target_effect: f64,
    /// The two-sided error in total, between 0 and 1.
    pub alpha: f64,
    /// Tests that share alpha: (variants − 1) · metrics where it is corrected, otherwise 1.
    pub tests: f64,
    /// The tuning of the always-valid test, where that is how it is analysed; does not go with a prior.
    pub tuning: Option<f64>,
    /// The prior of the effect, where it is analysed by its posterior.
    pub prior: Option<EffectPrior>,
}

/// A normal prior of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EffectPrior {
    /// Its mean.
    pub mean: f64,
    /// Its variance, above zero.
    pub variance: f64,
}

impl MidExperiment {
    /// The chance that the interval excludes zero after `scaling_factor` times as many recipients more, if the effect is the
    /// target: with v = SE² / (1 + s), SF((h − d) / √v) + SF((h + d) / √v), where the half-width h is z √v, the always-valid
    /// half-width at n (1 + s), or, with a prior, v √(1/v₀ + 1/v) z, the two sides shifted by v m₀ / v₀.
    ///
    /// # Errors
    /// [`Degenerate`] when a number is out of range, or there is a prior as well as a tuning.
    pub fn power(&self, scaling_factor: f64) -> Result<f64, Degenerate> {
        if !(scaling_factor >= 0.0 && scaling_factor.is_finite()) {
            return Err(Degenerate::new(format!("the scaling factor is {scaling_factor}; it must be zero or more")));
        }
        let alpha = checked_alpha(self.alpha)? / positive("number of tests", self.tests)?;
        let alpha = checked_alpha(alpha)?;
        let error = positive("standard error", self.standard_error)? / (1.0 + scaling_factor).sqrt();
        let target = finite("target effect", self.target_effect)?;
        let n = positive("number of recipients", self.n)? * (1.0 + scaling_factor);
        // In units of the error: the half-width and the shift of its centre.
        let (half, shift) = match (self.prior, self.tuning) {
            (Some(_), Some(_)) => return Err(Degenerate::new("a prior and an always-valid test do not go together")),
            (None, Some(tuning)) => (multiplier(n, alpha, tuning)?, 0.0),
            (None, None) => (normal_quantile_upper(alpha / 2.0), 0.0),
            (Some(EffectPrior { mean, variance }), None) => {
                let variance = positive("variance of the prior", variance)?;
                let mean = finite("mean of the prior", mean)?;
                (normal_quantile_upper(alpha / 2.0) * (1.0 + error / variance * error).sqrt(), mean / variance * error)
            }
        };
        let distance = shift + target / error;
        let power = normal_upper(half - distance) + normal_upper(half + distance);
        Ok(finite("power", power)?.min(1.0))
    }

    /// The fewest recipients more, as a multiple of those so far, at which the power reaches `power`; 0 where it has.
    /// For a power over several metrics together, pass its root: all of `m` independent metrics have `power` when each
    /// has `power`^(1/m).
    ///
    /// # Errors
    /// [`Degenerate`] as [`MidExperiment::power`], or when no number of recipients is enough, as with an effect of zero.
    pub fn scaling_factor(&self, power: f64) -> Result<f64, Degenerate> {
        let target = fraction("power", power)?;
        if self.power(0.0)? >= target {
            return Ok(0.0);
        }
        let unreachable = || Degenerate::new("no number of recipients gives that power; the target effect is too small");
        if self.target_effect == 0.0 {
            return Err(unreachable());
        }
        let surplus = |scaling_factor: f64| self.power(scaling_factor).map_or(f64::NAN, |power| power - target);
        let points = (0..=SCAN_POINTS).map(|i| SCALING_FACTOR_MAX.powf(2.0 * f64::from(i) / f64::from(SCAN_POINTS) - 1.0));
        let mut low = 1e-20;
        for point in points {
            if surplus(point) >= 0.0 {
                return crossing(surplus, point, low, point).ok_or_else(unreachable);
            }
            low = point;
        }
        Err(unreachable())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// GrowthBook `test_midexperimentpower.py::TestMidExperimentPower`: 500 recipients an arm, means 1 and 1.05, both
    /// variances about 2, analysed as a linearised lift.
    fn pinned() -> MidExperiment {
        let (control, treatment) = (1000.0 / 499.0, (1551.25 - 525.0 * 525.0 / 500.0) / 499.0);
        let variance = treatment / 500.0 + control * 1.05 * 1.05 / 500.0;
        MidExperiment {
            standard_error: f64::sqrt(variance),
            n: 1000.0,
            target_effect: 0.05,
            alpha: 0.05,
            tests: 1.0,
            tuning: None,
            prior: None,
        }
    }

    /// The peer bisects until the power is right to 1e-5, so its factors are right to a thousandth.
    #[test]
    fn scaling_factors_of_the_peer() {
        let check = |experiment: MidExperiment, expect: f64| {
            let factor = experiment.scaling_factor(0.8).unwrap();
            assert!((factor / expect - 1.0).abs() < 1e-4, "{factor} is not {expect}");
            assert!((experiment.power(expect).unwrap() - 0.8).abs() < 1e-5);
            assert!((experiment.power(factor).unwrap() - 0.8).abs() < 1e-12);
        };
        check(pinned(), 25.457_031_25);
        check(MidExperiment { tuning: Some(5000.0), ..pinned() }, 55.667_968_75);
        check(MidExperiment { prior: Some(EffectPrior { mean: 0.05, variance: 0.001 }), ..pinned() }, 13.940_429_687_5);
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |experiment: MidExperiment, expect: &str| {
            let error = experiment.scaling_factor(0.8).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(MidExperiment { target_effect: 0.0, ..pinned() }, "no number of recipients");
        check(MidExperiment { standard_error: 0.0, ..pinned() }, "standard error");
        check(MidExperiment { tests: 0.0, ..pinned() }, "number of tests");
        let prior = Some(EffectPrior { mean: 0.0, variance: 1.0 });
        check(MidExperiment { tuning: Some(5000.0), prior, ..pinned() }, "do not go together");
        assert!(pinned().power(-1.0).is_err());
    }

    proptest! {
        /// What is solved holds.
        #[test]
        fn factors_hold(
            logs in (-5.0..5.0_f64, -5.0..5.0_f64),
            tuning in prop::option::of(1.0..1e6_f64),
            prior in prop::option::of((-2.0..2.0_f64, 1e-3..1e3_f64)),
            target in 0.01..0.999_f64,
        ) {
            let prior = prior.filter(|_| tuning.is_none()).map(|(mean, variance)| EffectPrior { mean, variance });
            let experiment = MidExperiment { standard_error: logs.0.exp(), target_effect: logs.1.exp(), tuning, prior, ..pinned() };
            let factor = experiment.scaling_factor(target).unwrap();
            let reached = experiment.power(factor).unwrap();
            prop_assert!(if factor == 0.0 { reached >= target } else { (reached - target).abs() < 1e-9 }, "{} {}", factor, reached);
        }

        #[test]
        fn nothing_that_can_be_sent_breaks_it(
            error in any::<f64>(), effect in any::<f64>(), tuning in prop::option::of(any::<f64>()),
            prior in prop::option::of((any::<f64>(), any::<f64>())), target in 0.01..0.999_f64,
        ) {
            let prior = prior.map(|(mean, variance)| EffectPrior { mean, variance: variance.abs() });
            let experiment = MidExperiment { standard_error: error.abs(), target_effect: effect, tuning, prior, ..pinned() };
            prop_assert!(experiment.power(1.0).map_or(true, |power| (0.0..=1.0).contains(&power)));
            prop_assert!(experiment.scaling_factor(target).map_or(true, |factor| factor >= 0.0 && factor.is_finite()));
        }
    }
}
