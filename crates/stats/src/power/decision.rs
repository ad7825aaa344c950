//! A decision over several metrics: which error each test gets, and which power each must be sized for.
//!
//! Ship a variant when at least one success metric is shown to be better and every guardrail is shown not to be worse.
//! Only the success metrics need a correction, because any one of them suffices; the guardrails must all pass, which makes
//! a false "all passed" rarer with each. The power is the other way round: all guardrails must be shown, so each is sized
//! for a smaller chance of missing. Schultzberg, Ankargren & Frånberg, "Risk-aware product decisions in A/B tests with
//! multiple metrics", arXiv 2402.11609 (2024).

use serde::{Deserialize, Serialize};

use super::target_power;
use crate::answer::{Degenerate, checked_alpha};

/// What each test of a decision gets.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DecisionRule {
    /// The error of each success metric's test: α / (treatments · success metrics).
    pub success_alpha: f64,
    /// The error of each guardrail's test: α / treatments.
    pub guardrail_alpha: f64,
    /// The power each test is sized for: 1 − β / (guardrails + 1).
    pub power_each: f64,
}

/// Shares out the error `alpha` and the power of one decision among its tests. By Bonferroni's inequality the chance of
/// shipping a variant that improves nothing is at most alpha, and the chance of shipping one that improves a success metric
/// by the effect it was sized for, and harms no guardrail, is at least `power`.
///
/// # Errors
/// [`Degenerate`] when there is no treatment or no success metric, or `power` is not between alpha and 1.
pub fn decision_rule(
    alpha: f64,
    power: f64,
    treatments: u32,
    success_metrics: u32,
    guardrails: u32,
) -> Result<DecisionRule, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    let power = target_power(power, alpha)?;
    if treatments == 0 || success_metrics == 0 {
        return Err(Degenerate::new("a decision needs at least one treatment and one success metric"));
    }
    let guardrail_alpha = alpha / f64::from(treatments);
    Ok(DecisionRule {
        success_alpha: guardrail_alpha / f64::from(success_metrics),
        guardrail_alpha,
        power_each: 1.0 - (1.0 - power) / (f64::from(guardrails) + 1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Alternative;
    use crate::power::{comparison_sample_size, optimal_allocation};

    fn near(actual: f64, expect: f64) {
        assert!((actual / expect - 1.0).abs() < 1e-3, "{actual} is not {expect}");
    }

    /// spotify-confidence `test_freqsamplesizecalculator.py::test_sample_size_1`: two success metrics, two treatments.
    #[test]
    fn success_metrics_share_alpha() {
        let rule = decision_rule(0.01, 0.8, 2, 2, 0).unwrap();
        let size = |weights: &[f64], effect: f64, variances: &[f64]| {
            comparison_sample_size(weights, variances, effect, rule.success_alpha, Alternative::Greater, rule.power_each).unwrap()
        };
        let (p, effect) = (0.7_f64, 0.7 * 0.00617);
        let treated = (p + effect) * (1.0 - p - effect);
        near(size(&[5000.0, 2000.0, 3000.0], effect, &[0.21, treated, treated]), 1_042_868.0);
        near(size(&[5000.0, 2000.0, 3000.0], 4.56 * 0.01, &[2.13; 3]), 95_459.0);
        // Its "optimal" weights follow the deviations of one comparison; the best for both comparisons need fewer.
        let kappa = (0.21 / treated).sqrt();
        let theirs = size(&[kappa, 1.0, 1.0], effect, &[0.21, treated, treated]);
        near(theirs, 894_863.0);
        let best = optimal_allocation(&[0.21, treated, treated]).unwrap();
        assert!((best.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(size(&best, effect, &[0.21, treated, treated]) < 0.98 * theirs);
    }

    /// The same file's `test_sample_size_4`: a guardrail beside a success metric.
    #[test]
    fn guardrails_share_the_missing_power() {
        let rule = decision_rule(0.01, 0.8, 1, 1, 1).unwrap();
        let size = |effect: f64, variance: f64, alpha: f64| {
            comparison_sample_size(&[5.0, 2.0], &[variance; 2], effect, alpha, Alternative::Greater, rule.power_each).unwrap()
        };
        near(size(0.7 * 0.00617, 0.21, rule.guardrail_alpha), 718_056.0);
        near(size(4.56 * 0.01, 2.13, rule.success_alpha), 65_337.0);
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        assert!(decision_rule(0.05, 0.8, 0, 1, 1).is_err());
        assert!(decision_rule(0.05, 0.01, 1, 1, 1).unwrap_err().why.contains("chance alone"));
        assert!(decision_rule(f64::NAN, 0.8, 1, 1, 1).is_err());
    }
}
