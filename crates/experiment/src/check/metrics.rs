//! What must hold of the metrics of an experiment.

use vocabulary::{Measure, Metric, Outcome};

use super::{Check, label, line, unique, within};
use crate::cells::{PARTS, is_age, millionths};
use crate::error::Problem;

/// More metrics than anyone reads; each costs columns in the one scan of the readout.
const METRICS_MAX: usize = 50;

/// More than any message or recipient costs. Up to here six decimals are exact, and so are sums of squares.
const COST_MAX: f64 = 1_000_000.0;

/// Nobody brings more than this; up to here six decimals are exact.
const CAP_MAX: f64 = 1_000_000_000.0;

/// What to write for profit.
const COSTS: &str = "`costs: {margin: 0.4, message: 0.001}`";

/// Of the metrics of an experiment whose window has so many hours.
pub(super) fn check(metrics: &[Metric], window_hours: u32) -> Check {
    within("metrics", (1..=METRICS_MAX).contains(&metrics.len()), || {
        format!("has {}; an experiment needs from 1 to {METRICS_MAX}", metrics.len())
    })?;
    unique(metrics, |index| format!("metrics[{index}].name"), |metric| &metric.name)?;
    for (index, metric) in metrics.iter().enumerate() {
        let field = |key: &str| format!("metrics[{index}].{key}");
        label(&field("name"), &metric.name)?;
        measure(&field("measure"), metric)?;
        costs(&field("costs"), metric)?;
        cap(&field("cap"), metric)?;
        per(&field("per"), metric, metrics)?;
        window(&field("window_hours"), metric, window_hours)?;
        within(&field("unit"), metric.unit.is_none() || !has_own_unit(metric.measure), || {
            format!("is for counts and money, and the measure is {}; leave it out", metric.measure)
        })?;
        line(&field("unit"), metric.unit.as_ref())?;
        line(&field("owner"), metric.owner.as_ref())?;
    }
    Ok(())
}

fn measure(field: &str, metric: &Metric) -> Check {
    let Metric { measure, outcome, .. } = metric;
    let is_money = matches!(measure, Measure::Amount | Measure::Profit);
    within(field, !is_money || *outcome == Outcome::Order, || {
        format!("is {measure}, which only orders have; the outcome is {outcome}")
    })?;
    within(field, (*measure, *outcome) != (Measure::Count, Outcome::Delivery), || {
        "is count, and a message that is taken by one server and told as arrived by the next would count twice; write `occurred`"
            .to_owned()
    })
}

/// Whether numbers of a measure are in percent or hours.
fn has_own_unit(measure: Measure) -> bool {
    matches!(measure, Measure::Occurred | Measure::HoursToFirst)
}

fn cap(field: &str, metric: &Metric) -> Check {
    let Some(cap) = metric.cap else { return Ok(()) };
    let measure = metric.measure;
    within(field, !has_own_unit(measure), || {
        format!("is for values without an end, and the measure is {measure}; leave it out")
    })?;
    within(field, cap > 0.0 && cap <= CAP_MAX, || {
        format!("is {cap}; it must be more than 0 and at most {CAP_MAX}: a recipient beyond it counts as if they had just that")
    })?;
    within(field, measure != Measure::Count || cap.fract() == 0.0, || format!("is {cap}; of a count it must be a whole number"))?;
    exact(field, cap)
}

fn window(field: &str, metric: &Metric, window_hours: u32) -> Check {
    let Some(hours) = metric.window_hours else { return Ok(()) };
    within(field, (1..=window_hours).contains(&hours), || {
        format!("is {hours}; it must be from 1 to {window_hours}, which is the experiment's window")
    })?;
    within(field, is_age(hours) || hours == window_hours, || {
        format!("is {hours}, and outcomes are known by 1, 2, 4, 8, 12 and 24 hours and by whole days; write one of these")
    })
}

fn costs(field: &str, metric: &Metric) -> Check {
    let is_profit = metric.measure == Measure::Profit;
    within(field, is_profit == metric.costs.is_some(), || match metric.costs {
        None => format!("is missing, which profit is made of; add {COSTS}"),
        Some(_) => format!("is for profit, and the measure is {}; leave it out, or write `measure: profit`", metric.measure),
    })?;
    let Some(costs) = metric.costs else { return Ok(()) };
    within(&format!("{field}.margin"), costs.margin > 0.0 && costs.margin <= 1.0, || {
        format!("is {}; it must be more than 0 and at most 1: 0.4 leaves 40 of 100", costs.margin)
    })?;
    let amounts = [("message", costs.message), ("unsubscribe", costs.unsubscribe), ("complaint", costs.complaint)];
    for (name, amount) in amounts {
        within(&format!("{field}.{name}"), (0.0..=COST_MAX).contains(&amount), || {
            format!("is {amount}; it must be from 0 to {COST_MAX}, in the base currency")
        })?;
    }
    for (name, number) in [("margin", costs.margin)].into_iter().chain(amounts) {
        exact(&format!("{field}.{name}"), number)?;
    }
    Ok(())
}

fn per(field: &str, metric: &Metric, metrics: &[Metric]) -> Check {
    let Some(per) = &metric.per else { return Ok(()) };
    let others = || metrics.iter().filter(|other| other.name != metric.name);
    within(field, *per != metric.name, || "is the metric itself, which would always be 1; name another one".to_owned())?;
    let Some(denominator) = others().find(|other| other.name == *per) else {
        let names: Vec<&str> = others().map(|other| other.name.as_str()).collect();
        let reason = format!("is `{per}`, which is none of the other metrics {}", names.join(", "));
        return Err(Problem::new(field, reason).nearest_of(per, names));
    };
    within(field, denominator.per.is_none(), || format!("is `{per}`, which is a ratio itself; name one without `per`"))?;
    let is_time = |metric: &Metric| metric.measure == Measure::HoursToFirst;
    within(field, !is_time(metric) && !is_time(denominator), || {
        "is for sums, and the hours to the first are none: name another metric, or leave it out".to_owned()
    })
}

/// Sums are whole numbers, so that what they are made of must not be finer than these.
fn exact(field: &str, number: f64) -> Check {
    let rounded = millionths(number) as f64 / PARTS as f64;
    within(field, rounded == number, || format!("is {number}; it can have six decimals, so write {rounded}"))
}
