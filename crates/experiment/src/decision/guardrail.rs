//! Guardrails at a look that is one of many: kept, broken, or not proven either way.
//!
//! Harm is to be seen early, so its boundary spends alpha nearly evenly over the looks, shared among the variants so that chance alone
//! seldom stops one. Each guardrail stands by itself. That a margin is kept is a claim, and is made at an O'Brien-Fleming boundary.

use stats::non_inferior;
use stats::sequential::group::{Sides, Spending};
use vocabulary::{Experiment, Guardrail, Metric, VariantName};

use super::boundary::{Rule, outcomes, statistic};
use super::{GuardrailStanding, Look};
use crate::readout::GuardrailState;

/// With fewer outcomes in both arms nothing is called harm.
const OUTCOMES_MIN: f64 = 10.0;

/// Every guardrail of every variant but control, in the experiment's order.
pub(super) fn guardrails(experiment: &Experiment, look: &Look<'_>, rule: &Rule) -> Vec<GuardrailStanding> {
    let others = experiment.others();
    let of_variant = |variant: &VariantName| {
        let standings = experiment.guardrails.iter().filter_map(|guardrail| {
            let metric = experiment.metrics.iter().find(|metric| metric.name == guardrail.metric)?;
            Some(standing(experiment, look, rule, (guardrail, metric), variant))
        });
        standings.collect::<Vec<_>>()
    };
    others.flat_map(of_variant).collect()
}

fn standing(
    experiment: &Experiment,
    look: &Look<'_>,
    rule: &Rule,
    (guardrail, metric): (&Guardrail, &Metric),
    variant: &VariantName,
) -> GuardrailStanding {
    let control = experiment.control();
    let (of_control, of_variant) = (look.overall.comparable(control, metric), look.overall.comparable(variant, metric));
    let units = of_control.count as f64 + of_variant.count as f64;
    let alpha_each = experiment.alpha / (experiment.variants.len() - 1).max(1) as f64;
    let statistic = statistic(&of_control, &of_variant, metric.lower_is_better).ok();
    let boundary = rule.critical_value(Spending::PocockSpending, alpha_each, Sides::Two, units).ok();
    let kept = non_inferior(&of_control, &of_variant, guardrail.margin, metric.lower_is_better, experiment.alpha)
        .and_then(|test| {
            Ok(test.statistic >= rule.critical_value(Spending::ObrienFlemingSpending, experiment.alpha, Sides::One, units)?)
        })
        .unwrap_or(false);
    let enough = [control, variant].iter().any(|arm| outcomes(look.overall, arm, metric) >= OUTCOMES_MIN);
    let is_worse = enough && statistic.zip(boundary).is_some_and(|(statistic, boundary)| statistic <= -boundary);
    let state = match (kept, is_worse) {
        (true, _) => GuardrailState::Kept,
        (false, true) => GuardrailState::Broken,
        (false, false) => GuardrailState::Unproven,
    };
    GuardrailStanding {
        variant: variant.clone(),
        metric: metric.name.clone(),
        margin: guardrail.margin,
        state,
        statistic,
        boundary,
    }
}
