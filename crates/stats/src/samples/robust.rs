//! What tames outliers: Yuen's test of trimmed means, a cap at a percentile, and winsorising by counts.

use serde::{Deserialize, Serialize};

use super::{checked_values, quantile_of_sorted, sorted};
use crate::answer::{Alternative, Degenerate, finite};
use crate::effect::{Effect, satterthwaite};
use crate::moments::Moments;

/// Yuen's test of trimmed means: g = ⌊trim · n⌋ values are cut at each end, h = n − 2g remain;
/// d = (n − 1) s²_w/(h (h − 1)) with s²_w the variance of the winsorised sample; t = (m_B − m_A)/√(d_A + d_B) of the trimmed
/// means on (d_A + d_B)²/(d_A²/(h_A − 1) + d_B²/(h_B − 1)) degrees of freedom. `trim` lies from 0 to under ½ (0 is Welch's
/// test), `alpha` between 0 and 1. Yuen, "The two-sample trimmed t for unequal population variances", Biometrika 61 (1974).
///
/// # Errors
/// [`Degenerate`] when fewer than two values of a sample remain, what remains does not vary in either, a value is not finite,
/// or trim or alpha is out of range.
pub fn yuen_test(
    control: &[f64],
    variant: &[f64],
    trim: f64,
    alternative: Alternative,
    alpha: f64,
) -> Result<Effect, Degenerate> {
    if !(0.0..0.5).contains(&trim) {
        return Err(Degenerate::new(format!("trim is {trim}; it must be 0 or more and less than 0.5")));
    }
    let (control, variant) = (Trimmed::new("control", control, trim)?, Trimmed::new("the variant", variant, trim)?);
    let variance = finite("variance", control.variance_of_mean + variant.variance_of_mean)?;
    if variance <= 0.0 {
        return Err(Degenerate::new("neither arm varies: after trimming, all values of each are the same"));
    }
    let part = |arm: &Trimmed| (arm.variance_of_mean, arm.kept - 1.0);
    let degrees_of_freedom = satterthwaite(&[part(&control), part(&variant)])?;
    Effect::new(variant.mean - control.mean, variance.sqrt(), Some(degrees_of_freedom), alternative, alpha)
}

struct Trimmed {
    kept: f64,
    mean: f64,
    variance_of_mean: f64,
}

impl Trimmed {
    fn new(name: &str, values: &[f64], trim: f64) -> Result<Self, Degenerate> {
        checked_values(name, values)?;
        let mut values = sorted(values);
        let cut = (trim * values.len() as f64) as usize;
        let kept = values.len() - 2 * cut;
        if kept < 2 {
            return Err(Degenerate::new(format!("fewer than two values of {name} remain after trimming; a spread needs two")));
        }
        let mean = Moments::from_values(&values[cut..cut + kept]).mean;
        let (low, high) = (values[cut], values[cut + kept - 1]);
        values[..cut].fill(low);
        values[cut + kept..].fill(high);
        // Equal values leave rounding behind, which is not a spread.
        let m2 = if low == high { 0.0 } else { Moments::from_values(&values).m2 };
        let kept = kept as f64;
        Ok(Self { kept, mean, variance_of_mean: finite("variance", m2 / (kept * (kept - 1.0)))? })
    }
}

/// Samples with a cap on their values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capped {
    /// The cap.
    pub cap: f64,
    /// Control's values, none above the cap, in the same order.
    pub control: Vec<f64>,
    /// The variant's.
    pub variant: Vec<f64>,
    /// How many values of both were above it.
    pub number_capped: u64,
}

/// Caps both samples at a percentile of both together, so that one order of thousands does not decide: the cap is the
/// quantile (type 7) at `percentile`, a fraction from 0 to 1, and greater values become the cap. With `ignore_zeros` the
/// percentile is that of the values that are not zero. One cap for both arms keeps the comparison fair. Dixon, "Simplified
/// estimation from censored normal samples", Annals of Mathematical Statistics 31 (1960); Hyndman & Fan (1996).
///
/// # Errors
/// [`Degenerate`] when both samples are empty, a value is not finite, nothing remains without zeros, or the percentile is out
/// of range.
pub fn cap_at_percentile(control: &[f64], variant: &[f64], percentile: f64, ignore_zeros: bool) -> Result<Capped, Degenerate> {
    if !(0.0..=1.0).contains(&percentile) {
        return Err(Degenerate::new(format!("the percentile is {percentile}; it must be a fraction from 0 to 1")));
    }
    let all = [control, variant].concat();
    checked_values("both arms together", &all)?;
    let pool: Vec<f64> = all.into_iter().filter(|value| !ignore_zeros || *value != 0.0).collect();
    if pool.is_empty() {
        return Err(Degenerate::new("all values are zero, and zeros are ignored"));
    }
    let cap = quantile_of_sorted(&sorted(&pool), percentile);
    let capped = |values: &[f64]| values.iter().map(|value| value.min(cap)).collect::<Vec<_>>();
    let above = |values: &[f64]| values.iter().filter(|value| **value > cap).count() as u64;
    let number_capped = above(control) + above(variant);
    Ok(Capped { cap, control: capped(control), variant: capped(variant), number_capped })
}

/// Winsorises by counts: the k = ⌊lower · n⌋ smallest values become the (k + 1)-th smallest, the k = ⌊upper · n⌋ largest the
/// (k + 1)-th largest; order and number stay. `lower_fraction` and `upper_fraction` lie from 0 to under 1. Dixon, Annals of
/// Mathematical Statistics 31 (1960).
///
/// # Errors
/// [`Degenerate`] when there are no values, one is not finite, or a fraction is out of range or leaves nothing.
pub fn winsorize(values: &[f64], lower_fraction: f64, upper_fraction: f64) -> Result<Vec<f64>, Degenerate> {
    checked_values("the sample", values)?;
    for (name, fraction) in [("lower", lower_fraction), ("upper", upper_fraction)] {
        if !(0.0..1.0).contains(&fraction) {
            return Err(Degenerate::new(format!("the {name} fraction is {fraction}; it must be 0 or more and less than 1")));
        }
    }
    let sorted = sorted(values);
    let count = |fraction: f64| (fraction * values.len() as f64) as usize;
    let (below, above) = (count(lower_fraction), count(upper_fraction));
    if below + above >= values.len() {
        return Err(Degenerate::new("the fractions leave no value as it is"));
    }
    let (low, high) = (sorted[below], sorted[values.len() - 1 - above]);
    Ok(values.iter().map(|value| value.clamp(low, high)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::means::welch_test;

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |control: &[f64], variant: &[f64], trim: f64, expect: &str| {
            let error = yuen_test(control, variant, trim, Alternative::TwoSided, 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&[1.0, 2.0], &[1.0, 2.0], 0.5, "trim is 0.5");
        check(&[1.0, 2.0], &[1.0, 2.0], f64::NAN, "trim is NaN");
        check(&[], &[1.0, 2.0], 0.1, "control has no values");
        check(&[1.0], &[1.0, 2.0], 0.1, "fewer than two values of control");
        check(&[1.0, 2.0, 3.0, 4.0, 5.0], &[1.0, 2.0, 3.0, 4.0, 9.0], 0.45, "fewer than two");
        check(&[0.1, 0.1, 0.1, 9.0], &[0.0, 0.3, 0.3, 0.3], 0.25, "neither arm varies");
        assert!(cap_at_percentile(&[], &[], 0.9, false).unwrap_err().why.contains("no values"));
        assert!(cap_at_percentile(&[0.0], &[0.0], 0.9, true).unwrap_err().why.contains("zeros are ignored"));
        assert!(cap_at_percentile(&[0.0], &[0.0], 90.0, true).unwrap_err().why.contains("percentile is 90"));
        assert!(winsorize(&[1.0, 2.0], 0.5, 0.5).unwrap_err().why.contains("leave no value"));
        assert!(winsorize(&[1.0, 2.0], 1.0, 0.0).unwrap_err().why.contains("lower fraction is 1"));
        assert!(winsorize(&[f64::INFINITY], 0.1, 0.0).unwrap_err().why.contains("not a finite"));
    }

    #[test]
    fn caps_and_counts() {
        let capped = cap_at_percentile(&[0.0, 1.0, 2.0], &[3.0, 100.0], 0.75, false).unwrap();
        assert_eq!((capped.cap, capped.variant.as_slice(), capped.number_capped), (3.0, &[3.0, 3.0][..], 1));
        let capped = cap_at_percentile(&[0.0, 0.0, 2.0], &[4.0], 0.5, true).unwrap();
        assert_eq!((capped.cap, capped.number_capped), (3.0, 1));
        assert_eq!(winsorize(&[9.0, 1.0, 2.0, 3.0], 0.25, 0.25).unwrap(), [3.0, 2.0, 2.0, 3.0]);
    }

    proptest! {
        /// Without trimming it is Welch's test; the arms' names turn the sign; one wild value does not matter when trimmed.
        #[test]
        fn no_trim_is_welch(
            control in prop::collection::vec(-100.0..100.0_f64, 6..60),
            variant in prop::collection::vec(-100.0..100.0_f64, 6..60),
        ) {
            let welch = welch_test(&Moments::from_values(&control), &Moments::from_values(&variant), Alternative::Less, 0.05).unwrap();
            let yuen = yuen_test(&control, &variant, 0.0, Alternative::Less, 0.05).unwrap();
            prop_assert!((welch.statistic - yuen.statistic).abs() < 1e-9 && (welch.p_value - yuen.p_value).abs() < 1e-9);
            let here = yuen_test(&control, &variant, 0.2, Alternative::Greater, 0.05).unwrap();
            let there = yuen_test(&variant, &control, 0.2, Alternative::Less, 0.05).unwrap();
            prop_assert!((here.p_value - there.p_value).abs() < 1e-12);
            let mut wild = control.clone();
            let largest = control.iter().copied().fold(f64::MIN, f64::max);
            *wild.iter_mut().find(|value| **value == largest).unwrap() = 1e12;
            let same = yuen_test(&wild, &variant, 0.2, Alternative::Greater, 0.05).unwrap();
            prop_assert!((here.p_value - same.p_value).abs() < 1e-12);
        }

        #[test]
        fn no_number_gives_nan(values in prop::collection::vec(any::<f64>(), 0..9), a: f64, b: f64) {
            if let Ok(test) = yuen_test(&values, &[1.0, 2.0, 4.0], a, Alternative::TwoSided, 0.05) {
                prop_assert!(test.p_value.is_finite());
            }
            if let Ok(capped) = cap_at_percentile(&values, &[1.0], a, true) {
                prop_assert!(capped.cap.is_finite());
            }
            if let Ok(values) = winsorize(&values, a, b) {
                prop_assert!(values.iter().all(|value| value.is_finite()));
            }
        }
    }
}
