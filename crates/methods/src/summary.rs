//! Arms in the form of any metric as an estimate with its error, the effect between two of them, and an effect as JSON.

use serde::Deserialize;
use serde_json::{Value, json};
use stats::adjusted::named::{ArmEstimate, cuped_by_delta, independent, relative_by_delta};
use stats::adjusted::{self, Shape};
use stats::lift::EstimatePair;
use stats::{CoMoments, Degenerate, Effect};

use crate::input::{CupedArm, Difference, MeanArm, ProportionArm, RatioArm};
use crate::method::{Failure, Field, read};

/// The form of the arms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Metric {
    #[default]
    Mean,
    Proportion,
    Ratio,
    Cuped,
}

pub(crate) const METRIC: Field = Field {
    name: "metric",
    about: "mean: arms {n, sum, sum_squares}; proportion: {n, successes}; ratio: {n, numerator_sum, numerator_sum_squares, denominator_sum, denominator_sum_squares, sum_of_products}; cuped: mean and {covariate_sum, covariate_sum_squares, sum_of_products}",
};

/// Two arms, compared.
pub(crate) struct Compared {
    /// Absolute or relative to control.
    pub(crate) effect: Effect,
    /// Recipients of both arms.
    pub(crate) units: f64,
    /// Control's value before any adjustment.
    pub(crate) baseline: f64,
}

/// The effect with its standard error as at a fixed sample size; a relative one by the delta method, against control's
/// unadjusted value.
pub(crate) fn compare(
    metric: Metric,
    difference: Difference,
    control: &Value,
    treatment: &Value,
    alpha: f64,
) -> Result<Compared, Failure> {
    let (pair, units) = pair(metric, control, treatment)?;
    let (effect, baseline) = match (metric, difference) {
        (Metric::Cuped, _) => {
            let (control, treatment) = cuped_arms(control, treatment)?;
            let effect = match difference {
                Difference::Absolute => pair.absolute(alpha)?,
                Difference::Relative => cuped_by_delta(&control, &treatment, alpha)?.1,
            };
            (effect, control.mean(0))
        }
        (_, Difference::Absolute) => (pair.absolute(alpha)?, pair.control),
        (_, Difference::Relative) => (relative_by_delta(&pair, alpha)?, pair.control),
    };
    Ok(Compared { effect, units, baseline })
}

/// The estimates of two arms, and the recipients of both.
pub(crate) fn pair(metric: Metric, control: &Value, treatment: &Value) -> Result<(EstimatePair, f64), Failure> {
    if metric == Metric::Cuped {
        let (control, treatment) = cuped_arms(control, treatment)?;
        slope(&[&control, &treatment])?;
        let found = adjusted::compare(&control, &treatment, Shape::Mean, 1, 0.05)?;
        return Ok((found.pair, control.count as f64 + treatment.count as f64));
    }
    let (control, treatment) = (arm(metric, "control", control)?, arm(metric, "treatment", treatment)?);
    Ok((independent(&control, &treatment)?, control.count as f64 + treatment.count as f64))
}

/// All arms with their estimates; a covariate's slope is estimated from all of them together.
pub(crate) fn arms(metric: Metric, arms: &[(String, &Value)]) -> Result<Vec<ArmEstimate>, Failure> {
    if metric != Metric::Cuped {
        return arms.iter().map(|(name, value)| arm(metric, name, value)).collect();
    }
    let read = |(name, value): &(String, &Value)| Ok::<_, Failure>(read::<CupedArm>(name, value)?.moments()?);
    let all: Vec<CoMoments> = arms.iter().map(read).collect::<Result<_, _>>()?;
    let (slope, covariate_mean) = slope(&all.iter().collect::<Vec<_>>())?;
    let adjusted = |((name, _), moments): (&(String, &Value), &CoMoments)| {
        let found = ArmEstimate::of_mean(name, &moments.combined(&[1.0, -slope]))?;
        Ok(ArmEstimate { estimate: found.estimate + slope * covariate_mean, ..found })
    };
    arms.iter().zip(&all).map(adjusted).collect()
}

fn arm(metric: Metric, name: &str, value: &Value) -> Result<ArmEstimate, Failure> {
    Ok(match metric {
        Metric::Mean => ArmEstimate::of_mean(name, &read::<MeanArm>(name, value)?.moments()?)?,
        Metric::Proportion => ArmEstimate::of_proportion(name, read::<ProportionArm>(name, value)?.proportion())?,
        Metric::Ratio => ArmEstimate::of_ratio(name, &read::<RatioArm>(name, value)?.moments()?)?,
        Metric::Cuped => ArmEstimate::of_mean(name, &read::<CupedArm>(name, value)?.moments()?.moments(0))?,
    })
}

fn cuped_arms(control: &Value, treatment: &Value) -> Result<(CoMoments, CoMoments), Failure> {
    Ok((read::<CupedArm>("control", control)?.moments()?, read::<CupedArm>("treatment", treatment)?.moments()?))
}

/// The slope of the outcome on the covariate over all arms as one sample, and the covariate's mean.
fn slope(arms: &[&CoMoments]) -> Result<(f64, f64), Degenerate> {
    let mut pooled = CoMoments::new(2);
    arms.iter().for_each(|arm| pooled.merge(arm));
    if pooled.product(1, 1) <= 0.0 {
        return Err(Degenerate::new("the covariate is the same for all recipients, so nothing can be adjusted by it"));
    }
    Ok((pooled.product(0, 1) / pooled.product(1, 1), pooled.mean(1)))
}

/// What [`effect_json`] writes.
pub(crate) const EFFECT_OUTPUTS: &[Field] = &[
    Field { name: "effect", about: "B − A, or (B − A)/|A| where the method is relative" },
    Field { name: "standard_error", about: "of the effect" },
    Field { name: "statistic", about: "effect over standard error" },
    Field { name: "degrees_of_freedom", about: "of the t distribution" },
    Field { name: "p_value", about: "of the alternative; two-sided where none can be given" },
    Field { name: "ci_lower, ci_upper", about: "of the effect; null on the side a one-sided alternative leaves open" },
];

/// An effect as JSON; without degrees of freedom where its test is by the normal distribution.
pub(crate) fn effect_json(effect: &Effect) -> Value {
    let mut value = json!({
        "effect": effect.difference, "standard_error": effect.standard_error, "statistic": effect.statistic,
        "p_value": effect.p_value, "ci_lower": effect.interval.lower, "ci_upper": effect.interval.upper,
    });
    if let Some(degrees_of_freedom) = effect.degrees_of_freedom {
        value["degrees_of_freedom"] = json!(degrees_of_freedom);
    }
    value
}
