//! Small dense matrices: enough for regressions with a handful of covariates.
//!
//! Shapes are the caller's business: a mismatch is a mistake in the program and panics. Values are data: what cannot be
//! solved is [`Degenerate`].

use std::ops::{Index, IndexMut};

use crate::answer::Degenerate;

/// A pivot below this share of its own diagonal is what rounding leaves of zero: the column repeats earlier ones.
const PIVOT_RELATIVE_MIN: f64 = 1e-12;

/// A dense matrix, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// From `values` row by row.
    ///
    /// # Panics
    /// When there are not `rows` times `columns` values.
    #[must_use]
    pub fn new(rows: usize, columns: usize, values: Vec<f64>) -> Self {
        assert_eq!(values.len(), rows * columns, "a matrix needs rows times columns values");
        Self { rows, columns, values }
    }

    /// Full of zeros.
    #[must_use]
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self { rows, columns, values: vec![0.0; rows * columns] }
    }

    /// Ones on the diagonal, zeros beside it.
    #[must_use]
    pub fn identity(size: usize) -> Self {
        let mut identity = Self::zeros(size, size);
        (0..size).for_each(|i| identity[(i, i)] = 1.0);
        identity
    }

    /// From rows of equal length.
    ///
    /// # Panics
    /// When the rows differ in length.
    #[must_use]
    pub fn from_rows<R: AsRef<[f64]>>(rows: &[R]) -> Self {
        let columns = rows.first().map_or(0, |row| row.as_ref().len());
        assert!(rows.iter().all(|row| row.as_ref().len() == columns), "rows differ in length");
        Self { rows: rows.len(), columns, values: rows.iter().flat_map(|row| row.as_ref().iter().copied()).collect() }
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One row.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.columns..(row + 1) * self.columns]
    }

    /// Rows as columns.
    #[must_use]
    pub fn transpose(&self) -> Self {
        let mut turned = Self::zeros(self.columns, self.rows);
        for i in 0..self.rows {
            for j in 0..self.columns {
                turned[(j, i)] = self[(i, j)];
            }
        }
        turned
    }

    /// The product with `other`.
    ///
    /// # Panics
    /// When `other` has not as many rows as this has columns.
    #[must_use]
    pub fn mul(&self, other: &Self) -> Self {
        assert_eq!(self.columns, other.rows, "shapes do not fit");
        let mut product = Self::zeros(self.rows, other.columns);
        for i in 0..self.rows {
            for k in 0..self.columns {
                let factor = self[(i, k)];
                for j in 0..other.columns {
                    product[(i, j)] += factor * other[(k, j)];
                }
            }
        }
        product
    }

    /// The product with a column `vector`.
    ///
    /// # Panics
    /// When the vector has not as many entries as this has columns.
    #[must_use]
    pub fn mul_vector(&self, vector: &[f64]) -> Vec<f64> {
        assert_eq!(self.columns, vector.len(), "shapes do not fit");
        (0..self.rows).map(|i| dot(self.row(i), vector)).collect()
    }

    /// The lower triangle L with L Lᵀ = M, for a symmetric positive definite M of which the lower triangle is read.
    ///
    /// # Errors
    /// [`Degenerate`] that names the first column (from 0) which is, up to rounding, a combination of those before it, or
    /// which holds something that is not a finite number.
    ///
    /// # Panics
    /// When the matrix is not square.
    pub fn cholesky(&self) -> Result<Cholesky, Degenerate> {
        assert_eq!(self.rows, self.columns, "only a square matrix has a Cholesky factor");
        let mut lower = Self::zeros(self.rows, self.rows);
        for j in 0..self.rows {
            let pivot = self[(j, j)] - lower.row(j)[..j].iter().map(|value| value * value).sum::<f64>();
            if !self.row(j)[..=j].iter().all(|value| value.is_finite()) {
                return Err(Degenerate::new(format!("column {j} holds a value that is not a finite number")));
            }
            if pivot.is_nan() || pivot <= PIVOT_RELATIVE_MIN * self[(j, j)].abs() {
                return Err(Degenerate::new(format!("column {j} does not vary or is a combination of the columns before it")));
            }
            let root = pivot.sqrt();
            lower[(j, j)] = root;
            for i in j + 1..self.rows {
                lower[(i, j)] = (self[(i, j)] - dot(&lower.row(i)[..j], &lower.row(j)[..j])) / root;
            }
        }
        Ok(Cholesky { lower })
    }

    /// The x with M x = `right`, for a symmetric positive definite M.
    ///
    /// # Errors
    /// As [`Matrix::cholesky`].
    pub fn solve(&self, right: &[f64]) -> Result<Vec<f64>, Degenerate> {
        Ok(self.cholesky()?.solve(right))
    }

    /// The inverse of a symmetric positive definite M.
    ///
    /// # Errors
    /// As [`Matrix::cholesky`].
    pub fn inverse(&self) -> Result<Self, Degenerate> {
        Ok(self.cholesky()?.inverse())
    }
}

impl Index<(usize, usize)> for Matrix {
    type Output = f64;

    fn index(&self, (row, column): (usize, usize)) -> &f64 {
        assert!(column < self.columns, "no such column");
        &self.values[row * self.columns + column]
    }
}

impl IndexMut<(usize, usize)> for Matrix {
    fn index_mut(&mut self, (row, column): (usize, usize)) -> &mut f64 {
        assert!(column < self.columns, "no such column");
        &mut self.values[row * self.columns + column]
    }
}

/// A matrix as L Lᵀ.
#[derive(Debug, Clone, PartialEq)]
pub struct Cholesky {
    lower: Matrix,
}

impl Cholesky {
    /// The triangle L.
    #[must_use]
    pub fn lower(&self) -> &Matrix {
        &self.lower
    }

    /// The x with M x = `right`.
    ///
    /// # Panics
    /// When `right` has not as many entries as M has rows.
    #[must_use]
    pub fn solve(&self, right: &[f64]) -> Vec<f64> {
        let mut x = self.solve_lower(right);
        for i in (0..x.len()).rev() {
            let known: f64 = (i + 1..x.len()).map(|k| self.lower[(k, i)] * x[k]).sum();
            x[i] = (x[i] - known) / self.lower[(i, i)];
        }
        x
    }

    /// The y with L y = `right`: whitened residuals, whose squares add up to rightᵀ M⁻¹ right.
    ///
    /// # Panics
    /// When `right` has not as many entries as M has rows.
    #[must_use]
    pub fn solve_lower(&self, right: &[f64]) -> Vec<f64> {
        assert_eq!(right.len(), self.lower.rows, "shapes do not fit");
        let mut y: Vec<f64> = Vec::with_capacity(right.len());
        for (i, value) in right.iter().enumerate() {
            let known = dot(&self.lower.row(i)[..i], &y);
            y.push((value - known) / self.lower[(i, i)]);
        }
        y
    }

    /// rightᵀ M⁻¹ right: a squared Mahalanobis distance, a Wald statistic.
    ///
    /// # Panics
    /// When `right` has not as many entries as M has rows.
    #[must_use]
    pub fn inverse_quadratic_form(&self, right: &[f64]) -> f64 {
        self.solve_lower(right).iter().map(|value| value * value).sum()
    }

    /// M⁻¹.
    #[must_use]
    pub fn inverse(&self) -> Matrix {
        let size = self.lower.rows;
        let mut inverse = Matrix::zeros(size, size);
        for j in 0..size {
            let mut unit = vec![0.0; size];
            unit[j] = 1.0;
            for (i, value) in self.solve(&unit).into_iter().enumerate() {
                inverse[(i, j)] = value;
            }
        }
        inverse
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gram() -> Matrix {
        Matrix::from_rows(&[[4.0, 2.0, 0.6], [2.0, 5.0, 1.0], [0.6, 1.0, 3.0]])
    }

    #[test]
    fn solving_undoes_multiplying() {
        let x = [1.0, -2.0, 0.5];
        let solved = gram().solve(&gram().mul_vector(&x)).unwrap();
        assert!(solved.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-14));
        let unit = gram().mul(&gram().inverse().unwrap());
        let off =
            (0..3).flat_map(|i| (0..3).map(move |j| (i, j))).map(|at| (unit[at] - if at.0 == at.1 { 1.0 } else { 0.0 }).abs());
        assert!(off.fold(0.0, f64::max) < 1e-15);
        let factor = gram().cholesky().unwrap();
        let square = factor.lower().mul(&factor.lower().transpose());
        assert!((square[(2, 1)] - 1.0).abs() < 1e-15);
        let form = dot(&x, &gram().inverse().unwrap().mul_vector(&x));
        assert!((factor.inverse_quadratic_form(&x) - form).abs() < 1e-14);
    }

    #[test]
    fn the_collinear_column_is_named() {
        let columns = Matrix::from_rows(&[[1.0, 0.3, 0.6], [1.0, 0.7, 1.4], [1.0, -0.1, -0.2], [1.0, 9.0, 18.0]]);
        let error = columns.transpose().mul(&columns).cholesky().unwrap_err();
        assert!(error.why.contains("column 2"), "{error}");
        assert!(Matrix::from_rows(&[[1.0, 0.0], [f64::NAN, 1.0]]).cholesky().unwrap_err().why.contains("column 1"));
        assert!(Matrix::zeros(2, 2).inverse().unwrap_err().why.contains("column 0"));
        let scaled = Matrix::from_rows(&[[1e-200, 0.0], [0.0, 1e200]]);
        assert!(scaled.cholesky().is_ok(), "the test is relative");
    }
}
