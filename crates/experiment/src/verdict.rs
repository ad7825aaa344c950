//! What to do, from the estimates.

use stats::Degenerate;
use vocabulary::{Experiment, Metric, VariantName};

use crate::observe::Observations;
use crate::readout::{Answer, Estimate, GuardrailState, Role, SampleRatio, Verdict, VerdictKind};
use crate::words::{count, difference, level, percent};

/// What a verdict and the doubts about it rest on.
pub(crate) struct Evidence<'a> {
    pub(crate) experiment: &'a Experiment,
    pub(crate) observations: &'a Observations,
    pub(crate) estimates: &'a [Estimate],
    pub(crate) sample_ratio: &'a SampleRatio,
}

impl<'a> Evidence<'a> {
    /// All comparisons with control.
    pub(crate) fn against_control(&self) -> impl Iterator<Item = &'a Estimate> {
        let control = self.experiment.control();
        self.estimates.iter().filter(move |estimate| &estimate.baseline == control)
    }

    /// The comparisons with control that decide.
    pub(crate) fn primary(&self) -> impl Iterator<Item = &'a Estimate> {
        self.against_control().filter(|estimate| estimate.role == Role::Primary)
    }

    /// The guardrails a variant broke.
    pub(crate) fn broken<'b>(&'b self, variant: &'b VariantName) -> impl Iterator<Item = &'a Estimate> + 'b {
        self.against_control().filter(move |estimate| {
            let is_broken = estimate.guardrail.as_ref().is_some_and(|check| check.state == GuardrailState::Broken);
            is_broken && &estimate.variant == variant
        })
    }

    pub(crate) fn metric(&self, name: &str) -> &'a Metric {
        self.experiment.metrics.iter().find(|metric| metric.name == name).expect("estimates are of the experiment's metrics")
    }

    /// Whether the first mean of the primary metric is the better one.
    pub(crate) fn beats(&self, mean: Option<f64>, other: Option<f64>) -> bool {
        let lower_is_better = self.metric(&self.experiment.primary).lower_is_better;
        match (mean, other) {
            (Some(mean), Some(other)) => {
                if lower_is_better {
                    mean < other
                } else {
                    mean > other
                }
            }
            (mean, None) => mean.is_some(),
            (None, Some(_)) => false,
        }
    }

    fn mature(&self) -> u64 {
        self.experiment.variants.iter().filter_map(|variant| self.observations.arm(&variant.name)).map(|arm| arm.mature).sum()
    }
}

/// The winner is the best by the primary metric among the variants that beat control after Holm and broke no guardrail.
/// Nothing is decided while recipients are within their window, because the early answer is that of the fast message,
/// nor when the arms' sizes are wrong.
pub(crate) fn verdict(evidence: &Evidence<'_>) -> Verdict {
    let control = evidence.experiment.control();
    let undecided = |sentence: String| Verdict { kind: VerdictKind::Undecided, variant: control.clone(), sentence };
    if evidence.sample_ratio.mismatch {
        return undecided(
            "Undecided: the variants do not have the sizes they were meant to have; find out why first.".to_owned(),
        );
    }
    if evidence.mature() == 0 {
        return undecided("Undecided: no recipient's window is over yet.".to_owned());
    }
    if evidence.observations.immature > 0 {
        let still = count(evidence.observations.immature, "recipient is", "recipients are");
        return undecided(format!("Undecided: {still} still within the window of {} hours.", evidence.experiment.window_hours));
    }
    if let Some(winner) = winner(evidence) {
        return Verdict {
            kind: VerdictKind::Winner,
            variant: winner.variant.clone(),
            sentence: winner_sentence(evidence, winner),
        };
    }
    let missing = evidence.primary().find_map(|estimate| match &estimate.absolute {
        Answer::Degenerate(Degenerate { why }) => Some((estimate, why)),
        Answer::Computed(_) => None,
    });
    if let Some((estimate, why)) = missing {
        let Estimate { metric, variant, .. } = estimate;
        return undecided(format!("Undecided: {metric} of `{variant}` against `{control}` cannot be computed, because {why}."));
    }
    Verdict { kind: VerdictKind::KeepControl, variant: control.clone(), sentence: keep_sentence(evidence) }
}

fn winner<'a>(evidence: &Evidence<'a>) -> Option<&'a Estimate> {
    let beats_control = |estimate: &&Estimate| estimate.significant && estimate.better == Some(true);
    evidence
        .primary()
        .filter(beats_control)
        .filter(|estimate| evidence.broken(&estimate.variant).next().is_none())
        .reduce(|best, next| if evidence.beats(next.mean_variant, best.mean_variant) { next } else { best })
}

fn winner_sentence(evidence: &Evidence<'_>, winner: &Estimate) -> String {
    let Estimate { metric, variant, baseline, .. } = winner;
    let spec = evidence.metric(metric);
    let mean = |mean: Option<f64>| level(spec, mean.unwrap_or_default());
    let (of_variant, of_baseline) = (mean(winner.mean_variant), mean(winner.mean_baseline));
    let effect = winner.absolute.computed().map(|effect| {
        let confidence = percent(1.0 - evidence.experiment.alpha);
        format!(", a difference of {} at {confidence} confidence", difference(spec, effect.difference, &effect.interval))
    });
    format!("`{variant}` wins: {metric} is {of_variant} against {of_baseline} with `{baseline}`{}.", effect.unwrap_or_default())
}

fn keep_sentence(evidence: &Evidence<'_>) -> String {
    let control = evidence.experiment.control();
    let primary = &evidence.experiment.primary;
    let spoilt =
        evidence.primary().filter(|estimate| estimate.significant && estimate.better == Some(true)).find_map(|estimate| {
            let guardrail = evidence.broken(&estimate.variant).next()?;
            Some(format!("`{}` beats it on {primary}, but breaks the guardrail on {}", estimate.variant, guardrail.metric))
        });
    let why = spoilt.unwrap_or_else(|| format!("no variant is shown to be better on {primary}"));
    format!("Keep `{control}`: {why}.")
}
