//! Two rates: power and sample size where the test pools under the null, Cohen's effect size, and the unpooled size.

use serde::{Deserialize, Serialize};

use super::{positive, target_power};
use crate::answer::{Alternative, Degenerate, checked_alpha, finite};
use crate::tail::{normal_quantile_upper, normal_upper};

/// Two rates whose test takes its error from the pooled rate: z = (pB − pA) / √(p (1 − p) (1/nA + 1/nB)).
///
/// Per recipient of control, the deviation is √(p (1 − p) (1 + 1/r)) under the null with p = (pA + r pB) / (1 + r), and
/// √(pA (1 − pA) + pB (1 − pB) / r) under the alternative. Fleiss, Levin & Paik, "Statistical Methods for Rates and
/// Proportions" (2003), chapter 4. A one-sided test is taken to look for the sign the difference has.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PooledNull {
    /// The rate in control, 0 to 1.
    pub p_control: f64,
    /// The rate in treatment, 0 to 1.
    pub p_treatment: f64,
    /// Recipients of treatment per recipient of control, above 0.
    pub ratio: f64,
    /// The error of the test in total, between 0 and 1.
    pub alpha: f64,
    /// One-sided or two-sided.
    pub alternative: Alternative,
}

impl PooledNull {
    /// The chance that the test rejects with `n_control` recipients in control: SF((z σ0 − |d| √n) / σ1), two-sided plus
    /// SF((z σ0 + |d| √n) / σ1).
    ///
    /// # Errors
    /// [`Degenerate`] when a rate is not between 0 and 1, both are 0 or both are 1, or another number is out of range.
    pub fn power(&self, n_control: f64) -> Result<f64, Degenerate> {
        let (null, alternative, critical) = self.deviations()?;
        let reach = (self.p_treatment - self.p_control).abs() * positive("number of recipients in control", n_control)?.sqrt();
        if alternative == 0.0 {
            // Both rates are certain: the test always says the same.
            return Ok(if critical * null <= reach { 1.0 } else { 0.0 });
        }
        let tail = |reach: f64| normal_upper((critical * null - reach) / alternative);
        let other = if self.alternative == Alternative::TwoSided { tail(-reach) } else { 0.0 };
        Ok(finite("power", tail(reach) + other)?.min(1.0))
    }

    /// Recipients in control, not rounded, for `power`: ((z σ0 + z_power σ1) / d)². Rejections in the wrong tail are not
    /// counted as power.
    ///
    /// # Errors
    /// [`Degenerate`] as [`PooledNull::power`], when the rates are equal, or `power` is not between alpha and 1.
    pub fn sample_size(&self, power: f64) -> Result<f64, Degenerate> {
        let (null, alternative, critical) = self.deviations()?;
        let quantile = -normal_quantile_upper(target_power(power, self.alpha)?);
        let difference = self.p_treatment - self.p_control;
        if difference == 0.0 {
            return Err(Degenerate::new("the rates are equal, so no number of recipients shows a difference"));
        }
        let root = (critical * null + quantile * alternative) / difference;
        finite("number of recipients", root * root)
    }

    /// The deviations under the null and under the alternative, and the critical value.
    fn deviations(&self) -> Result<(f64, f64, f64), Degenerate> {
        let (control, treatment) = (rate("rate of control", self.p_control)?, rate("rate of treatment", self.p_treatment)?);
        let alpha = checked_alpha(self.alpha)?;
        let ratio = positive("ratio of treatment to control", self.ratio)?;
        // The weights of the arms, so that a huge ratio does not overflow.
        let pooled = control / (1.0 + ratio) + treatment / (1.0 + 1.0 / ratio);
        let null = (pooled * (1.0 - pooled) * (1.0 + 1.0 / ratio)).sqrt();
        if null.is_nan() || null <= 0.0 {
            return Err(Degenerate::new("both rates are 0 or both are 1, so nothing varies"));
        }
        let alternative = (control * (1.0 - control) + treatment * (1.0 - treatment) / ratio).sqrt();
        Ok((finite("deviation", null)?, finite("deviation", alternative)?, critical(self.alternative, alpha)))
    }
}

/// Cohen's h = 2 asin √pB − 2 asin √pA: the difference of two rates on the scale where their variance is one, whatever the
/// rates. Cohen, "Statistical Power Analysis for the Behavioral Sciences" (1988), chapter 6.
///
/// # Errors
/// [`Degenerate`] when a rate is not between 0 and 1.
pub fn effect_size_h(p_control: f64, p_treatment: f64) -> Result<f64, Degenerate> {
    let angle = |p: f64| 2.0 * p.sqrt().asin();
    Ok(angle(rate("rate of treatment", p_treatment)?) - angle(rate("rate of control", p_control)?))
}

/// Recipients in both arms for a two-sided test with the unpooled error, each arm rounded up:
/// nB = ⌈((z_(α/2) + z_power) / effect)² (pA (1 − pA) / k + pB (1 − pB))⌉ with pB = pA + `effect`, and in all
/// ⌈nB + k nB⌉, k being recipients of control per recipient of treatment. Chow, Shao & Wang, "Sample Size
/// Calculations in Clinical Research" (2008), chapter 4.
///
/// # Errors
/// [`Degenerate`] when a rate is not between 0 and 1, the effect is zero, nothing varies, or a number is out of range.
pub fn sample_size_unpooled(
    p_control: f64,
    effect: f64,
    control_per_treatment: f64,
    alpha: f64,
    power: f64,
) -> Result<f64, Degenerate> {
    let (control, treatment) = (rate("rate of control", p_control)?, rate("rate of treatment", p_control + effect)?);
    let per_treatment = positive("ratio of control to treatment", control_per_treatment)?;
    let quantiles = critical(Alternative::TwoSided, checked_alpha(alpha)?) - normal_quantile_upper(target_power(power, alpha)?);
    if effect == 0.0 {
        return Err(Degenerate::new("the effect is zero, so no number of recipients shows it"));
    }
    let variance = control * (1.0 - control) / per_treatment + treatment * (1.0 - treatment);
    positive("variance of the difference", variance)?;
    let n_treatment = ((quantiles / effect) * (quantiles / effect) * variance).ceil();
    finite("number of recipients", (n_treatment + n_treatment * per_treatment).ceil())
}

fn critical(alternative: Alternative, alpha: f64) -> f64 {
    normal_quantile_upper(alternative.alpha_per_tail(alpha))
}

fn rate(what: &str, value: f64) -> Result<f64, Degenerate> {
    if (0.0..=1.0).contains(&value) {
        return Ok(value);
    }
    Err(Degenerate::new(format!("the {what} is {value}; it must lie between 0 and 1")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rates(p_control: f64, p_treatment: f64, ratio: f64, alpha: f64, alternative: Alternative) -> PooledNull {
        PooledNull { p_control, p_treatment, ratio, alpha, alternative }
    }

    fn close(actual: f64, expect: f64) {
        assert!((actual / expect - 1.0).abs() < 1e-9, "{actual} is not {expect}");
    }

    /// statsmodels `power_proportions_2indep`, `samplesize_proportions_2indep_onetail` and `proportion_effectsize`;
    /// spotify-confidence `required_sample_size`.
    #[test]
    fn known_sizes() {
        close(rates(0.012, 0.0144, 1.0, 0.05, Alternative::TwoSided).power(30_000.0).unwrap(), 0.730_901_532_227_659_1);
        close(rates(0.4, 0.408, 0.5, 0.05, Alternative::Greater).power(20_000.0).unwrap(), 0.377_270_913_838_494_3);
        close(rates(0.07, 0.0651, 3.0, 0.1, Alternative::TwoSided).sample_size(0.9).unwrap(), 29_888.516_088_797_51);
        close(effect_size_h(0.005, 0.00535).unwrap(), 0.004_878_669_683_835_962);
        close(sample_size_unpooled(0.35, -0.02, 0.5, 0.01, 0.8).unwrap(), 29_612.0);
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |test: PooledNull, expect: &str| {
            let error = test.sample_size(0.8).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(rates(0.1, 0.1, 1.0, 0.05, Alternative::Less), "equal");
        check(rates(0.0, 0.0, 1.0, 0.05, Alternative::Less), "nothing varies");
        check(rates(0.1, 1.1, 1.0, 0.05, Alternative::Less), "rate of treatment");
        check(rates(0.1, 0.2, -1.0, 0.05, Alternative::Less), "ratio");
        assert!(sample_size_unpooled(0.9, 0.2, 1.0, 0.05, 0.8).is_err());
        assert_eq!(rates(0.0, 1.0, 1.0, 0.05, Alternative::TwoSided).power(100.0).unwrap(), 1.0);
    }

    proptest! {
        /// The size has the power it was solved for; two-sided there is the wrong tail on top.
        #[test]
        fn sizes_have_their_power(a in 0.0001..0.9999_f64, b in 0.0001..0.9999_f64, ratio in 0.1..10.0_f64, power in 0.3..0.999_f64) {
            prop_assume!((a - b).abs() > 1e-6);
            let one_sided = rates(a, b, ratio, 0.05, Alternative::Greater);
            let n = one_sided.sample_size(power).unwrap();
            prop_assert!((one_sided.power(n).unwrap() - power).abs() < 1e-9);
            prop_assert!(one_sided.power(n * 1.1).unwrap() > power);
            let both = rates(a, b, ratio, 0.1, Alternative::TwoSided);
            prop_assert!(both.sample_size(power).unwrap() == n && both.power(n).unwrap() >= power - 1e-9);
        }

        #[test]
        fn nothing_that_can_be_sent_breaks_it(
            a in prop_oneof![any::<f64>(), 0.0..=1.0_f64], b in prop_oneof![any::<f64>(), 0.0..=1.0_f64],
            ratio in any::<f64>(), alpha in prop_oneof![any::<f64>(), 0.0..1.0_f64], n in any::<f64>(),
        ) {
            let test = rates(a, b, ratio.abs(), alpha, Alternative::TwoSided);
            for answer in [test.power(n.abs()), test.sample_size(0.8), effect_size_h(a, b), sample_size_unpooled(a, b, ratio.abs(), alpha, 0.8)] {
                prop_assert!(answer.is_err() || answer.unwrap().is_finite());
            }
        }
    }
}
