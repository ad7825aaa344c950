//! Least squares from rows, with the HC2 variance that needs them.

use crate::answer::{Degenerate, finite};
use crate::numeric::linear::Matrix;

/// Above this leverage a row is fitted by itself and its residual says nothing.
const LEVERAGE_MAX: f64 = 1.0 - 1e-9;

/// Coefficients with their standard errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// One per column.
    pub coefficients: Vec<f64>,
    /// HC2, one per column.
    pub standard_errors: Vec<f64>,
    /// HC2: the variances and covariances of the coefficients.
    pub covariance: Matrix,
}

/// Regresses `outcomes` on the columns of `rows` (an intercept must be one of them): b = (X'X)⁻¹ X'y, with the variance
/// (X'X)⁻¹ [Σ x x' e²/(1 − h)] (X'X)⁻¹, where h is the row's leverage. MacKinnon & White, "Some heteroskedasticity-consistent
/// covariance matrix estimators with improved finite sample properties", Journal of Econometrics 29 (1985).
///
/// # Errors
/// [`Degenerate`] when rows and outcomes are not as many, rows differ in length, there are not more rows than columns, columns
/// are collinear, a row is fitted by itself, or a number is not finite.
pub fn least_squares<R: AsRef<[f64]>>(rows: &[R], outcomes: &[f64]) -> Result<Fit, Degenerate> {
    let columns = rows.first().map_or(0, |row| row.as_ref().len());
    if rows.len() != outcomes.len() {
        return Err(Degenerate::new(format!("there are {} rows but {} outcomes", rows.len(), outcomes.len())));
    }
    if columns == 0 || rows.len() <= columns {
        return Err(Degenerate::new(format!("there are {} rows, too few for {columns} columns", rows.len())));
    }
    if rows.iter().any(|row| row.as_ref().len() != columns) {
        return Err(Degenerate::new("the rows differ in length"));
    }
    if !rows.iter().flat_map(AsRef::as_ref).chain(outcomes).all(|value| value.is_finite()) {
        return Err(Degenerate::new("a value is not a finite number"));
    }
    // Columns are brought to one size, so that units of measure do not decide what counts as collinear.
    let scale: Vec<f64> = (0..columns).map(|i| rows.iter().map(|row| row.as_ref()[i].abs()).fold(0.0, f64::max)).collect();
    if scale.contains(&0.0) {
        return Err(Degenerate::new("a column holds nothing but zeros"));
    }
    let scaled = |row: &R| row.as_ref().iter().zip(&scale).map(|(value, scale)| value / scale).collect::<Vec<f64>>();
    let rows: Vec<Vec<f64>> = rows.iter().map(scaled).collect();
    let sum_of_products = |weight: &dyn Fn(usize) -> f64| {
        let mut sums = vec![vec![0.0; columns]; columns];
        for (at, row) in rows.iter().enumerate() {
            let weight = weight(at);
            for (sums, one) in sums.iter_mut().zip(row) {
                sums.iter_mut().zip(row).for_each(|(sum, other)| *sum += weight * one * other);
            }
        }
        Matrix::from_rows(&sums)
    };
    let squares = sum_of_products(&|_| 1.0).cholesky().map_err(|_| Degenerate::new("the columns are collinear"))?;
    let with_outcome: Vec<f64> =
        (0..columns).map(|i| rows.iter().zip(outcomes).map(|(row, outcome)| row[i] * outcome).sum()).collect();
    let coefficients = squares.solve(&with_outcome);
    let mut weights = Vec::with_capacity(rows.len());
    for (row, outcome) in rows.iter().zip(outcomes) {
        let fitted: f64 = row.iter().zip(&coefficients).map(|(value, coefficient)| value * coefficient).sum();
        let leverage = squares.inverse_quadratic_form(row);
        if leverage > LEVERAGE_MAX {
            return Err(Degenerate::new("a row is the only one of its kind, so its noise cannot be known"));
        }
        weights.push((outcome - fitted) * ((outcome - fitted) / (1.0 - leverage)));
    }
    let bread = squares.inverse();
    let sandwich = bread.mul(&sum_of_products(&|at| weights[at])).mul(&bread);
    let unscaled: Vec<Vec<f64>> = (0..columns)
        .map(|i| sandwich.row(i).iter().zip(&scale).map(|(value, other)| value / scale[i] / other).collect())
        .collect();
    let errors = unscaled.iter().enumerate().map(|(i, row)| finite("variance", row[i].max(0.0)).map(f64::sqrt));
    let errors = errors.collect::<Result<Vec<f64>, _>>()?;
    let coefficients = coefficients.iter().zip(&scale).map(|(value, scale)| finite("coefficient", value / scale));
    if !unscaled.iter().flatten().all(|value| value.is_finite()) {
        return Err(Degenerate::new("the values are too large"));
    }
    Ok(Fit {
        coefficients: coefficients.collect::<Result<_, _>>()?,
        standard_errors: errors,
        covariance: Matrix::from_rows(&unscaled),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factorial::two_level;
    use crate::moments::Moments;
    use crate::numeric::Draws;

    /// The saturated regression in the coding ±½ has the effects of the cells, and Neyman's errors.
    #[test]
    fn cells_and_rows_agree_on_a_factorial() {
        let mut draws = Draws::seeded(20);
        let (mut rows, mut outcomes, mut cells) = (Vec::new(), Vec::new(), [Moments::default(); 4]);
        for (cell, moments) in cells.iter_mut().enumerate() {
            let half = |bit: usize| if cell >> bit & 1 == 1 { 0.5 } else { -0.5 };
            for _ in 0..20 + 7 * cell {
                let outcome = draws.exponential() * (1 + cell) as f64;
                rows.push([1.0, half(0), half(1), 2.0 * half(0) * half(1)]);
                outcomes.push(outcome);
                moments.push(outcome);
            }
        }
        let (fit, expect) = (least_squares(&rows, &outcomes).unwrap(), two_level(&cells, 0.05).unwrap());
        let effects = std::iter::once(&expect.grand_mean).chain(expect.effects.iter().map(|effect| &effect.effect));
        for (i, effect) in effects.enumerate() {
            assert!((fit.coefficients[i] - effect.difference).abs() < 1e-12, "{fit:?}");
            assert!((fit.standard_errors[i] / effect.standard_error - 1.0).abs() < 1e-12, "{fit:?}");
        }
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |rows: &[[f64; 2]], outcomes: &[f64], expect: &str| {
            let error = least_squares(rows, outcomes).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[], &[], "too few");
        check(&[[1.0, 2.0]], &[1.0, 2.0], "1 rows but 2");
        check(&[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]], &[1.0, 2.0, 4.0], "collinear");
        check(&[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], &[1.0, 2.0, 4.0], "zeros");
        check(&[[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]], &[1.0, 2.0, 4.0], "only one of its kind");
        check(&[[1.0, f64::NAN], [1.0, 0.0], [1.0, 1.0]], &[1.0, 2.0, 4.0], "not a finite");
    }
}
