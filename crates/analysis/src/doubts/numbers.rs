//! Whether the estimates can be computed, and leaned on.

use super::{Findings, doubt};
use crate::estimate::{POWER, compare};
use crate::frame::Frame;
use crate::report::{Answer, Code, Doubt, Estimate, GuardrailState, Measure, Role, VerdictKind};
use crate::words::{count, list, number, percent};

/// Below so many outcomes in an arm, intervals that lean on the normal distribution are too narrow.
const OUTCOMES_MIN: u64 = 25;

/// An experiment that would miss a lift of this size is a weak one.
const LIFT_WORTH_FINDING: f64 = 0.1;

pub(super) fn computable(findings: &Findings<'_>, doubts: &mut Vec<Doubt>) {
    for estimate in findings.evidence.estimates {
        let Estimate { metric, variant, baseline, .. } = estimate;
        match (&estimate.absolute, &estimate.relative) {
            (Answer::Degenerate(reason), _) => {
                let why = &reason.why;
                let sentence = format!("{metric} of `{variant}` against `{baseline}` cannot be computed, because {why}.");
                doubts.push(doubt(Code::NotComputable, sentence));
            }
            (Answer::Computed(_), Answer::Degenerate(reason)) => {
                let why = &reason.why;
                let sentence = format!(
                    "The lift of {metric} by `{variant}` cannot be computed, because {why}; read the absolute difference."
                );
                doubts.push(doubt(Code::NotIdentifiable, sentence));
            }
            (Answer::Computed(_), Answer::Computed(_)) => {}
        }
    }
}

pub(super) fn few_outcomes(findings: &Findings<'_>, doubts: &mut Vec<Doubt>) {
    let frame = findings.evidence.frame;
    for (index, metric) in frame.metrics.iter().enumerate() {
        let is_rare = |arm: &usize| {
            frame.cell(*arm, index).is_some_and(|cell| {
                let others = cell.moments.count.saturating_sub(cell.nonzero);
                let outcomes = if metric.measure == Measure::Binary { cell.nonzero.min(others) } else { cell.nonzero };
                cell.moments.count > 0 && outcomes < OUTCOMES_MIN
            })
        };
        let few: Vec<&str> = (0..frame.names.len()).filter(is_rare).map(|arm| frame.names[arm]).collect();
        if !few.is_empty() {
            let sentence = format!(
                "{} rests on fewer than {OUTCOMES_MIN} outcomes in {}: its intervals are only rough.",
                metric.name,
                list(few.iter().copied())
            );
            doubts.push(doubt(Code::SkewedSmall, sentence));
        }
    }
}

/// Compares again with the largest values cut, at the p-value that this comparison had to reach.
pub(super) fn outliers(findings: &Findings<'_>, doubts: &mut Vec<Doubt>) {
    let frame = findings.evidence.frame;
    for (index, metric) in frame.metrics.iter().enumerate() {
        if metric.measure != Measure::Mean || metric.denominator.is_some() {
            continue;
        }
        let flipped: Vec<&str> = findings
            .evidence
            .of_metric(index)
            .iter()
            .zip(frame.variants())
            .filter(|(estimate, variant)| flips(frame, index, *variant, estimate) == Some(true))
            .map(|(estimate, _)| estimate.variant.as_str())
            .collect();
        if !flipped.is_empty() {
            let sentence = format!(
                "The answer on {} for {} hangs on the largest 0.1 % of the values: with these cut to where they begin it is another \
                 one. Cap the metric, or wait for more units.",
                metric.name,
                list(flipped.iter().copied())
            );
            doubts.push(doubt(Code::OutlierDriven, sentence));
        }
    }
}

fn flips(frame: &Frame<'_>, metric: usize, variant: usize, estimate: &Estimate) -> Option<bool> {
    let cell = |arm: usize| frame.cell(arm, metric).filter(|cell| !frame.is_ratio(cell))?.without_outliers;
    let before = estimate.absolute.computed()?;
    let Answer::Computed(after) = compare(&cell(0)?, &cell(variant)?, frame.spec.alpha).absolute else { return None };
    let alpha = frame.spec.alpha;
    let needed =
        estimate.p_adjusted.filter(|adjusted| *adjusted > 0.0).map_or(alpha, |adjusted| alpha * (before.p_value / adjusted));
    let (clear_before, clear_after) = (before.p_value <= needed, after.p_value <= needed);
    let turns = clear_before && clear_after && (before.difference > 0.0) != (after.difference > 0.0);
    Some(clear_before != clear_after || turns)
}

pub(super) fn power(findings: &Findings<'_>, doubts: &mut Vec<Doubt>) {
    let weak = |estimate: &&Estimate| {
        let detectable = estimate.detectable.zip(estimate.mean_baseline).map(|(least, mean)| least / mean.abs());
        !estimate.significant && detectable.is_some_and(|lift| lift > LIFT_WORTH_FINDING)
    };
    let weak: Vec<&Estimate> = findings.evidence.primary().iter().filter(weak).collect();
    let size = |estimate: &Estimate| estimate.detectable.unwrap_or_default() / estimate.mean_baseline.unwrap_or_default().abs();
    let Some(worst) = weak.iter().copied().max_by(|one, other| size(one).total_cmp(&size(other))) else { return };
    let times = (size(worst) / LIFT_WORTH_FINDING).powi(2);
    let more = if times.is_finite() { format!(" It takes about {} times as many units.", number(times)) } else { String::new() };
    let sentence = format!(
        "A true lift of {} on {} by {} would have been missed with a chance of more than {}: finding nothing says little.{more}",
        percent(LIFT_WORTH_FINDING),
        worst.metric,
        list(weak.iter().map(|estimate| estimate.variant.as_str())),
        percent(1.0 - POWER),
    );
    doubts.push(doubt(Code::LowPower, sentence));
}

pub(super) fn guardrails(findings: &Findings<'_>, doubts: &mut Vec<Doubt>) {
    for estimate in findings.evidence.estimates {
        let Estimate { metric, variant, baseline, .. } = estimate;
        let Some(check) = &estimate.guardrail else { continue };
        let margin = percent(check.margin);
        match check.state {
            GuardrailState::Kept => {}
            GuardrailState::Broken => {
                let sentence = format!(
                    "{metric} is worse with `{variant}` than with `{baseline}`, and may be so by more than the margin of {margin}."
                );
                doubts.push(doubt(Code::GuardrailBroken, sentence));
            }
            GuardrailState::Unproven => {
                let sentence = format!(
                    "There are too few outcomes to show that {metric} gets worse by less than {margin} with `{variant}`."
                );
                doubts.push(doubt(Code::GuardrailNotShown, sentence));
            }
        }
    }
}

/// That both beat control does not show that one beats the other.
pub(super) fn other_winners(findings: &Findings<'_>, doubts: &mut Vec<Doubt>) {
    let winners = findings.evidence.winners();
    let (VerdictKind::Winner, [winner, others @ ..]) = (findings.verdict.kind, winners.as_slice()) else { return };
    let is_separate = |other: &&&Estimate| {
        findings.other_pairs.iter().any(|pair| {
            let of_both = (pair.variant == winner.variant && pair.baseline == other.variant)
                || (pair.variant == other.variant && pair.baseline == winner.variant);
            of_both && pair.role == Role::Primary && pair.significant
        })
    };
    let equals: Vec<&str> = others.iter().filter(|other| !is_separate(other)).map(|other| other.variant.as_str()).collect();
    if !equals.is_empty() {
        let sentence = format!(
            "`{}` beats `{}`, but so {} {}, which cannot be told from it on {}: {} would do as well, as far as is known.",
            winner.variant,
            winner.baseline,
            if equals.len() == 1 { "does" } else { "do" },
            list(equals.iter().copied()),
            winner.metric,
            count(equals.len() as u64, "another variant", "other variants"),
        );
        doubts.push(doubt(Code::WinnerNotUnique, sentence));
    }
}
