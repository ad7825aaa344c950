//! The mirror of a decision, for the OpenAPI document: see [`super::documents`].

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::documents::{FactorDocument, document, words};
use super::readouts::{DoubtDocument, GuardrailStateDocument, IntervalDocument};

words!(
    /// What to do.
    ActionDocument as Action {
        /// Send the decided variants to everybody.
        Ship,
        /// Take another look later.
        KeepTesting,
        /// Send control only: every other variant is shown to do harm.
        StopForHarm,
        /// Find out first why the numbers cannot be trusted, or wait until there are some.
        CannotJudge,
    }
);
words!(
    /// Why something is to be done.
    ReasonCodeDocument as ReasonCode {
        /// A variant is shown to beat control.
        Superior,
        /// It is the best bet by expected value.
        ExpectedValue,
        /// No variant is shown to beat control.
        NotShown,
        /// All guardrails of the variant are shown to be kept.
        GuardrailsKept,
        /// A guardrail is neither shown to be kept nor to be broken.
        GuardrailUnproven,
        /// A guardrail is shown to be broken.
        GuardrailBroken,
        /// A variant is shown to be worse than control.
        Harm,
        /// Going on is unlikely to gain one percent more; it is no claim that a variant is better.
        RemainingValue,
        /// Recipients' windows are not over yet.
        Immature,
        /// There are too few outcomes for any test to be trusted.
        TooFewOutcomes,
        /// There is nothing to judge by: nobody's window is over, or nothing happened.
        NoData,
        /// The variants do not have the sizes they were meant to have.
        SampleRatioMismatch,
        /// Messages of some variants did not get as far as those of others.
        FunnelMismatch,
        /// What recipients did before their windows were over shows something, as finished experiments tell.
        EarlyShown,
        /// What recipients did before their windows were over decides nothing.
        EarlyNotShown,
    }
);
document!(
    /// A reason, for programs and for people.
    ReasonDocument as Reason {
        /// For programs.
        code: ReasonCodeDocument,
        /// For people.
        sentence: String,
    }
);
document!(
    /// What is believed of one variant, overall or in one market, against control.
    ForecastDocument as Forecast {
        /// The variant.
        variant: String,
        /// The probability that it is the best of the variants that may be sent.
        probability_best: f64,
        /// What choosing it costs on average: how far the best lies ahead, in the primary metric's unit per recipient.
        expected_loss: f64,
        /// The weight in its forecast of what is common, between 0 and 1: of its effect in all markets and of the other variants. At 1
        /// the forecast rests on nothing of its own.
        pooled: f64,
        /// The lift over control as observed, a fraction: too large for a winner. `null` where control's mean is not greater than zero.
        raw_lift: Option<f64>,
        /// The lift over control to expect, a fraction: shrunken, so that it holds for a winner as well. `null` where control's mean is
        /// not greater than zero.
        lift: Option<f64>,
        /// Of `lift`, at one minus the experiment's alpha; open where there is no lift.
        lift_interval: IntervalDocument,
        /// The gain over control to expect, in the primary metric's unit per recipient: positive is better, also where less is better.
        gain: f64,
        /// Of `gain`, at one minus the experiment's alpha.
        gain_interval: IntervalDocument,
    }
);
document!(
    /// What to send in one market.
    MarketDecisionDocument as MarketDecision {
        /// The market.
        market: String,
        /// What to send there: control unless the action is to ship.
        variant: String,
        /// Recipients there whose window is over, of all variants.
        mature: u64,
        /// The best bet there as of now, which `variant` is when it is shipped. `null` while there is nothing to forecast from.
        best: Option<ForecastDocument>,
    }
);
words!(
    /// What keeps the promise over all looks.
    BoundaryMethodDocument as BoundaryMethod {
        /// The number of recipients is known beforehand: O'Brien-Fleming boundaries by spending. Lan & DeMets, Biometrika 70 (1983).
        GroupSequential,
        /// It is not: a confidence sequence. Waudby-Smith et al., Annals of Statistics 52 (2024).
        AlwaysValid,
    }
);
words!(
    /// What a test shows.
    ShownDocument as Shown {
        /// Better than control.
        Better,
        /// Neither.
        Neither,
        /// Worse than control.
        Worse,
    }
);
document!(
    /// A variant against control on the primary metric.
    BoundaryTestDocument as BoundaryTest {
        /// The variant.
        variant: String,
        /// How far it is ahead of control in standard errors: positive is better, also where less is better. `null` where it cannot be
        /// computed.
        statistic: Option<f64>,
        /// It is shown to be better from here on, and to be worse from minus this. `null` where it cannot be computed.
        boundary: Option<f64>,
        /// The lift over control, an interval that holds at all looks together; open where the lift cannot be told.
        lift_interval: IntervalDocument,
        /// The natural logarithm of the e-value against no difference, which is valid whenever it was decided to look. `null` where it
        /// cannot be computed.
        log_e_value: Option<f64>,
        /// What is shown.
        shown: ShownDocument,
    }
);
document!(
    /// How far an experiment is.
    InformationDocument as Information {
        /// Recipients whose window is over.
        mature: u64,
        /// How many recipients there are to be; `null` in a triggered flow.
        planned: Option<u64>,
        /// `mature` over `planned`, at most 1.
        fraction: Option<f64>,
        /// What keeps the promise over all looks.
        method: BoundaryMethodDocument,
        /// Whether all planned recipients count.
        is_last: bool,
        /// The share of the primary metric's variance that was taken out by what recipients did before; `null` without `cuped`.
        variance_removed: Option<f64>,
        /// The test of every variant but control on the primary metric, in the experiment's order.
        tests: Vec<BoundaryTestDocument>,
    }
);
document!(
    /// A guardrail of a variant at this look.
    GuardrailStandingDocument as GuardrailStanding {
        /// The variant.
        variant: String,
        /// The guardrail's metric.
        metric: String,
        /// How much worse, relative to control, is tolerated.
        margin: f64,
        /// What is known, at boundaries that hold over all looks.
        state: GuardrailStateDocument,
        /// How far it is ahead of control in standard errors: negative is harm. `null` where it cannot be computed.
        statistic: Option<f64>,
        /// It is harm from minus this on. `null` where it cannot be computed.
        boundary: Option<f64>,
    }
);
document!(
    /// What a factor makes of the primary metric, or what two make together beyond what each makes by itself.
    FactorEffectDocument as FactorEffect {
        /// The factor; two where it is an interaction.
        factors: Vec<FactorDocument>,
        /// The level of each.
        levels: Vec<String>,
        /// The level of each that it is compared with: the control's.
        baseline: Vec<String>,
        /// In the primary metric's unit per recipient, on average over the other factors: of one factor what its level brings more than
        /// the baseline; of two how much more the first one's level brings at the second one's level than at its baseline.
        difference: f64,
        /// Of `difference`: it holds at all looks and for all effects together.
        interval: IntervalDocument,
        /// The difference in standard errors: positive is better, also where less is better.
        statistic: f64,
        /// It is shown from here on. `null` where it cannot be computed.
        boundary: Option<f64>,
        /// What is shown.
        shown: ShownDocument,
        /// For people.
        sentence: String,
    }
);
document!(
    /// What to do after a look, and why. The same look gives the same bytes; no number in it is NaN or infinite.
    DecisionDocument as Decision {
        /// What to do.
        action: ActionDocument,
        /// What a manager reads.
        sentence: String,
        /// Why, the most important first.
        reasons: Vec<ReasonDocument>,
        /// What to send where no market says otherwise: control unless the action is to ship.
        variant: String,
        /// Whether `variant` is shown to beat control, at a boundary that keeps alpha over all looks and variants together.
        shown: bool,
        /// Variants that are not to be sent any more, whatever the action: shown to do harm. In the experiment's order.
        stopped: Vec<String>,
        /// The best bet overall as of now, which `variant` is when it is shipped. `null` while there is nothing to forecast from.
        best: Option<ForecastDocument>,
        /// What knowing the best variant of every market would add on average, as a share of what the best bets bring: the potential
        /// value remaining. `null` where what they bring cannot be told from zero.
        remaining_value: Option<f64>,
        /// Every variant overall, control first, then in the experiment's order; those that are stopped are missing.
        arms: Vec<ForecastDocument>,
        /// Every market, by name.
        markets: Vec<MarketDecisionDocument>,
        /// How far the experiment is, and what was tested against which boundary.
        information: InformationDocument,
        /// The guardrails of every variant but control, in the experiment's order.
        guardrails: Vec<GuardrailStandingDocument>,
        /// What each factor makes by itself, and each pair of them together: where every combination of at least two factors' levels is
        /// a variant, else empty.
        factors: Vec<FactorEffectDocument>,
        /// What a careful reader should know: whether recipients or messages were lost on the way, overall, by market and by day.
        doubts: Vec<DoubtDocument>,
        /// What is known before windows are over; `null` where the experiment has no early looks, or needs none any more.
        early: Option<super::series::EarlyLookDocument>,
    }
);
