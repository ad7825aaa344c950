//! Whether the variant does harm to those who follow, over all steps, and whether their numbers can be trusted.
//!
//! Each step is a wave with known shares. The difference over all of them is that of [`adaptive_aipw`], whose weights give every
//! follower's score the same variance whatever the share was: so the sum of scores is a walk with steps of one size, followers
//! count the time, and a confidence sequence in followers applies as it is. Hadad et al., PNAS 118 (2021); Waudby-Smith et al.,
//! Annals of Statistics 52 (2024), equation 134.

use std::collections::BTreeMap;

use stats::adaptive::adaptive_aipw;
use stats::adaptive::waves::{Wave, WaveArm};
use stats::sequential::confidence::multiplier_one_sided;
use stats::{Effect, Moments};
use vocabulary::{Experiment, Metric, RecommendationId, VariantName};

use super::chain::{Chain, Dealing};
use super::{COMPARED_MIN, HarmCheck};
use crate::decision::{Settings, funnel};
use crate::guidance::WEIGHT_PARTS;
use crate::observe::Observations;
use crate::readout::{Doubt, GuardrailState, Role};
use crate::words::percent;

/// The primary metric, then the guardrails in the experiment's order, each tested at `alpha_each`. `waves` gives the waves that tell
/// anything of a metric, each with control and the variant.
pub(crate) fn harm_checks(experiment: &Experiment, waves: impl Fn(&Metric) -> Vec<Wave>, alpha_each: f64) -> Vec<HarmCheck> {
    let guardrails = experiment.guardrails.iter().map(|guardrail| (&guardrail.metric, Role::Guardrail, Some(guardrail.margin)));
    let all = std::iter::once((&experiment.primary, Role::Primary, None)).chain(guardrails);
    let check = |(name, role, margin): (&String, Role, Option<f64>)| {
        let metric = experiment.metrics.iter().find(|metric| &metric.name == name)?;
        Some(check(metric, role, margin, &waves(metric), alpha_each))
    };
    all.filter_map(check).collect()
}

/// As guardrails of an experiment are judged: what is shown to keep its margin is no harm, however small a difference is seen.
fn check(metric: &Metric, role: Role, margin: Option<f64>, waves: &[Wave], alpha_each: f64) -> HarmCheck {
    let followers: u64 = waves.iter().map(Wave::count).sum();
    let boundary = multiplier_one_sided(followers as f64, alpha_each, Settings::default().tuning_units).ok();
    let ahead = |effect: &Effect| if metric.lower_is_better { -effect.statistic } else { effect.statistic };
    let effect = compared(waves, 1.0, alpha_each);
    let statistic = effect.as_ref().map(ahead);
    let at_limit = margin.and_then(|margin| compared(waves, limit(waves, margin, metric.lower_is_better)?, alpha_each));
    let is_kept = at_limit.as_ref().map(ahead).zip(boundary).is_some_and(|(statistic, boundary)| statistic >= boundary);
    let is_worse = statistic.zip(boundary).is_some_and(|(statistic, boundary)| statistic <= -boundary);
    let state = match (is_kept, is_worse) {
        (true, _) => GuardrailState::Kept,
        (false, true) => GuardrailState::Broken,
        (false, false) => GuardrailState::Unproven,
    };
    let difference = effect.map(|effect| effect.difference);
    HarmCheck { metric: metric.name.clone(), role, margin, state, difference, statistic, boundary }
}

/// The variant's mean over control's where it is worse by the whole margin, as [`stats::non_inferior`] has it. `None` where
/// control's mean is zero.
fn limit(waves: &[Wave], margin: f64, lower_is_better: bool) -> Option<f64> {
    let control = waves.iter().map(|wave| wave.arms[0].moments).fold(Moments::default(), |all, wave| all.merge(&wave));
    let worse = if lower_is_better { 1.0 } else { -1.0 };
    (control.mean != 0.0).then(|| 1.0 + worse * margin * control.mean.signum())
}

/// The variant minus so many times control.
fn compared(waves: &[Wave], times: f64, alpha: f64) -> Option<Effect> {
    let scaled = |wave: &Wave| {
        let mut arms = wave.arms.clone();
        let Moments { count, mean, m2 } = arms[0].moments;
        arms[0].moments = Moments { count, mean: times * mean, m2: times * times * m2 };
        Wave { arms }
    };
    let waves: Vec<Wave> = waves.iter().map(scaled).collect();
    adaptive_aipw(&waves, 1, 0, alpha).ok()
}

/// The steps that tell anything of a metric: control, then the variant.
pub(super) fn waves(
    experiment: &Experiment,
    chain: &Chain<'_>,
    observed: &BTreeMap<RecommendationId, Observations>,
    metric: &Metric,
) -> Vec<Wave> {
    let wave = |step: &Dealing<'_>| {
        let seen = observed.get(&step.made.id).filter(|_| step.share < 1.0)?;
        pair(seen, metric, experiment.control(), chain.variant, step.share)
    };
    chain.steps.iter().filter_map(wave).collect()
}

/// A wave of control and a variant, which got `share` of those who got one of the two. `None` where it tells nothing of the metric.
///
/// The few who get the variant first may by luck all do nothing, and would then seem to be known exactly. They vary at least as
/// control does, which is so where there is no harm; the test needs no more outcomes than its boundary asks for then.
pub(crate) fn pair(
    seen: &Observations,
    metric: &Metric,
    control: &VariantName,
    variant: &VariantName,
    share: f64,
) -> Option<Wave> {
    let (control, mut variant) = (seen.comparable(control, metric), seen.comparable(variant, metric));
    if control.count.min(variant.count) < COMPARED_MIN {
        return None;
    }
    variant.m2 = variant.m2.max(control.variance()? * (variant.count - 1) as f64);
    let arm = |propensity, moments| WaveArm { propensity, moments };
    Some(Wave { arms: vec![arm(1.0 - share, control), arm(share, variant)] })
}

/// Whether those who followed a step are as many as its weights ask for, and whether their messages got equally far: tests that
/// may be looked at at any time.
pub(super) fn doubts(
    experiment: &Experiment,
    chain: &Chain<'_>,
    step: &Dealing<'_>,
    observed: &BTreeMap<RecommendationId, Observations>,
) -> Vec<Doubt> {
    let Some(seen) = observed.get(&step.made.id).filter(|_| step.share < 1.0) else { return Vec::new() };
    let mut dealt = experiment.clone();
    dealt.variants.retain(|variant| &variant.name == chain.variant || &variant.name == experiment.control());
    for variant in &mut dealt.variants {
        let share = if &variant.name == chain.variant { step.share } else { 1.0 - step.share };
        variant.weight = (share * WEIGHT_PARTS).round() as u32;
    }
    let at = |doubt: Doubt| Doubt { sentence: format!("At {}: {}", percent(step.share), doubt.sentence), ..doubt };
    funnel(&dealt, seen, &BTreeMap::new()).into_iter().map(at).collect()
}
