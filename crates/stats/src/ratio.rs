//! Sample-ratio mismatch: do the arms have the sizes they were meant to have? If not, something lost or added
//! recipients, and no other number can be trusted. Fabijan et al., "Diagnosing sample ratio mismatch in online
//! controlled experiments", KDD 2019.

use serde::{Deserialize, Serialize};

use crate::answer::{Degenerate, finite};
use crate::tail::{binomial_lower, binomial_pmf, binomial_upper, chi_square_upper, normal_upper, stirling_remainder};

/// An arm with a smaller share would have no recipient even if all people were mailed.
const SHARE_MIN: f64 = 1e-12;

/// Pearson's chi-square test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChiSquare {
    /// The sum of (observed − expected)² / expected.
    pub statistic: f64,
    /// Arms minus one; of a table, (rows − 1) (columns − 1).
    pub degrees_of_freedom: u64,
    /// The chance of a statistic this large when the weights are true.
    pub p_value: f64,
}

/// Tests arm sizes against weights once; looking daily at this test alarms far too often, for which there is
/// [`SequentialSampleRatio`].
///
/// # Errors
/// [`Degenerate`] when there are fewer than two arms, nobody was assigned, or a weight is not positive.
pub fn sample_ratio(observed: &[u64], weights: &[f64]) -> Result<ChiSquare, Degenerate> {
    let shares = shares(weights)?;
    check_length(observed, &shares)?;
    let total = observed.iter().map(|count| *count as f64).sum::<f64>();
    if total == 0.0 {
        return Err(Degenerate::new("nobody was assigned"));
    }
    let terms = observed.iter().zip(&shares).map(|(count, share)| {
        let expected = total * share;
        (*count as f64 - expected) * ((*count as f64 - expected) / expected)
    });
    let statistic = finite("statistic", terms.sum())?;
    let degrees_of_freedom = shares.len() as u64 - 1;
    Ok(ChiSquare { statistic, degrees_of_freedom, p_value: chi_square_upper(statistic, degrees_of_freedom as f64) })
}

/// How the sizes of two arms are tested.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BinomialVariant {
    /// By the binomial distribution: the chance of all splits that are no more likely than the one seen.
    #[default]
    Exact,
    /// By the normal distribution.
    Normal,
    /// By the normal distribution, half a recipient nearer to what was expected.
    NormalContinuity,
}

/// Tests the sizes of two arms against `expected_ratio`, treatment over control: with n recipients of whom k are in treatment
/// and p = r/(1 + r), exact, or 2 P(Z > (|k − np| − c)/√(np(1 − p))) with c one half or zero. Two-sided.
///
/// # Errors
/// [`Degenerate`] when nobody was assigned or the ratio is not positive.
pub fn sample_ratio_binomial(
    control: u64,
    treatment: u64,
    expected_ratio: f64,
    variant: BinomialVariant,
) -> Result<f64, Degenerate> {
    if !(expected_ratio.is_finite() && expected_ratio > 0.0) {
        return Err(Degenerate::new(format!("the expected ratio is {expected_ratio}; it must be more than zero")));
    }
    let n = control.checked_add(treatment).ok_or_else(|| Degenerate::new("there are too many recipients to count"))?;
    if n == 0 {
        return Err(Degenerate::new("nobody was assigned"));
    }
    let share = expected_ratio / (1.0 + expected_ratio);
    let rest = 1.0 / (1.0 + expected_ratio);
    let correction = match variant {
        BinomialVariant::Exact => return Ok(two_sided_binomial(treatment, n, share)),
        BinomialVariant::Normal => 0.0,
        BinomialVariant::NormalContinuity => 0.5,
    };
    // k − np without the difference of large numbers.
    let distance = (treatment as f64 * rest - control as f64 * share).abs();
    let statistic = (distance - correction).max(0.0) / (n as f64 * share * rest).sqrt();
    Ok((2.0 * normal_upper(finite("statistic", statistic)?)).min(1.0))
}

/// The chance of all outcomes that are, up to rounding, no more likely than `k`: one tail up to `k`, and the other from where
/// it is as unlikely.
fn two_sided_binomial(k: u64, n: u64, p: f64) -> f64 {
    let likely = binomial_pmf(k, n, p) * (1.0 + 1e-7);
    let mode = (((n as f64 + 1.0) * p).floor() as u64).min(n);
    if k == mode || binomial_pmf(mode, n, p) <= likely {
        return 1.0;
    }
    let unlikely = |other: u64| binomial_pmf(other, n, p) <= likely;
    let p_value = if k < mode {
        // Above the mode the chance falls: the first outcome that is unlikely enough.
        let (mut low, mut high) = (mode, n.saturating_add(1));
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if unlikely(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        binomial_lower(k, n, p) + if high <= n { binomial_upper(high, n, p) } else { 0.0 }
    } else {
        let (mut low, mut high) = (None, mode);
        while high > low.map_or(0, |low| low + 1) {
            let from = low.map_or(0, |low| low + 1);
            let middle = from + (high - from) / 2;
            if unlikely(middle) {
                low = Some(middle);
            } else {
                high = middle;
            }
        }
        binomial_upper(k, n, p) + low.map_or(0.0, |low| binomial_lower(low, n, p))
    };
    p_value.min(1.0)
}

/// Tests arm sizes against weights at every look, with one promise for all looks together: if the weights are true,
/// the p-value ever falls to alpha with a chance of at most alpha.
///
/// The Bayes factor of a Dirichlet(c θ) prior against the weights θ, after x recipients per arm (c the concentration,
/// N = Σ x): ln BF = ln Γ(c) − Σ ln Γ(c θ_i) + Σ ln Γ(c θ_i + x_i) − ln Γ(c + N) − Σ x_i ln θ_i; p = min(1, 1/BF),
/// running minimum. Lindon & Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SequentialSampleRatio {
    shares: Vec<f64>,
    concentration: f64,
    counts: Vec<u64>,
    p_value: f64,
}

/// What one look of [`SequentialSampleRatio`] says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SampleRatioLook {
    /// The evidence against the weights so far; may fall again.
    pub log_bayes_factor: f64,
    /// The smallest p-value of all looks so far.
    pub p_value: f64,
}

impl SequentialSampleRatio {
    /// Begins a test. A large `concentration` looks for small mismatches, which take many recipients to see; 10,000
    /// suits mailings.
    ///
    /// # Errors
    /// [`Degenerate`] when there are fewer than two arms or a weight or the concentration is not positive.
    pub fn new(weights: &[f64], concentration: f64) -> Result<Self, Degenerate> {
        let shares = shares(weights)?;
        if !(concentration.is_finite() && concentration > 0.0) {
            return Err(Degenerate::new(format!("the concentration is {concentration}; it must be more than zero")));
        }
        Ok(Self { counts: vec![0; shares.len()], shares, concentration, p_value: 1.0 })
    }

    /// Adds the recipients who came since the last look, per arm.
    ///
    /// # Errors
    /// [`Degenerate`] when the number of arms is not that of the weights, or the concentration is so small or large against the
    /// counts that their ratio is not a number; the test is then unchanged.
    pub fn observe(&mut self, increments: &[u64]) -> Result<SampleRatioLook, Degenerate> {
        check_length(increments, &self.shares)?;
        let counts: Vec<u64> = self.counts.iter().zip(increments).map(|(count, more)| count.saturating_add(*more)).collect();
        let log_bayes_factor = finite("Bayes factor", self.log_bayes_factor(&counts))?;
        self.counts = counts;
        self.p_value = self.p_value.min((-log_bayes_factor).exp());
        Ok(SampleRatioLook { log_bayes_factor, p_value: self.p_value })
    }

    /// The sums of large log-gammas are taken apart by Stirling's formula and their large parts cancelled by hand: what
    /// remains is Σ z ln(z / (Z θ)), with z = c θ + x and Z = c + N, and small terms.
    fn log_bayes_factor(&self, counts: &[u64]) -> f64 {
        let c = self.concentration;
        let all = c + counts.iter().map(|count| *count as f64).sum::<f64>();
        let per_arm = counts.iter().zip(&self.shares).map(|(count, share)| {
            let (before, after) = (c * share, c * share + *count as f64);
            let excess = (after - all * share) / (all * share);
            after * excess.ln_1p() - 0.5 * (after / before).ln() + stirling_remainder(after) - stirling_remainder(before)
        });
        per_arm.sum::<f64>() + 0.5 * (all / c).ln() - stirling_remainder(all) + stirling_remainder(c)
    }
}

/// Weights as shares that add up to one.
fn shares(weights: &[f64]) -> Result<Vec<f64>, Degenerate> {
    if weights.len() < 2 {
        return Err(Degenerate::new("there are fewer than two arms"));
    }
    if let Some(weight) = weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0)) {
        return Err(Degenerate::new(format!("a weight is {weight}; each must be more than zero")));
    }
    let total = finite("sum of the weights", weights.iter().sum())?;
    let shares: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
    match shares.iter().find(|share| **share < SHARE_MIN) {
        None => Ok(shares),
        Some(_) => Err(Degenerate::new("a weight is less than a trillionth of all, so that its arm has nobody to expect")),
    }
}

fn check_length(counts: &[u64], shares: &[f64]) -> Result<(), Degenerate> {
    if counts.len() == shares.len() {
        return Ok(());
    }
    Err(Degenerate::new(format!("there are {} arms but {} weights", counts.len(), shares.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |observed: &[u64], weights: &[f64], expect: &str| {
            let error = sample_ratio(observed, weights).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[0, 0], &[1.0, 1.0], "nobody");
        check(&[1, 2], &[1.0, 0.0], "weight is 0");
        check(&[1, 2], &[1.0, f64::NAN], "weight is NaN");
        check(&[1, 2], &[f64::MAX, f64::MAX], "sum of the weights");
        check(&[1, 2], &[1.0, 1e-300], "trillionth");
        check(&[1], &[1.0], "fewer than two");
        check(&[1, 2, 3], &[1.0, 1.0], "3 arms but 2 weights");
        assert!(SequentialSampleRatio::new(&[1.0, 1.0], 0.0).is_err());
    }

    #[test]
    fn hillstrom_has_no_mismatch() {
        let test = sample_ratio(&[21_306, 21_307, 21_387], &[1.0, 1.0, 1.0]).unwrap();
        assert!((test.p_value - 0.9037).abs() < 1e-4, "{test:?}");
    }

    #[test]
    fn evidence_only_gathers() {
        let mut test = SequentialSampleRatio::new(&[1.0, 1.0], 10_000.0).unwrap();
        let bad = test.observe(&[52_000, 48_000]).unwrap();
        assert!(bad.p_value < 1e-30);
        let better = test.observe(&[48_000, 52_000]).unwrap();
        assert!(better.log_bayes_factor < 0.0);
        assert_eq!(better.p_value, bad.p_value);
        assert!(test.observe(&[1]).is_err());
    }

    /// The log posterior odds of Optimizely's ssrm-test 0.1.5 with a concentration of 10,000.
    #[test]
    fn known_bayes_factors() {
        let check = |counts: &[u64], weights: &[f64], expect: f64| {
            let look = SequentialSampleRatio::new(weights, 10_000.0).unwrap().observe(counts).unwrap();
            assert!((look.log_bayes_factor / expect - 1.0).abs() < 3e-6, "{look:?} is not {expect}");
        };
        check(&[20, 17, 9], &[0.4, 0.4, 0.2], -0.003_992_48);
        check(&[5100, 4900], &[0.5, 0.5], 0.653_480_58);
        check(&[52_000, 48_000], &[0.5, 0.5], 71.545_000_5);
    }

    /// tea-tasting's SampleRatio, and the exact sum over all outcomes.
    #[test]
    fn two_arms_by_the_binomial() {
        let check = |control, treatment, ratio, variant, expect: f64| {
            let p_value = sample_ratio_binomial(control, treatment, ratio, variant).unwrap();
            assert!((p_value / expect - 1.0).abs() < 1e-9, "{p_value} is not {expect}");
        };
        check(71, 63, 1.0, BinomialVariant::Exact, 0.545_534_366_479_873_5);
        check(62_927, 66_634, 1.0, BinomialVariant::Normal, 7.136_654_327_126_832e-25);
        check(76_156, 18_602, 0.25, BinomialVariant::NormalContinuity, 0.004_579_867_641_680_773);
        check(50, 50, 1.0, BinomialVariant::NormalContinuity, 1.0);
        for (n, ratio) in [(1_u64, 1.0), (7, 1.0), (30, 0.3), (41, 2.5), (60, 19.0)] {
            for k in 0..=n {
                let share = ratio / (1.0 + ratio);
                let likely = binomial_pmf(k, n, share) * (1.0 + 1e-7);
                let expect: f64 = (0..=n).map(|i| binomial_pmf(i, n, share)).filter(|pmf| *pmf <= likely).sum();
                check(n - k, k, ratio, BinomialVariant::Exact, expect.min(1.0));
            }
        }
        let why =
            |control, treatment, ratio| sample_ratio_binomial(control, treatment, ratio, BinomialVariant::Exact).unwrap_err().why;
        assert!(why(0, 0, 1.0).contains("nobody"));
        assert!(why(1, 1, 0.0).contains("ratio is 0"));
        assert!(why(u64::MAX, 1, 1.0).contains("too many"));
    }

    #[test]
    fn nothing_observed_says_nothing() {
        let mut test = SequentialSampleRatio::new(&[3.0, 1.0, 1.0], 100.0).unwrap();
        let look = test.observe(&[0, 0, 0]).unwrap();
        assert!(look.log_bayes_factor.abs() < 1e-12 && (look.p_value - 1.0).abs() < 1e-12);
    }
}
