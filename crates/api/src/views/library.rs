//! The mirror of the learning library, for the OpenAPI document: see [`super::documents`].

use experiment::Lesson;
use experiment::library::{Entry, Pattern};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decisions::ShownDocument;
use super::documents::{ChannelDocument, FactorDocument, MeasureDocument, document};
use super::readouts::IntervalDocument;

document!(
    /// When an experiment was decided.
    SeasonDocument as Season {
        /// The year.
        year: i16,
        /// The month, 1 to 12.
        month: u8,
        /// The quarter, 1 to 4.
        quarter: u8,
    }
);
document!(
    /// What one finished experiment taught about one of its variants, overall or in one market.
    LessonDocument as Lesson {
        /// The experiment.
        experiment: String,
        /// The variant.
        variant: String,
        /// What it is compared with.
        control: String,
        /// The market; `null` for all recipients.
        #[schema(required = true)]
        market: Option<String>,
        /// The experiment's tags.
        tags: Vec<String>,
        /// In which of the experiment's factors the variant differs from control.
        factors: Vec<FactorDocument>,
        /// The channel that the variant names.
        #[schema(required = true)]
        channel: Option<ChannelDocument>,
        /// When it was decided.
        season: SeasonDocument,
        /// The primary metric.
        metric: String,
        /// Its measure.
        measure: MeasureDocument,
        /// Whether less of it is better.
        lower_is_better: bool,
        /// Control's mean.
        control_mean: f64,
        /// Its standard error, as a fraction of it.
        control_error: f64,
        /// Recipients of both.
        recipients: u64,
        /// The lift over control as observed, a fraction.
        lift: f64,
        /// Of `lift`.
        standard_error: f64,
        /// How far it is ahead of control in standard errors: positive is better, also where less is better.
        statistic: f64,
        /// Two-sided.
        p_value: f64,
        /// The same by Holm over the experiment's variants.
        p_adjusted: f64,
        /// The natural logarithm of an e-value, which is evidence whenever somebody looks.
        log_e_value: f64,
        /// How many variants the experiment compared with control.
        comparisons: u32,
        /// What was shown.
        shown: ShownDocument,
        /// Whether it was shipped.
        shipped: bool,
        /// When it was decided.
        #[schema(format = DateTime)]
        decided_at: String,
        /// What its recipients had done by early ages; overall only.
        early: Vec<super::series::EarlyEffectDocument>,
    }
);
document!(
    /// A variant of a finished experiment: what it seems to have done beside what it did, as far as can be told.
    EntryDocument as LibraryEntry {
        /// What was observed; its `lift` is the raw one.
        lesson: LessonDocument,
        /// The lift to believe, a fraction: shrunken in the light of the others that are alike.
        lift: f64,
        /// Of `lift`.
        standard_deviation: f64,
        /// Of `lift`, at 95 %.
        interval: IntervalDocument,
        /// The chance that the variant is better than control.
        certainty: f64,
        /// The weight in `lift` of what the others did, between 0 and 1.
        shrinkage: f64,
        /// How many finished experiments it was read in the light of, its own included.
        experiments: u64,
    }
);

/// What experiments have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "by", content = "value", deny_unknown_fields)]
#[schema(as = LibraryTheme)]
pub enum ThemeDocument {
    /// A tag.
    Tag(String),
    /// What the variants change.
    Factor(FactorDocument),
    /// The channel the variants name.
    Channel(ChannelDocument),
    /// Recipients of one market.
    Market(String),
    /// The quarter of the year in which they were decided, 1 to 4, of any year.
    Quarter(u8),
}
document!(
    /// Lifts together, as fractions.
    PooledDocument as PooledLift {
        /// The mean lift of experiments, by random effects.
        mean: f64,
        /// Of `mean`, at 95 %.
        interval: IntervalDocument,
        /// Where the true lift of the next experiment lies, at 95 %.
        #[schema(required = true)]
        prediction_interval: Option<IntervalDocument>,
        /// How far true lifts of experiments lie apart: their standard deviation.
        between_standard_deviation: f64,
        /// The share of what the lifts differ by that is not noise, 0 to 1.
        heterogeneity: f64,
    }
);
document!(
    /// What finished experiments that have something in common did. A hint for the next test and no proof.
    PatternDocument as LibraryPattern {
        /// The measure of their primary metrics.
        measure: MeasureDocument,
        /// Whether less of it is better.
        lower_is_better: bool,
        /// What they have in common.
        theme: ThemeDocument,
        /// How many experiments there are.
        experiments: u64,
        /// How many variants of theirs.
        variants: u64,
        /// Their lifts together; `null` with fewer than three experiments.
        #[schema(required = true)]
        pooled: Option<PooledDocument>,
    }
);

/// What all finished experiments taught.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = Library)]
pub struct LibraryView {
    /// Every variant overall, by experiment and variant.
    #[schema(value_type = Vec<EntryDocument>)]
    pub entries: Vec<Entry>,
    /// What works, by tag, factor, channel, market and quarter.
    #[schema(value_type = Vec<PatternDocument>)]
    pub patterns: Vec<Pattern>,
    /// What was observed in single markets.
    #[schema(value_type = Vec<LessonDocument>)]
    pub markets: Vec<Lesson>,
}
document!(
    /// A variant that its experiment has shown to beat control.
    WinnerDocument as ProgrammeWinner {
        /// The experiment.
        experiment: String,
        /// The variant.
        variant: String,
        /// The primary metric.
        metric: String,
        /// The lift as observed, a fraction.
        raw_lift: f64,
        /// The lift to believe.
        lift: f64,
        /// The smallest false discovery rate at which it stands.
        p_adjusted: f64,
        /// Whether it stands at the programme's.
        stands: bool,
    }
);
document!(
    /// The winners when all experiments are taken together.
    TogetherDocument as ProgrammeWinners {
        /// What a manager reads.
        sentence: String,
        /// How many winners stand.
        standing: u64,
        /// The winners that were shown, the surest first.
        winners: Vec<WinnerDocument>,
    }
);
document!(
    /// What variants that were shipped bring together, each over its own control.
    ExpectedTotalDocument as ProgrammeTotal {
        /// The measure of their primary metrics.
        measure: MeasureDocument,
        /// Whether less of it is better.
        lower_is_better: bool,
        /// How many variants were shipped.
        shipped: u64,
        /// The sum of their lifts as observed, as fractions: too large.
        raw_lift: f64,
        /// The sum of their lifts to believe.
        lift: f64,
    }
);
document!(
    /// All finished experiments together: which winners stand when so many were looked for.
    ProgrammeDocument as Programme {
        /// The false discovery rate that is accepted: the expected share of false winners among those that stand.
        alpha: f64,
        /// How many experiments are finished of which a lift can be told.
        experiments: u64,
        /// How many of them showed a winner.
        shown: u64,
        /// By p-values and Benjamini & Hochberg: more stand, where experiments are independent and ended as planned.
        by_p_value: TogetherDocument,
        /// By e-values: however experiments depend on each other, and whenever they were ended.
        by_e_value: TogetherDocument,
        /// What all that was shipped is expected to bring, by kind of primary metric.
        expected: Vec<ExpectedTotalDocument>,
    }
);
