//! What an experiment's effect is worth in the light of the others: shrunken effects with honest intervals.
//!
//! Estimates y_i ~ N(θ_i, s_i²) with true effects θ_i ~ N(μ, τ²). Given τ, θ_i has the mean (1 − B_i) y_i + B_i μ̂ and the
//! variance (1 − B_i) s_i² + B_i² Var(μ̂) with B_i = s_i²/(s_i² + τ²) and μ̂ the mean weighted by 1/(s_i² + τ²). The spread τ is
//! integrated over its posterior under a uniform prior on the shrinkage s²/(s² + τ²). Efron & Morris, "Data analysis using
//! Stein's estimator", JASA 70 (1975); Rubin, "Estimation in parallel randomized experiments", J. Educational Statistics 6
//! (1981); Dimmery, Bakshy & Sekhon, "Shrinkage estimators in online experiments", KDD (2019).

use serde::{Deserialize, Serialize};

use super::grid::{
    Node, Part, mixture_moments, mixture_quantile_upper, mixture_upper, posterior_nodes, uniform_shrinkage_log_density,
};
use super::scaled::Scaled;
use crate::answer::{Degenerate, Interval, checked_alpha, finite};

/// How far below and above the noise the spread is looked for, in ln τ².
const LOG_REACH: f64 = 45.0;

/// What effects are drawn to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Centre {
    /// Their common mean, estimated with them.
    Estimated,
    /// Zero: what a variant does when nothing is known of it.
    Zero,
}

/// One experiment's effect in the light of all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ShrunkenEffect {
    /// The posterior mean: the forecast of the effect.
    pub mean: f64,
    /// The posterior standard deviation.
    pub sd: f64,
    /// The central posterior interval at one minus alpha.
    pub interval: Interval,
    /// The weight of the centre in `mean`, between 0 and 1.
    pub shrinkage: f64,
    /// The posterior probability that the effect is greater than zero.
    pub chance_above_zero: f64,
}

/// All effects and how far they lie apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShrunkenEffects {
    /// The mean of the true effects (0 where the centre is zero).
    pub mean: f64,
    /// The posterior standard deviation of `mean`.
    pub mean_sd: f64,
    /// The standard deviation of true effects: the posterior median.
    pub between_sd: f64,
    /// The central posterior interval of `between_sd`.
    pub between_sd_interval: Interval,
    /// The standard deviation of the next experiment's true effect about `mean`: the prior to plan it with.
    pub next_sd: f64,
    /// In the order given.
    pub effects: Vec<ShrunkenEffect>,
}

/// [`shrunken_effects_about`] their estimated mean, with intervals at 95 %. Each estimate is an effect and its standard error.
///
/// # Errors
/// As [`shrunken_effects_about`].
pub fn shrunken_effects(estimates: &[(f64, f64)]) -> Result<ShrunkenEffects, Degenerate> {
    shrunken_effects_about(estimates, Centre::Estimated, 0.05)
}

/// Shrinks each effect towards the centre, integrating over the spread between true effects.
///
/// `estimates` are effects with their standard errors (> 0), all in one unit; `alpha` is the two-sided error of the intervals.
///
/// # Errors
/// [`Degenerate`] when there are fewer than two estimates (one where the centre is zero), one is not finite, or a standard
/// error is not greater than zero.
pub fn shrunken_effects_about(estimates: &[(f64, f64)], centre: Centre, alpha: f64) -> Result<ShrunkenEffects, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    let scaled = Scaled::new("experiment", estimates)?;
    if centre == Centre::Estimated && estimates.len() < 2 {
        return Err(Degenerate::new("there is one experiment; how far effects lie apart needs two"));
    }
    let furthest = scaled.effects.iter().fold(0.0_f64, |most, effect| most.max(effect.abs()));
    let log_weight = |at: f64| given(&scaled, centre, at.exp()).log_likelihood + uniform_shrinkage_log_density(at);
    let nodes = posterior_nodes(log_weight, -LOG_REACH, LOG_REACH + 2.0 * furthest.max(1.0).ln());
    let states: Vec<(Node, Given)> = nodes.iter().map(|node| (*node, given(&scaled, centre, node.at.exp()))).collect();
    let part = |(node, state): &(Node, Given), extra: f64| Part {
        weight: node.weight,
        mean: state.mean,
        sd: (state.mean_variance + extra).sqrt(),
    };
    let (mean, mean_sd) = mixture_moments(&states.iter().map(|state| part(state, 0.0)).collect::<Vec<_>>());
    let (_, next_sd) = mixture_moments(&states.iter().map(|state| part(state, state.0.at.exp())).collect::<Vec<_>>());
    let unit = scaled.unit;
    let effects: Result<Vec<_>, _> =
        scaled.effects.iter().zip(&scaled.variances).map(|(y, s2)| shrunken(&states, *y, *s2, alpha, unit)).collect();
    let spread = |upper: f64| finite("spread", unit * (node_quantile_upper(&nodes, upper) / 2.0).exp());
    Ok(ShrunkenEffects {
        mean: finite("mean", mean * unit)?,
        mean_sd: finite("standard deviation", mean_sd * unit)?,
        between_sd: spread(0.5)?,
        between_sd_interval: Interval::closed(spread(1.0 - alpha / 2.0)?, spread(alpha / 2.0)?),
        next_sd: finite("standard deviation", next_sd * unit)?,
        effects: effects?,
    })
}

/// What the data say of the centre when the between-variance is known.
pub(super) struct Given {
    /// Restricted where the centre is estimated.
    pub(super) log_likelihood: f64,
    pub(super) mean: f64,
    pub(super) mean_variance: f64,
    between_variance: f64,
}

/// The mean, its variance and the (restricted) log likelihood at a between-variance.
pub(super) fn given(scaled: &Scaled, centre: Centre, between_variance: f64) -> Given {
    let weights = || scaled.variances.iter().map(|variance| 1.0 / (variance + between_variance));
    let total: f64 = weights().sum();
    let (mean, mean_variance, of_mean) = match centre {
        Centre::Zero => (0.0, 0.0, 0.0),
        Centre::Estimated => {
            let weighted: f64 = weights().zip(&scaled.effects).map(|(weight, effect)| weight * effect).sum();
            (weighted / total, 1.0 / total, -0.5 * total.ln())
        }
    };
    let of_effects: f64 =
        weights().zip(&scaled.effects).map(|(weight, effect)| 0.5 * weight.ln() - 0.5 * weight * (effect - mean).powi(2)).sum();
    Given { log_likelihood: of_mean + of_effects, mean, mean_variance, between_variance }
}

fn shrunken(states: &[(Node, Given)], y: f64, s2: f64, alpha: f64, unit: f64) -> Result<ShrunkenEffect, Degenerate> {
    let mut shrinkage = 0.0;
    let mut parts = Vec::with_capacity(states.len());
    for (node, state) in states {
        let pull = s2 / (s2 + state.between_variance);
        shrinkage += node.weight * pull;
        let variance = (1.0 - pull) * s2 + pull * pull * state.mean_variance;
        parts.push(Part { weight: node.weight, mean: y + pull * (state.mean - y), sd: variance.sqrt() });
    }
    let (mean, sd) = mixture_moments(&parts);
    let end = |upper: f64| finite("interval", unit * mixture_quantile_upper(&parts, upper));
    Ok(ShrunkenEffect {
        mean: finite("shrunken effect", mean * unit)?,
        sd: finite("standard deviation", sd * unit)?,
        interval: Interval::closed(end(1.0 - alpha / 2.0)?, end(alpha / 2.0)?),
        shrinkage: shrinkage.clamp(0.0, 1.0),
        chance_above_zero: mixture_upper(&parts, 0.0).clamp(0.0, 1.0),
    })
}

/// The value that the posterior on `nodes` exceeds with probability `upper`, straight between nodes.
fn node_quantile_upper(nodes: &[Node], upper: f64) -> f64 {
    let mut left = upper;
    let mut previous: Option<&Node> = None;
    for node in nodes.iter().rev() {
        // Half of a node's weight lies on either side of it.
        let step = previous.map_or(node.weight / 2.0, |previous| (previous.weight + node.weight) / 2.0);
        if left <= step {
            let from = previous.map_or(node.at, |previous| previous.at);
            return from + (node.at - from) * (left / step).clamp(0.0, 1.0);
        }
        left -= step;
        previous = Some(node);
    }
    previous.map_or(0.0, |node| node.at)
}

/// The positive-part James–Stein estimate: each effect is drawn to their weighted mean by one common factor in standard
/// errors, 1 − (k − 3)/Σ((y_i − ȳ)/s_i)², not below zero. A plug-in estimate without intervals; [`shrunken_effects`] is the
/// honest one. James & Stein, "Estimation with quadratic loss", 4th Berkeley Symposium (1961); Efron & Morris (1975).
///
/// # Errors
/// [`Degenerate`] when there are fewer than four estimates, one is not finite, or a standard error is not greater than zero.
pub fn james_stein(estimates: &[(f64, f64)]) -> Result<Vec<f64>, Degenerate> {
    let scaled = Scaled::new("experiment", estimates)?;
    if estimates.len() < 4 {
        return Err(Degenerate::new(
            "there are fewer than four experiments; with so few, shrinking towards their mean need not help",
        ));
    }
    let total: f64 = scaled.variances.iter().map(|variance| 1.0 / variance).sum();
    let mean = scaled.effects.iter().zip(&scaled.variances).map(|(y, s2)| y / s2).sum::<f64>() / total;
    let distance: f64 = scaled.effects.iter().zip(&scaled.variances).map(|(y, s2)| (y - mean).powi(2) / s2).sum();
    let kept = (1.0 - (estimates.len() - 3) as f64 / distance).max(0.0);
    scaled.effects.iter().map(|y| finite("shrunken effect", (mean + kept * (y - mean)) * scaled.unit)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rubin (1981): the effects of coaching in eight schools.
    const SCHOOLS: [(f64, f64); 8] =
        [(28.0, 15.0), (8.0, 10.0), (-3.0, 16.0), (7.0, 11.0), (-1.0, 9.0), (1.0, 11.0), (18.0, 10.0), (12.0, 18.0)];

    #[test]
    fn eight_schools() {
        let all = shrunken_effects(&SCHOOLS).unwrap();
        // Under a uniform prior on τ, Gelman et al. (Bayesian Data Analysis) find a mean of about 8 and medians of 10 for
        // school A and 6 for school C; the prior here draws a little more.
        assert!((7.0..8.5).contains(&all.mean) && (4.0..5.5).contains(&all.mean_sd), "{all:?}");
        assert!((9.0..12.0).contains(&all.effects[0].mean) && (5.5..7.5).contains(&all.effects[2].mean), "{all:?}");
        assert!(all.between_sd_interval.lower.unwrap() < 1.5 && all.between_sd_interval.upper.unwrap() > 12.0, "{all:?}");
        let zero = shrunken_effects_about(&SCHOOLS, Centre::Zero, 0.05).unwrap();
        assert_eq!((zero.mean, zero.mean_sd), (0.0, 0.0));
        assert!(zero.effects.iter().zip(&SCHOOLS).all(|(effect, (y, _))| effect.mean.abs() < y.abs()));
    }

    /// The same posterior by brute force: a fine Riemann sum over the shrinkage itself.
    #[test]
    fn the_integral_over_the_spread_is_exact() {
        let check = |estimates: &[(f64, f64)], tolerance: f64| {
            let all = shrunken_effects(estimates).unwrap();
            let harmonic = estimates.len() as f64 / estimates.iter().map(|(_, s)| 1.0 / (s * s)).sum::<f64>();
            let (mut total, mut first, mut square) = (0.0, 0.0, 0.0);
            for i in 0..200_000 {
                let shrinkage = (f64::from(i) + 0.5) / 200_000.0;
                let between = harmonic * (1.0 - shrinkage) / shrinkage;
                let weight = |s: f64| 1.0 / (s * s + between);
                let sum: f64 = estimates.iter().map(|(_, s)| weight(*s)).sum();
                let mean = estimates.iter().map(|(y, s)| y * weight(*s)).sum::<f64>() / sum;
                let density: f64 =
                    estimates.iter().map(|(y, s)| weight(*s).sqrt() * (-0.5 * weight(*s) * (y - mean).powi(2)).exp()).product();
                let density = density / sum.sqrt();
                let (y, s) = estimates[0];
                let pull = s * s * weight(s);
                let own = y + pull * (mean - y);
                total += density;
                first += density * own;
                square += density * (own * own + (1.0 - pull) * s * s + pull * pull / sum);
            }
            let mean = first / total;
            assert!((all.effects[0].mean - mean).abs() <= tolerance * mean.abs(), "{} {mean}", all.effects[0].mean);
            let sd = (square / total - mean * mean).sqrt();
            assert!((all.effects[0].sd - sd).abs() <= tolerance * sd, "{} {sd}", all.effects[0].sd);
        };
        check(&SCHOOLS, 1e-6);
        check(&[(1.0, 0.3), (0.2, 0.5), (-0.4, 0.2)], 1e-6);
        check(&[(0.05, 0.01), (0.01, 0.01), (-0.02, 0.013), (0.06, 0.02), (0.0, 0.01)], 1e-6);
        check(&[(5.0, 1.0), (2.0, 4.0)], 1e-5);
    }

    #[test]
    fn much_noise_is_drawn_in_and_little_is_not() {
        let noisy: Vec<(f64, f64)> = (0..50).map(|i| (f64::from(i % 7) - 3.0, 20.0)).collect();
        assert!(shrunken_effects(&noisy).unwrap().effects.iter().all(|effect| effect.shrinkage > 0.9));
        let sharp: Vec<(f64, f64)> = (0..50).map(|i| (f64::from(i % 7) - 3.0, 0.01)).collect();
        let sharp = shrunken_effects(&sharp).unwrap();
        assert!(sharp.effects.iter().all(|effect| effect.shrinkage < 1e-4));
        assert!((1.6..2.6).contains(&sharp.between_sd), "{}", sharp.between_sd);
    }

    #[test]
    fn james_stein_by_hand() {
        // Mean 3, distance 10, so 1 − 2/10 of each distance is kept.
        let shrunken = james_stein(&[(1.0, 1.0), (2.0, 1.0), (3.0, 1.0), (4.0, 1.0), (5.0, 1.0)]).unwrap();
        for (actual, expect) in shrunken.iter().zip([1.4, 2.2, 3.0, 3.8, 4.6]) {
            assert!((actual - expect).abs() < 1e-12, "{actual} {expect}");
        }
        assert_eq!(james_stein(&[(1.0, 1.0); 4]).unwrap(), vec![1.0; 4], "equal effects have nothing to keep");
        assert!(james_stein(&SCHOOLS[..3]).unwrap_err().why.contains("fewer than four"));
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |estimates: &[(f64, f64)], expect: &str| {
            let error = shrunken_effects(estimates).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[], "no experiment");
        check(&[(1.0, 1.0)], "needs two");
        check(&[(1.0, 1.0), (2.0, 0.0)], "experiment 2");
        check(&[(1.0, 1.0), (f64::NAN, 1.0)], "experiment 2");
        check(&[(1.0, 1e-300), (1.0, 1e300)], "orders of magnitude");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// The unit and the order do not matter, and a shrunken effect lies between the estimate and beyond the centre's side.
        #[test]
        fn unit_and_order_are_harmless(
            estimates in prop::collection::vec((-5.0..5.0_f64, 0.1..3.0_f64), 2..12), scale in 1e-6..1e6_f64,
        ) {
            let base = shrunken_effects(&estimates).unwrap();
            let changed: Vec<(f64, f64)> = estimates.iter().rev().map(|(y, s)| (y * scale, s * scale)).collect();
            let changed = shrunken_effects(&changed).unwrap();
            for (one, other) in base.effects.iter().zip(changed.effects.iter().rev()) {
                prop_assert!((one.mean * scale - other.mean).abs() <= 1e-8 * scale);
                prop_assert!((one.sd * scale - other.sd).abs() <= 1e-8 * scale);
                prop_assert!(one.interval.contains(one.mean));
            }
            for (effect, (y, _)) in base.effects.iter().zip(&estimates) {
                prop_assert!((0.0..=1.0).contains(&effect.shrinkage));
                prop_assert!(effect.mean <= y.max(5.0) && effect.mean >= y.min(-5.0));
            }
        }

        #[test]
        fn no_input_gives_nan(estimates in prop::collection::vec((any::<f64>(), any::<f64>()), 0..6)) {
            if let Ok(all) = shrunken_effects(&estimates) {
                prop_assert!(all.mean.is_finite() && all.next_sd.is_finite() && all.between_sd.is_finite());
                prop_assert!(all.effects.iter().all(|effect| effect.mean.is_finite() && effect.sd.is_finite()));
            }
        }
    }
}
