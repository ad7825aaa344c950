//! Many experiments together: how many of the wins are real, and how large effects are here.

use stats::hierarchy::shrunken_effects_about;

use crate::correction::corrected;
use crate::report::{Estimate, Fleet, FleetRow, FleetSampleRatio, FleetSpread, Readout, Role};
use crate::spec::{Correction, Spec};
use crate::words::{number, percent};

/// Fewer lifts than this do not tell how far lifts lie apart.
const LIFTS_MIN: usize = 3;

/// All experiments of a file; `None` for one.
pub(crate) fn fleet(spec: &Spec, readouts: &[Readout]) -> Option<Fleet> {
    if readouts.len() < 2 {
        return None;
    }
    let best: Vec<Option<&Estimate>> = readouts.iter().map(best).collect();
    let (spread, shrunken) = shrink(readouts, spec.alpha);
    let p_values: Vec<Option<f64>> = best.iter().map(|best| best.and_then(within)).collect();
    let q_bh = over_all(&p_values, Correction::Bh);
    let q_by = over_all(&p_values, Correction::By);
    let ratio_p: Vec<Option<f64>> =
        readouts.iter().map(|readout| readout.sample_ratio.test.computed().map(|test| test.p_value)).collect();
    let ratio_q = over_all(&ratio_p, Correction::Bh);
    let mut rows: Vec<FleetRow> = Vec::with_capacity(readouts.len());
    for (index, readout) in readouts.iter().enumerate() {
        let lift = best[index].and_then(|estimate| lift(readout, estimate, spec.alpha));
        let forecast = best[index].and_then(|estimate| {
            shrunken.iter().find(|forecast| forecast.experiment == index && forecast.variant == estimate.variant)
        });
        rows.push(FleetRow {
            experiment: readout.experiment.clone().unwrap_or_default(),
            variant: best[index].map(|estimate| estimate.variant.clone()),
            lift: lift.map(|(lift, _)| lift),
            lift_standard_error: lift.map(|(_, error)| error),
            lift_shrunken: forecast.map(|forecast| forecast.mean),
            lift_shrunken_interval: forecast.map(|forecast| forecast.interval),
            p_value: p_values[index],
            q_bh: q_bh[index],
            q_by: q_by[index],
            sample_ratio_p_value: ratio_p[index],
            sample_ratio_q_value: ratio_q[index],
            sample_ratio_p_sequential: readout.sample_ratio.sequential.as_ref().map(|test| test.p_value),
        });
    }
    let counted = |values: &[Option<f64>]| values.iter().flatten().filter(|value| **value <= spec.alpha).count() as u64;
    let mut fleet = Fleet {
        significant: counted(&p_values),
        significant_bh: counted(&q_bh),
        significant_by: counted(&q_by),
        experiments: rows,
        spread,
        sample_ratio: sample_ratios(readouts, &ratio_q),
        sentences: Vec::new(),
    };
    fleet.sentences = sentences(&fleet, spec.alpha);
    Some(fleet)
}

/// The comparison with control on the primary metric with the smallest p-value.
fn best(readout: &Readout) -> Option<&Estimate> {
    let p_value = |estimate: &Estimate| estimate.deciding(readout.basis).computed().map(|effect| effect.p_value);
    let primary = readout.estimates.iter().filter(|estimate| estimate.role == Role::Primary);
    let known = primary.filter_map(|estimate| p_value(estimate).map(|p_value| (p_value, estimate)));
    known.min_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, estimate)| estimate)
}

fn within(estimate: &Estimate) -> Option<f64> {
    estimate.p_adjusted
}

/// Adjusts what there is, leaving holes where there is nothing.
fn over_all(p_values: &[Option<f64>], correction: Correction) -> Vec<Option<f64>> {
    let known: Vec<f64> = p_values.iter().flatten().copied().collect();
    let mut adjusted = corrected(&known, correction).into_iter();
    p_values.iter().map(|p_value| p_value.and_then(|_| adjusted.next())).collect()
}

/// The lift and its standard error by the delta method, with the two means taken as independent and both made more precise
/// by as much as the adjustment made the difference.
fn lift(readout: &Readout, estimate: &Estimate, alpha: f64) -> Option<(f64, f64)> {
    let relative = estimate.deciding_relative(readout.basis).computed()?.relative;
    let width = 2.0 * stats::tail::normal_quantile_upper(alpha / 2.0);
    let index = readout.metrics.iter().position(|metric| metric.name == estimate.metric)?;
    let arm = |variant: &str| {
        let of_metric = readout.arms.iter().find(|arm| arm.variant == variant)?.metrics.get(index)?;
        let interval = of_metric.interval?;
        Some((of_metric.mean?, (interval.upper? - interval.lower?) / width))
    };
    let ((baseline, error_baseline), (variant, error_variant)) = (arm(&estimate.baseline)?, arm(&estimate.variant)?);
    let gain = estimate.deciding(readout.basis).computed()?.standard_error / estimate.absolute.computed()?.standard_error;
    let error = gain * error_variant.hypot(variant / baseline * error_baseline) / baseline.abs();
    (error.is_finite() && error > 0.0 && relative.is_finite()).then_some((relative, error))
}

/// The forecast of one lift.
struct Forecast {
    experiment: usize,
    variant: String,
    mean: f64,
    interval: crate::report::Interval,
}

/// Draws every lift on the primary metric towards their common mean, by as much as it is noisier than they differ.
fn shrink(readouts: &[Readout], alpha: f64) -> (Option<FleetSpread>, Vec<Forecast>) {
    let mut places: Vec<(usize, &Estimate)> = Vec::new();
    let mut lifts: Vec<(f64, f64)> = Vec::new();
    for (index, readout) in readouts.iter().enumerate() {
        for estimate in readout.estimates.iter().filter(|estimate| estimate.role == Role::Primary) {
            if let Some(found) = lift(readout, estimate, alpha) {
                places.push((index, estimate));
                lifts.push(found);
            }
        }
    }
    if lifts.len() < LIFTS_MIN {
        return (None, Vec::new());
    }
    let Ok(found) = shrunken_effects_about(&lifts, stats::hierarchy::Centre::Estimated, alpha) else { return (None, Vec::new()) };
    let spread = FleetSpread { lifts: lifts.len() as u64, mean: found.mean, deviation: found.between_sd };
    let forecast = |((experiment, estimate), effect): ((usize, &Estimate), stats::hierarchy::ShrunkenEffect)| Forecast {
        experiment,
        variant: estimate.variant.clone(),
        mean: effect.mean,
        interval: effect.interval.into(),
    };
    (Some(spread), places.into_iter().zip(found.effects).map(forecast).collect())
}

fn sample_ratios(readouts: &[Readout], q_values: &[Option<f64>]) -> FleetSampleRatio {
    let found = || readouts.iter().map(|readout| &readout.sample_ratio);
    let watched = || found().filter_map(|found| found.sequential.as_ref());
    let threshold = crate::sample_ratio::THRESHOLD;
    let count = |holds: usize| holds as u64;
    FleetSampleRatio {
        tested: count(found().filter(|found| found.test.computed().is_some()).count()),
        mismatches: count(found().filter(|found| found.mismatch).count()),
        mismatches_bh: count(q_values.iter().flatten().filter(|q_value| **q_value <= threshold).count()),
        watched: count(watched().count()),
        alarms_sequential: count(watched().filter(|watched| watched.alarm.is_some()).count()),
        alarms_peeked: count(watched().filter(|watched| watched.alarm_peeked.is_some()).count()),
    }
}

fn sentences(fleet: &Fleet, alpha: f64) -> Vec<String> {
    let all = fleet.experiments.len();
    let mut sentences = vec![format!(
        "Of {all} experiments {} are significant by themselves, {} when at most {} of the findings may be false (Benjamini–Hochberg), \
         and {} if nothing is known of how they depend on each other (Benjamini–Yekutieli).",
        fleet.significant,
        fleet.significant_bh,
        percent(alpha),
        fleet.significant_by,
    )];
    if let Some(spread) = &fleet.spread {
        sentences.push(format!(
            "True lifts scatter around {} by about {} percentage points from variant to variant; a lift far beyond that is mostly luck, \
             and the forecasts are drawn towards the mean accordingly.",
            percent(spread.mean),
            number(100.0 * spread.deviation),
        ));
    }
    let ratios = &fleet.sample_ratio;
    if ratios.mismatches > 0 {
        sentences.push(format!(
            "{} of {} experiments do not have the arm sizes they were meant to have; their numbers cannot be trusted.",
            ratios.mismatches, ratios.tested
        ));
    }
    if ratios.watched > 0 {
        sentences.push(format!(
            "Watched all the time, the sequential test of arm sizes alarmed in {} of {} experiments; a chi-square repeated at every look \
             would have alarmed in {}.",
            ratios.alarms_sequential, ratios.watched, ratios.alarms_peeked
        ));
    }
    sentences
}

#[cfg(test)]
mod tests;
