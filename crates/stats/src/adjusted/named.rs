//! The variants of other tools, so that their numbers can be checked: linearised and logarithmic lifts, and covariates of
//! ratios by one slope. The product's own answers are [`compare`]'s.

use super::estimate::{Comparison, Shape, check_arm, compare, linearised, square_of};
use crate::answer::{Alternative, Degenerate, Interval, checked_alpha, finite};
use crate::co_moments::CoMoments;
use crate::effect::{Arm, Effect, satterthwaite};
use crate::lift::EstimatePair;
use crate::moments::Moments;
use crate::proportions::Proportion;
use crate::tail::t_quantile_upper;

/// The relative difference by linearisation: d/|m| with variance v_d/m² − 2 d c/m³ + d² v_m/m⁴, where c is the covariance of
/// control's estimate m with the difference d. Deng, Knoblich & Lu (KDD 2018).
///
/// # Errors
/// [`Degenerate`] when control's estimate is zero, the difference has no noise, or a number is not finite.
pub fn relative_by_delta(pair: &EstimatePair, alpha: f64) -> Result<Effect, Degenerate> {
    let baseline = pair.control;
    if baseline == 0.0 {
        return Err(Degenerate::new("the mean of control is zero"));
    }
    let relative = pair.difference / baseline;
    let variance = pair.variance_difference - 2.0 * relative * pair.covariance + relative * relative * pair.variance_control;
    of_relative(pair.difference, baseline, variance, pair.degrees_of_freedom, alpha)
}

/// An effect relative to `baseline`, from the variance of the effect before it is divided.
fn of_relative(
    difference: f64,
    baseline: f64,
    variance: f64,
    degrees_of_freedom: Option<f64>,
    alpha: f64,
) -> Result<Effect, Degenerate> {
    let scale = baseline.abs();
    Effect::new(difference / scale, variance.sqrt() / scale, degrees_of_freedom, Alternative::TwoSided, alpha)
}

/// An estimate of one arm with its variance per unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ArmEstimate {
    /// How many units.
    pub count: u64,
    /// The estimate.
    pub estimate: f64,
    /// Its variance times the number of units.
    pub variance_per_unit: f64,
}

impl ArmEstimate {
    fn variance(&self) -> f64 {
        self.variance_per_unit / self.count as f64
    }

    /// The degrees of freedom of the variance.
    fn degrees(&self) -> f64 {
        self.count as f64 - 1.0
    }

    /// A mean with the variance of the values; zero where only rounding is left of it. `arm` is its name in reasons.
    ///
    /// # Errors
    /// [`Degenerate`] when there are fewer than two values, or a number is not finite.
    pub fn of_mean(arm: &str, moments: &Moments) -> Result<Self, Degenerate> {
        let Arm { count, mean, variance_of_mean } = Arm::new(arm, moments)?;
        Ok(Self { count, estimate: mean, variance_per_unit: variance_of_mean * count as f64 })
    }

    /// A proportion p with the variance p (1 − p). `arm` is its name in reasons.
    ///
    /// # Errors
    /// [`Degenerate`] when there are fewer than two recipients, or more successes than recipients.
    pub fn of_proportion(arm: &str, proportion: Proportion) -> Result<Self, Degenerate> {
        let Arm { count, mean, variance_of_mean } = Arm::of_proportion(arm, proportion)?;
        Ok(Self { count, estimate: mean, variance_per_unit: variance_of_mean * count as f64 })
    }

    /// A ratio of sums with the variance of its linearisation (value − ratio · denominator) / mean denominator, from [value,
    /// denominator] per unit. `arm` is its name in reasons. Deng, Knoblich & Lu (KDD 2018).
    ///
    /// # Errors
    /// [`Degenerate`] when there are fewer than two units, the denominator is zero on average, or a number is not finite.
    pub fn of_ratio(arm: &str, moments: &CoMoments) -> Result<Self, Degenerate> {
        check_arm(arm, "", moments, 2)?;
        let (estimate, gradient) = linearised(arm, moments.mean(0), Some(moments.mean(1)))?;
        Ok(Self::of_form(moments, estimate, &gradient))
    }

    fn of_form(moments: &CoMoments, estimate: f64, form: &[f64]) -> Self {
        Self { count: moments.count, estimate, variance_per_unit: square_of(moments, form) / (moments.count - 1) as f64 }
    }
}

/// Two independent estimates with Welch's degrees of freedom. Welch, Biometrika 34 (1947).
///
/// # Errors
/// [`Degenerate`] when an arm has fewer than two units, neither varies, or a number is not finite.
pub fn independent(control: &ArmEstimate, treatment: &ArmEstimate) -> Result<EstimatePair, Degenerate> {
    for (arm, estimate) in [("control", control), ("the variant", treatment)] {
        if estimate.count < 2 {
            return Err(Degenerate::new(format!("{arm} has fewer than two recipients; a spread needs two")));
        }
        finite("estimate", estimate.estimate)?;
    }
    let (own, others) = (control.variance(), treatment.variance());
    let degrees_of_freedom = satterthwaite(&[(own, control.degrees()), (others, treatment.degrees())])?;
    Ok(EstimatePair::new(control.estimate, treatment.estimate, own, others, 0.0, Some(degrees_of_freedom)))
}

/// A relative difference with its interval on the scale of logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogLift {
    /// The ratio of the estimates less one.
    pub relative: f64,
    /// Of `relative`, two-sided, at one minus alpha.
    pub interval: Interval,
    /// Of the logarithm of the ratio.
    pub standard_error_of_log: f64,
    /// Welch's, of the variances divided by the squared estimates.
    pub degrees_of_freedom: f64,
}

/// The relative difference of two independent estimates by logarithms: r · exp(∓ t · √Σ v/(n m²)) − 1. Katz et al.,
/// Biometrics 34 (1978), for means; Casella & Berger, *Statistical Inference* (2002), §5.5. Where the estimates have opposite
/// signs there is no logarithm: as in [`crate::means::relative::relative_log`] the formula then gives an interval whose ends
/// change places.
///
/// # Errors
/// [`Degenerate`] when an estimate is zero, neither varies, or a number is not finite.
pub fn relative_by_log(control: &ArmEstimate, treatment: &ArmEstimate, alpha: f64) -> Result<LogLift, Degenerate> {
    let alpha = checked_alpha(alpha)?;
    let ratio = treatment.estimate / control.estimate;
    if !ratio.is_finite() || ratio == 0.0 {
        return Err(Degenerate::new("an estimate is zero, and zero has no logarithm"));
    }
    let relative_variance = |arm: &ArmEstimate| arm.variance() / arm.estimate / arm.estimate;
    let (own, others) = (relative_variance(control), relative_variance(treatment));
    let degrees_of_freedom = satterthwaite(&[(own, control.degrees()), (others, treatment.degrees())])?;
    let standard_error_of_log = finite("variance", own + others)?.sqrt();
    let reach = t_quantile_upper(alpha / 2.0, degrees_of_freedom) * standard_error_of_log;
    let (lower, upper) = (ratio * (-reach).exp() - 1.0, ratio * reach.exp() - 1.0);
    let interval = Interval::closed(finite("lift", lower)?, finite("lift", upper)?);
    Ok(LogLift { relative: ratio - 1.0, interval, standard_error_of_log, degrees_of_freedom })
}

/// The relative difference of two ratios by logarithms, from [value, denominator] per unit.
///
/// # Errors
/// As [`relative_by_log`], and when a denominator is zero on average.
pub fn ratio_by_log(control: &CoMoments, treatment: &CoMoments, alpha: f64) -> Result<LogLift, Degenerate> {
    relative_by_log(&ArmEstimate::of_ratio("control", control)?, &ArmEstimate::of_ratio("the variant", treatment)?, alpha)
}

/// The covariate-adjusted relative difference against control's unadjusted mean, by linearisation, from [value, covariate]
/// per unit: effect (d_adjusted)/|m_A|, variance v_B/(n_B m_A²) + [v_yA m_B²/m_A² − 2 θ c_A m_B/m_A + θ² v_xA]/(n_A m_A²).
///
/// # Errors
/// As [`compare`], and when control's mean is zero.
pub fn cuped_by_delta(control: &CoMoments, treatment: &CoMoments, alpha: f64) -> Result<(f64, Effect), Degenerate> {
    let found = compare(control, treatment, Shape::Mean, 1, alpha)?;
    let (theta, baseline) = (found.slopes[0], control.mean(0));
    if baseline == 0.0 {
        return Err(Degenerate::new("the mean of control is zero"));
    }
    let of_control = ArmEstimate::of_form(control, 0.0, &[treatment.mean(0) / baseline, -theta]);
    let of_treatment = ArmEstimate::of_form(treatment, 0.0, &[1.0, -theta]);
    let variance = of_control.variance() + of_treatment.variance();
    let degrees_of_freedom = found.pair.degrees_of_freedom;
    Ok((theta, of_relative(found.absolute.difference, baseline, variance, degrees_of_freedom, alpha)?))
}

/// A covariate-adjusted comparison with its lift by logarithms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdjustedByLog {
    /// The slope on the covariate.
    pub theta: f64,
    /// Control's adjusted estimate.
    pub control: f64,
    /// The variant's adjusted estimate.
    pub treatment: f64,
    /// The absolute difference.
    pub absolute: Effect,
    /// The relative difference of the adjusted estimates.
    pub relative: LogLift,
}

/// The covariate-adjusted difference of two means with the lift by logarithms, from [value, covariate] per unit.
///
/// # Errors
/// As [`compare`] and [`relative_by_log`].
pub fn cuped_by_log(control: &CoMoments, treatment: &CoMoments, alpha: f64) -> Result<AdjustedByLog, Degenerate> {
    let Comparison { absolute, slopes, mean_control, mean_treatment, .. } = compare(control, treatment, Shape::Mean, 1, alpha)?;
    let theta = slopes[0];
    let own = ArmEstimate::of_form(control, mean_control, &[1.0, -theta]);
    let others = ArmEstimate::of_form(treatment, mean_treatment, &[1.0, -theta]);
    let relative = relative_by_log(&own, &others, alpha)?;
    Ok(AdjustedByLog { theta, control: mean_control, treatment: mean_treatment, absolute, relative })
}

/// A ratio after and the same ratio before, with their linearisations over [value, denominator] after and before.
struct TwoRatios {
    after: f64,
    before: f64,
    after_form: [f64; 4],
    before_form: [f64; 4],
}

impl TwoRatios {
    fn new(arm: &str, moments: &CoMoments) -> Result<Self, Degenerate> {
        check_arm(arm, "", moments, 4)?;
        let (after, [a0, a1]) = linearised(arm, moments.mean(0), Some(moments.mean(1)))?;
        let before_arm = format!("{arm}, before the experiment,");
        let (before, [b0, b1]) = linearised(&before_arm, moments.mean(2), Some(moments.mean(3)))?;
        Ok(Self { after, before, after_form: [a0, a1, 0.0, 0.0], before_form: [0.0, 0.0, b0, b1] })
    }

    /// The form of after × `scale` − θ before.
    fn form(&self, scale: f64, theta: f64) -> [f64; 4] {
        let mut form = self.after_form.map(|weight| scale * weight);
        form.iter_mut().zip(self.before_form).for_each(|(weight, before)| *weight -= theta * before);
        form
    }

    /// The covariance of after and before, and the variance of before, times units less one.
    fn products(&self, moments: &CoMoments) -> (f64, f64) {
        (moments.product_of(&self.after_form, &self.before_form), square_of(moments, &self.before_form))
    }
}

fn slope(products: f64, squares: f64) -> f64 {
    let slope = if squares > 0.0 { products / squares } else { 0.0 };
    if slope.is_finite() { slope } else { 0.0 }
}

/// A comparison of ratios, adjusted by the same ratio before the experiment with one slope.
#[derive(Debug, Clone, PartialEq)]
pub struct CupedRatio {
    /// The slope on the ratio before.
    pub theta: f64,
    /// The absolute difference.
    pub absolute: Effect,
    /// The relative difference against control's unadjusted ratio, by linearisation over all eight means, or why there is
    /// none.
    pub relative: Result<Effect, Degenerate>,
}

/// The difference of two ratios adjusted by the same ratios before, from [value, denominator] after and before per unit.
///
/// θ is the sum over arms of the linearised covariances of after and before, over that of the variances of before. Deng, Xu,
/// Kohavi & Walker (WSDM 2013) with the linearisation of Deng, Knoblich & Lu (KDD 2018).
///
/// # Errors
/// [`Degenerate`] when an arm has fewer than two units, a denominator is zero on average, neither arm varies, or a number is
/// not finite.
pub fn cuped_ratio(control: &CoMoments, treatment: &CoMoments, alpha: f64) -> Result<CupedRatio, Degenerate> {
    let (own, others) = (TwoRatios::new("control", control)?, TwoRatios::new("the variant", treatment)?);
    let per_unit = |ratios: &TwoRatios, arm: &CoMoments| {
        let (products, squares) = ratios.products(arm);
        (products / (arm.count - 1) as f64, squares / (arm.count - 1) as f64)
    };
    let (of_control, of_treatment) = (per_unit(&own, control), per_unit(&others, treatment));
    let theta = slope(of_control.0 + of_treatment.0, of_control.1 + of_treatment.1);
    let adjusted = |ratios: &TwoRatios, arm: &CoMoments| {
        ArmEstimate::of_form(arm, ratios.after - theta * ratios.before, &ratios.form(1.0, theta))
    };
    let pair = independent(&adjusted(&own, control), &adjusted(&others, treatment))?;
    let relative = || {
        if own.after == 0.0 {
            return Err(Degenerate::new("the ratio of control is zero"));
        }
        let scale = 1.0 + pair.difference / own.after;
        let of_control = ArmEstimate::of_form(control, 0.0, &own.form(scale, theta));
        let of_treatment = ArmEstimate::of_form(treatment, 0.0, &others.form(1.0, theta));
        let variance = of_control.variance() + of_treatment.variance();
        of_relative(pair.difference, own.after, variance, pair.degrees_of_freedom, alpha)
    };
    Ok(CupedRatio { theta, absolute: pair.absolute(alpha)?, relative: relative() })
}

/// As [`cuped_ratio`], with θ from both arms as one sample, adjusted around the ratio before of both arms, and the lift by
/// logarithms.
///
/// # Errors
/// As [`cuped_ratio`] and [`relative_by_log`].
pub fn cuped_ratio_by_log(control: &CoMoments, treatment: &CoMoments, alpha: f64) -> Result<AdjustedByLog, Degenerate> {
    let (own, others) = (TwoRatios::new("control", control)?, TwoRatios::new("the variant", treatment)?);
    let mut both = control.clone();
    both.merge(treatment);
    let pooled = TwoRatios::new("both arms", &both)?;
    let (products, squares) = pooled.products(&both);
    let theta = slope(products, squares);
    let adjusted = |ratios: &TwoRatios, arm: &CoMoments| {
        ArmEstimate::of_form(arm, ratios.after - theta * (ratios.before - pooled.before), &ratios.form(1.0, theta))
    };
    let (own, others) = (adjusted(&own, control), adjusted(&others, treatment));
    let absolute = independent(&own, &others)?.absolute(alpha)?;
    let relative = relative_by_log(&own, &others, alpha)?;
    Ok(AdjustedByLog { theta, control: own.estimate, treatment: others.estimate, absolute, relative })
}

/// An effect per recipient of the test as an effect per day on everyone: times `total_units` / (`traffic_fraction` × `days`).
///
/// `total_units` counts the recipients who came in `days` days; `traffic_fraction` is the share of traffic in the test, above
/// 0 and at most 1.
///
/// # Errors
/// [`Degenerate`] when `traffic_fraction` or `days` are out of range, or the product is not finite.
pub fn scaled_impact(effect: &Effect, total_units: f64, traffic_fraction: f64, days: f64) -> Result<Effect, Degenerate> {
    if !(traffic_fraction > 0.0 && traffic_fraction <= 1.0) {
        return Err(Degenerate::new(format!("the traffic fraction is {traffic_fraction}; it must be above 0 and at most 1")));
    }
    if !(days.is_finite() && days > 0.0) {
        return Err(Degenerate::new(format!("the number of days is {days}; it must be more than zero")));
    }
    if !(total_units.is_finite() && total_units > 0.0) {
        return Err(Degenerate::new(format!("the number of units is {total_units}; it must be more than zero")));
    }
    let scale = finite("scale", total_units / (traffic_fraction * days))?;
    let scaled = |end: Option<f64>| end.map(|end| finite("scaled effect", end * scale)).transpose();
    Ok(Effect {
        difference: finite("scaled effect", effect.difference * scale)?,
        standard_error: finite("scaled effect", effect.standard_error * scale)?,
        interval: Interval { lower: scaled(effect.interval.lower)?, upper: scaled(effect.interval.upper)? },
        ..*effect
    })
}
