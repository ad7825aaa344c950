//! Differences and ratios of two proportions by the normal approximation.

use serde::{Deserialize, Serialize};

use super::{Pooled, Proportion, rate};
use crate::answer::{Alternative, Degenerate, Interval, checked_alpha, finite, finite_interval};
use crate::effect::Effect;
use crate::means::relative::log_interval;
use crate::tail::{normal_quantile_upper, normal_upper};

/// The difference of proportions, variant minus control, with a two-sided test and interval.
///
/// With p = x/n per arm, the standard error is √(p_A(1 − p_A)/n_A + p_B(1 − p_B)/n_B), unpooled and without continuity
/// correction, for the test and the interval alike, so that they cannot disagree. Wald's interval; Fleiss, Levin & Paik,
/// *Statistical Methods for Rates and Proportions*, chapter 3.
///
/// # Errors
/// [`Degenerate`] when an arm is empty, has more successes than trials, or neither varies.
pub fn two_proportion(control: Proportion, variant: Proportion, alpha: f64) -> Result<Effect, Degenerate> {
    two_proportion_test(control, variant, Alternative::TwoSided, alpha)
}

/// As [`two_proportion`] against any alternative; the interval matches it.
///
/// # Errors
/// As [`two_proportion`].
pub fn two_proportion_test(
    control: Proportion,
    variant: Proportion,
    alternative: Alternative,
    alpha: f64,
) -> Result<Effect, Degenerate> {
    let (rate_control, variance_control) = rate("control", control)?;
    let (rate_variant, variance_variant) = rate("the variant", variant)?;
    let standard_error = (variance_control + variance_variant).sqrt();
    if standard_error <= 0.0 {
        return Err(Degenerate::new("neither arm varies: in each, all or none succeeded"));
    }
    Effect::new(rate_variant - rate_control, standard_error, None, alternative, alpha)
}

/// A difference with its test, without an interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ScoreTest {
    /// Variant minus control.
    pub difference: f64,
    /// The standard error under the null hypothesis.
    pub standard_error: f64,
    /// Difference over standard error.
    pub statistic: f64,
    /// Of the alternative that was asked for.
    pub p_value: f64,
}

/// The z test of two proportions with the variance that holds if they are equal: z = (p_B − p_A) / √(p (1 − p) (1/n_A +
/// 1/n_B)), p = (x_A + x_B)/(n_A + n_B), without continuity correction. Squared it is Pearson's chi-square. It has no
/// interval of its own; [`super::score`] gives the one that agrees with tests of this kind. Fleiss, Levin & Paik,
/// *Statistical Methods for Rates and Proportions*, chapter 3.
///
/// # Errors
/// [`Degenerate`] when an arm is empty or has more successes than recipients, or when all or none succeeded in both arms.
pub fn pooled_z(control: Proportion, variant: Proportion, alternative: Alternative) -> Result<ScoreTest, Degenerate> {
    let (standard_error, _) = pooled_standard_error(control, variant)?;
    let difference = rate("the variant", variant)?.0 - rate("control", control)?.0;
    let statistic = difference / standard_error;
    Ok(ScoreTest { difference, standard_error, statistic, p_value: alternative.p_value(statistic, normal_upper) })
}

/// The pooled standard error of a difference, and the pooled proportion.
fn pooled_standard_error(control: Proportion, variant: Proportion) -> Result<(f64, f64), Degenerate> {
    let pooled = Pooled::new(control, variant)?;
    let variance = pooled.variance() * (1.0 / control.count as f64 + 1.0 / variant.count as f64);
    if variance <= 0.0 {
        return Err(Degenerate::new("in both arms together, all or none succeeded"));
    }
    Ok((variance.sqrt(), pooled.successes / pooled.count))
}

/// As [`two_proportion_test`] (z = (p_B − p_A) / √(p_A(1 − p_A)/n_A + p_B(1 − p_B)/n_B)), but with the two-sided Wald
/// interval whatever the alternative. `alpha` lies between 0 and 1. Wald, *Transactions of the AMS* 54 (1943).
///
/// # Errors
/// [`Degenerate`] when an arm is empty or has more successes than recipients, neither varies, or alpha does not lie between
/// 0 and 1.
pub fn unpooled_z(control: Proportion, variant: Proportion, alternative: Alternative, alpha: f64) -> Result<Effect, Degenerate> {
    let two_sided = two_proportion_test(control, variant, Alternative::TwoSided, alpha)?;
    Ok(Effect { p_value: alternative.p_value(two_sided.statistic, normal_upper), ..two_sided })
}

/// A difference and a ratio of proportions, both with the correction for continuity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Corrected {
    /// Variant minus control.
    pub difference: f64,
    /// Of the difference, clipped to −1 to 1.
    pub interval: Interval,
    /// Of the alternative that was asked for.
    pub p_value: f64,
    /// p_B/p_A − 1, with its interval; `None` where nobody in control succeeded.
    pub relative: Option<(f64, Interval)>,
}

/// The pooled z test with Yates' correction c = (1/n_A + 1/n_B)/2, which moves the difference towards zero: two-sided p = 2
/// SF(max(|d| − c, 0)/s) with the pooled standard error s, one-sided likewise where d has the sign of the alternative and
/// uncorrected where it has not. Interval d ∓ (z s + c), clipped to −1 to 1; relative (p_B/p_A) exp(∓(z s/p + c/p_A)) − 1
/// with the pooled p. The side that a one-sided alternative leaves open ends where proportions end: differences at −1 and
/// 1, ratios at zero. `alpha` lies between 0 and 1. Yates, "Contingency tables involving small numbers and the χ² test",
/// Supplement to the JRSS 1 (1934).
///
/// # Errors
/// [`Degenerate`] as [`pooled_z`], and when alpha does not lie between 0 and 1.
pub fn pooled_z_corrected(
    control: Proportion,
    variant: Proportion,
    alternative: Alternative,
    alpha: f64,
) -> Result<Corrected, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    let (standard_error, pooled) = pooled_standard_error(control, variant)?;
    let ((rate_control, _), (rate_variant, _)) = (rate("control", control)?, rate("the variant", variant)?);
    let correction = 0.5 * (1.0 / control.count as f64 + 1.0 / variant.count as f64);
    let difference = rate_variant - rate_control;
    // Towards zero, not beyond, and one-sided only where the difference speaks for the alternative.
    let moved = match alternative {
        Alternative::TwoSided => (difference.abs() - correction).max(0.0),
        Alternative::Greater => (difference - correction).max(difference.min(0.0)),
        Alternative::Less => (difference + correction).min(difference.max(0.0)),
    };
    let reach = normal_quantile_upper(alternative.alpha_per_tail(alpha)) * standard_error;
    let Interval { lower, upper } = alternative.interval(difference, reach + correction);
    let clipped = |end: f64| end.clamp(-1.0, 1.0);
    let relative = (rate_control > 0.0)
        .then(|| {
            let ratio = rate_variant / rate_control;
            let Interval { lower, upper } = log_interval(ratio, reach / pooled + correction / rate_control, alternative);
            Ok::<_, Degenerate>((ratio - 1.0, finite_interval(Interval { lower: lower.or(Some(-1.0)), upper })?))
        })
        .transpose()?;
    Ok(Corrected {
        difference,
        interval: Interval::closed(lower.map_or(-1.0, clipped), upper.map_or(1.0, clipped)),
        p_value: alternative.p_value(moved / standard_error, normal_upper),
        relative,
    })
}

/// A ratio of proportions less one, tested on the logarithmic scale.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RiskRatio {
    /// p_B/p_A − 1, a fraction.
    pub relative: f64,
    /// The standard error of the logarithm of the ratio.
    pub log_standard_error: f64,
    /// The logarithm of the ratio over its standard error.
    pub statistic: f64,
    /// Of the alternative that was asked for.
    pub p_value: f64,
    /// Of `relative`, two-sided.
    pub interval: Interval,
}

/// The ratio of proportions r = p_B/p_A by its logarithm: s² = 1/x_A − 1/n_A + 1/x_B − 1/n_B, z = ln(r)/s, two-sided
/// interval r exp(∓ z s) − 1. `alpha` lies between 0 and 1. Katz, Baptista, Azen & Pike, "Obtaining confidence intervals for
/// the risk ratio in cohort studies", Biometrics 34 (1978).
///
/// # Errors
/// [`Degenerate`] when an arm is empty, has more successes than recipients or no success, when all succeeded in both, and
/// when alpha does not lie between 0 and 1.
pub fn risk_ratio(
    control: Proportion,
    variant: Proportion,
    alternative: Alternative,
    alpha: f64,
) -> Result<RiskRatio, Degenerate> {
    let log_variance = |name: &str, arm: Proportion| {
        let (rate, _) = rate(name, arm)?;
        if arm.successes == 0 {
            return Err(Degenerate::new(format!("nobody in {name} succeeded, and zero has no logarithm")));
        }
        Ok((rate, (arm.count - arm.successes) as f64 / (arm.count as f64 * arm.successes as f64)))
    };
    let (rate_control, variance_control) = log_variance("control", control)?;
    let (rate_variant, variance_variant) = log_variance("the variant", variant)?;
    let log_standard_error = (variance_control + variance_variant).sqrt();
    let ratio = finite("ratio", rate_variant / rate_control)?;
    if log_standard_error <= 0.0 {
        return Err(Degenerate::new("neither arm varies: in each, all succeeded"));
    }
    // Through the difference where the proportions are close, so that the logarithm keeps its digits.
    let difference = (rate_variant - rate_control) / rate_control;
    let log_ratio = if difference.abs() < 0.5 { difference.ln_1p() } else { ratio.ln() };
    let test = Effect::new(log_ratio, log_standard_error, None, Alternative::TwoSided, alpha)?;
    let reach = normal_quantile_upper(alpha / 2.0) * log_standard_error;
    Ok(RiskRatio {
        relative: difference,
        log_standard_error,
        statistic: test.statistic,
        p_value: alternative.p_value(test.statistic, normal_upper),
        interval: finite_interval(log_interval(ratio, reach, Alternative::TwoSided))?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn arm((count, successes): (u64, u64)) -> Proportion {
        Proportion { count, successes }
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |control, variant, pooled: Option<&str>, ratio: &str| {
            let (control, variant) = (arm(control), arm(variant));
            match (pooled, pooled_z(control, variant, Alternative::TwoSided)) {
                (None, Ok(_)) => {}
                (Some(expect), Err(error)) => assert!(error.why.contains(expect), "{error}"),
                other => panic!("{other:?}"),
            }
            let error = risk_ratio(control, variant, Alternative::TwoSided, 0.05).unwrap_err();
            assert!(error.why.contains(ratio), "{error}");
        };
        check((0, 0), (9, 3), Some("control has no recipient"), "control has no recipient");
        check((9, 3), (9, 10), Some("more successes"), "more successes");
        check((9, 0), (9, 0), Some("all or none"), "nobody in control");
        check((9, 9), (9, 9), Some("all or none"), "all succeeded");
        check((9, 2), (9, 0), None, "nobody in the variant");
        let corrected = pooled_z_corrected(arm((90, 0)), arm((90, 9)), Alternative::TwoSided, 0.05).unwrap();
        assert_eq!(corrected.relative, None);
        assert!(pooled_z_corrected(arm((90, 1)), arm((90, 9)), Alternative::TwoSided, 2.0).is_err());
    }

    #[test]
    fn the_correction_makes_it_harder() {
        let (control, variant) = (arm((50, 10)), arm((60, 20)));
        for alternative in [Alternative::TwoSided, Alternative::Greater] {
            let plain = pooled_z(control, variant, alternative).unwrap();
            let corrected = pooled_z_corrected(control, variant, alternative, 0.05).unwrap();
            assert!(corrected.p_value > plain.p_value);
        }
        let greater = pooled_z_corrected(control, variant, Alternative::Greater, 0.05).unwrap();
        let less = pooled_z_corrected(control, variant, Alternative::Less, 0.05).unwrap();
        let plain = pooled_z(control, variant, Alternative::Less).unwrap();
        assert_eq!(less.p_value, plain.p_value);
        assert_eq!((greater.interval.upper, less.interval.lower), (Some(1.0), Some(-1.0)));
        assert_eq!(less.relative.unwrap().1.lower, Some(-1.0));
        let equal = pooled_z_corrected(control, control, Alternative::TwoSided, 0.05).unwrap();
        assert_eq!(equal.p_value, 1.0);
        let few = pooled_z_corrected(arm((2, 0)), arm((2, 2)), Alternative::TwoSided, 0.05).unwrap();
        assert_eq!(few.interval.upper, Some(1.0));
    }

    proptest! {
        /// Calling the arms by each other's names turns every sign; calling successes failures turns the difference.
        #[test]
        fn labels_do_not_matter(n in (1..100_000_u64, 1..100_000_u64), share in (0.0..=1.0_f64, 0.0..=1.0_f64), alpha in 0.001..0.5_f64) {
            let successes = |n: u64, share: f64| ((n as f64 * share) as u64).min(n);
            let (a, b) = (arm((n.0, successes(n.0, share.0))), arm((n.1, successes(n.1, share.1))));
            let turned = |p: Proportion| arm((p.count, p.count - p.successes));
            if let Ok(test) = pooled_z(a, b, Alternative::Greater) {
                let swapped = pooled_z(b, a, Alternative::Less).unwrap();
                let failures = pooled_z(turned(a), turned(b), Alternative::Less).unwrap();
                for other in [swapped, failures] {
                    prop_assert!((test.statistic + other.statistic).abs() <= 1e-9 * (1.0 + test.statistic.abs()));
                    prop_assert!((test.p_value - other.p_value).abs() <= 1e-9);
                }
            }
            if let Ok(test) = unpooled_z(a, b, Alternative::TwoSided, alpha) {
                prop_assume!((test.p_value / alpha - 1.0).abs() > 1e-6);
                prop_assert_eq!(test.p_value < alpha, !test.interval.contains(0.0));
            }
            if let Ok(ratio) = risk_ratio(a, b, Alternative::TwoSided, alpha) {
                prop_assume!((ratio.p_value / alpha - 1.0).abs() > 1e-6);
                prop_assert_eq!(ratio.p_value < alpha, !ratio.interval.contains(0.0));
                prop_assert!(ratio.interval.contains(ratio.relative));
            }
        }
    }

    fn plain(control: (u64, u64), variant: (u64, u64)) -> Result<Effect, Degenerate> {
        let arm = |(count, successes)| Proportion { count, successes };
        two_proportion(arm(control), arm(variant), 0.05)
    }

    #[test]
    fn a_plain_difference_says_why_not() {
        let check = |control, variant, expect: &str| {
            let error = plain(control, variant).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check((0, 0), (10, 5), "control has no recipient");
        check((10, 5), (10, 11), "the variant has more successes");
        check((10, 0), (10, 10), "neither arm varies");
    }

    #[test]
    fn tiny_p_values_are_not_zero() {
        // A p-value of 1e-206, far below what one minus a probability could show.
        let effect = plain((10_000, 1_000), (10_000, 2_900)).unwrap();
        assert!(effect.p_value > 0.0 && effect.p_value < 1e-200, "{effect:?}");
    }
}
