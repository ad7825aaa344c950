//! What is kept of each wave of an adaptive experiment, and the mean weighted by periods.

use serde::{Deserialize, Serialize};

use crate::answer::{Degenerate, Interval, checked_alpha, finite};
use crate::moments::Moments;
use crate::tail::normal_quantile_upper;

/// More waves than this are refused.
pub const WAVES_MAX: usize = 100_000;

/// One arm within one wave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WaveArm {
    /// The share of the wave that was assigned to the arm by chance, between 0 and 1.
    pub propensity: f64,
    /// The outcomes of the arm's recipients in the wave.
    pub moments: Moments,
}

/// One wave, within which the shares were fixed: its arms, control first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wave {
    /// In the same order in every wave.
    pub arms: Vec<WaveArm>,
}

impl Wave {
    /// How many recipients the wave had.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.arms.iter().fold(0, |count, arm| arm.moments.count.saturating_add(count))
    }
}

/// An arm's mean with its error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ArmMean {
    /// The estimated mean.
    pub mean: f64,
    /// Its standard error.
    pub standard_error: f64,
    /// Normal, at one minus alpha.
    pub interval: Interval,
}

impl ArmMean {
    pub(super) fn new(mean: f64, variance: f64, alpha: f64) -> Result<Self, Degenerate> {
        let mean = finite("mean", mean)?;
        let standard_error = finite("standard error", variance.sqrt())?;
        let reach = normal_quantile_upper(checked_alpha(alpha)? / 2.0) * standard_error;
        let interval = Interval::closed(finite("interval", mean - reach)?, finite("interval", mean + reach)?);
        Ok(Self { mean, standard_error, interval })
    }
}

/// Refuses waves that do not belong together.
pub(super) fn checked_waves(waves: &[Wave], arms: &[usize]) -> Result<(), Degenerate> {
    if waves.is_empty() || waves.len() > WAVES_MAX {
        return Err(Degenerate::new(format!("there are {} waves; between 1 and {WAVES_MAX} are needed", waves.len())));
    }
    let count = waves[0].arms.len();
    if let Some(arm) = arms.iter().find(|arm| **arm >= count) {
        return Err(Degenerate::new(format!("there is no arm number {arm}; the waves have {count} arms, counted from 0")));
    }
    for (number, wave) in waves.iter().enumerate() {
        let number = number + 1;
        if wave.arms.len() != count {
            return Err(Degenerate::new(format!("wave {number} has {} arms and the first has {count}", wave.arms.len())));
        }
        let total: f64 = wave.arms.iter().map(|arm| arm.propensity).sum();
        let fits = wave.arms.iter().all(|arm| (0.0..=1.0).contains(&arm.propensity)) && (total - 1.0).abs() < 1e-6;
        if !fits {
            return Err(Degenerate::new(format!("the shares of wave {number} must lie between 0 and 1 and sum to 1")));
        }
        for arm in &wave.arms {
            let Moments { count, mean, m2 } = arm.moments;
            if !mean.is_finite() || !m2.is_finite() || m2 < 0.0 {
                return Err(Degenerate::new(format!("the outcomes of wave {number} are too large or not numbers")));
            }
            if count > 0 && arm.propensity == 0.0 {
                return Err(Degenerate::new(format!("wave {number} has recipients in an arm with a share of zero")));
            }
        }
    }
    Ok(())
}

/// An arm's mean weighted by the size of the waves, Σ (N_w/N) ȳ_aw: as if every wave had been split alike, so that neither a
/// trend nor the shares' chase of luck distorts it. Its variance is Σ (N_w/N)² s²_aw/n_aw.
/// It is post-stratification by wave: Miratrix, Sekhon & Yu, JRSS B 75 (2013).
///
/// # Errors
/// [`Degenerate`] when the waves do not belong together, an outcome is not finite, the arm has fewer than two recipients in
/// some wave, or it never varies.
pub fn period_weighted_mean(waves: &[Wave], arm: usize, alpha: f64) -> Result<ArmMean, Degenerate> {
    checked_waves(waves, &[arm])?;
    let total: f64 = waves.iter().map(|wave| wave.count() as f64).sum();
    let (mut mean, mut variance) = (0.0, 0.0);
    for (number, wave) in waves.iter().enumerate().filter(|(_, wave)| wave.count() > 0) {
        let moments = wave.arms[arm].moments;
        let Some(variance_of_mean) = moments.variance_of_mean() else {
            let number = number + 1;
            return Err(Degenerate::new(format!("arm {arm} has fewer than two recipients in wave {number}")));
        };
        let weight = wave.count() as f64 / total;
        mean += weight * moments.mean;
        variance += weight * weight * variance_of_mean;
    }
    if variance <= 0.0 {
        return Err(Degenerate::new(format!(
            "arm {arm} does not vary: within each wave, all of its recipients have the same value"
        )));
    }
    ArmMean::new(mean, variance, alpha)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::adaptive::{adaptive_aipw, adaptive_mad, batched_ols, mad_shares, thompson_shares};
    use crate::numeric::Draws;
    use crate::posterior::rate_standings;

    const RATE: f64 = 0.03;
    const ARMS: usize = 4;
    const WAVES: usize = 8;

    /// A binomial draw by the gaps between successes.
    fn successes(draws: &mut Draws, n: u64) -> u64 {
        let per_trial = -(-RATE).ln_1p();
        let (mut found, mut at) = (0, 0.0);
        loop {
            at += (draws.exponential() / per_trial).floor() + 1.0;
            if at > n as f64 {
                return found;
            }
            found += 1;
        }
    }

    /// A bandit over arms that are all alike.
    fn bandit(draws: &mut Draws) -> Vec<Wave> {
        let mut totals = [(1.0, 1.0); ARMS];
        let mut shares = vec![1.0 / ARMS as f64; ARMS];
        let mut waves = Vec::new();
        for _ in 0..WAVES {
            let arms: Vec<WaveArm> = shares
                .iter()
                .map(|propensity| {
                    let n = (20_000.0 * propensity).round() as u64;
                    WaveArm { propensity: *propensity, moments: Moments::from_successes(n, successes(draws, n)) }
                })
                .collect();
            for (total, arm) in totals.iter_mut().zip(&arms) {
                let (n, x) = (arm.moments.count as f64, arm.moments.sum());
                *total = (total.0 + x, total.1 + n - x);
            }
            waves.push(Wave { arms });
            let chances: Vec<f64> = rate_standings(&totals).unwrap().iter().map(|standing| standing.best).collect();
            shares = mad_shares(&thompson_shares(&chances, 0.05).unwrap(), 0.1).unwrap();
        }
        waves
    }

    /// Four equal arms at 3 %: every interval holds about as often as it promises, a confidence sequence at least so.
    #[test]
    fn intervals_hold_under_a_bandit() {
        let mut draws = Draws::seeded(31);
        let runs = 200;
        let (mut periods, mut aipw, mut means, mut ols, mut mad) = (0, 0, 0, 0, 0);
        for _ in 0..runs {
            let waves = bandit(&mut draws);
            for arm in 0..ARMS {
                periods += u32::from(period_weighted_mean(&waves, arm, 0.05).unwrap().interval.contains(RATE));
                means += u32::from(crate::adaptive::adaptive_aipw_mean(&waves, arm, 0.05).unwrap().interval.contains(RATE));
                if arm > 0 {
                    aipw += u32::from(adaptive_aipw(&waves, arm, 0, 0.05).unwrap().interval.contains(0.0));
                    ols += u32::from(batched_ols(&waves, arm, 0, 0.05).unwrap().interval.contains(0.0));
                    let looks = adaptive_mad(&waves, arm, 0, 160_000.0, 0.05).unwrap();
                    mad += u32::from(looks.iter().all(|look| look.interval.contains(0.0)));
                }
            }
        }
        let share = |covered: u32, of: usize| f64::from(covered) / (runs * of) as f64;
        let check = |name: &str, coverage: f64, low: f64, high: f64| {
            assert!((low..=high).contains(&coverage), "{name} {coverage}");
        };
        check("period-weighted", share(periods, ARMS), 0.93, 0.975);
        check("AIPW means", share(means, ARMS), 0.93, 0.98);
        check("AIPW differences", share(aipw, ARMS - 1), 0.93, 0.98);
        check("batched OLS", share(ols, ARMS - 1), 0.93, 0.975);
        check("MAD", share(mad, ARMS - 1), 0.96, 1.0);
    }

    #[test]
    fn a_period_without_recipients_says_so() {
        let wave = |n| Wave {
            arms: vec![
                WaveArm { propensity: 0.5, moments: Moments::from_successes(n, 1) },
                WaveArm { propensity: 0.5, moments: Moments::from_successes(100, 3) },
            ],
        };
        let error = period_weighted_mean(&[wave(100), wave(1)], 0, 0.05).unwrap_err();
        assert!(error.why.contains("fewer than two recipients in wave 2"), "{error}");
        // Half of the recipients at 1 %, a third at 1/50.
        let mean = period_weighted_mean(&[wave(100), wave(50)], 0, 0.05).unwrap().mean;
        assert!((mean - (200.0 / 350.0 * 0.01 + 150.0 / 350.0 * 0.02)).abs() < 1e-12, "{mean}");
    }

    proptest! {
        #[test]
        fn no_input_gives_nan(
            arms in prop::collection::vec((0.0..=1.0_f64, 0..50_u64, any::<f64>(), any::<f64>()), 6), tuning in any::<f64>(),
        ) {
            let wave = |arms: &[(f64, u64, f64, f64)]| {
                let total: f64 = arms.iter().map(|arm| arm.0).sum();
                let arm = |(share, count, mean, m2): &(f64, u64, f64, f64)| WaveArm {
                    propensity: share / total,
                    moments: Moments { count: *count, mean: *mean, m2: m2.abs() },
                };
                Wave { arms: arms.iter().map(arm).collect() }
            };
            let waves = [wave(&arms[..3]), wave(&arms[3..])];
            for effect in [adaptive_aipw(&waves, 1, 0, 0.05), batched_ols(&waves, 1, 0, 0.05)].into_iter().flatten() {
                prop_assert!(effect.difference.is_finite() && effect.standard_error.is_finite() && effect.p_value.is_finite());
            }
            for mean in [period_weighted_mean(&waves, 1, 0.05), crate::adaptive::adaptive_aipw_mean(&waves, 1, 0.05)].into_iter().flatten() {
                prop_assert!(mean.mean.is_finite() && mean.standard_error.is_finite());
            }
            if let Ok(looks) = adaptive_mad(&waves, 1, 0, tuning, 0.05) {
                prop_assert!(looks.iter().all(|look| look.difference.is_finite() && look.p_value.is_finite()));
            }
        }
    }
}
