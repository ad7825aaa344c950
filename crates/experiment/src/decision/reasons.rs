//! A decision in words: its reasons, and the one sentence a manager reads.

use vocabulary::{Experiment, Metric, VariantName};

use super::boundary::too_few_outcomes;
use super::funnel::{FUNNEL_MISMATCH, SRM_BY_DAY, SRM_BY_MARKET};
use super::{Action, BoundaryTest, Decision, Forecast, Look, REMAINING_VALUE_MIN, Reason, ReasonCode, Shown};
use crate::readout::GuardrailState;
use crate::words::{count, difference, percent, rounded, signed_percent};

/// Fills in the reasons and the sentence.
pub(super) fn explain(experiment: &Experiment, look: &Look<'_>, is_mismatch: bool, decision: &mut Decision) {
    let mut reasons = Vec::new();
    if let Some(early) = &decision.early {
        let code = if early.decides { ReasonCode::EarlyShown } else { ReasonCode::EarlyNotShown };
        add(&mut reasons, code, early.sentence.clone());
    }
    if is_mismatch {
        add(&mut reasons, ReasonCode::SampleRatioMismatch, "The variants do not have the sizes they were meant to have.");
    } else if decision.information.mature == 0 {
        let sentence = format!("No recipient's window of {} hours is over yet.", experiment.window_hours);
        add(&mut reasons, ReasonCode::NoData, sentence);
    } else {
        about_choice(experiment, decision, &mut reasons);
        about_harm(experiment, decision, &mut reasons);
        about_guardrails(decision, &mut reasons);
        about_time(experiment, look, decision, &mut reasons);
    }
    about_losses(decision, &mut reasons);
    decision.sentence = sentence(experiment, decision, is_mismatch);
    decision.reasons = reasons;
}

fn add(reasons: &mut Vec<Reason>, code: ReasonCode, sentence: impl Into<String>) {
    reasons.push(Reason { code, sentence: sentence.into() });
}

fn names<'a>(variants: impl Iterator<Item = &'a VariantName>) -> String {
    variants.map(|variant| format!("`{variant}`")).collect::<Vec<_>>().join(", ")
}

fn of(tests: &[BoundaryTest], shown: Shown) -> impl Iterator<Item = &VariantName> {
    tests.iter().filter(move |test| test.shown == shown).map(|test| &test.variant)
}

/// What is shown, and what is the best bet.
fn about_choice(experiment: &Experiment, decision: &Decision, reasons: &mut Vec<Reason>) {
    let (control, primary) = (experiment.control(), &experiment.primary);
    let better = names(of(&decision.information.tests, Shown::Better));
    let Some(best) = &decision.best else {
        if decision.action != Action::StopForHarm {
            add(reasons, ReasonCode::NoData, format!("There is nothing on {primary} yet that differs between recipients."));
        }
        return;
    };
    let expected_value = (decision.action == Action::Ship && !decision.shown).then(|| {
        let chance = percent(rounded(best.probability_best));
        format!("`{}` is the best bet on {primary}; the chance that it is the best of all is {chance}.", best.variant)
    });
    if let Some(sentence) = expected_value {
        add(reasons, ReasonCode::ExpectedValue, sentence);
    }
    if better.is_empty() {
        add(reasons, ReasonCode::NotShown, format!("No variant is shown to beat `{control}` on {primary}."));
    } else {
        add(reasons, ReasonCode::Superior, format!("Shown to beat `{control}` on {primary}: {better}."));
    }
}

fn about_harm(experiment: &Experiment, decision: &Decision, reasons: &mut Vec<Reason>) {
    let worse = names(of(&decision.information.tests, Shown::Worse));
    if !worse.is_empty() {
        let (control, primary) = (experiment.control(), &experiment.primary);
        add(reasons, ReasonCode::Harm, format!("Shown to be worse than `{control}` on {primary}: {worse}."));
    }
    for rail in decision.guardrails.iter().filter(|rail| rail.state == GuardrailState::Broken) {
        let (variant, metric) = (&rail.variant, &rail.metric);
        add(reasons, ReasonCode::GuardrailBroken, format!("`{variant}` does harm on {metric}, which it must not."));
    }
}

/// Whether what is shipped keeps its guardrails.
fn about_guardrails(decision: &Decision, reasons: &mut Vec<Reason>) {
    let own = || decision.guardrails.iter().filter(|rail| decision.action == Action::Ship && rail.variant == decision.variant);
    if own().next().is_none() {
        return;
    }
    let unproven: Vec<&str> =
        own().filter(|rail| rail.state == GuardrailState::Unproven).map(|rail| rail.metric.as_str()).collect();
    let variant = &decision.variant;
    if unproven.is_empty() {
        add(reasons, ReasonCode::GuardrailsKept, format!("`{variant}` is shown to keep all guardrails."));
    } else {
        let sentence =
            format!("There are too few outcomes to show that `{variant}` keeps within the limit on {}.", unproven.join(", "));
        add(reasons, ReasonCode::GuardrailUnproven, sentence);
    }
}

/// Whether going on is worth its while.
fn about_time(experiment: &Experiment, look: &Look<'_>, decision: &Decision, reasons: &mut Vec<Reason>) {
    let primary = experiment.primary_metric();
    if primary.is_some_and(|primary| too_few_outcomes(experiment, look.overall, primary)) {
        add(reasons, ReasonCode::TooFewOutcomes, "Some variants have too few outcomes for anything to be shown.");
    }
    let still = match decision.information.planned {
        Some(planned) if !decision.information.is_last => planned.saturating_sub(decision.information.mature),
        Some(_) => 0,
        None => look.overall.immature,
    };
    if still > 0 {
        add(reasons, ReasonCode::Immature, format!("{} still to come.", count(still, "recipient is", "recipients are")));
    }
    let is_little = decision.remaining_value.is_some_and(|share| share < REMAINING_VALUE_MIN);
    if is_little && decision.action == Action::KeepTesting {
        let least = percent(REMAINING_VALUE_MIN);
        let sentence = format!("Going on is expected to gain less than {least}; ending now would be a bet, and show nothing.");
        add(reasons, ReasonCode::RemainingValue, sentence);
    }
}

/// What was lost on the way.
fn about_losses(decision: &Decision, reasons: &mut Vec<Reason>) {
    for doubt in &decision.doubts {
        match doubt.code.as_str() {
            SRM_BY_MARKET | SRM_BY_DAY => add(reasons, ReasonCode::SampleRatioMismatch, doubt.sentence.clone()),
            FUNNEL_MISMATCH => add(reasons, ReasonCode::FunnelMismatch, doubt.sentence.clone()),
            _ => {}
        }
    }
}

fn sentence(experiment: &Experiment, decision: &Decision, is_mismatch: bool) -> String {
    let (control, primary) = (experiment.control(), &experiment.primary);
    match decision.action {
        Action::CannotJudge if is_mismatch => {
            "Find out first why recipients are missing: the groups do not have the sizes they were meant to have, so no number can be \
             trusted."
                .to_owned()
        }
        Action::CannotJudge if decision.information.mature == 0 => "Wait: nobody has had the time yet that was set.".to_owned(),
        Action::CannotJudge => format!("Keep `{control}`: nothing happened on {primary} that a choice could rest on."),
        Action::StopForHarm if decision.is_early() => format!("Send `{control}` for now: {}", early(decision)),
        Action::Ship if decision.is_early() => format!("Send `{}` for now: {}", decision.variant, early(decision)),
        Action::StopForHarm => {
            format!("Stop the test and send `{control}`: {} did harm.", names(decision.stopped.iter()))
        }
        Action::KeepTesting => keep_testing(experiment, decision),
        Action::Ship => ship(experiment, decision),
    }
}

/// What the first hours say, within a sentence.
fn early(decision: &Decision) -> String {
    let told = decision.early.as_ref().map(|early| early.sentence.as_str()).unwrap_or_default();
    told.strip_prefix("By ").map_or_else(|| told.to_owned(), |rest| format!("by {rest}"))
}

fn keep_testing(experiment: &Experiment, decision: &Decision) -> String {
    let control = experiment.control();
    let stopped = names(decision.stopped.iter());
    let stop = if stopped.is_empty() { String::new() } else { format!(" Stop {stopped}, which did harm.") };
    let better = names(of(&decision.information.tests, Shown::Better).filter(|variant| !decision.stopped.contains(variant)));
    if better.is_empty() {
        return format!("Keep testing: nothing is shown to beat `{control}` yet.{stop}");
    }
    format!("Keep testing: {better} beat `{control}`, but it is not settled yet what is best in each market.{stop}")
}

fn ship(experiment: &Experiment, decision: &Decision) -> String {
    let (control, variant) = (experiment.control(), &decision.variant);
    let elsewhere = decision.markets.iter().filter(|market| market.variant != *variant).count();
    let markets = decision.markets.len();
    let but = match elsewhere {
        0 => String::new(),
        1 => format!(" In one of {markets} markets another is the better choice."),
        _ => format!(" In {elsewhere} of {markets} markets another is the better choice."),
    };
    let metric = experiment.primary_metric();
    let expected = decision.best.as_ref().zip(metric).map(|(best, metric)| expected(best, metric)).unwrap_or_default();
    if variant == control {
        return format!("Keep `{control}`: nothing is a better bet.{but}");
    }
    if decision.shown {
        return format!("Send `{variant}`: it is shown to beat `{control}`. {expected}{but}");
    }
    format!("Send `{variant}`: it is the best bet, though not shown to beat `{control}`. {expected}{but}")
}

/// What may be expected of the chosen variant.
fn expected(best: &Forecast, metric: &Metric) -> String {
    let sign = if metric.lower_is_better { -1.0 } else { 1.0 };
    let signed = |share: f64| signed_percent(rounded(share));
    match (best.lift, best.lift_interval.lower, best.lift_interval.upper) {
        (Some(lift), Some(lower), Some(upper)) => {
            format!("Expect {} on {}, between {} and {}.", signed(lift), metric.name, signed(lower), signed(upper))
        }
        _ => {
            let open = stats::Interval { lower: None, upper: None };
            format!("Expect {} on {} per recipient.", difference(metric, sign * best.gain, &open), metric.name)
        }
    }
}
