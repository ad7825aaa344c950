//! Means and differences under adaptive shares by augmented inverse propensity weighting.
//!
//! For a recipient with outcome Y in a wave where arm a had the share e_a, Γ_a = m_a + 1{A = a}(Y − m_a)/e_a has the mean
//! of arm a whatever happened before, if the guess m_a comes from earlier waves. A plain average of Γ is unbiased but not
//! normal, because its variance depends on the shares that luck chose; weights h ∝ √e_a keep the variance of each term
//! constant, and then the studentised average is normal. For a difference h ∝ 1/√(1/e_a + 1/e_0). Hadad, Hirshberg, Zhan,
//! Wager & Athey, "Confidence intervals for policy evaluation in adaptive experiments", PNAS 118 (2021).
//!
//! The first wave has no earlier one; its shares were fixed in advance, and its own mean is taken as the guess.

use super::waves::{ArmMean, Wave, checked_waves};
use crate::answer::Degenerate;
use crate::effect::Effect;
use crate::moments::Moments;

/// The mean of `arm`.
///
/// # Errors
/// [`Degenerate`] when the waves do not belong together, an outcome is not finite, or the arm never varies.
pub fn adaptive_aipw_mean(waves: &[Wave], arm: usize, alpha: f64) -> Result<ArmMean, Degenerate> {
    checked_waves(waves, &[arm])?;
    let (mean, variance) = weighted(waves, &[(arm, 1.0)])?;
    ArmMean::new(mean, variance, alpha)
}

/// The difference between `arm` and `control`, both numbers of arms from 0, with a two-sided normal test.
///
/// # Errors
/// [`Degenerate`] when the waves do not belong together, an outcome is not finite, or neither arm varies.
pub fn adaptive_aipw(waves: &[Wave], arm: usize, control: usize, alpha: f64) -> Result<Effect, Degenerate> {
    checked_waves(waves, &[arm, control])?;
    if arm == control {
        return Err(Degenerate::new("an arm cannot be compared with itself"));
    }
    let (difference, variance) = weighted(waves, &[(arm, 1.0), (control, -1.0)])?;
    Effect::normal(difference, variance.sqrt(), alpha)
}

/// Σ h ΣΓ / Σ h N and Σ h² Σ(Γ − Q)² / (Σ h N)², for Γ the signed sum over `arms` (arm, sign).
fn weighted(waves: &[Wave], arms: &[(usize, f64)]) -> Result<(f64, f64), Degenerate> {
    let mut history = vec![Moments::default(); waves[0].arms.len()];
    let mut terms = Vec::with_capacity(waves.len());
    for wave in waves.iter().filter(|wave| wave.count() > 0) {
        let inverse: f64 = arms.iter().map(|(arm, _)| 1.0 / wave.arms[*arm].propensity).sum();
        if inverse.is_finite() {
            terms.push(Term::new(wave, arms, &history, 1.0 / inverse.sqrt()));
        }
        for (earlier, arm) in history.iter_mut().zip(&wave.arms) {
            *earlier = earlier.merge(&arm.moments);
        }
    }
    let weight: f64 = terms.iter().map(|term| term.weight * term.scores.count as f64).sum();
    if weight <= 0.0 {
        return Err(Degenerate::new("no wave gave a share to each arm of the comparison"));
    }
    let mean: f64 = terms.iter().map(|term| term.weight * term.scores.sum()).sum::<f64>() / weight;
    let spread = |scores: &Moments| scores.m2 + scores.count as f64 * (scores.mean - mean).powi(2);
    let variance: f64 = terms.iter().map(|term| (term.weight / weight).powi(2) * spread(&term.scores)).sum();
    if variance <= 0.0 || variance.is_nan() {
        return Err(Degenerate::new("the arms do not vary: all of their recipients have the same value"));
    }
    Ok((mean, variance))
}

/// A wave's scores and their weight.
struct Term {
    weight: f64,
    scores: Moments,
}

impl Term {
    fn new(wave: &Wave, arms: &[(usize, f64)], history: &[Moments], weight: f64) -> Self {
        let guess = |arm: usize| if history[arm].count > 0 { history[arm].mean } else { wave.arms[arm].moments.mean };
        // Everyone gets the guess; whoever is in an arm gets its correction on top.
        let base: f64 = arms.iter().map(|(arm, sign)| sign * guess(*arm)).sum();
        let mut others = wave.count();
        let mut scores = Moments::default();
        for (arm, sign) in arms {
            let own = &wave.arms[*arm];
            let Moments { count, mean, m2 } = own.moments;
            others = others.saturating_sub(count);
            let corrected = base + sign * (mean - guess(*arm)) / own.propensity;
            scores = scores.merge(&Moments { count, mean: corrected, m2: m2 / (own.propensity * own.propensity) });
        }
        Self { weight, scores: scores.merge(&Moments { count: others, mean: base, m2: 0.0 }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adaptive::waves::WaveArm;

    fn wave(arms: &[(f64, &[f64])]) -> Wave {
        let arm =
            |(propensity, values): &(f64, &[f64])| WaveArm { propensity: *propensity, moments: Moments::from_values(values) };
        Wave { arms: arms.iter().map(arm).collect() }
    }

    /// The same from rows, recipient by recipient.
    #[test]
    fn moments_are_enough() {
        let (a1, b1, a2, b2): (&[f64], &[f64], &[f64], &[f64]) =
            (&[1.0, 2.0, 4.0], &[3.0, 5.0, 1.0], &[2.0, 0.0], &[6.0, 2.0, 2.0, 1.0, 3.0]);
        let waves = [wave(&[(0.5, a1), (0.5, b1)]), wave(&[(0.3, a2), (0.7, b2)])];
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let (guess_a, guess_b) = (mean(a1), mean(b1));
        let mut rows = Vec::new();
        for ((a, b), (share_a, share_b)) in [((a1, b1), (0.5, 0.5)), ((a2, b2), (0.3, 0.7))] {
            let weight = 1.0 / (1.0_f64 / share_a + 1.0 / share_b).sqrt();
            rows.extend(a.iter().map(|y| (weight, guess_b - guess_a - (y - guess_a) / share_a)));
            rows.extend(b.iter().map(|y| (weight, guess_b - guess_a + (y - guess_b) / share_b)));
        }
        let total: f64 = rows.iter().map(|(weight, _)| weight).sum();
        let expect: f64 = rows.iter().map(|(weight, score)| weight * score).sum::<f64>() / total;
        let variance: f64 = rows.iter().map(|(weight, score)| (weight / total * (score - expect)).powi(2)).sum();
        let effect = adaptive_aipw(&waves, 1, 0, 0.05).unwrap();
        assert!(
            (effect.difference - expect).abs() < 1e-12 && (effect.standard_error - variance.sqrt()).abs() < 1e-12,
            "{effect:?}"
        );
        let turned = adaptive_aipw(&waves, 0, 1, 0.05).unwrap();
        assert!((effect.difference + turned.difference).abs() < 1e-12, "{turned:?}");
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |waves: &[Wave], arm: usize, expect: &str| {
            let error = adaptive_aipw(waves, arm, 0, 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[], 1, "0 waves");
        check(&[wave(&[(0.5, &[1.0]), (0.5, &[2.0])])], 2, "no arm number 2");
        check(&[wave(&[(0.5, &[1.0]), (0.5, &[2.0])])], 0, "with itself");
        check(&[wave(&[(0.5, &[1.0]), (0.6, &[2.0])])], 1, "sum to 1");
        check(&[wave(&[(1.0, &[1.0]), (0.0, &[2.0])])], 1, "share of zero");
        check(&[wave(&[(1.0, &[1.0, 2.0]), (0.0, &[])])], 1, "no wave gave a share");
        check(&[wave(&[(0.5, &[1.0, 1.0]), (0.5, &[1.0, 1.0])])], 1, "do not vary");
        check(&[wave(&[(0.5, &[f64::NAN]), (0.5, &[1.0])])], 1, "not numbers");
    }
}
