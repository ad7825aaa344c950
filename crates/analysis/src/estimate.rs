//! Every comparison of two variants on every metric.
//!
//! Two families are corrected for their number: all variants against control, which decide, and the other pairs, which
//! only inform. Guardrails stand outside: each must hold by itself, and a correction would make it harder to see harm.
//! Intervals are the plain ones of each comparison.

use stats::{Moments, fieller_lift, non_inferior, welch};

use crate::adjust;
use crate::correction::corrected;
use crate::frame::Frame;
use crate::report::{
    AlwaysValid, Answer, Basis, Difference, Estimate, GuardrailCheck, GuardrailState, Lift, NonInferiority, Reason, Role,
};

/// The chance with which a true difference of [`Estimate::detectable`] would have been found.
pub(crate) const POWER: f64 = 0.8;

/// With fewer outcomes in an arm a confidence sequence leans on a normal distribution that is not there yet.
pub(crate) const OUTCOMES_MIN: u64 = 10;

/// A difference and a lift, each with its interval.
pub(crate) struct Compared {
    pub(crate) absolute: Answer<Difference>,
    pub(crate) relative: Answer<Lift>,
}

/// Compares two samples.
pub(crate) fn compare(baseline: &Moments, variant: &Moments, alpha: f64) -> Compared {
    for (name, moments) in [("control", baseline), ("the variant", variant)] {
        if moments.mean.is_nan() {
            let why = format!("the denominators of {name} add up to zero, or its values are not numbers");
            let reason = Reason { why };
            return Compared { absolute: Answer::Degenerate(reason.clone()), relative: Answer::Degenerate(reason) };
        }
    }
    Compared { absolute: welch(baseline, variant, alpha).into(), relative: fieller_lift(baseline, variant, alpha).into() }
}

/// All variants against control, by metric and then by variant.
pub(crate) fn against_control(frame: &Frame<'_>, moments: &[Vec<Moments>], basis: Basis) -> Vec<Estimate> {
    let pairs: Vec<(usize, usize)> = frame.variants().map(|variant| (0, variant)).collect();
    family(frame, moments, basis, &pairs)
}

/// All pairs of variants without control.
pub(crate) fn other_pairs(frame: &Frame<'_>, moments: &[Vec<Moments>], basis: Basis) -> Vec<Estimate> {
    let others = frame.variants();
    let pairs: Vec<(usize, usize)> =
        others.clone().flat_map(|baseline| (baseline + 1..others.end).map(move |variant| (baseline, variant))).collect();
    family(frame, moments, basis, &pairs)
}

fn family(frame: &Frame<'_>, moments: &[Vec<Moments>], basis: Basis, pairs: &[(usize, usize)]) -> Vec<Estimate> {
    let detectable_errors = stats::tail::normal_quantile_upper(frame.spec.alpha / 2.0) + stats::tail::normal_quantile(POWER);
    let mut estimates = Vec::with_capacity(frame.metrics.len() * pairs.len());
    for metric in 0..frame.metrics.len() {
        for (baseline, variant) in pairs {
            let mut estimate = estimate(frame, moments, metric, *baseline, *variant);
            judge(&mut estimate, frame, metric, basis);
            estimate.detectable = estimate
                .deciding(basis)
                .computed()
                .map(|difference| detectable_errors * difference.standard_error)
                .filter(|detectable| detectable.is_finite());
            estimates.push(estimate);
        }
    }
    correct(frame, &mut estimates, basis);
    estimates
}

/// The numbers, without a judgement.
fn estimate(frame: &Frame<'_>, moments: &[Vec<Moments>], metric: usize, baseline: usize, variant: usize) -> Estimate {
    let (of_baseline, of_variant) = (&moments[baseline][metric], &moments[variant][metric]);
    let Compared { absolute, relative } = compare(of_baseline, of_variant, frame.spec.alpha);
    let against_control = baseline == 0;
    let always_valid = against_control.then(|| always_valid(frame, metric, variant, of_baseline, of_variant));
    let spec = &frame.metrics[metric];
    let guardrail = spec.margin.filter(|_| against_control).map(|margin| GuardrailCheck {
        margin,
        non_inferiority: non_inferiority(of_baseline, of_variant, margin, spec.lower_is_better, frame.spec.alpha),
        state: GuardrailState::Unproven,
    });
    Estimate {
        metric: spec.name.clone(),
        variant: frame.names[variant].to_owned(),
        baseline: frame.names[baseline].to_owned(),
        role: spec.role,
        mean_baseline: mean(of_baseline),
        mean_variant: mean(of_variant),
        adjusted: adjust::adjusted(frame, metric, baseline, variant, absolute.computed()),
        absolute,
        relative,
        always_valid,
        detectable: None,
        p_adjusted: None,
        significant: false,
        better: None,
        guardrail,
    }
}

/// Whether it is better, and what follows for a guardrail. Small lists cannot prove a margin on rare events, so "not
/// proven" is not "broken": broken takes harm beyond chance.
fn judge(estimate: &mut Estimate, frame: &Frame<'_>, metric: usize, basis: Basis) {
    let Some(Difference { difference, p_value, .. }) = estimate.deciding(basis).computed().copied() else { return };
    estimate.better = (difference != 0.0).then_some((difference > 0.0) != frame.metrics[metric].lower_is_better);
    let is_clear = p_value <= frame.spec.alpha;
    if estimate.role == Role::Guardrail {
        estimate.significant = is_clear;
    }
    let is_worse = is_clear && estimate.better == Some(false);
    let on_adjusted = estimate.deciding_adjusted(basis).and_then(|adjusted| adjusted.non_inferiority.clone());
    if let Some(check) = &mut estimate.guardrail {
        check.non_inferiority = on_adjusted.unwrap_or_else(|| check.non_inferiority.clone());
        let kept = check.non_inferiority.computed().is_some_and(|test| test.shown);
        check.state = match (kept, is_worse) {
            (true, _) => GuardrailState::Kept,
            (false, true) => GuardrailState::Broken,
            (false, false) => GuardrailState::Unproven,
        };
    }
}

/// Adjusts the p-values of one family. A comparison that cannot be computed stays in it as one that says nothing, so
/// that the family does not shrink with the data.
fn correct(frame: &Frame<'_>, estimates: &mut [Estimate], basis: Basis) {
    let family: Vec<usize> = (0..estimates.len()).filter(|index| estimates[*index].role != Role::Guardrail).collect();
    let p_value = |index: &usize| estimates[*index].deciding(basis).computed().map_or(1.0, |effect| effect.p_value);
    let adjusted = corrected(&family.iter().map(p_value).collect::<Vec<_>>(), frame.spec.correction);
    for (index, p_adjusted) in family.into_iter().zip(adjusted) {
        let estimate = &mut estimates[index];
        if estimate.deciding(basis).computed().is_some() {
            estimate.p_adjusted = Some(p_adjusted);
            estimate.significant = p_adjusted <= frame.spec.alpha;
        }
    }
}

/// Tuned for the units there are, because the number that was planned is not known here.
fn always_valid(frame: &Frame<'_>, metric: usize, variant: usize, baseline: &Moments, treated: &Moments) -> Answer<AlwaysValid> {
    let tuned_for = baseline.count as f64 + treated.count as f64;
    let refuse = |why: String| Answer::Degenerate(Reason { why });
    if baseline.mean.is_nan() || treated.mean.is_nan() {
        return refuse("a mean is not a number".to_owned());
    }
    let outcomes = |arm: usize| frame.cell(arm, metric).map_or(0, |cell| cell.nonzero);
    if outcomes(0).min(outcomes(variant)) < OUTCOMES_MIN {
        return refuse(format!("an arm has fewer than {OUTCOMES_MIN} outcomes"));
    }
    match stats::sequential::compare(baseline, treated, tuned_for, frame.spec.alpha) {
        Ok(found) => Answer::Computed(AlwaysValid {
            interval: found.absolute.interval.into(),
            relative: found.relative.ok().map(|lift| lift.interval.into()),
            p_value: found.absolute.p_value,
            tuned_for,
        }),
        Err(error) => refuse(error.why),
    }
}

fn non_inferiority(
    baseline: &Moments,
    variant: &Moments,
    margin: f64,
    lower_is_better: bool,
    alpha: f64,
) -> Answer<NonInferiority> {
    non_inferior(baseline, variant, margin, lower_is_better, alpha).into()
}

pub(crate) fn mean(moments: &Moments) -> Option<f64> {
    (moments.count > 0 && moments.mean.is_finite()).then_some(moments.mean)
}
