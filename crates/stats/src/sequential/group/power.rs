//! What a design costs, and what may still come.

use serde::{Deserialize, Serialize};

use super::boundaries::{boundaries, equally_spaced};
use super::spending::{Sides, Spending};
use super::walk::Walk;
use crate::answer::{Degenerate, checked_alpha, finite};
use crate::numeric::root::find_root;
use crate::tail::normal_quantile_upper;

/// Attempts to enclose a root.
const DOUBLINGS_MAX: usize = 60;

/// The chances of leaving at a look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Crossing {
    /// For the first time above the upper boundary.
    pub above: f64,
    /// For the first time below the lower boundary.
    pub below: f64,
}

/// What looking costs against a fixed sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Inflation {
    /// The squared drift at which the design has the power asked for.
    pub shift: f64,
    /// The largest sample of the design over the fixed sample of the same power.
    pub inflation_factor: f64,
    /// The mean sample of the design, at that drift, over the fixed sample.
    pub expected_inflation_h1: f64,
}

/// The chance that an experiment under way still succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ConditionalPower {
    /// Of crossing the upper boundary at one of the looks to come.
    pub above: f64,
    /// Of crossing the lower boundary at one of them.
    pub below: f64,
}

/// The chances of leaving at each look, with `drift` the mean of z at fraction 1; boundaries on the scale of z, infinite where
/// there is none.
pub(super) fn crossings(drift: f64, fractions: &[f64], lower: &[f64], upper: &[f64]) -> Vec<Crossing> {
    let roots: Vec<f64> = fractions.iter().map(|t| t.sqrt()).collect();
    let scaled = |values: &[f64]| -> Vec<f64> { values.iter().zip(&roots).map(|(z, root)| z * root).collect() };
    crossings_of(Walk::new(drift, fractions[0]), fractions, &scaled(lower), &scaled(upper))
}

/// As [`crossings`], of a motion already begun and with the boundaries on its own scale.
fn crossings_of(mut walk: Walk, times: &[f64], lower: &[f64], upper: &[f64]) -> Vec<Crossing> {
    let each = times.iter().enumerate().map(|(look, _)| {
        let (lower, upper) = (lower[look], upper[look]);
        let above = if upper.is_finite() { walk.above(upper) } else { 0.0 };
        let below = if lower.is_finite() { walk.below(lower) } else { 0.0 };
        if let Some(next) = times.get(look + 1) {
            walk.proceed(lower, upper, *next);
        }
        Crossing { above: above.clamp(0.0, 1.0), below: below.clamp(0.0, 1.0) }
    });
    each.collect()
}

/// The lower boundary that belongs to the upper one.
pub(super) fn lower_of(upper: &[f64], sides: Sides) -> Vec<f64> {
    upper.iter().map(|z| if sides == Sides::Two { -z } else { f64::NEG_INFINITY }).collect()
}

/// How much larger than a fixed sample a design with `looks` equally spaced looks must be for the power 1 − `beta` (of
/// crossing the upper boundary), and how much of it is used on average. Jennison & Turnbull 2000, chapter 7.
///
/// # Errors
/// [`Degenerate`] where [`boundaries`] is, when beta does not lie between 0 and 1 − alpha, and when there are no looks or too
/// many.
pub fn inflation(spending: Spending, alpha: f64, sides: Sides, beta: f64, looks: usize) -> Result<Inflation, Degenerate> {
    let fractions = equally_spaced(looks)?;
    let tail = checked_alpha(alpha)? / sides.count();
    if !(beta > 0.0 && beta < 1.0 - tail) {
        return Err(Degenerate::new(format!("beta is {beta}; it must be more than zero and less than one minus alpha")));
    }
    let upper = boundaries(spending, alpha, sides, &fractions)?.critical_values;
    let lower = lower_of(&upper, sides);
    let missed =
        |drift: f64| 1.0 - crossings(drift, &fractions, &lower, &upper).iter().map(|crossing| crossing.above).sum::<f64>();
    let fixed = normal_quantile_upper(tail) + normal_quantile_upper(beta);
    let drift = increasing_root(|drift| settled((beta - missed(drift)) / beta), fixed)?;
    let saved: f64 = crossings(drift, &fractions, &lower, &upper)
        .iter()
        .zip(&fractions)
        .map(|(crossing, t)| (1.0 - t) * (crossing.above + crossing.below))
        .sum();
    let shift = drift * drift;
    let inflation_factor = finite("inflation", shift / (fixed * fixed))?;
    Ok(Inflation { shift, inflation_factor, expected_inflation_h1: inflation_factor * (1.0 - saved) })
}

/// A difference in the last digits counts as none, which ends the search for a root.
pub(super) fn settled(excess: f64) -> f64 {
    if excess.abs() < 1e-12 { 0.0 } else { excess }
}

/// The root of an increasing function, sought outwards from `near`.
pub(super) fn increasing_root(f: impl Fn(f64) -> f64, near: f64) -> Result<f64, Degenerate> {
    let (mut low, mut high) = (near, near);
    let mut stride = 0.25;
    for _ in 0..DOUBLINGS_MAX {
        let too_high = f(low) > 0.0;
        let too_low = f(high) < 0.0;
        if !too_high && !too_low {
            break;
        }
        if too_high {
            (high, low) = (low, low - stride);
        } else {
            (low, high) = (high, high + stride);
        }
        stride *= 2.0;
    }
    find_root(f, low, high).ok_or_else(|| Degenerate::new("no effect agrees with the looks; the statistics are too far out"))
}

/// The chances of the looks to come at `fractions`, after `statistic` at `fraction`, for the boundaries `lower` and `upper` on
/// the scale of z.
///
/// Given a drift θ, the motion goes on from z√t. Without one, θ is averaged over what the data say with a flat prior,
/// N(z/√t, 1/t): then W(s)/s − W(t)/t is a Brownian motion in the clock 1/t − 1/s, so that the predictive chance is one more
/// walk and takes no integral over θ.
pub(super) fn still_to_come(
    (fraction, statistic): (f64, f64),
    drift: Option<f64>,
    fractions: &[f64],
    lower: &[f64],
    upper: &[f64],
) -> ConditionalPower {
    let value = statistic * fraction.sqrt();
    let crossings = match drift {
        Some(drift) => {
            let scaled = |values: &[f64]| -> Vec<f64> { values.iter().zip(fractions).map(|(z, s)| z * s.sqrt()).collect() };
            let walk = Walk::from(fraction, value, drift, fractions[0]);
            crossings_of(walk, fractions, &scaled(lower), &scaled(upper))
        }
        None => {
            let clock: Vec<f64> = fractions.iter().map(|s| (s - fraction) / (s * fraction)).collect();
            let trend = value / fraction;
            let scaled =
                |values: &[f64]| -> Vec<f64> { values.iter().zip(fractions).map(|(z, s)| z / s.sqrt() - trend).collect() };
            crossings_of(Walk::new(0.0, clock[0]), &clock, &scaled(lower), &scaled(upper))
        }
    };
    let sum = |of: fn(&Crossing) -> f64| crossings.iter().map(of).sum::<f64>().min(1.0);
    ConditionalPower { above: sum(|crossing| crossing.above), below: sum(|crossing| crossing.below) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::gauss_legendre;
    use crate::tail::{normal_density, normal_lower, normal_upper};

    /// y2 and y3 less futility are not published; these are rpact's getDesignCharacteristics in the reference numbers.
    #[test]
    fn inflation_of_peers() {
        let check = |spending, alpha, sides, beta, looks, expect: [f64; 3]| {
            let found = inflation(spending, alpha, sides, beta, looks).unwrap();
            let actual = [found.shift, found.inflation_factor, found.expected_inflation_h1];
            assert!(actual.iter().zip(&expect).all(|(a, e)| (a / e - 1.0).abs() < 2e-6), "{actual:?} is not {expect:?}");
        };
        let lan = Spending::ObrienFlemingSpending;
        check(lan, 0.025, Sides::One, 0.2, 4, [8.00301080037376, 1.0196373331279558, 0.838742570372762]);
        check(Spending::ObrienFleming, 0.05, Sides::Two, 0.2, 3, [7.985499100459695, 1.0174062249307658, 0.8562110537718224]);
        check(Spending::Pocock, 0.025, Sides::One, 0.15, 2, [9.926555443305762, 1.105604396489343, 0.8182759265929963]);
    }

    #[test]
    fn a_single_look_costs_nothing() {
        let found = inflation(Spending::Pocock, 0.025, Sides::One, 0.1, 1).unwrap();
        assert!((found.inflation_factor - 1.0).abs() < 1e-9 && (found.expected_inflation_h1 - 1.0).abs() < 1e-9);
        assert!(inflation(Spending::Pocock, 0.025, Sides::One, 0.99, 3).is_err());
        assert!(inflation(Spending::Pocock, 0.025, Sides::One, 0.1, 0).is_err());
    }

    /// With one look to come the chances have closed forms.
    #[test]
    fn one_look_to_come() {
        let (t, z, b) = (0.4, 1.3, 2.0);
        for drift in [0.0, 1.0, 3.0, -2.0] {
            let expect = normal_lower((z * f64::sqrt(t) + drift * (1.0 - t) - b) / f64::sqrt(1.0 - t));
            let found = still_to_come((t, z), Some(drift), &[1.0], &[-b], &[b]);
            assert!((found.above / expect - 1.0).abs() < 1e-11, "{found:?} is not {expect}");
        }
        // The end given the middle, with the effect unknown: mean W(t)/t, variance (1 − t)/t.
        let expect = normal_upper((b - z / f64::sqrt(t)) / f64::sqrt((1.0 - t) / t));
        let found = still_to_come((t, z), None, &[1.0], &[f64::NEG_INFINITY], &[b]);
        assert!((found.above / expect - 1.0).abs() < 1e-11 && found.below == 0.0, "{found:?} is not {expect}");
    }

    /// The predictive chance is the conditional one averaged over the drift.
    #[test]
    fn prediction_averages_over_the_effect() {
        let (t, z) = (0.3_f64, 1.0);
        let (fractions, upper) = ([0.5, 0.8, 1.0], [2.9, 2.3, 2.0]);
        let lower = upper.map(|z: f64| -z);
        let average = |of: fn(&ConditionalPower) -> f64| {
            gauss_legendre(100).integrate(-9.0, 9.0, |x| {
                let drift = (z + x) / t.sqrt();
                normal_density(x) * of(&still_to_come((t, z), Some(drift), &fractions, &lower, &upper))
            })
        };
        let found = still_to_come((t, z), None, &fractions, &lower, &upper);
        assert!((found.above - average(|chance| chance.above)).abs() < 1e-8, "{found:?}");
        assert!((found.below - average(|chance| chance.below)).abs() < 1e-8, "{found:?}");
    }
}
