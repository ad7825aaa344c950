//! Corrections for many comparisons: adjusted p-values, the Benjamini–Hochberg rule for e-values, and shares of alpha.
//!
//! Which to take: [`Procedure::Holm`] by default, because it holds however the tests depend on each other and is never
//! weaker than Bonferroni; [`Procedure::BenjaminiHochberg`] for scans over many metrics or segments, where a share of false
//! alarms is bearable; [`e_benjamini_hochberg`] where the evidence is an e-value and the experiments may be stopped at will.
//! A decision that asks for one of several success metrics and for all guardrails corrects the success metrics only, which
//! is [`crate::power::decision_rule`].

use serde::{Deserialize, Serialize};

use crate::answer::{Degenerate, checked_alpha};

/// How p-values are adjusted. Rejecting what is at most alpha afterwards keeps the promise of the procedure at alpha.
///
/// Below, p_(i) is the i-th smallest of n p-values; every result is cut at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Procedure {
    /// The chance of any false alarm: max over j ≤ i of (n − j + 1) p_(j). Any dependence. Holm, "A simple sequentially
    /// rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979).
    Holm,
    /// The chance of any false alarm: min over j ≥ i of (n − j + 1) p_(j). Independence or positive dependence. Hochberg,
    /// "A sharper Bonferroni procedure for multiple tests of significance", Biometrika 75 (1988).
    Hochberg,
    /// The chance of any false alarm: the closed test of Simes' tests, at least as strong as Hochberg under the same
    /// dependence. Hommel, "A stagewise rejective multiple test procedure based on a modified Bonferroni test",
    /// Biometrika 75 (1988). The time grows with the square of n: see [`HOMMEL_COUNT_SENSIBLE`].
    Hommel,
    /// The chance of any false alarm: n p. Any dependence.
    Bonferroni,
    /// The chance of any false alarm: 1 − (1 − p)ⁿ. Independence. Šidák, "Rectangular confidence regions for the means of
    /// multivariate normal distributions", Journal of the American Statistical Association 62 (1967).
    Sidak,
    /// Holm with Šidák's bound: max over j ≤ i of 1 − (1 − p_(j))^(n − j + 1). Independence.
    HolmSidak,
    /// Hochberg with Šidák's bound: min over j ≥ i of 1 − (1 − p_(j))^(n − j + 1). Independence.
    HochbergSidak,
    /// The expected share of false alarms: min over j ≥ i of (n / j) p_(j). Independence or positive dependence. Benjamini
    /// & Hochberg, "Controlling the false discovery rate", Journal of the Royal Statistical Society B 57 (1995).
    #[serde(rename = "bh")]
    BenjaminiHochberg,
    /// The same times 1 + 1/2 + … + 1/n, for any dependence. Benjamini & Yekutieli, "The control of the false discovery
    /// rate in multiple testing under dependency", Annals of Statistics 29 (2001).
    #[serde(rename = "by")]
    BenjaminiYekutieli,
}

/// Above this many p-values [`Procedure::Hommel`] takes noticeably long (fifty million steps here); take Hochberg instead.
pub const HOMMEL_COUNT_SENSIBLE: usize = 5_000;

impl Procedure {
    /// The adjusted p-values, in the order given. What is no probability (NaN) counts as 1: a comparison that could not be
    /// made stays in the family and never becomes significant. Numbers beyond 0 and 1 count as 0 and 1.
    #[must_use]
    pub fn adjust(self, p_values: &[f64]) -> Vec<f64> {
        let cleaned: Vec<f64> = p_values.iter().map(|p| if p.is_nan() { 1.0 } else { p.clamp(0.0, 1.0) }).collect();
        let mut order: Vec<usize> = (0..cleaned.len()).collect();
        order.sort_by(|a, b| cleaned[*a].total_cmp(&cleaned[*b]));
        let sorted: Vec<f64> = order.iter().map(|index| cleaned[*index]).collect();
        let mut adjusted = vec![0.0; cleaned.len()];
        for (index, value) in order.into_iter().zip(self.adjust_sorted(&sorted)) {
            adjusted[index] = value.min(1.0);
        }
        adjusted
    }

    /// `sorted` ascends and holds probabilities.
    fn adjust_sorted(self, sorted: &[f64]) -> Vec<f64> {
        let n = sorted.len();
        let left = |rank: usize| (n - rank) as f64;
        let harmonic: f64 = (1..=n).map(|i| 1.0 / i as f64).sum();
        match self {
            Self::Holm => step_down(sorted, |rank, p| left(rank) * p),
            Self::Hochberg => step_up(sorted, |rank, p| left(rank) * p),
            Self::Hommel => hommel(sorted),
            Self::Bonferroni => step_down(sorted, |_, p| n as f64 * p),
            Self::Sidak => step_down(sorted, |_, p| any_of(p, n as f64)),
            Self::HolmSidak => step_down(sorted, |rank, p| any_of(p, left(rank))),
            Self::HochbergSidak => step_up(sorted, |rank, p| any_of(p, left(rank))),
            Self::BenjaminiHochberg => step_up(sorted, |rank, p| p * n as f64 / (rank + 1) as f64),
            Self::BenjaminiYekutieli => step_up(sorted, |rank, p| p * harmonic * n as f64 / (rank + 1) as f64),
        }
    }
}

/// Holm's adjustment, [`Procedure::Holm`].
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    Procedure::Holm.adjust(p_values)
}

/// 1 − (1 − p)^count without losing the digits of a small p.
fn any_of(p: f64, count: f64) -> f64 {
    -(count * (-p).ln_1p()).exp_m1()
}

/// Made monotone from the smallest upwards. Ranks count from 0.
fn step_down(sorted: &[f64], bound: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    let mut largest = 0.0_f64;
    let bounds = sorted.iter().enumerate().map(|(rank, p)| {
        largest = largest.max(bound(rank, *p));
        largest
    });
    bounds.collect()
}

/// Made monotone from the largest downwards.
fn step_up(sorted: &[f64], bound: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    let mut adjusted = vec![0.0; sorted.len()];
    let mut smallest = 1.0_f64;
    for (rank, p) in sorted.iter().enumerate().rev() {
        smallest = smallest.min(bound(rank, *p));
        adjusted[rank] = smallest;
    }
    adjusted
}

/// A hypothesis is rejected when Simes' test rejects every set that holds it. Of the sets of one size the hardest one
/// consists of the hypothesis and the largest other p-values, so one set per size and hypothesis is looked at.
fn hommel(sorted: &[f64]) -> Vec<f64> {
    let n = sorted.len();
    let mut adjusted = sorted.to_vec();
    for size in 2..=n {
        // The set is p_i and the size − 1 largest; these take the ranks 2 to size.
        let others = n + 1 - size;
        let simes = sorted[others..].iter().enumerate().map(|(i, p)| p / (i + 2) as f64).fold(f64::INFINITY, f64::min);
        let of_others = simes * size as f64;
        // One of the largest itself is in the set of all the largest, which the next smaller p-value completes.
        let of_largest = of_others.min(size as f64 * sorted[others - 1]);
        for (i, value) in adjusted.iter_mut().enumerate() {
            let simes = if i < others { of_others.min(size as f64 * sorted[i]) } else { of_largest };
            *value = value.max(simes);
        }
    }
    adjusted
}

/// What the Benjamini–Hochberg rule for e-values says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EDiscoveries {
    /// Per e-value, whether its null hypothesis is rejected.
    pub rejected: Vec<bool>,
    /// How many are rejected.
    pub count: usize,
    /// The smallest e-value that is rejected, or that would be were it the only one: K / (k α).
    pub threshold: f64,
}

/// The Benjamini–Hochberg rule for e-values: with e\[k\] the k-th largest of K, the k̂ = max{k : e\[k\] ≥ K / (k α)} largest
/// are rejected. The expected share of false alarms is at most alpha under any dependence and any stopping.
///
/// `e_values` are zero or more; what is no number counts as no evidence, 0. Wang & Ramdas, "False discovery rate control
/// with e-values", Journal of the Royal Statistical Society B 84 (2022).
///
/// # Errors
/// [`Degenerate`] when alpha is not between 0 and 1 or there is no e-value.
pub fn e_benjamini_hochberg(e_values: &[f64], alpha: f64) -> Result<EDiscoveries, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    if e_values.is_empty() {
        return Err(Degenerate::new("there is no e-value"));
    }
    let cleaned: Vec<f64> = e_values.iter().map(|e| if e.is_nan() { 0.0 } else { e.max(0.0) }).collect();
    let mut sorted = cleaned.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let needed = |k: usize| e_values.len() as f64 / (k as f64 * alpha);
    let count = (1..=sorted.len()).rev().find(|k| sorted[k - 1] >= needed(*k)).unwrap_or(0);
    // At an alpha near the smallest double the threshold is beyond all doubles.
    let threshold = needed(count.max(1)).min(f64::MAX);
    // Ties with the last one rejected are at least as large as the threshold, which counts them in k̂ already.
    Ok(EDiscoveries { rejected: cleaned.iter().map(|e| count > 0 && *e >= threshold).collect(), count, threshold })
}

/// Alpha shared out with a preference: the primary metric gets `primary_share` · alpha, each of the `count` − 1 others
/// (1 − `primary_share`) · alpha / (`count` − 1). The first of the answer is the primary metric's. By Bonferroni's
/// inequality the chance of any false alarm is at most alpha under any dependence (Dunn, "Multiple comparisons among
/// means", JASA 56, 1961). A family of one gets all of alpha.
///
/// `alpha` and `primary_share` lie between 0 and 1, the share may be 1.
///
/// # Errors
/// [`Degenerate`] when alpha or the share is out of range, or `count` is zero.
pub fn preferential_alphas(alpha: f64, primary_share: f64, count: usize) -> Result<Vec<f64>, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    if !(primary_share > 0.0 && primary_share <= 1.0) {
        return Err(Degenerate::new(format!(
            "the share of the primary metric is {primary_share}; it must be above 0 and at most 1"
        )));
    }
    match count {
        0 => Err(Degenerate::new("there is no metric to share alpha among")),
        1 => Ok(vec![alpha]),
        _ => {
            let mut alphas = vec![(1.0 - primary_share) * alpha / (count - 1) as f64; count];
            alphas[0] = primary_share * alpha;
            Ok(alphas)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [Procedure; 9] = [
        Procedure::Holm,
        Procedure::Hochberg,
        Procedure::Hommel,
        Procedure::Bonferroni,
        Procedure::Sidak,
        Procedure::HolmSidak,
        Procedure::HochbergSidak,
        Procedure::BenjaminiHochberg,
        Procedure::BenjaminiYekutieli,
    ];

    /// GrowthBook's "pvalue correction method", statsmodels' `TestMultiTests*` on small families, and sums by hand.
    #[test]
    fn known_adjustments() {
        let check = |procedure: Procedure, p_values: &[f64], expect: &[f64]| {
            let adjusted = procedure.adjust(p_values);
            assert_eq!(adjusted.len(), expect.len());
            assert!(adjusted.iter().zip(expect).all(|(a, b)| (a - b).abs() < 1e-12), "{procedure:?} {adjusted:?}");
        };
        check(Procedure::Holm, &[], &[]);
        check(Procedure::Holm, &[0.04], &[0.04]);
        check(Procedure::Holm, &[0.01, 0.04, 0.03, 0.005, 0.55, 0.6], &[0.05, 0.12, 0.12, 0.03, 1.0, 1.0]);
        check(Procedure::Holm, &[f64::NAN, 0.01], &[1.0, 0.02]);
        check(
            Procedure::BenjaminiHochberg,
            &[0.898, 0.138, 0.007, 0.964, 0.538, 0.006, 0.138],
            &[0.964, 0.2415, 0.0245, 0.964, 0.7532, 0.0245, 0.2415],
        );
        check(
            Procedure::Hommel,
            &[0.005029, 0.614356, 0.014396, 0.274819, 0.019145, 0.016329],
            &[0.0287175, 0.614356, 0.043188, 0.549638, 0.057435, 0.048987],
        );
        check(Procedure::Hochberg, &[0.01, 0.04, 0.03], &[0.03, 0.04, 0.04]);
        check(Procedure::Bonferroni, &[0.01, 0.4, f64::INFINITY], &[0.03, 1.0, 1.0]);
        check(Procedure::Sidak, &[0.5, 1.0], &[0.75, 1.0]);
        check(Procedure::HolmSidak, &[0.5, 0.1], &[0.5, 0.19]);
        check(Procedure::BenjaminiYekutieli, &[0.01, 0.02], &[0.03, 0.03]);
    }

    #[test]
    fn tiny_p_values_keep_their_digits() {
        for procedure in ALL {
            let adjusted = procedure.adjust(&[1e-300, 0.5]);
            assert!(adjusted[0] >= 1e-300 && adjusted[0] <= 4e-300, "{procedure:?} {adjusted:?}");
        }
    }

    /// Hommel by its definition: every set of hypotheses is tested by Simes.
    #[test]
    fn hommel_is_the_closed_test_of_simes() {
        let p_values = [0.011, 0.012, 0.049, 0.02, 0.3, 0.013, 0.7];
        let simes = |set: u32| {
            let mut chosen: Vec<f64> = (0..p_values.len()).filter(|i| set >> i & 1 == 1).map(|i| p_values[i]).collect();
            chosen.sort_by(f64::total_cmp);
            chosen.iter().enumerate().map(|(i, p)| chosen.len() as f64 * p / (i + 1) as f64).fold(f64::INFINITY, f64::min)
        };
        for (i, value) in Procedure::Hommel.adjust(&p_values).iter().enumerate() {
            let expect = (1..1_u32 << p_values.len()).filter(|set| set >> i & 1 == 1).map(simes).fold(0.0, f64::max);
            assert!((value - expect).abs() < 1e-12, "{i}: {value} {expect}");
        }
    }

    #[test]
    fn e_values_are_counted_from_the_largest() {
        let check = |e_values: &[f64], alpha: f64, expect: &[bool]| {
            assert_eq!(e_benjamini_hochberg(e_values, alpha).unwrap().rejected, expect);
        };
        // The example of METHODS: two are rejected.
        check(&[30.0, 50.0, 5.0, 100.0, 2.0], 0.05, &[false, true, false, true, false]);
        check(&[50.0, 50.0, 50.0, 0.0, f64::NAN], 0.05, &[true, true, true, false, false]);
        check(&[19.0, -1.0], 0.05, &[false, false]);
        check(&[f64::INFINITY], 0.05, &[true]);
        assert!(e_benjamini_hochberg(&[], 0.05).is_err());
        assert!(e_benjamini_hochberg(&[1.0], 0.0).is_err());
    }

    #[test]
    fn a_preference_spends_all_of_alpha() {
        let alphas = preferential_alphas(0.05, 0.5, 6).unwrap();
        assert_eq!(alphas[0], 0.025);
        assert!((alphas.iter().sum::<f64>() - 0.05).abs() < 1e-15);
        assert_eq!(preferential_alphas(0.05, 0.5, 1).unwrap(), [0.05]);
        assert!(preferential_alphas(0.05, 0.0, 2).is_err() && preferential_alphas(0.05, 0.5, 0).is_err());
    }

    proptest! {
        #[test]
        fn adjusting_keeps_order_and_never_helps(p_values in prop::collection::vec(0.0..=1.0_f64, 1..20)) {
            for procedure in ALL {
                let adjusted = procedure.adjust(&p_values);
                for (i, a) in adjusted.iter().enumerate() {
                    prop_assert!(*a >= p_values[i] * (1.0 - 1e-12) && *a <= 1.0, "{:?} {} {}", procedure, a, p_values[i]);
                    for (j, b) in adjusted.iter().enumerate() {
                        prop_assert!(p_values[i] >= p_values[j] || a <= b);
                    }
                }
            }
        }

        /// Every procedure is at least as strong as the one that assumes less.
        #[test]
        fn stronger_assumptions_never_cost(p_values in prop::collection::vec(0.0..=1.0_f64, 1..20)) {
            for (stronger, weaker) in [
                (Procedure::Holm, Procedure::Bonferroni),
                (Procedure::Hochberg, Procedure::Holm),
                (Procedure::Hommel, Procedure::Hochberg),
                (Procedure::HolmSidak, Procedure::Holm),
                (Procedure::HochbergSidak, Procedure::HolmSidak),
                (Procedure::HochbergSidak, Procedure::Hochberg),
                (Procedure::Sidak, Procedure::Bonferroni),
                (Procedure::BenjaminiHochberg, Procedure::Hommel),
                (Procedure::BenjaminiHochberg, Procedure::BenjaminiYekutieli),
            ] {
                for (a, b) in stronger.adjust(&p_values).iter().zip(weaker.adjust(&p_values)) {
                    prop_assert!(*a <= b * (1.0 + 1e-12), "{:?} {:?}", stronger, weaker);
                }
            }
        }

        /// What the e-value rule rejects is what Benjamini and Hochberg reject of 1/e.
        #[test]
        fn e_values_are_inverted_p_values(e_values in prop::collection::vec(0.01..300.0_f64, 1..20)) {
            let inverted: Vec<f64> = e_values.iter().map(|e| 1.0 / e).collect();
            let adjusted = Procedure::BenjaminiHochberg.adjust(&inverted);
            let found = e_benjamini_hochberg(&e_values, 0.1).unwrap();
            for (rejected, p) in found.rejected.iter().zip(adjusted) {
                prop_assert!((p - 0.1).abs() < 1e-12 || *rejected == (p < 0.1));
            }
            prop_assert_eq!(found.count, found.rejected.iter().filter(|rejected| **rejected).count());
        }

        #[test]
        fn nothing_that_can_be_sent_breaks_it(p_values in prop::collection::vec(any::<f64>(), 0..12), alpha in any::<f64>()) {
            for procedure in ALL {
                prop_assert!(procedure.adjust(&p_values).iter().all(|p| (0.0..=1.0).contains(p)));
            }
            let _ = e_benjamini_hochberg(&p_values, alpha);
            if let Ok(alphas) = preferential_alphas(alpha, 0.5, p_values.len()) {
                prop_assert!(alphas.iter().all(|alpha| alpha.is_finite()));
            }
        }
    }
}
