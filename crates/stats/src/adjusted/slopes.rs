//! Least-squares slopes from cross-products, leaving out covariates that carry nothing new.

use serde::{Deserialize, Serialize};

/// A covariate of which the earlier ones explain all but this share of its variation is left out: what remains is rounding.
const NEW_VARIATION_MIN: f64 = 1e-9;

/// A covariate that was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Which one, counted from 0.
    pub covariate: usize,
    /// Why.
    pub because: DroppedBecause,
}

/// Why a covariate was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DroppedBecause {
    /// It has the same value for all units.
    Constant,
    /// It is a linear combination of the covariates before it.
    Collinear,
}

impl Dropped {
    /// The reason as a sentence about the column called `name`.
    #[must_use]
    pub fn sentence(&self, name: &str) -> String {
        match self.because {
            DroppedBecause::Constant => format!("the covariate {name} was left out: it has the same value for everyone"),
            DroppedBecause::Collinear => {
                format!("the covariate {name} was left out: it can be computed from the covariates before it")
            }
        }
    }
}

/// The slopes of an outcome on covariates; 0 for those that were left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Slopes {
    pub(crate) slopes: Vec<f64>,
    pub(crate) dropped: Vec<Dropped>,
}

/// Solves the normal equations of `count` covariates: `square(i, j)` are their centred cross-products, `with_outcome(i)`
/// those with the outcome, `noise(i)` is what rounding alone leaves of the square of a constant covariate.
///
/// A Cholesky decomposition row by row, in the order of the covariates, so that of two that say the same the first stays.
pub(crate) fn solve(
    count: usize,
    square: impl Fn(usize, usize) -> f64,
    with_outcome: impl Fn(usize) -> f64,
    noise: impl Fn(usize) -> f64,
) -> Slopes {
    let mut factor = vec![0.0; count * count];
    let mut slopes: Vec<f64> = Vec::with_capacity(count);
    let mut dropped: Vec<Dropped> = Vec::new();
    for i in 0..count {
        for j in 0..i {
            let pivot = factor[j * count + j];
            let known: f64 = (0..j).map(|m| factor[i * count + m] * factor[j * count + m]).sum();
            factor[i * count + j] = if pivot > 0.0 { (square(i, j) - known) / pivot } else { 0.0 };
        }
        let own = square(i, i);
        let new = own - (0..i).map(|m| factor[i * count + m] * factor[i * count + m]).sum::<f64>();
        let because = if own <= noise(i) {
            Some(DroppedBecause::Constant)
        } else {
            (new <= NEW_VARIATION_MIN * own).then_some(DroppedBecause::Collinear)
        };
        if let Some(because) = because {
            // A zero row takes no part in anything that follows.
            factor[i * count..=i * count + i].fill(0.0);
            dropped.push(Dropped { covariate: i, because });
            slopes.push(0.0);
            continue;
        }
        let pivot = new.sqrt();
        factor[i * count + i] = pivot;
        let known: f64 = (0..i).map(|m| factor[i * count + m] * slopes[m]).sum();
        slopes.push((with_outcome(i) - known) / pivot);
    }
    for i in (0..count).rev() {
        let pivot = factor[i * count + i];
        if pivot > 0.0 {
            let known: f64 = (i + 1..count).map(|m| factor[m * count + i] * slopes[m]).sum();
            slopes[i] = (slopes[i] - known) / pivot;
        }
    }
    Slopes { slopes, dropped }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solved(square: &[&[f64]], with_outcome: &[f64]) -> Slopes {
        solve(with_outcome.len(), |i, j| square[i][j], |i| with_outcome[i], |_| 0.0)
    }

    #[test]
    fn slopes_solve_the_normal_equations() {
        let square: &[&[f64]] = &[&[4.0, 1.0, 0.5], &[1.0, 3.0, 0.2], &[0.5, 0.2, 2.0]];
        let found = solved(square, &[1.0, 2.0, 3.0]);
        for (row, expect) in square.iter().zip([1.0, 2.0, 3.0]) {
            let actual: f64 = row.iter().zip(&found.slopes).map(|(a, b)| a * b).sum();
            assert!((actual - expect).abs() < 1e-12, "{found:?}");
        }
        assert!(found.dropped.is_empty());
    }

    #[test]
    fn what_says_nothing_new_is_left_out() {
        // The second is twice the first, the third is constant.
        let found =
            solved(&[&[1.0, 2.0, 0.0, 0.0], &[2.0, 4.0, 0.0, 0.0], &[0.0; 4], &[0.0, 0.0, 0.0, 4.0]], &[3.0, 6.0, 0.0, 10.0]);
        assert_eq!(found.slopes, [3.0, 0.0, 0.0, 2.5]);
        let reasons: Vec<_> = found.dropped.iter().map(|dropped| (dropped.covariate, dropped.because)).collect();
        assert_eq!(reasons, [(1, DroppedBecause::Collinear), (2, DroppedBecause::Constant)]);
        assert!(found.dropped[0].sentence("spend").contains("spend"));
    }
}
