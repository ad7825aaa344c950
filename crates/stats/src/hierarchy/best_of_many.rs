//! The winner's curse of the best of several variants: its effect, freed from having been chosen for being the best.
//!
//! With estimates X ~ N(μ, Σ) and the winner w the largest, X_w given the choice and given what of the others does not depend
//! on it, Z_j = X_j − (Σ_jw/Σ_ww) X_w, is normal and cut to an interval. The conditional estimate is the median-unbiased one
//! there. It is unbounded where the race was close, so the hybrid also holds the effect within the simultaneous interval at
//! β = alpha/10. Andrews, Kitagawa & McCloskey, "Inference on winners", Quarterly Journal of Economics 139 (2024).

use serde::{Deserialize, Serialize};

use super::winners_curse::{Piece, conditional_upper, mean_at};
use crate::answer::{Degenerate, Interval, checked_alpha, finite};
use crate::numeric::{Matrix, find_root};
use crate::tail::normal_quantile_upper;

/// The part of alpha that the hybrid spends on its simultaneous interval, as its authors advise.
const HYBRID_SHARE: f64 = 0.1;

/// More variants than this are refused.
const VARIANTS_MAX: usize = 1_000;

/// The best variant's effect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BestOfMany {
    /// Which variant has the largest estimate, from 0; the first of equals.
    pub winner: usize,
    /// Its estimate as observed, which is too high on average.
    pub naive: f64,
    /// Its median-unbiased estimate given that it was chosen; `None` where the race was so close that it is unbounded.
    pub conditional: Option<f64>,
    /// Of its effect given that it was chosen, at one minus alpha.
    pub conditional_interval: Interval,
    /// The hybrid estimate, which is nearly median-unbiased and always near the data.
    pub hybrid: f64,
    /// Of its effect, at one minus alpha, by the hybrid.
    pub hybrid_interval: Interval,
}

/// Frees the largest of `estimates` from having been chosen. `covariance` is that of the estimates: squared standard errors
/// on the diagonal and, where they are differences from one control, the control's squared standard error elsewhere.
///
/// # Errors
/// [`Degenerate`] when there is no variant, the sizes do not agree, a number is not finite, or a variance is not greater than
/// zero.
pub fn best_of_many(estimates: &[f64], covariance: &Matrix, alpha: f64) -> Result<BestOfMany, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    let race = Race::new(estimates, covariance)?;
    let Race { winner, unit, z, piece } = race;
    let scaled = |mean: f64| finite("estimate", mean * unit);
    let conditional = |upper: f64| mean_at(z, &[piece], upper).map(scaled).transpose();
    // By Šidák's inequality the simultaneous interval holds whatever the correlation.
    let beta = HYBRID_SHARE * alpha;
    let each = -((-beta).ln_1p() / estimates.len() as f64).exp_m1();
    let reach = normal_quantile_upper(each / 2.0);
    let hybrid = |upper: f64| scaled(hybrid_at(z, piece, reach, upper));
    let rest = (alpha - beta) / (1.0 - beta);
    Ok(BestOfMany {
        winner,
        naive: estimates[winner],
        conditional: conditional(0.5)?,
        conditional_interval: Interval { lower: conditional(alpha / 2.0)?, upper: conditional(1.0 - alpha / 2.0)? },
        hybrid: hybrid(0.5)?,
        hybrid_interval: Interval::closed(hybrid(rest / 2.0)?, hybrid(1.0 - rest / 2.0)?),
    })
}

/// The winner's estimate in its standard errors and the interval to which its being the winner confines it.
struct Race {
    winner: usize,
    unit: f64,
    z: f64,
    piece: Piece,
}

impl Race {
    fn new(estimates: &[f64], covariance: &Matrix) -> Result<Self, Degenerate> {
        let k = estimates.len();
        if k == 0 || k > VARIANTS_MAX || covariance.rows() != k || covariance.columns() != k {
            return Err(Degenerate::new(format!(
                "there must be 1 to {VARIANTS_MAX} variants and one row of covariances for each"
            )));
        }
        for (i, estimate) in estimates.iter().enumerate() {
            let number = i + 1;
            let row = covariance.row(i);
            if !estimate.is_finite() || row.iter().any(|value| !value.is_finite()) || row[i] <= 0.0 {
                return Err(Degenerate::new(format!("variant {number} needs a finite effect and a standard error above zero")));
            }
        }
        let winner = estimates.iter().enumerate().fold(0, |best, (i, x)| if *x > estimates[best] { i } else { best });
        let row = covariance.row(winner);
        let unit = row[winner].sqrt();
        let z = finite("statistic", estimates[winner] / unit)?;
        let mut piece = (f64::NEG_INFINITY, f64::INFINITY);
        for j in (0..k).filter(|j| *j != winner) {
            let slope = row[j] / row[winner];
            let own = finite("statistic", (estimates[j] - slope * estimates[winner]) / unit)?;
            // X_w wins against X_j where (1 − slope) X_w exceeds what of X_j does not depend on it.
            if slope < 1.0 {
                piece.0 = piece.0.max(own / (1.0 - slope));
            } else if slope > 1.0 {
                piece.1 = piece.1.min(own / (1.0 - slope));
            }
        }
        // Rounding may push an edge past the estimate in a tie.
        Ok(Self { winner, unit, z, piece: (piece.0.min(z), piece.1.max(z)) })
    }
}

/// The mean at which P(Z > z) = `upper` where Z lies in `piece` and within `reach` of the mean.
fn hybrid_at(z: f64, piece: Piece, reach: f64, upper: f64) -> f64 {
    let excess = |mean: f64| {
        let (low, high) = (piece.0.max(mean - reach), piece.1.min(mean + reach));
        if high <= z {
            -upper
        } else if low >= z {
            1.0 - upper
        } else {
            conditional_upper(z, mean, &[(low, high)]) - upper
        }
    };
    find_root(excess, z - reach, z + reach).unwrap_or(z)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::numeric::Draws;

    fn independent(standard_errors: &[f64]) -> Matrix {
        let mut covariance = Matrix::zeros(standard_errors.len(), standard_errors.len());
        for (i, standard_error) in standard_errors.iter().enumerate() {
            covariance[(i, i)] = standard_error * standard_error;
        }
        covariance
    }

    #[test]
    fn a_clear_winner_and_a_single_variant_need_no_correction() {
        let clear = best_of_many(&[0.1, 9.0, 0.2], &independent(&[1.0, 1.0, 1.0]), 0.05).unwrap();
        assert_eq!(clear.winner, 1);
        assert!((clear.conditional.unwrap() - 9.0).abs() < 1e-6 && (clear.hybrid - 9.0).abs() < 1e-6, "{clear:?}");
        let single = best_of_many(&[2.0], &independent(&[0.5]), 0.05).unwrap();
        assert!((single.conditional.unwrap() - 2.0).abs() < 1e-12, "{single:?}");
        assert!((single.conditional_interval.lower.unwrap() - (2.0 - 0.979_981_992_270_027)).abs() < 1e-9, "{single:?}");
    }

    #[test]
    fn a_close_race_is_corrected_within_bounds() {
        let close = best_of_many(&[1.0, 0.999, 0.3], &independent(&[1.0, 1.0, 1.0]), 0.05).unwrap();
        assert!(close.conditional.is_none_or(|estimate| estimate < -100.0), "{close:?}");
        assert!(close.hybrid < 0.5 && close.hybrid > -3.0, "{close:?}");
        assert!(close.hybrid_interval.contains(close.hybrid));
        let tie = best_of_many(&[1.0, 1.0], &independent(&[1.0, 1.0]), 0.05).unwrap();
        assert!(tie.conditional.is_none() && tie.hybrid.is_finite(), "{tie:?}");
    }

    /// Five equal variants against a shared control: the naive estimate of the best is too high almost always, the
    /// hybrid about half of the time, and its interval holds.
    #[test]
    fn the_hybrid_is_too_high_as_often_as_too_low() {
        let mut draws = Draws::seeded(20_240_501);
        let mut covariance = Matrix::from_rows(&[[1.0; 5]; 5]);
        (0..5).for_each(|i| covariance[(i, i)] = 2.0);
        let (mut naive_high, mut hybrid_high, mut covered) = (0, 0, 0);
        for _ in 0..1_000 {
            let control = draws.normal();
            let estimates: Vec<f64> = (0..5).map(|_| draws.normal() - control).collect();
            let best = best_of_many(&estimates, &covariance, 0.1).unwrap();
            naive_high += u32::from(best.naive > 0.0);
            hybrid_high += u32::from(best.hybrid > 0.0);
            covered += u32::from(best.hybrid_interval.contains(0.0));
        }
        assert!(naive_high > 750, "{naive_high}");
        assert!((440..=580).contains(&hybrid_high), "{hybrid_high}");
        assert!((870..=935).contains(&covered), "{covered}");
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |estimates: &[f64], covariance: Matrix, expect: &str| {
            let error = best_of_many(estimates, &covariance, 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[], Matrix::zeros(0, 0), "1 to 1000 variants");
        check(&[1.0, 2.0], independent(&[1.0]), "one row");
        check(&[1.0, 2.0], independent(&[1.0, 0.0]), "variant 2");
        check(&[f64::NAN, 2.0], independent(&[1.0, 1.0]), "variant 1");
    }

    proptest! {
        #[test]
        fn no_input_gives_nan(estimates in prop::collection::vec(any::<f64>(), 1..5), variance in any::<f64>(), shared in any::<f64>()) {
            let k = estimates.len();
            let mut covariance = Matrix::from_rows(&vec![vec![shared; k]; k]);
            (0..k).for_each(|i| covariance[(i, i)] = variance);
            if let Ok(best) = best_of_many(&estimates, &covariance, 0.05) {
                prop_assert!(best.hybrid.is_finite() && best.hybrid_interval.lower.is_some_and(f64::is_finite));
                prop_assert!(best.conditional.is_none_or(f64::is_finite));
            }
        }

        /// The order of the variants and the unit do not matter.
        #[test]
        fn order_and_unit_are_harmless(estimates in prop::collection::vec(-3.0..3.0_f64, 2..6), scale in 1e-3..1e3_f64) {
            let k = estimates.len();
            let base = best_of_many(&estimates, &independent(&vec![1.0; k]), 0.05).unwrap();
            let changed: Vec<f64> = estimates.iter().rev().map(|x| x * scale).collect();
            let changed = best_of_many(&changed, &independent(&vec![scale; k]), 0.05).unwrap();
            prop_assert_eq!(base.winner, k - 1 - changed.winner);
            prop_assert!((base.hybrid * scale - changed.hybrid).abs() <= 1e-7 * scale);
        }
    }
}
