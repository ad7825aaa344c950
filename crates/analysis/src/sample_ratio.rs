//! Whether the arms have the sizes they were meant to have: in total, and date by date.
//!
//! Without a plan, arms that are almost equal were meant to be equal; where they are not, nothing can be tested but
//! whether the shares stay the same over time.

use crate::balance::independence;
use crate::frame::Frame;
use crate::report::{Answer, ChiSquare, DateUnits, PlanSource, Reason, SampleRatio, SampleRatioByDate, SequentialSampleRatio};

/// A test below this p-value alarms. Strict, because a real mismatch soon has a far smaller one and a false alarm costs a
/// whole experiment.
pub(crate) const THRESHOLD: f64 = 0.001;

/// Without a plan, shares this near to equal, relative to it, were meant to be equal.
const EQUAL_WITHIN: f64 = 0.1;

/// How strongly the sequential test expects small mismatches: it suits mailings.
const CONCENTRATION: f64 = 10_000.0;

/// A date with fewer expected units in an arm is not tested by itself.
const EXPECTED_MIN: f64 = 5.0;

/// Units that entered on a date, or since the look before, by arm.
pub(crate) struct Entry<'a> {
    pub(crate) date: &'a str,
    pub(crate) units: Vec<u64>,
}

/// Entries by date or look, oldest first; empty without either.
pub(crate) fn entries<'a>(frame: &Frame<'a>) -> Vec<Entry<'a>> {
    let arms = 0..frame.names.len();
    if frame.cells.looks.is_empty() {
        let mut dates: Vec<&str> =
            arms.clone().filter_map(|arm| frame.arm(arm)).flat_map(|arm| arm.dates.keys().map(String::as_str)).collect();
        dates.sort_unstable();
        dates.dedup();
        let units = |date: &str, arm: usize| frame.arm(arm).and_then(|arm| arm.dates.get(date)).map_or(0, |group| group.units);
        return dates.into_iter().map(|date| Entry { date, units: arms.clone().map(|arm| units(date, arm)).collect() }).collect();
    }
    let mut before = vec![0_u64; arms.len()];
    let mut entries = Vec::with_capacity(frame.cells.looks.len());
    for look in &frame.cells.looks {
        let now: Vec<u64> = arms.clone().map(|arm| frame.arm_of(arm, &look.arms).map_or(0, |cells| cells.all.units)).collect();
        let units = now.iter().zip(&before).map(|(now, before)| now.saturating_sub(*before)).collect();
        entries.push(Entry { date: &look.look, units });
        before = now;
    }
    entries
}

/// Planned shares by arm, and how they are known. A variant of the plan that the file does not hold comes after the arms:
/// it is an arm without a unit.
fn plan(frame: &Frame<'_>) -> (PlanSource, Vec<f64>) {
    let told = &frame.spec.plan;
    if told.is_empty() {
        let equal = vec![1.0; frame.names.len()];
        let units: Vec<u64> = (0..frame.names.len()).map(|arm| frame.units(arm)).collect();
        let mean = units.iter().map(|units| *units as f64).sum::<f64>() / units.len() as f64;
        let near = units.iter().all(|units| (*units as f64 / mean - 1.0).abs() <= EQUAL_WITHIN);
        let passes = stats::sample_ratio(&units, &equal).is_ok_and(|test| test.p_value >= THRESHOLD);
        let source = if near || passes { PlanSource::AssumedEqual } else { PlanSource::Unknown };
        return (source, equal);
    }
    let share = |name: &str| told.iter().find(|(variant, _)| variant == name).map_or(0.0, |(_, share)| *share);
    let missing = told.iter().filter(|(variant, _)| !frame.names.contains(&variant.as_str())).map(|(_, share)| *share);
    (PlanSource::Told, frame.names.iter().map(|name| share(name)).chain(missing).collect())
}

/// The planned share of each arm, where there is a plan.
pub(crate) fn planned(frame: &Frame<'_>) -> Option<Vec<f64>> {
    let (source, weights) = plan(frame);
    let total: f64 = weights.iter().sum();
    (source != PlanSource::Unknown && total > 0.0 && total.is_finite())
        .then(|| weights.iter().take(frame.names.len()).map(|weight| weight / total).collect())
}

/// Everything about the arms' sizes.
pub(crate) fn sample_ratio(frame: &Frame<'_>, entries: &[Entry<'_>]) -> SampleRatio {
    let (plan, weights) = plan(frame);
    let mut units: Vec<u64> = (0..frame.names.len()).map(|arm| frame.units(arm)).collect();
    units.resize(weights.len(), 0);
    let unplanned = frame.names.iter().zip(&weights).find(|(_, weight)| **weight <= 0.0).map(|(name, _)| *name);
    let test = match (plan, unplanned) {
        (PlanSource::Unknown, _) => {
            Answer::Degenerate(Reason { why: "no planned shares were told and the arms are not even".to_owned() })
        }
        (_, Some(name)) => Answer::Degenerate(Reason { why: format!("the plan gives `{name}` no share") }),
        _ => stats::sample_ratio(&units, &weights).into(),
    };
    let unplanned_units = plan == PlanSource::Told && unplanned.is_some();
    let mismatch = unplanned_units || test.computed().is_some_and(|test: &ChiSquare| test.p_value < THRESHOLD);
    let sequential = test.computed().and_then(|_| sequential(entries, &weights));
    SampleRatio { plan, test, by_date: by_date(frame, entries), sequential, threshold: THRESHOLD, mismatch }
}

impl From<stats::ChiSquare> for ChiSquare {
    fn from(test: stats::ChiSquare) -> Self {
        Self { statistic: test.statistic, degrees_of_freedom: test.degrees_of_freedom, p_value: test.p_value }
    }
}

fn sequential(entries: &[Entry<'_>], weights: &[f64]) -> Option<SequentialSampleRatio> {
    let mut test = stats::SequentialSampleRatio::new(weights, CONCENTRATION).ok()?;
    let mut found = SequentialSampleRatio { p_value: 1.0, alarm: None, alarm_peeked: None };
    let mut so_far = vec![0_u64; weights.len()];
    let mut increments = so_far.clone();
    for entry in entries {
        increments[..entry.units.len()].copy_from_slice(&entry.units);
        so_far.iter_mut().zip(&increments).for_each(|(sum, units)| *sum = sum.saturating_add(*units));
        found.p_value = test.observe(&increments).ok()?.p_value;
        if found.p_value < THRESHOLD && found.alarm.is_none() {
            found.alarm = Some(entry.date.to_owned());
        }
        let peeked = || stats::sample_ratio(&so_far, weights).is_ok_and(|test| test.p_value < THRESHOLD);
        if found.alarm_peeked.is_none() && peeked() {
            found.alarm_peeked = Some(entry.date.to_owned());
        }
    }
    (entries.len() > 1).then_some(found)
}

/// Tests whether the shares change from date to date, with the shares of all dates together as what to expect: errors that
/// cancel in total do not cancel here. Two tests, because one bad day among many is lost in a sum over all.
fn by_date(frame: &Frame<'_>, entries: &[Entry<'_>]) -> Option<SampleRatioByDate> {
    let totals: Vec<f64> = (0..frame.names.len()).map(|arm| entries.iter().map(|entry| entry.units[arm] as f64).sum()).collect();
    let total: f64 = totals.iter().sum();
    let least = totals.iter().copied().filter(|sum| *sum > 0.0).fold(f64::INFINITY, f64::min) / total;
    let filled = totals.iter().filter(|sum| **sum > 0.0).count();
    if entries.len() < 2 || filled < 2 {
        return None;
    }
    let of_date = |entry: &Entry<'_>| {
        let units: f64 = entry.units.iter().map(|units| *units as f64).sum();
        let (units_filled, weights): (Vec<u64>, Vec<f64>) =
            entry.units.iter().zip(&totals).filter(|(_, sum)| **sum > 0.0).map(|(count, sum)| (*count, *sum)).unzip();
        let test = || Some(stats::sample_ratio(&units_filled, &weights).ok()?.p_value);
        (units * least >= EXPECTED_MIN).then(test).flatten()
    };
    let p_values: Vec<Option<f64>> = entries.iter().map(of_date).collect();
    let tested = p_values.iter().flatten().count();
    let (worst, smallest) = p_values
        .iter()
        .enumerate()
        .filter_map(|(index, p_value)| p_value.map(|p_value| (index, p_value)))
        .min_by(|one, other| one.1.total_cmp(&other.1))?;
    let together = independence(entries.iter().map(|entry| entry.units.iter().map(|units| *units as f64).collect()).collect());
    let p_value = (2.0 * (smallest * tested as f64).min(together.unwrap_or(1.0))).min(1.0);
    let date = |(entry, p_value): (&Entry<'_>, Option<f64>)| DateUnits {
        date: entry.date.to_owned(),
        units: entry.units.clone(),
        p_value,
    };
    Some(SampleRatioByDate {
        p_value,
        mismatch: p_value < THRESHOLD,
        worst: entries[worst].date.to_owned(),
        dates: entries.iter().zip(p_values).map(date).collect(),
    })
}
