//! The mirror of a readout, for the OpenAPI document: see [`super::documents`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::documents::{document, words};

words!(
    /// What a metric is for.
    RoleDocument as Role {
        /// The winner is picked by it.
        Primary,
        /// Tested as well.
        Secondary,
        /// Must not get worse.
        Guardrail,
    }
);
words!(
    /// What is known of a guardrail.
    GuardrailStateDocument as GuardrailState {
        /// Shown to be no worse than the margin.
        Kept,
        /// Too few recipients to tell.
        Unproven,
        /// Worse than control beyond chance, and not shown to stay within the margin.
        Broken,
    }
);
words!(
    /// Which way a verdict went.
    VerdictKindDocument as VerdictKind {
        /// A variant beats control.
        Winner,
        /// All is in and no variant beats control.
        KeepControl,
        /// It cannot be said yet.
        Undecided,
    }
);

document!(
    /// An interval; a side that is `null` is unbounded.
    IntervalDocument as Interval {
        /// The lower end.
        lower: Option<f64>,
        /// The upper end.
        upper: Option<f64>,
    }
);
document!(
    /// The difference of two means with its test.
    EffectDocument as Effect {
        /// Variant minus baseline.
        difference: f64,
        /// The standard error of the difference.
        standard_error: f64,
        /// Difference over standard error.
        statistic: f64,
        /// Of the t distribution; `null` where the normal distribution is used.
        degrees_of_freedom: Option<f64>,
        /// Two-sided.
        p_value: f64,
        /// Of the difference.
        interval: IntervalDocument,
    }
);
document!(
    /// The relative difference, by Fieller.
    LiftDocument as Lift {
        /// As a fraction: 0.1 is 10 % more.
        relative: f64,
        /// Of the lift.
        interval: IntervalDocument,
    }
);
document!(
    /// The test of being worse than the margin.
    NonInferiorityDocument as NonInferiority {
        /// Positive in favour of the variant.
        statistic: f64,
        /// One-sided.
        p_value: f64,
        /// Whether being worse by the margin is ruled out at alpha.
        shown: bool,
    }
);
document!(
    /// A chi-square test.
    ChiSquareDocument as ChiSquare {
        /// The statistic.
        statistic: f64,
        /// Its degrees of freedom.
        degrees_of_freedom: u64,
        /// The p-value.
        p_value: f64,
    }
);
document!(
    /// Why an answer cannot be computed.
    DegenerateDocument as Degenerate {
        /// The reason, to follow "cannot be computed, because".
        why: String,
    }
);

/// Makes the two-way answer of a kind of value.
macro_rules! answer {
    ($(#[$doc:meta])* $name:ident as $schema:ident of $value:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[schema(as = $schema)]
        pub enum $name {
            /// It was computed.
            Computed($value),
            /// It cannot be computed.
            Degenerate(DegenerateDocument),
        }
    };
}
answer!(
    /// An effect, or why there is none.
    EffectAnswer as EffectAnswer of EffectDocument
);
answer!(
    /// A lift, or why there is none.
    LiftAnswer as LiftAnswer of LiftDocument
);
answer!(
    /// A test of a guardrail, or why there is none.
    NonInferiorityAnswer as NonInferiorityAnswer of NonInferiorityDocument
);
answer!(
    /// A test of the arms' sizes, or why there is none.
    ChiSquareAnswer as ChiSquareAnswer of ChiSquareDocument
);

document!(
    /// Distinct mature recipients at each step.
    FunnelDocument as Funnel {
        /// Assigned.
        assigned: u64,
        /// A message was handed over.
        sent: u64,
        /// A provider took it.
        accepted: u64,
        /// At least one open.
        opened: u64,
        /// At least one click.
        clicked: u64,
        /// At least one order.
        ordered: u64,
    }
);
document!(
    /// One variant in numbers.
    ArmDocument as Arm {
        /// The variant.
        variant: String,
        /// Its intended share of the recipients, 0 to 1.
        share: f64,
        /// Recipients assigned to it.
        assigned: u64,
        /// Those of them whose window is over; only they count.
        mature: u64,
        /// The mean of each metric per mature recipient, or its ratio.
        means: BTreeMap<String, f64>,
        /// How far its mature recipients came.
        funnel: FunnelDocument,
    }
);
document!(
    /// Whether a guardrail holds.
    GuardrailCheckDocument as GuardrailCheck {
        /// How much worse, relative to control, is tolerated.
        margin: f64,
        /// The test of being worse by the margin or more.
        non_inferiority: NonInferiorityAnswer,
        /// What follows.
        state: GuardrailStateDocument,
    }
);
document!(
    /// One comparison of two variants on one metric.
    EstimateDocument as Estimate {
        /// The metric.
        metric: String,
        /// The variant that is judged.
        variant: String,
        /// The variant it is compared with.
        baseline: String,
        /// What the metric is for.
        role: RoleDocument,
        /// The baseline's mean.
        mean_baseline: Option<f64>,
        /// The variant's mean.
        mean_variant: Option<f64>,
        /// Variant minus baseline, by Welch; of a ratio with the error of the delta method.
        absolute: EffectAnswer,
        /// Variant over baseline minus one, by Fieller.
        relative: LiftAnswer,
        /// The p-value after Holm; `null` for guardrails.
        p_adjusted: Option<f64>,
        /// Whether the difference is distinguishable from none.
        significant: bool,
        /// Whether the estimate points the good way.
        better: Option<bool>,
        /// For guardrails against control: whether the margin is kept.
        guardrail: Option<GuardrailCheckDocument>,
    }
);
document!(
    /// Whether the arms have the sizes they were meant to have.
    SampleRatioDocument as SampleRatio {
        /// The test of assigned recipients against weights.
        test: ChiSquareAnswer,
        /// It alarms below this p-value.
        threshold: f64,
        /// Whether it alarms.
        mismatch: bool,
    }
);
document!(
    /// What to do.
    VerdictDocument as Verdict {
        /// Which way it went.
        kind: VerdictKindDocument,
        /// The variant to send.
        variant: String,
        /// Why, in a sentence.
        sentence: String,
    }
);
document!(
    /// A reason for care.
    DoubtDocument as Doubt {
        /// For programs, such as `srm`.
        code: String,
        /// For people.
        sentence: String,
    }
);
document!(
    /// Everything that can be said of an experiment at one moment.
    ReadoutDocument as Readout {
        /// Its own id.
        id: String,
        /// The experiment.
        experiment_id: String,
        /// Only outcomes before count.
        #[schema(format = DateTime)]
        as_of: String,
        /// The metric the winner is picked by.
        primary: String,
        /// The share of false alarms accepted over all comparisons together.
        alpha: f64,
        /// The variant the others are compared with.
        control: String,
        /// The variants, in the experiment's order.
        arms: Vec<ArmDocument>,
        /// Every variant against control on every metric, then the other pairs.
        estimates: Vec<EstimateDocument>,
        /// Whether the arms have the sizes they were meant to have.
        sample_ratio: SampleRatioDocument,
        /// What to do.
        verdict: VerdictDocument,
        /// What a careful reader should know before believing the verdict.
        doubts: Vec<DoubtDocument>,
        /// Units that were erased because their people asked for it: what is shown is what is left.
        erased_units: u64,
        /// The version of each table that was read.
        versions: BTreeMap<String, i64>,
        /// What computed it.
        engine: String,
        /// Names the plan that was computed.
        plan_hash: String,
    }
);
