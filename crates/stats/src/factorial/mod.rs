//! Crossed factors: effects and interactions from the moments of cells, and the overlap of two experiments.
//!
//! Every effect is a contrast Σ w_z m_z of cell means, with Neyman's variance Σ w_z² s_z²/n_z, which is also the HC2 variance
//! of the saturated regression. Dasgupta, Pillai & Rubin, "Causal inference from 2^K factorial designs by using potential
//! outcomes", JRSS B 77 (2015); Zhao & Ding, "Regression-based causal inference with factorial experiments", Biometrika 109
//! (2022). Degrees of freedom are Satterthwaite's.
//!
//! Cells are in standard order: the level of the first factor changes fastest.

mod levels;
mod overlap;

pub use levels::{LevelContrast, Term, level_terms};
pub use overlap::{Overlap, independence, overlap};

use crate::answer::{Alternative, Degenerate, finite};
use crate::effect::{Arm, Effect, satterthwaite};
use crate::moments::Moments;

/// More factors than this are refused: every cell must hold recipients, and the number of cells doubles with each.
pub const FACTORS_MAX: usize = 10;

/// An effect of one factor, or an interaction of several.
#[derive(Debug, Clone, PartialEq)]
pub struct FactorialEffect {
    /// Which factors, counted from 0.
    pub factors: Vec<usize>,
    /// The effect in the coding −½ and +½: for one factor the mean of the upper level minus that of the lower, for two half
    /// the difference in differences, and so on.
    pub effect: Effect,
    /// What `effect` must be multiplied by to be the difference (in differences …): 2 to the number of factors less one.
    pub scale_of_differences: f64,
}

impl FactorialEffect {
    /// What `effect` is, in words.
    #[must_use]
    pub fn meaning(&self) -> String {
        match self.factors.len() {
            1 => "difference of the two levels, averaged over the other factors".to_owned(),
            2 => "half the difference in differences, averaged over the other factors".to_owned(),
            order => format!("1/{} of the {order}-fold difference in differences", self.scale_of_differences),
        }
    }
}

/// All effects of a two-level design.
#[derive(Debug, Clone, PartialEq)]
pub struct TwoLevel {
    /// The unweighted mean of the cell means, tested against zero.
    pub grand_mean: Effect,
    /// One per set of factors: single factors first, then pairs, and so on.
    pub effects: Vec<FactorialEffect>,
}

/// The effects and interactions of a 2^K design, τ = 2^−(K−1) Σ g_z m_z with g = ±1, from its 2^K cells in standard order.
///
/// # Errors
/// [`Degenerate`] when the number of cells is not 2^K with K from 1 to [`FACTORS_MAX`], a cell has fewer than two units (it is
/// named by its levels), no cell varies, or alpha is not between 0 and 1.
pub fn two_level(cells: &[Moments], alpha: f64) -> Result<TwoLevel, Degenerate> {
    let factors = cells.len().max(1).ilog2() as usize;
    if !cells.len().is_power_of_two() || !(1..=FACTORS_MAX).contains(&factors) {
        return Err(Degenerate::new(format!(
            "there are {} cells; a design of two levels has 2, 4, 8, … up to 1024",
            cells.len()
        )));
    }
    check_cells(&vec![2; factors], cells)?;
    let mut sets: Vec<usize> = (1..cells.len()).collect();
    sets.sort_by_key(|set| {
        let members: Vec<usize> = (0..factors).filter(|factor| set >> factor & 1 == 1).collect();
        (members.len(), members)
    });
    let half = cells.len() as f64 / 2.0;
    let effect_of = |set: usize| {
        let weights: Vec<f64> = (0..cells.len())
            .map(|cell| if (set & !cell).count_ones().is_multiple_of(2) { 1.0 / half } else { -1.0 / half })
            .collect();
        Ok::<_, Degenerate>(FactorialEffect {
            factors: (0..factors).filter(|factor| set >> factor & 1 == 1).collect(),
            effect: contrast(cells, &weights, alpha)?,
            scale_of_differences: f64::from(1_u32 << (set.count_ones() - 1)),
        })
    };
    Ok(TwoLevel {
        grand_mean: contrast(cells, &vec![0.5 / half; cells.len()], alpha)?,
        effects: sets.into_iter().map(effect_of).collect::<Result<_, _>>()?,
    })
}

/// A contrast of cell means with Neyman's variance, tested against zero.
///
/// # Errors
/// [`Degenerate`] when no cell with a weight varies, a cell with a weight has fewer than two units, or a number is not finite.
pub fn contrast(cells: &[Moments], weights: &[f64], alpha: f64) -> Result<Effect, Degenerate> {
    let weighted = || cells.iter().zip(weights).filter(|(_, weight)| **weight != 0.0);
    let difference = weighted().map(|(cell, weight)| weight * cell.mean).sum();
    let part = |(cell, weight): (&Moments, &f64)| {
        let arm = Arm::new("a cell", cell)?;
        Ok((weight * weight * arm.variance_of_mean, (arm.count - 1) as f64))
    };
    let parts: Vec<(f64, f64)> = weighted().map(part).collect::<Result<_, Degenerate>>()?;
    let variance = finite("variance", parts.iter().map(|(variance, _)| variance).sum())?;
    if variance <= 0.0 {
        return Err(Degenerate::new("no cell varies: within each, all recipients have the same value"));
    }
    Effect::new(difference, variance.sqrt(), Some(satterthwaite(&parts)?), Alternative::TwoSided, alpha)
}

/// The levels of the cell `at`, in standard order.
fn levels_of(levels: &[usize], at: usize) -> Vec<usize> {
    let mut rest = at;
    let digit = |count: &usize| {
        let level = rest % count;
        rest /= count;
        level
    };
    levels.iter().map(digit).collect()
}

/// Refuses cells without a spread, naming the cell.
fn check_cells(levels: &[usize], cells: &[Moments]) -> Result<(), Degenerate> {
    for (at, cell) in cells.iter().enumerate() {
        let name = || {
            let levels: Vec<String> = levels_of(levels, at).iter().map(ToString::to_string).collect();
            levels.join(", ")
        };
        if cell.count < 2 {
            return Err(Degenerate::new(format!("the cell with the levels {} has fewer than two recipients", name())));
        }
        if !(cell.mean.is_finite() && cell.m2.is_finite() && cell.m2 >= 0.0) {
            return Err(Degenerate::new(format!(
                "the values of the cell with the levels {} are too large or not numbers",
                name()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::means::welch;

    /// numpy's default generator with the seed 20260101, gamma(2, mu/2), n = (200, 180, 220, 190), mu = (1, 1.3, 1.1, 1.9).
    pub(super) const PIN: [Moments; 4] = [
        Moments { count: 200, mean: 0.9599569732861312, m2: 71.87339945136236 },
        Moments { count: 180, mean: 1.4725051718435611, m2: 170.25092359848898 },
        Moments { count: 220, mean: 1.0628718821739098, m2: 137.41588418408008 },
        Moments { count: 190, mean: 1.915024334884128, m2: 360.90707556398024 },
    ];

    /// The parameters and HC2 errors of statsmodels' regression in the coding ±½.
    #[test]
    fn the_numbers_of_the_saturated_regression_come_out() {
        let found = two_level(&PIN, 0.05).unwrap();
        assert!((found.grand_mean.difference - 1.35258959).abs() < 1e-8);
        assert!((found.grand_mean.standard_error - 0.03534856).abs() < 1e-8);
        let expected = [(vec![0], 0.68235033), (vec![1], 0.27271704), (vec![0, 1], 0.16980213)];
        for (effect, (factors, expect)) in found.effects.iter().zip(expected) {
            assert_eq!(effect.factors, factors);
            assert!((effect.effect.difference - expect).abs() < 1e-8, "{effect:?}");
            assert!((effect.effect.standard_error - 0.0706971284).abs() < 1e-9, "{effect:?}");
        }
        assert!(found.effects[2].meaning().starts_with("half"));
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |cells: &[Moments], expect: &str| {
            let error = two_level(cells, 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[], "0 cells");
        check(&PIN[..3], "3 cells");
        let mut cells = PIN;
        cells[1].count = 1;
        check(&cells, "levels 1, 0 has fewer");
        check(&[Moments { count: 9, mean: 1.0, m2: 0.0 }; 4], "no cell varies");
    }

    proptest! {
        /// One factor is Welch's test, and a factor without effect on another's has no interaction.
        #[test]
        fn one_factor_is_welch(means in (-9.0..9.0_f64, -9.0..9.0_f64), squares in (0.1..9e3_f64, 0.1..9e3_f64), n in (2..999_u64, 2..999_u64)) {
            let cells = [(n.0, means.0, squares.0), (n.1, means.1, squares.1)].map(|(count, mean, m2)| Moments { count, mean, m2 });
            let (found, expect) = (two_level(&cells, 0.1).unwrap(), welch(&cells[0], &cells[1], 0.1).unwrap());
            let effect = found.effects[0].effect;
            prop_assert!((effect.p_value - expect.p_value).abs() <= 1e-9 && (effect.difference - expect.difference).abs() <= 1e-12);
            let doubled = two_level(&[cells[0], cells[1], cells[0], cells[1]], 0.1).unwrap();
            prop_assert!(doubled.effects[2].effect.difference.abs() <= 1e-12);
        }

        #[test]
        fn any_input_has_an_answer_or_a_reason(
            numbers in prop::collection::vec((0..4_u64, prop::num::f64::ANY, prop::num::f64::ANY), 8), alpha in prop::num::f64::ANY,
        ) {
            let cells: Vec<_> = numbers.iter().map(|(count, mean, m2)| Moments { count: *count, mean: *mean, m2: *m2 }).collect();
            for count in [2, 4, 8] {
                if let Ok(found) = two_level(&cells[..count], alpha) {
                    prop_assert!(found.effects.iter().all(|effect| effect.effect.p_value.is_finite()));
                }
            }
        }
    }
}
