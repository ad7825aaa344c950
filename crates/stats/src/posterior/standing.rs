//! Which of many arms is best: the chance of each, the chance to be among the best two, and what choosing it would cost.
//!
//! P(i best) = ∫ f_i ∏_{j≠i} F_j. Thompson, "On the likelihood that one unknown probability exceeds another", Biometrika 25
//! (1933). The expected loss of i is E[max_j θ_j − θ_i] = ∫ F_i (1 − ∏_{j≠i} F_j). All by quadrature, none by draws; arms that
//! are known exactly are allowed, and ties among them are shared out evenly.

use serde::{Deserialize, Serialize};

use super::field::{Belief, Field, Node};
use crate::answer::{Degenerate, finite};

/// More arms than this are refused.
pub const ARMS_MAX: usize = 1_000;

/// A deviation so small against the arms' distances is taken as zero, because the axis could not resolve it.
const RESOLUTION_MIN: f64 = 1e-12;

/// What is believed of an arm's mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NormalArm {
    /// The posterior mean.
    pub mean: f64,
    /// The posterior standard deviation, zero or more.
    pub sd: f64,
}

/// How an arm stands among the others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The probability that it is best.
    pub best: f64,
    /// The probability that it is best or second.
    pub top_two: f64,
    /// What choosing it costs on average, in units of the arms: the mean distance to the best.
    pub expected_loss: f64,
}

/// How arms with normal posteriors stand; where `inverse`, lower is better.
///
/// # Errors
/// [`Degenerate`] when there is no arm or more than [`ARMS_MAX`], a number is not finite, or a deviation is negative.
pub fn normal_standings(arms: &[NormalArm], inverse: bool) -> Result<Vec<Standing>, Degenerate> {
    checked_count(arms.len())?;
    for (number, arm) in arms.iter().enumerate() {
        if !arm.mean.is_finite() || !arm.sd.is_finite() || arm.sd < 0.0 {
            let number = number + 1;
            return Err(Degenerate::new(format!("variant {number} needs a finite mean and a deviation of zero or more")));
        }
    }
    // In units of the arms' own extent and from the best one, so that neither the unit nor the baseline matters.
    let sign = if inverse { -1.0 } else { 1.0 };
    let top = arms.iter().map(|arm| sign * arm.mean).fold(f64::NEG_INFINITY, f64::max);
    let extent = arms.iter().map(|arm| (sign * arm.mean - top).abs().max(arm.sd)).fold(0.0, f64::max);
    let unit = if extent > 0.0 { finite("distance between arms", extent)? } else { 1.0 };
    let belief = |arm: &NormalArm| {
        let (mean, sd) = ((sign * arm.mean - top) / unit, arm.sd / unit);
        Belief::Normal { mean, sd: if sd <= RESOLUTION_MIN * mean.abs() || sd < f64::MIN_POSITIVE { 0.0 } else { sd } }
    };
    let mut standings = standings(arms.iter().map(belief).collect());
    for standing in &mut standings {
        standing.expected_loss = finite("expected loss", standing.expected_loss * unit)?;
    }
    Ok(standings)
}

/// How arms with Beta(a, b) posteriors stand, given as pairs of a and b.
///
/// # Errors
/// [`Degenerate`] when there is no arm or more than [`ARMS_MAX`], or a parameter is not finite and greater than zero.
pub fn rate_standings(arms: &[(f64, f64)]) -> Result<Vec<Standing>, Degenerate> {
    checked_count(arms.len())?;
    for (number, (a, b)) in arms.iter().enumerate() {
        checked_beta(&format!("variant {}", number + 1), *a, *b)?;
    }
    Ok(standings(arms.iter().map(|(a, b)| Belief::Beta { a: *a, b: *b }).collect()))
}

fn checked_count(count: usize) -> Result<(), Degenerate> {
    if count == 0 || count > ARMS_MAX {
        return Err(Degenerate::new(format!("there are {count} variants; between 1 and {ARMS_MAX} can be compared")));
    }
    Ok(())
}

/// Refuses parameters without a proper posterior and those beyond the range of the integrals.
pub(super) fn checked_beta(name: &str, a: f64, b: f64) -> Result<(), Degenerate> {
    let fits = |value: f64| value.is_finite() && (1e-6..=1e15).contains(&value);
    if fits(a) && fits(b) {
        return Ok(());
    }
    Err(Degenerate::new(format!(
        "the posterior of {name} is Beta({a}, {b}); successes plus prior_alpha and failures plus prior_beta must lie between \
         0.000001 and 1e15"
    )))
}

/// How independent beliefs stand, higher being better.
pub(super) fn standings(beliefs: Vec<Belief>) -> Vec<Standing> {
    let k = beliefs.len();
    let mut standings = vec![Standing { best: 0.0, top_two: 0.0, expected_loss: 0.0 }; k];
    let mut above = Above::new(k);
    Field::new(beliefs).visit(|node| {
        above.fill(node);
        let ties = node.known.len() as f64;
        for (i, standing) in standings.iter_mut().enumerate() {
            let (none, one, some) = above.without(i);
            standing.expected_loss += node.length * node.lower[i] * some;
            if node.known.contains(&i) {
                // Those known to be equal share their places: the first where none is above, the second where one is.
                standing.best += none / ties;
                standing.top_two += none * (2.0 / ties).min(1.0) + one / ties;
            } else {
                standing.best += node.mass[i] * none;
                standing.top_two += node.mass[i] * (none + one);
            }
        }
    });
    standings
}

/// For each arm, the probability that none and that exactly one of the others lies above a node, by products from both ends.
struct Above {
    before: Vec<Counted>,
    after: Vec<Counted>,
}

/// The probabilities that none, exactly one and at least one of some arms lies above.
#[derive(Debug, Clone, Copy)]
struct Counted {
    none: f64,
    one: f64,
    some: f64,
}

impl Counted {
    const NOBODY: Self = Self { none: 1.0, one: 0.0, some: 0.0 };

    fn with(self, other: Self) -> Self {
        Self {
            none: self.none * other.none,
            one: self.none * other.one + self.one * other.none,
            some: self.some + other.some - self.some * other.some,
        }
    }
}

impl Above {
    fn new(k: usize) -> Self {
        Self { before: vec![Counted::NOBODY; k + 1], after: vec![Counted::NOBODY; k + 1] }
    }

    fn fill(&mut self, node: &Node) {
        let k = node.lower.len();
        // Arms known to lie exactly here are neither above nor below: they share the place.
        let arm = |j: usize| match node.known.contains(&j) {
            true => Counted::NOBODY,
            false => Counted { none: node.lower[j], one: node.upper[j], some: node.upper[j] },
        };
        for j in 0..k {
            self.before[j + 1] = self.before[j].with(arm(j));
            let back = k - 1 - j;
            self.after[back] = self.after[back + 1].with(arm(back));
        }
    }

    fn without(&self, i: usize) -> (f64, f64, f64) {
        let Counted { none, one, some } = self.before[i].with(self.after[i + 1]);
        (none, one, some)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::posterior::EffectPosterior;
    use crate::tail::normal_upper;

    fn arms(arms: &[(f64, f64)]) -> Vec<NormalArm> {
        arms.iter().map(|(mean, sd)| NormalArm { mean: *mean, sd: *sd }).collect()
    }

    #[test]
    fn two_normal_arms_have_a_closed_form() {
        let check = |a: (f64, f64), b: (f64, f64)| {
            let standings = normal_standings(&arms(&[a, b]), false).unwrap();
            let sd = a.1.hypot(b.1);
            let z = (b.0 - a.0) / sd;
            let loss = EffectPosterior { mean: b.0 - a.0, sd }.expected_loss(false);
            let close = |actual: f64, expect: f64| (actual - expect).abs() <= 1e-11 * expect + 1e-290;
            assert!(close(standings[1].best, normal_upper(-z)) && close(standings[0].best, normal_upper(z)), "{standings:?}");
            assert!(close(standings[0].expected_loss, loss.control), "{standings:?} {loss:?}");
            assert!(close(standings[1].expected_loss, loss.treatment), "{standings:?} {loss:?}");
            assert!((standings[0].top_two - 1.0).abs() < 1e-12);
        };
        check((1.0, 0.5), (1.2, 0.7));
        check((0.0, 1.0), (0.0, 1e-5));
        check((1e9, 1e3), (1e9 + 2e4, 1e3));
        check((0.03, 1e-3), (0.0, 2e-3));
        check((5.0, 1e-9), (4.0, 1.0));
    }

    #[test]
    fn what_is_known_exactly_shares_ties() {
        let check = |arms: &[(f64, f64)], best: &[f64], top_two: &[f64]| {
            let standings = normal_standings(&self::arms(arms), false).unwrap();
            for ((standing, best), top_two) in standings.iter().zip(best).zip(top_two) {
                assert!((standing.best - best).abs() < 1e-12, "{standings:?}");
                assert!((standing.top_two - top_two).abs() < 1e-12, "{standings:?}");
            }
        };
        check(&[(1.0, 0.0)], &[1.0], &[1.0]);
        check(&[(1.0, 0.0), (1.0, 0.0)], &[0.5, 0.5], &[1.0, 1.0]);
        check(&[(1.0, 0.0), (1.0, 0.0), (1.0, 0.0), (0.0, 0.0)], &[1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0], &[2.0 / 3.0; 3]);
        check(&[(1.0, 0.0), (2.0, 0.0), (0.5, 0.0)], &[0.0, 1.0, 0.0], &[1.0, 1.0, 0.0]);
        let beyond = normal_upper(1.0);
        check(&[(0.0, 0.0), (-1.0, 1.0)], &[1.0 - beyond, beyond], &[1.0, 1.0]);
        // Two known at zero and one unknown about it: the unknown is first half of the time, else third.
        check(&[(0.0, 0.0), (0.0, 0.0), (0.0, 3.0)], &[0.25, 0.25, 0.5], &[0.75, 0.75, 0.5]);
        let standings = normal_standings(&self::arms(&[(1.0, 0.0), (3.5, 0.0)]), false).unwrap();
        assert!((standings[0].expected_loss - 2.5).abs() < 1e-12 && standings[1].expected_loss == 0.0, "{standings:?}");
    }

    /// scipy's normal distribution under adaptive quadrature.
    #[test]
    fn best_of_many_as_peers_have_it() {
        let variants = arms(&[(9.777_637, 0.151_509), (10.026_149, 0.676_821), (10.096_398, 0.326_658), (10.298_98, 0.525_857)]);
        let standings = normal_standings(&variants, true).unwrap();
        let expect = [0.448_491_076_533_839_74, 0.320_439_685_562_441, 0.114_350_874_428_556_06, 0.116_718_363_475_162_96];
        for (standing, expect) in standings.iter().zip(expect) {
            assert!((standing.best - expect).abs() < 1e-10, "{standings:?}");
        }
    }

    #[test]
    fn a_hundred_arms() {
        let same = normal_standings(&arms(&[(2.0, 0.3); 100]), false).unwrap();
        assert!(same.iter().all(|standing| (standing.best - 0.01).abs() < 1e-12 && (standing.top_two - 0.02).abs() < 1e-12));
        let rates: Vec<(f64, f64)> = (0..100).map(|i| (30.0 + f64::from(i % 10), 1e3)).collect();
        let rates = rate_standings(&rates).unwrap();
        assert!((rates.iter().map(|standing| standing.best).sum::<f64>() - 1.0).abs() < 1e-10);
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |outcome: Result<Vec<Standing>, Degenerate>, expect: &str| {
            let error = outcome.unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(normal_standings(&[], false), "0 variants");
        check(normal_standings(&arms(&[(1.0, 1.0), (1.0, -1.0)]), false), "variant 2");
        check(normal_standings(&arms(&[(f64::NAN, 1.0)]), false), "variant 1");
        check(normal_standings(&arms(&[(1e308, 1.0), (-1e308, 1.0)]), false), "distance");
        check(rate_standings(&[(1.0, 0.0)]), "variant 1");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]

        /// Chances sum to one, and the order, unit and baseline do not matter.
        #[test]
        fn chances_sum_to_one(
            variants in prop::collection::vec((-3.0..3.0_f64, prop_oneof![Just(0.0), 1e-6..2.0_f64]), 1..7),
            scale in 1e-6..1e6_f64, inverse in any::<bool>(),
        ) {
            let base = normal_standings(&arms(&variants), inverse).unwrap();
            prop_assert!((base.iter().map(|standing| standing.best).sum::<f64>() - 1.0).abs() < 1e-10);
            let places = variants.len().min(2) as f64;
            prop_assert!((base.iter().map(|standing| standing.top_two).sum::<f64>() - places).abs() < 1e-9);
            let changed: Vec<_> = variants.iter().rev().map(|(mean, sd)| NormalArm { mean: mean * scale, sd: sd * scale }).collect();
            let changed = normal_standings(&changed, inverse).unwrap();
            for (one, other) in base.iter().zip(changed.iter().rev()) {
                prop_assert!((one.best - other.best).abs() < 1e-9, "{:?} {:?}", base, changed);
                prop_assert!((one.expected_loss * scale - other.expected_loss).abs() < 1e-9 * scale);
            }
        }

        #[test]
        fn no_input_gives_nan(variants in prop::collection::vec((any::<f64>(), any::<f64>()), 1..5)) {
            for standings in [normal_standings(&arms(&variants), false), rate_standings(&variants)].into_iter().flatten() {
                prop_assert!(standings.iter().all(|s| s.best.is_finite() && s.top_two.is_finite() && s.expected_loss.is_finite()));
            }
        }
    }
}
