//! One comparison of two variants on one metric, with every number that is shown of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Basis;

/// A number, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer<T> {
    /// It was computed.
    Computed(T),
    /// It cannot be computed.
    Degenerate(Reason),
}

/// Why there is no number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// Continues "cannot be computed, because".
    pub why: String,
}

impl<T> Answer<T> {
    /// The value, where there is one.
    pub fn computed(&self) -> Option<&T> {
        match self {
            Self::Computed(value) => Some(value),
            Self::Degenerate(_) => None,
        }
    }
}

impl<T, U: From<T>> From<Result<T, stats::Degenerate>> for Answer<U> {
    fn from(result: Result<T, stats::Degenerate>) -> Self {
        match result {
            Ok(value) => Self::Computed(value.into()),
            Err(stats::Degenerate { why }) => Self::Degenerate(Reason { why }),
        }
    }
}

/// An interval of numbers; a side that is `null` is unbounded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// The lower end.
    pub lower: Option<f64>,
    /// The upper end.
    pub upper: Option<f64>,
}

impl From<stats::Interval> for Interval {
    fn from(stats::Interval { lower, upper }: stats::Interval) -> Self {
        Self { lower, upper }
    }
}

/// Variant minus baseline, with its test and interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// Variant minus baseline, in the units of the metric; of a binary metric a share, so that 0.01 is one percentage point.
    pub difference: f64,
    /// The standard error of the difference.
    pub standard_error: f64,
    /// Difference over standard error.
    pub statistic: f64,
    /// Of the t distribution; `null` where the normal distribution is used.
    pub degrees_of_freedom: Option<f64>,
    /// Two-sided, not corrected for the number of comparisons.
    pub p_value: f64,
    /// Two-sided at one minus alpha, of this comparison alone.
    pub interval: Interval,
}

impl From<stats::Effect> for Difference {
    fn from(effect: stats::Effect) -> Self {
        Self {
            difference: effect.difference,
            standard_error: effect.standard_error,
            statistic: effect.statistic,
            degrees_of_freedom: effect.degrees_of_freedom,
            p_value: effect.p_value,
            interval: effect.interval.into(),
        }
    }
}

/// A relative difference, (variant − baseline) / |baseline|.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lift {
    /// As a fraction: 0.1 is 10 % more.
    pub relative: f64,
    /// Fieller's, two-sided at one minus alpha.
    pub interval: Interval,
}

impl From<stats::Lift> for Lift {
    fn from(lift: stats::Lift) -> Self {
        Self { relative: lift.relative, interval: lift.interval.into() }
    }
}

/// The test of being worse by the margin or more.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NonInferiority {
    /// How far the variant is from being worse by the whole margin, in standard errors; positive speaks for it.
    pub statistic: f64,
    /// One-sided: small when the variant is shown to be worse by less than the margin.
    pub p_value: f64,
    /// Whether `p_value` is at most alpha.
    pub shown: bool,
}

impl From<stats::NonInferiority> for NonInferiority {
    fn from(test: stats::NonInferiority) -> Self {
        Self { statistic: test.statistic, p_value: test.p_value, shown: test.shown }
    }
}

/// What a metric is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The winner is picked by it.
    Primary,
    /// Tested as well, in the same family.
    Secondary,
    /// Must not get worse.
    Guardrail,
}

/// One comparison of two variants on one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Estimate {
    /// The metric.
    pub metric: String,
    /// The variant that is judged.
    pub variant: String,
    /// The variant it is compared with.
    pub baseline: String,
    /// What the metric is for.
    pub role: Role,
    /// The baseline's mean; `null` where it has none.
    pub mean_baseline: Option<f64>,
    /// The variant's mean; `null` where it has none.
    pub mean_variant: Option<f64>,
    /// Variant minus baseline, by Welch; of a ratio by the delta method.
    pub absolute: Answer<Difference>,
    /// Variant over baseline minus one, by Fieller.
    pub relative: Answer<Lift>,
    /// The same after adjustment for what was known before; empty where none was asked for. The first decides where the
    /// readout's basis is `adjusted`.
    pub adjusted: Vec<Adjusted>,
    /// The interval that may be looked at any time; `null` for other pairs than with control.
    pub always_valid: Option<Answer<AlwaysValid>>,
    /// The true difference that would have been found with a chance of 80 %, in the units of the metric.
    pub detectable: Option<f64>,
    /// The p-value after the correction; `null` for guardrails, which are judged one by one.
    pub p_adjusted: Option<f64>,
    /// Whether the difference is distinguishable from none: by `p_adjusted`, for guardrails by the plain p-value.
    pub significant: bool,
    /// Whether the deciding estimate points the good way; `null` where there is none or it is exactly zero.
    pub better: Option<bool>,
    /// For guardrails against control: whether the margin is kept.
    pub guardrail: Option<GuardrailCheck>,
}

impl Estimate {
    /// The difference that p-values, significance and verdict rest on. Where no adjusted one can be computed it is the
    /// plain one.
    #[must_use]
    pub fn deciding(&self, basis: Basis) -> &Answer<Difference> {
        self.deciding_adjusted(basis).map_or(&self.absolute, |adjusted| &adjusted.absolute)
    }

    /// The lift that belongs to [`Estimate::deciding`].
    #[must_use]
    pub fn deciding_relative(&self, basis: Basis) -> &Answer<Lift> {
        self.deciding_adjusted(basis).map_or(&self.relative, |adjusted| &adjusted.relative)
    }

    pub(crate) fn deciding_adjusted(&self, basis: Basis) -> Option<&Adjusted> {
        let first = self.adjusted.first().filter(|adjusted| adjusted.absolute.computed().is_some());
        first.filter(|_| basis == Basis::Adjusted)
    }
}

/// A comparison adjusted for what was known before the experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Adjusted {
    /// How.
    pub method: Adjustment,
    /// Variant minus baseline.
    pub absolute: Answer<Difference>,
    /// Variant over baseline minus one.
    pub relative: Answer<Lift>,
    /// One minus the squared standard error over the unadjusted one: 0.2 saves a fifth of the units. Negative where the
    /// adjustment costs precision; `null` where it cannot be computed.
    pub variance_removed: Option<f64>,
    /// For guardrails against control: the same test as the plain one, on the adjusted numbers.
    pub non_inferiority: Option<Answer<NonInferiority>>,
}

/// How a comparison is adjusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Adjustment {
    /// By regression on the covariates.
    Regression,
    /// By the strata's shares in all arms together.
    PostStratification,
}

/// What may be looked at any time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AlwaysValid {
    /// Of the difference, at one minus alpha over all looks together.
    pub interval: Interval,
    /// Of the relative lift; `null` where it is not identifiable.
    pub relative: Option<Interval>,
    /// The p-value that may be looked at any time.
    pub p_value: f64,
    /// The number of units at which the interval is tightest.
    pub tuned_for: f64,
}

/// Whether a guardrail holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GuardrailCheck {
    /// How much worse, relative to control, is tolerated.
    pub margin: f64,
    /// The test of being worse by the margin or more, on the numbers that decide.
    pub non_inferiority: Answer<NonInferiority>,
    /// What follows.
    pub state: GuardrailState,
}

/// What is known of a guardrail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailState {
    /// Shown to be no worse than the margin.
    Kept,
    /// Neither shown to be kept nor to be broken: too few units to tell.
    Unproven,
    /// Worse than control beyond chance, and not shown to stay within the margin.
    Broken,
}
