//! An experiment, what was observed of it, and decisions of every kind, written by hand.

use std::collections::BTreeMap;

use stats::{Interval, Moments};
use vocabulary::{Currency, Experiment, VariantName};

use super::{PageInput, Rest, page};
use crate::decision::*;
use crate::observe::{ArmObservations, Funnel, Observations};
use crate::readout::{Doubt, GuardrailState, Readout, readout};

/// By how much, and from where to where.
pub(super) type Range = (f64, f64, f64);

/// All that a page is made of.
pub(super) struct Case {
    pub(super) experiment: Experiment,
    pub(super) readout: Readout,
    pub(super) decision: Decision,
    pub(super) rest: Option<Rest>,
}

impl Case {
    pub(super) fn page(&self) -> String {
        let Self { experiment, readout, decision, rest } = self;
        page(&PageInput { experiment, readout, decision, rest: *rest, series: None, waiting: None })
    }
}

pub(super) fn name(name: &str) -> VariantName {
    VariantName::new(name).unwrap()
}

pub(super) fn experiment(primary: &str) -> Experiment {
    crate::parse(&format!(
        "experiment: spring-subject\nquestion: Does a bold subject line sell more?\nfactors: [copy]\n\
         variants: [{{name: plain}}, {{name: bold}}]\nprimary: {primary}\nmetrics:\n\
         \x20 - {{name: revenue, outcome: order, measure: amount}}\n\
         \x20 - {{name: buyers, outcome: order, measure: occurred}}\n\
         \x20 - {{name: orders, outcome: order, measure: count}}\n\
         \x20 - {{name: left, outcome: unsubscribe, measure: occurred, lower_is_better: true}}\n\
         guardrails: [{{metric: {}, margin: 0.1}}]\n",
        if primary == "left" { "buyers" } else { "left" }
    ))
    .unwrap()
}

/// What 20,000 people did who were assigned half and half; of `counted` of each half the window is over.
pub(super) fn observations(counted: u64) -> Observations {
    let arm = |variant: &str, buyers: u64, left: u64| {
        let buyers = buyers * counted / 10_000;
        let paid = 40.0 * buyers as f64;
        let metrics = [
            ("revenue", Moments::from_sums(counted, paid, 60.0 * paid).ok()),
            ("buyers", Some(Moments::from_successes(counted, buyers))),
            ("orders", Some(Moments::from_successes(counted, buyers))),
            ("left", Some(Moments::from_successes(counted, left * counted / 10_000))),
        ];
        let metrics = metrics.into_iter().filter_map(|(name, moments)| Some((name.to_owned(), moments?)));
        let funnel = Funnel {
            assigned: counted,
            sent: counted * 99 / 100,
            accepted: counted * 97 / 100,
            opened: counted * 31 / 100,
            clicked: counted * 6 / 100,
            ordered: buyers,
        };
        ArmObservations {
            variant: name(variant),
            assigned: 10_000,
            mature: counted,
            metrics: metrics.collect(),
            ratios: BTreeMap::new(),
            before: None,
            adjusted: None,
            bounced: 0,
            funnel,
        }
    };
    Observations {
        versions: BTreeMap::from([("assignments".to_owned(), 31), ("events".to_owned(), 1207)]),
        engine: "sendlab 0.1.0".to_owned(),
        as_of: "2026-03-09T06:30:00Z".parse().unwrap(),
        arms: vec![arm("plain", 400, 50), arm("bold", 450, 52)],
        immature: 0,
        crossovers: 0,
        strangers: 0,
        unconverted_orders: 0,
        erased_units: 0,
    }
}

pub(super) fn forecast(variant: &str, best: f64, raw: f64, lift: Range, gain: Range, loss: f64) -> Forecast {
    Forecast {
        variant: name(variant),
        probability_best: best,
        expected_loss: loss,
        pooled: 0.25,
        raw_lift: Some(raw),
        lift: Some(lift.0),
        lift_interval: Interval::closed(lift.1, lift.2),
        gain: gain.0,
        gain_interval: Interval::closed(gain.1, gain.2),
    }
}

pub(super) fn bold() -> Forecast {
    forecast("bold", 0.95, 0.125, (0.08, 0.01, 0.15), (0.035, 0.0075, 0.0634), 0.002)
}

pub(super) fn plain() -> Forecast {
    forecast("plain", 0.05, 0.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0.037)
}

pub(super) fn market(market: &str, variant: &str, mature: u64, best: Option<Forecast>) -> MarketDecision {
    MarketDecision { market: market.to_owned(), variant: name(variant), mature, best }
}

pub(super) fn doubt(code: &str, sentence: &str) -> Doubt {
    Doubt { code: code.to_owned(), sentence: sentence.to_owned() }
}

pub(super) fn reason(code: ReasonCode, sentence: &str) -> Reason {
    Reason { code, sentence: sentence.to_owned() }
}

/// `bold` is shipped after all 20,000 people.
pub(super) fn ship() -> Case {
    let experiment = experiment("revenue");
    let mut readout = readout(&experiment, &observations(10_000), "ro-7");
    readout.doubts.clear();
    let test = BoundaryTest {
        log_e_value: None,
        variant: name("bold"),
        statistic: Some(2.4),
        boundary: Some(1.98),
        lift_interval: Interval::closed(0.004, 0.246),
        shown: Shown::Better,
    };
    let guardrail = GuardrailStanding {
        variant: name("bold"),
        metric: "left".to_owned(),
        margin: 0.1,
        state: GuardrailState::Kept,
        statistic: Some(-0.2),
        boundary: Some(2.1),
    };
    let decision = Decision {
        action: Action::Ship,
        sentence: "Send `bold` to everybody: it sells more than `plain`.".to_owned(),
        reasons: vec![reason(ReasonCode::Superior, "`bold` beats `plain` clearly.")],
        variant: name("bold"),
        shown: true,
        stopped: vec![],
        best: Some(bold()),
        remaining_value: Some(0.012),
        arms: vec![plain(), bold()],
        markets: vec![],
        early: None,
        information: Information {
            variance_removed: None,
            mature: 20_000,
            planned: Some(20_000),
            fraction: Some(1.0),
            method: BoundaryMethod::GroupSequential,
            is_last: true,
            tests: vec![test],
        },
        guardrails: vec![guardrail],
        factors: vec![],
        doubts: vec![],
    };
    let rest = Some(Rest { recipients: 120_000, currency: Currency::new("EUR").unwrap() });
    Case { experiment, readout, decision, rest }
}

/// 12,000 of 40,000 people are counted, 20,000 assigned.
pub(super) fn keep_testing() -> Case {
    let mut case = ship();
    case.readout = readout(&case.experiment, &observations(6_000), "ro-3");
    let decision = &mut case.decision;
    decision.action = Action::KeepTesting;
    decision.sentence = "Keep testing: nothing is shown yet.".to_owned();
    decision.reasons = vec![reason(ReasonCode::NotShown, "No variant is shown to beat `plain` yet.")];
    decision.variant = name("plain");
    decision.shown = false;
    decision.information.tests[0].shown = Shown::Neither;
    decision.information = Information {
        mature: 12_000,
        planned: Some(40_000),
        fraction: Some(0.3),
        is_last: false,
        ..decision.information.clone()
    };
    decision.guardrails[0].state = GuardrailState::Unproven;
    case
}

/// `bold` does harm.
pub(super) fn stop_for_harm() -> Case {
    let mut case = ship();
    let mut observations = observations(10_000);
    let fewer = observations.arms[1].metrics["revenue"];
    let fewer = Moments { mean: fewer.mean - 0.6, ..fewer };
    observations.arms[1].metrics.insert("revenue".to_owned(), fewer);
    case.readout = readout(&case.experiment, &observations, "ro-4");
    let decision = &mut case.decision;
    decision.action = Action::StopForHarm;
    decision.sentence = "Stop: `bold` does harm.".to_owned();
    decision.reasons = vec![reason(ReasonCode::Harm, "`bold` is worse than `plain`.")];
    decision.variant = name("plain");
    decision.shown = false;
    decision.stopped = vec![name("bold")];
    decision.best = Some(Forecast { probability_best: 1.0, expected_loss: 0.0, ..plain() });
    decision.arms = vec![Forecast { probability_best: 1.0, expected_loss: 0.0, ..plain() }];
    decision.information.tests[0].shown = Shown::Worse;
    decision.guardrails[0].state = GuardrailState::Broken;
    case
}

/// A thousand people too many are in `plain`.
pub(super) fn cannot_judge() -> Case {
    let mut case = ship();
    let mut observations = observations(10_000);
    observations.arms[0].assigned = 11_000;
    case.readout = readout(&case.experiment, &observations, "ro-5");
    let decision = &mut case.decision;
    decision.action = Action::CannotJudge;
    decision.sentence = "Cannot judge: the groups have the wrong sizes.".to_owned();
    decision.reasons = vec![reason(ReasonCode::SampleRatioMismatch, "The groups have the wrong sizes.")];
    decision.variant = name("plain");
    decision.shown = false;
    case
}

/// Nobody was assigned.
pub(super) fn no_data() -> Case {
    let mut case = ship();
    case.readout = readout(&case.experiment, &Observations { arms: vec![], ..observations(0) }, "ro-0");
    let decision = &mut case.decision;
    decision.action = Action::CannotJudge;
    decision.sentence = "Cannot judge: there is nothing yet.".to_owned();
    decision.reasons = vec![reason(ReasonCode::NoData, "Nobody’s window is over.")];
    decision.variant = name("plain");
    decision.shown = false;
    decision.best = None;
    decision.remaining_value = None;
    decision.arms = vec![];
    decision.information.mature = 0;
    decision.information.is_last = false;
    decision.information.fraction = Some(0.0);
    decision.information.tests = vec![];
    decision.guardrails = vec![];
    case
}
