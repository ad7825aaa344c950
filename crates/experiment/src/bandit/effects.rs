//! What followers tell of the variants whatever the shares were: effects, and whether a variant does harm.

use std::collections::BTreeMap;

use stats::adaptive::adaptive_aipw;
use stats::adaptive::waves::{Wave, WaveArm};
use vocabulary::{Experiment, Metric, Recommendation, RecommendationId, VariantName};

use super::{BanditCheck, BanditEffect, is_of_bandit};
use crate::observe::Observations;
use crate::readout::GuardrailState;
use crate::rollout::{Followed, harm_checks, pair};

/// What is observed of those who followed each recommendation.
type Observed = BTreeMap<RecommendationId, Observations>;

/// The recommendations that dealt several of the experiment's variants out to everybody or a market, the first one first.
pub(super) fn waves<'a>(experiment: &Experiment, followed: &Followed<'a>) -> Vec<&'a Recommendation> {
    let is_wave = |made: &&Recommendation| {
        let dealt = made.weights.iter().filter(|(_, weight)| **weight > 0.0);
        is_of_bandit(&made.scope) && !made.is_decided() && dealt.clone().all(|(name, _)| experiment.variant(name).is_some())
    };
    let mut waves: Vec<&Recommendation> = followed.history.iter().chain(followed.current).filter(is_wave).collect();
    waves.sort_by(|one, other| (one.created_at, &one.id).cmp(&(other.created_at, &other.id)));
    waves.dedup_by(|one, other| one.id == other.id);
    waves
}

fn share(made: &Recommendation, variant: &VariantName) -> f64 {
    made.weights.get(variant).copied().unwrap_or_default()
}

/// Every variant but control on the primary metric, in the experiment's order; without those that nothing can be told of.
pub(super) fn effects(experiment: &Experiment, waves: &[&Recommendation], observed: &Observed) -> Vec<BanditEffect> {
    let control = experiment.control();
    let Some(primary) = experiment.primary_metric() else { return Vec::new() };
    let others = experiment.others();
    let effect = |variant: &VariantName| {
        // Everybody counts in the average: those of other variants as one arm, whose mean does not matter.
        let wave = |made: &&Recommendation| {
            let seen = observed.get(&made.id)?;
            let arms: Vec<WaveArm> = experiment.variants.iter().map(|arm| arm_of(seen, made, &arm.name, primary)).collect();
            let is_told = |name: &VariantName| share(made, name) > 0.0 && seen.moments(name, &primary.name).count >= 2;
            (is_told(control) && is_told(variant)).then_some(Wave { arms })
        };
        let waves: Vec<Wave> = waves.iter().filter_map(wave).collect();
        let place = |name: &VariantName| experiment.variants.iter().position(|arm| &arm.name == name);
        let found = adaptive_aipw(&waves, place(variant)?, place(control)?, experiment.alpha).ok()?;
        Some(BanditEffect {
            variant: variant.clone(),
            difference: found.difference,
            interval: found.interval,
            p_value: found.p_value,
            waves: waves.len() as u64,
        })
    };
    others.filter_map(effect).collect()
}

fn arm_of(seen: &Observations, made: &Recommendation, variant: &VariantName, metric: &Metric) -> WaveArm {
    WaveArm { propensity: share(made, variant), moments: seen.moments(variant, &metric.name) }
}

/// The tests for harm, each variant against control within those who got one of the two, and the variants that are shown to do harm.
pub(super) fn harm(
    experiment: &Experiment,
    waves: &[&Recommendation],
    observed: &Observed,
) -> (Vec<BanditCheck>, Vec<VariantName>) {
    let control = experiment.control();
    let others: Vec<&VariantName> = experiment.others().collect();
    let tests = others.len() * (experiment.guardrails.len() + 1);
    let alpha_each = experiment.alpha / tests.max(1) as f64;
    let checks = others.iter().flat_map(|variant| {
        let waves_of = |metric: &Metric| {
            let wave = |made: &&Recommendation| {
                let (own, others) = (share(made, control), share(made, variant));
                let seen = observed.get(&made.id).filter(|_| own > 0.0 && others > 0.0)?;
                pair(seen, metric, control, variant, others / (own + others))
            };
            waves.iter().filter_map(wave).collect()
        };
        let of_variant = |check| BanditCheck { variant: (*variant).clone(), check };
        harm_checks(experiment, waves_of, alpha_each).into_iter().map(of_variant).collect::<Vec<_>>()
    });
    let checks: Vec<BanditCheck> = checks.collect();
    let is_broken = |name: &VariantName| checks.iter().any(|of| &of.variant == name && of.check.state == GuardrailState::Broken);
    let stopped = others.into_iter().filter(|name| is_broken(name)).cloned().collect();
    (checks, stopped)
}
