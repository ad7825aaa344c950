//! The answer of an experiment: estimates, a verdict, and doubts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use stats::{ChiSquare, Degenerate, Effect, Lift, NonInferiority};
use vocabulary::{Experiment, ExperimentId, Timestamp, Variant, VariantName};

use crate::doubt::doubts;
use crate::estimate::estimates;
use crate::observe::{Funnel, Observations};
use crate::verdict::{Evidence, verdict};

/// Everything that can be said of an experiment at one moment. It serialises to the same bytes for the same input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Readout {
    /// Its own id.
    pub id: String,
    /// The experiment.
    pub experiment_id: ExperimentId,
    /// Only outcomes before count.
    pub as_of: Timestamp,
    /// The metric the winner is picked by.
    pub primary: String,
    /// The share of false alarms accepted over all comparisons together.
    pub alpha: f64,
    /// The variant the others are compared with.
    pub control: VariantName,
    /// The variants, in the experiment's order.
    pub arms: Vec<ArmSummary>,
    /// Every variant against control on every metric, then the other pairs, then every variant against the holdout.
    pub estimates: Vec<Estimate>,
    /// Whether the arms have the sizes they were meant to have.
    pub sample_ratio: SampleRatio,
    /// What to do.
    pub verdict: Verdict,
    /// What a careful reader should know before believing the verdict.
    pub doubts: Vec<Doubt>,
    /// Units that were erased because their people asked for it: what is shown is what is left.
    #[serde(default)]
    pub erased_units: u64,
    /// The version of each table that was read.
    pub versions: BTreeMap<String, i64>,
    /// What computed it.
    pub engine: String,
    /// Names the plan: a hash over the experiment as written, the table versions, the moment and the engine.
    pub plan_hash: String,
}

/// One variant in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmSummary {
    /// The variant.
    pub variant: VariantName,
    /// Its intended share of the recipients, 0 to 1.
    pub share: f64,
    /// Recipients assigned to it.
    pub assigned: u64,
    /// Those of them whose window is over; only they count.
    pub mature: u64,
    /// The mean of each metric per mature recipient, or its ratio; a metric without a value is missing.
    pub means: BTreeMap<String, f64>,
    /// How far its mature recipients came.
    pub funnel: Funnel,
}

/// A number, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer<T> {
    /// It was computed.
    Computed(T),
    /// It cannot be computed.
    Degenerate(Degenerate),
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

impl<T> From<Result<T, Degenerate>> for Answer<T> {
    fn from(result: Result<T, Degenerate>) -> Self {
        match result {
            Ok(value) => Self::Computed(value),
            Err(why) => Self::Degenerate(why),
        }
    }
}

/// What a metric is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The metric.
    pub metric: String,
    /// The variant that is judged.
    pub variant: VariantName,
    /// The variant it is compared with.
    pub baseline: VariantName,
    /// What the metric is for.
    pub role: Role,
    /// The baseline's mean or ratio; `None` where there is none, as without a mature recipient.
    pub mean_baseline: Option<f64>,
    /// The variant's mean or ratio, likewise.
    pub mean_variant: Option<f64>,
    /// Variant minus baseline, by Welch; of a ratio with the error of the delta method.
    pub absolute: Answer<Effect>,
    /// Variant over baseline minus one, by Fieller.
    pub relative: Answer<Lift>,
    /// The p-value after Holm; `None` for guardrails, which are judged one by one.
    pub p_adjusted: Option<f64>,
    /// Whether the difference is distinguishable from none: by `p_adjusted`, for guardrails by the plain p-value.
    pub significant: bool,
    /// Whether the estimate points the good way; `None` where there is none or it is exactly zero.
    pub better: Option<bool>,
    /// For guardrails against control: whether the margin is kept.
    pub guardrail: Option<GuardrailCheck>,
}

/// Whether a guardrail holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuardrailCheck {
    /// How much worse, relative to control, is tolerated.
    pub margin: f64,
    /// The test of being worse by the margin or more.
    pub non_inferiority: Answer<NonInferiority>,
    /// What follows.
    pub state: GuardrailState,
}

/// What is known of a guardrail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailState {
    /// Shown to be no worse than the margin.
    Kept,
    /// Neither shown to be kept nor to be broken: too few recipients to tell.
    Unproven,
    /// Worse than control beyond chance, and not shown to stay within the margin.
    Broken,
}

/// Whether the arms have the sizes they were meant to have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleRatio {
    /// The chi-square test of assigned recipients against weights.
    pub test: Answer<ChiSquare>,
    /// It alarms below this p-value.
    pub threshold: f64,
    /// Whether it alarms: something lost or added recipients, and no number can be trusted.
    pub mismatch: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Which way it went.
    pub kind: VerdictKind,
    /// The variant to send.
    pub variant: VariantName,
    /// Why, in a sentence for people.
    pub sentence: String,
}

/// Which way a verdict went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// A variant beats control.
    Winner,
    /// All is in and no variant beats control.
    KeepControl,
    /// It cannot be said yet.
    Undecided,
}

/// A reason for care.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// For programs, such as `srm`.
    pub code: String,
    /// For people.
    pub sentence: String,
}

/// A sample-ratio test below this p-value stops the verdict. Strict, because a real mismatch soon has a far smaller one
/// and a false alarm costs a whole experiment.
pub const SAMPLE_RATIO_THRESHOLD: f64 = 0.001;

/// How many bytes of the plan's hash are kept: enough to tell plans apart, short enough to read out.
const PLAN_HASH_BYTES: usize = 8;

/// Says everything that can be said of an experiment from what was observed. The experiment must have been checked.
#[must_use]
pub fn readout(experiment: &Experiment, observations: &Observations, id: &str) -> Readout {
    let estimates = estimates(experiment, observations);
    let sample_ratio = sample_ratio(experiment, observations);
    let evidence = Evidence { experiment, observations, estimates: &estimates, sample_ratio: &sample_ratio };
    let verdict = verdict(&evidence);
    let doubts = doubts(&evidence, &verdict);
    Readout {
        id: id.to_owned(),
        experiment_id: experiment.experiment.clone(),
        as_of: observations.as_of,
        primary: experiment.primary.clone(),
        alpha: experiment.alpha,
        control: experiment.control().clone(),
        arms: arms(experiment, observations),
        estimates,
        sample_ratio,
        verdict,
        doubts,
        erased_units: observations.erased_units,
        versions: observations.versions.clone(),
        engine: observations.engine.clone(),
        plan_hash: plan_hash(experiment, &observations.versions, observations.as_of, &observations.engine),
    }
}

impl Readout {
    /// The readout as it is kept: the bytes that recomputing it must give again.
    ///
    /// # Panics
    /// Never: it is plain data.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a readout is plain data")
    }

    /// Whether it was computed of the experiment as it is written here.
    #[must_use]
    pub fn is_of(&self, experiment: &Experiment) -> bool {
        self.plan_hash == plan_hash(experiment, &self.versions, self.as_of, &self.engine)
    }

    /// The same look computed anew from what was observed at its versions. What the tables cannot tell is as it was then: who had been
    /// erased by then, and the engine's name, so that only numbers can differ.
    #[must_use]
    pub fn again(&self, experiment: &Experiment, observations: Observations) -> Self {
        let observations = Observations { engine: self.engine.clone(), erased_units: self.erased_units, ..observations };
        readout(experiment, &observations, &self.id)
    }
}

/// Names the bytes of a kept readout: SHA-256 in hexadecimal digits.
#[must_use]
pub fn digest(kept: &str) -> String {
    Sha256::digest(kept.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn arms(experiment: &Experiment, observations: &Observations) -> Vec<ArmSummary> {
    let total: u64 = experiment.variants.iter().map(|variant| u64::from(variant.weight)).sum();
    let summary = |variant: &Variant| {
        let arm = observations.arm(&variant.name);
        let means =
            experiment.metrics.iter().filter_map(|metric| Some((metric.name.clone(), observations.mean(&variant.name, metric)?)));
        ArmSummary {
            variant: variant.name.clone(),
            share: f64::from(variant.weight) / total as f64,
            assigned: arm.map_or(0, |arm| arm.assigned),
            mature: arm.map_or(0, |arm| arm.mature),
            means: means.collect(),
            funnel: arm.map_or_else(Funnel::default, |arm| arm.funnel),
        }
    };
    experiment.variants.iter().map(summary).collect()
}

fn sample_ratio(experiment: &Experiment, observations: &Observations) -> SampleRatio {
    let assigned = |variant: &Variant| observations.arm(&variant.name).map_or(0, |arm| arm.assigned);
    let observed: Vec<u64> = experiment.variants.iter().map(assigned).collect();
    let weights: Vec<f64> = experiment.variants.iter().map(|variant| f64::from(variant.weight)).collect();
    let test = stats::sample_ratio(&observed, &weights);
    let mismatch = test.as_ref().is_ok_and(|test| test.p_value < SAMPLE_RATIO_THRESHOLD);
    SampleRatio { test: test.into(), threshold: SAMPLE_RATIO_THRESHOLD, mismatch }
}

/// Two readouts with the same hash were computed by the same engine from the same spec and the same data.
fn plan_hash(experiment: &Experiment, versions: &BTreeMap<String, i64>, as_of: Timestamp, engine: &str) -> String {
    let plan = (experiment, versions, as_of, engine);
    let bytes = serde_json::to_vec(&plan).expect("a plan is plain data");
    Sha256::digest(bytes).iter().take(PLAN_HASH_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "readout_hillstrom.rs"]
pub(crate) mod hillstrom;
#[cfg(test)]
#[path = "readout_tests.rs"]
mod tests;
