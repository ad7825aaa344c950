//! Many experiments together: how many of the wins are real, and how large effects are here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::comparison::Interval;

/// All experiments of a file together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fleet {
    /// One per experiment, in the order of the report's.
    pub experiments: Vec<FleetRow>,
    /// Experiments whose best variant is significant by itself.
    pub significant: u64,
    /// Those left by Benjamini and Hochberg over the experiments: at most a share of alpha of them is expected to be false.
    pub significant_bh: u64,
    /// Those left by Benjamini and Yekutieli, which needs no assumption about how experiments depend on each other.
    pub significant_by: u64,
    /// How large relative effects are here; `null` where fewer than three lifts can be computed.
    pub spread: Option<FleetSpread>,
    /// Sample ratios of all experiments together.
    pub sample_ratio: FleetSampleRatio,
    /// What follows, in sentences for people.
    pub sentences: Vec<String>,
}

/// One experiment among the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FleetRow {
    /// Its name.
    pub experiment: String,
    /// The variant with the smallest p-value on the primary metric; `null` where none can be computed.
    pub variant: Option<String>,
    /// Its relative lift on the primary metric; `null` where it is not identifiable.
    pub lift: Option<f64>,
    /// The standard error of the lift, by the delta method.
    pub lift_standard_error: Option<f64>,
    /// The lift drawn towards what effects are usually like here: the forecast.
    pub lift_shrunken: Option<f64>,
    /// The interval of the forecast.
    pub lift_shrunken_interval: Option<Interval>,
    /// The p-value of that variant, corrected within the experiment.
    pub p_value: Option<f64>,
    /// After Benjamini and Hochberg over the experiments.
    pub q_bh: Option<f64>,
    /// After Benjamini and Yekutieli over the experiments.
    pub q_by: Option<f64>,
    /// The sample-ratio test at the end; `null` where there is no plan to test against.
    pub sample_ratio_p_value: Option<f64>,
    /// The same after Benjamini and Hochberg over the experiments.
    pub sample_ratio_q_value: Option<f64>,
    /// The sample-ratio test that may be watched all the time; `null` without dates or looks.
    pub sample_ratio_p_sequential: Option<f64>,
}

/// How large relative effects are here.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FleetSpread {
    /// How many lifts it rests on: every variant of every experiment on the primary metric.
    pub lifts: u64,
    /// Their mean, weighted by precision.
    pub mean: f64,
    /// The standard deviation of true effects around it, as a fraction: 0.02 is two percent.
    pub deviation: f64,
}

/// Sample ratios of all experiments together.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FleetSampleRatio {
    /// Experiments with shares to test against.
    pub tested: u64,
    /// Experiments whose last test alarms.
    pub mismatches: u64,
    /// Those left by Benjamini and Hochberg over the experiments.
    pub mismatches_bh: u64,
    /// Experiments with dates or looks.
    pub watched: u64,
    /// Those in which the sequential test alarmed at any time.
    pub alarms_sequential: u64,
    /// Those in which a chi-square repeated at every date or look would have alarmed.
    pub alarms_peeked: u64,
}
