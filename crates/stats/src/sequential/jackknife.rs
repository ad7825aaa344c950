//! The delete-a-group jackknife: a variance for any estimate, also where one recipient counts many times.
//!
//! Recipients are dealt into G groups by a hash, and the estimate is computed G times, each time without one group. With
//! θ₍g₎ those estimates and θ̄ their mean, the variance is (G − 1)/G · Σ (θ₍g₎ − θ̄)². It needs no formula for the estimate and
//! no assumption about the rows of one recipient, as long as all of them are in the same group. Thirty groups or more make it
//! steady. Kott, "The delete-a-group jackknife", Journal of Official Statistics 17 (2001).

use serde::{Deserialize, Serialize};

use crate::answer::{Degenerate, finite};
use crate::moments::Moments;

/// An estimate and its standard error by the jackknife.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Jackknife {
    /// The estimate from all groups.
    pub estimate: f64,
    /// The root of the jackknife variance.
    pub standard_error: f64,
    /// Groups less one: the degrees of freedom of a t quantile for it.
    pub degrees_of_freedom: u64,
}

/// The jackknife of `estimate` over groups of anything that can be merged.
///
/// # Errors
/// [`Degenerate`] below two groups, and where the estimate has no answer with all groups or without one of them.
pub fn jackknife<T: Clone>(
    groups: &[T],
    merge: impl Fn(&T, &T) -> T,
    estimate: impl Fn(&T) -> Result<f64, Degenerate>,
) -> Result<Jackknife, Degenerate> {
    let [first, .., last] = groups else {
        return Err(Degenerate::new("there are fewer than two groups"));
    };
    // What lies before and after each group is merged once, so that leaving one out costs one merge.
    let mut after = vec![last.clone()];
    for group in groups[1..groups.len() - 1].iter().rev() {
        after.push(merge(group, &after[after.len() - 1]));
    }
    let mut before = first.clone();
    let mut without = Vec::with_capacity(groups.len());
    for (index, group) in groups.iter().enumerate() {
        without.push(match (index, after.pop()) {
            (0, Some(rest)) => estimate(&rest)?,
            (_, Some(rest)) => estimate(&merge(&before, &rest))?,
            (_, None) => estimate(&before)?,
        });
        if index > 0 {
            before = merge(&before, group);
        }
    }
    let moments = Moments::from_values(&without);
    let count = groups.len() as f64;
    let variance = finite("jackknife variance", moments.m2 * ((count - 1.0) / count))?;
    let estimate = finite("estimate", estimate(&before)?)?;
    Ok(Jackknife { estimate, standard_error: variance.sqrt(), degrees_of_freedom: groups.len() as u64 - 1 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mean(moments: &Moments) -> Result<f64, Degenerate> {
        if moments.count > 0 { Ok(moments.mean) } else { Err(Degenerate::new("nobody is left")) }
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let one = Moments::from_values(&[1.0]);
        assert!(jackknife(&[one], Moments::merge, mean).unwrap_err().why.contains("fewer than two groups"));
        let lonely = [one, Moments::default()];
        assert!(jackknife(&lonely, Moments::merge, mean).unwrap_err().why.contains("nobody is left"));
    }

    proptest! {
        /// With one value per group the jackknife of the mean is the usual standard error of a mean.
        #[test]
        fn the_mean_has_its_usual_error(values in prop::collection::vec(-100.0..100.0_f64, 2..40)) {
            let groups: Vec<Moments> = values.iter().map(|value| Moments::from_values(&[*value])).collect();
            let all = Moments::from_values(&values);
            let actual = jackknife(&groups, Moments::merge, mean).unwrap();
            prop_assert!((actual.estimate - all.mean).abs() < 1e-10);
            prop_assert!((actual.standard_error - all.variance_of_mean().unwrap().sqrt()).abs() < 1e-9);
            prop_assert_eq!(actual.degrees_of_freedom, values.len() as u64 - 1);
        }
    }
}
