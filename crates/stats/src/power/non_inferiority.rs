//! How many recipients it takes to show that a guardrail is kept.
//!
//! A guardrail is kept by being shown, not by being unknown, and rare outcomes take many: to show that unsubscribes of
//! 0.2 % do not rise by 0.04 points takes 154,255 recipients per arm. A small list cannot prove it, and should be told so
//! before it sends. Chow, Shao & Wang, "Sample Size Calculations in Clinical Research" (2008), chapter 3.

use serde::{Deserialize, Serialize};

use super::design::{Design, Reference, Scale};
use super::positive;
use crate::answer::{Alternative, Degenerate, finite};

/// How much worse is tolerated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Margin {
    /// In units of the outcome.
    Absolute(f64),
    /// As a fraction of control's mean, tested by the contrast mB − c mA with c = 1 ∓ margin, as
    /// [`crate::non_inferior`] does.
    Relative(f64),
}

/// A planned guardrail test, one-sided: that treatment is not worse than control by the margin.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NonInferiority {
    /// Mean of control; only its size and sign with a relative margin matter.
    pub control_mean: f64,
    /// Variance of one recipient's outcome in control.
    pub control_variance: f64,
    /// The same in treatment.
    pub treatment_variance: f64,
    /// How much worse is tolerated, above zero.
    pub margin: Margin,
    /// The difference treatment minus control that is expected, mostly zero.
    pub expected_difference: f64,
    /// Whether lower is better, as for unsubscribes.
    pub lower_is_better: bool,
    /// Recipients of treatment per recipient of control, above 0.
    pub ratio: f64,
    /// The one-sided error, between 0 and 1.
    pub alpha: f64,
}

impl NonInferiority {
    /// The chance of showing it with `n_control` recipients in control.
    ///
    /// # Errors
    /// [`Degenerate`] when the margin is not above zero, a relative margin meets a mean of zero, or a number is out of range.
    pub fn power(&self, n_control: f64) -> Result<f64, Degenerate> {
        let (design, distance) = self.contrast()?;
        design.power(n_control, distance)
    }

    /// Recipients in control, not rounded, for `power`: ((z_α + z_power) / D)² (c² vA + vB / r) with the distance
    /// D between the expected difference and the margin.
    ///
    /// # Errors
    /// [`Degenerate`] as [`NonInferiority::power`], and when the expected difference is as bad as the margin or worse.
    pub fn sample_size(&self, power: f64) -> Result<f64, Degenerate> {
        let (design, distance) = self.contrast()?;
        if distance <= 0.0 {
            return Err(Degenerate::new(
                "the expected difference is as bad as the margin, so no number of recipients shows otherwise",
            ));
        }
        design.sample_size(distance, power)
    }

    /// The one-sided test that the distance to the margin is above zero, and the distance expected.
    fn contrast(&self) -> Result<(Design, f64), Degenerate> {
        let worse = if self.lower_is_better { 1.0 } else { -1.0 };
        let mean = finite("mean of control", self.control_mean)?;
        // c of the contrast mB − c mA, and how far c mA lies beyond mA.
        let (factor, tolerated) = match self.margin {
            Margin::Absolute(margin) => (1.0, positive("margin", margin)?),
            Margin::Relative(margin) => {
                positive("size of the mean of control, of which a relative margin is a part,", mean.abs())?;
                (1.0 + worse * mean.signum() * positive("margin", margin)?, margin * mean.abs())
            }
        };
        let distance = finite("expected difference", tolerated - worse * self.expected_difference)?;
        let design = Design {
            control_variance: factor * factor * self.control_variance,
            treatment_variance: self.treatment_variance,
            ratio: self.ratio,
            alpha: self.alpha,
            alternative: Alternative::Greater,
            reference: Reference::Normal,
            scale: Scale::Absolute,
        };
        Ok((design, distance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moments::Moments;

    fn unsubscribes(margin: Margin) -> NonInferiority {
        let variance = 0.002 * 0.998;
        NonInferiority {
            control_mean: 0.002,
            control_variance: variance,
            treatment_variance: variance,
            margin,
            expected_difference: 0.0,
            lower_is_better: true,
            ratio: 1.0,
            alpha: 0.05,
        }
    }

    /// The example of METHODS, own: 0.2 % unsubscribes, 0.04 points, 5 %, 80 %.
    #[test]
    fn small_lists_cannot_prove_that_unsubscribes_do_not_rise() {
        let test = unsubscribes(Margin::Absolute(0.0004));
        let n = test.sample_size(0.8).unwrap();
        assert_eq!(n.ceil(), 154_255.0);
        assert!((test.power(n).unwrap() - 0.8).abs() < 1e-9);
        assert!(test.power(10_000.0).unwrap() < 0.2);
    }

    /// With exactly the expected outcomes the guardrail's own test stands at the quantiles it was sized for.
    #[test]
    fn the_size_is_of_the_test_that_is_made() {
        let check = |mean: f64, difference: f64, margin: f64, lower_is_better: bool| {
            let test = NonInferiority {
                control_mean: mean,
                control_variance: 4.0,
                treatment_variance: 9.0,
                margin: Margin::Relative(margin),
                expected_difference: difference,
                lower_is_better,
                ratio: 0.5,
                alpha: 0.05,
            };
            let n = test.sample_size(0.9).unwrap().ceil();
            let arm = |count: f64, mean: f64, variance: f64| Moments { count: count as u64, mean, m2: variance * (count - 1.0) };
            let (control, treatment) = (arm(n, mean, 4.0), arm((n * 0.5).round(), mean + difference, 9.0));
            let shown = crate::non_inferior(&control, &treatment, margin, lower_is_better, 0.05).unwrap();
            assert!((shown.statistic - (1.644_853_6 + 1.281_551_6)).abs() < 2e-2, "{shown:?}");
        };
        check(10.0, 0.0, 0.02, true);
        check(10.0, -0.1, 0.02, false);
        check(-10.0, 0.1, 0.03, true);
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |test: NonInferiority, expect: &str| {
            let error = test.sample_size(0.8).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(unsubscribes(Margin::Absolute(0.0)), "margin");
        check(NonInferiority { expected_difference: 0.0004, ..unsubscribes(Margin::Absolute(0.0004)) }, "as bad as the margin");
        check(NonInferiority { control_mean: 0.0, ..unsubscribes(Margin::Relative(0.1)) }, "mean of control");
        check(NonInferiority { treatment_variance: f64::NAN, ..unsubscribes(Margin::Relative(0.1)) }, "variance");
    }
}
