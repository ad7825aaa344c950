//! Results by segment, and whether an effect differs between the values of one.
//!
//! An effect among some units is easily mistaken for an effect that is special to them. So two questions are kept apart,
//! each corrected over everything that was asked: is there an effect here (per value), and does it differ from value to
//! value (Cochran's test: the squared distances of the values' effects from their weighted mean, over their variances,
//! are chi-square with one degree of freedom less than values; Cochran, "The combination of estimates from different
//! experiments", Biometrics 10, 1954). Only an answer to the second could be a reason to treat segments differently.

use stats::hierarchy::heterogeneity;
use stats::{ChiSquare, Moments};

use crate::cells::Group;
use crate::correction::corrected;
use crate::estimate::{compare, mean};
use crate::frame::Frame;
use crate::report::{
    Answer, Balance, BalanceKind, Difference, Heterogeneity, SegmentColumn, SegmentEstimate, SegmentValue, Verdict, VerdictKind,
};
use crate::spec::Correction;
use crate::words;

/// Results by every segment column.
pub(crate) fn segments(frame: &Frame<'_>) -> Vec<SegmentColumn> {
    let mut columns: Vec<SegmentColumn> = (0..frame.spec.segments.len()).map(|column| of_column(frame, column)).collect();
    let alpha = frame.spec.alpha;
    let effects = || columns.iter().flat_map(|column| &column.values).flat_map(|value| &value.estimates);
    let p_values: Vec<f64> =
        effects().map(|estimate| estimate.absolute.computed().map_or(1.0, |effect| effect.p_value)).collect();
    let tests: Vec<f64> = columns.iter().flat_map(|column| &column.heterogeneity).map(|test| test.p_value).collect();
    let mut q_values = corrected(&p_values, Correction::Bh).into_iter();
    let mut test_q_values = corrected(&tests, Correction::Bh).into_iter();
    for column in &mut columns {
        for estimate in column.values.iter_mut().flat_map(|value| &mut value.estimates) {
            let q_value = q_values.next().filter(|_| estimate.absolute.computed().is_some());
            estimate.significant = q_value.is_some_and(|q_value| q_value <= alpha);
            estimate.q_value = q_value;
        }
        for test in &mut column.heterogeneity {
            test.q_value = test_q_values.next().unwrap_or(1.0);
            test.significant = test.q_value <= alpha;
        }
    }
    columns
}

/// The values of a segment column that any arm has, in their order.
pub(crate) fn values<'a>(frame: &Frame<'a>, column: usize) -> Vec<&'a str> {
    let arms = (0..frame.names.len()).filter_map(|arm| frame.arm(arm)?.segments.get(column));
    let mut values: Vec<&str> = arms.flat_map(|groups| groups.keys().map(String::as_str)).collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn group<'a>(frame: &Frame<'a>, arm: usize, column: usize, value: &str) -> Option<&'a Group> {
    frame.arm(arm)?.segments.get(column)?.get(value)
}

fn of_column(frame: &Frame<'_>, column: usize) -> SegmentColumn {
    let mut moments: Vec<Moments> = Vec::with_capacity(frame.names.len());
    let mut values: Vec<SegmentValue> = Vec::new();
    for value in self::values(frame, column) {
        let groups: Vec<Option<&Group>> = (0..frame.names.len()).map(|arm| group(frame, arm, column, value)).collect();
        let mut estimates = Vec::with_capacity(frame.metrics.len() * frame.variants().len());
        for metric in 0..frame.metrics.len() {
            moments.clear();
            moments.extend(groups.iter().map(|group| frame.outcome(*group, metric)));
            estimates.extend(frame.variants().map(|variant| estimate(frame, metric, variant, &moments[0], &moments[variant])));
        }
        let units = groups.iter().map(|group| group.map_or(0, |group| group.units)).collect();
        values.push(SegmentValue { value: value.to_owned(), units, estimates });
    }
    let pairs = (0..frame.metrics.len()).flat_map(|metric| frame.variants().map(move |variant| (metric, variant)));
    let tests = pairs.enumerate().filter_map(|(index, (metric, variant))| {
        let effects = values.iter().filter_map(|value| value.estimates[index].absolute.computed());
        let effects: Vec<(f64, f64)> = effects.map(|effect| (effect.difference, effect.standard_error)).collect();
        let ChiSquare { statistic, degrees_of_freedom, p_value } = heterogeneity(&effects).ok()?;
        let (metric, variant) = (frame.metrics[metric].name.clone(), frame.names[variant].to_owned());
        Some(Heterogeneity { metric, variant, statistic, degrees_of_freedom, p_value, q_value: 1.0, significant: false })
    });
    let heterogeneity = tests.collect();
    SegmentColumn { column: frame.spec.segments[column].clone(), values, heterogeneity, advice: None }
}

fn estimate(frame: &Frame<'_>, metric: usize, variant: usize, baseline: &Moments, of_variant: &Moments) -> SegmentEstimate {
    let compared = compare(baseline, of_variant, frame.spec.alpha);
    SegmentEstimate {
        metric: frame.metrics[metric].name.clone(),
        variant: frame.names[variant].to_owned(),
        mean_baseline: mean(baseline),
        mean_variant: mean(of_variant),
        absolute: compared.absolute,
        relative: compared.relative,
        q_value: None,
        significant: false,
    }
}

/// The effect when every value has its share of all units in both arms: a difference that no mixture of values explains.
/// `None` where an effect is missing.
pub(crate) fn standardised(column: &SegmentColumn, index: usize) -> Option<(f64, f64)> {
    let total: f64 = column.values.iter().flat_map(|value| &value.units).map(|units| *units as f64).sum();
    let (mut difference, mut variance) = (0.0, 0.0);
    for value in &column.values {
        let share = value.units.iter().map(|units| *units as f64).sum::<f64>() / total;
        let effect = value.estimates.get(index)?.absolute.computed()?;
        difference += share * effect.difference;
        variance += (share * effect.standard_error).powi(2);
    }
    let found = (difference, variance.sqrt());
    (found.0.is_finite() && found.1.is_finite() && found.1 > 0.0).then_some(found)
}

/// Says per column whether a value would be served better by another variant than the verdict's, where the effect on the
/// primary metric is known to differ from value to value. Columns that moved with the variant give none.
pub(crate) fn advise(frame: &Frame<'_>, columns: &mut [SegmentColumn], balance: &[Balance], verdict: &Verdict) {
    let Some(primary) = frame.metrics.get(frame.primary) else { return };
    let Some(chosen) = frame.names.iter().position(|name| *name == verdict.variant) else { return };
    if verdict.kind == VerdictKind::Undecided {
        return;
    }
    let is_late =
        |column: &str| balance.iter().any(|found| found.kind == BalanceKind::Segment && found.late && found.column == column);
    for (index, column) in columns.iter_mut().enumerate() {
        if is_late(&column.column) {
            continue;
        }
        if column.heterogeneity.iter().any(|test| test.significant && test.metric == primary.name) {
            column.advice = Some(advice(frame, index, chosen));
        }
    }
}

fn advice(frame: &Frame<'_>, column: usize, chosen: usize) -> String {
    let values = values(frame, column);
    let mut rivals: Vec<(&str, usize, Difference)> = Vec::new();
    for value in &values {
        let moments = |arm: usize| frame.outcome(group(frame, arm, column, value), frame.primary);
        let of_chosen = moments(chosen);
        for arm in (0..frame.names.len()).filter(|arm| *arm != chosen) {
            if let Answer::Computed(difference) = compare(&of_chosen, &moments(arm), frame.spec.alpha).absolute {
                rivals.push((value, arm, difference));
            }
        }
    }
    let p_values = corrected(&rivals.iter().map(|(_, _, difference)| difference.p_value).collect::<Vec<_>>(), Correction::Holm);
    let metric = &frame.metrics[frame.primary];
    let better = |difference: f64| if metric.lower_is_better { difference < 0.0 } else { difference > 0.0 };
    let mut gains: Vec<String> = Vec::new();
    for ((value, arm, difference), p_value) in rivals.iter().zip(p_values) {
        if p_value <= frame.spec.alpha && better(difference.difference) {
            let gain = words::difference(metric.measure, difference.difference, &difference.interval);
            gains.push(format!("`{}` for `{value}` ({gain} on {})", frame.names[*arm], metric.name));
        }
    }
    let name = &frame.spec.segments[column];
    if gains.is_empty() {
        format!(
            "The effect on {} differs by {name}, but no value of it is shown to be served better by another variant than `{}`.",
            metric.name, frame.names[chosen]
        )
    } else {
        format!(
            "The effect on {} differs by {name}; better than `{}` are {}.",
            metric.name,
            frame.names[chosen],
            gains.join(", ")
        )
    }
}
