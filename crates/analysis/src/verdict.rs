//! What to do, from the estimates.

use crate::frame::Frame;
use crate::report::{Answer, Basis, Estimate, GuardrailState, SampleRatio, Verdict, VerdictKind};
use crate::words::{difference, level, percent};

/// What a verdict rests on.
pub(crate) struct Evidence<'a> {
    pub(crate) frame: &'a Frame<'a>,
    /// Against control: by metric, then by variant.
    pub(crate) estimates: &'a [Estimate],
    pub(crate) sample_ratio: &'a SampleRatio,
    pub(crate) basis: Basis,
}

impl<'a> Evidence<'a> {
    /// Of one metric against control, by variant.
    pub(crate) fn of_metric(&self, metric: usize) -> &'a [Estimate] {
        let width = self.frame.variants().len();
        self.estimates.get(metric * width..(metric + 1) * width).unwrap_or_default()
    }

    pub(crate) fn primary(&self) -> &'a [Estimate] {
        self.of_metric(self.frame.primary)
    }

    /// The metrics whose guardrail a variant broke.
    fn broken(&self, variant: &str) -> impl Iterator<Item = &'a Estimate> {
        self.estimates.iter().filter(move |estimate| {
            let is_broken = estimate.guardrail.as_ref().is_some_and(|check| check.state == GuardrailState::Broken);
            is_broken && estimate.variant == variant
        })
    }

    /// How good a variant is on the primary metric: larger is better.
    fn merit(&self, estimate: &Estimate) -> f64 {
        let difference = estimate.deciding(self.basis).computed().map_or(f64::NEG_INFINITY, |effect| effect.difference);
        if self.frame.metrics[self.frame.primary].lower_is_better { -difference } else { difference }
    }

    /// The variants that beat control and broke no guardrail, the best first.
    pub(crate) fn winners(&self) -> Vec<&'a Estimate> {
        let beats_control = |estimate: &&Estimate| estimate.significant && estimate.better == Some(true);
        let mut winners: Vec<&Estimate> = self
            .primary()
            .iter()
            .filter(beats_control)
            .filter(|estimate| self.broken(&estimate.variant).next().is_none())
            .collect();
        winners.sort_by(|one, other| self.merit(other).total_cmp(&self.merit(one)));
        winners
    }
}

/// The winner is the best by the primary metric among the variants that beat control after the correction and broke no
/// guardrail. Nothing is decided when the arms' sizes are wrong.
pub(crate) fn verdict(evidence: &Evidence<'_>) -> Verdict {
    let frame = evidence.frame;
    let control = frame.control();
    let undecided = |sentence: String| Verdict { kind: VerdictKind::Undecided, variant: control.to_owned(), sentence };
    if evidence.sample_ratio.mismatch {
        let why = "the variants do not have the sizes they were meant to have; find out why first";
        return undecided(format!("Undecided: {why}."));
    }
    if evidence.sample_ratio.by_date.as_ref().is_some_and(|dates| dates.mismatch) {
        let why = "the variants' shares of the units change over time, which mixes times and effects; find out why first";
        return undecided(format!("Undecided: {why}."));
    }
    if frame.metrics.is_empty() || frame.variants().is_empty() {
        return undecided("Undecided: there is nothing to compare; it takes a metric, control and another variant.".to_owned());
    }
    if let Some(winner) = evidence.winners().first() {
        let (kind, variant) = (VerdictKind::Winner, winner.variant.clone());
        return Verdict { kind, variant, sentence: winner_sentence(evidence, winner) };
    }
    for estimate in evidence.primary() {
        if let Answer::Degenerate(reason) = estimate.deciding(evidence.basis) {
            let Estimate { metric, variant, .. } = estimate;
            let why = &reason.why;
            return undecided(format!(
                "Undecided: {metric} of `{variant}` against `{control}` cannot be computed, because {why}."
            ));
        }
    }
    Verdict { kind: VerdictKind::KeepControl, variant: control.to_owned(), sentence: keep_sentence(evidence) }
}

fn winner_sentence(evidence: &Evidence<'_>, winner: &Estimate) -> String {
    let Estimate { metric, variant, baseline, .. } = winner;
    let measure = evidence.frame.metrics[evidence.frame.primary].measure;
    let mean = |mean: Option<f64>| level(measure, mean.unwrap_or_default());
    let (of_variant, of_baseline) = (mean(winner.mean_variant), mean(winner.mean_baseline));
    let confidence = percent(1.0 - evidence.frame.spec.alpha);
    let effect = winner.deciding(evidence.basis).computed().map(|effect| {
        let adjusted = if evidence.basis == Basis::Adjusted { " after adjustment" } else { "" };
        format!(
            ", a difference of {}{adjusted} at {confidence} confidence",
            difference(measure, effect.difference, &effect.interval)
        )
    });
    format!("`{variant}` wins: {metric} is {of_variant} against {of_baseline} with `{baseline}`{}.", effect.unwrap_or_default())
}

fn keep_sentence(evidence: &Evidence<'_>) -> String {
    let control = evidence.frame.control();
    let metric = &evidence.frame.metrics[evidence.frame.primary];
    let primary = &metric.name;
    let spoilt =
        evidence.primary().iter().filter(|estimate| estimate.significant && estimate.better == Some(true)).find_map(|estimate| {
            let guardrail = evidence.broken(&estimate.variant).next()?;
            Some(format!("`{}` beats it on {primary}, but breaks the guardrail on {}", estimate.variant, guardrail.metric))
        });
    let all_worse = evidence.primary().iter().all(|estimate| estimate.significant && estimate.better == Some(false));
    let not_inferior: Vec<&str> = evidence
        .primary()
        .iter()
        .filter(|estimate| estimate.guardrail.as_ref().is_some_and(|check| check.state == GuardrailState::Kept))
        .map(|estimate| estimate.variant.as_str())
        .collect();
    let why = match (spoilt, metric.margin, not_inferior.as_slice()) {
        (Some(spoilt), _, _) => spoilt,
        (None, Some(margin), [_, ..]) => format!(
            "no variant is shown to be better on {primary}, though {} {} shown to be worse by less than {}",
            crate::words::list(not_inferior.iter().copied()),
            if not_inferior.len() == 1 { "is" } else { "are" },
            percent(margin)
        ),
        (None, _, _) if all_worse => format!("every variant is shown to be worse on {primary}"),
        (None, _, _) => format!("no variant is shown to be better on {primary}"),
    };
    format!("Keep `{control}`: {why}.")
}

#[cfg(test)]
mod tests;
