//! Two arms: power, sample size and smallest detectable effect, one machinery for normal, t and always-valid tests.
//!
//! The statistic is effect / standard error. Where the truth is `effect`, it is normal (noncentral t) with mean (with
//! noncentrality) s = effect / SE, and power is the chance that it falls beyond the critical value c:
//! P(T > c | s) + P(T > c | −s) two-sided, P(T > c | s) one-sided. Cohen, "Statistical Power Analysis for the Behavioral
//! Sciences" (1988); Chow, Shao & Wang, "Sample Size Calculations in Clinical Research" (2008), chapter 3.

use serde::{Deserialize, Serialize};

use super::inverse::crossing;
use super::{fraction, positive, target_power};
use crate::answer::{Alternative, Degenerate, checked_alpha, finite};
use crate::effect::satterthwaite;
use crate::sequential::confidence::{multiplier, multiplier_one_sided};
use crate::tail::{noncentral_t_upper, normal_quantile_upper, normal_upper, t_quantile_upper};

/// No sample and no effect is larger.
const LARGEST: f64 = 1e200;

/// Two arms of a planned experiment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Design {
    /// Variance of one recipient's outcome in control. Zero is allowed in one arm.
    pub control_variance: f64,
    /// The same in treatment.
    pub treatment_variance: f64,
    /// Recipients of treatment per recipient of control, above 0.
    pub ratio: f64,
    /// The error of the test in total, between 0 and 1.
    pub alpha: f64,
    /// What the test looks for.
    pub alternative: Alternative,
    /// The distribution the statistic is held against.
    pub reference: Reference,
    /// What an effect is.
    pub scale: Scale,
}

/// What the statistic is held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Reference {
    /// The normal distribution.
    Normal,
    /// Student's t with nA + nB − 2 degrees of freedom. Cohen, "Statistical Power Analysis for the Behavioral Sciences" (1988).
    StudentT,
    /// t with Welch's degrees of freedom.
    WelchT,
    /// The always-valid sequence tuned to be tightest at `tuning` recipients in both arms together. The power is that of
    /// the one look at the sample size; earlier looks only add to it.
    AlwaysValid {
        /// Above zero.
        tuning: f64,
    },
}

/// What an effect is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Scale {
    /// Treatment minus control.
    Absolute,
    /// (treatment − control) / |control| with the linearised (delta-method) error, whose control part grows with
    /// (1 + lift)². The product's own lift test agrees with the absolute one, for which [`Scale::Absolute`] with
    /// effect = lift × mean is right; this scale is for tools that linearise.
    LinearisedLift {
        /// Mean of control, not zero.
        baseline_mean: f64,
    },
}

/// The test at one sample size.
struct Look {
    critical: f64,
    /// `None` where the statistic is normal.
    degrees_of_freedom: Option<f64>,
    two_sided: bool,
}

impl Look {
    /// P(T > x) where the statistic is shifted.
    fn upper(&self, x: f64, shift: f64) -> f64 {
        match self.degrees_of_freedom {
            Some(degrees_of_freedom) => noncentral_t_upper(x, degrees_of_freedom, shift),
            None => normal_upper(x - shift),
        }
    }

    fn power(&self, shift: f64) -> f64 {
        let other = if self.two_sided { self.upper(self.critical, -shift) } else { 0.0 };
        self.upper(self.critical, shift) + other
    }

    /// One minus the power, as such.
    fn miss(&self, shift: f64) -> f64 {
        let other = if self.two_sided { self.upper(self.critical, -shift) } else { 0.0 };
        self.upper(-self.critical, -shift) - other
    }

    /// Increases with the power and is zero at `target`; straight enough for a root finder on both ends of the scale.
    fn surplus(&self, shift: f64, target: f64) -> f64 {
        let surplus =
            if target < 0.5 { (self.power(shift) / target).ln() } else { ((1.0 - target) / self.miss(shift).max(0.0)).ln() };
        surplus.clamp(-1e3, 1e3)
    }
}

impl Design {
    /// The chance that the test rejects where the effect is `effect`, with `n_control` recipients in control and
    /// `ratio` times as many in treatment. A one-sided test has little power against an effect of the other sign.
    ///
    /// # Errors
    /// [`Degenerate`] when a variance is negative or both are zero, alpha is not between 0 and 1, another number is not
    /// above zero, or there are too few recipients for the degrees of freedom of t.
    pub fn power(&self, n_control: f64, effect: f64) -> Result<f64, Degenerate> {
        self.check()?;
        let effect = finite("effect", effect)?;
        let look = self.look(positive("number of recipients in control", n_control)?)?;
        let shift = finite("effect", self.towards(effect) / self.standard_error(n_control, effect))?;
        Ok(finite("power", look.power(shift))?.clamp(0.0, 1.0))
    }

    /// Recipients in control, not rounded, at which the power reaches `power`; at least the fewest with which the test can
    /// be made.
    ///
    /// # Errors
    /// [`Degenerate`] as [`Design::power`], when the effect is zero or has the sign the test does not look for, or when
    /// `power` is not between alpha and 1.
    pub fn sample_size(&self, effect: f64, power: f64) -> Result<f64, Degenerate> {
        self.check()?;
        let target = target_power(power, self.alpha)?;
        let towards = self.towards(finite("effect", effect)?);
        if towards <= 0.0 {
            let why = if effect == 0.0 { "is zero" } else { "has the sign that the test does not look for" };
            return Err(Degenerate::new(format!("the effect {why}, so no number of recipients shows it")));
        }
        let shift = |n: f64| towards / self.standard_error(n, effect);
        // The normal answer, from which the others differ little.
        let needed = self.critical_normal() + normal_quantile_upper(1.0 - target).max(0.0) + 0.1;
        let start = (needed / shift(1.0)) * (needed / shift(1.0));
        let surplus = |n: f64| self.look(n).map_or(f64::NAN, |look| look.surplus(shift(n), target));
        crossing(surplus, finite("number of recipients", start)?, self.n_control_min(), LARGEST)
            .ok_or_else(|| Degenerate::new("no number of recipients gives that power; the effect is too small to tell from zero"))
    }

    /// The smallest effect, with the sign the test looks for (positive where it looks for both), at which the power reaches
    /// `power`.
    ///
    /// # Errors
    /// [`Degenerate`] as [`Design::power`], when `power` is not between alpha and 1, or when no lift is large enough (the
    /// error of a linearised lift grows with the lift).
    pub fn minimum_detectable_effect(&self, n_control: f64, power: f64) -> Result<f64, Degenerate> {
        self.check()?;
        let target = target_power(power, self.alpha)?;
        let look = self.look(positive("number of recipients in control", n_control)?)?;
        let sign = if self.alternative == Alternative::Less { -1.0 } else { 1.0 };
        let surplus = |size: f64| look.surplus(size / self.standard_error(n_control, sign * size), target);
        let start = finite("effect", look.critical.abs().max(1.0) * self.standard_error(n_control, 0.0))?;
        let size = crossing(surplus, start, start * 1e-12, start * 1e12)
            .ok_or_else(|| Degenerate::new("no effect has that power with so few recipients"))?;
        Ok(sign * size)
    }

    /// Recipients in both arms together.
    fn total(&self, n_control: f64) -> f64 {
        n_control * (1.0 + self.ratio)
    }

    /// The fewest recipients in control for which the reference distribution exists.
    fn n_control_min(&self) -> f64 {
        match self.reference {
            Reference::Normal => 1e-200,
            Reference::StudentT => 3.0 / (1.0 + self.ratio),
            Reference::WelchT => 2.0_f64.max(2.0 / self.ratio),
            Reference::AlwaysValid { .. } => 2.0 / (1.0 + self.ratio),
        }
    }

    fn critical_normal(&self) -> f64 {
        normal_quantile_upper(self.alternative.alpha_per_tail(self.alpha))
    }

    fn look(&self, n_control: f64) -> Result<Look, Degenerate> {
        let degrees_of_freedom = match self.reference {
            Reference::Normal | Reference::AlwaysValid { .. } => None,
            Reference::StudentT => Some(self.total(n_control) - 2.0),
            Reference::WelchT => Some(self.welch_degrees_of_freedom(n_control)),
        };
        // Below one degree of freedom, which no sample has, the power of t cannot be told.
        if degrees_of_freedom.is_some_and(|degrees| degrees.is_nan() || degrees < 1.0 - 1e-12) {
            return Err(Degenerate::new(
                "there are too few recipients: a t test needs three in all, two in each arm where they vary unlike",
            ));
        }
        let critical = match (self.reference, degrees_of_freedom) {
            (Reference::AlwaysValid { tuning }, _) => {
                let units = self.total(n_control);
                match self.alternative {
                    Alternative::TwoSided => multiplier(units, self.alpha, tuning)?,
                    Alternative::Greater | Alternative::Less => multiplier_one_sided(units, self.alpha, tuning)?,
                }
            }
            (_, Some(degrees)) => t_quantile_upper(self.alternative.alpha_per_tail(self.alpha), degrees),
            _ => self.critical_normal(),
        };
        let critical = finite("critical value", critical)?;
        Ok(Look { critical, degrees_of_freedom, two_sided: self.alternative == Alternative::TwoSided })
    }

    /// Of the variances of the means.
    fn welch_degrees_of_freedom(&self, n_control: f64) -> f64 {
        let n_treatment = n_control * self.ratio;
        let (of_control, of_treatment) = (self.control_variance / n_control, self.treatment_variance / n_treatment);
        // Below two recipients an arm has no spread to estimate.
        if n_control.min(n_treatment) < 2.0 * (1.0 - 1e-12) {
            return f64::NAN;
        }
        satterthwaite(&[(of_control, n_control - 1.0), (of_treatment, n_treatment - 1.0)]).unwrap_or(f64::NAN)
    }

    fn standard_error(&self, n_control: f64, effect: f64) -> f64 {
        let (control, mean) = match self.scale {
            Scale::Absolute => (self.control_variance, 1.0),
            Scale::LinearisedLift { baseline_mean } => (self.control_variance * (1.0 + effect) * (1.0 + effect), baseline_mean),
        };
        ((control + self.treatment_variance / self.ratio) / n_control).sqrt() / mean.abs()
    }

    /// The effect, positive where the test looks for its sign.
    fn towards(&self, effect: f64) -> f64 {
        match self.alternative {
            Alternative::TwoSided => effect.abs(),
            Alternative::Greater => effect,
            Alternative::Less => -effect,
        }
    }

    fn check(&self) -> Result<(), Degenerate> {
        checked_alpha(self.alpha)?;
        fraction("share of alpha per tail", self.alternative.alpha_per_tail(self.alpha))?;
        positive("ratio of treatment to control", self.ratio)?;
        for variance in [self.control_variance, self.treatment_variance] {
            if !(variance >= 0.0 && variance.is_finite()) {
                return Err(Degenerate::new(format!("a variance is {variance}; it must be a number, zero or more")));
            }
        }
        if self.control_variance == 0.0 && self.treatment_variance == 0.0 {
            return Err(Degenerate::new("no arm varies: all recipients have the same value"));
        }
        if let Scale::LinearisedLift { baseline_mean } = self.scale {
            positive("size of the mean of control", finite("mean of control", baseline_mean)?.abs())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn design(variance: f64, alternative: Alternative, reference: Reference) -> Design {
        let scale = Scale::Absolute;
        Design {
            control_variance: variance,
            treatment_variance: variance,
            ratio: 1.0,
            alpha: 0.05,
            alternative,
            reference,
            scale,
        }
    }

    fn close(actual: f64, expect: f64, tolerance: f64) {
        assert!((actual - expect).abs() <= tolerance, "{actual} is not {expect}");
    }

    /// statsmodels `TTestIndPower`.
    #[test]
    fn student() {
        let test = design(1.0, Alternative::TwoSided, Reference::StudentT);
        close(test.power(40.0, 0.5).unwrap(), 0.598_146_901_141_099_7, 1e-9);
        close(test.sample_size(0.1, 0.8).unwrap(), 1_570.733_043_014_299, 1e-4);
        let greater = Design { alpha: 0.01, ratio: 2.0, ..design(1.0, Alternative::Greater, Reference::StudentT) };
        close(greater.minimum_detectable_effect(5000.0, 0.85).unwrap(), 0.058_250_334_955_550_54, 1e-9);
    }

    /// tea-tasting `test_mean.py::test_ratio_of_means_solve_power_*`: a sample of 100 with sum 47 and sum of squares 87.
    #[test]
    fn tea_tasting() {
        let (mean, variance) = (0.47, (87.0 - 47.0 * 0.47) / 99.0);
        let greater = design(variance, Alternative::Greater, Reference::WelchT);
        close(greater.power(5000.0, 0.1 * mean).unwrap(), 0.895_653_144_822_902, 1e-7);
        let less = design(variance, Alternative::Less, Reference::WelchT);
        close(less.minimum_detectable_effect(5000.0, 0.8).unwrap(), -0.040_270_002_689_083_17, 1e-8);
        let both = design(variance, Alternative::TwoSided, Reference::WelchT);
        close(both.minimum_detectable_effect(5000.0, 0.8).unwrap(), 0.045_374_643_754_584_89, 1e-8);
        close((2.0 * both.sample_size(0.05, 0.8).unwrap()).ceil(), 8236.0, 0.0);
    }

    /// GrowthBook `packages/shared/test/power.test.ts`: three arms share 400,000 recipients, mean 10, lifts linearised. Its
    /// sequential power treats the always-valid interval as a normal one of an error wider by k / z, so that the pin is met
    /// by that variance; the power of the always-valid test itself is lower here, and is checked after.
    #[test]
    fn growthbook() {
        let (variance, n) = (3_909.999_774_999_437_7, 400_000.0 / 3.0);
        let lift = |variance| Design {
            scale: Scale::LinearisedLift { baseline_mean: 10.0 },
            ..design(variance, Alternative::TwoSided, Reference::Normal)
        };
        close(lift(variance).power(n, 0.05).unwrap(), 0.52144, 5e-6);
        close(lift(variance).minimum_detectable_effect(n, 0.8).unwrap(), 0.07027, 5e-6);
        let k = multiplier(2.0 * n, 0.05, 5000.0).unwrap();
        let wider = (k / normal_quantile_upper(0.025)).powi(2) * variance;
        close(lift(wider).power(n, 0.05).unwrap(), 0.20596, 5e-6);
        close(lift(wider).minimum_detectable_effect(n, 0.8).unwrap(), 0.12821, 5e-6);
        // "checks power", the ninth week: 13,500 recipients an arm, revenue of mean 0.1 and variance 0.5, and a rate of 0.1.
        let weeks = |variance| Design { scale: Scale::LinearisedLift { baseline_mean: 0.1 }, ..lift(variance) };
        for (variance, lift, power, detectable) in [(0.5, 0.3, 0.85213, 0.27647), (0.09, 0.05, 0.26666, 0.10796)] {
            close(weeks(variance).power(13_500.0, lift).unwrap(), power, 5e-6);
            close(weeks(variance).minimum_detectable_effect(13_500.0, 0.8).unwrap(), detectable, 5e-6);
        }
        let valid = Design { reference: Reference::AlwaysValid { tuning: 5000.0 }, ..lift(variance) };
        let standard_error = valid.standard_error(n, 0.05);
        close(valid.power(n, 0.05).unwrap(), normal_upper(k - 0.05 / standard_error), 1e-6);
        assert!(valid.minimum_detectable_effect(n, 0.8).unwrap() < 0.12821);
    }

    /// 2 (z_(α/2) + z_β)² σ² / Δ², the closed form that leaves out the wrong tail.
    #[test]
    fn the_closed_form_of_a_normal_test() {
        let n = design(7.0, Alternative::Greater, Reference::Normal).sample_size(0.1, 0.8).unwrap();
        let quantiles = normal_quantile_upper(0.05) + normal_quantile_upper(0.2);
        close(n, 2.0 * quantiles * quantiles * 7.0 / 0.01, n * 1e-12);
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let test = design(1.0, Alternative::Greater, Reference::WelchT);
        let check = |answer: Result<f64, Degenerate>, expect: &str| {
            let error = answer.unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(test.sample_size(0.0, 0.8), "is zero");
        check(test.sample_size(-1.0, 0.8), "does not look for");
        check(test.sample_size(1.0, 0.05), "chance alone");
        check(test.sample_size(1.0, 1.0), "between 0 and 1");
        check(test.power(1.0, 1.0), "too few recipients");
        check(test.power(f64::NAN, 1.0), "recipients");
        check(Design { ratio: 0.0, ..test }.power(10.0, 1.0), "ratio");
        check(Design { control_variance: 0.0, treatment_variance: 0.0, ..test }.power(10.0, 1.0), "no arm varies");
        check(Design { alpha: 0.0, ..test }.power(10.0, 1.0), "alpha");
        let lift = Design { scale: Scale::LinearisedLift { baseline_mean: 0.01 }, reference: Reference::Normal, ..test };
        check(lift.minimum_detectable_effect(10.0, 0.8), "no effect");
        check(Design { scale: Scale::LinearisedLift { baseline_mean: 0.0 }, ..test }.power(10.0, 1.0), "mean of control");
    }

    fn references() -> impl Strategy<Value = Reference> {
        prop_oneof![
            Just(Reference::Normal),
            Just(Reference::StudentT),
            Just(Reference::WelchT),
            (1.0..1e6_f64).prop_map(|tuning| Reference::AlwaysValid { tuning }),
        ]
    }

    fn alternatives() -> impl Strategy<Value = Alternative> {
        prop_oneof![Just(Alternative::TwoSided), Just(Alternative::Greater), Just(Alternative::Less)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is solved for gives the power back, from two recipients to a billion and from tiny to huge effects.
        #[test]
        fn solving_inverts_power(
            logs in (0.7..20.7_f64, -23.0..-0.8_f64, -20.0..20.0_f64, -2.0..2.0_f64),
            share in 0.01..0.99_f64,
            reference in references(),
            alternative in alternatives(),
        ) {
            let (n, alpha, variance, ratio) = (logs.0.exp(), logs.1.exp(), logs.2.exp(), logs.3.exp());
            let test = Design { alpha, ratio, ..design(variance, alternative, reference) };
            let target = alpha + share * (1.0 - alpha);
            if let Ok(effect) = test.minimum_detectable_effect(n, target) {
                let power = test.power(n, effect).unwrap();
                prop_assert!((power / target - 1.0).abs() < 1e-6, "{:?} {} {} {}", test, effect, power, target);
                let size = test.sample_size(effect, target).unwrap();
                prop_assert!((size / n - 1.0).abs() < 1e-4 || size == test.n_control_min(), "{:?} {} {}", test, size, n);
                // More recipients, more power; a larger effect, more power.
                prop_assert!(test.power(n * 1.5, effect).unwrap() >= power * (1.0 - 1e-9));
                prop_assert!(test.power(n, effect * 1.5).unwrap() >= power * (1.0 - 1e-9));
            } else {
                prop_assert!(test.power(n, 1.0).is_err(), "{:?} {} {}", test, n, target);
            }
        }

        #[test]
        fn nothing_that_can_be_sent_breaks_it(
            numbers in prop::collection::vec(prop_oneof![any::<f64>(), -10.0..10.0_f64, 0.0..1.0_f64], 7),
            reference in references(),
            alternative in alternatives(),
        ) {
            let test = Design {
                control_variance: numbers[0],
                treatment_variance: numbers[1].abs(),
                ratio: numbers[2].abs(),
                alpha: numbers[3],
                alternative,
                reference,
                scale: if numbers[4] > 0.5 { Scale::LinearisedLift { baseline_mean: numbers[4] } } else { Scale::Absolute },
            };
            let (n, effect) = (numbers[5], numbers[6]);
            for answer in [test.power(n, effect), test.sample_size(effect, 0.8), test.minimum_detectable_effect(n, 0.8)] {
                prop_assert!(answer.is_err() || answer.unwrap().is_finite());
            }
        }
    }
}
