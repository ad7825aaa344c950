//! Results by segment, and whether the segments themselves can be trusted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::comparison::{Answer, Difference, Lift};

/// Results by the values of one column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SegmentColumn {
    /// The column.
    pub column: String,
    /// Its values, in their order.
    pub values: Vec<SegmentValue>,
    /// Whether the effect differs between the values: by metric, then by variant.
    pub heterogeneity: Vec<Heterogeneity>,
    /// What to do with it. `null` unless a difference of effects on the primary metric survives the correction; then
    /// whether any value is better served by another variant than all together.
    pub advice: Option<String>,
}

/// One value of a segment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SegmentValue {
    /// The value.
    pub value: String,
    /// Its units by arm, in the order of the readout's.
    pub units: Vec<u64>,
    /// Every variant against control: by metric, then by variant.
    pub estimates: Vec<SegmentEstimate>,
}

/// One variant against control among the units of one value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SegmentEstimate {
    /// The metric.
    pub metric: String,
    /// The variant that is compared with control.
    pub variant: String,
    /// Control's mean; `null` where it has none.
    pub mean_baseline: Option<f64>,
    /// The variant's mean; `null` where it has none.
    pub mean_variant: Option<f64>,
    /// Variant minus control, by Welch; of a ratio by the delta method.
    pub absolute: Answer<Difference>,
    /// Variant over control minus one, by Fieller.
    pub relative: Answer<Lift>,
    /// The p-value after Benjamini and Hochberg over all segment effects of the experiment.
    pub q_value: Option<f64>,
    /// Whether `q_value` is at most alpha. An effect here does not mean that it is another one than elsewhere.
    pub significant: bool,
}

/// Whether an effect differs between the values of a column: Cochran's test of equal effects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Heterogeneity {
    /// The metric.
    pub metric: String,
    /// The variant that is compared with control.
    pub variant: String,
    /// The sum of squared distances of the values' effects from their mean, in standard errors.
    pub statistic: f64,
    /// Values with an effect, minus one.
    pub degrees_of_freedom: u64,
    /// The chance of a statistic this large when the effect is the same everywhere.
    pub p_value: f64,
    /// After Benjamini and Hochberg over all columns, metrics and variants of the experiment.
    pub q_value: f64,
    /// Whether `q_value` is at most alpha.
    pub significant: bool,
}

/// Whether something that should be known before the experiment is the same in all arms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Balance {
    /// The column.
    pub column: String,
    /// What it is used for.
    pub kind: BalanceKind,
    /// The chance of arms this different when the variant was drawn after the column was fixed; `null` where it cannot be
    /// computed.
    pub p_value: Option<f64>,
    /// Whether it is too small to believe: the column moved with the variant.
    pub late: bool,
}

impl Balance {
    /// Whether the column is one to adjust by.
    #[must_use]
    pub fn adjusts(&self) -> bool {
        self.kind != BalanceKind::Segment
    }
}

/// What a column is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BalanceKind {
    /// A number to adjust by.
    Covariate,
    /// A column to break down by.
    Segment,
    /// A column to post-stratify by.
    Stratum,
}
