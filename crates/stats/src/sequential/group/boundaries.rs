//! Critical values of the looks of a design.

use serde::{Deserialize, Serialize};

use super::spending::{Sides, Spending, checked_fractions};
use super::walk::Walk;
use super::{CRITICAL_VALUE_MAX, LOOKS_MAX};
use crate::answer::{Degenerate, checked_alpha};
use crate::tail::{normal_quantile_upper, normal_upper};

/// Less error than this cannot be spent: it is smaller than the tail above the largest critical value.
const SPENDABLE_MIN: f64 = 1e-305;

/// How far the logarithm of the spent error may be from that of the error.
const EXCESS_MAX: f64 = 1e-10;

/// Attempts at the constant of a classic shape; five suffice.
const STEPS_MAX: usize = 60;

/// The boundaries of a design, one entry per look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Boundaries {
    /// The z above which (on two sides: beyond which) a look ends the experiment; at most [`CRITICAL_VALUE_MAX`].
    pub critical_values: Vec<f64>,
    /// The one-sided p-value of each critical value taken by itself.
    pub nominal_p: Vec<f64>,
    /// The error spent up to each look, on all sides together.
    pub cumulative_alpha: Vec<f64>,
}

/// The boundaries at the given information fractions, exact by recursive integration. With `Sides::Two` they are symmetric
/// and the lower one stops as well.
///
/// # Errors
/// [`Degenerate`] when alpha does not lie between 0 and 1, the fractions do not ascend from above zero or there are more than
/// [`LOOKS_MAX`], or a parameter of the spending is out of its range.
pub fn boundaries(spending: Spending, alpha: f64, sides: Sides, fractions: &[f64]) -> Result<Boundaries, Degenerate> {
    checked_fractions(fractions)?;
    spending.checked()?;
    let tail = checked_alpha(alpha)? / sides.count();
    let (critical_values, spent) = match spending.exponent() {
        Some(exponent) => classic(exponent, tail, sides, fractions)?,
        None => {
            let spent = fractions.iter().map(|t| spending.spent(*t, tail).map(|spent| spent.unwrap_or(tail)));
            let spent = spent.collect::<Result<Vec<f64>, _>>()?;
            (spent_boundaries(&spent, sides, fractions)?, spent)
        }
    };
    Ok(Boundaries::new(critical_values, &spent, sides))
}

impl Boundaries {
    pub(super) fn new(critical_values: Vec<f64>, spent: &[f64], sides: Sides) -> Self {
        let nominal_p = critical_values.iter().map(|z| normal_upper(*z)).collect();
        Self { critical_values, nominal_p, cumulative_alpha: spent.iter().map(|spent| spent * sides.count()).collect() }
    }
}

/// The critical values that spend, in one tail, `spent` up to each look.
pub(super) fn spent_boundaries(spent: &[f64], sides: Sides, fractions: &[f64]) -> Result<Vec<f64>, Degenerate> {
    let mut critical_values: Vec<f64> = Vec::with_capacity(fractions.len());
    let mut walk = Walk::new(0.0, fractions[0]);
    let mut spent_before = 0.0;
    let mut share = 1.0;
    for (look, (spent, t)) in spent.iter().zip(fractions).enumerate() {
        let target = spent - spent_before;
        let z = critical_value(&walk, target, *t, share)?;
        // How much of the tail above a critical value is news and not a crossing already counted changes slowly.
        share = (target / normal_upper(z)).clamp(1e-3, 1.0);
        critical_values.push(z);
        spent_before = *spent;
        if let Some(next) = fractions.get(look + 1) {
            let upper = z * t.sqrt();
            walk.proceed(if sides == Sides::Two { -upper } else { f64::NEG_INFINITY }, upper, *next);
        }
    }
    Ok(critical_values)
}

/// The z that is exceeded, for the first time at this look, with chance `target`.
pub(super) fn critical_value(walk: &Walk, target: f64, t: f64, share: f64) -> Result<f64, Degenerate> {
    if target < SPENDABLE_MIN {
        return Ok(CRITICAL_VALUE_MAX);
    }
    let guess = normal_quantile_upper((target / share).min(0.5));
    let boundary = walk.boundary_above(target, guess * t.sqrt());
    let boundary = boundary.ok_or_else(|| Degenerate::new("a look would have to spend more error than is left"))?;
    Ok((boundary / t.sqrt()).min(CRITICAL_VALUE_MAX))
}

/// Critical values c t^exponent, with c such that `tail` is spent in all, and what is spent in one tail up to each look.
fn classic(exponent: f64, tail: f64, sides: Sides, fractions: &[f64]) -> Result<(Vec<f64>, Vec<f64>), Degenerate> {
    let last = fractions[fractions.len() - 1];
    let shape: Vec<f64> = fractions.iter().map(|t| (t / last).powf(exponent)).collect();
    let least = shape.iter().copied().fold(f64::INFINITY, f64::min);
    let at =
        |c: f64| -> Vec<f64> { shape.iter().map(|shape| (c * shape).clamp(-CRITICAL_VALUE_MAX, CRITICAL_VALUE_MAX)).collect() };
    let single = normal_quantile_upper(tail);
    if fractions.len() == 1 {
        return Ok((vec![single], vec![tail]));
    }
    let too_large = || Degenerate::new(format!("no boundary of this shape spends an error as large as {tail} in one tail"));
    if single <= 0.0 {
        return Err(too_large());
    }
    // Between the quantile of a single look and Bonferroni's the logarithm of the error is nearly straight, with a slope of
    // about −c at first; then the secant through the latest two attempts takes over.
    let (low, high) = (single / least, normal_quantile_upper(tail / fractions.len() as f64) / least);
    // Even boundaries are nearer to Bonferroni's, late ones to the single look's.
    let mut c = low + (high - low) * (0.7 + 1.2 * exponent).clamp(0.1, 0.9);
    let mut before = None;
    for _ in 0..STEPS_MAX {
        let critical_values = at(c);
        let spent = spent_by(&critical_values, sides, fractions);
        let excess = (spent[spent.len() - 1] / tail).ln();
        if excess.abs() <= EXCESS_MAX {
            return Ok((critical_values, spent));
        }
        let slope = before.map_or(-c * least * least, |(c_before, excess_before)| (excess - excess_before) / (c - c_before));
        before = Some((c, excess));
        c = (c - excess / slope).clamp(low, high);
    }
    Err(too_large())
}

/// The chance, without an effect, of crossing above up to each look.
fn spent_by(critical_values: &[f64], sides: Sides, fractions: &[f64]) -> Vec<f64> {
    let mut walk = Walk::new(0.0, fractions[0]);
    let mut spent = 0.0;
    let each = critical_values.iter().zip(fractions).enumerate().map(|(look, (z, t))| {
        let upper = z * t.sqrt();
        spent += walk.above(upper);
        if let Some(next) = fractions.get(look + 1) {
            walk.proceed(if sides == Sides::Two { -upper } else { f64::NEG_INFINITY }, upper, *next);
        }
        spent
    });
    each.collect()
}

/// Looks at equal distances up to 1.
///
/// # Errors
/// [`Degenerate`] when there are none or more than [`LOOKS_MAX`].
pub(super) fn equally_spaced(looks: usize) -> Result<Vec<f64>, Degenerate> {
    if looks == 0 || looks > LOOKS_MAX {
        return Err(Degenerate::new(format!("there are {looks} looks; there must be between 1 and {LOOKS_MAX}")));
    }
    Ok((1..=looks).map(|look| look as f64 / looks as f64).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(actual: &[f64], expect: &[f64], tolerance: f64) {
        assert_eq!(actual.len(), expect.len());
        let same = actual.iter().zip(expect).all(|(a, e)| (a - e).abs() <= tolerance);
        assert!(same, "{actual:?} is not {expect:?}");
    }

    /// Own exact recursion, two-sided 0.05, five looks.
    #[test]
    fn five_looks() {
        let check = |spending, expect: [f64; 5]| {
            let fractions = equally_spaced(5).unwrap();
            near(&boundaries(spending, 0.05, Sides::Two, &fractions).unwrap().critical_values, &expect, 6e-6);
        };
        check(Spending::ObrienFlemingSpending, [4.87688, 3.35701, 2.68028, 2.28982, 2.03103]);
        check(Spending::PocockSpending, [2.43798, 2.42681, 2.41019, 2.39665, 2.38598]);
        check(Spending::Power { exponent: 1.0 }, [2.57583, 2.49197, 2.41083, 2.33914, 2.27551]);
        check(Spending::Power { exponent: 2.0 }, [3.09023, 2.71411, 2.47278, 2.27986, 2.11403]);
        check(Spending::Power { exponent: 3.0 }, [3.54008, 2.97431, 2.60451, 2.30636, 2.04548]);
        check(Spending::HwangShihDeCani { gamma: -4.0 }, [3.25267, 2.98605, 2.69166, 2.37367, 2.02532]);
    }

    /// test-f_design_group_sequential.R of rpact, and its cases in the reference numbers; spotify-confidence's
    /// sequential_bound_solver.
    #[test]
    fn boundaries_of_peers() {
        let check = |spending, alpha, sides, fractions: &[f64], expect: &[f64], tolerance: f64| {
            near(&boundaries(spending, alpha, sides, fractions).unwrap().critical_values, expect, tolerance);
        };
        let thirds = [1.0 / 3.0, 2.0 / 3.0, 1.0];
        check(Spending::ObrienFleming, 0.025, Sides::One, &thirds, &[3.4710914, 2.4544323, 2.0040356], 1e-7);
        let even = Spending::HwangShihDeCani { gamma: 0.0 };
        check(even, 0.03, Sides::One, &[0.2, 0.4, 1.0], &[2.5121443, 2.4228747, 2.0280392], 1e-7);
        let kim = Spending::Power { exponent: 2.2 };
        check(kim, 0.03, Sides::One, &[0.3, 0.7, 1.0], &[2.8594012, 2.2435708, 1.9735737], 1e-7);
        let hwang = Spending::HwangShihDeCani { gamma: -1.0 };
        check(hwang, 0.07, Sides::One, &[0.2, 0.4, 1.0], &[2.364813, 2.1928805, 1.5660474], 1e-7);
        let fifths = [0.2, 0.4, 0.6, 0.8, 1.0];
        let square = Spending::Power { exponent: 2.0 };
        check(square, 0.05, Sides::Two, &fifths, &[3.09023, 2.71408, 2.47274, 2.27981, 2.11397], 7e-5);
        check(square, 0.01, Sides::Two, &[0.25], &[3.4205267], 2e-7);
    }

    #[test]
    fn a_single_look_is_a_single_test() {
        for spending in [Spending::Pocock, Spending::ObrienFleming, Spending::PocockSpending, Spending::ObrienFlemingSpending] {
            let single = boundaries(spending, 0.05, Sides::Two, &[1.0]).unwrap();
            near(&single.critical_values, &[1.959_963_984_540_054], 1e-12);
            near(&single.cumulative_alpha, &[0.05], 1e-15);
        }
    }

    /// Tiny and unequal distances, and more looks than anyone takes.
    #[test]
    fn what_was_spent_is_what_the_boundaries_spend() {
        let check = |spending: Spending, alpha: f64, fractions: &[f64]| {
            for sides in [Sides::One, Sides::Two] {
                let found = boundaries(spending, alpha, sides, fractions).unwrap();
                let spent = spent_by(&found.critical_values, sides, fractions);
                for (spent, expect) in spent.iter().zip(&found.cumulative_alpha) {
                    assert!((spent * sides.count() / expect - 1.0).abs() < 1e-9, "{found:?} {spent} {expect}");
                }
            }
        };
        let close = [0.3, 0.3001, 0.3002, 0.7, 0.7001, 0.99, 0.9901, 1.0];
        check(Spending::ObrienFlemingSpending, 0.05, &close);
        check(Spending::PocockSpending, 0.05, &close);
        check(Spending::HwangShihDeCani { gamma: 8.0 }, 1e-8, &close);
        check(Spending::Pocock, 0.2, &close);
        check(Spending::WangTsiatis { shape: 0.9 }, 0.05, &close);
        check(Spending::Power { exponent: 1.5 }, 0.01, &equally_spaced(60).unwrap());
    }

    #[test]
    fn nothing_to_spend_gives_the_largest_critical_value() {
        let early = boundaries(Spending::ObrienFlemingSpending, 0.05, Sides::Two, &[0.001, 1.0]).unwrap();
        near(&early.critical_values, &[CRITICAL_VALUE_MAX, 1.959_963_984_540_054], 1e-9);
        let late = boundaries(Spending::ObrienFlemingSpending, 0.05, Sides::Two, &[0.5, 1.0, 1.2]).unwrap();
        assert_eq!(late.critical_values[2], CRITICAL_VALUE_MAX);
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |spending, alpha, fractions: &[f64], expect: &str| {
            let error = boundaries(spending, alpha, Sides::One, fractions).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(Spending::Pocock, 0.0, &[0.5, 1.0], "alpha is 0");
        check(Spending::Pocock, 0.7, &[0.5, 1.0], "as large as 0.7");
        check(Spending::Pocock, 0.05, &[1.0, 0.5], "ascend");
        check(Spending::Power { exponent: -1.0 }, 0.05, &[0.5, 1.0], "exponent");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever the plan, the boundaries are numbers that spend what they should.
        #[test]
        fn any_plan_has_boundaries(
            mut fractions in prop::collection::vec(0.0001..1.0_f64, 1..6), gamma in -60.0..60.0_f64, alpha in 1e-9..0.6_f64, two in any::<bool>(),
        ) {
            fractions.sort_by(f64::total_cmp);
            let sides = if two { Sides::Two } else { Sides::One };
            if let Ok(found) = boundaries(Spending::HwangShihDeCani { gamma }, alpha, sides, &fractions) {
                let spent = spent_by(&found.critical_values, sides, &fractions);
                for (spent, expect) in spent.iter().zip(&found.cumulative_alpha) {
                    prop_assert!((spent * sides.count() - expect).abs() <= 1e-8 * expect + 1e-13, "{:?} {} {}", found, spent, expect);
                }
            }
        }
    }
}
