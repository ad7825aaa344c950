//! Results look by look: what each stopping rule would have said, and when.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::comparison::Interval;

/// Results at each look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Looks {
    /// The looks, oldest first.
    pub looks: Vec<LookSummary>,
    /// Every variant against control: by metric, then by variant.
    pub series: Vec<LookSeries>,
}

/// One look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LookSummary {
    /// Its name in the file, such as a date or a number.
    pub look: String,
    /// Cumulative units by arm, in the order of the readout's.
    pub units: Vec<u64>,
    /// Units so far over units at the last look, 0 to 1.
    pub information: f64,
}

/// One variant against control on one metric, over the looks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LookSeries {
    /// The metric.
    pub metric: String,
    /// The variant.
    pub variant: String,
    /// One per look, in the order of the looks.
    pub points: Vec<LookPoint>,
    /// What each rule says, and when it would have stopped. Each is held to alpha alone, without the correction for the
    /// number of comparisons.
    pub rules: Vec<StoppingRule>,
    /// Whether the always-valid intervals of two looks exclude each other, so that the effect cannot have been the same.
    pub drifts: bool,
}

/// One look of a series. Numbers are `null` where they cannot be computed yet.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LookPoint {
    /// Variant minus control, cumulative.
    pub difference: Option<f64>,
    /// The interval that is right only for a look fixed beforehand.
    pub interval: Option<Interval>,
    /// The p-value that is right only for a look fixed beforehand.
    pub p_value: Option<f64>,
    /// Variant over control minus one.
    pub lift: Option<f64>,
    /// The interval of the difference that is right at any look.
    pub interval_always_valid: Option<Interval>,
    /// The interval of the lift that is right at any look; `null` where the lift is not identifiable.
    pub lift_interval_always_valid: Option<Interval>,
    /// Evidence against no effect at this look alone: the natural logarithm of the e-value. It may fall again.
    pub log_e_value: Option<f64>,
    /// The smallest always-valid p-value so far.
    pub p_always_valid: Option<f64>,
    /// Difference over standard error.
    pub statistic: Option<f64>,
    /// The group-sequential boundary on the statistic's absolute value; `null` for a look with hardly more units than the
    /// one before it.
    pub boundary: Option<f64>,
}

/// What a rule for stopping says of a series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StoppingRule {
    /// The rule.
    pub procedure: Procedure,
    /// Whether it calls the difference real.
    pub significant: bool,
    /// The look at which it would have stopped; `null` where it runs to the end without an answer.
    pub stopped_at: Option<String>,
    /// Variant minus control at that look, or at the last one.
    pub difference: Option<f64>,
    /// In a sentence for people.
    pub sentence: String,
}

/// Rules for stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Procedure {
    /// One test at the last look.
    FixedAtEnd,
    /// A fixed test at every look, stopping at the first p-value of at most alpha: the false alarms add up. Shown to warn.
    NaivePeeking,
    /// A confidence sequence.
    AlwaysValid,
    /// O'Brien and Fleming's boundaries by Lan and DeMets' spending.
    GroupSequential,
}
