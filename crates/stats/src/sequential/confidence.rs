//! The asymptotic confidence sequence: an interval, a p-value and an e-value that hold at every look.
//!
//! With t recipients so far, z the estimate over its standard error, and x = t ρ²,
//!
//! - two-sided: the interval is estimate ± k·SE with k² = (1 + 1/x) (ln(1 + x) − 2 ln α), and the e-value against zero is
//!   ln e = z² x / (2 (1 + x)) − ½ ln(1 + x); the interval excludes zero exactly when e > 1/α;
//! - one-sided: k² = 2 (1 + 1/x) ln(1 + √(1 + x) / (2α)).
//!
//! ρ² = (−2 ln α + ln(1 − 2 ln α)) / N makes the sequence narrowest at N recipients (2α in place of α when one-sided).
//! Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences",
//! Annals of Statistics 52 (2024), arXiv 2103.06476v7, equations 9, 134, 155 and 161. The same boundary is known as the
//! generalised always-valid interval and as the normal-mixture sequence: with r = 1/ρ², k² = (t + r)/t · ln((t + r)/(r α²)).

use serde::{Deserialize, Serialize};

use super::positive;
use crate::answer::{Alternative, Degenerate, Interval, checked_alpha, finite};

/// An estimate with what holds at every look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ConfidenceSequence {
    /// The estimate, such as a difference of means.
    pub difference: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// The tuning: the reciprocal of the root of the number of recipients' worth of prior information.
    pub rho: f64,
    /// The half width of the interval in standard errors.
    pub multiplier: f64,
    /// The natural logarithm of the e-value against zero; may fall again at later looks.
    pub log_e_value: f64,
    /// min(1, 1/e): two-sided and valid at this look whenever it was decided to look.
    pub p_value: f64,
    /// Valid at all looks together, at one minus alpha.
    pub interval: Interval,
}

/// An estimate with a bound on one side that holds at every look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OneSidedSequence {
    /// The estimate.
    pub difference: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// The tuning.
    pub rho: f64,
    /// The distance of the bound in standard errors.
    pub multiplier: f64,
    /// The alpha at which the bound is zero, with the tuning kept; at most 1.
    pub p_value: f64,
    /// A lower bound for [`Alternative::Greater`], an upper one for [`Alternative::Less`].
    pub bound: f64,
}

/// The tuning ρ of a two-sided sequence of error `alpha` that is narrowest at `tuning` recipients.
///
/// # Errors
/// [`Degenerate`] when alpha does not lie between 0 and 1 or the tuning is not positive.
pub fn rho(alpha: f64, tuning: f64) -> Result<f64, Degenerate> {
    let odds = -2.0 * checked_alpha(alpha)?.ln();
    finite("tuning", ((odds + odds.ln_1p()) / positive("tuning", tuning)?).sqrt())
}

/// The tuning ρ of a one-sided sequence, which is that of a two-sided one of twice the error.
///
/// # Errors
/// [`Degenerate`] when alpha does not lie between 0 and one half or the tuning is not positive.
pub fn rho_one_sided(alpha: f64, tuning: f64) -> Result<f64, Degenerate> {
    rho(2.0 * checked_alpha_one_sided(alpha)?, tuning)
}

/// k(t): how many standard errors the two-sided interval reaches after `units` recipients (both arms together).
///
/// # Errors
/// [`Degenerate`] where [`rho`] is, and when there are no units.
pub fn multiplier(units: f64, alpha: f64, tuning: f64) -> Result<f64, Degenerate> {
    let x = information(units, rho(alpha, tuning)?)?;
    finite("width of the interval", ((1.0 + 1.0 / x) * (x.ln_1p() - 2.0 * alpha.ln())).sqrt())
}

/// How many standard errors the one-sided bound is away after `units` recipients.
///
/// # Errors
/// [`Degenerate`] where [`rho_one_sided`] is, and when there are no units.
pub fn multiplier_one_sided(units: f64, alpha: f64, tuning: f64) -> Result<f64, Degenerate> {
    let x = information(units, rho_one_sided(alpha, tuning)?)?;
    let half_odds = (1.0 + x).sqrt() / (2.0 * alpha);
    finite("distance of the bound", (2.0 * (1.0 + 1.0 / x) * half_odds.ln_1p()).sqrt())
}

/// ln e against an estimate of zero, `statistic` being the estimate over its standard error after `units` recipients.
///
/// # Errors
/// [`Degenerate`] when the statistic is not a number, rho is not positive, or there are no units.
pub fn log_e_value(statistic: f64, units: f64, rho: f64) -> Result<f64, Degenerate> {
    let x = information(units, positive("tuning", rho)?)?;
    finite("e-value", 0.5 * statistic * statistic * (x / (1.0 + x)) - 0.5 * x.ln_1p())
}

impl ConfidenceSequence {
    /// At a look after `units` recipients (both arms together, never messages), for a sequence that is narrowest at `tuning`.
    ///
    /// # Errors
    /// [`Degenerate`] when the estimate is not a number, its standard error is not positive, there are no units, alpha does not
    /// lie between 0 and 1, or the tuning is not positive.
    pub fn new(difference: f64, standard_error: f64, units: f64, alpha: f64, tuning: f64) -> Result<Self, Degenerate> {
        let statistic = statistic(difference, standard_error)?;
        let rho = rho(alpha, tuning)?;
        let multiplier = multiplier(units, alpha, tuning)?;
        let log_e_value = log_e_value(statistic, units, rho)?;
        let reach = multiplier * standard_error;
        let interval = Interval::closed(finite("interval", difference - reach)?, finite("interval", difference + reach)?);
        let p_value = (-log_e_value).exp().min(1.0);
        Ok(Self { difference, standard_error, rho, multiplier, log_e_value, p_value, interval })
    }
}

impl OneSidedSequence {
    /// At a look after `units` recipients, for a sequence that is narrowest at `tuning`.
    ///
    /// # Errors
    /// [`Degenerate`] where [`ConfidenceSequence::new`] is, when alpha is one half or more, and for a two-sided alternative.
    pub fn new(
        difference: f64,
        standard_error: f64,
        units: f64,
        alpha: f64,
        tuning: f64,
        alternative: Alternative,
    ) -> Result<Self, Degenerate> {
        let statistic = statistic(difference, standard_error)?;
        let rho = rho_one_sided(alpha, tuning)?;
        let multiplier = multiplier_one_sided(units, alpha, tuning)?;
        let towards = match alternative {
            Alternative::Greater => 1.0,
            Alternative::Less => -1.0,
            Alternative::TwoSided => return Err(Degenerate::new("a one-sided bound needs a side: greater or less")),
        };
        let bound = finite("bound", difference - towards * multiplier * standard_error)?;
        let p_value = p_value_one_sided((towards * statistic).max(0.0), information(units, rho)?);
        Ok(Self { difference, standard_error, rho, multiplier, p_value, bound })
    }
}

/// The alpha at which k·SE equals the estimate: k² is solved for alpha.
fn p_value_one_sided(statistic: f64, x: f64) -> f64 {
    let exponent = 0.5 * statistic * statistic * (x / (1.0 + x));
    let p_value = 0.5 * (1.0 + x).sqrt() / exponent.exp_m1();
    // Where the estimate is zero or on the other side, the denominator is zero.
    if p_value.is_finite() { p_value.min(1.0) } else { 1.0 }
}

/// x = t ρ², positive and finite.
fn information(units: f64, rho: f64) -> Result<f64, Degenerate> {
    let x = positive("number of recipients", units)? * rho * rho;
    if x.is_finite() && x >= f64::MIN_POSITIVE {
        return Ok(x);
    }
    Err(Degenerate::new("the number of recipients and the tuning are too far apart to be compared"))
}

fn statistic(difference: f64, standard_error: f64) -> Result<f64, Degenerate> {
    finite("statistic", finite("difference", difference)? / positive("standard error", standard_error)?)
}

pub(super) fn checked_alpha_one_sided(alpha: f64) -> Result<f64, Degenerate> {
    if checked_alpha(alpha)? < 0.5 {
        return Ok(alpha);
    }
    Err(Degenerate::new(format!("alpha is {alpha}; for a one-sided bound it must be less than one half")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(actual: f64, expect: f64, tolerance: f64) {
        assert!((actual - expect).abs() <= tolerance * expect.abs(), "{actual} is not {expect}");
    }

    /// Own evaluations of the formula with mpmath.
    #[test]
    fn known_multipliers() {
        let check = |units: f64, tuning: f64, expect: f64| near(multiplier(units, 0.05, tuning).unwrap(), expect, 1e-10);
        check(5_000.0, 5_000.0, 3.035_208_990_376_253_4);
        check(1_000.0, 5_000.0, 3.363_887_725_782_781);
        check(50_000.0, 5_000.0, 3.241_723_145_4);
        check(5_000.0, 10_000.0, 3.083_568_714_368_350_3);
        check(6_461.0, 1_000.0, 3.184_651_144_560_519);
        for far in [1e-300, 1e300] {
            assert!(multiplier(far, 0.05, 5_000.0).is_ok() && multiplier_one_sided(far, 0.05, 5_000.0).is_ok());
        }
        let rho = rho(0.05, 10_000.0).unwrap();
        near(1.0 / (rho * rho), 1_260.056_097_925_634, 1e-12);
        // The fixed ρ² = 10^-2.8 of Maharaj et al. (arXiv 2302.10108) is a tuning for about 5,000 recipients.
        near(self::rho(0.05, 5_007.375_032_896_598).unwrap(), 10_f64.powf(-1.4), 1e-12);
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |difference, standard_error, units, alpha, tuning, expect: &str| {
            let error = ConfidenceSequence::new(difference, standard_error, units, alpha, tuning).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(f64::NAN, 1.0, 10.0, 0.05, 10.0, "difference");
        check(1.0, 0.0, 10.0, 0.05, 10.0, "standard error is 0");
        check(1.0, f64::INFINITY, 10.0, 0.05, 10.0, "standard error is inf");
        check(1.0, 1.0, 0.0, 0.05, 10.0, "number of recipients is 0");
        check(1.0, 1.0, 10.0, 1.0, 10.0, "alpha is 1");
        check(1.0, 1.0, 10.0, 0.05, -1.0, "tuning is -1");
        check(1.0, 1.0, 1e-300, 0.05, 1e300, "too far apart");
        let one = |alpha, alternative| OneSidedSequence::new(1.0, 1.0, 10.0, alpha, 10.0, alternative).unwrap_err().why;
        assert!(one(0.5, Alternative::Greater).contains("less than one half"));
        assert!(one(0.05, Alternative::TwoSided).contains("needs a side"));
    }

    #[test]
    fn a_sequence_is_narrowest_where_it_is_tuned() {
        let at = |tuning: f64| multiplier(10_000.0, 0.05, tuning).unwrap();
        for tuning in [100.0, 5_000.0, 9_000.0, 11_000.0, 20_000.0, 1e6] {
            assert!(at(10_000.0) < at(tuning), "{tuning}");
        }
    }

    proptest! {
        /// The interval is the test inverted, and the one-sided bound is its p-value inverted.
        #[test]
        fn intervals_invert_their_tests(
            statistic in -12.0..12.0_f64, units in 10.0..1e7_f64, tuning in 10.0..1e6_f64, alpha in 0.001..0.4_f64,
        ) {
            let two = ConfidenceSequence::new(statistic * 0.3, 0.3, units, alpha, tuning).unwrap();
            prop_assume!((two.p_value / alpha - 1.0).abs() > 1e-9);
            prop_assert_eq!(two.p_value > alpha, two.interval.contains(0.0));
            let greater = OneSidedSequence::new(statistic, 1.0, units, alpha, tuning, Alternative::Greater).unwrap();
            let less = OneSidedSequence::new(-statistic, 1.0, units, alpha, tuning, Alternative::Less).unwrap();
            prop_assert_eq!(greater.p_value, less.p_value);
            prop_assert_eq!(greater.bound, -less.bound);
            prop_assume!((greater.p_value / alpha - 1.0).abs() > 1e-9);
            prop_assert_eq!(greater.p_value < alpha, greater.bound > 0.0);
        }

        /// Whatever comes in, no answer holds NaN or an infinity.
        #[test]
        fn answers_are_numbers(
            difference in any::<f64>(), error in any::<f64>(), units in any::<f64>(), alpha in any::<f64>(), tuning in any::<f64>(),
        ) {
            for (error, alpha) in [(error, alpha), (error.abs(), 0.05)] {
                if let Ok(answer) = ConfidenceSequence::new(difference, error, units.abs(), alpha, tuning.abs()) {
                    prop_assert!(answer.log_e_value.is_finite() && answer.multiplier.is_finite());
                    prop_assert!((0.0..=1.0).contains(&answer.p_value));
                    prop_assert!(answer.interval.lower.unwrap().is_finite() && answer.interval.upper.unwrap().is_finite());
                }
                let one = OneSidedSequence::new(difference, error, units.abs(), alpha, tuning.abs(), Alternative::Less);
                if let Ok(answer) = one {
                    prop_assert!(answer.bound.is_finite() && (0.0..=1.0).contains(&answer.p_value));
                }
            }
        }
    }
}
