//! Factors of any number of levels: contrasts against the first level, pairwise interactions, Wald's test of each.
//! Wald, "Tests of statistical hypotheses concerning several parameters", Transactions of the AMS 54 (1943).

use super::{check_cells, contrast, levels_of};
use crate::answer::{Degenerate, finite};
use crate::effect::{Arm, Effect};
use crate::moments::Moments;
use crate::numeric::linear::Matrix;
use crate::ratio::ChiSquare;
use crate::tail::chi_square_upper;

/// More cells than this are refused.
const CELLS_MAX: usize = 4096;

/// The contrasts of one factor, or of a pair of factors.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// Which factors, counted from 0.
    pub factors: Vec<usize>,
    /// One per combination of levels other than the first.
    pub contrasts: Vec<LevelContrast>,
    /// Whether all contrasts together differ from zero (Wald; normal approximation).
    pub wald: ChiSquare,
}

/// One contrast.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelContrast {
    /// The level of each factor of the term, from 1: against level 0.
    pub levels: Vec<usize>,
    /// For one factor its level minus level 0; for two the whole difference in differences; averaged over other factors.
    pub effect: Effect,
}

/// The terms of a design with `levels[f]` levels per factor: every factor, then every pair, from cells in standard order.
///
/// Cells count equally, whatever their size, so that the terms do not depend on how many recipients a level got.
///
/// # Errors
/// [`Degenerate`] when there are not Π `levels` cells, a factor has fewer than two levels, a cell has fewer than two units,
/// nothing varies, or alpha is not between 0 and 1.
pub fn level_terms(levels: &[usize], cells: &[Moments], alpha: f64) -> Result<Vec<Term>, Degenerate> {
    let product = levels.iter().try_fold(1_usize, |product, count| product.checked_mul(*count));
    if levels.is_empty() || levels.iter().any(|count| *count < 2) {
        return Err(Degenerate::new("a factor has fewer than two levels"));
    }
    if product != Some(cells.len()) || cells.len() > CELLS_MAX {
        let has = cells.len();
        return Err(Degenerate::new(format!("there are {has} cells; each combination of levels needs one, up to {CELLS_MAX}")));
    }
    check_cells(levels, cells)?;
    let singles = (0..levels.len()).map(|factor| vec![factor]);
    let pairs = (0..levels.len()).flat_map(|one| (one + 1..levels.len()).map(move |other| vec![one, other]));
    singles.chain(pairs).map(|factors| term(levels, cells, factors, alpha)).collect()
}

fn term(levels: &[usize], cells: &[Moments], factors: Vec<usize>, alpha: f64) -> Result<Term, Degenerate> {
    let inside: usize = factors.iter().map(|factor| levels[*factor]).product();
    let others = (cells.len() / inside) as f64;
    let own_levels: Vec<usize> = factors.iter().map(|factor| levels[*factor] - 1).collect();
    let targets: Vec<Vec<usize>> =
        (0..own_levels.iter().product()).map(|at| levels_of(&own_levels, at).iter().map(|level| level + 1).collect()).collect();
    let weights_of = |target: &Vec<usize>| {
        let weight = |at: usize| {
            let cell = levels_of(levels, at);
            let sign = |(factor, level): (&usize, &usize)| match cell[*factor] {
                0 => -1.0,
                found if found == *level => 1.0,
                _ => 0.0,
            };
            factors.iter().zip(target).map(sign).product::<f64>() / others
        };
        (0..cells.len()).map(weight).collect::<Vec<f64>>()
    };
    let weights: Vec<Vec<f64>> = targets.iter().map(weights_of).collect();
    let contrasts: Result<Vec<LevelContrast>, Degenerate> = targets
        .into_iter()
        .zip(&weights)
        .map(|(levels, weights)| Ok(LevelContrast { levels, effect: contrast(cells, weights, alpha)? }))
        .collect();
    let contrasts = contrasts?;
    let wald = wald(cells, &weights, &contrasts)?;
    Ok(Term { factors, contrasts, wald })
}

/// τ' V⁻¹ τ, with as many degrees of freedom as contrasts.
fn wald(cells: &[Moments], weights: &[Vec<f64>], contrasts: &[LevelContrast]) -> Result<ChiSquare, Degenerate> {
    let variance = |cell: &Moments| Ok(Arm::new("a cell", cell)?.variance_of_mean);
    let variances: Vec<f64> = cells.iter().map(variance).collect::<Result<_, Degenerate>>()?;
    // In units of each contrast's standard error, so that the matrix is one of correlations.
    let scale: Vec<f64> = contrasts.iter().map(|contrast| contrast.effect.standard_error).collect();
    let rows: Vec<Vec<f64>> = (weights.iter().zip(&scale))
        .map(|(one, one_scale)| {
            let with = |(other, other_scale): (&Vec<f64>, &f64)| {
                let terms = one.iter().zip(other).zip(&variances).map(|((one, other), variance)| one * other * variance);
                terms.sum::<f64>() / one_scale / other_scale
            };
            weights.iter().zip(&scale).map(with).collect()
        })
        .collect();
    let statistics: Vec<f64> = contrasts.iter().map(|contrast| contrast.effect.statistic).collect();
    let statistic = finite("statistic", Matrix::from_rows(&rows).cholesky()?.inverse_quadratic_form(&statistics))?;
    let degrees_of_freedom = contrasts.len() as u64;
    Ok(ChiSquare { statistic, degrees_of_freedom, p_value: chi_square_upper(statistic, degrees_of_freedom as f64) })
}

#[cfg(test)]
mod tests {
    use super::super::tests::PIN;
    use super::super::two_level;
    use super::*;

    #[test]
    fn two_levels_are_a_special_case() {
        let (terms, effects) = (level_terms(&[2, 2], &PIN, 0.05).unwrap(), two_level(&PIN, 0.05).unwrap().effects);
        for (term, effect) in terms.iter().zip(&effects) {
            let found = &term.contrasts[0].effect;
            assert_eq!(term.factors, effect.factors);
            assert!((found.difference - effect.effect.difference * effect.scale_of_differences).abs() < 1e-12);
            assert!((found.statistic - effect.effect.statistic).abs() < 1e-12);
            assert!((term.wald.statistic - found.statistic * found.statistic).abs() < 1e-9);
        }
    }

    #[test]
    fn three_levels_have_two_contrasts_and_one_test() {
        let cell = |mean: f64| Moments { count: 100, mean, m2: 99.0 };
        // Levels of the first factor add 0, 1, 3; of the second 0, 5; together they do not interact but in the last cell.
        let cells = [0.0, 1.0, 3.0, 5.0, 6.0, 9.0].map(cell);
        let terms = level_terms(&[3, 2], &cells, 0.05).unwrap();
        let differences: Vec<Vec<f64>> =
            terms.iter().map(|term| term.contrasts.iter().map(|contrast| contrast.effect.difference).collect()).collect();
        assert_eq!(differences, [vec![1.0, 3.5], vec![5.0 + 1.0 / 3.0], vec![0.0, 1.0]]);
        assert_eq!(terms[2].contrasts[1].levels, [2, 1]);
        // By hand: V of the interaction is 0.04 [[1, ½], [½, 1]], so τ' V⁻¹ τ = 4/3 / 0.04.
        assert!((terms[2].wald.statistic - 4.0 / 3.0 / 0.04).abs() < 1e-9, "{:?}", terms[2].wald);
        assert_eq!(terms[2].wald.degrees_of_freedom, 2);
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |levels: &[usize], expect: &str| {
            let error = level_terms(levels, &PIN, 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[], "fewer than two levels");
        check(&[4, 1], "fewer than two levels");
        check(&[3, 2], "4 cells");
        check(&[usize::MAX, usize::MAX], "4 cells");
    }
}
