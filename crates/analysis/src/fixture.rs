//! Cells for tests.

use stats::{CoMoments, Moments};

use crate::cells::{ArmCells, Cells, ExperimentCells, Group, LookCells, MetricCell};
use crate::report::{Code, Readout, Report};
use crate::spec::{Kind, MetricSpec, Spec};

pub(crate) fn binary(units: u64, successes: u64) -> MetricCell {
    MetricCell { is_binary: true, nonzero: successes, ..amount(Moments::from_successes(units, successes)) }
}

pub(crate) fn amount(moments: Moments) -> MetricCell {
    MetricCell {
        moments: CoMoments::from_centred(moments.count, vec![moments.mean], vec![moments.m2]),
        without_outliers: None,
        is_binary: false,
        nonzero: moments.count,
    }
}

pub(crate) fn normal(count: u64, mean: f64, deviation: f64) -> MetricCell {
    amount(moments(count, mean, deviation))
}

pub(crate) fn moments(count: u64, mean: f64, deviation: f64) -> Moments {
    Moments { count, mean, m2: deviation * deviation * count.saturating_sub(1) as f64 }
}

pub(crate) fn group(metrics: Vec<MetricCell>) -> Group {
    Group { units: metrics.iter().map(|cell| cell.moments.count).max().unwrap_or(0), metrics }
}

pub(crate) fn arm(variant: &str, metrics: Vec<MetricCell>) -> ArmCells {
    ArmCells { variant: variant.to_owned(), all: group(metrics), ..ArmCells::default() }
}

pub(crate) fn segmented(variant: &str, metrics: Vec<MetricCell>, values: &[(&str, Vec<MetricCell>)]) -> ArmCells {
    let values = values.iter().map(|(value, metrics)| ((*value).to_owned(), group(metrics.clone())));
    ArmCells { segments: vec![values.collect()], ..arm(variant, metrics) }
}

/// Units by date; the metric is of all of them.
pub(crate) fn dated(variant: &str, metrics: Vec<MetricCell>, dates: &[(&str, u64)]) -> ArmCells {
    let dates = dates.iter().map(|(date, units)| ((*date).to_owned(), Group { units: *units, metrics: Vec::new() }));
    ArmCells { dates: dates.collect(), ..arm(variant, metrics) }
}

/// Cumulative looks of a binary metric: per look its name and, per arm, units and successes.
pub(crate) fn looks(arms: &[&str], looks: &[(&str, &[(u64, u64)])]) -> ExperimentCells {
    let look = |(name, cells): &(&str, &[(u64, u64)])| LookCells {
        look: (*name).to_owned(),
        arms: arms
            .iter()
            .zip(*cells)
            .map(|(variant, (units, successes))| arm(variant, vec![binary(*units, *successes)]))
            .collect(),
    };
    let looks: Vec<LookCells> = looks.iter().map(look).collect();
    ExperimentCells { name: None, arms: looks.last().map(|last| last.arms.clone()).unwrap_or_default(), looks }
}

pub(crate) fn spec(metrics: &[&str]) -> Spec {
    Spec::new("variant", "a", metrics.iter().map(|name| MetricSpec::new(name, Kind::Auto)).collect())
}

pub(crate) fn report(spec: &Spec, experiments: Vec<ExperimentCells>) -> Report {
    crate::report(spec, &Cells { rows: 0, empty: Vec::new(), experiments }, "engine")
}

pub(crate) fn readout(spec: &Spec, arms: Vec<ArmCells>) -> Readout {
    readout_of(spec, ExperimentCells { name: None, arms, looks: Vec::new() })
}

pub(crate) fn readout_of(spec: &Spec, cells: ExperimentCells) -> Readout {
    report(spec, vec![cells]).experiments.remove(0)
}

pub(crate) fn codes(readout: &Readout) -> Vec<Code> {
    readout.doubts.iter().map(|doubt| doubt.code).collect()
}
