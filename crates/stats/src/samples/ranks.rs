//! The test of Mann and Whitney: does a recipient of the variant tend to have more than one of control? It looks at ranks, so
//! outliers do not matter, and it does not compare means.

use serde::{Deserialize, Serialize};

use super::checked_values;
use crate::answer::{Alternative, Degenerate};
use crate::tail::normal_upper;

/// The most pairs of values for the exact distribution, whose cost grows with their square.
const EXACT_PAIRS_MAX: usize = 10_000;

/// How the p-value is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankDistribution {
    /// By the normal distribution, with the variance corrected for ties.
    Asymptotic,
    /// By counting all orders; without ties and for small samples only.
    Exact,
}

/// What the ranks say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MannWhitney {
    /// In how many pairs the variant's value is the greater; a tie counts half.
    pub u_variant: f64,
    /// The share of such pairs: the chance that the variant's recipient has more than control's (area under the curve).
    pub auc_variant: f64,
    /// Of the alternative that was asked for.
    pub p_value: f64,
}

/// The Mann–Whitney test: U_B = R_B − n_B(n_B + 1)/2 with R_B the sum of the variant's mid-ranks. Asymptotic:
/// z = (U − n_A n_B/2 − c)/s with s² = n_A n_B/12 · ((N + 1) − Σ(t³ − t)/(N(N − 1))) over ties of t values, c = ½ with
/// `continuity`, U = U_B for "greater", n_A n_B − U_B for "less", the larger of both for two-sided. Exact: the distribution of
/// U when all orders are alike, two-sided twice the smaller tail. Mann & Whitney, "On a test of whether one of two random
/// variables is stochastically larger than the other", Annals of Mathematical Statistics 18 (1947).
///
/// # Errors
/// [`Degenerate`] when a sample is empty or has a value that is not finite, all values are equal, or the exact distribution is
/// asked for and there are ties or too many values.
pub fn mann_whitney(
    control: &[f64],
    variant: &[f64],
    distribution: RankDistribution,
    continuity: bool,
    alternative: Alternative,
) -> Result<MannWhitney, Degenerate> {
    checked_values("control", control)?;
    checked_values("the variant", variant)?;
    let Ranked { rank_sum_variant, tied } = ranked(control, variant);
    let (a, b) = (control.len() as f64, variant.len() as f64);
    let pairs = a * b;
    let u_variant = rank_sum_variant - b * (b + 1.0) / 2.0;
    let looked_at = match alternative {
        Alternative::TwoSided => u_variant.max(pairs - u_variant),
        Alternative::Greater => u_variant,
        Alternative::Less => pairs - u_variant,
    };
    let tail = match distribution {
        RankDistribution::Exact => {
            if tied > 0.0 {
                return Err(Degenerate::new("there are equal values, for which the exact distribution does not hold"));
            }
            if control.len().saturating_mul(variant.len()) > EXACT_PAIRS_MAX {
                return Err(Degenerate::new(format!(
                    "there are more than {EXACT_PAIRS_MAX} pairs of values, too many to count all orders; ask for the asymptotic test"
                )));
            }
            exact_upper(looked_at as usize, control.len(), variant.len())
        }
        RankDistribution::Asymptotic => {
            let all = a + b;
            let variance = pairs / 12.0 * ((all + 1.0) - tied / (all * (all - 1.0)));
            if variance <= all * f64::EPSILON {
                return Err(Degenerate::new("all values are equal"));
            }
            let correction = if continuity { 0.5 } else { 0.0 };
            normal_upper((looked_at - pairs / 2.0 - correction) / variance.sqrt())
        }
    };
    let p_value = if alternative == Alternative::TwoSided { 2.0 * tail } else { tail };
    Ok(MannWhitney { u_variant, auc_variant: u_variant / pairs, p_value: p_value.min(1.0) })
}

struct Ranked {
    rank_sum_variant: f64,
    /// Σ (t³ − t) over groups of t equal values.
    tied: f64,
}

/// Mid-ranks of both samples together.
fn ranked(control: &[f64], variant: &[f64]) -> Ranked {
    // Adding zero makes −0 and 0 the same.
    let tagged = |values: &[f64], is_variant: bool| values.iter().map(|value| (value + 0.0, is_variant)).collect::<Vec<_>>();
    let mut all = tagged(control, false);
    all.extend(tagged(variant, true));
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut rank_sum_variant, mut tied, mut before) = (0.0, 0.0, 0_usize);
    for group in all.chunk_by(|a, b| a.0 == b.0) {
        let size = group.len() as f64;
        let of_variant = group.iter().filter(|(_, is_variant)| *is_variant).count() as f64;
        rank_sum_variant += of_variant * (before as f64 + (size + 1.0) / 2.0);
        tied += size * size * size - size;
        before += group.len();
    }
    Ranked { rank_sum_variant, tied }
}

/// P(U ≥ u) when all orders of `a` and `b` different values are alike. The largest value is of the second sample with chance
/// b/(a + b), and then beats all `a` of the first: P(a, b, u) = a/(a + b) P(a − 1, b, u) + b/(a + b) P(a, b − 1, u − a).
fn exact_upper(u: usize, a: usize, b: usize) -> f64 {
    // `rows[j]` holds the distribution for i values of the first sample and j of the second.
    let mut rows: Vec<Vec<f64>> = vec![vec![1.0]; b + 1];
    for i in 1..=a {
        rows[0] = vec![1.0];
        for j in 1..=b {
            let (share_first, share_second) = (i as f64 / (i + j) as f64, j as f64 / (i + j) as f64);
            let mut next = vec![0.0; i * j + 1];
            for (value, chance) in rows[j].iter().enumerate() {
                next[value] += share_first * chance;
            }
            for (value, chance) in rows[j - 1].iter().enumerate() {
                next[value + i] += share_second * chance;
            }
            rows[j] = next;
        }
    }
    // From the far end, so that small chances are added first.
    rows[b].iter().skip(u).rev().sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn test(control: &[f64], variant: &[f64], distribution: RankDistribution, alternative: Alternative) -> MannWhitney {
        mann_whitney(control, variant, distribution, true, alternative).unwrap()
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |control: &[f64], variant: &[f64], distribution, expect: &str| {
            let error = mann_whitney(control, variant, distribution, true, Alternative::TwoSided).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[], &[1.0], RankDistribution::Asymptotic, "control has no values");
        check(&[1.0], &[f64::NAN], RankDistribution::Asymptotic, "the variant is NaN");
        check(&[1.0; 4], &[1.0; 3], RankDistribution::Asymptotic, "all values are equal");
        check(&[0.0], &[-0.0], RankDistribution::Asymptotic, "all values are equal");
        check(&[1.0, 2.0], &[2.0], RankDistribution::Exact, "equal values");
        let many: Vec<f64> = (0..300).map(f64::from).collect();
        check(&many[..150], &many[150..], RankDistribution::Exact, "too many");
    }

    /// Mann & Whitney (1947), table I, n = 4: with m = 3, U ≤ 2 has the chance .114, with m = 4 U ≤ 3 has .100.
    #[test]
    fn the_table_of_mann_and_whitney() {
        let lower = |u: usize, a: usize, b: usize| exact_upper(a * b - u, a, b);
        assert!((lower(2, 3, 4) - 4.0 / 35.0).abs() < 1e-15);
        assert!((lower(3, 4, 4) - 7.0 / 70.0).abs() < 1e-15);
        assert!((lower(0, 50, 60) * (1..=50).map(|i| f64::from(60 + i) / f64::from(i)).product::<f64>() - 1.0).abs() < 1e-12);
    }

    proptest! {
        /// Any rising function of the values, and the arms' names, change nothing; exact and asymptotic are near; U is the
        /// number of pairs counted one by one.
        #[test]
        fn only_order_matters(
            control in prop::collection::vec(-50..50_i32, 1..40),
            variant in prop::collection::vec(-50..50_i32, 1..40),
            distinct in any::<bool>(),
        ) {
            // Distinct where asked: a fraction that differs from value to value.
            let spread = |values: &[i32], offset: f64| -> Vec<f64> {
                let nudge = |i: usize| if distinct { (i as f64 + offset) / 1e3 } else { 0.0 };
                values.iter().enumerate().map(|(i, value)| f64::from(*value) + nudge(i)).collect()
            };
            let (control, variant) = (spread(&control, 0.0), spread(&variant, 0.5));
            let distribution = if distinct { RankDistribution::Exact } else { RankDistribution::Asymptotic };
            let Ok(answer) = mann_whitney(&control, &variant, distribution, true, Alternative::TwoSided) else { return Ok(()) };
            let pair = |a: f64, b: f64| if b > a { 1.0 } else if b == a { 0.5 } else { 0.0 };
            let counted: f64 = control.iter().map(|a| variant.iter().map(|b| pair(*a, *b)).sum::<f64>()).sum();
            prop_assert_eq!(answer.u_variant, counted);
            let cubed = |values: &[f64]| values.iter().map(|v| v * v * v - 7.0).collect::<Vec<_>>();
            prop_assert_eq!(answer, test(&cubed(&control), &cubed(&variant), distribution, Alternative::TwoSided));
            let greater = test(&control, &variant, distribution, Alternative::Greater);
            let swapped = test(&variant, &control, distribution, Alternative::Less);
            prop_assert!((greater.p_value - swapped.p_value).abs() < 1e-12);
            if distinct && control.len() > 7 && variant.len() > 7 {
                let normal = test(&control, &variant, RankDistribution::Asymptotic, Alternative::TwoSided);
                prop_assert!((answer.p_value - normal.p_value).abs() < 0.02);
            }
        }
    }
}
