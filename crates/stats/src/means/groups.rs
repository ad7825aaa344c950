//! Do the means of several groups differ at all? The analysis of variance, with one variance for all or one for each.

use serde::{Deserialize, Serialize};

use crate::answer::{Degenerate, finite};
use crate::moments::Moments;
use crate::tail::f_upper;

use super::Arm;

/// A test by the F distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FTest {
    /// The spread between the groups over the spread within them.
    pub statistic: f64,
    /// Groups minus one.
    pub degrees_of_freedom_between: f64,
    /// Of the spread within.
    pub degrees_of_freedom_within: f64,
    /// The chance of a statistic this large when all means are equal.
    pub p_value: f64,
}

impl FTest {
    fn new(statistic: f64, between: f64, within: f64) -> Result<Self, Degenerate> {
        let statistic = finite("statistic", statistic)?;
        Ok(Self {
            statistic,
            degrees_of_freedom_between: between,
            degrees_of_freedom_within: finite("degrees of freedom", within)?,
            p_value: finite("p-value", f_upper(statistic, between, within))?,
        })
    }
}

/// Fisher's analysis of variance for k groups of N values together:
/// F = [Σ n_i (m_i − m)² / (k − 1)] / [Σ (n_i − 1) s²_i / (N − k)] on k − 1 and N − k degrees of freedom. It takes the
/// variances to be equal. Fisher, *Statistical Methods for Research Workers* (1925).
///
/// # Errors
/// [`Degenerate`] when there are fewer than two groups, a group is empty, none has two values, nothing varies within the
/// groups, or a number is not finite.
pub fn oneway_anova(groups: &[Moments]) -> Result<FTest, Degenerate> {
    check_number(groups)?;
    if let Some(empty) = groups.iter().position(|group| group.count == 0) {
        return Err(Degenerate::new(format!("variant {} has no recipient", empty + 1)));
    }
    if let Some(bad) = groups.iter().position(|group| !group.m2.is_finite() || group.m2 < 0.0 || !group.mean.is_finite()) {
        return Err(Degenerate::new(format!("the mean or variance of variant {} is not a number that can be", bad + 1)));
    }
    let all: f64 = groups.iter().map(|group| group.count as f64).sum();
    let (between, within) = ((groups.len() - 1) as f64, all - groups.len() as f64);
    if within < 1.0 {
        return Err(Degenerate::new("each variant has only one recipient; a spread needs two"));
    }
    let spread = finite("variance", groups.iter().map(|group| group.m2).sum::<f64>())? / within;
    if spread <= 0.0 {
        return Err(Degenerate::new("within each variant, all recipients have the same value"));
    }
    // Distances from the first mean, so that the digits of a large common mean do not matter.
    let origin = groups[0].mean;
    let mean = groups.iter().map(|group| group.count as f64 / all * (group.mean - origin)).sum::<f64>();
    let distance = groups.iter().map(|group| group.count as f64 * ((group.mean - origin) - mean).powi(2)).sum::<f64>();
    FTest::new(distance / between / spread, between, within)
}

/// Welch's analysis of variance, which does not take the variances to be equal. With w_i = n_i/s²_i, W = Σ w_i,
/// m = Σ w_i m_i / W and L = Σ (1 − w_i/W)²/(n_i − 1):
/// F = [Σ w_i (m_i − m)² / (k − 1)] / [1 + 2 (k − 2) L / (k² − 1)] on k − 1 and (k² − 1) / (3 L) degrees of freedom.
/// Welch, "On the comparison of several mean values: an alternative approach", Biometrika 38 (1951).
///
/// # Errors
/// [`Degenerate`] when there are fewer than two groups, a group has fewer than two values or does not vary, or a number is
/// not finite.
pub fn welch_anova(groups: &[Moments]) -> Result<FTest, Degenerate> {
    check_number(groups)?;
    for (number, group) in groups.iter().enumerate() {
        if !Arm::new("", group).is_ok_and(|arm| arm.variance_of_mean > 0.0) {
            let name = format!("variant {}", number + 1);
            Arm::new(&name, group)?;
            return Err(Degenerate::new(format!("{name} does not vary; each needs a spread of its own")));
        }
    }
    let weight = |group: &Moments| (group.count as f64 / group.m2) * (group.count - 1) as f64;
    let total = finite("weight", groups.iter().map(weight).sum::<f64>())?;
    let origin = groups[0].mean;
    let mean = groups.iter().map(|group| weight(group) / total * (group.mean - origin)).sum::<f64>();
    let distance = groups.iter().map(|group| weight(group) * ((group.mean - origin) - mean).powi(2)).sum::<f64>();
    let imbalance = groups.iter().map(|group| (1.0 - weight(group) / total).powi(2) / (group.count - 1) as f64).sum::<f64>();
    let k = groups.len() as f64;
    let correction = 1.0 + 2.0 * (k - 2.0) * imbalance / (k * k - 1.0);
    FTest::new(distance / (k - 1.0) / correction, k - 1.0, (k * k - 1.0) / (3.0 * imbalance))
}

fn check_number(groups: &[Moments]) -> Result<(), Degenerate> {
    if groups.len() < 2 {
        return Err(Degenerate::new("there are fewer than two variants"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::answer::Alternative;
    use crate::means::{student_test, welch_test};

    fn group(count: u64, mean: f64, variance: f64) -> Moments {
        Moments { count, mean, m2: variance * (count - 1) as f64 }
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let good = group(10, 1.0, 1.0);
        let check = |groups: &[Moments], expect: &str, welch: &str| {
            let error = oneway_anova(groups).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
            let error = welch_anova(groups).unwrap_err();
            assert!(error.why.contains(welch), "{error}");
        };
        check(&[good], "fewer than two variants", "fewer than two variants");
        check(&[good, Moments::default()], "variant 2 has no recipient", "variant 2 has no recipient");
        check(&[group(1, 1.0, 0.0), group(1, 2.0, 0.0)], "only one recipient", "variant 1 has only one recipient");
        check(&[group(5, 1.0, 0.0), group(5, 2.0, 0.0)], "same value", "variant 1 does not vary");
        check(&[good, group(5, f64::NAN, 1.0)], "variant 2", "variant 2");
        check(&[good, group(5, 1.0, f64::INFINITY)], "variant 2", "variant 2");
    }

    proptest! {
        /// Of two groups, F is the square of t and the p-values are equal; a shift of all changes nothing, nor does order.
        #[test]
        fn two_groups_are_a_t_test(
            counts in (2..1000_u64, 2..1000_u64),
            means in (-5.0..5.0_f64, -5.0..5.0_f64),
            variances in (0.01..50.0_f64, 0.01..50.0_f64),
        ) {
            let (one, other) = (group(counts.0, means.0, variances.0), group(counts.1, means.1, variances.1));
            let check = |f: FTest, t: f64, df: f64, p_value: f64| {
                prop_assert!((f.statistic - t * t).abs() <= 1e-9 * (1.0 + t * t));
                prop_assert!((f.degrees_of_freedom_within / df - 1.0).abs() <= 1e-9);
                prop_assert!((f.p_value - p_value).abs() <= 1e-9);
                Ok(())
            };
            let student = student_test(&one, &other, Alternative::TwoSided, 0.05).unwrap();
            check(oneway_anova(&[one, other]).unwrap(), student.statistic, student.degrees_of_freedom.unwrap(), student.p_value)?;
            let welch = welch_test(&one, &other, Alternative::TwoSided, 0.05).unwrap();
            check(welch_anova(&[one, other]).unwrap(), welch.statistic, welch.degrees_of_freedom.unwrap(), welch.p_value)?;
            let third = group(7, 0.5, 3.0);
            let moved = |by: f64| [other, third, one].map(|g| Moments { mean: g.mean + by, ..g });
            for test in [oneway_anova, welch_anova] {
                let (here, there) = (test(&[one, other, third]).unwrap(), test(&moved(1e3)).unwrap());
                prop_assert!((here.statistic - there.statistic).abs() <= 1e-8 * (1.0 + here.statistic));
            }
        }

        #[test]
        fn no_number_gives_nan(count in 0..4_u64, means: (f64, f64), m2: (f64, f64)) {
            let groups = [Moments { count, mean: means.0, m2: m2.0 }, Moments { count: 3, mean: means.1, m2: m2.1 }, group(9, 1.0, 1.0)];
            for test in [oneway_anova, welch_anova] {
                if let Ok(test) = test(&groups) {
                    prop_assert!(test.p_value.is_finite() && test.statistic.is_finite());
                }
            }
        }
    }
}
