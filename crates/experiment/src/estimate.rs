//! Every comparison of two variants on every metric.
//!
//! Two families are corrected for their number by Holm: all variants against control, which decide, and the other
//! pairs, which only inform. Guardrails stand outside: each must hold by itself, and a correction would make it harder
//! to see harm. Intervals are the plain ones of each comparison.

use stats::{Moments, fieller_lift, holm, non_inferior, welch};
use vocabulary::{Experiment, Metric, VariantName};

use crate::observe::Observations;
use crate::readout::{Answer, Estimate, GuardrailCheck, GuardrailState, Role};

/// Against control first, then the other pairs, each in the order of the experiment's metrics.
pub(crate) fn estimates(experiment: &Experiment, observations: &Observations) -> Vec<Estimate> {
    let control = experiment.control();
    let others: Vec<&VariantName> =
        experiment.variants.iter().map(|variant| &variant.name).filter(|name| *name != control).collect();
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
    [family(against_control.collect()), family(other_pairs.collect())].concat()
}

fn estimate(
    experiment: &Experiment,
    observations: &Observations,
    metric: &Metric,
    variant: &VariantName,
    baseline: &VariantName,
) -> Estimate {
    let moments = |name| observations.moments(name, &metric.name);
    let (of_baseline, of_variant) = (moments(baseline), moments(variant));
    let absolute = welch(&of_baseline, &of_variant, experiment.alpha);
    let difference = absolute.as_ref().map_or(0.0, |effect| effect.difference);
    let mut estimate = Estimate {
        metric: metric.name.clone(),
        variant: variant.clone(),
        baseline: baseline.clone(),
        role: role(experiment, metric),
        mean_baseline: mean(&of_baseline),
        mean_variant: mean(&of_variant),
        absolute: absolute.into(),
        relative: fieller_lift(&of_baseline, &of_variant, experiment.alpha).into(),
        p_adjusted: None,
        significant: false,
        better: (difference != 0.0).then_some((difference > 0.0) != metric.lower_is_better),
        guardrail: None,
    };
    if estimate.role == Role::Guardrail {
        estimate.significant = estimate.absolute.computed().is_some_and(|effect| effect.p_value <= experiment.alpha);
        let margin =
            experiment.guardrails.iter().find(|guardrail| guardrail.metric == metric.name).map(|guardrail| guardrail.margin);
        estimate.guardrail = margin.filter(|_| baseline == experiment.control()).map(|margin| {
            let test = non_inferior(&of_baseline, &of_variant, margin, metric.lower_is_better, experiment.alpha);
            guardrail_check(&estimate, margin, test.into())
        });
    }
    estimate
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

fn mean(moments: &Moments) -> Option<f64> {
    (moments.count > 0 && moments.mean.is_finite()).then_some(moments.mean)
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
