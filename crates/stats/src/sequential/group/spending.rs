//! How the error is given out over the looks. Lan & DeMets, "Discrete sequential boundaries for clinical trials", Biometrika
//! 70 (1983).

use serde::{Deserialize, Serialize};

use super::super::positive;
use crate::answer::{Degenerate, checked_alpha, finite};
use crate::tail::{normal_quantile_upper, normal_upper};

/// Above, one of the two ends of the family has been reached to all digits.
const GAMMA_MAX: f64 = 500.0;

/// On how many sides there is a boundary for success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sides {
    /// Only an improvement is looked for.
    One,
    /// Improvement and damage are looked for, symmetrically; half of the error belongs to each.
    Two,
}

impl Sides {
    /// 1 or 2.
    #[must_use]
    pub fn count(self) -> f64 {
        match self {
            Self::One => 1.0,
            Self::Two => 2.0,
        }
    }
}

/// The shape of the boundaries. With a spending function the number and the times of the looks may be other than planned
/// (Lan & DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 70, 1983); the classic shapes
/// are defined by the looks of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Spending {
    /// 2 (1 − Φ(z(α/2)/√t)): very little early. Lan & DeMets 1983.
    ObrienFlemingSpending,
    /// α ln(1 + (e − 1) t): nearly even. Lan & DeMets 1983.
    PocockSpending,
    /// α t^exponent. Kim & DeMets, "Design and analysis of group sequential tests based on the type I error spending rate
    /// function", Biometrika 74 (1987).
    Power {
        /// Positive; 1 is even, larger is later.
        exponent: f64,
    },
    /// α (1 − e^(−γt)) / (1 − e^(−γ)). Hwang, Shih & DeCani, "Group sequential designs using a family of type I error
    /// probability spending functions", Statistics in Medicine 9 (1990).
    HwangShihDeCani {
        /// Between −500 and 500; −4 is much like O'Brien–Fleming, 1 like Pocock, 0 even.
        gamma: f64,
    },
    /// Critical values c/√t. O'Brien & Fleming, "A multiple testing procedure for clinical trials", Biometrics 35 (1979).
    ObrienFleming,
    /// The same critical value c at every look. Pocock, "Group sequential methods in the design and analysis of clinical
    /// trials", Biometrika 64 (1977).
    Pocock,
    /// Critical values c t^(shape − ½). Wang & Tsiatis, "Approximately optimal one-parameter boundaries for group sequential
    /// trials", Biometrics 43 (1987).
    WangTsiatis {
        /// 0 is O'Brien–Fleming, 0.5 is Pocock.
        shape: f64,
    },
}

impl Spending {
    /// The error spent up to `fraction`, of `alpha` in one tail. `None` for a classic shape, which is not defined by spending.
    ///
    /// # Errors
    /// [`Degenerate`] when alpha does not lie between 0 and 1, the fraction is negative or not a number, or a parameter is out
    /// of its range.
    pub fn spent(self, fraction: f64, alpha: f64) -> Result<Option<f64>, Degenerate> {
        self.checked()?;
        checked_alpha(alpha)?;
        if fraction.is_nan() || fraction < 0.0 {
            return Err(Degenerate::new(format!("an information fraction is {fraction}; it must be more than zero")));
        }
        let t = fraction.min(1.0);
        if t == 0.0 || t == 1.0 {
            return Ok(self.exponent().is_none().then_some(alpha * t));
        }
        Ok(Some(match self {
            Self::ObrienFlemingSpending => 2.0 * normal_upper(normal_quantile_upper(alpha / 2.0) / t.sqrt()),
            Self::PocockSpending => alpha * ((std::f64::consts::E - 1.0) * t).ln_1p(),
            Self::Power { exponent } => alpha * t.powf(exponent),
            Self::HwangShihDeCani { gamma } => alpha * hwang_shih_decani(gamma, t),
            Self::ObrienFleming | Self::Pocock | Self::WangTsiatis { .. } => return Ok(None),
        }))
    }

    /// The power of t in the critical values of a classic shape.
    pub(super) fn exponent(self) -> Option<f64> {
        match self {
            Self::ObrienFleming => Some(-0.5),
            Self::Pocock => Some(0.0),
            Self::WangTsiatis { shape } => Some(shape - 0.5),
            _ => None,
        }
    }

    /// Refuses a parameter out of its range.
    pub(super) fn checked(self) -> Result<(), Degenerate> {
        match self {
            Self::Power { exponent } => positive("exponent of the spending", exponent).map(drop),
            Self::HwangShihDeCani { gamma } if !(-GAMMA_MAX..=GAMMA_MAX).contains(&gamma) => {
                Err(Degenerate::new(format!("gamma is {gamma}; it must lie between -{GAMMA_MAX} and {GAMMA_MAX}")))
            }
            Self::WangTsiatis { shape } if !(-10.0..=10.0).contains(&shape) => {
                Err(Degenerate::new(format!("the shape is {shape}; it must lie between -10 and 10")))
            }
            _ => Ok(()),
        }
    }
}

/// (1 − e^(−γt)) / (1 − e^(−γ)), for negative γ with e^(γ(1−t)) taken out so that nothing overflows.
fn hwang_shih_decani(gamma: f64, t: f64) -> f64 {
    if gamma.abs() < 1e-12 {
        return t;
    }
    let size = gamma.abs();
    let ratio = (-size * t).exp_m1() / (-size).exp_m1();
    if gamma > 0.0 { ratio } else { ratio * (size * (t - 1.0)).exp() }
}

/// Refuses information fractions that are not an ascending sequence of positive numbers, noticeably apart.
pub(super) fn checked_fractions(fractions: &[f64]) -> Result<(), Degenerate> {
    if fractions.is_empty() || fractions.len() > super::LOOKS_MAX {
        let count = fractions.len();
        return Err(Degenerate::new(format!("there are {count} looks; there must be between 1 and {}", super::LOOKS_MAX)));
    }
    let mut before = 0.0;
    for fraction in fractions {
        finite("information fraction", *fraction)?;
        if *fraction <= before {
            return Err(Degenerate::new(format!(
                "the information fraction {fraction} comes after {before}; fractions must be positive and ascend"
            )));
        }
        if fraction - before < fraction * 1e-6 {
            return Err(Degenerate::new(format!(
                "the information fractions {before} and {fraction} are less than a millionth apart; they are one look"
            )));
        }
        before = *fraction;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_spending() {
        let check = |spending: Spending, t: f64, alpha: f64, expect: f64| {
            let spent = spending.spent(t, alpha).unwrap().unwrap();
            assert!((spent / expect - 1.0).abs() < 1e-7, "{spent} is not {expect}");
        };
        // rpact's getDesignGroupSequential: asOF one-sided and asP, asKD two-sided.
        check(Spending::ObrienFlemingSpending, 0.5, 0.025, 0.001_525_322_757_758_185_2);
        check(Spending::PocockSpending, 0.4, 0.025, 0.026_156_858_180_517_51 / 2.0);
        check(Spending::Power { exponent: 2.0 }, 0.75, 0.025, 0.028_125_000_001_258_373 / 2.0);
        // x1 to x3 of its test-f_design_group_sequential.R.
        check(Spending::HwangShihDeCani { gamma: 0.0 }, 0.4, 0.03, 0.012);
        check(Spending::HwangShihDeCani { gamma: -1.0 }, 0.4, 0.07, 0.020_036_136);
        check(Spending::HwangShihDeCani { gamma: -2.0 }, 0.2, 0.14, 0.010_777_094);
        check(Spending::Power { exponent: 3.2 }, 0.7, 0.34, 0.108_590_7);
        assert_eq!(Spending::Pocock.spent(0.5, 0.05), Ok(None));
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let check = |spending: Spending, fraction: f64, expect: &str| {
            assert!(spending.spent(fraction, 0.05).unwrap_err().why.contains(expect));
        };
        check(Spending::Power { exponent: 0.0 }, 0.5, "exponent");
        check(Spending::HwangShihDeCani { gamma: f64::NAN }, 0.5, "gamma is NaN");
        check(Spending::WangTsiatis { shape: 1e9 }, 0.5, "shape");
        check(Spending::Pocock, -0.5, "information fraction is -0.5");
        let fractions = |fractions: &[f64]| checked_fractions(fractions).unwrap_err().why;
        assert!(fractions(&[]).contains("0 looks"));
        assert!(fractions(&[0.5, 0.5]).contains("ascend"));
        assert!(fractions(&[0.0, 0.5]).contains("positive"));
        assert!(fractions(&[f64::NAN]).contains("not a finite number"));
        assert!(fractions(&[0.5, 0.500_000_01]).contains("one look"));
    }

    proptest! {
        /// Spending begins at nothing, never falls, and ends at alpha.
        #[test]
        fn spending_ascends(a in 0.0..1.0_f64, b in 0.0..1.0_f64, gamma in -500.0..500.0_f64, exponent in 0.01..20.0_f64, alpha in 1e-6..0.5_f64) {
            let (early, late) = (a.min(b), a.max(b));
            let shapes = [
                Spending::ObrienFlemingSpending, Spending::PocockSpending,
                Spending::Power { exponent }, Spending::HwangShihDeCani { gamma },
            ];
            for shape in shapes {
                let spent = |t: f64| shape.spent(t, alpha).unwrap().unwrap();
                prop_assert!(spent(early) <= spent(late) * (1.0 + 1e-12));
                prop_assert!((spent(1.0) / alpha - 1.0).abs() < 1e-12 && spent(1.5) == spent(1.0) && spent(0.0) == 0.0);
            }
        }
    }
}
