//! What to do after a look: ship, go on, stop for harm, or find out first why nothing can be judged.
//!
//! A readout says what is known; a decision says what to do with it, overall and in each market, at a look that may be one of many.
//! Two questions are kept apart. Whether a variant is *shown* to beat control is answered by a boundary that keeps the experiment's
//! alpha over all looks and all variants: group-sequential where the number of recipients is known beforehand, always valid where it
//! is not. What is *best to send* is answered by expected value, with the spread between variants and between markets integrated
//! over. Before the end only the first decides; at the end the second does, and says so where nothing was shown.

mod boundary;
mod factors;
mod forecast;
mod funnel;
mod guardrail;
mod reasons;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stats::Interval;
use vocabulary::{Experiment, Metric, VariantName};

use crate::early::{self, EarlyLook, Glimpse};
use crate::observe::{ByMarket, Observations};
use crate::readout::{Doubt, GuardrailState};

pub(crate) use boundary::{OUTCOMES_MIN, Rule, Tested, log_e_value_of, outcomes, statistic, step_down};
pub use factors::FactorEffect;
pub(crate) use forecast::{Forecasts, Numbers, best, forecasts, rest};
pub(crate) use funnel::mismatched_markets;
pub use funnel::{FUNNEL_MISMATCH, SRM_BY_DAY, SRM_BY_MARKET, funnel};

/// Below this share of what the best bets bring, going on is not worth its while.
const REMAINING_VALUE_MIN: f64 = 0.01;

/// What a decision is taken from.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// All recipients.
    pub overall: &'a Observations,
    /// The recipients of each market, at the same moment and age. Empty where markets are not told apart; recipients of `overall` who
    /// are in none of them get what is best overall.
    pub markets: &'a BTreeMap<String, Observations>,
    /// How far messages came of recipients who are not as old, so that a fault is doubted soon after it happened; as of the recipients
    /// above where absent.
    pub arrivals: Option<&'a ByMarket>,
    /// The same by the day on which recipients begin, such as `2026-11-11`; days are not told apart where absent.
    pub days: Option<&'a BTreeMap<String, Observations>>,
    /// What an early look is taken from; none is taken where absent, or where the experiment asks for none.
    pub early: Option<Glimpse<'a>>,
    /// How many recipients the test is to have, where a list makes that known beforehand; `None` in a triggered flow.
    pub planned_units: Option<u64>,
    /// The [`Information::fraction`] of each earlier look that could have decided, in order. Only for planned recipients.
    pub earlier_fractions: &'a [f64],
    /// What is seldom changed.
    pub settings: Settings,
}

impl<'a> Look<'a> {
    /// The first look at these recipients, as usual, from nothing else.
    #[must_use]
    pub fn of(overall: &'a Observations, markets: &'a BTreeMap<String, Observations>, planned_units: Option<u64>) -> Self {
        let settings = Settings::default();
        Self { overall, markets, arrivals: None, days: None, early: None, planned_units, earlier_fractions: &[], settings }
    }
}

/// What is seldom changed of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Without planned recipients: after how many of two variants together a test is to be most sensitive, such as those who are
    /// expected within four weeks.
    pub tuning_units: f64,
    /// Before the end, whether a variant that is shown to beat control is shipped only once little can be gained by learning which
    /// variant is the best of each market.
    pub waits_until_settled: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tuning_units: 10_000.0, waits_until_settled: false }
    }
}

/// What to do after a look, and why. The same look gives the same bytes; no number in it is NaN or infinite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// What to do.
    pub action: Action,
    /// What a manager reads.
    pub sentence: String,
    /// Why, the most important first.
    pub reasons: Vec<Reason>,
    /// What to send where no market says otherwise: control unless the action is to ship.
    pub variant: VariantName,
    /// Whether `variant` is shown to beat control, at a boundary that keeps alpha over all looks and variants together.
    pub shown: bool,
    /// Variants that are not to be sent any more, whatever the action: shown to do harm. In the experiment's order.
    pub stopped: Vec<VariantName>,
    /// The best bet overall as of now, which `variant` is when it is shipped. `None` while there is nothing to forecast from.
    pub best: Option<Forecast>,
    /// What knowing the best variant of every market would add on average, as a share of what the best bets bring: the potential
    /// value remaining. `None` where what they bring cannot be told from zero.
    pub remaining_value: Option<f64>,
    /// Every variant overall, control first, then in the experiment's order; those that are stopped are missing.
    pub arms: Vec<Forecast>,
    /// Every market, by name.
    pub markets: Vec<MarketDecision>,
    /// How far the experiment is, and what was tested against which boundary.
    pub information: Information,
    /// The guardrails of every variant but control, in the experiment's order.
    pub guardrails: Vec<GuardrailStanding>,
    /// What each factor makes by itself, and each pair of them together: where every combination of at least two factors' levels is a
    /// variant, else empty.
    #[serde(default)]
    pub factors: Vec<FactorEffect>,
    /// What a careful reader should know: whether recipients or messages were lost on the way, overall, by market and by day.
    pub doubts: Vec<Doubt>,
    /// What is known before windows are over; `None` where the experiment has no early looks, or needs none any more.
    #[serde(default)]
    pub early: Option<EarlyLook>,
}

impl Decision {
    /// Whether it rests on what recipients did before their windows were over: then it is for now, and the test goes on.
    #[must_use]
    pub fn is_early(&self) -> bool {
        self.early.as_ref().is_some_and(|early| early.decides)
    }

    /// Whether it ends the experiment: it is to ship or to stop, and not only for now.
    #[must_use]
    pub fn ends(&self) -> bool {
        matches!(self.action, Action::Ship | Action::StopForHarm) && !self.is_early()
    }
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Send the decided variants to everybody.
    Ship,
    /// Take another look later.
    KeepTesting,
    /// Send control only: every other variant is shown to do harm.
    StopForHarm,
    /// Find out first why the numbers cannot be trusted, or wait until there are some.
    CannotJudge,
}

/// A reason, for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// For programs.
    pub code: ReasonCode,
    /// For people.
    pub sentence: String,
}

/// Why something is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReasonCode {
    /// A variant is shown to beat control.
    Superior,
    /// It is the best bet by expected value.
    ExpectedValue,
    /// No variant is shown to beat control (yet).
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

/// What is believed of one variant, overall or in one market, against control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// The variant.
    pub variant: VariantName,
    /// The probability that it is the best of the variants that may be sent.
    pub probability_best: f64,
    /// What choosing it costs on average: how far the best lies ahead, in the primary metric's unit per recipient.
    pub expected_loss: f64,
    /// The weight in its forecast of what is common, between 0 and 1: of its effect in all markets and of the other variants. At 1
    /// the forecast rests on nothing of its own.
    pub pooled: f64,
    /// The lift over control as observed, a fraction: too large for a winner. `None` where control's mean is not greater than zero. Where
    /// the experiment has `cuped`, without what was before.
    pub raw_lift: Option<f64>,
    /// The lift over control to expect, a fraction: shrunken, so that it holds for a winner as well. `None` where control's mean is
    /// not greater than zero.
    pub lift: Option<f64>,
    /// Of `lift`, at one minus the experiment's alpha; open where there is no lift.
    pub lift_interval: Interval,
    /// The gain over control to expect, in the primary metric's unit per recipient: positive is better, also where less is better.
    pub gain: f64,
    /// Of `gain`, at one minus the experiment's alpha.
    pub gain_interval: Interval,
}

/// What to send in one market.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MarketDecision {
    /// The market.
    pub market: String,
    /// What to send there: control unless the action is to ship.
    pub variant: VariantName,
    /// Recipients there whose window is over, of all variants.
    pub mature: u64,
    /// The best bet there as of now, which `variant` is when it is shipped. `None` while there is nothing to forecast from.
    pub best: Option<Forecast>,
}

/// How far an experiment is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Information {
    /// Recipients whose window is over.
    pub mature: u64,
    /// How many recipients there are to be; `None` in a triggered flow.
    pub planned: Option<u64>,
    /// `mature` over `planned`, at most 1.
    pub fraction: Option<f64>,
    /// What keeps the promise over all looks.
    pub method: BoundaryMethod,
    /// Whether all planned recipients count.
    pub is_last: bool,
    /// The share of the primary metric's variance that was taken out by what recipients did before; `None` where the experiment has no
    /// `cuped`.
    #[serde(default)]
    pub variance_removed: Option<f64>,
    /// The test of every variant but control on the primary metric, in the experiment's order.
    pub tests: Vec<BoundaryTest>,
}

/// What keeps the promise over all looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoundaryMethod {
    /// The number of recipients is known beforehand: O'Brien-Fleming boundaries by spending. Lan & DeMets, Biometrika 70 (1983).
    GroupSequential,
    /// It is not: a confidence sequence. Waudby-Smith et al., Annals of Statistics 52 (2024).
    AlwaysValid,
}

/// A variant against control on the primary metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BoundaryTest {
    /// The variant.
    pub variant: VariantName,
    /// How far it is ahead of control in standard errors: positive is better, also where less is better. `None` where it cannot be
    /// computed.
    pub statistic: Option<f64>,
    /// It is shown to be better from here on, and to be worse from minus this. `None` where it cannot be computed.
    pub boundary: Option<f64>,
    /// The lift over control, an interval that holds at all looks together; open where the lift cannot be told.
    pub lift_interval: Interval,
    /// The natural logarithm of the e-value against no difference, which is valid whenever it was decided to look. `None` where it cannot
    /// be computed.
    #[serde(default)]
    pub log_e_value: Option<f64>,
    /// What is shown.
    pub shown: Shown,
}

/// What a test shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// Better than control.
    Better,
    /// Neither.
    Neither,
    /// Worse than control.
    Worse,
}

/// A guardrail of a variant at this look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuardrailStanding {
    /// The variant.
    pub variant: VariantName,
    /// The guardrail's metric.
    pub metric: String,
    /// How much worse, relative to control, is tolerated.
    pub margin: f64,
    /// What is known, at boundaries that hold over all looks.
    pub state: GuardrailState,
    /// How far it is ahead of control in standard errors: negative is harm. `None` where it cannot be computed.
    pub statistic: Option<f64>,
    /// It is harm from minus this on. `None` where it cannot be computed.
    pub boundary: Option<f64>,
}

/// What to do after a look. The experiment must have been checked.
#[must_use]
pub fn decide(experiment: &Experiment, look: &Look<'_>) -> Decision {
    let control = experiment.control().clone();
    let (arrived, arrived_by_market) = look.arrivals.map_or((look.overall, look.markets), |of| (&of.overall, &of.markets));
    let mut decision = Decision {
        action: Action::CannotJudge,
        sentence: String::new(),
        reasons: Vec::new(),
        variant: control,
        shown: false,
        stopped: Vec::new(),
        best: None,
        remaining_value: None,
        arms: Vec::new(),
        markets: Vec::new(),
        information: boundary::information(look),
        guardrails: Vec::new(),
        factors: Vec::new(),
        doubts: funnel(experiment, arrived, arrived_by_market),
        early: None,
    };
    if let Some(days) = look.days {
        decision.doubts.extend(funnel::by_day(experiment, arrived, days));
    }
    let primary = experiment.primary_metric();
    let is_mismatch = funnel::is_mismatch(experiment, look.overall, 1);
    if let (Some(primary), true, false) = (primary, decision.information.mature > 0, is_mismatch) {
        judge(experiment, look, primary, &mut decision);
    }
    if let (Some(primary), false) = (primary, is_mismatch) {
        early::consider(experiment, look, primary, &mut decision);
    }
    reasons::explain(experiment, look, is_mismatch, &mut decision);
    decision
}

/// Fills in what is shown, what is believed and what follows.
fn judge(experiment: &Experiment, look: &Look<'_>, primary: &Metric, decision: &mut Decision) {
    let control = experiment.control();
    let rule = Rule::new(look, &decision.information);
    decision.information.tests = boundary::tests(experiment, look, &rule, primary);
    decision.guardrails = guardrail::guardrails(experiment, look, &rule);
    decision.factors = factors::effects(experiment, look, &rule, primary);
    let is_worse = |name: &VariantName| {
        decision.information.tests.iter().any(|test| &test.variant == name && test.shown == Shown::Worse)
            || decision.guardrails.iter().any(|rail| &rail.variant == name && rail.state == GuardrailState::Broken)
    };
    let others = || experiment.others();
    decision.stopped = others().filter(|name| is_worse(name)).cloned().collect();
    let arms: Vec<&VariantName> = [control].into_iter().chain(others().filter(|name| !decision.stopped.contains(name))).collect();
    let unsound = funnel::mismatched_markets(experiment, look.markets);
    let forecasts = forecasts(experiment, &Numbers::of(look, &arms, primary), primary, &arms, &unsound).ok();
    let is_better = |name: &VariantName| {
        decision.information.tests.iter().any(|test| &test.variant == name && test.shown == Shown::Better) && arms.contains(&name)
    };
    (decision.action, decision.variant) = match &forecasts {
        // Of a message and a holdout there is nothing to choose from.
        _ if others().next().is_none() && decision.information.is_last => (Action::Ship, control.clone()),
        _ if others().next().is_none() => (Action::KeepTesting, control.clone()),
        _ if arms.len() == 1 => (Action::StopForHarm, control.clone()),
        None if decision.information.is_last => (Action::CannotJudge, control.clone()),
        None => (Action::KeepTesting, control.clone()),
        Some(forecasts) => act(look, decision.information.is_last, forecasts, control, &is_better),
    };
    decision.shown = is_better(&decision.variant);
    if let Some(forecasts) = forecasts {
        fill_in(look, forecasts, decision);
    }
}

/// What to do where several variants may be sent: at the end the best bet, before it only what is shown.
fn act(
    look: &Look<'_>,
    is_last: bool,
    forecasts: &Forecasts,
    control: &VariantName,
    is_better: &dyn Fn(&VariantName) -> bool,
) -> (Action, VariantName) {
    let shown: Vec<Forecast> = forecasts.overall.iter().filter(|arm| is_better(&arm.variant)).cloned().collect();
    let is_settled = forecasts.remaining_value.is_some_and(|share| share < REMAINING_VALUE_MIN);
    let chosen = if is_last { best(&forecasts.overall) } else { best(&shown) };
    match chosen {
        Some(chosen) if is_last || is_settled || !look.settings.waits_until_settled => (Action::Ship, chosen.variant.clone()),
        _ => (Action::KeepTesting, control.clone()),
    }
}

fn fill_in(look: &Look<'_>, forecasts: Forecasts, decision: &mut Decision) {
    let shipped = (decision.action == Action::Ship).then_some(&decision.variant);
    let is_it = |arm: &&Forecast| shipped == Some(&arm.variant);
    decision.best = forecasts.overall.iter().find(is_it).or_else(|| best(&forecasts.overall)).cloned();
    decision.remaining_value = forecasts.remaining_value;
    let of_market = |(market, arms): (String, Vec<Forecast>)| {
        let best = best(&arms).cloned();
        let sent = best.as_ref().filter(|_| shipped.is_some()).map_or(&decision.variant, |best| &best.variant);
        let mature = look.markets.get(&market).map_or(0, |of| of.arms.iter().map(|arm| arm.mature).sum());
        MarketDecision { variant: sent.clone(), market, mature, best }
    };
    decision.markets = forecasts.markets.into_iter().map(of_market).collect();
    decision.arms = forecasts.overall;
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
