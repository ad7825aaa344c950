//! Whether what should be known before the experiment is the same in all arms, and how much it explains.
//!
//! A column that was fixed before the variant was drawn cannot depend on it. One that does was measured later, or units
//! went missing by its values; either way, adjusting or breaking down by it makes numbers worse, not better.

use std::collections::BTreeMap;

use stats::proportions::table;
use stats::{CoMoments, Moments, welch};

use crate::cells::{ArmCells, Group};
use crate::frame::Frame;
use crate::report::{Balance, BalanceKind, Covariate};
use crate::sample_ratio::THRESHOLD;

/// Counts expected below this are too few for a chi-square; they are counted together.
const EXPECTED_MIN: f64 = 5.0;

/// Tests every covariate, segment and the stratum.
pub(crate) fn balance(frame: &Frame<'_>) -> Vec<Balance> {
    let spec = frame.spec;
    let mut found: Vec<Balance> = Vec::new();
    let mut add = |column: &String, kind: BalanceKind, p_value: Option<f64>| {
        found.push(Balance { column: column.clone(), kind, p_value, late: false });
    };
    for (index, column) in spec.covariates.iter().enumerate() {
        add(column, BalanceKind::Covariate, covariate(frame, index));
    }
    for (index, column) in spec.segments.iter().enumerate() {
        add(column, BalanceKind::Segment, of_table(frame, |arm| arm.segments.get(index)));
    }
    if let Some(column) = &spec.stratum {
        add(column, BalanceKind::Stratum, of_table(frame, |arm| Some(&arm.strata)));
    }
    let threshold = THRESHOLD / found.len() as f64;
    for balance in &mut found {
        balance.late = balance.p_value.is_some_and(|p_value| p_value < threshold);
    }
    found
}

/// The smallest of Welch's p-values against control, times their number.
fn covariate(frame: &Frame<'_>, index: usize) -> Option<f64> {
    let moments = |arm: usize| -> Option<Moments> {
        let cell = frame.cell(arm, 0)?;
        Some(cell.moments.moments(first(frame, &cell.moments)? + index))
    };
    let control = moments(0)?;
    let p_values =
        frame.variants().filter_map(|variant| Some(welch(&control, &moments(variant)?, frame.spec.alpha).ok()?.p_value));
    let smallest = p_values.reduce(f64::min)?;
    Some((smallest * frame.variants().len() as f64).min(1.0))
}

/// Where the covariates begin.
fn first(frame: &Frame<'_>, moments: &CoMoments) -> Option<usize> {
    moments.dimensions().checked_sub(frame.spec.covariates.len()).filter(|first| *first > 0)
}

/// The chi-square of independence of variant and value.
fn of_table<'a>(frame: &Frame<'a>, groups: impl Fn(&'a ArmCells) -> Option<&'a BTreeMap<String, Group>>) -> Option<f64> {
    let arms: Vec<&BTreeMap<String, Group>> =
        (0..frame.names.len()).filter_map(|arm| groups(frame.arm(arm)?)).filter(|groups| !groups.is_empty()).collect();
    let mut values: Vec<&str> = arms.iter().flat_map(|groups| groups.keys().map(String::as_str)).collect();
    values.sort_unstable();
    values.dedup();
    let count = |groups: &BTreeMap<String, Group>, value: &str| groups.get(value).map_or(0.0, |group| group.units as f64);
    let rows = values.iter().map(|value| arms.iter().map(|groups| count(groups, value)).collect::<Vec<f64>>());
    independence(rows.collect())
}

/// The p-value of Pearson's test that the rows have the same shares of the columns. Rows expected too small are counted
/// together. `None` with fewer than two rows or columns.
pub(crate) fn independence(rows: Vec<Vec<f64>>) -> Option<f64> {
    let width = rows.first()?.len();
    let columns: Vec<f64> = (0..width).map(|column| rows.iter().map(|row| row[column]).sum()).collect();
    let total: f64 = columns.iter().sum();
    let least = columns.iter().copied().filter(|sum| *sum > 0.0).fold(f64::INFINITY, f64::min) / total;
    let mut kept: Vec<Vec<f64>> = Vec::with_capacity(rows.len());
    let mut rest = vec![0.0; width];
    for row in rows {
        if row.iter().sum::<f64>() * least >= EXPECTED_MIN {
            kept.push(row);
        } else {
            rest.iter_mut().zip(row).for_each(|(sum, count)| *sum += count);
        }
        if rest.iter().sum::<f64>() * least >= EXPECTED_MIN {
            kept.push(std::mem::replace(&mut rest, vec![0.0; width]));
        }
    }
    table::independence(&kept).ok().map(|test| test.p_value)
}

/// How much each covariate explains of each metric by itself, within arms: the squared correlation.
pub(crate) fn covariates(frame: &Frame<'_>) -> Vec<Covariate> {
    let names = &frame.spec.covariates;
    let per_metric = frame.metrics.iter().enumerate().flat_map(|(metric, spec)| {
        names.iter().enumerate().map(move |(index, name)| Covariate {
            name: name.clone(),
            metric: spec.name.clone(),
            variance_removed: explained(frame, metric, index),
        })
    });
    per_metric.collect()
}

fn explained(frame: &Frame<'_>, metric: usize, index: usize) -> Option<f64> {
    let (mut outcome, mut covariate, mut both) = (0.0, 0.0, 0.0);
    for cell in (0..frame.names.len()).filter_map(|arm| frame.cell(arm, metric)) {
        let moments = &cell.moments;
        let at = first(frame, moments)? + index;
        let ratio = if frame.is_ratio(cell) { moments.mean(0) / moments.mean(1) } else { 0.0 };
        let scale = if frame.is_ratio(cell) { moments.mean(1) } else { 1.0 };
        let weights = if frame.is_ratio(cell) { vec![1.0, -ratio] } else { vec![1.0] };
        outcome += moments.combined(&weights).m2 / (scale * scale);
        covariate += moments.product(at, at);
        both += weights.iter().enumerate().map(|(number, weight)| weight * moments.product(number, at)).sum::<f64>() / scale;
    }
    let correlation = both / outcome.sqrt() / covariate.sqrt();
    let explained = correlation * correlation;
    explained.is_finite().then_some(explained.min(1.0))
}
