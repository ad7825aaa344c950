//! When to stop a bandit: once little value remains in going on.
//!
//! The value that remains is how far the best arm exceeds the one that would be chosen now, as a fraction of the latter:
//! (max_j θ_j − θ_*)/θ_*. The experiment ends when that is below, say, one percent with a probability of 95 %. Scott, "A modern
//! Bayesian look at the multi-armed bandit", Applied Stochastic Models in Business and Industry 26 (2010). Here the probability
//! is exact: it is the chance that an arm (1 + ε) times the chosen one is best.

use serde::{Deserialize, Serialize};

use crate::answer::Degenerate;
use crate::numeric::find_root;
use crate::posterior::{NormalArm, normal_standings};

/// Fractions beyond this are reported as unknown.
const FRACTION_MAX: f64 = 1e6;

/// What going on could still gain.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PotentialValueRemaining {
    /// The arm that would be chosen now, from 0: the one with the greatest chance to be best.
    pub chosen: usize,
    /// Its chance to be best.
    pub chance_best: f64,
    /// The probability that less than the threshold remains.
    pub probability_below_threshold: f64,
    /// The fraction that the remaining value stays below with the asked confidence; `None` where it is not bounded.
    pub value_remaining: Option<f64>,
    /// Whether to stop.
    pub stop: bool,
}

/// How much value remains among arms with normal posteriors; where `inverse`, lower is better and the value is how far the
/// best lies below.
///
/// `threshold` is a fraction of the chosen arm (0.01), `confidence` a probability (0.95).
///
/// # Errors
/// [`Degenerate`] where [`normal_standings`] is, when the chosen arm's mean is not greater than zero (a fraction of it has
/// no size), the threshold is negative, or the confidence is not between 0 and 1.
pub fn potential_value_remaining(
    arms: &[NormalArm],
    inverse: bool,
    threshold: f64,
    confidence: f64,
) -> Result<PotentialValueRemaining, Degenerate> {
    if !(threshold.is_finite() && threshold >= 0.0) {
        return Err(Degenerate::new(format!("the threshold is {threshold}; it must be zero or more")));
    }
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(Degenerate::new(format!("the confidence is {confidence}; it must lie between 0 and 1")));
    }
    let standings = normal_standings(arms, inverse)?;
    let chosen = (0..arms.len()).fold(0, |best, i| if standings[i].best > standings[best].best { i } else { best });
    if arms[chosen].mean <= 0.0 {
        return Err(Degenerate::new("the mean of the best variant is not greater than zero, so a fraction of it has no size"));
    }
    let below = |fraction: f64| -> Result<f64, Degenerate> {
        let factor = if inverse { 1.0 - fraction } else { 1.0 + fraction };
        let mut arms = arms.to_vec();
        arms[chosen] = NormalArm { mean: arms[chosen].mean * factor, sd: arms[chosen].sd * factor.abs() };
        Ok(normal_standings(&arms, inverse)?[chosen].best.clamp(0.0, 1.0))
    };
    let probability_below_threshold = below(threshold)?;
    Ok(PotentialValueRemaining {
        chosen,
        chance_best: standings[chosen].best.clamp(0.0, 1.0),
        probability_below_threshold,
        value_remaining: smallest_fraction(&below, confidence, inverse)?,
        stop: probability_below_threshold >= confidence,
    })
}

/// The fraction at which `below` reaches the confidence.
fn smallest_fraction(
    below: &impl Fn(f64) -> Result<f64, Degenerate>,
    confidence: f64,
    inverse: bool,
) -> Result<Option<f64>, Degenerate> {
    if below(0.0)? >= confidence {
        return Ok(Some(0.0));
    }
    // What is lower can save no more than everything.
    let most = if inverse { 1.0 } else { FRACTION_MAX };
    let mut high = 1e-3;
    while below(high)? < confidence {
        if high >= most {
            return Ok(None);
        }
        high = (high * 4.0).min(most);
    }
    Ok(find_root(|fraction| below(fraction).unwrap_or(1.0) - confidence, 0.0, high))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::Draws;

    fn arms(arms: &[(f64, f64)]) -> Vec<NormalArm> {
        arms.iter().map(|(mean, sd)| NormalArm { mean: *mean, sd: *sd }).collect()
    }

    #[test]
    fn it_stops_when_little_can_be_gained() {
        let check = |variants: &[(f64, f64)], inverse: bool, expect: bool| {
            let remaining = potential_value_remaining(&arms(variants), inverse, 0.01, 0.95).unwrap();
            assert_eq!(remaining.stop, expect, "{remaining:?}");
            assert_eq!(remaining.value_remaining.is_some_and(|value| value <= 0.01), expect, "{remaining:?}");
        };
        check(&[(0.030, 0.001), (0.031, 0.001)], false, false);
        check(&[(0.030, 0.0001), (0.035, 0.0001)], false, true);
        // Two arms that are equal to a tenth of a percent: which is better is unknown and does not matter.
        check(&[(0.0300, 0.00003), (0.03001, 0.00003)], false, true);
        check(&[(0.030, 0.0001), (0.035, 0.0001)], true, true);
        // What is known to be equal leaves nothing to gain.
        check(&[(5.0, 0.0), (5.0, 0.0)], false, true);
    }

    /// The quantile of the remaining value by draws.
    #[test]
    fn the_quantile_is_that_of_draws() {
        let variants = [(3.0, 0.1), (3.1, 0.12), (2.9, 0.3)];
        let remaining = potential_value_remaining(&arms(&variants), false, 0.01, 0.95).unwrap();
        let mut draws = Draws::seeded(9);
        let mut values: Vec<f64> = (0..20_000)
            .map(|_| {
                let theta: Vec<f64> = variants.iter().map(|(mean, sd)| mean + sd * draws.normal()).collect();
                let best = theta.iter().fold(f64::NEG_INFINITY, |best, value| best.max(*value));
                (best - theta[remaining.chosen]) / theta[remaining.chosen]
            })
            .collect();
        values.sort_by(f64::total_cmp);
        assert!((remaining.value_remaining.unwrap() - values[19_000]).abs() < 0.005, "{remaining:?} {}", values[19_000]);
        let below = values.iter().filter(|value| **value < 0.01).count() as f64 / 20_000.0;
        assert!((remaining.probability_below_threshold - below).abs() < 0.01, "{remaining:?} {below}");
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |variants: &[(f64, f64)], threshold, confidence, expect: &str| {
            let error = potential_value_remaining(&arms(variants), false, threshold, confidence).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[], 0.01, 0.95, "0 variants");
        check(&[(-1.0, 1.0)], 0.01, 0.95, "not greater than zero");
        check(&[(1.0, 1.0)], -0.01, 0.95, "threshold");
        check(&[(1.0, 1.0)], 0.01, 1.0, "confidence");
    }
}
