//! The report as published: what a program reads with `--json`, and what every table and page is drawn from.
//!
//! These are wire types, apart from those of `stats`, so that the arithmetic can change its shapes without breaking a
//! reader. [`schema`] describes them for programs.

pub mod breakdown;
pub mod comparison;
pub mod fleet;
pub mod series;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::breakdown::{Balance, BalanceKind, Heterogeneity, SegmentColumn, SegmentEstimate, SegmentValue};
pub use self::comparison::{
    Adjusted, Adjustment, AlwaysValid, Answer, Difference, Estimate, GuardrailCheck, GuardrailState, Interval, Lift,
    NonInferiority, Reason, Role,
};
pub use self::fleet::{Fleet, FleetRow, FleetSampleRatio, FleetSpread};
pub use self::series::{LookPoint, LookSeries, LookSummary, Looks, Procedure, StoppingRule};
use crate::spec::Spec;

/// Everything that can be said of a file of results. The same file and question give the same bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// What computed it, with its version.
    pub engine: String,
    /// What was asked.
    pub spec: Spec,
    /// Rows read.
    pub rows: u64,
    /// What the reader should know of how the file was read, such as empty values counted as 0.
    pub notes: Vec<String>,
    /// One per experiment of the file, in the order of their names.
    pub experiments: Vec<Readout>,
    /// All experiments together, where the file holds more than one.
    pub fleet: Option<Fleet>,
}

/// The answer of one experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Readout {
    /// Its name, where the file has a column for it.
    pub experiment: Option<String>,
    /// The variant the others are compared with.
    pub control: String,
    /// The metrics, in the order asked for.
    pub metrics: Vec<Metric>,
    /// The variants: control first, the others in the order of their names.
    pub arms: Vec<Arm>,
    /// Whether the arms have the sizes they were meant to have.
    pub sample_ratio: SampleRatio,
    /// Which of the shown estimates the p-values, the significance and the verdict rest on.
    pub basis: Basis,
    /// Every variant against control on every metric: by metric, then by variant.
    pub estimates: Vec<Estimate>,
    /// Every other pair of variants on every metric, corrected among themselves. They inform and do not decide.
    pub other_pairs: Vec<Estimate>,
    /// Results by segment, one per column asked for.
    pub segments: Vec<SegmentColumn>,
    /// How much each covariate would explain alone, by metric, then by covariate.
    pub covariates: Vec<Covariate>,
    /// Whether what should be known before the experiment is the same in all arms.
    pub balance: Vec<Balance>,
    /// Results look by look, where the file holds looks.
    pub looks: Option<Looks>,
    /// What to do.
    pub verdict: Verdict,
    /// What a careful reader should know before believing the verdict.
    pub doubts: Vec<Doubt>,
}

/// One metric as it was understood.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metric {
    /// Its column.
    pub name: String,
    /// How values are summed up; `binary` means can be shown as percentages.
    pub measure: Measure,
    /// The column of denominators of a ratio.
    pub denominator: Option<String>,
    /// What it is for.
    pub role: Role,
    /// Whether less is better.
    pub lower_is_better: bool,
    /// As a guardrail: how much worse, relative to control, is tolerated.
    pub margin: Option<f64>,
    /// The quantile at which values were capped.
    pub cap: Option<f64>,
}

/// How the values of a metric are summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The share of units with 1; all others have 0.
    Binary,
    /// The mean per unit.
    Mean,
    /// A sum over a sum.
    Ratio,
}

/// One variant in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Arm {
    /// The variant.
    pub variant: String,
    /// How many units; with clusters, how many clusters.
    pub units: u64,
    /// Its share of all units, 0 to 1.
    pub share: f64,
    /// The share it was meant to have, 0 to 1; `null` where none was told and the split is not even either.
    pub share_planned: Option<f64>,
    /// Its metrics, in the order of the readout's.
    pub metrics: Vec<ArmMetric>,
}

/// One metric of one variant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ArmMetric {
    /// The metric.
    pub metric: String,
    /// Its mean or ratio; `null` where there is none.
    pub mean: Option<f64>,
    /// The interval of the mean alone, by the normal approximation; `null` where there is none.
    pub interval: Option<Interval>,
    /// Units whose value is not zero.
    pub nonzero: u64,
}

/// Whether the arms have the sizes they were meant to have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SampleRatio {
    /// Where the planned shares come from.
    pub plan: PlanSource,
    /// The chi-square test of all units against the planned shares.
    pub test: Answer<ChiSquare>,
    /// Whether the shares stay the same from date to date, or from look to look; `null` without either.
    pub by_date: Option<SampleRatioByDate>,
    /// The test that may be watched at every date or look; `null` without either.
    pub sequential: Option<SequentialSampleRatio>,
    /// It alarms below this p-value.
    pub threshold: f64,
    /// Whether it alarms: something lost or added units, and no number can be trusted.
    pub mismatch: bool,
}

/// Where the planned shares come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanSource {
    /// They were told.
    Told,
    /// They were not told, and the arms are so close to equal that equal shares must have been meant.
    AssumedEqual,
    /// They were not told and the arms are not equal, so that there is nothing to test against.
    Unknown,
}

/// Pearson's chi-square test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChiSquare {
    /// The sum of (observed − expected)² / expected.
    pub statistic: f64,
    /// Its degrees of freedom.
    pub degrees_of_freedom: u64,
    /// The chance of a statistic this large when there is no mismatch.
    pub p_value: f64,
}

/// Whether the shares stay the same from date to date.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SampleRatioByDate {
    /// Twice the smaller of two p-values: of the same shares on all dates, and of the worst date times their number.
    pub p_value: f64,
    /// Whether it alarms.
    pub mismatch: bool,
    /// The date, or look, with the smallest p-value.
    pub worst: String,
    /// The units of each date, oldest first.
    pub dates: Vec<DateUnits>,
}

/// The units that entered on one date, or since the look before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DateUnits {
    /// The date or look.
    pub date: String,
    /// By arm, in the order of the readout's.
    pub units: Vec<u64>,
    /// Against the shares of all dates together; `null` where nobody entered.
    pub p_value: Option<f64>,
}

/// Sample ratio watched over time, with one promise for all looks together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SequentialSampleRatio {
    /// The running p-value at the end.
    pub p_value: f64,
    /// The date or look at which it first alarmed.
    pub alarm: Option<String>,
    /// The date or look at which a chi-square repeated every time would first have alarmed; shown to warn of it.
    pub alarm_peeked: Option<String>,
}

/// Which estimate decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The plain comparison.
    Unadjusted,
    /// The first of [`Estimate::adjusted`].
    Adjusted,
}

/// How much of a metric's variance a covariate explains by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Covariate {
    /// The covariate's column.
    pub name: String,
    /// The metric.
    pub metric: String,
    /// The share of the metric's variance it removes, 0 to 1; `null` where it cannot be computed.
    pub variance_removed: Option<f64>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Which way it went.
    pub kind: VerdictKind,
    /// The variant to use: the winner, or control.
    pub variant: String,
    /// Why, in a sentence for people.
    pub sentence: String,
}

/// Which way a verdict went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// A variant beats control.
    Winner,
    /// No variant is shown to beat control.
    KeepControl,
    /// Nothing can be said from these numbers.
    Undecided,
}

/// A reason for care.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Doubt {
    /// For programs.
    pub code: Code,
    /// For people.
    pub sentence: String,
}

/// The kinds of doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The arms do not have the planned sizes.
    Srm,
    /// The arms have the planned sizes in total, but not date by date: errors that cancel.
    SrmByDate,
    /// The arms are uneven and no plan was told, so that a mismatch cannot be judged.
    NoPlan,
    /// A covariate differs between the arms, as one measured after the start would.
    LateCovariate,
    /// A segment or stratum is filled differently in the arms, as one decided after the start would be.
    PostAssignment,
    /// A segment looks special until the number of comparisons is counted.
    SubgroupBait,
    /// An effect worth having could easily have been missed.
    LowPower,
    /// Control's mean cannot be told from zero, so that no relative lift can be given.
    NotIdentifiable,
    /// An arm has so few outcomes that intervals are only rough.
    SkewedSmall,
    /// The answer hangs on the largest 0.1 % of the values.
    OutlierDriven,
    /// A cumulative count or sum got smaller between two looks.
    FallingCumulative,
    /// An arm stopped moving while another went on.
    FrozenArm,
    /// Dates or looks are missing.
    Gap,
    /// Another variant beats control too and cannot be told from the winner.
    WinnerNotUnique,
    /// A guardrail is neither shown to be kept nor broken.
    GuardrailNotShown,
    /// A guardrail is broken.
    GuardrailBroken,
    /// The segments point the other way than the total.
    Simpson,
    /// A comparison cannot be computed.
    NotComputable,
    /// Stopping at the first small p-value would have given another answer.
    Peeking,
    /// The effect changed over the looks, so that an early answer is not the late one.
    NotStationary,
}

impl Code {
    /// As written in JSON, such as `srm_by_date`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Srm => "srm",
            Self::SrmByDate => "srm_by_date",
            Self::NoPlan => "no_plan",
            Self::LateCovariate => "late_covariate",
            Self::PostAssignment => "post_assignment",
            Self::SubgroupBait => "subgroup_bait",
            Self::LowPower => "low_power",
            Self::NotIdentifiable => "not_identifiable",
            Self::SkewedSmall => "skewed_small",
            Self::OutlierDriven => "outlier_driven",
            Self::FallingCumulative => "falling_cumulative",
            Self::FrozenArm => "frozen_arm",
            Self::Gap => "gap",
            Self::WinnerNotUnique => "winner_not_unique",
            Self::GuardrailNotShown => "guardrail_not_shown",
            Self::GuardrailBroken => "guardrail_broken",
            Self::Simpson => "simpson",
            Self::NotComputable => "not_computable",
            Self::Peeking => "peeking",
            Self::NotStationary => "not_stationary",
        }
    }
}

/// The JSON schema of a [`Report`].
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Report).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_named_as_it_is_written() {
        let schema = schema();
        let codes = schema["$defs"]["Code"]["oneOf"].as_array().unwrap();
        assert_eq!(codes.len(), 20);
        for code in codes {
            let code: Code = serde_json::from_value(code["const"].clone()).unwrap();
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
    }
}
