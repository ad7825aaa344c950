//! The product's comparison of two arms: ratios, a common slope per covariate, strata.

use serde::{Deserialize, Serialize};

use super::slopes::{Dropped, Slopes, solve};
use crate::answer::{Degenerate, checked_alpha, finite};
use crate::co_moments::CoMoments;
use crate::effect::{Effect, satterthwaite};
use crate::lift::{EstimatePair, Lift, fieller_at};
use crate::moments::SPREAD_RELATIVE_MIN;

/// What is estimated per arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// The mean of number 0; covariates begin at number 1.
    Mean,
    /// The sum of number 0 over the sum of number 1; covariates begin at number 2.
    Ratio,
}

impl Shape {
    /// How many numbers come before the covariates.
    #[must_use]
    pub fn numbers(self) -> usize {
        match self {
            Self::Mean => 1,
            Self::Ratio => 2,
        }
    }
}

/// A stratum: units that were alike before the experiment, in both arms.
#[derive(Debug, Clone, Copy)]
pub struct Stratum<'a> {
    /// What it is called in reasons.
    pub name: &'a str,
    /// Control's units of this stratum.
    pub control: &'a CoMoments,
    /// The variant's units of this stratum.
    pub treatment: &'a CoMoments,
}

/// The answer of [`compare`].
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The difference, with its test and interval.
    pub absolute: Effect,
    /// The relative difference with Fieller's interval, or why there is none.
    pub relative: Result<Lift, Degenerate>,
    /// Control's mean or ratio, at the covariate means and stratum shares of both arms together.
    pub mean_control: f64,
    /// The variant's, likewise.
    pub mean_treatment: f64,
    /// The share of the difference's variance that the covariates removed; 0 without covariates, negative if they add.
    pub variance_removed: f64,
    /// The slope of each covariate; 0 for those left out.
    pub slopes: Vec<f64>,
    /// The covariates that were left out, and why.
    pub dropped: Vec<Dropped>,
    /// What all intervals are made of, for other critical values: sequences, looks, posteriors.
    pub pair: EstimatePair,
}

/// Compares two arms: absolute difference by Welch's t, relative by Fieller.
///
/// The numbers per unit are the value, for a ratio the denominator, then `covariates` covariates known before the send.
/// With m the mean or ratio of an arm, X̄ its covariate means and X̄₀ those of both arms together, its estimate is
/// m − θ'(X̄ − X̄₀), where θ are the least-squares slopes over both arms as one sample (of the value, or of the ratio's
/// linearisation). Deng, Xu, Kohavi & Walker, "Improving the sensitivity of online controlled experiments by utilizing
/// pre-experiment data", WSDM 2013. The estimates share the noise of X̄₀, which Fieller's interval is told of.
///
/// `alpha` is the two-sided error, between 0 and 1.
///
/// # Errors
/// [`Degenerate`] when an arm has fewer than two units, nothing varies, a denominator is zero on average, a number is not
/// finite, or there are not as many numbers per unit as `shape` and `covariates` say.
pub fn compare(
    control: &CoMoments,
    treatment: &CoMoments,
    shape: Shape,
    covariates: usize,
    alpha: f64,
) -> Result<Comparison, Degenerate> {
    compare_strata(&[Stratum { name: "", control, treatment }], shape, covariates, alpha)
}

/// Compares two arms after stratification: per stratum as [`compare`], weighted by the strata's shares ν of all units.
///
/// The variance is Σ ν² (within) + (1/N) × the variance of the strata's estimates, because the shares were not fixed
/// beforehand. Miratrix, Sekhon & Yu, "Adjusting treatment effect estimates by post-stratification in randomized
/// experiments", JRSS B 75 (2013). Slopes are those within strata; the degrees of freedom are Welch's of the arms as a whole.
///
/// # Errors
/// As [`compare`], and when a stratum lacks two units of an arm: its share of the effect cannot be known, so it must be
/// merged with another. Strata without any unit are passed over.
pub fn compare_strata(strata: &[Stratum<'_>], shape: Shape, covariates: usize, alpha: f64) -> Result<Comparison, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    check(strata, shape, covariates)?;
    let whole = Whole::new(strata, shape)?;
    let Slopes { slopes, dropped } = whole.slopes(strata, covariates);
    let pair = whole.pair(strata, &slopes)?;
    let critical_value = pair.critical_value(alpha)?;
    let absolute = pair.absolute_at(critical_value)?;
    let variance_removed = match covariates {
        0 => 0.0,
        _ => finite("variance removed", 1.0 - pair.variance_difference / whole.pair(strata, &[])?.variance_difference)?,
    };
    Ok(Comparison {
        absolute,
        relative: fieller_at(&pair, critical_value),
        mean_control: pair.control,
        mean_treatment: finite("mean of the variant", pair.variant())?,
        variance_removed,
        slopes,
        dropped,
        pair,
    })
}

fn check(strata: &[Stratum<'_>], shape: Shape, covariates: usize) -> Result<(), Degenerate> {
    if strata.iter().all(|stratum| stratum.control.count == 0 && stratum.treatment.count == 0) {
        return Err(Degenerate::new("control has no recipient; a spread needs two"));
    }
    let arms = strata.iter().flat_map(|s| [(s, "control", s.control), (s, "the variant", s.treatment)]);
    for (stratum, arm, moments) in arms {
        if stratum.control.count > 0 || stratum.treatment.count > 0 {
            check_arm(arm, stratum.name, moments, shape.numbers() + covariates)?;
        }
    }
    Ok(())
}

/// Refuses an arm without a spread; `stratum` is empty where there are none.
pub(crate) fn check_arm(arm: &str, stratum: &str, moments: &CoMoments, numbers: usize) -> Result<(), Degenerate> {
    if moments.dimensions() != numbers {
        let has = moments.dimensions();
        return Err(Degenerate::new(format!("{arm} has {has} numbers per unit; {numbers} are needed")));
    }
    if moments.count < 2 {
        let has = if moments.count == 0 { "no recipient" } else { "only one recipient" };
        return Err(Degenerate::new(if stratum.is_empty() {
            format!("{arm} has {has}; a spread needs two")
        } else {
            format!("{arm} has {has} in the stratum {stratum}; a spread needs two, so merge it with another stratum")
        }));
    }
    if !moments.is_sound() {
        return Err(Degenerate::new(format!("the values of {arm} are too large or not numbers")));
    }
    Ok(())
}

/// One arm over all strata.
struct Side {
    /// Its units.
    count: f64,
    /// Its mean or ratio, with the strata weighted by their shares of both arms.
    estimate: f64,
    /// How its value (and denominator) move the estimate.
    gradient: [f64; 2],
}

/// What all strata together say.
struct Whole {
    shape: Shape,
    count: f64,
    control: Side,
    treatment: Side,
}

type Pick = fn(&Stratum<'_>) -> u64;

impl Whole {
    fn new(strata: &[Stratum<'_>], shape: Shape) -> Result<Self, Degenerate> {
        let total = |pick: Pick| strata.iter().map(|stratum| pick(stratum) as f64).sum::<f64>();
        let (own, others) = (total(|s| s.control.count), total(|s| s.treatment.count));
        let count = own + others;
        let side = |arm: &str, units: f64, pick: for<'a> fn(&Stratum<'a>) -> &'a CoMoments| {
            let mean = |number: usize| strata.iter().map(|s| share(s, count) * pick(s).mean(number)).sum::<f64>();
            let denominator = if shape == Shape::Ratio { Some(mean(1)) } else { None };
            let (estimate, gradient) = linearised(arm, mean(0), denominator)?;
            Ok::<_, Degenerate>(Side { count: units, estimate, gradient })
        };
        let control = side("control", own, |s| s.control)?;
        let treatment = side("the variant", others, |s| s.treatment)?;
        Ok(Self { shape, count, control, treatment })
    }

    /// The slopes within strata, with both arms of a stratum as one sample.
    fn slopes(&self, strata: &[Stratum<'_>], covariates: usize) -> Slopes {
        if covariates == 0 {
            return Slopes::default();
        }
        let first = self.shape.numbers();
        let pooled = |i: usize, j: usize| {
            let of_stratum = |stratum: &Stratum<'_>| {
                let Stratum { control, treatment, .. } = *stratum;
                let (own, others) = (control.count as f64, treatment.count as f64);
                let between = if own + others > 0.0 { own * (others / (own + others)) } else { 0.0 };
                let distance = |number: usize| treatment.mean(number) - control.mean(number);
                control.product(i, j) + treatment.product(i, j) + between * distance(i) * distance(j)
            };
            strata.iter().map(of_stratum).sum::<f64>()
        };
        let grand_mean = |number: usize| {
            let sum = |s: &Stratum<'_>| {
                s.control.count as f64 * s.control.mean(number) + s.treatment.count as f64 * s.treatment.mean(number)
            };
            strata.iter().map(sum).sum::<f64>() / self.count
        };
        let gradient = match self.shape {
            Shape::Mean => [1.0, 0.0],
            // Both denominators were found not to be zero; if they cancel there is no common ratio, and control's serves.
            Shape::Ratio => linearised("both arms", grand_mean(0), Some(grand_mean(1))).map_or(self.control.gradient, |(_, g)| g),
        };
        let outcome = |i: usize| (0..first).map(|number| gradient[number] * pooled(number, first + i)).sum();
        let noise = |i: usize| {
            let rounding = grand_mean(first + i) * SPREAD_RELATIVE_MIN;
            rounding * rounding * self.count
        };
        let mut found = solve(covariates, |i, j| pooled(first + i, first + j), outcome, noise);
        if found.slopes.iter().any(|slope| !slope.is_finite()) {
            found.slopes.fill(0.0);
        }
        found
    }

    /// The estimates with their errors; without slopes, the unadjusted ones.
    fn pair(&self, strata: &[Stratum<'_>], slopes: &[f64]) -> Result<EstimatePair, Degenerate> {
        let first = self.shape.numbers();
        let form = |sign: f64, gradient: [f64; 2], share: f64| {
            let head = gradient[..first].iter().map(|weight| sign * weight);
            head.chain(slopes.iter().map(|slope| share * slope)).collect::<Vec<f64>>()
        };
        let (mut control, mut difference) = (self.control.estimate, self.treatment.estimate - self.control.estimate);
        let (mut within, mut composition) = (Spread::default(), Composition::default());
        let toward = form(-1.0, self.control.gradient, 1.0);
        let away = form(1.0, self.treatment.gradient, -1.0);
        for stratum in strata.iter().filter(|stratum| stratum.control.count > 0) {
            let (own, others) = (stratum.control, stratum.treatment);
            let nu = share(stratum, self.count);
            let share_treatment = others.count as f64 / (own.count as f64 + others.count as f64);
            // Control's estimate is moved by the slope times its distance from the covariate mean of both arms.
            let on_own = form(1.0, self.control.gradient, -share_treatment);
            let on_others = form(0.0, self.treatment.gradient, share_treatment);
            let moved: f64 =
                slopes.iter().enumerate().map(|(i, slope)| slope * (others.mean(first + i) - own.mean(first + i))).sum();
            control += nu * share_treatment * moved;
            difference -= nu * moved;
            within.add(nu, own, &on_own, &toward);
            within.add(nu, others, &on_others, &away);
            let mean_of = |form: &[f64], arm: &CoMoments| form.iter().enumerate().map(|(i, w)| w * arm.mean(i)).sum::<f64>();
            if strata.len() > 1 {
                composition.add(
                    nu,
                    mean_of(&on_own, own) + mean_of(&on_others, others),
                    mean_of(&toward, own) + mean_of(&away, others),
                );
            }
        }
        let between = composition.spread(self.count);
        let degrees_of_freedom = self.degrees_of_freedom(strata, &toward, &away)?;
        Ok(EstimatePair {
            control: finite("mean of control", control)?,
            difference: finite("difference", difference)?,
            variance_control: finite("variance", within.control + between.control)?,
            variance_difference: finite("variance", within.difference + between.difference)?,
            covariance: finite("variance", within.covariance + between.covariance)?,
            degrees_of_freedom: Some(degrees_of_freedom),
        })
    }

    /// Welch–Satterthwaite of the linear forms of the whole arms.
    fn degrees_of_freedom(&self, strata: &[Stratum<'_>], toward: &[f64], away: &[f64]) -> Result<f64, Degenerate> {
        let whole = |pick: for<'a> fn(&Stratum<'a>) -> &'a CoMoments, form: &[f64], side: &Side| {
            let square = match strata {
                [only] => square_of(pick(only), form),
                _ => {
                    let mut all = CoMoments::new(strata.first().map_or(0, |stratum| pick(stratum).dimensions()));
                    strata.iter().for_each(|stratum| all.merge(pick(stratum)));
                    square_of(&all, form)
                }
            };
            square / (side.count - 1.0) / side.count
        };
        let own = whole(|s| s.control, toward, &self.control);
        let others = whole(|s| s.treatment, away, &self.treatment);
        satterthwaite(&[(own, self.control.count - 1.0), (others, self.treatment.count - 1.0)])
    }
}

/// The share of a stratum in all units.
fn share(stratum: &Stratum<'_>, count: f64) -> f64 {
    (stratum.control.count as f64 + stratum.treatment.count as f64) / count
}

/// The estimate of an arm, and how the means of value and denominator move it.
pub(crate) fn linearised(arm: &str, value: f64, denominator: Option<f64>) -> Result<(f64, [f64; 2]), Degenerate> {
    let Some(denominator) = denominator else {
        return Ok((finite("mean", value)?, [1.0, 0.0]));
    };
    if denominator == 0.0 {
        return Err(Degenerate::new(format!("the denominator of {arm} is zero on average, so there is no ratio")));
    }
    let ratio = finite("ratio", value / denominator)?;
    Ok((ratio, [finite("ratio", 1.0 / denominator)?, finite("ratio", -ratio / denominator)?]))
}

/// The sum of squared distances of a linear form from its mean; 0 where only rounding is left of it.
pub(crate) fn square_of(arm: &CoMoments, form: &[f64]) -> f64 {
    let square = arm.product_of(form, form);
    let (mut parts, mut level) = (0.0, 0.0);
    for (i, weight) in form.iter().enumerate() {
        parts += weight * weight * arm.product(i, i);
        let rounding = weight * arm.mean(i) * SPREAD_RELATIVE_MIN;
        level += rounding * rounding * arm.count as f64;
    }
    if square > SPREAD_RELATIVE_MIN * parts + level { square } else { 0.0 }
}

/// Variances and covariance of control's estimate and of the difference.
#[derive(Default)]
struct Spread {
    control: f64,
    difference: f64,
    covariance: f64,
}

impl Spread {
    /// Adds what an arm of a stratum contributes: `of_control` and `of_difference` are the forms of the two estimates.
    fn add(&mut self, share: f64, arm: &CoMoments, of_control: &[f64], of_difference: &[f64]) {
        let n = arm.count as f64;
        let scale = share * share / ((n - 1.0) * n);
        self.control += scale * arm.product_of(of_control, of_control).max(0.0);
        self.difference += scale * square_of(arm, of_difference);
        self.covariance += scale * arm.product_of(of_control, of_difference);
    }
}

/// The spread of the strata's estimates around the whole.
#[derive(Default)]
struct Composition {
    weight: f64,
    mean_control: f64,
    mean_difference: f64,
    spread: Spread,
}

impl Composition {
    fn add(&mut self, share: f64, control: f64, difference: f64) {
        let before = self.weight;
        self.weight += share;
        let (of_control, of_difference) = (control - self.mean_control, difference - self.mean_difference);
        let scale = share * before / self.weight;
        self.spread.control += scale * of_control * of_control;
        self.spread.difference += scale * of_difference * of_difference;
        self.spread.covariance += scale * of_control * of_difference;
        self.mean_control += of_control * share / self.weight;
        self.mean_difference += of_difference * share / self.weight;
    }

    fn spread(self, count: f64) -> Spread {
        let Spread { control, difference, covariance } = self.spread;
        Spread { control: control / count, difference: difference / count, covariance: covariance / count }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lift::fieller_lift;
    use crate::means::welch;

    fn of<const N: usize>(units: &[[f64; N]]) -> CoMoments {
        let mut moments = CoMoments::new(N);
        units.iter().for_each(|unit| moments.push(unit));
        moments
    }

    fn near(actual: f64, expect: f64, relative: f64) -> bool {
        (actual - expect).abs() <= relative * expect.abs().max(1e-9)
    }

    /// Units of value, denominator and covariate, of which the value follows the other two.
    fn units(count: usize, effect: f64, seed: u64) -> Vec<[f64; 3]> {
        let mut state = seed;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let unit = |_| {
            let (x, noise) = (uniform() * 10.0, uniform());
            [2.0 + effect + 0.7 * x + 3.0 * noise, 1.0 + (4.0 * uniform()).floor() + 0.3 * x, x]
        };
        (0..count).map(unit).collect()
    }

    fn only<const N: usize>(units: &[[f64; 3]], columns: [usize; N]) -> CoMoments {
        of(&units.iter().map(|unit| columns.map(|column| unit[column])).collect::<Vec<_>>())
    }

    #[test]
    fn what_cannot_be_computed_says_why() {
        let good = of(&[[1.0, 2.0], [2.0, 1.0], [4.0, 3.0]]);
        let check = |control: &CoMoments, shape, covariates, alpha, expect: &str| {
            let error = compare(control, &good, shape, covariates, alpha).unwrap_err();
            assert!(error.why.contains(expect), "{error}");
        };
        check(&of::<2>(&[]), Shape::Mean, 1, 0.05, "control has no recipient");
        check(&of(&[[1.0, 2.0]]), Shape::Mean, 1, 0.05, "control has only one recipient");
        check(&of(&[[1.0, -2.0], [1.0, 2.0]]), Shape::Ratio, 0, 0.05, "the denominator of control is zero");
        check(&of(&[[f64::NAN, 2.0], [1.0, 2.0]]), Shape::Ratio, 0, 0.05, "not numbers");
        check(&good, Shape::Ratio, 1, 0.05, "control has 2 numbers per unit; 3 are needed");
        check(&good, Shape::Mean, 1, 1.0, "alpha");
        let still = of(&[[1.0, 2.0]; 3]);
        let error = compare(&still, &still, Shape::Mean, 1, 0.05).unwrap_err();
        assert!(error.why.contains("neither arm varies"), "{error}");
        let strata = [("women", &good), ("men", &still)].map(|(name, control)| Stratum { name, control, treatment: &good });
        assert!(compare_strata(&strata, Shape::Mean, 1, 0.05).is_ok());
        let alone = of(&[[1.0, 2.0]]);
        let strata = [Stratum { name: "women", control: &good, treatment: &alone }];
        let error = compare_strata(&strata, Shape::Mean, 1, 0.05).unwrap_err();
        assert!(error.why.contains("the stratum women") && error.why.contains("merge"), "{error}");
    }

    #[test]
    fn covariates_remove_noise_and_useless_ones_are_named() {
        let (control, treatment) = (units(400, 0.0, 1), units(600, 0.3, 2));
        let plain = compare(&only(&control, [0]), &only(&treatment, [0]), Shape::Mean, 0, 0.05).unwrap();
        let one = compare(&only(&control, [0, 2]), &only(&treatment, [0, 2]), Shape::Mean, 1, 0.05).unwrap();
        assert!(one.variance_removed > 0.5 && one.dropped.is_empty(), "{one:?}");
        let ratio = one.pair.variance_difference / plain.pair.variance_difference;
        assert!(near(ratio, 1.0 - one.variance_removed, 1e-9));
        let again = compare(&only(&control, [0, 2, 2]), &only(&treatment, [0, 2, 2]), Shape::Mean, 2, 0.05).unwrap();
        assert_eq!(again.dropped.len(), 1);
        assert!(near(again.absolute.p_value, one.absolute.p_value, 1e-9));
    }

    #[test]
    fn a_covariate_that_explains_everything_leaves_no_noise() {
        let units: Vec<[f64; 2]> = (0..50).map(|i| [3.0 * f64::from(i % 7) + 1.0, f64::from(i % 7)]).collect();
        let error = compare(&of(&units[..30]), &of(&units[20..]), Shape::Mean, 1, 0.05).unwrap_err();
        assert!(error.why.contains("neither arm varies"), "{error}");
    }

    proptest! {
        /// Without covariates a mean is Welch's and Fieller's, and a ratio to ones is the mean.
        #[test]
        fn the_simplest_case_is_welch_and_fieller(
            a in prop::collection::vec(-5.0..100.0_f64, 2..60),
            b in prop::collection::vec(-5.0..100.0_f64, 2..60),
            alpha in 0.001..0.4_f64,
        ) {
            let arm = |values: &[f64]| of(&values.iter().map(|value| [*value, 1.0]).collect::<Vec<_>>());
            let (control, treatment) = (arm(&a), arm(&b));
            let Ok(expect) = welch(&control.moments(0), &treatment.moments(0), alpha) else { return Ok(()) };
            let means = |arm: &CoMoments| CoMoments::from_centred(arm.count, vec![arm.mean(0)], vec![arm.product(0, 0)]);
            let mean = compare(&means(&control), &means(&treatment), Shape::Mean, 0, alpha).unwrap();
            let ratio = compare(&control, &treatment, Shape::Ratio, 0, alpha).unwrap();
            for found in [&mean, &ratio] {
                prop_assert!(near(found.absolute.p_value, expect.p_value, 1e-8));
                prop_assert!(near(found.absolute.standard_error, expect.standard_error, 1e-9));
                if let (Ok(found), Ok(expect)) = (&found.relative, fieller_lift(&control.moments(0), &treatment.moments(0), alpha)) {
                    prop_assert!(near(found.interval.lower.unwrap(), expect.interval.lower.unwrap(), 1e-5));
                    prop_assert!(near(found.interval.upper.unwrap(), expect.interval.upper.unwrap(), 1e-5));
                }
            }
        }

        /// At a lift of zero the two verdicts are one; swapping the arms turns the sign; units of measure do not matter.
        #[test]
        fn verdicts_agree_and_scale_is_no_matter(
            counts in (3..200_usize, 3..200_usize), seed in any::<u64>(), effect in -4.0..4.0_f64, alpha in 0.001..0.4_f64,
        ) {
            let (a, b) = (units(counts.0, 0.0, seed), units(counts.1, effect, seed ^ 0x55));
            for (columns, shape, covariates) in [([0, 2, 1], Shape::Mean, 2), ([0, 1, 2], Shape::Ratio, 1)] {
                let (control, treatment) = (only(&a, columns), only(&b, columns));
                let found = compare(&control, &treatment, shape, covariates, alpha).unwrap();
                prop_assert_eq!(found.absolute.p_value < alpha, !found.absolute.interval.contains(0.0));
                if let Ok(lift) = found.relative {
                    prop_assume!((found.absolute.p_value / alpha - 1.0).abs() > 1e-6);
                    prop_assert_eq!(lift.interval.contains(0.0), found.absolute.p_value > alpha);
                    prop_assert!(lift.interval.contains(lift.relative));
                }
                let back = compare(&treatment, &control, shape, covariates, alpha).unwrap();
                prop_assert!(near(back.absolute.difference, -found.absolute.difference, 1e-7));
                prop_assert!(near(back.absolute.p_value, found.absolute.p_value, 1e-6));
                let scale = |units: &[[f64; 3]]| {
                    let scaled = units.iter().map(|unit| columns.map(|column| unit[column] * [1e6, 1e6, 1e-4][column]));
                    of(&scaled.collect::<Vec<_>>())
                };
                let scaled = compare(&scale(&a), &scale(&b), shape, covariates, alpha).unwrap();
                prop_assert!(near(scaled.absolute.p_value, found.absolute.p_value, 1e-6));
            }
        }

        /// Splitting each stratum's units over strata of equal composition changes the effect by nothing.
        #[test]
        fn copies_of_a_sample_as_strata_have_its_effect(seed in any::<u64>(), counts in (3..60_usize, 3..60_usize)) {
            let (control, treatment) = (only(&units(counts.0, 0.0, seed), [0, 2]), only(&units(counts.1, 1.0, !seed), [0, 2]));
            let one = compare(&control, &treatment, Shape::Mean, 1, 0.05).unwrap();
            let strata = ["a", "b"].map(|name| Stratum { name, control: &control, treatment: &treatment });
            let two = compare_strata(&strata, Shape::Mean, 1, 0.05).unwrap();
            prop_assert!(near(two.absolute.difference, one.absolute.difference, 1e-6));
            prop_assert!(near(two.pair.variance_difference, one.pair.variance_difference / 2.0, 1e-9));
        }

        /// Whatever comes, the answer is finite or a reason.
        #[test]
        fn no_input_gives_a_number_that_is_none(
            counts in (0..5_u64, any::<u64>()),
            numbers in prop::collection::vec(prop_oneof![1 => prop::num::f64::ANY, 9 => -5.0..5.0_f64], 18),
            alpha in prop::num::f64::ANY,
        ) {
            let arm = |count, numbers: &[f64]| {
                let mut products = numbers[3..].to_vec();
                [0, 3, 5].into_iter().for_each(|square| products[square] = products[square].abs());
                CoMoments::from_centred(count, numbers[..3].to_vec(), products)
            };
            let (control, treatment) = (arm(counts.0, &numbers[..9]), arm(counts.1, &numbers[9..]));
            for alpha in [alpha, 0.05] {
                for (shape, covariates) in [(Shape::Mean, 2), (Shape::Ratio, 1)] {
                    if let Ok(found) = compare(&control, &treatment, shape, covariates, alpha) {
                        let Comparison { absolute, pair, .. } = &found;
                        let numbers = [absolute.difference, absolute.statistic, absolute.p_value, pair.control, pair.covariance,
                            found.variance_removed, found.mean_treatment];
                        prop_assert!(numbers.iter().chain(&found.slopes).all(|number| number.is_finite()), "{found:?}");
                    }
                }
            }
        }
    }
}
