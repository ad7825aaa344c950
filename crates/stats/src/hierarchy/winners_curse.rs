//! The winner's curse: what remains of an effect that is only looked at because it was large.
//!
//! Given that Z ~ N(μ, 1) fell into the set that is reported, its law is the normal law cut to that set. The estimate is the
//! μ at which the observed z is the median of that law, so that it is too high as often as too low; the interval holds every
//! μ at which z is not in the outer alpha. Lee, Sun, Sun & Taylor, "Exact post-selection inference", Annals of Statistics 44
//! (2016); Zhong & Prentice, "Bias-reduced estimators and confidence intervals for odds ratios in genome-wide association
//! studies", Biostatistics 9 (2008).

use serde::{Deserialize, Serialize};

use crate::answer::{Degenerate, Interval, checked_alpha, finite};
use crate::numeric::find_root;
use crate::tail::{normal_log_upper, normal_upper};

/// An end of an interval further out than this many standard errors is reported as unbounded.
const REACH_MAX: f64 = 10_000.0;

/// Which results are looked at, in standard errors.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// |Z| above a cutoff: "significant".
    TwoSided(f64),
    /// Z above a cutoff: "a significant improvement".
    Greater(f64),
    /// Z below a cutoff.
    Less(f64),
    /// Z between two values, of which one may be missing.
    Between(Option<f64>, Option<f64>),
}

impl Selection {
    /// The intervals of Z that are looked at, in ascending order.
    fn pieces(self) -> Result<Vec<Piece>, Degenerate> {
        let open = f64::INFINITY;
        let pieces = match self {
            Self::TwoSided(cutoff) if cutoff >= 0.0 => vec![(-open, -cutoff), (cutoff, open)],
            Self::TwoSided(_) => return Err(Degenerate::new("the cutoff of a two-sided selection must be zero or more")),
            Self::Greater(cutoff) => vec![(cutoff, open)],
            Self::Less(cutoff) => vec![(-open, cutoff)],
            Self::Between(lower, upper) => vec![(lower.unwrap_or(-open), upper.unwrap_or(open))],
        };
        let bad =
            |(lower, upper): &Piece| lower.is_nan() || upper.is_nan() || lower >= upper || *lower == open || *upper == -open;
        if pieces.iter().any(bad) {
            return Err(Degenerate::new("the selection is empty; its cutoffs must be numbers, the lower below the upper"));
        }
        Ok(pieces)
    }
}

/// An interval of Z.
pub(super) type Piece = (f64, f64);

/// An effect freed from having been selected.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct WinnersCurse {
    /// The observed effect over its standard error.
    pub statistic: f64,
    /// The median-unbiased estimate of the effect, given the selection.
    pub estimate: f64,
    /// Of the effect given the selection, at one minus alpha; a side is `None` where it is further than 10,000 standard errors.
    pub interval: Interval,
}

/// The median-unbiased estimate and interval of an effect that was selected by the size of its statistic.
///
/// `effect` and `standard_error` (> 0) are in one unit; `selection` is in standard errors.
///
/// # Errors
/// [`Degenerate`] when a number is not finite, the standard error is not greater than zero, the selection is empty, the
/// statistic lies outside of it, or so close to its edge that no effect within 10,000 standard errors makes it a median.
pub fn winners_curse(effect: f64, standard_error: f64, selection: Selection, alpha: f64) -> Result<WinnersCurse, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    let effect = finite("effect", effect)?;
    if !(standard_error.is_finite() && standard_error > 0.0) {
        return Err(Degenerate::new("the standard error must be greater than zero"));
    }
    let statistic = finite("statistic", effect / standard_error)?;
    let pieces = selection.pieces()?;
    if !pieces.iter().any(|(lower, upper)| (*lower..=*upper).contains(&statistic)) {
        return Err(Degenerate::new(format!("the statistic is {statistic}, which the selection leaves out")));
    }
    let mean_at = |upper: f64| mean_at(statistic, &pieces, upper);
    let Some(estimate) = mean_at(0.5) else {
        return Err(Degenerate::new("the statistic lies at the edge of the selection, where it says nothing of the effect"));
    };
    let end = |upper: f64| mean_at(upper).map(|mean| finite("interval", mean * standard_error)).transpose();
    Ok(WinnersCurse {
        statistic,
        estimate: finite("estimate", estimate * standard_error)?,
        interval: Interval { lower: end(alpha / 2.0)?, upper: end(1.0 - alpha / 2.0)? },
    })
}

/// The mean at which P(Z > z | Z in pieces) = `upper`. `None` beyond 10,000.
pub(super) fn mean_at(z: f64, pieces: &[Piece], upper: f64) -> Option<f64> {
    let excess = |mean: f64| conditional_upper(z, mean, pieces) - upper;
    // The probability rises with the mean.
    let (mut low, mut high, mut step) = (z - 1.0, z + 1.0, 1.0);
    while excess(low) > 0.0 {
        step *= 2.0;
        low -= step;
        if low < z - REACH_MAX {
            return None;
        }
    }
    step = 1.0;
    while excess(high) < 0.0 {
        step *= 2.0;
        high += step;
        if high > z + REACH_MAX {
            return None;
        }
    }
    find_root(excess, low, high)
}

/// P(Z > z | Z in pieces) for Z ~ N(mean, 1), through logarithms because all of it may lie far out in a tail.
pub(super) fn conditional_upper(z: f64, mean: f64, pieces: &[Piece]) -> f64 {
    let log = |lower: f64, upper: f64| log_between(lower - mean, upper - mean);
    let all: Vec<f64> = pieces.iter().map(|(lower, upper)| log(*lower, *upper)).collect();
    let top = all.iter().fold(f64::NEG_INFINITY, |top, log| top.max(*log));
    let total: f64 = all.iter().map(|log| (log - top).exp()).sum();
    let beyond = pieces.iter().filter(|(_, upper)| *upper > z).map(|(lower, upper)| (log(lower.max(z), *upper) - top).exp());
    (beyond.sum::<f64>() / total).clamp(0.0, 1.0)
}

/// ln P(lower < Z < upper) for a standard normal Z.
fn log_between(lower: f64, upper: f64) -> f64 {
    if lower >= upper {
        return f64::NEG_INFINITY;
    }
    if upper <= 0.0 {
        return log_between(-upper, -lower);
    }
    if lower < 0.0 {
        return (-normal_upper(-lower) - normal_upper(upper)).ln_1p();
    }
    let (near, far) = (normal_log_upper(lower), normal_log_upper(upper));
    near + (-(far - near).exp()).ln_1p()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The two-sided cutoff at 5 %.
    const SIGNIFICANT: f64 = 1.959_963_984_540_054_2;

    /// Own pins: the estimate given that |Z| > 1.96.
    #[test]
    fn what_remains_of_a_significant_effect() {
        let check = |z: f64, expect: f64| {
            let freed = winners_curse(z, 1.0, Selection::TwoSided(SIGNIFICANT), 0.05).unwrap();
            assert!((freed.estimate - expect).abs() < 1e-5, "{z}: {freed:?}");
            assert!(freed.interval.contains(freed.estimate), "{freed:?}");
            let mirrored = winners_curse(-z, 1.0, Selection::TwoSided(SIGNIFICANT), 0.05).unwrap();
            assert!((freed.estimate + mirrored.estimate).abs() < 1e-9);
            assert!((freed.interval.lower.unwrap() + mirrored.interval.upper.unwrap()).abs() < 1e-6);
        };
        check(2.0, 0.04174);
        check(2.5, 1.54311);
        check(3.0, 2.71338);
        check(4.0, 3.97231);
    }

    #[test]
    fn no_selection_changes_nothing() {
        for selection in [Selection::Between(None, None), Selection::TwoSided(0.0), Selection::Greater(-60.0)] {
            let freed = winners_curse(0.3, 0.1, selection, 0.05).unwrap();
            assert!((freed.estimate - 0.3).abs() < 1e-12, "{selection:?} {freed:?}");
            assert!((freed.interval.lower.unwrap() - (0.3 - 0.195_996_398_454_005_4)).abs() < 1e-12, "{freed:?}");
        }
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |effect: f64, standard_error: f64, selection, expect: &str| {
            let error = winners_curse(effect, standard_error, selection, 0.05).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(1.0, 1.0, Selection::TwoSided(1.96), "leaves out");
        check(2.0, 1.0, Selection::Greater(2.0), "at the edge");
        check(2.0, 0.0, Selection::Greater(1.0), "standard error");
        check(2.0, 1.0, Selection::TwoSided(-1.0), "cutoff");
        check(2.0, 1.0, Selection::Between(Some(3.0), Some(1.0)), "empty");
        check(2.0, 1.0, Selection::Greater(f64::NAN), "empty");
        let near_edge = winners_curse(2.0001, 1.0, Selection::Greater(2.0), 0.05).unwrap();
        assert!(near_edge.estimate < -1000.0 && near_edge.interval.lower.is_none(), "{near_edge:?}");
    }

    proptest! {
        /// The interval inverts the test, the mirror image mirrors, and nothing is ever NaN.
        #[test]
        fn intervals_invert_their_tests(excess in 0.01..6.0_f64, cutoff in 0.0..4.0_f64, two_sided in any::<bool>()) {
            let selection = if two_sided { Selection::TwoSided(cutoff) } else { Selection::Greater(cutoff) };
            let pieces = selection.pieces().unwrap();
            let z = cutoff + excess;
            let freed = winners_curse(z, 1.0, selection, 0.1).unwrap();
            let check = |mean: f64, expect: f64| (conditional_upper(z, mean, &pieces) - expect).abs() < 1e-9;
            prop_assert!(check(freed.estimate, 0.5));
            prop_assert!(check(freed.interval.upper.unwrap(), 0.95));
            prop_assert!(freed.interval.lower.is_none_or(|lower| check(lower, 0.05)));
            if !two_sided {
                let mirrored = winners_curse(-z, 1.0, Selection::Less(-cutoff), 0.1).unwrap();
                prop_assert!((mirrored.estimate + freed.estimate).abs() <= 1e-6 * freed.estimate.abs().max(1.0));
            }
        }

        #[test]
        fn no_input_gives_nan(effect in any::<f64>(), error in any::<f64>(), a in any::<f64>(), b in any::<f64>(), kind in 0..4_u8) {
            let selection = match kind {
                0 => Selection::TwoSided(a),
                1 => Selection::Greater(a),
                2 => Selection::Less(a),
                _ => Selection::Between(Some(a), Some(b)),
            };
            if let Ok(freed) = winners_curse(effect, error, selection, 0.05) {
                prop_assert!(freed.estimate.is_finite());
                prop_assert!(freed.interval.lower.is_none_or(f64::is_finite) && freed.interval.upper.is_none_or(f64::is_finite));
            }
        }
    }
}
