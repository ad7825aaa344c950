//! After stopping: a p-value and an estimate that know of the looks.
//!
//! Outcomes are ordered by stage: success at an earlier look is more extreme than at a later one, and at the same look a larger
//! z is. With p(θ) the chance, at drift θ, of an outcome at least as extreme as the one seen, the one-sided p-value is
//! p(0), the median-unbiased estimate solves p(θ) = ½, and the ends of the interval solve p(θ) = α/2 and 1 − α/2.
//! Tsiatis, Rosner & Mehta, "Exact confidence intervals following a group sequential test", Biometrics 40 (1984).

use serde::{Deserialize, Serialize};

use super::power::{increasing_root, settled};
use super::walk::Walk;
use crate::answer::{Degenerate, Interval, finite};

/// What may be said after stopping. Effects are in standard errors of the last look, as its statistic is: times that standard
/// error they are effects.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StageWise {
    /// Which look ended the experiment, counted from 1, or the latest where none did.
    pub look: usize,
    /// Small when the variant is better.
    pub p_value_one_sided: f64,
    /// Twice the smaller of the one-sided p-value and its complement.
    pub p_value: f64,
    /// Too high as often as too low, unlike the statistic itself, which is too high where a boundary was crossed.
    pub median_unbiased: f64,
    /// Of the effect, two-sided.
    pub interval: Interval,
}

/// The ordering of outcomes at the last of `fractions`, where the statistic is `statistic`; before it the boundaries, on the
/// scale of z, were not crossed. `alpha` is the two-sided error of the interval.
pub(super) fn stage_wise(
    fractions: &[f64],
    lower: &[f64],
    upper: &[f64],
    statistic: f64,
    alpha: f64,
) -> Result<StageWise, Degenerate> {
    let t = fractions[fractions.len() - 1];
    let root = t.sqrt();
    // In chances of both directions, so that neither loses its digits where the other is near one.
    let chances = |drift: f64| {
        let mut walk = Walk::new(drift, fractions[0]);
        let (mut above, mut below) = (0.0, 0.0);
        for (look, next) in fractions.iter().skip(1).enumerate() {
            let (low, high) = (lower[look] * fractions[look].sqrt(), upper[look] * fractions[look].sqrt());
            above += walk.above(high);
            below += if low.is_finite() { walk.below(low) } else { 0.0 };
            walk.proceed(low, high, *next);
        }
        let (more, less) = (walk.above(statistic * root), walk.below(statistic * root));
        (above + more, below + less)
    };
    let solve = |share: f64| {
        // The logarithm of the odds is nearly straight in the drift.
        let odds = |drift: f64| {
            let (above, below) = chances(drift);
            settled((above.max(f64::MIN_POSITIVE) / below.max(f64::MIN_POSITIVE)).ln() - (share / (1.0 - share)).ln())
        };
        increasing_root(odds, statistic / root).map(|drift| drift * root)
    };
    let (above, below) = chances(0.0);
    Ok(StageWise {
        look: fractions.len(),
        p_value_one_sided: above.min(1.0),
        p_value: (2.0 * above.min(below)).min(1.0),
        median_unbiased: finite("estimate", solve(0.5)?)?,
        interval: Interval::closed(solve(alpha / 2.0)?, solve(1.0 - alpha / 2.0)?),
    })
}

#[cfg(test)]
mod tests {
    use super::super::power::crossings;
    use super::*;
    use crate::tail::{normal_quantile_upper, normal_upper};

    #[test]
    fn at_the_first_look_it_is_the_usual_test() {
        let found = stage_wise(&[0.25], &[f64::NEG_INFINITY], &[4.0], 4.5, 0.05).unwrap();
        assert!((found.p_value_one_sided / normal_upper(4.5) - 1.0).abs() < 1e-11);
        assert!((found.median_unbiased - 4.5).abs() < 1e-9);
        let reach = normal_quantile_upper(0.025);
        let (lower, upper) = (found.interval.lower.unwrap(), found.interval.upper.unwrap());
        assert!((lower - 4.5 + reach).abs() < 1e-9 && (upper - 4.5 - reach).abs() < 1e-9);
    }

    /// At the critical value of the last look the p-value is what has been spent, on both sides of a symmetric design.
    #[test]
    fn on_the_boundary_all_error_is_spent() {
        let fractions = [0.3, 0.6, 1.0];
        let upper = [3.9285725426266085, 2.6699720039614476, 1.9810245034168474];
        let lower = upper.map(|z| -z);
        let found = stage_wise(&fractions, &lower, &upper, upper[2], 0.05).unwrap();
        assert!((found.p_value - 0.05).abs() < 1e-7, "{found:?}");
        assert!(found.interval.lower.unwrap().abs() < 1e-6 && found.look == 3);
        let mirrored = stage_wise(&fractions, &lower, &upper, -upper[2], 0.05).unwrap();
        assert!((mirrored.median_unbiased + found.median_unbiased).abs() < 1e-9);
        assert!((mirrored.p_value - found.p_value).abs() < 1e-12);
    }

    /// After an early success the estimate is smaller than the statistic, and at its own drift it is the median.
    #[test]
    fn the_estimate_is_the_median() {
        let (fractions, upper) = ([0.5, 1.0], [2.5, 2.0]);
        let lower = [f64::NEG_INFINITY; 2];
        let found = stage_wise(&fractions, &lower, &upper, 2.2, 0.05).unwrap();
        assert!(found.median_unbiased < 2.2);
        let at = crossings(found.median_unbiased, &fractions, &lower, &[2.5, 2.2]);
        assert!((at[0].above + at[1].above - 0.5).abs() < 1e-10);
    }
}
