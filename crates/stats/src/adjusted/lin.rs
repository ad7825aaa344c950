//! Regression adjustment in which every arm has its own slopes.
//!
//! Lin, "Agnostic notes on regression adjustments to experimental data: reexamining Freedman's critique", Annals of Applied
//! Statistics 7 (2013): regress the outcome on the covariates in each arm, and compare the two predictions at the covariate
//! means of both arms together. Unlike one common slope it cannot, in large samples, be less precise than no adjustment.

use serde::{Deserialize, Serialize};

use super::estimate::check_arm;
use super::slopes::{Dropped, Slopes, solve};
use crate::answer::{Degenerate, checked_alpha, finite};
use crate::co_moments::CoMoments;
use crate::effect::{Effect, satterthwaite};
use crate::lift::{EstimatePair, Lift, fieller_at};
use crate::moments::SPREAD_RELATIVE_MIN;

/// Whom the effect is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Population {
    /// The recipients of the experiment, as in Lin (2013).
    Finite,
    /// Recipients like them: the covariate means of both arms are then noisy too. Negi & Wooldridge, "Revisiting regression
    /// adjustment in experiments with heterogeneous treatment effects", Econometric Reviews 40 (2021).
    Super,
}

/// The answer of [`lin`].
#[derive(Debug, Clone, PartialEq)]
pub struct LinComparison {
    /// The difference, with its test and interval.
    pub absolute: Effect,
    /// The relative difference with Fieller's interval, or why there is none.
    pub relative: Result<Lift, Degenerate>,
    /// Control's mean at the covariate means of both arms together.
    pub mean_control: f64,
    /// The variant's, likewise.
    pub mean_treatment: f64,
    /// Control's slopes; 0 for those left out.
    pub slopes_control: Vec<f64>,
    /// The variant's slopes.
    pub slopes_treatment: Vec<f64>,
    /// The share of the unadjusted difference's variance that the covariates removed.
    pub variance_removed: f64,
    /// The covariates that were left out of control's regression, and why.
    pub dropped_control: Vec<Dropped>,
    /// The covariates that were left out of the variant's regression, and why.
    pub dropped_treatment: Vec<Dropped>,
    /// What the intervals are made of.
    pub pair: EstimatePair,
}

/// One arm's regression and its prediction at the common covariate means.
struct Fit {
    slopes: Vec<f64>,
    dropped: Vec<Dropped>,
    prediction: f64,
    /// s² (1/n + (X̄ − X̄₀)' S⁻¹ (X̄ − X̄₀)): that of the prediction, given the covariates.
    variance: f64,
    degrees_of_freedom: f64,
}

/// Compares the means of two arms by the fully interacted regression on `covariates` covariates, from cross-products alone:
/// number 0 is the outcome, the covariates follow.
///
/// The variance is not HC2, which needs rows (see [`least_squares`](super::least_squares)): it is that of each arm's own
/// regression with its own residual variance s² = RSS/(n − 1 − k), which allows the arms to differ but within an arm takes the
/// residuals' spread to be the same for all covariate values. Degrees of freedom are Welch's, with n − 1 − k per arm.
///
/// # Errors
/// [`Degenerate`] when an arm has not more units than slopes to estimate, nothing varies beside the covariates, or a number is
/// not finite.
pub fn lin(
    control: &CoMoments,
    treatment: &CoMoments,
    covariates: usize,
    population: Population,
    alpha: f64,
) -> Result<LinComparison, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    for (arm, moments) in [("control", control), ("the variant", treatment)] {
        check_arm(arm, "", moments, 1 + covariates)?;
        if moments.count < covariates as u64 + 3 {
            let count = moments.count;
            return Err(Degenerate::new(format!("{arm} has {count} recipients, too few for {covariates} covariates of its own")));
        }
    }
    let (n_control, n_treatment) = (control.count as f64, treatment.count as f64);
    let n = n_control + n_treatment;
    let center: Vec<f64> =
        (1..=covariates).map(|i| control.mean(i) + (treatment.mean(i) - control.mean(i)) * (n_treatment / n)).collect();
    let (own, others) = (fit(control, covariates, &center)?, fit(treatment, covariates, &center)?);
    // The noise of the common covariate means, as far as the effect is about more than these recipients.
    let pooled = |a: &[f64], b: &[f64]| {
        if population == Population::Finite {
            return 0.0;
        }
        let lead = |slopes: &[f64]| [&[0.0], slopes].concat();
        let (a, b) = (lead(a), lead(b));
        (control.product_of(&a, &b) + treatment.product_of(&a, &b)) / (n - 2.0) / n
    };
    let apart: Vec<f64> = others.slopes.iter().zip(&own.slopes).map(|(theirs, ours)| theirs - ours).collect();
    let degrees_of_freedom =
        satterthwaite(&[(own.variance, own.degrees_of_freedom), (others.variance, others.degrees_of_freedom)])?;
    let pair = EstimatePair {
        control: own.prediction,
        difference: finite("difference", others.prediction - own.prediction)?,
        variance_control: finite("variance", own.variance + pooled(&own.slopes, &own.slopes))?,
        variance_difference: finite("variance", own.variance + others.variance + pooled(&apart, &apart))?,
        covariance: finite("variance", pooled(&own.slopes, &apart) - own.variance)?,
        degrees_of_freedom: Some(degrees_of_freedom),
    };
    let critical_value = pair.critical_value(alpha)?;
    let absolute = pair.absolute_at(critical_value)?;
    let unadjusted = |arm: &CoMoments| arm.moments(0).variance_of_mean().unwrap_or_default();
    let variance_removed = finite("variance", 1.0 - pair.variance_difference / (unadjusted(control) + unadjusted(treatment)))?;
    Ok(LinComparison {
        absolute,
        relative: fieller_at(&pair, critical_value),
        mean_control: own.prediction,
        mean_treatment: others.prediction,
        slopes_control: own.slopes,
        slopes_treatment: others.slopes,
        variance_removed,
        dropped_control: own.dropped,
        dropped_treatment: others.dropped,
        pair,
    })
}

fn fit(arm: &CoMoments, covariates: usize, center: &[f64]) -> Result<Fit, Degenerate> {
    let n = arm.count as f64;
    let noise = |i: usize| {
        let rounding = arm.mean(i + 1) * SPREAD_RELATIVE_MIN;
        rounding * rounding * n
    };
    let against = |outcome: &dyn Fn(usize) -> f64| solve(covariates, |i, j| arm.product(i + 1, j + 1), outcome, noise);
    let Slopes { slopes, dropped } = against(&|i| arm.product(0, i + 1));
    // A covariate that was left out has no distance either.
    let is_kept = |i: usize| dropped.iter().all(|dropped| dropped.covariate != i);
    let distances: Vec<f64> = (0..covariates).map(|i| if is_kept(i) { arm.mean(i + 1) - center[i] } else { 0.0 }).collect();
    let leverage_slopes = against(&|i| distances[i]).slopes;
    let leverage: f64 = distances.iter().zip(&leverage_slopes).map(|(distance, slope)| distance * slope).sum();
    let form: Vec<f64> = std::iter::once(1.0).chain(slopes.iter().map(|slope| -slope)).collect();
    let degrees_of_freedom = n - 1.0 - (covariates - dropped.len()) as f64;
    let residual = super::estimate::square_of(arm, &form) / degrees_of_freedom;
    let moved: f64 = slopes.iter().zip(&distances).map(|(slope, distance)| slope * distance).sum();
    Ok(Fit {
        prediction: finite("mean", arm.mean(0) - moved)?,
        variance: finite("variance", residual * (1.0 / n + leverage.max(0.0)))?,
        slopes,
        dropped,
        degrees_of_freedom,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::least_squares::least_squares;
    use super::*;
    use crate::means::welch;
    use crate::numeric::Draws;

    /// Outcome and two covariates, whose slope differs between the arms.
    fn units(draws: &mut Draws, count: usize, effect: f64, slope: f64) -> Vec<[f64; 3]> {
        let unit = |_| {
            let (x, z) = (draws.normal() + 2.0, draws.exponential());
            [1.0 + effect + slope * x - 0.5 * z + draws.normal(), x, z]
        };
        (0..count).map(unit).collect()
    }

    fn of(units: &[[f64; 3]]) -> CoMoments {
        let mut moments = CoMoments::new(3);
        units.iter().for_each(|unit| moments.push(unit));
        moments
    }

    /// The same coefficient as the interacted regression on rows, and nearly its HC2 error, as residuals are even here.
    #[test]
    fn cross_products_know_the_interacted_regression() {
        let mut draws = Draws::seeded(3);
        let (a, b) = (units(&mut draws, 400, 0.0, 1.0), units(&mut draws, 300, 0.5, 2.0));
        let found = lin(&of(&a), &of(&b), 2, Population::Finite, 0.05).unwrap();
        let all = [&a[..], &b[..]].concat();
        let center = [1, 2].map(|i| all.iter().map(|unit| unit[i]).sum::<f64>() / all.len() as f64);
        let row = |(i, unit): (usize, &[f64; 3])| {
            let (treated, x, z) = (f64::from(u8::from(i >= a.len())), unit[1] - center[0], unit[2] - center[1]);
            [1.0, treated, x, z, treated * x, treated * z]
        };
        let rows: Vec<[f64; 6]> = all.iter().enumerate().map(row).collect();
        let outcomes: Vec<f64> = all.iter().map(|unit| unit[0]).collect();
        let fit = least_squares(&rows, &outcomes).unwrap();
        assert!((fit.coefficients[1] - found.absolute.difference).abs() < 1e-9);
        assert!((fit.coefficients[0] - found.mean_control).abs() < 1e-9);
        assert!((fit.standard_errors[1] / found.absolute.standard_error - 1.0).abs() < 0.05);
        let wider = lin(&of(&a), &of(&b), 2, Population::Super, 0.05).unwrap();
        assert!(wider.absolute.standard_error > found.absolute.standard_error);
        assert!(found.variance_removed > 0.4, "{found:?}");
    }

    #[test]
    fn intervals_cover_the_population_effect() {
        let mut draws = Draws::seeded(9);
        // The variant adds 0.5 and once more the covariate, whose mean is 2.
        let covered = (0..600).filter(|_| {
            let (a, b) = (units(&mut draws, 60, 0.0, 1.0), units(&mut draws, 40, 0.5, 2.0));
            lin(&of(&a), &of(&b), 2, Population::Super, 0.1).unwrap().absolute.interval.contains(2.5)
        });
        let covered = covered.count();
        assert!((516..=564).contains(&covered), "{covered} of 600 at 90 %");
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let mut draws = Draws::seeded(1);
        let (few, many) = (of(&units(&mut draws, 4, 0.0, 1.0)), of(&units(&mut draws, 50, 0.0, 1.0)));
        let error = lin(&few, &many, 2, Population::Finite, 0.05).unwrap_err();
        assert!(error.why.contains("too few for 2 covariates"), "{error}");
        assert!(lin(&many, &many, 1, Population::Finite, 0.05).unwrap_err().why.contains("3 numbers"));
    }

    proptest! {
        /// Without covariates it is Welch's test; the verdicts on lift and difference agree.
        #[test]
        fn no_covariate_is_welch(seed in any::<u64>(), counts in (5..80_usize, 5..80_usize), effect in -3.0..3.0_f64) {
            let mut draws = Draws::seeded(seed);
            let (a, b) = (of(&units(&mut draws, counts.0, 0.0, 1.0)), of(&units(&mut draws, counts.1, effect, 1.5)));
            let only = |arm: &CoMoments| CoMoments::from_centred(arm.count, vec![arm.mean(0)], vec![arm.product(0, 0)]);
            let found = lin(&only(&a), &only(&b), 0, Population::Super, 0.1).unwrap();
            let expect = welch(&a.moments(0), &b.moments(0), 0.1).unwrap();
            prop_assert!((found.absolute.p_value - expect.p_value).abs() <= 1e-9);
            for population in [Population::Finite, Population::Super] {
                let found = lin(&a, &b, 2, population, 0.1).unwrap();
                if let Ok(lift) = &found.relative {
                    prop_assume!((found.absolute.p_value / 0.1 - 1.0).abs() > 1e-6);
                    prop_assert_eq!(lift.interval.contains(0.0), found.absolute.p_value > 0.1);
                }
            }
        }
    }
}
