//! A boundary for giving up: the chance of missing the effect that the design was made for is spent over the looks as well.
//!
//! With b_k the critical values, a_k and the drift θ solve P_θ(first below a_k at look k) = β(t_k) − β(t_{k−1}), and a_K = b_K at
//! the last look. A binding boundary is obeyed, which lets the critical values be lower; with a non-binding one they are
//! those of a design without it, so that going on in spite of it costs no error. Pampallona, Tsiatis & Kim, "Interim monitoring
//! of group sequential trials using spending functions for the type I and type II error probabilities", Drug Information
//! Journal 35 (2001).

use serde::{Deserialize, Serialize};

use super::CRITICAL_VALUE_MAX;
use super::boundaries::{Boundaries, boundaries, critical_value};
use super::power::{crossings, settled};
use super::spending::{Sides, Spending, checked_fractions};
use super::walk::Walk;
use crate::answer::{Degenerate, checked_alpha};
use crate::numeric::root::find_root;
use crate::tail::normal_quantile_upper;

/// A one-sided design with a boundary for giving up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Futility {
    /// Success above these.
    pub boundaries: Boundaries,
    /// Giving up below these: one per look; at the last look it is the critical value.
    pub lower_critical_values: Vec<f64>,
    /// The drift at which the design has the power 1 − β: the mean of z at the planned end. Its square is the information
    /// needed for an effect of one standard deviation.
    pub drift: f64,
    /// The chance at that drift of success up to each look, giving up obeyed.
    pub power: Vec<f64>,
    /// Whether giving up must be obeyed.
    pub binding: bool,
}

/// Plans success by `spending` of `alpha` and giving up by `beta_spending` of `beta`, one-sided.
///
/// # Errors
/// [`Degenerate`] where [`boundaries`] is, for classic shapes, which do not spend, when beta does not lie between 0 and
/// 1 − alpha, and when no drift has that power.
pub(super) fn futility(
    (spending, alpha): (Spending, f64),
    (beta_spending, beta): (Spending, f64),
    fractions: &[f64],
    binding: bool,
) -> Result<Futility, Degenerate> {
    checked_fractions(fractions)?;
    checked_alpha(alpha)?;
    if !(beta > 0.0 && beta < 1.0 - alpha) {
        return Err(Degenerate::new(format!("beta is {beta}; it must be more than zero and less than one minus alpha")));
    }
    let plan = Plan {
        alpha: spent(spending, alpha, fractions)?,
        beta: spent(beta_spending, beta, fractions)?,
        unbound: boundaries(spending, alpha, Sides::One, fractions)?.critical_values,
        fractions,
        binding,
    };
    // A fixed sample needs the sum of the two quantiles; a design needs more, but not three times as much.
    let fixed = normal_quantile_upper(alpha) + normal_quantile_upper(beta);
    // With too large a drift so much is given up on that alpha cannot be spent any more.
    let missed = |drift: f64| plan.at(drift).map_or(-1.0, |at| settled(at.missed / beta - 1.0));
    let end = fractions[fractions.len() - 1].sqrt();
    let drift = find_root(missed, 0.2 * fixed / end, 3.0 * fixed / end + 1.0);
    let drift = drift.ok_or_else(|| Degenerate::new("no effect is both found and given up on with these chances"))?;
    let at = plan.at(drift)?;
    if at.upper.len() < fractions.len() || (at.missed / beta - 1.0).abs() > 1e-6 {
        return Err(Degenerate::new("the two boundaries meet before the last look; fewer looks or other spending is needed"));
    }
    let mut sum = 0.0;
    let crossings = crossings(drift, fractions, &at.lower, &at.upper);
    let power = crossings.iter().map(|crossing| {
        sum += crossing.above;
        sum
    });
    let power = power.collect();
    Ok(Futility {
        boundaries: Boundaries::new(at.upper, &plan.alpha, Sides::One),
        lower_critical_values: at.lower,
        drift,
        power,
        binding,
    })
}

/// What is spent up to each look.
fn spent(spending: Spending, error: f64, fractions: &[f64]) -> Result<Vec<f64>, Degenerate> {
    let each = fractions.iter().map(|t| {
        let spent = spending.spent(*t, error)?;
        spent.ok_or_else(|| Degenerate::new("a classic shape does not spend errors; giving up needs a spending function"))
    });
    each.collect()
}

struct Plan<'a> {
    alpha: Vec<f64>,
    beta: Vec<f64>,
    /// The critical values without giving up.
    unbound: Vec<f64>,
    fractions: &'a [f64],
    binding: bool,
}

/// Both boundaries, were the drift the right one, and the chance that it is missed at the last look less what is left of beta.
struct AtDrift {
    upper: Vec<f64>,
    lower: Vec<f64>,
    missed: f64,
}

impl Plan<'_> {
    fn at(&self, drift: f64) -> Result<AtDrift, Degenerate> {
        let fractions = self.fractions;
        let mut without = Walk::new(0.0, fractions[0]);
        let mut with = Walk::new(drift, fractions[0]);
        let mut at = AtDrift { upper: Vec::new(), lower: Vec::new(), missed: 0.0 };
        let (mut alpha, mut beta) = (0.0, 0.0);
        for (look, t) in fractions.iter().enumerate() {
            let root = t.sqrt();
            let upper =
                if self.binding { critical_value(&without, self.alpha[look] - alpha, *t, 1.0)? } else { self.unbound[look] };
            let lower = match fractions.get(look + 1) {
                None => upper,
                Some(_) => lower_critical_value(&with, self.beta[look] - beta, *t, drift).min(upper),
            };
            (alpha, beta) = (self.alpha[look], self.beta[look]);
            at.missed += with.below(lower * root);
            at.upper.push(upper);
            at.lower.push(lower);
            if lower >= upper {
                // Nothing goes on. This happens at the last look, and on the way to the right drift.
                break;
            }
            if let Some(next) = fractions.get(look + 1) {
                without.proceed(lower * root, upper * root, *next);
                with.proceed(lower * root, upper * root, *next);
            }
        }
        Ok(at)
    }
}

/// The z below which the motion is, for the first time, with chance `target`; where even all that is left is less, infinity.
pub(super) fn lower_critical_value(walk: &Walk, target: f64, t: f64, drift: f64) -> f64 {
    let guess = drift * t - normal_quantile_upper(target.clamp(1e-300, 0.5)) * t.sqrt();
    if target < 1e-305 {
        return -CRITICAL_VALUE_MAX;
    }
    walk.boundary_below(target, guess).map_or(f64::INFINITY, |value| (value / t.sqrt()).max(-CRITICAL_VALUE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(actual: &[f64], expect: &[f64], tolerance: f64) {
        let same = actual.iter().zip(expect).all(|(a, e)| (a - e).abs() <= tolerance);
        assert!(same && actual.len() == expect.len(), "{actual:?} is not {expect:?}");
    }

    const KIM: ((Spending, f64), (Spending, f64), [f64; 3]) =
        ((Spending::Power { exponent: 2.2 }, 0.03), (Spending::Power { exponent: 3.2 }, 0.34), [0.3, 0.7, 1.0]);

    /// x2 and x3 (asHSD/bsHSD and asKD/bsKD, non-binding) of rpact's test-f_design_group_sequential.R.
    #[test]
    fn futility_of_peers() {
        let hwang = (Spending::HwangShihDeCani { gamma: -1.0 }, 0.07);
        let beta = (Spending::HwangShihDeCani { gamma: -2.0 }, 0.14);
        let found = futility(hwang, beta, &[0.2, 0.4, 1.0], false).unwrap();
        near(&found.boundaries.critical_values, &[2.364813, 2.1928805, 1.5660474], 1e-7);
        near(&found.lower_critical_values[..2], &[-1.1063623, -0.35992439], 1e-7);
        near(&[found.drift * found.drift], &[7.1015943], 1e-6);
        near(&found.power, &[0.12038953, 0.32895265, 0.86], 1e-7);

        let (alpha, beta, fractions) = KIM;
        let found = futility(alpha, beta, &fractions, false).unwrap();
        near(&found.boundaries.critical_values, &[2.8594012, 2.2435708, 1.9735737], 1e-7);
        near(&found.lower_critical_values[..2], &[-1.1558435, 0.72836893], 1e-7);
        near(&[found.drift * found.drift], &[5.5513711], 1e-6);
        near(&found.power, &[0.058336437, 0.398246, 0.66], 1e-7);
    }

    /// Giving up when bound to lowers the critical values, and both errors are still spent exactly.
    #[test]
    fn binding_futility_spends_both_errors() {
        let (alpha, beta, fractions) = KIM;
        let free = futility(alpha, beta, &fractions, false).unwrap();
        let bound = futility(alpha, beta, &fractions, true).unwrap();
        for look in 1..3 {
            assert!(bound.boundaries.critical_values[look] < free.boundaries.critical_values[look]);
        }
        let uppers = &bound.boundaries.critical_values;
        let errors = crossings(0.0, &fractions, &bound.lower_critical_values, uppers);
        let misses = crossings(bound.drift, &fractions, &bound.lower_critical_values, uppers);
        near(&[errors.iter().map(|crossing| crossing.above).sum()], &[0.03], 1e-10);
        near(&[misses.iter().map(|crossing| crossing.below).sum()], &[0.34], 1e-10);
        near(&[bound.power[2]], &[0.66], 1e-10);
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |spending, beta_spending, beta, fractions: &[f64], expect: &str| {
            let error = futility((spending, 0.05), (beta_spending, beta), fractions, false).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        let even = Spending::Power { exponent: 1.0 };
        check(even, even, 0.0, &[0.5, 1.0], "beta is 0");
        check(even, even, 0.96, &[0.5, 1.0], "beta is 0.96");
        check(even, Spending::Pocock, 0.2, &[0.5, 1.0], "classic");
        check(even, even, 0.2, &[1.0, 0.5], "ascend");
    }
}
