//! Every comparison of two variants on every metric.
//!
//! Three families are corrected for their number by Holm: all variants against control, which decide, and the other pairs and all variants
//! against those who are held out, which only inform. Guardrails stand outside: each must hold by itself, and a correction would make it harder
//! to see harm. Intervals are the plain ones of each comparison.

use stats::adjusted::{Shape, compare};
use stats::lift::non_inferior_pair;
use stats::{Degenerate, Effect, Lift, NonInferiority, fieller_lift, holm, non_inferior, welch};
use vocabulary::{Experiment, Metric, VariantName};

use crate::observe::Observations;
use crate::readout::{Answer, Estimate, GuardrailCheck, GuardrailState, Role};

/// Against control first, then the other pairs, then every variant against the holdout, each in the order of the experiment's metrics.
pub(crate) fn estimates(experiment: &Experiment, observations: &Observations) -> Vec<Estimate> {
    let control = experiment.control();
    let others: Vec<&VariantName> = experiment.others().collect();
    let against_control = others.iter().map(|variant| (*variant, control));
    let other_pairs =
        others.iter().enumerate().flat_map(|(index, baseline)| others[index + 1..].iter().map(|variant| (*variant, *baseline)));
    let family = |pairs: Vec<(&VariantName, &VariantName)>| {
        let per_metric = experiment.metrics.iter().flat_map(|metric| {
            pairs
                .iter()
                .map(|(variant, baseline)| estimate(experiment, observations, metric, variant, baseline))
                .collect::<Vec<_>>()
        });
        corrected(per_metric.collect(), experiment.alpha)
    };
    // What sending brings at all.
    let held_out = experiment.holdout().map(|held_out| &held_out.name);
    let against_nothing =
        held_out.into_iter().flat_map(|held_out| experiment.sending().map(move |variant| (&variant.name, held_out)));
    [family(against_control.collect()), family(other_pairs.collect()), family(against_nothing.collect())].concat()
}

fn estimate(
    experiment: &Experiment,
    observations: &Observations,
    metric: &Metric,
    variant: &VariantName,
    baseline: &VariantName,
) -> Estimate {
    let compared = Compared::new(experiment, observations, metric, variant, baseline);
    let difference = compared.absolute.as_ref().map_or(0.0, |effect| effect.difference);
    let mut estimate = Estimate {
        metric: metric.name.clone(),
        variant: variant.clone(),
        baseline: baseline.clone(),
        role: role(experiment, metric),
        mean_baseline: observations.mean(baseline, metric),
        mean_variant: observations.mean(variant, metric),
        absolute: compared.absolute.into(),
        relative: compared.relative.into(),
        p_adjusted: None,
        significant: false,
        better: (difference != 0.0).then_some((difference > 0.0) != metric.lower_is_better),
        guardrail: None,
    };
    if estimate.role == Role::Guardrail {
        estimate.significant = estimate.absolute.computed().is_some_and(|effect| effect.p_value <= experiment.alpha);
        estimate.guardrail = compared
            .non_inferior
            .filter(|_| baseline == experiment.control())
            .map(|(margin, test)| guardrail_check(&estimate, margin, test.into()));
    }
    estimate
}

/// Two variants on one metric.
struct Compared {
    absolute: Result<Effect, Degenerate>,
    relative: Result<Lift, Degenerate>,
    /// Where the metric is a guardrail: its margin, and the test of being worse by that or more.
    non_inferior: Option<(f64, Result<NonInferiority, Degenerate>)>,
}

impl Compared {
    /// Means by Welch; ratios of sums by the delta method (Deng, Knoblich & Lu 2018). Both have Fieller's lift.
    fn new(
        experiment: &Experiment,
        observations: &Observations,
        metric: &Metric,
        variant: &VariantName,
        baseline: &VariantName,
    ) -> Self {
        let (alpha, lower) = (experiment.alpha, metric.lower_is_better);
        let margin = experiment.guardrails.iter().find(|guardrail| guardrail.metric == metric.name).map(|found| found.margin);
        if metric.per.is_none() {
            let [own, others] = [baseline, variant].map(|name| observations.moments(name, &metric.name));
            return Self {
                absolute: welch(&own, &others, alpha),
                relative: fieller_lift(&own, &others, alpha),
                non_inferior: margin.map(|margin| (margin, non_inferior(&own, &others, margin, lower, alpha))),
            };
        }
        let [own, others] = [baseline, variant].map(|name| observations.ratio(name, &metric.name));
        let compared = compare(&own, &others, Shape::Ratio, 0, alpha);
        let with = |margin| compared.clone().and_then(|found| non_inferior_pair(&found.pair, margin, lower, alpha));
        Self {
            non_inferior: margin.map(|margin| (margin, with(margin))),
            absolute: compared.clone().map(|found| found.absolute),
            relative: compared.and_then(|found| found.relative),
        }
    }
}

/// Small lists cannot prove a margin on rare events, so "not proven" is not "broken": broken takes harm beyond chance.
fn guardrail_check(estimate: &Estimate, margin: f64, non_inferiority: Answer<stats::NonInferiority>) -> GuardrailCheck {
    let kept = non_inferiority.computed().is_some_and(|test| test.shown);
    let worse = estimate.significant && estimate.better == Some(false);
    let state = match (kept, worse) {
        (true, _) => GuardrailState::Kept,
        (false, true) => GuardrailState::Broken,
        (false, false) => GuardrailState::Unproven,
    };
    GuardrailCheck { margin, non_inferiority, state }
}

fn role(experiment: &Experiment, metric: &Metric) -> Role {
    if metric.name == experiment.primary {
        Role::Primary
    } else if experiment.guardrails.iter().any(|guardrail| guardrail.metric == metric.name) {
        Role::Guardrail
    } else {
        Role::Secondary
    }
}

/// Adjusts the p-values of one family. A comparison that cannot be computed stays in it as one that says nothing, so
/// that the family does not shrink with the data.
fn corrected(mut estimates: Vec<Estimate>, alpha: f64) -> Vec<Estimate> {
    let family: Vec<usize> = (0..estimates.len()).filter(|index| estimates[*index].role != Role::Guardrail).collect();
    let p_value = |index: &usize| estimates[*index].absolute.computed().map_or(1.0, |effect| effect.p_value);
    let adjusted = holm(&family.iter().map(p_value).collect::<Vec<_>>());
    for (index, p_adjusted) in family.into_iter().zip(adjusted) {
        let estimate = &mut estimates[index];
        if estimate.absolute.computed().is_some() {
            estimate.p_adjusted = Some(p_adjusted);
            estimate.significant = p_adjusted <= alpha;
        }
    }
    estimates
}
