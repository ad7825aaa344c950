//! Sample-ratio mismatch: do the arms have the sizes they were meant to have? If not, something lost or added
//! recipients, and no other number can be trusted. Fabijan et al., "Diagnosing sample ratio mismatch in online
//! controlled experiments", KDD 2019.

use serde::{Deserialize, Serialize};

use crate::answer::{Degenerate, finite};
use crate::tail::{chi_square_upper, stirling_remainder};

/// Pearson's chi-square test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChiSquare {
    /// The sum of (observed − expected)² / expected.
    pub statistic: f64,
    /// Arms minus one.
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
    /// [`Degenerate`] when the number of arms is not that of the weights; the test is then unchanged.
    pub fn observe(&mut self, increments: &[u64]) -> Result<SampleRatioLook, Degenerate> {
        check_length(increments, &self.shares)?;
        for (count, increment) in self.counts.iter_mut().zip(increments) {
            *count = count.saturating_add(*increment);
        }
        let log_bayes_factor = self.log_bayes_factor();
        self.p_value = self.p_value.min((-log_bayes_factor).exp());
        Ok(SampleRatioLook { log_bayes_factor, p_value: self.p_value })
    }

    /// The sums of large log-gammas are taken apart by Stirling's formula and their large parts cancelled by hand: what
    /// remains is Σ z ln(z / (Z θ)), with z = c θ + x and Z = c + N, and small terms.
    fn log_bayes_factor(&self) -> f64 {
        let c = self.concentration;
        let all = c + self.counts.iter().map(|count| *count as f64).sum::<f64>();
        let per_arm = self.counts.iter().zip(&self.shares).map(|(count, share)| {
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
    Ok(weights.iter().map(|weight| weight / total).collect())
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

    #[test]
    fn nothing_observed_says_nothing() {
        let mut test = SequentialSampleRatio::new(&[3.0, 1.0, 1.0], 100.0).unwrap();
        let look = test.observe(&[0, 0, 0]).unwrap();
        assert!(look.log_bayes_factor.abs() < 1e-12 && (look.p_value - 1.0).abs() < 1e-12);
    }
}
