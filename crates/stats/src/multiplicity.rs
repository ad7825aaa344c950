//! Holm's correction for many comparisons.
//!
//! Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979): the
//! i-th smallest of n p-values is multiplied by n − i + 1, made monotone from the smallest upwards, and cut at 1.
//! Rejecting what is at most alpha keeps the chance of any false alarm at alpha, however the tests depend on each other.

/// The adjusted p-values, in the order given. What is no probability (NaN) counts as 1: a comparison that could not be
/// made stays in the family and never becomes significant.
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let cleaned: Vec<f64> = p_values.iter().map(|p| if p.is_nan() { 1.0 } else { p.clamp(0.0, 1.0) }).collect();
    let mut order: Vec<usize> = (0..cleaned.len()).collect();
    order.sort_by(|a, b| cleaned[*a].total_cmp(&cleaned[*b]));
    let mut adjusted = vec![0.0; cleaned.len()];
    let mut largest = 0.0_f64;
    for (rank, index) in order.into_iter().enumerate() {
        largest = largest.max(cleaned[index] * (cleaned.len() - rank) as f64).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_adjustments() {
        let check = |p_values: &[f64], expect: &[f64]| {
            let adjusted = holm(p_values);
            assert!(adjusted.iter().zip(expect).all(|(a, b)| (a - b).abs() < 1e-12), "{adjusted:?}");
        };
        check(&[], &[]);
        check(&[0.04], &[0.04]);
        check(&[0.01, 0.04, 0.03, 0.005, 0.55, 0.6], &[0.05, 0.12, 0.12, 0.03, 1.0, 1.0]);
        check(&[f64::NAN, 0.01], &[1.0, 0.02]);
    }

    proptest! {
        #[test]
        fn adjusting_keeps_order_and_never_helps(p_values in prop::collection::vec(0.0..=1.0_f64, 1..20)) {
            let adjusted = holm(&p_values);
            for (i, a) in adjusted.iter().enumerate() {
                prop_assert!(*a >= p_values[i] && *a <= 1.0);
                for (j, b) in adjusted.iter().enumerate() {
                    prop_assert!(p_values[i] >= p_values[j] || a <= b);
                }
            }
        }
    }
}
