//! The mixture adaptive design: a bandit whose differences can be watched at every wave.
//!
//! Each share is mixed with an even one, e = δ/K + (1 − δ) π, so that every arm is always sent to. Then the
//! inverse-propensity estimate τ̂ = 1{A = a} Y/e_a − 1{A = 0} Y/e_0 averages to the difference, and with S = Σ (1{A = a}
//! Y²/e_a² + 1{A = 0} Y²/e_0²), an upper bound of its variance, (1/t) Σ τ̂ ± √S/t · √(2 (tρ² + 1)/(tρ²) · ln(√(tρ² +
//! 1)/alpha)) holds at all waves at once. Liang & Bojinov, "An experimental design for anytime-valid causal inference on
//! multi-armed bandits", arXiv 2311.05794 (2023); boundary: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas, "Time-uniform
//! central limit theory", Annals of Statistics 52 (2024).

use serde::{Deserialize, Serialize};

use super::waves::{Wave, checked_waves};
use crate::answer::{Degenerate, Interval, checked_alpha, finite};

/// What can be said after a wave, at once with all other waves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MadLook {
    /// Recipients so far, all arms.
    pub count: u64,
    /// The inverse-propensity estimate of the difference, arm less control.
    pub difference: f64,
    /// √S/t, the standard error by the upper bound of the variance.
    pub standard_error: f64,
    /// The confidence sequence at one minus alpha.
    pub interval: Interval,
    /// Always-valid, the smallest so far.
    pub p_value: f64,
}

/// The shares of the next wave: `adaptive` ones mixed with even ones of weight `even_share`.
///
/// The design is valid while `even_share` falls more slowly than the fourth root of the recipients grows.
///
/// # Errors
/// [`Degenerate`] when there is no arm, a share is not between 0 and 1, or `even_share` is not greater than 0 and at most 1.
pub fn mad_shares(adaptive: &[f64], even_share: f64) -> Result<Vec<f64>, Degenerate> {
    let fits = adaptive.iter().all(|share| (0.0..=1.0).contains(share)) && (adaptive.iter().sum::<f64>() - 1.0).abs() < 1e-6;
    if !fits {
        return Err(Degenerate::new("the adaptive shares must lie between 0 and 1 and sum to 1"));
    }
    if !(even_share > 0.0 && even_share <= 1.0) {
        return Err(Degenerate::new(format!("the even share is {even_share}; it must be greater than 0 and at most 1")));
    }
    let even = 1.0 / adaptive.len() as f64;
    Ok(adaptive.iter().map(|share| even_share * even + (1.0 - even_share) * share).collect())
}

/// The difference between `arm` and `control` after each wave, valid at all of them at once. Looks begin with the first outcome
/// that is not zero.
///
/// The propensities of the waves are the mixed ones. `tuning_count` is how many recipients (> 0, all arms) the sequence is to be
/// tightest at.
///
/// # Errors
/// [`Degenerate`] when the waves do not belong together, a share of the two arms is zero, an outcome is not finite, the tuning
/// count is not greater than zero, or all outcomes are zero.
pub fn adaptive_mad(
    waves: &[Wave],
    arm: usize,
    control: usize,
    tuning_count: f64,
    alpha: f64,
) -> Result<Vec<MadLook>, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    checked_waves(waves, &[arm, control])?;
    if arm == control {
        return Err(Degenerate::new("an arm cannot be compared with itself"));
    }
    if !(tuning_count.is_finite() && tuning_count > 0.0) {
        return Err(Degenerate::new("the tuning count must be greater than zero"));
    }
    let log = -2.0 * alpha.ln();
    let rho_square = (log + log.ln_1p()) / tuning_count;
    let (mut count, mut sum, mut squares, mut smallest) = (0_u64, 0.0, 0.0, 1.0_f64);
    let mut looks = Vec::with_capacity(waves.len());
    for (number, wave) in waves.iter().enumerate() {
        count = count.saturating_add(wave.count());
        for (arm, sign) in [(arm, 1.0), (control, -1.0)] {
            let own = wave.arms[arm];
            if own.propensity <= 0.0 {
                let number = number + 1;
                return Err(Degenerate::new(format!(
                    "an arm has a share of zero in wave {number}; the design keeps every arm above"
                )));
            }
            let raw = own.moments.m2 + own.moments.count as f64 * own.moments.mean * own.moments.mean;
            sum += sign * own.moments.sum() / own.propensity;
            squares += raw / (own.propensity * own.propensity);
        }
        if squares <= 0.0 {
            continue;
        }
        let t = count as f64;
        let (difference, standard_error) = (finite("difference", sum / t)?, finite("standard error", squares.sqrt() / t)?);
        let grown = t * rho_square + 1.0;
        let reach = standard_error * (2.0 * grown / (t * rho_square) * (0.5 * grown.ln() - alpha.ln())).sqrt();
        let z = finite("statistic", difference / standard_error)?;
        let log_evidence = t * rho_square * z * z / (2.0 * grown) - 0.5 * grown.ln();
        smallest = smallest.min((-log_evidence).exp());
        let interval = Interval::closed(finite("interval", difference - reach)?, finite("interval", difference + reach)?);
        looks.push(MadLook { count, difference, standard_error, interval, p_value: smallest });
    }
    if looks.is_empty() {
        return Err(Degenerate::new("all outcomes are zero, so their spread is not known yet"));
    }
    Ok(looks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adaptive::waves::WaveArm;
    use crate::moments::Moments;

    fn wave(shares: (f64, f64), counts: (u64, u64), successes: (u64, u64)) -> Wave {
        let arm = |propensity, count, successes| WaveArm { propensity, moments: Moments::from_successes(count, successes) };
        Wave { arms: vec![arm(shares.0, counts.0, successes.0), arm(shares.1, counts.1, successes.1)] }
    }

    #[test]
    fn the_estimate_is_by_inverse_propensities() {
        let waves = [wave((0.5, 0.5), (500, 500), (10, 20)), wave((0.2, 0.8), (200, 800), (4, 40))];
        let looks = adaptive_mad(&waves, 1, 0, 2000.0, 0.05).unwrap();
        let expect = (20.0 / 0.5 + 40.0 / 0.8 - 10.0 / 0.5 - 4.0 / 0.2) / 2000.0;
        assert!((looks[1].difference - expect).abs() < 1e-12, "{looks:?}");
        let squares: f64 = 20.0 / 0.25 + 40.0 / 0.64 + 10.0 / 0.25 + 4.0 / 0.04;
        assert!((looks[1].standard_error - squares.sqrt() / 2000.0).abs() < 1e-12, "{looks:?}");
        // Own pin of the boundary: k(5000|5000) = 3.0352089903762534 standard errors.
        let tuned = adaptive_mad(&[wave((0.5, 0.5), (2500, 2500), (50, 60))], 1, 0, 5000.0, 0.05).unwrap()[0];
        let reach = (tuned.interval.upper.unwrap() - tuned.difference) / tuned.standard_error;
        assert!((reach - 3.035_208_990_376_253_4).abs() < 1e-9, "{reach}");
        assert!(looks[1].p_value <= looks[0].p_value);
        assert_eq!(looks[0].p_value < 0.05, !looks[0].interval.contains(0.0));
    }

    #[test]
    fn shares_are_mixed() {
        assert_eq!(mad_shares(&[1.0, 0.0], 0.2).unwrap(), vec![0.9, 0.1]);
        assert!(mad_shares(&[1.0, 0.1], 0.2).unwrap_err().why.contains("sum to 1"));
        assert!(mad_shares(&[1.0], 0.0).unwrap_err().why.contains("even share"));
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |waves: &[Wave], tuning, expect: &str| {
            let error = adaptive_mad(waves, 1, 0, tuning, 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[wave((1.0, 0.0), (10, 0), (1, 0))], 10.0, "share of zero");
        check(&[wave((0.5, 0.5), (10, 10), (0, 0))], 10.0, "are zero");
        let late = [wave((0.5, 0.5), (10, 10), (0, 0)), wave((0.5, 0.5), (10, 10), (1, 2))];
        assert_eq!(adaptive_mad(&late, 1, 0, 10.0, 0.05).unwrap().len(), 1);
        check(&[wave((0.5, 0.5), (10, 10), (1, 1))], 0.0, "tuning count");
    }
}
