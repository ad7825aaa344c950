//! Do the proportions of several variants differ at all? Pearson's chi-square, of any table of counts, and the likelihood
//! ratio.

use super::{Proportion, checked};
use crate::answer::{Degenerate, finite};
use crate::ratio::ChiSquare;
use crate::tail::chi_square_upper;

/// Below this relative distance ln(1 + u) is expanded, because the large parts cancel.
const SERIES_BELOW: f64 = 0.05;

/// Pearson's chi-square of k variants by success and failure: Σ (O − E)²/E with E from the pooled proportion, on k − 1
/// degrees of freedom, without Yates' correction. Pearson, "On the criterion that a given system of deviations ...",
/// Philosophical Magazine 50 (1900).
///
/// # Errors
/// [`Degenerate`] when there are fewer than two variants, a variant is empty or has more successes than recipients, or all or
/// none succeeded.
pub fn chi_square_test(variants: &[Proportion]) -> Result<ChiSquare, Degenerate> {
    independence(&counts(variants)?)
}

/// Pearson's chi-square of any table of counts: whether its rows have the same shares of the columns, on (rows − 1)
/// (columns − 1) degrees of freedom. Columns without a count are left out. Pearson, Philosophical Magazine 50 (1900).
///
/// # Errors
/// [`Degenerate`] when there are fewer than two rows or two columns with a count, a row is empty or of another length, or a
/// count is negative or not finite.
pub fn independence(rows: &[Vec<f64>]) -> Result<ChiSquare, Degenerate> {
    sum_over_cells(rows, |observed, expected| (observed - expected) * ((observed - expected) / expected))
}

/// The likelihood-ratio test of the same table, G = 2 Σ O ln(O/E), on k − 1 degrees of freedom, without correction. Wilks,
/// Annals of Mathematical Statistics 9 (1938); Sokal & Rohlf, *Biometry*, chapter 17.
///
/// # Errors
/// As [`chi_square_test`].
pub fn g_test(variants: &[Proportion]) -> Result<ChiSquare, Degenerate> {
    sum_over_cells(&counts(variants)?, deviance)
}

/// 2 (O ln(O/E) − O + E): never negative, and over a table Σ O = Σ E, so that the added part is nothing.
fn deviance(observed: f64, expected: f64) -> f64 {
    let u = (observed - expected) / expected;
    if observed == 0.0 {
        return 2.0 * expected;
    }
    if u.abs() > SERIES_BELOW {
        return 2.0 * (observed * (observed / expected).ln() - (observed - expected));
    }
    // (1 + u) ln(1 + u) − u = Σ (−u)^j / (j (j − 1)) from j = 2.
    let (mut power, mut sum) = (u * u, 0.0);
    for j in 2..16 {
        sum += power / f64::from(j * (j - 1));
        power *= -u;
    }
    2.0 * expected * sum
}

/// Successes and failures of each variant.
fn counts(variants: &[Proportion]) -> Result<Vec<Vec<f64>>, Degenerate> {
    if variants.len() < 2 {
        return Err(Degenerate::new("there are fewer than two variants"));
    }
    let row = |(index, variant): (usize, &Proportion)| {
        let Proportion { count, successes } = checked(&format!("variant {}", index + 1), *variant)?;
        Ok(vec![successes as f64, (count - successes) as f64])
    };
    let rows: Vec<Vec<f64>> = variants.iter().enumerate().map(row).collect::<Result<_, Degenerate>>()?;
    if (0..2).any(|column| rows.iter().all(|row| row[column] == 0.0)) {
        return Err(Degenerate::new("in all variants together, all or none succeeded"));
    }
    Ok(rows)
}

fn sum_over_cells(rows: &[Vec<f64>], term: impl Fn(f64, f64) -> f64) -> Result<ChiSquare, Degenerate> {
    let width = rows.first().map_or(0, Vec::len);
    if rows.iter().any(|row| row.len() != width || row.iter().any(|count| !(count.is_finite() && *count >= 0.0))) {
        return Err(Degenerate::new("the rows of the table differ in length, or a count is negative or not a number"));
    }
    let columns: Vec<f64> = (0..width).map(|column| rows.iter().map(|row| row[column]).sum()).collect();
    let total = finite("number of counts", columns.iter().sum())?;
    let filled = columns.iter().filter(|sum| **sum > 0.0).count() as u64;
    if rows.len() < 2 || filled < 2 || rows.iter().any(|row| row.iter().all(|count| *count == 0.0)) {
        return Err(Degenerate::new("a table needs two rows and two columns with counts"));
    }
    let of_row = |row: &Vec<f64>| {
        let count: f64 = row.iter().sum();
        let cells = row.iter().zip(&columns).filter(|(_, sum)| **sum > 0.0);
        cells.map(|(observed, sum)| term(*observed, count * (sum / total))).sum::<f64>()
    };
    let statistic = finite("statistic", rows.iter().map(of_row).sum())?;
    let degrees_of_freedom = (rows.len() as u64 - 1) * (filled - 1);
    Ok(ChiSquare { statistic, degrees_of_freedom, p_value: chi_square_upper(statistic, degrees_of_freedom as f64) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::answer::Alternative;
    use crate::proportions::difference::pooled_z;

    fn arm((count, successes): (u64, u64)) -> Proportion {
        Proportion { count, successes }
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |variants: &[(u64, u64)], expect: &str| {
            let variants: Vec<_> = variants.iter().copied().map(arm).collect();
            for test in [chi_square_test, g_test] {
                let error = test(&variants).unwrap_err();
                assert!(error.why.contains(expect), "{error}");
            }
        };
        check(&[(10, 3)], "fewer than two");
        check(&[(10, 3), (0, 0)], "variant 2 has no recipient");
        check(&[(10, 3), (9, 10)], "variant 2 has more successes");
        check(&[(10, 0), (9, 0)], "none succeeded");
        check(&[(10, 10), (9, 9)], "all or none");
    }

    #[test]
    fn equal_shares_say_nothing_however_many() {
        let variants = [arm((1_000_000_000, 3)), arm((2_000_000_000, 6)), arm((1_000_000_000, 3))];
        for test in [chi_square_test, g_test] {
            let test = test(&variants).unwrap();
            assert!(test.statistic.abs() < 1e-9 && test.p_value > 0.999_999, "{test:?}");
        }
    }

    proptest! {
        /// Of two variants chi-square is the square of the pooled z; G is near where both are small; order is nothing.
        #[test]
        fn two_variants_are_a_z_test(n in (1..1_000_000_000_u64, 1..1_000_000_000_u64), share in 0.0..1.0_f64, shift in 0.9..1.1_f64) {
            let (a, b) = (arm((n.0, (n.0 as f64 * share) as u64)), arm((n.1, (n.1 as f64 * (share * shift).min(1.0)) as u64)));
            if let Ok(test) = chi_square_test(&[a, b]) {
                let z = pooled_z(a, b, Alternative::TwoSided).unwrap();
                prop_assert!((test.statistic - z.statistic * z.statistic).abs() <= 1e-7 * (1.0 + test.statistic));
                prop_assert!((test.p_value - z.p_value).abs() <= 1e-7);
                let g = g_test(&[a, b]).unwrap();
                prop_assert!(g.statistic >= 0.0 && (g.statistic - g_test(&[b, a]).unwrap().statistic).abs() <= 1e-9 * (1.0 + g.statistic));
            }
        }

        /// The expansion of the deviance meets the logarithm.
        #[test]
        fn the_deviance_is_one_function(expected in 1.0..1e6_f64, u in 0.01..0.2_f64) {
            for u in [u, -u] {
                let observed = expected * (1.0 + u);
                let direct = 2.0 * (observed * u.ln_1p() - expected * u);
                prop_assert!((deviance(observed, expected) / direct - 1.0).abs() < 1e-9);
            }
        }
    }

    /// By hand: expected 12, 18, 8, 12 of 10, 20, 10, 10; the empty column does not count.
    #[test]
    fn a_table_of_any_size() {
        let rows = [vec![10.0, 0.0, 20.0], vec![10.0, 0.0, 10.0]];
        let found = independence(&rows).unwrap();
        assert!((found.statistic - (4.0 / 12.0 + 4.0 / 18.0 + 4.0 / 8.0 + 4.0 / 12.0)).abs() < 1e-12, "{found:?}");
        assert_eq!(found.degrees_of_freedom, 1);
        let check = |rows: &[Vec<f64>], expect: &str| assert!(independence(rows).unwrap_err().why.contains(expect));
        check(&[], "two rows");
        check(&rows[..1], "two rows");
        check(&[vec![1.0, 2.0], vec![0.0, 0.0]], "two rows");
        check(&[vec![1.0, 2.0], vec![1.0]], "length");
        check(&[vec![1.0, 2.0], vec![1.0, f64::NAN]], "not a number");
    }
}
