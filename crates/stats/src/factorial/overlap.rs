//! Two separate experiments on the same recipients: are they independent, and do their effects change each other?

use super::{Term, level_terms};
use crate::answer::{Degenerate, finite};
use crate::moments::Moments;
use crate::ratio::ChiSquare;
use crate::tail::chi_square_upper;

/// What two experiments do to each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Overlap {
    /// Whether being in an arm of one experiment tells the arm in the other (Pearson's test of independence). A small p-value
    /// means a shared salt or a rule that joins them; the effects of both are then mixed up.
    pub assignment: ChiSquare,
    /// The differences in differences of arms against control, with Wald's test of all of them.
    pub interaction: Term,
}

/// Scans two experiments for overlap, from the joint cells: the arm of the first changes fastest, control is arm 0 of each.
///
/// Where many pairs of experiments are scanned, adjust the p-values of `interaction.wald` together (Benjamini & Hochberg).
///
/// # Errors
/// As [`level_terms`] for `arms.0` × `arms.1` cells.
pub fn overlap(arms: (usize, usize), cells: &[Moments], alpha: f64) -> Result<Overlap, Degenerate> {
    let interaction =
        level_terms(&[arms.0, arms.1], cells, alpha)?.pop().ok_or_else(|| Degenerate::new("there are no two experiments"))?;
    Ok(Overlap { assignment: independence(arms.0, cells)?, interaction })
}

/// Pearson's test of independence of the two ways cells are laid out: the first has so many `columns` and changes fastest.
///
/// # Errors
/// [`Degenerate`] when a row or a column is empty.
pub fn independence(columns: usize, cells: &[Moments]) -> Result<ChiSquare, Degenerate> {
    let counts: Vec<f64> = cells.iter().map(|cell| cell.count as f64).collect();
    let total: f64 = counts.iter().sum();
    let row_sums: Vec<f64> = counts.chunks(columns).map(|row| row.iter().sum()).collect();
    let column_sums: Vec<f64> = (0..columns).map(|column| counts.iter().skip(column).step_by(columns).sum()).collect();
    let terms = counts.iter().enumerate().map(|(at, count)| {
        let expected = row_sums[at / columns] * (column_sums[at % columns] / total);
        (count - expected) * ((count - expected) / expected)
    });
    let statistic = finite("statistic", terms.sum())?;
    let degrees_of_freedom = ((columns - 1) * (row_sums.len() - 1)) as u64;
    Ok(ChiSquare { statistic, degrees_of_freedom, p_value: chi_square_upper(statistic, degrees_of_freedom as f64) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(numbers: [(u64, f64); 6]) -> Vec<Moments> {
        numbers.map(|(count, mean)| Moments { count, mean, m2: (count - 1) as f64 }).to_vec()
    }

    #[test]
    fn independent_experiments_that_add_up_are_left_alone() {
        let found =
            overlap((3, 2), &cells([(100, 0.0), (200, 1.0), (300, 2.0), (50, 1.0), (100, 2.0), (150, 3.0)]), 0.05).unwrap();
        assert!(found.assignment.statistic < 1e-12 && found.assignment.degrees_of_freedom == 2, "{found:?}");
        assert!(found.interaction.wald.statistic < 1e-12, "{found:?}");
    }

    /// scipy.stats.chi2_contingency([[90, 210, 300], [60, 90, 150]]): 4.5, p = 0.10539922456186433.
    #[test]
    fn a_shared_salt_and_a_clash_are_found() {
        let found = overlap((3, 2), &cells([(90, 0.0), (210, 1.0), (300, 2.0), (60, 1.0), (90, 2.0), (150, 0.0)]), 0.05).unwrap();
        assert!((found.assignment.statistic - 4.5).abs() < 1e-12, "{found:?}");
        assert!((found.assignment.p_value - 0.105_399_224_561_864_33).abs() < 1e-12, "{found:?}");
        assert!((found.interaction.contrasts[1].effect.difference + 3.0).abs() < 1e-12, "{found:?}");
        assert!(found.interaction.wald.p_value < 1e-10);
    }
}
