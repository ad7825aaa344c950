//! What dates and looks give away: sums that fall, arms that stand still, days that are missing, and early answers.

use stats::Moments;

use super::{Findings, doubt};
use crate::cells::{Group, LookCells};
use crate::dates::day;
use crate::frame::Frame;
use crate::report::{Code, Doubt, LookSeries, Measure, Procedure};
use crate::words::list;

/// Sums computed from printed means carry their rounding; a fall smaller than this, relatively, is none.
const ROUNDING: f64 = 1e-4;

/// Nothing is missing when something was expected, so often that chance leaves it out less than once in a million times.
const EXPECTED_WHILE_MISSING: f64 = 14.0;

pub(super) fn about_looks(findings: &Findings<'_>, doubts: &mut Vec<Doubt>) {
    let series = cumulative(findings);
    if !findings.evidence.frame.cells.looks.is_empty() {
        falling(findings.evidence.frame, &series, doubts);
    }
    frozen(findings, &series, doubts);
    gaps(findings, doubts);
    early_answers(findings, doubts);
}

/// By look or date, arm and metric: everything up to it.
fn cumulative(findings: &Findings<'_>) -> Vec<Vec<Vec<Moments>>> {
    let frame = findings.evidence.frame;
    let of_group = |group: Option<&Group>| -> Vec<Moments> {
        let cell = |metric: usize| group.and_then(|group| group.metrics.get(metric));
        (0..frame.metrics.len())
            .map(|metric| cell(metric).map_or_else(Moments::default, |cell| cell.moments.moments(0)))
            .collect()
    };
    let arms = 0..frame.names.len();
    if !frame.cells.looks.is_empty() {
        let at = |arm: usize, look: &LookCells| of_group(frame.arm_of(arm, &look.arms).map(|cells| &cells.all));
        return frame.cells.looks.iter().map(|look| arms.clone().map(|arm| at(arm, look)).collect()).collect();
    }
    let mut so_far = vec![vec![Moments::default(); frame.metrics.len()]; arms.len()];
    let mut series = Vec::with_capacity(findings.entries.len());
    for entry in findings.entries {
        for (arm, so_far) in so_far.iter_mut().enumerate() {
            let new = of_group(frame.arm(arm).and_then(|cells| cells.dates.get(entry.date)));
            so_far.iter_mut().zip(new).for_each(|(so_far, new)| *so_far = so_far.merge(&new));
        }
        series.push(so_far.clone());
    }
    series
}

fn falling(frame: &Frame<'_>, series: &[Vec<Vec<Moments>>], doubts: &mut Vec<Doubt>) {
    let squares = |moments: &Moments| moments.m2 + moments.mean * moments.mean * moments.count as f64;
    let mut falls: Vec<String> = Vec::new();
    for arm in 0..frame.names.len() {
        for (metric, spec) in frame.metrics.iter().enumerate() {
            let falls_at = series.windows(2).position(|pair| {
                let (before, after) = (&pair[0][arm][metric], &pair[1][arm][metric]);
                let falls = |before: f64, after: f64| match spec.measure {
                    Measure::Binary => after < before - 0.5,
                    Measure::Mean | Measure::Ratio => after < before - ROUNDING * before.abs(),
                };
                let sums = before.mean >= 0.0 && after.mean >= 0.0 && falls(before.sum(), after.sum());
                after.count < before.count || sums || falls(squares(before), squares(after))
            });
            if let Some(at) = falls_at {
                falls.push(format!("{} of `{}` at look {}", spec.name, frame.names[arm], frame.cells.looks[at + 1].look));
            }
        }
    }
    if let Some(first) = falls.first() {
        let others = if falls.len() > 1 { format!(" and {} other series", falls.len() - 1) } else { String::new() };
        let sentence = format!(
            "A cumulative count or sum gets smaller: {first}{others}. Either the looks are not cumulative or data were taken back."
        );
        doubts.push(doubt(Code::FallingCumulative, sentence));
    }
}

fn frozen(findings: &Findings<'_>, series: &[Vec<Vec<Moments>>], doubts: &mut Vec<Doubt>) {
    let frame = findings.evidence.frame;
    let mut found: Vec<(usize, String)> = Vec::new();
    for arm in 0..frame.names.len() {
        let units: Vec<Step> = findings
            .entries
            .iter()
            .map(|entry| {
                let all: f64 = entry.units.iter().map(|units| *units as f64).sum();
                Step { own: entry.units[arm] as f64, others: all - entry.units[arm] as f64 }
            })
            .collect();
        let by_units = still_from(&units).map(|at| (at, "no unit".to_owned()));
        let by_outcome = || {
            let of_metric =
                |metric: usize| Some((still_from(&outcomes(series, arm, metric))?, format!("no {}", frame.metrics[metric].name)));
            (0..frame.metrics.len()).find_map(of_metric)
        };
        if let Some((at, what)) = by_units.or_else(by_outcome) {
            found.push((arm, format!("`{}` gets {what} from {} on", frame.names[arm], findings.entries[at].date)));
        }
    }
    if let Some((_, first)) = found.first() {
        let sentence = format!("{first}, while the others go on: an arm that stands still is a broken export or a stopped send.");
        doubts.push(doubt(Code::FrozenArm, sentence));
    }
}

/// What an arm and the others got between two looks.
#[derive(Clone, Copy)]
struct Step {
    own: f64,
    others: f64,
}

/// New outcomes by look, sums being counted as the equal amounts that are as informative.
fn outcomes(series: &[Vec<Vec<Moments>>], arm: usize, metric: usize) -> Vec<Step> {
    let new = |at: usize, arm: usize| {
        let now = &series[at][arm][metric];
        let before = if at == 0 { Moments::default() } else { series[at - 1][arm][metric] };
        let grown = (now.sum() - before.sum()).abs();
        let unit = now.sum().abs() / now.effective_outcomes();
        if grown > 1e-12 * now.sum().abs() && unit > 0.0 { grown / unit } else { 0.0 }
    };
    let arms = series.first().map_or(0, Vec::len);
    let others = |at: usize| (0..arms).filter(|other| *other != arm).map(|other| new(at, other)).sum();
    (0..series.len()).map(|at| Step { own: new(at, arm), others: others(at) }).collect()
}

/// Where a run begins in which an arm that moved before gets nothing, though by its share so far it should have.
fn still_from(steps: &[Step]) -> Option<usize> {
    let (mut own, mut others) = (0.0, 0.0);
    let mut missed = 0.0;
    let mut start = None;
    for (at, step) in steps.iter().enumerate() {
        if step.own > 0.0 || own == 0.0 {
            (own, others) = (own + step.own, others + step.others);
            (missed, start) = (0.0, None);
            continue;
        }
        start = start.or(Some(at));
        missed += step.others;
        if others > 0.0 && missed * (own / others) > EXPECTED_WHILE_MISSING {
            return start;
        }
    }
    None
}

/// A step that is longer than the usual one means that something between is missing. Without a usual step there are no
/// gaps, and a weekend on which nothing ever happens is none.
fn gaps(findings: &Findings<'_>, doubts: &mut Vec<Doubt>) {
    let labels: Vec<&str> = findings.entries.iter().map(|entry| entry.date).collect();
    let days: Option<Vec<i64>> = labels.iter().map(|label| day(label)).collect();
    let places: Option<Vec<f64>> = match &days {
        Some(days) => Some(days.iter().map(|day| *day as f64).collect()),
        None => labels.iter().map(|label| label.trim().parse().ok().filter(|place: &f64| place.is_finite())).collect(),
    };
    let Some(places) = places else { return };
    let steps: Vec<f64> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let Some(usual) = usual_step(&steps) else { return };
    let is_weekend = |day: i64| matches!(day.rem_euclid(7), 0 | 6);
    let rests_at_weekends = days.as_ref().is_some_and(|days| usual == 1.0 && !days.iter().any(|day| is_weekend(*day)));
    // Days on which nobody happened to enter are not missing; a look is, because it is cumulative.
    let all: f64 = findings.entries.iter().flat_map(|entry| &entry.units).map(|units| *units as f64).sum();
    let has_looks = findings.looks.is_some();
    let is_expected = |missing: f64| has_looks || missing * all / labels.len() as f64 > EXPECTED_WHILE_MISSING;
    let is_gap = |at: &usize| {
        let excused = rests_at_weekends && days.as_ref().is_some_and(|days| (days[*at] + 1..days[at + 1]).all(is_weekend));
        steps[*at] > 1.5 * usual && !excused && is_expected(steps[*at] / usual - 1.0)
    };
    let gaps: Vec<String> = (0..steps.len()).filter(is_gap).map(|at| format!("{} and {}", labels[at], labels[at + 1])).collect();
    if let Some(first) = gaps.first() {
        let others = if gaps.len() > 1 { format!(" and in {} other places", gaps.len() - 1) } else { String::new() };
        let what = if days.is_some() { "Dates" } else { "Looks" };
        doubts.push(doubt(Code::Gap, format!("{what} are missing between {first}{others}.")));
    }
}

/// The smallest step that at least half of all steps have.
fn usual_step(steps: &[f64]) -> Option<f64> {
    let mut sorted = steps.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.dedup();
    let same = |step: f64| steps.iter().filter(|other| (**other - step).abs() <= 1e-9 * step.abs()).count();
    sorted.into_iter().find(|step| *step > 0.0 && steps.len() > 1 && 2 * same(*step) >= steps.len())
}

fn early_answers(findings: &Findings<'_>, doubts: &mut Vec<Doubt>) {
    let Some(looks) = findings.looks else { return };
    let says = |series: &LookSeries, procedure: Procedure| {
        series.rules.iter().find(|rule| rule.procedure == procedure).is_some_and(|rule| rule.significant)
    };
    let mistaken = |series: &&LookSeries| {
        says(series, Procedure::NaivePeeking) && !says(series, Procedure::FixedAtEnd) && !says(series, Procedure::AlwaysValid)
    };
    let peeked: Vec<&LookSeries> = looks.series.iter().filter(mistaken).collect();
    if let Some(first) = peeked.first() {
        let stopped = first.rules.iter().find(|rule| rule.procedure == Procedure::NaivePeeking);
        let at = stopped.and_then(|rule| rule.stopped_at.as_deref()).unwrap_or_default();
        let sentence = format!(
            "Stopping at the first small p-value would have called `{}` real on {} at look {at}; the full data do not. {} of {} series \
             would mislead like this.",
            first.variant,
            first.metric,
            peeked.len(),
            looks.series.len(),
        );
        doubts.push(doubt(Code::Peeking, sentence));
    }
    let drifting: Vec<String> = looks
        .series
        .iter()
        .filter(|series| series.drifts)
        .map(|series| format!("{} of {}", series.metric, series.variant))
        .collect();
    if !drifting.is_empty() {
        let sentence = format!(
            "The effect changed over the looks on {}: early answers are not the late ones, so read the current interval and not the \
             narrowest.",
            list(drifting.iter().map(String::as_str))
        );
        doubts.push(doubt(Code::NotStationary, sentence));
    }
}
