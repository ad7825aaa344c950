//! The mirror of sizes and simulated designs, for the OpenAPI document: see [`super::documents`].

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::documents::{MetricDocument, document, words};

document!(
    /// The test that shows the lift that was asked for.
    WantedDocument as WantedSize {
        /// The lift, a fraction.
        mde: f64,
        /// Contacts of each variant, in the experiment's order.
        units: Vec<u64>,
        /// All of them.
        test_units: u64,
        /// Their share of the list, more than 1 where it is too small.
        share_of_list: f64,
        /// Whether so many can be in the test.
        fits: bool,
        /// How many are in the test on average when it stops, if a variant has the lift.
        expected_units: f64,
        /// How long it takes at most, in days, the last contact's window included.
        days: f64,
        /// The chance that the lift is shown by a test of all who can be in it.
        power: f64,
    }
);
document!(
    /// The test that earns most (Test & Roll).
    ValueSizeDocument as ValueSize {
        /// Contacts of each variant, in the experiment's order.
        units: Vec<u64>,
        /// All of them.
        test_units: u64,
        /// Their share of the list.
        share_of_list: f64,
        /// What the whole list brings, in the metric's unit per recipient.
        expected: f64,
        /// How much more that is than without a test.
        gain_over_no_test: f64,
        /// How much more that is than with a test on half of the list.
        gain_over_half_test: f64,
        /// The chance that another variant than the best is sent to the rest.
        probability_wrong: f64,
    }
);
document!(
    /// The sizes of one analysis.
    DesignSizeDocument as DesignSize {
        /// The standard deviation that the analysis leaves, in the metric's unit.
        sd: f64,
        /// How many contacts can be in the test, all variants together.
        test_units: u64,
        /// The smallest lift, a fraction, that a test of `test_units` shows at the power asked for.
        mde: f64,
        /// How long a test of `test_units` takes, in days, the last contact's window included.
        days: f64,
        /// What the lift that was asked for needs; `null` where none was.
        #[schema(required = true)]
        wanted: Option<WantedDocument>,
        /// What earns most.
        value: ValueSizeDocument,
    }
);
document!(
    /// How large the test should be.
    SizingDocument as Sizing {
        /// What a manager should do.
        sentence: String,
        /// The primary metric.
        metric: MetricDocument,
        /// The contacts of the list.
        contacts: u64,
        /// The mean of the primary metric, in its unit per contact.
        mean: f64,
        /// Its standard deviation between contacts, in its unit.
        sd: f64,
        /// The correlation with the same metric in the 90 days before.
        correlation: f64,
        /// The share of the variance that CUPED leaves.
        variance_left: f64,
        /// How variants are believed to differ, as a share of the mean.
        prior_sd: f64,
        /// The power asked for.
        power: f64,
        /// Analysed as it is, which is what a decision does.
        plain: DesignSizeDocument,
        /// Analysed with what contacts did before taken out.
        cuped: DesignSizeDocument,
    }
);
words!(
    /// What is sent to the rest of the list when the test ends and nothing is shown.
    DecideDocument as DesignDecide {
        /// The variant with the best expected value, as a decision does.
        BestBet,
        /// Control.
        ShownOnly,
    }
);
document!(
    /// What variants are truly worth: drawn anew for each run, or the same in all. One of both.
    EffectsDocument as DesignEffects {
        /// The standard deviation of variants' true means among themselves, control included, as a share of the mean.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sd: Option<f64>,
        /// The lift over control of each other variant, a fraction, in order.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lifts: Option<Vec<f64>>,
    }
);
document!(
    /// A design of a test.
    DesignDocument as Design {
        /// Its name.
        name: String,
        /// How many variants, control included; they share the test equally. 2 where absent.
        #[schema(required = false)]
        variants: u32,
        /// The share of the list that is in the test. This or `units`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        test_share: Option<f64>,
        /// How many contacts are in the test, all variants together.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        units: Option<u64>,
        /// How many equally spaced looks; 5 where absent.
        #[schema(required = false)]
        looks: u32,
        /// The error over all variants and looks together, two-sided; 0.05 where absent.
        #[schema(required = false)]
        alpha: f64,
        /// What is sent to the rest of the list; `best_bet` where absent.
        #[schema(required = false)]
        decide: DecideDocument,
        /// Whether what contacts did before is taken out.
        #[schema(required = false)]
        cuped: bool,
    }
);
document!(
    /// Candidate designs of a test.
    DesignsDocument as Designs {
        /// What variants are truly worth; drawn with a deviation of 3.5 % of the mean where absent.
        #[schema(required = false)]
        effects: EffectsDocument,
        /// How often each design is tried out; 500 where absent.
        #[schema(required = false)]
        runs: u32,
        /// Everything random follows from it.
        #[schema(required = false)]
        seed: u64,
        /// The designs.
        designs: Vec<DesignDocument>,
    }
);
document!(
    /// A mean over runs.
    MonteCarloDocument as MonteCarlo {
        /// The mean.
        mean: f64,
        /// Its standard error: how far chance puts it from what endless runs would give.
        standard_error: f64,
    }
);
document!(
    /// What came of one design.
    SimulatedDesignDocument as SimulatedDesign {
        /// The design.
        design: DesignDocument,
        /// Contacts of each variant at the last look.
        units_per_variant: u64,
        /// The share of the list that is in the test.
        test_share: f64,
        /// Where all variants are the same: the share of runs in which one is shown to be better.
        false_winner_rate: MonteCarloDocument,
        /// The share of runs in which the truly best variant is shown to be better, of those in which control is not the best; `null`
        /// where it always is.
        #[schema(required = true)]
        power: Option<MonteCarloDocument>,
        /// The share of runs in which the truly best variant is sent to the rest of the list.
        picked_best: MonteCarloDocument,
        /// What is lost against sending the truly best variant to the whole list, in the metric's unit per recipient of the list.
        regret: MonteCarloDocument,
        /// The part of `regret` that is lost in the test.
        test_cost: MonteCarloDocument,
        /// How many contacts of the test get another variant than the truly best.
        sent_to_worse: MonteCarloDocument,
        /// How many looks are taken.
        looks: MonteCarloDocument,
        /// By how much the forecast lift of what is picked is too large, as a share of the mean; `null` where control is always picked.
        #[schema(required = true)]
        forecast_bias: Option<MonteCarloDocument>,
        /// The same of the lift as observed.
        #[schema(required = true)]
        raw_bias: Option<MonteCarloDocument>,
    }
);
document!(
    /// What came of all designs.
    SimulatedDocument as Simulated {
        /// Which design is the best by value, for a manager.
        sentence: String,
        /// Everything random followed from it.
        seed: u64,
        /// How many runs each number rests on.
        runs: u32,
        /// The contacts of the list.
        contacts: u64,
        /// The mean of the metric in the past, in its unit per contact.
        mean: f64,
        /// The name of the design with the least regret.
        best: String,
        /// In the order given.
        designs: Vec<SimulatedDesignDocument>,
    }
);
document!(
    /// A cap that follows from the past.
    LearnedCapDocument as LearnedCap {
        /// To be written into the metric.
        cap: f64,
        /// The share of the variance that it takes away.
        variance_saved: f64,
        /// The share of the sum that it takes away.
        sum_lost: f64,
    }
);
document!(
    /// A/A tests: two groups of contacts who are the same.
    MetricCertificateDocument as MetricCertificate {
        /// How many tests.
        runs: u32,
        /// Contacts of each group.
        units: u64,
        /// The share of tests that called a difference.
        false_alarms: f64,
        /// Its standard error.
        standard_error: f64,
        /// The share that is promised at most: the experiment's alpha.
        promised: f64,
        /// Whether it is kept, give or take three standard errors.
        kept: bool,
    }
);
document!(
    /// One metric on the list's past.
    MetricCheckDocument as MetricCheck {
        /// The metric.
        metric: MetricDocument,
        /// Its mean per contact in the past, in its unit; of a ratio that of its numerator.
        mean: f64,
        /// Its standard deviation between contacts, in its unit.
        sd: f64,
        /// How many contacts had another value than most.
        differing: u64,
        /// The largest value a contact had.
        largest: f64,
        /// What a contact should count at most; `null` where a cap would gain nothing, or the past does not tell.
        #[schema(required = true)]
        cap: Option<LearnedCapDocument>,
        /// Whether the test keeps its promise; `null` where nothing can be tested.
        #[schema(required = true)]
        certificate: Option<MetricCertificateDocument>,
        /// Whether it can be tested and keeps the promise.
        passed: bool,
        /// What to do, for people.
        sentence: String,
    }
);
document!(
    /// The metrics of an experiment on a list.
    MetricsCheckDocument as MetricsCheck {
        /// The contacts of the list.
        contacts: u64,
        /// For how many hours their past was looked at.
        window_hours: u32,
        /// In the experiment's order.
        metrics: Vec<MetricCheckDocument>,
        /// Whether every metric can be tested and keeps the promise.
        passed: bool,
    }
);
