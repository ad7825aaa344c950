//! Quantiles at every look: confidence sequences as ranks, without any assumption about the distribution.
//!
//! Whether a value lies at or below the true quantile is a coin with chance q. The likelihood ratio of a Beta mixture against
//! that coin is a martingale, so the counts it does not reject at 1/alpha hold at all looks together, and they bound the
//! quantile by order statistics. Howard & Ramdas, "Sequential estimation of quantiles with applications to A/B testing and
//! best-arm identification", Bernoulli 28 (2022), the beta-binomial mixture.

use serde::{Deserialize, Serialize};

use crate::answer::{Degenerate, Interval, checked_alpha};
use crate::ratio::SequentialSampleRatio;

/// Order statistics that bound a quantile, counted from 1; `None` where the sample cannot bound that side yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuantileRanks {
    /// The quantile is at least the value of this rank.
    pub lower: Option<u64>,
    /// The quantile is at most the value of this rank.
    pub upper: Option<u64>,
}

/// The ranks between which the quantile lies at every look with a chance of at least 1 − `alpha`.
///
/// With k values at or below it out of n, the counts kept are those with
/// B(c q + k, c (1 − q) + n − k) / B(c q, c (1 − q)) < q^k (1 − q)^(n − k) / alpha, where the concentration c of the mixture is
/// `tuning_count` / (−2 ln alpha + ln(1 − 2 ln alpha)), so that the sequence is narrowest around `tuning_count` values.
///
/// # Errors
/// [`Degenerate`] when the level or alpha is not between 0 and 1 or `tuning_count` is not positive.
pub fn quantile_ranks(count: u64, level: f64, alpha: f64, tuning_count: f64) -> Result<QuantileRanks, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    if !(level > 0.0 && level < 1.0) {
        return Err(Degenerate::new(format!("the level is {level}; it must lie between 0 and 1")));
    }
    if !(tuning_count.is_finite() && tuning_count > 0.0) {
        return Err(Degenerate::new(format!("the tuning count is {tuning_count}; it must be more than zero")));
    }
    let logarithm = -2.0 * alpha.ln();
    let concentration = tuning_count / (logarithm + logarithm.ln_1p());
    let coin = SequentialSampleRatio::new(&[level, 1.0 - level], concentration)?;
    // The test of a coin's fairness is the sample-ratio test of two arms.
    let is_kept = |below: u64| -> Result<bool, Degenerate> {
        Ok(coin.clone().observe(&[below, count - below])?.log_bayes_factor < -alpha.ln())
    };
    // The evidence grows away from the expected count on both sides, so that each end is found by halving.
    let expected = ((count as f64 * level).round() as u64).min(count);
    let lowest = boundary(0, expected, is_kept)?;
    let highest = count - boundary(0, count - expected, |above| is_kept(count - above))?;
    Ok(QuantileRanks { lower: (lowest > 0).then_some(lowest), upper: (highest < count).then_some(highest + 1) })
}

/// The smallest number from `low` to `high` that is kept, where all above a kept one are kept; `high` counts as kept.
fn boundary(low: u64, high: u64, is_kept: impl Fn(u64) -> Result<bool, Degenerate>) -> Result<u64, Degenerate> {
    let (mut low, mut high) = (low, high);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_kept(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

/// The ranks of both arms whose values bound the difference of their quantiles at every look: each arm at half of `alpha`.
///
/// # Errors
/// As [`quantile_ranks`].
pub fn difference_ranks(
    counts: (u64, u64),
    level: f64,
    alpha: f64,
    tuning_count: f64,
) -> Result<(QuantileRanks, QuantileRanks), Degenerate> {
    let half = checked_alpha(alpha)? / 2.0;
    Ok((quantile_ranks(counts.0, level, half, tuning_count)?, quantile_ranks(counts.1, level, half, tuning_count)?))
}

/// The difference of the quantiles, variant minus control, at every look with a chance of at least 1 − `alpha`, from sorted
/// values. A side is open where a sample cannot bound it yet.
///
/// # Errors
/// [`Degenerate`] as [`quantile_ranks`], and when a value is not finite or values are not sorted.
pub fn difference_sequence(
    control_sorted: &[f64],
    treatment_sorted: &[f64],
    level: f64,
    alpha: f64,
    tuning_count: f64,
) -> Result<Interval, Degenerate> {
    for (arm, values) in [("control", control_sorted), ("the variant", treatment_sorted)] {
        if !values.iter().all(|value| value.is_finite()) || !values.is_sorted() {
            return Err(Degenerate::new(format!("the values of {arm} must be finite numbers in ascending order")));
        }
    }
    let counts = (control_sorted.len() as u64, treatment_sorted.len() as u64);
    let (control, treatment) = difference_ranks(counts, level, alpha, tuning_count)?;
    let value = |values: &[f64], rank: Option<u64>| rank.map(|rank| values[rank as usize - 1]);
    let difference = |of_treatment: Option<f64>, of_control: Option<f64>| {
        let difference = of_treatment? - of_control?;
        difference.is_finite().then_some(difference)
    };
    Ok(Interval {
        lower: difference(value(treatment_sorted, treatment.lower), value(control_sorted, control.upper)),
        upper: difference(value(treatment_sorted, treatment.upper), value(control_sorted, control.lower)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numeric::Draws;

    #[test]
    fn what_cannot_be_computed_says_why() {
        assert!(quantile_ranks(10, 1.0, 0.05, 100.0).unwrap_err().why.contains("level"));
        assert!(quantile_ranks(10, 0.5, f64::NAN, 100.0).unwrap_err().why.contains("alpha"));
        assert!(quantile_ranks(10, 0.5, 0.05, 0.0).unwrap_err().why.contains("tuning"));
        assert!(difference_sequence(&[2.0, 1.0], &[1.0], 0.5, 0.05, 100.0).unwrap_err().why.contains("ascending"));
        assert_eq!(quantile_ranks(0, 0.5, 0.05, 100.0).unwrap(), QuantileRanks { lower: None, upper: None });
    }

    /// Compared with the integral of the mixture at every count.
    #[test]
    fn ranks_are_those_of_the_mixture() {
        let (count, level, alpha) = (200_u64, 0.3, 0.05_f64);
        let c = 100.0 / (-2.0 * alpha.ln() + (1.0 - 2.0 * alpha.ln()).ln());
        let kept = |k: u64| {
            let (k, n) = (k as f64, count as f64);
            let beta = crate::tail::ln_beta(c * level + k, c * (1.0 - level) + n - k);
            let ratio = beta - crate::tail::ln_beta(c * level, c * (1.0 - level)) - k * level.ln() - (n - k) * (1.0 - level).ln();
            ratio < -alpha.ln()
        };
        let (first, last) = ((0..=count).find(|k| kept(*k)).unwrap(), (0..=count).rev().find(|k| kept(*k)).unwrap());
        let ranks = quantile_ranks(count, level, alpha, 100.0).unwrap();
        assert_eq!(ranks, QuantileRanks { lower: Some(first), upper: Some(last + 1) });
        assert!(first > 30 && last < 95, "{first} to {last}");
    }

    /// Looked at after every value, the sequence misses the true quantile in at most alpha of all series.
    #[test]
    fn the_sequence_covers_at_all_looks() {
        let (level, alpha, looks) = (0.8, 0.1, 300);
        let ranks: Vec<_> = (1..=looks).map(|n| quantile_ranks(n, level, alpha, 100.0).unwrap()).collect();
        let mut draws = Draws::seeded(11);
        let misses = (0..2000).filter(|_| {
            let mut below = 0;
            ranks.iter().any(|rank| {
                below += u64::from(draws.uniform() < level);
                rank.lower.is_some_and(|lower| below < lower) || rank.upper.is_some_and(|upper| below >= upper)
            })
        });
        let misses = misses.count();
        assert!((40..=200).contains(&misses), "{misses} of 2000 at 10 %");
    }

    #[test]
    fn the_difference_is_covered_and_found() {
        let mut draws = Draws::seeded(5);
        let mut sorted = |shift: f64| {
            let mut values: Vec<f64> = (0..4000).map(|_| shift + draws.exponential()).collect();
            values.sort_unstable_by(f64::total_cmp);
            values
        };
        let interval = difference_sequence(&sorted(0.0), &sorted(0.5), 0.5, 0.05, 4000.0).unwrap();
        assert!(interval.contains(0.5) && !interval.contains(0.0), "{interval:?}");
    }

    proptest! {
        #[test]
        fn any_input_has_ranks_within_the_sample_or_a_reason(
            count in prop_oneof![0..1000_u64, any::<u64>()], level in prop::num::f64::ANY, alpha in prop::num::f64::ANY,
            tuning in prop::num::f64::ANY, level_in in 0.001..0.999_f64,
        ) {
            let _ = quantile_ranks(count, level, alpha, tuning);
            let ranks = quantile_ranks(count, level_in, 0.05, 1000.0).unwrap();
            prop_assert!(ranks.lower.is_none_or(|rank| (1..=count).contains(&rank)));
            prop_assert!(ranks.upper.is_none_or(|rank| (1..=count).contains(&rank)));
        }
    }
}
