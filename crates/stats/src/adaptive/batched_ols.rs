//! The difference of two arms under adaptive shares, by standardising each wave on its own.
//!
//! Within a wave the shares are fixed, so Z_w = (ȳ_aw − ȳ_0w − Δ)/√(s²_a/n_aw + s²_0/n_0w) is standard normal, and so is Σ
//! Z_w/√W over W waves, because each is so given the past. Solved for Δ: the mean of the waves' differences weighted by the
//! inverse of their standard errors, with the standard error √W/Σ(1/SE_w). Zhang, Janson & Murphy, "Inference for batched
//! bandits", NeurIPS (2020).

use super::waves::{Wave, checked_waves};
use crate::answer::Degenerate;
use crate::effect::Effect;

/// The difference between `arm` and `control`, both numbers of arms from 0, with a two-sided normal test. Waves in which one of
/// the two has no recipient are left out. The spread s² of an arm is pooled over the waves, about each wave's own mean.
///
/// # Errors
/// [`Degenerate`] when the waves do not belong together, an outcome is not finite, no wave has recipients in both arms, or
/// neither arm varies within waves.
pub fn batched_ols(waves: &[Wave], arm: usize, control: usize, alpha: f64) -> Result<Effect, Degenerate> {
    checked_waves(waves, &[arm, control])?;
    if arm == control {
        return Err(Degenerate::new("an arm cannot be compared with itself"));
    }
    let (spread, spread_control) = (pooled_variance(waves, arm), pooled_variance(waves, control));
    let (mut count, mut weights, mut weighted) = (0.0_f64, 0.0, 0.0);
    for wave in waves {
        let (own, other) = (wave.arms[arm].moments, wave.arms[control].moments);
        if own.count == 0 || other.count == 0 {
            continue;
        }
        let variance = spread / own.count as f64 + spread_control / other.count as f64;
        if variance <= 0.0 {
            return Err(Degenerate::new("neither arm varies: within each wave, all recipients of an arm have the same value"));
        }
        let weight = 1.0 / variance.sqrt();
        count += 1.0;
        weights += weight;
        weighted += weight * (own.mean - other.mean);
    }
    if count == 0.0 {
        return Err(Degenerate::new("no wave has recipients in both arms"));
    }
    Effect::normal(weighted / weights, count.sqrt() / weights, alpha)
}

/// The variance within waves; zero where no wave has two recipients.
fn pooled_variance(waves: &[Wave], arm: usize) -> f64 {
    let own = || waves.iter().map(|wave| wave.arms[arm].moments);
    let spare = own().fold(0_u64, |spare, moments| spare.saturating_add(moments.count.saturating_sub(1)));
    if spare == 0 { 0.0 } else { own().map(|moments| moments.m2).sum::<f64>() / spare as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adaptive::waves::WaveArm;
    use crate::moments::Moments;

    fn wave(control: (u64, f64, f64), treated: (u64, f64, f64)) -> Wave {
        let arm = |(count, mean, m2)| WaveArm { propensity: 0.5, moments: Moments { count, mean, m2 } };
        Wave { arms: vec![arm(control), arm(treated)] }
    }

    #[test]
    fn waves_count_by_the_inverse_of_their_errors() {
        // Spread 1 in both arms; errors √(2/100) and √(2/25), so weights 2 : 1.
        let waves = [wave((100, 1.0, 99.0), (100, 1.6, 99.0)), wave((25, 2.0, 24.0), (25, 2.3, 24.0))];
        let effect = batched_ols(&waves, 1, 0, 0.05).unwrap();
        assert!((effect.difference - 0.5).abs() < 1e-12, "{effect:?}");
        let weights = 50.0_f64.sqrt() + 12.5_f64.sqrt();
        assert!((effect.standard_error - 2.0_f64.sqrt() / weights).abs() < 1e-12, "{effect:?}");
        // One wave alone is the plain comparison.
        let one = batched_ols(&waves[..1], 1, 0, 0.05).unwrap();
        assert!((one.standard_error - 0.02_f64.sqrt()).abs() < 1e-12, "{one:?}");
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |waves: &[Wave], expect: &str| {
            let error = batched_ols(waves, 1, 0, 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[wave((10, 1.0, 9.0), (0, 0.0, 0.0))], "no wave has recipients in both");
        check(&[wave((10, 1.0, 0.0), (10, 2.0, 0.0))], "neither arm varies");
        check(&[wave((10, 1.0, -1.0), (10, 2.0, 0.0))], "not numbers");
    }
}
