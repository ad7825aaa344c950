//! More than two arms, each treatment against control: how many recipients, and how to share them out.

use serde::{Deserialize, Serialize};

use super::{positive, target_power};
use crate::answer::{Alternative, Degenerate, checked_alpha, finite};
use crate::tail::normal_quantile_upper;

/// Shares that sum to one up to this are taken as such.
const SUM_TOLERANCE: f64 = 1e-6;

/// Treatments that are all compared with one control, by the size of their average effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Groups {
    /// Variance of one recipient's outcome, the same in all arms; p (1 − p) for a rate p.
    pub variance: f64,
    /// The effect to be seen, absolute, averaged over the comparisons; not zero.
    pub effect: f64,
    /// The share of each arm, control first; above zero, summing to 1.
    pub allocation: Vec<f64>,
    /// The error of one two-sided test, between 0 and 1; of all together where `bonferroni`.
    pub alpha: f64,
    /// Whether alpha is divided by the number of comparisons.
    pub bonferroni: bool,
}

impl Groups {
    /// Recipients in all arms: ⌈((z_(α/2) + z_power) / (c · effect))² · variance · (Σ_i √(1/w_0 + 1/w_i))²⌉ over c
    /// comparisons. Duflo, Glennerster & Kremer, "Using randomization in development economics research: a toolkit",
    /// Handbook of Development Economics 4 (2007).
    ///
    /// # Errors
    /// [`Degenerate`] when there are fewer than two arms, the shares do not sum to 1, or a number is out of range.
    pub fn sample_size(&self, power: f64) -> Result<f64, Degenerate> {
        let shares = checked_shares(&self.allocation)?;
        if (shares.iter().sum::<f64>() - 1.0).abs() > SUM_TOLERANCE {
            return Err(Degenerate::new("the shares of the arms do not sum to 1"));
        }
        let comparisons = (shares.len() - 1) as f64;
        let alpha = checked_alpha(self.alpha)? / if self.bonferroni { comparisons } else { 1.0 };
        let quantiles = quantiles(alpha, Alternative::TwoSided, power)?;
        let roots: f64 = shares[1..].iter().map(|share| (1.0 / shares[0] + 1.0 / share).sqrt()).sum();
        let per_effect = quantiles / comparisons * roots / positive("size of the effect", self.effect.abs())?;
        finite("number of recipients", (per_effect * per_effect * positive("variance", self.variance)?).ceil())
    }
}

/// Recipients in all arms, not rounded, with which the weakest comparison of a treatment with control still has `power` to
/// see `effect`: (z_α + z_power)² / effect² · max_i (v_0 / w_0 + v_i / w_i).
///
/// `weights` are the arms' shares, control first, and need not sum to one; `variances` belong to them. `alpha` is the error
/// of one comparison: divide it by treatments and metrics before, see [`super::decision_rule`].
///
/// # Errors
/// [`Degenerate`] when the lengths differ, there are fewer than two arms, or a number is out of range.
pub fn comparison_sample_size(
    weights: &[f64],
    variances: &[f64],
    effect: f64,
    alpha: f64,
    alternative: Alternative,
    power: f64,
) -> Result<f64, Degenerate> {
    let shares = checked_shares(weights)?;
    if variances.len() != shares.len() {
        return Err(Degenerate::new("there must be one variance per arm"));
    }
    for variance in variances {
        positive("variance of an arm", *variance)?;
    }
    let per_effect = quantiles(alpha, alternative, power)? / positive("size of the effect", effect.abs())?;
    let total: f64 = shares.iter().sum();
    let of = |arm: usize| variances[arm] * total / shares[arm];
    let largest = (1..shares.len()).map(|arm| of(0) + of(arm)).fold(0.0, f64::max);
    finite("number of recipients", per_effect * per_effect * largest)
}

/// The shares, control first, with which [`comparison_sample_size`] is smallest: control gets √v_0 against √(Σ v_i) of all
/// treatments, and these share in proportion to their variances. With equal variances control is √k times a treatment.
/// Dunnett, "A multiple comparison procedure for comparing several treatments with a control", Journal of the American
/// Statistical Association 50 (1955), section 4.
///
/// # Errors
/// [`Degenerate`] when there are fewer than two arms or a variance is not above zero.
pub fn optimal_allocation(variances: &[f64]) -> Result<Vec<f64>, Degenerate> {
    checked_shares(variances)?;
    let of_treatments: f64 = variances[1..].iter().sum();
    let control = 1.0 / (1.0 + finite("variance", of_treatments / variances[0])?.sqrt());
    let mut shares: Vec<f64> = variances.iter().map(|variance| (1.0 - control) * (variance / of_treatments)).collect();
    shares[0] = control;
    Ok(shares)
}

fn checked_shares(shares: &[f64]) -> Result<&[f64], Degenerate> {
    if shares.len() < 2 {
        return Err(Degenerate::new("there are fewer than two arms"));
    }
    for share in shares {
        positive("share or variance of an arm", *share)?;
    }
    finite("sum of the arms", shares.iter().sum())?;
    Ok(shares)
}

fn quantiles(alpha: f64, alternative: Alternative, power: f64) -> Result<f64, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    Ok(normal_quantile_upper(alternative.alpha_per_tail(alpha)) - normal_quantile_upper(target_power(power, alpha)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn groups(allocation: &[f64], variance: f64, effect: f64, alpha: f64, bonferroni: bool) -> Groups {
        Groups { variance, effect, allocation: allocation.to_vec(), alpha, bonferroni }
    }

    /// spotify-confidence `SampleSize.binomial` and `.continuous`.
    #[test]
    fn known_sizes() {
        let check = |groups: Groups, power: f64, expect: f64| assert_eq!(groups.sample_size(power).unwrap(), expect);
        check(groups(&[0.5, 0.25, 0.25], 90.0, 0.6, 0.05, false), 0.8, 11_774.0);
        check(groups(&[0.2; 5], 400.0, 1.5, 0.1, true), 0.85, 19_101.0);
        check(groups(&[0.4, 0.3, 0.3], 0.011 * 0.989, -0.002, 0.01, true), 0.8, 211_209.0);
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |groups: Groups, expect: &str| {
            let error = groups.sample_size(0.8).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(groups(&[1.0], 1.0, 1.0, 0.05, false), "fewer than two");
        check(groups(&[0.5, 0.4], 1.0, 1.0, 0.05, false), "sum to 1");
        check(groups(&[0.5, 0.5], 1.0, 0.0, 0.05, false), "effect");
        check(groups(&[1.5, -0.5], 1.0, 1.0, 0.05, false), "share");
        assert!(comparison_sample_size(&[1.0, 1.0], &[1.0], 1.0, 0.05, Alternative::Less, 0.8).is_err());
    }

    proptest! {
        /// No other shares of the treatments or of control need fewer recipients.
        #[test]
        fn the_best_shares_are_the_best(variances in prop::collection::vec(0.01..100.0_f64, 2..6), nudge in 0.5..2.0_f64, at in 0..6_usize) {
            let best = optimal_allocation(&variances).unwrap();
            let size = |shares: &[f64]| comparison_sample_size(shares, &variances, 1.0, 0.05, Alternative::TwoSided, 0.8).unwrap();
            let mut other = best.clone();
            other[at % variances.len()] *= nudge;
            prop_assert!(size(&best) <= size(&other) * (1.0 + 1e-12));
        }

        #[test]
        fn nothing_that_can_be_sent_breaks_it(shares in prop::collection::vec(any::<f64>(), 0..4), alpha in any::<f64>()) {
            let shares: Vec<f64> = shares.into_iter().map(f64::abs).collect();
            if let Ok(best) = optimal_allocation(&shares) {
                prop_assert!(best.iter().all(|share| share.is_finite()));
            }
            for answer in [
                groups(&shares, 1.0, 1.0, alpha, true).sample_size(0.8),
                comparison_sample_size(&shares, &shares, 1.0, alpha, Alternative::Less, 0.8),
            ] {
                prop_assert!(answer.is_err() || answer.unwrap().is_finite());
            }
        }
    }
}
