//! The normal-mixture boundary of a sum whose accumulated variance is known.
//!
//! With v the accumulated variance and r the tuning, the two-sided boundary is √((v + r) (ln(1 + v/r) + 2 ln(1/α))), and the
//! one-sided one is the s at which 2 √(r/(v+r)) exp(s²/(2(v+r))) Φ(s/√(v+r)) = 1/α. A sum of increments that are
//! sub-Gaussian with these variances ever crosses it with a chance of at most α.
//! Howard, Ramdas, McAuliffe & Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of
//! Statistics 49 (2021). It is the family of [`confidence`](super::confidence), with r = 1/ρ².

use super::confidence::{checked_alpha_one_sided, rho};
use crate::answer::{Degenerate, finite};
use crate::numeric::root::find_root;
use crate::tail::normal_log_upper;

/// The tuning r at which the boundary of error `alpha` is lowest at the accumulated variance `v_opt`.
fn tuning(alpha: f64, v_opt: f64) -> Result<f64, Degenerate> {
    let rho = rho(alpha, v_opt)?;
    finite("tuning", 1.0 / (rho * rho))
}

/// The two-sided boundary of the sum at accumulated variance `v`, lowest at `v_opt`.
///
/// # Errors
/// [`Degenerate`] when `v` is negative, `v_opt` is not positive, or alpha does not lie between 0 and 1.
pub fn normal_mixture_bound(v: f64, alpha: f64, v_opt: f64) -> Result<f64, Degenerate> {
    let r = tuning(alpha, v_opt)?;
    let v = checked_variance(v)?;
    finite("boundary", ((v + r).sqrt()) * ((v / r).ln_1p() - 2.0 * alpha.ln()).sqrt())
}

/// The one-sided boundary of the sum at accumulated variance `v`, lowest at `v_opt`.
///
/// # Errors
/// [`Degenerate`] when `v` is negative, `v_opt` is not positive, or alpha does not lie between 0 and one half.
pub fn normal_mixture_bound_one_sided(v: f64, alpha: f64, v_opt: f64) -> Result<f64, Degenerate> {
    let r = tuning(2.0 * checked_alpha_one_sided(alpha)?, v_opt)?;
    let v = checked_variance(v)?;
    // In units of √(v + r): y²/2 + ln Φ(y) is what the logarithms leave to be reached.
    let needed = 0.5 * (v / r).ln_1p() - (2.0 * alpha).ln();
    let excess = |y: f64| 0.5 * y * y + normal_log_upper(-y) - needed;
    // At zero ln Φ is −ln 2 and alpha is below one half; at the right end ln Φ > −ln 2 has been made up for.
    let high = (2.0 * (needed + std::f64::consts::LN_2)).sqrt();
    let y = find_root(excess, 0.0, high).ok_or_else(|| Degenerate::new("the boundary has no finite solution"))?;
    finite("boundary", y * (v + r).sqrt())
}

fn checked_variance(v: f64) -> Result<f64, Degenerate> {
    if v.is_finite() && v >= 0.0 {
        return Ok(v);
    }
    Err(Degenerate::new(format!("the accumulated variance is {v}; it must be zero or more")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::confidence::multiplier;
    use super::*;

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |v, alpha, v_opt, expect: &str| {
            for error in [normal_mixture_bound(v, alpha, v_opt), normal_mixture_bound_one_sided(v, alpha, v_opt)] {
                assert!(error.as_ref().unwrap_err().why.contains(expect), "{error:?}");
            }
        };
        check(-1.0, 0.05, 1.0, "accumulated variance is -1");
        check(1.0, 0.0, 1.0, "alpha is 0");
        check(1.0, 0.05, 0.0, "tuning is 0");
        assert!(normal_mixture_bound_one_sided(1.0, 0.5, 1.0).is_err());
    }

    proptest! {
        /// The boundary of the sum is the confidence sequence times √(v).
        #[test]
        fn the_sequence_is_the_same_boundary(v in 1.0..1e6_f64, v_opt in 1.0..1e6_f64, alpha in 0.001..0.45_f64) {
            let bound = normal_mixture_bound(v, alpha, v_opt).unwrap();
            let k = multiplier(v, alpha, v_opt).unwrap();
            prop_assert!((bound / (k * v.sqrt()) - 1.0).abs() < 1e-12);
            let one = normal_mixture_bound_one_sided(v, alpha, v_opt).unwrap();
            prop_assert!(one > 0.0 && (alpha > 0.2 || v < v_opt / 10.0 || one < bound));
        }

        #[test]
        fn answers_are_numbers(v in any::<f64>(), alpha in any::<f64>(), v_opt in any::<f64>()) {
            for alpha in [alpha, 1e-300, 0.1] {
                for bound in [normal_mixture_bound(v.abs(), alpha, v_opt.abs()), normal_mixture_bound_one_sided(v.abs(), alpha, v_opt.abs())] {
                    prop_assert!(bound.is_err() || bound.is_ok_and(f64::is_finite));
                }
            }
        }
    }
}
