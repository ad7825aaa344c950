//! The anytime-valid t test of a regression coefficient, such as that of an arm beside covariates.
//!
//! With t the usual t statistic on ν degrees of freedom, n observations, g the tuning and r = g/(g + n),
//! ln e = ½ ln r + ½ (ν + 1) (ln(1 + t²/ν) − ln(1 + r t²/ν)); p = min(1, 1/e). Unlike the asymptotic sequence it is exact for
//! normal errors at every sample size.
//! Lindon, Ham, Tingley & Bojinov, "Anytime-valid linear models and regression adjusted causal inference in randomized
//! experiments", arXiv 2210.08589.

use serde::{Deserialize, Serialize};

use super::positive;
use crate::answer::{Degenerate, Interval, checked_alpha, finite};

/// What the test says at a look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AnytimeT {
    /// ln e, the evidence against a coefficient of zero.
    pub log_e_value: f64,
    /// min(1, 1/e).
    pub p_value: f64,
    /// Of the coefficient, valid at all looks together; open while there are too few observations for any end.
    pub interval: Interval,
}

/// The test of one coefficient at a look: `degrees_of_freedom` are those of the residuals, `observations` all rows so far,
/// and `tuning` is g in observations; 1/ρ² of [`confidence::rho`](super::confidence::rho) makes it narrowest near the number
/// of observations that rho is tuned for.
///
/// # Errors
/// [`Degenerate`] when a number is not finite, or the standard error, the degrees of freedom, the observations or the tuning are
/// not positive, or alpha does not lie between 0 and 1.
pub fn anytime_t(
    coefficient: f64,
    standard_error: f64,
    degrees_of_freedom: f64,
    observations: f64,
    tuning: f64,
    alpha: f64,
) -> Result<AnytimeT, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    let error = positive("standard error", standard_error)?;
    let df = positive("number of degrees of freedom", degrees_of_freedom)?;
    let (g, n) = (positive("tuning", tuning)?, positive("number of observations", observations)?);
    let statistic = finite("statistic", finite("coefficient", coefficient)? / error)?;
    let r = g / (g + n);
    // u = t²/ν; the difference of the logarithms is ln(1 + (1 − r) u / (1 + r u)), which stays finite for every u.
    let u = (statistic / df.sqrt()) * (statistic / df.sqrt());
    let gain = if u.is_finite() { ((1.0 - r) * u / (1.0 + r * u)).ln_1p() } else { -r.ln() };
    let log_e_value = finite("e-value", 0.5 * r.ln() + 0.5 * (df + 1.0) * gain)?;
    // e = 1/α solved for u: (1 + u) / (1 + r u) = q.
    let log_q = (-2.0 * alpha.ln() - r.ln()) / (df + 1.0);
    let q_less_one = log_q.exp_m1();
    let room = 1.0 - r - r * q_less_one;
    let interval = if room > 0.0 && room.is_finite() {
        let reach = error * (df * q_less_one / room).sqrt();
        Interval::closed(finite("interval", coefficient - reach)?, finite("interval", coefficient + reach)?)
    } else {
        Interval { lower: None, upper: None }
    };
    Ok(AnytimeT { log_e_value, p_value: (-log_e_value).exp().min(1.0), interval })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Own evaluation of the formula.
    #[test]
    fn a_known_e_value() {
        let test = anytime_t(2.5, 1.0, 100.0, 102.0, 1.0, 0.05).unwrap();
        assert!((test.log_e_value - 0.713_544_997_060_955_8).abs() < 1e-13, "{test:?}");
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |test: Result<AnytimeT, Degenerate>, expect: &str| assert!(test.unwrap_err().why.contains(expect));
        check(anytime_t(1.0, 0.0, 10.0, 12.0, 1.0, 0.05), "standard error is 0");
        check(anytime_t(1.0, 1.0, 0.0, 12.0, 1.0, 0.05), "degrees of freedom is 0");
        check(anytime_t(1.0, 1.0, 10.0, -1.0, 1.0, 0.05), "observations is -1");
        check(anytime_t(1.0, 1.0, 10.0, 12.0, 0.0, 0.05), "tuning is 0");
        check(anytime_t(f64::INFINITY, 1.0, 10.0, 12.0, 1.0, 0.05), "coefficient");
        check(anytime_t(1.0, 1.0, 10.0, 12.0, 1.0, 0.0), "alpha");
        let early = anytime_t(1.0, 1.0, 1.0, 3.0, 1.0, 0.05).unwrap();
        assert_eq!(early.interval, Interval { lower: None, upper: None }, "three observations exclude nothing");
    }

    proptest! {
        #[test]
        fn the_interval_inverts_the_test(
            statistic in -9.0..9.0_f64, df in 1.0..1e5_f64, tuning in 0.1..1e4_f64, alpha in 0.001..0.5_f64,
        ) {
            let test = anytime_t(3.0 * statistic, 3.0, df, df + 2.0, tuning, alpha).unwrap();
            prop_assume!((test.p_value / alpha - 1.0).abs() > 1e-9);
            prop_assert_eq!(test.p_value > alpha, test.interval.contains(0.0));
        }

        #[test]
        fn answers_are_numbers(a in any::<f64>(), b in any::<f64>(), c in any::<f64>(), n in any::<f64>(), g in any::<f64>()) {
            for alpha in [1e-300, 0.05] {
                if let Ok(test) = anytime_t(a, b.abs(), c.abs(), n.abs(), g.abs(), alpha) {
                    prop_assert!(test.log_e_value.is_finite() && test.p_value >= 0.0 && test.p_value <= 1.0);
                    let ends = [test.interval.lower, test.interval.upper];
                    prop_assert!(ends.into_iter().flatten().all(f64::is_finite));
                }
            }
        }
    }
}
