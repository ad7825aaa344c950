//! Power of the tests over several arms at once: differences of means (F) and of counts (chi-square).

use super::positive;
use crate::answer::{Degenerate, checked_alpha, finite};
use crate::tail::{chi_square_quantile_upper, f_quantile_upper, noncentral_chi_square_upper, noncentral_f_upper};

/// The chance that the analysis of variance of `arms` arms with `total` recipients rejects: noncentral F with k − 1 and
/// N − k degrees of freedom and noncentrality f² N beyond the central critical value. `effect_size_f` is the deviation of
/// the arms' means over the deviation within arms. Cohen, "Statistical Power Analysis for the Behavioral Sciences" (1988).
///
/// # Errors
/// [`Degenerate`] when there are fewer than two arms, not more recipients than arms, or a number is out of range.
pub fn power_anova(effect_size_f: f64, total: f64, arms: u64, alpha: f64) -> Result<f64, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    if arms < 2 {
        return Err(Degenerate::new("there are fewer than two arms"));
    }
    let between = (arms - 1) as f64;
    let within = positive("number of recipients", total)? - arms as f64;
    if within <= 0.0 {
        return Err(Degenerate::new("there are not more recipients than arms"));
    }
    let noncentrality = finite("effect size", effect_size_f * effect_size_f * total)?;
    let critical = finite("critical value", f_quantile_upper(alpha, between, within))?;
    Ok(finite("power", noncentral_f_upper(critical, between, within, noncentrality))?.clamp(0.0, 1.0))
}

/// Cohen's w = √(Σ (true − expected)² / expected) of two sets of weights, each taken relative to its sum.
/// Cohen, "Statistical Power Analysis for the Behavioral Sciences" (1988), chapter 7.
///
/// # Errors
/// [`Degenerate`] when the lengths differ, there are fewer than two arms, an expected weight is not above zero, or a true
/// one is negative.
pub fn effect_size_w(expected_weights: &[f64], true_weights: &[f64]) -> Result<f64, Degenerate> {
    if expected_weights.len() < 2 || expected_weights.len() != true_weights.len() {
        return Err(Degenerate::new("there must be at least two arms, each with an expected and a true weight"));
    }
    for weight in expected_weights {
        positive("expected weight of an arm", *weight)?;
    }
    if !true_weights.iter().all(|weight| *weight >= 0.0) {
        return Err(Degenerate::new("a true weight is negative or not a number"));
    }
    let expected_sum = positive("sum of the expected weights", expected_weights.iter().sum())?;
    let true_sum = positive("sum of the true weights", true_weights.iter().sum())?;
    let term = |(expected, truth): (&f64, &f64)| {
        let (expected, truth) = (expected / expected_sum, truth / true_sum);
        (truth - expected) * ((truth - expected) / expected)
    };
    finite("effect size", expected_weights.iter().zip(true_weights).map(term).sum::<f64>().sqrt())
}

/// The chance that the chi-square test of arm sizes rejects with `total` recipients: noncentral chi-square with k − 1
/// degrees of freedom and noncentrality N w² beyond the central critical value; w is [`effect_size_w`].
///
/// # Errors
/// [`Degenerate`] when there are fewer than two arms or a number is out of range.
pub fn power_goodness_of_fit(effect_size_w: f64, total: f64, arms: u64, alpha: f64) -> Result<f64, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    if arms < 2 {
        return Err(Degenerate::new("there are fewer than two arms"));
    }
    let degrees_of_freedom = (arms - 1) as f64;
    let noncentrality = finite("effect size", effect_size_w * effect_size_w * positive("number of recipients", total)?)?;
    let critical = finite("critical value", chi_square_quantile_upper(alpha, degrees_of_freedom))?;
    Ok(finite("power", noncentral_chi_square_upper(critical, degrees_of_freedom, noncentrality))?.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// statsmodels `FTestAnovaPower` and `GofChisquarePower`.
    #[test]
    fn known_powers() {
        let close = |actual: f64, expect: f64| assert!((actual - expect).abs() < 1e-7 * expect, "{actual} {expect}");
        close(power_anova(0.05, 6000.0, 3, 0.05).unwrap(), 0.943_905_557_279_584_1);
        let w = effect_size_w(&[2.0, 2.0], &[51.0, 49.0]).unwrap();
        close(w, 0.02);
        close(power_goodness_of_fit(w, 30_000.0, 2, 0.01).unwrap(), 0.812_802_855_871_996_9);
    }

    #[test]
    fn without_an_effect_power_is_alpha() {
        for alpha in [1e-6, 0.05, 0.5] {
            assert!((power_anova(0.0, 500.0, 4, alpha).unwrap() / alpha - 1.0).abs() < 1e-9);
            assert!((power_goodness_of_fit(0.0, 500.0, 4, alpha).unwrap() / alpha - 1.0).abs() < 1e-9);
        }
    }

    proptest! {
        #[test]
        fn nothing_that_can_be_sent_breaks_it(
            effect in prop::num::f64::ANY,
            total in prop_oneof![prop::num::f64::ANY, 0.0..1e9_f64],
            arms in 0..9_u64,
            alpha in prop_oneof![prop::num::f64::ANY, 1e-10..1.0_f64],
        ) {
            for power in [power_anova(effect, total, arms, alpha), power_goodness_of_fit(effect, total, arms, alpha)].into_iter().flatten() {
                prop_assert!((0.0..=1.0).contains(&power));
            }
            if let Ok(w) = effect_size_w(&[total, alpha], &[effect, 1.0]) {
                prop_assert!(w.is_finite());
            }
        }
    }
}
