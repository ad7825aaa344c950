//! Random-effects meta-analysis: how far experiments lie apart beyond their noise, and their mean.
//!
//! Estimates y_i ~ N(μ, s_i² + τ²). DerSimonian & Laird, "Meta-analysis in clinical trials", Controlled Clinical Trials 7
//! (1986); Paule & Mandel, "Consensus values and weighting factors", J. Research NBS 87 (1982); restricted maximum likelihood:
//! Viechtbauer, "Bias and efficiency of meta-analytic variance estimators", J. Educational and Behavioral Statistics 30
//! (2005); error of the mean: Hartung & Knapp, Statistics in Medicine 20 (2001); prediction interval: Higgins, Thompson &
//! Spiegelhalter, JRSS A 172 (2009).

use serde::{Deserialize, Serialize};

use super::scaled::Scaled;
use super::shrinkage::{Centre, given};
use crate::answer::{Degenerate, Interval, checked_alpha, finite};
use crate::numeric::find_root;
use crate::ratio::ChiSquare;
use crate::tail::{chi_square_upper, normal_quantile_upper, t_quantile_upper};

/// How the variance between experiments is estimated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetweenVariance {
    /// By the moment of Cochran's Q with weights 1/s².
    DersimonianLaird,
    /// The value at which Cochran's Q with weights 1/(s² + τ²) is what it should be, k − 1.
    PauleMandel,
    /// Where the restricted likelihood is greatest.
    Reml,
}

/// The mean effect of many experiments and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RandomEffects {
    /// The mean weighted by 1/(s² + τ²).
    pub mean: f64,
    /// Of `mean`, (Σ 1/(s² + τ²))^(−1/2).
    pub standard_error: f64,
    /// Of `mean`, normal, at one minus alpha.
    pub interval: Interval,
    /// Of `mean` by Hartung & Knapp, which allows for τ² being estimated.
    pub hartung_knapp_standard_error: f64,
    /// Of `mean` by Hartung & Knapp, t with k − 1 degrees of freedom.
    pub hartung_knapp_interval: Interval,
    /// Where the true effect of the next experiment lies, t with k − 2 degrees of freedom; `None` for two experiments.
    pub prediction_interval: Option<Interval>,
    /// τ², the variance of true effects.
    pub between_variance: f64,
    /// Cochran's Q, Σ (y − ȳ)²/s² about the mean weighted by 1/s².
    pub q: f64,
    /// Of Q, chi-square with k − 1 degrees of freedom: small when the effects differ by more than noise.
    pub q_p_value: f64,
    /// I², the share of the total variation that is not noise, max(0, (Q − (k − 1))/Q).
    pub i_squared: f64,
}

/// Cochran's test whether effects, given with their standard errors (> 0) in one unit, differ by more than noise:
/// Q = Σ (y − ȳ)²/s² about the mean weighted by 1/s², chi-square with k − 1 degrees of freedom. Cochran, "The combination of
/// estimates from different experiments", Biometrics 10 (1954).
///
/// # Errors
/// [`Degenerate`] when there are fewer than two estimates, one is not finite, or a standard error is not greater than zero.
pub fn heterogeneity(estimates: &[(f64, f64)]) -> Result<ChiSquare, Degenerate> {
    of_scaled(&Scaled::new("estimate", estimates)?)
}

fn of_scaled(scaled: &Scaled) -> Result<ChiSquare, Degenerate> {
    let degrees_of_freedom = scaled.variances.len() as u64 - 1;
    if degrees_of_freedom == 0 {
        return Err(Degenerate::new("there is one experiment; how far effects lie apart needs two"));
    }
    let statistic = finite("Q", cochran_q(scaled, 0.0))?;
    Ok(ChiSquare { statistic, degrees_of_freedom, p_value: chi_square_upper(statistic, degrees_of_freedom as f64) })
}

/// Pools `estimates`, effects with their standard errors (> 0), all in one unit.
///
/// # Errors
/// [`Degenerate`] when there are fewer than two estimates, one is not finite, or a standard error is not greater than zero.
pub fn meta_analysis(estimates: &[(f64, f64)], method: BetweenVariance, alpha: f64) -> Result<RandomEffects, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    let scaled = Scaled::new("experiment", estimates)?;
    let spare = (estimates.len() - 1) as f64;
    let ChiSquare { statistic: q, p_value: q_p_value, .. } = of_scaled(&scaled)?;
    let between = match method {
        BetweenVariance::DersimonianLaird => {
            let weights = || scaled.variances.iter().map(|variance| 1.0 / variance);
            let total: f64 = weights().sum();
            let squares: f64 = weights().map(|weight| weight * weight).sum();
            ((q - spare) / (total - squares / total)).max(0.0)
        }
        BetweenVariance::PauleMandel => paule_mandel(&scaled, q, spare),
        BetweenVariance::Reml => restricted_maximum(&scaled),
    };
    let pooled = given(&scaled, Centre::Estimated, finite("variance between experiments", between)?);
    let hartung_knapp = (pooled.mean_variance * cochran_q(&scaled, between) / spare).sqrt();
    let unit = scaled.unit;
    let interval = |reach: f64| -> Result<Interval, Degenerate> {
        Ok(Interval::closed(finite("interval", (pooled.mean - reach) * unit)?, finite("interval", (pooled.mean + reach) * unit)?))
    };
    let standard_error = pooled.mean_variance.sqrt();
    let prediction = (estimates.len() > 2)
        .then(|| interval(t_quantile_upper(alpha / 2.0, spare - 1.0) * (between + pooled.mean_variance).sqrt()))
        .transpose()?;
    Ok(RandomEffects {
        mean: finite("mean", pooled.mean * unit)?,
        standard_error: finite("standard error", standard_error * unit)?,
        interval: interval(normal_quantile_upper(alpha / 2.0) * standard_error)?,
        hartung_knapp_standard_error: finite("standard error", hartung_knapp * unit)?,
        hartung_knapp_interval: interval(t_quantile_upper(alpha / 2.0, spare) * hartung_knapp)?,
        prediction_interval: prediction,
        between_variance: finite("variance between experiments", between * unit * unit)?,
        q,
        q_p_value,
        i_squared: if q > spare { (q - spare) / q } else { 0.0 },
    })
}

/// Σ (y − μ̂)²/(s² + τ²).
fn cochran_q(scaled: &Scaled, between: f64) -> f64 {
    let mean = given(scaled, Centre::Estimated, between).mean;
    scaled.effects.iter().zip(&scaled.variances).map(|(y, s2)| (y - mean).powi(2) / (s2 + between)).sum()
}

/// Q falls as τ² grows, so doubling brackets the root.
fn paule_mandel(scaled: &Scaled, q: f64, spare: f64) -> f64 {
    if q <= spare {
        return 0.0;
    }
    let mut high = 1.0;
    while cochran_q(scaled, high) > spare {
        high *= 4.0;
    }
    find_root(|between| cochran_q(scaled, between) - spare, 0.0, high).unwrap_or(high)
}

/// Twice the slope of the restricted log likelihood in τ².
fn restricted_slope(scaled: &Scaled, between: f64) -> f64 {
    let mean = given(scaled, Centre::Estimated, between).mean;
    let (mut total, mut squares, mut fit) = (0.0, 0.0, 0.0);
    for (y, s2) in scaled.effects.iter().zip(&scaled.variances) {
        let weight = 1.0 / (s2 + between);
        total += weight;
        squares += weight * weight;
        fit += (weight * (y - mean)).powi(2);
    }
    fit - (total - squares / total)
}

/// The likelihood may have more than one top, so the best of a grid in ln τ² is found first and then refined.
fn restricted_maximum(scaled: &Scaled) -> f64 {
    const STEPS: i32 = 200;
    let furthest = scaled.effects.iter().fold(1.0_f64, |most, effect| most.max(effect.abs()));
    let (low, high) = (-30.0, 2.0 * furthest.ln() + 5.0);
    let at = |step: i32| (low + (high - low) * f64::from(step) / f64::from(STEPS)).exp();
    let likelihood = |between: f64| given(scaled, Centre::Estimated, between).log_likelihood;
    let best = (0..=STEPS).map(at).fold(0.0, |best, between| if likelihood(between) > likelihood(best) { between } else { best });
    if best <= 0.0 {
        return 0.0;
    }
    let factor = ((high - low) / f64::from(STEPS)).exp();
    find_root(|between| restricted_slope(scaled, between), best / factor, best * factor).unwrap_or(best)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Vaccination against tuberculosis (Colditz et al., JAMA 271, 1994): (cases, others) vaccinated and not, as log risk
    /// ratios with standard errors.
    fn vaccine() -> Vec<(f64, f64)> {
        let trials = [
            (4, 119, 11, 128),
            (6, 300, 29, 274),
            (3, 228, 11, 209),
            (62, 13_536, 248, 12_619),
            (33, 5_036, 47, 5_761),
            (180, 1_361, 372, 1_079),
            (8, 2_537, 10, 619),
            (505, 87_886, 499, 87_892),
            (29, 7_470, 45, 7_232),
            (17, 1_699, 65, 1_600),
            (186, 50_448, 141, 27_197),
            (5, 2_493, 3, 2_338),
            (27, 16_886, 29, 17_825),
        ];
        let log_risk_ratio = |(a, b, c, d): (i32, i32, i32, i32)| {
            let (a, b, c, d) = (f64::from(a), f64::from(b), f64::from(c), f64::from(d));
            ((a / (a + b) / (c / (c + d))).ln(), (1.0 / a - 1.0 / (a + b) + 1.0 / c - 1.0 / (c + d)).sqrt())
        };
        trials.into_iter().map(log_risk_ratio).collect()
    }

    /// statsmodels 0.15 `combine_effects` (methods "dl" and "iterated"); REML as metafor reports it, .3132 (-.7145, .1798),
    /// with more digits from a direct maximisation.
    #[test]
    fn the_vaccine_trials_as_peers_pool_them() {
        let check = |method, between: f64, mean: f64, standard_error: f64, tolerance: f64| {
            let pooled = meta_analysis(&vaccine(), method, 0.05).unwrap();
            assert!((pooled.between_variance / between - 1.0).abs() < tolerance, "{method:?} {pooled:?}");
            assert!((pooled.mean / mean - 1.0).abs() < tolerance, "{method:?} {pooled:?}");
            assert!((pooled.standard_error / standard_error - 1.0).abs() < tolerance, "{method:?} {pooled:?}");
            assert!((pooled.q / 152.233_008_082_373_37 - 1.0).abs() < 1e-12, "{pooled:?}");
            assert!((pooled.i_squared / 0.921_173_468_545_620_5 - 1.0).abs() < 1e-12, "{pooled:?}");
        };
        check(
            BetweenVariance::DersimonianLaird,
            0.308_760_262_862_376_34,
            -0.714_117_222_073_226_9,
            0.178_742_089_535_403_16,
            1e-12,
        );
        check(BetweenVariance::PauleMandel, 0.318_068_452_203_820_6, -0.714_968_153_493_337, 0.180_892_191_537_347_54, 1e-9);
        check(BetweenVariance::Reml, 0.313_243_256_593, -0.714_532_342_017, 0.179_781_515_749, 1e-7);
        let pooled = meta_analysis(&vaccine(), BetweenVariance::DersimonianLaird, 0.05).unwrap();
        assert!((pooled.hartung_knapp_standard_error / 0.180_696_628_335_545_47 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn effects_that_agree_lie_no_further_apart_than_noise() {
        for method in [BetweenVariance::DersimonianLaird, BetweenVariance::PauleMandel, BetweenVariance::Reml] {
            let pooled = meta_analysis(&[(1.0, 1.0), (1.1, 1.0), (0.9, 2.0)], method, 0.05).unwrap();
            assert_eq!((pooled.between_variance, pooled.i_squared), (0.0, 0.0));
            assert!(pooled.q_p_value > 0.9);
        }
        assert!(meta_analysis(&[(1.0, 1.0)], BetweenVariance::Reml, 0.05).unwrap_err().why.contains("needs two"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn unit_and_order_are_harmless(
            estimates in prop::collection::vec((-5.0..5.0_f64, 0.1..3.0_f64), 2..12), scale in 1e-6..1e6_f64,
        ) {
            let changed: Vec<(f64, f64)> = estimates.iter().rev().map(|(y, s)| (y * scale, s * scale)).collect();
            for method in [BetweenVariance::DersimonianLaird, BetweenVariance::PauleMandel, BetweenVariance::Reml] {
                let base = meta_analysis(&estimates, method, 0.05).unwrap();
                let changed = meta_analysis(&changed, method, 0.05).unwrap();
                prop_assert!((base.mean * scale - changed.mean).abs() <= 1e-6 * scale);
                let (one, other) = (base.between_variance * scale * scale, changed.between_variance);
                prop_assert!((one - other).abs() <= 1e-6 * scale * scale);
            }
        }
    }
}
