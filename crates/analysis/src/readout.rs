//! From cells to a report.

use stats::Moments;

use crate::cells::{Cells, ExperimentCells};
use crate::doubts::{Findings, doubts};
use crate::estimate::{against_control, mean, other_pairs};
use crate::frame::Frame;
use crate::report::{Arm, ArmMetric, Basis, Interval, Readout, Report};
use crate::sample_ratio::{entries, planned, sample_ratio};
use crate::spec::Spec;
use crate::verdict::{Evidence, verdict};
use crate::words::count;
use crate::{balance, fleet, looks, segments};

/// Says everything that can be said of what was counted. `engine` names what computes it, with its version.
#[must_use]
pub fn report(spec: &Spec, cells: &Cells, engine: &str) -> Report {
    let experiments: Vec<Readout> = cells.experiments.iter().map(|experiment| readout(spec, experiment)).collect();
    let fleet = fleet::fleet(spec, &experiments);
    let notes = notes(spec, cells);
    Report { engine: engine.to_owned(), spec: spec.clone(), rows: cells.rows, notes, experiments, fleet }
}

/// What the reader should know of how the file was read.
fn notes(spec: &Spec, cells: &Cells) -> Vec<String> {
    let empty = spec.metrics.iter().zip(&cells.empty).filter(|(_, empty)| **empty > 0);
    let mut notes: Vec<String> = empty
        .map(|(metric, empty)| format!("{} of {} counted as 0.", count(*empty, "empty value", "empty values"), metric.name))
        .collect();
    for metric in &spec.metrics {
        if let Some(cap) = metric.cap {
            notes.push(format!("{} is capped at its {} quantile over all units.", metric.name, cap));
        }
    }
    if let Some(cluster) = &spec.cluster {
        notes.push(format!("Units are the values of {cluster}; rows of one are not independent and count together."));
    }
    notes
}

fn readout(spec: &Spec, cells: &ExperimentCells) -> Readout {
    let frame = Frame::new(spec, cells);
    let moments: Vec<Vec<Moments>> =
        (0..frame.names.len()).map(|arm| (0..frame.metrics.len()).map(|metric| frame.moments(arm, metric)).collect()).collect();
    let balance = balance::balance(&frame);
    let asked = !spec.covariates.is_empty() || spec.stratum.is_some();
    let basis = if asked && !balance.iter().any(|balance| balance.late && balance.adjusts()) {
        Basis::Adjusted
    } else {
        Basis::Unadjusted
    };
    let estimates = against_control(&frame, &moments, basis);
    let other_pairs = other_pairs(&frame, &moments, basis);
    let entries = entries(&frame);
    let sample_ratio = sample_ratio(&frame, &entries);
    let mut segments = segments::segments(&frame);
    let looks = looks::looks(&frame);
    let evidence = Evidence { frame: &frame, estimates: &estimates, sample_ratio: &sample_ratio, basis };
    let verdict = verdict(&evidence);
    let findings = Findings {
        evidence: &evidence,
        other_pairs: &other_pairs,
        segments: &segments,
        balance: &balance,
        entries: &entries,
        looks: looks.as_ref(),
        verdict: &verdict,
    };
    let doubts = doubts(&findings);
    segments::advise(&frame, &mut segments, &balance, &verdict);
    Readout {
        experiment: cells.name.clone(),
        control: frame.control().to_owned(),
        arms: arms(&frame, &moments),
        covariates: balance::covariates(&frame),
        metrics: frame.metrics,
        sample_ratio,
        basis,
        estimates,
        other_pairs,
        segments,
        balance,
        looks,
        verdict,
        doubts,
    }
}

fn arms(frame: &Frame<'_>, moments: &[Vec<Moments>]) -> Vec<Arm> {
    let total: f64 = (0..frame.names.len()).map(|arm| frame.units(arm) as f64).sum();
    let planned = planned(frame);
    let z = stats::tail::normal_quantile_upper(frame.spec.alpha / 2.0);
    let metric = |arm: usize, metric: usize| {
        let of_metric = &moments[arm][metric];
        let error = of_metric.variance_of_mean().map(|variance| z * variance.sqrt()).filter(|reach| reach.is_finite());
        let mean = mean(of_metric);
        ArmMetric {
            metric: frame.metrics[metric].name.clone(),
            mean,
            interval: mean.zip(error).map(|(mean, reach)| Interval { lower: Some(mean - reach), upper: Some(mean + reach) }),
            nonzero: frame.cell(arm, metric).map_or(0, |cell| cell.nonzero),
        }
    };
    let arm = |arm: usize| Arm {
        variant: frame.names[arm].to_owned(),
        units: frame.units(arm),
        share: if total > 0.0 { frame.units(arm) as f64 / total } else { 0.0 },
        share_planned: planned.as_ref().map(|planned| planned[arm]),
        metrics: (0..frame.metrics.len()).map(|of_metric| metric(arm, of_metric)).collect(),
    };
    (0..frame.names.len()).map(arm).collect()
}
