//! Results look by look: what each rule for stopping says, and when.
//!
//! Four rules on the same looks. The test at the end is right if the end was fixed beforehand; the same test at every look
//! is wrong and shown to warn; the confidence sequence is right whenever one looks; and group-sequential boundaries are
//! right when the size is known, here the units at the last look.

use stats::Moments;
use stats::sequential::compare as compare_always_valid;

use crate::estimate::{OUTCOMES_MIN, compare};
use crate::frame::Frame;
use crate::report::{Interval, LookPoint, LookSeries, LookSummary, Looks, Procedure, StoppingRule};
use crate::words::{difference, percent};

/// A look with less news than this share of all information is not given a boundary.
const INFORMATION_STEP: f64 = 0.02;

/// Results at each look. `None` for files with fewer than two.
pub(crate) fn looks(frame: &Frame<'_>) -> Option<Looks> {
    let looks = &frame.cells.looks;
    if looks.len() < 2 {
        return None;
    }
    let units_of = |cells: &[crate::cells::ArmCells]| -> Vec<u64> {
        (0..frame.names.len()).map(|arm| frame.arm_of(arm, cells).map_or(0, |cells| cells.all.units)).collect()
    };
    let units: Vec<Vec<u64>> = looks.iter().map(|look| units_of(&look.arms)).collect();
    let total = |units: &Vec<u64>| units.iter().map(|units| *units as f64).sum::<f64>();
    let last = units.last().map_or(0.0, total);
    let information: Vec<f64> = units.iter().map(|units| if last > 0.0 { (total(units) / last).min(1.0) } else { 0.0 }).collect();
    let boundaries = boundaries(&information, frame.spec.alpha);
    let pairs = (0..frame.metrics.len()).flat_map(|metric| frame.variants().map(move |variant| (metric, variant)));
    let series = pairs.map(|(metric, variant)| series(frame, metric, variant, &boundaries)).collect();
    let summary = |((look, units), information): ((&crate::cells::LookCells, Vec<u64>), f64)| LookSummary {
        look: look.look.clone(),
        units,
        information,
    };
    Some(Looks { looks: looks.iter().zip(units).zip(information).map(summary).collect(), series })
}

/// The critical value of each look; `None` for a look that brought hardly any information since the one before it, where
/// stopping is not worth a share of the error. The last look always counts.
fn boundaries(information: &[f64], alpha: f64) -> Vec<Option<f64>> {
    use stats::sequential::group::{Sides, Spending, boundaries};
    let mut found = vec![None; information.len()];
    let (last, end) = (information.len() - 1, information.last().copied().unwrap_or_default());
    let mut counted: Vec<usize> = Vec::with_capacity(information.len());
    for (look, fraction) in information.iter().enumerate() {
        let before = counted.last().map_or(0.0, |look: &usize| information[*look]);
        if look == last || (fraction - before >= INFORMATION_STEP && end - fraction >= INFORMATION_STEP) {
            counted.push(look);
        }
    }
    let fractions: Vec<f64> = counted.iter().map(|look| information[*look]).collect();
    if let Ok(design) = boundaries(Spending::ObrienFlemingSpending, alpha, Sides::Two, &fractions) {
        for (look, critical_value) in counted.into_iter().zip(design.critical_values) {
            found[look] = Some(critical_value);
        }
    }
    found
}

fn series(frame: &Frame<'_>, metric: usize, variant: usize, boundaries: &[Option<f64>]) -> LookSeries {
    let looks = &frame.cells.looks;
    let outcome = |arm: usize, look: usize| frame.outcome(frame.arm_of(arm, &looks[look].arms).map(|cells| &cells.all), metric);
    let nonzero = |arm: usize, look: usize| {
        let cell = frame.arm_of(arm, &looks[look].arms).and_then(|cells| cells.all.metrics.get(metric));
        cell.map_or(0, |cell| cell.nonzero)
    };
    let last = looks.len() - 1;
    let tuned_for = outcome(0, last).count as f64 + outcome(variant, last).count as f64;
    let mut points: Vec<LookPoint> = Vec::with_capacity(looks.len());
    for (look, boundary) in boundaries.iter().enumerate() {
        let (control, treated) = (outcome(0, look), outcome(variant, look));
        let trusted = nonzero(0, look).min(nonzero(variant, look)) >= OUTCOMES_MIN;
        let before = points.last().and_then(|point| point.p_always_valid);
        points.push(point(frame, &control, &treated, trusted.then_some(tuned_for), before, *boundary));
    }
    let (metric, measure) = (frame.metrics[metric].name.clone(), frame.metrics[metric].measure);
    let words = |value: f64, interval: Option<Interval>| {
        difference(measure, value, &interval.unwrap_or(Interval { lower: None, upper: None }))
    };
    let rules = rules(frame, &points, &words);
    LookSeries { metric, variant: frame.names[variant].to_owned(), drifts: drifts(&points), points, rules }
}

/// One look. Without `tuned_for` there is too little for what holds at any look.
fn point(
    frame: &Frame<'_>,
    control: &Moments,
    treated: &Moments,
    tuned_for: Option<f64>,
    p_before: Option<f64>,
    boundary: Option<f64>,
) -> LookPoint {
    let alpha = frame.spec.alpha;
    let fixed = compare(control, treated, alpha);
    let absolute = fixed.absolute.computed();
    let always = tuned_for
        .and_then(|tuned_for| compare_always_valid(control, treated, tuned_for, alpha).ok())
        .filter(|_| absolute.is_some());
    let p_now = always.as_ref().map(|always| always.absolute.p_value);
    LookPoint {
        difference: absolute.map(|effect| effect.difference),
        interval: absolute.map(|effect| effect.interval),
        p_value: absolute.map(|effect| effect.p_value),
        lift: fixed.relative.computed().map(|lift| lift.relative),
        interval_always_valid: always.as_ref().map(|always| always.absolute.interval.into()),
        lift_interval_always_valid: always.as_ref().and_then(|always| Some(always.relative.as_ref().ok()?.interval.into())),
        log_e_value: always.as_ref().map(|always| always.absolute.log_e_value),
        p_always_valid: [p_before, p_now].into_iter().flatten().reduce(f64::min),
        statistic: absolute.map(|effect| effect.statistic),
        boundary,
    }
}

/// What each rule says, by the looks at which it may stop.
fn rules(frame: &Frame<'_>, points: &[LookPoint], words: &dyn Fn(f64, Option<Interval>) -> String) -> Vec<StoppingRule> {
    let alpha = frame.spec.alpha;
    let last = points.len() - 1;
    let small = |p_value: Option<f64>| p_value.is_some_and(|p_value| p_value <= alpha);
    let crosses = |point: &LookPoint| point.statistic.zip(point.boundary).is_some_and(|(statistic, z)| statistic.abs() >= z);
    let first = |stops: &dyn Fn(&LookPoint) -> bool| points.iter().position(stops);
    let has_boundary = points.iter().any(|point| point.boundary.is_some());
    let found = [
        (Procedure::FixedAtEnd, small(points[last].p_value).then_some(last), points[last].p_value.is_some()),
        (Procedure::NaivePeeking, first(&|point| small(point.p_value)), points.iter().any(|point| point.p_value.is_some())),
        (
            Procedure::AlwaysValid,
            first(&|point| small(point.p_always_valid)),
            points.iter().any(|point| point.p_always_valid.is_some()),
        ),
        (Procedure::GroupSequential, first(&crosses), has_boundary),
    ];
    let rule = |(procedure, stop, is_known): (Procedure, Option<usize>, bool)| {
        let at = stop.unwrap_or(last);
        let look = &frame.cells.looks[at].look;
        let interval = match procedure {
            Procedure::AlwaysValid => points[at].interval_always_valid,
            _ => points[at].interval,
        };
        let effect = points[at].difference.map(|value| words(value, interval)).unwrap_or_default();
        let confidence = percent(1.0 - alpha);
        let sentence = match (procedure, stop, is_known) {
            (_, _, false) => "It cannot be computed from these looks.".to_owned(),
            (Procedure::FixedAtEnd, Some(_), _) => {
                format!("At the end the difference is real at {confidence} confidence: {effect}.")
            }
            (Procedure::FixedAtEnd, None, _) => format!("At the end no difference is shown: {effect}."),
            (Procedure::NaivePeeking, Some(_), _) => {
                format!(
                    "Would have stopped at look {look} with {effect}; looking again and again finds differences that are not there."
                )
            }
            (Procedure::GroupSequential, Some(_), _) => {
                format!("Stops at look {look}, where the boundary is crossed: {effect} before correcting for the looks.")
            }
            (Procedure::AlwaysValid, Some(_), _) => format!("Stops at look {look}: {effect}, whenever one looks."),
            (_, None, _) => format!("Does not stop; at the last look the difference is {effect}."),
        };
        StoppingRule {
            procedure,
            significant: stop.is_some(),
            stopped_at: stop.map(|stop| frame.cells.looks[stop].look.clone()),
            difference: points[at].difference,
            sentence,
        }
    };
    found.into_iter().map(rule).collect()
}

/// Whether the always-valid intervals of two looks have nothing in common: all of them hold the same effect with the
/// promised confidence, if there is one.
fn drifts(points: &[LookPoint]) -> bool {
    let intervals = || points.iter().filter_map(|point| point.interval_always_valid);
    let lowest = intervals().filter_map(|interval| interval.upper).reduce(f64::min);
    let highest = intervals().filter_map(|interval| interval.lower).reduce(f64::max);
    lowest.zip(highest).is_some_and(|(lowest, highest)| lowest < highest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{looks as series_of, readout_of, spec};

    fn found(control: &[(u64, u64)], variant: &[(u64, u64)]) -> Looks {
        let pairs: Vec<[(u64, u64); 2]> = control.iter().zip(variant).map(|(a, b)| [*a, *b]).collect();
        let names: Vec<String> = (1..=pairs.len()).map(|look| look.to_string()).collect();
        let at: Vec<(&str, &[(u64, u64)])> = names.iter().map(String::as_str).zip(pairs.iter().map(<[_; 2]>::as_slice)).collect();
        readout_of(&spec(&["order"]), series_of(&["a", "b"], &at)).looks.unwrap()
    }

    fn steady(rate: f64) -> Vec<(u64, u64)> {
        (1..=5).map(|look| (2000 * look, (2000.0 * rate * look as f64).round() as u64)).collect()
    }

    fn stops(looks: &Looks) -> Vec<Option<&str>> {
        looks.series[0].rules.iter().map(|rule| rule.stopped_at.as_deref()).collect()
    }

    #[test]
    fn boundaries_are_those_of_five_equal_looks() {
        let looks = found(&steady(0.1), &steady(0.1));
        // Own recursion, two-sided 5 %, O'Brien–Fleming spending.
        let expect = [4.87688, 3.35701, 2.68028, 2.28982, 2.03103];
        for ((point, expect), summary) in looks.series[0].points.iter().zip(expect).zip(&looks.looks) {
            assert!((point.boundary.unwrap() - expect).abs() < 1e-4, "{point:?}");
            assert!((summary.information - summary.units[0] as f64 / 10_000.0).abs() < 1e-15);
        }
        assert_eq!(stops(&looks), [None; 4]);
    }

    #[test]
    fn every_rule_stops_at_its_own_look() {
        let looks = found(&steady(0.1), &steady(0.1225));
        assert_eq!(stops(&looks), [Some("5"), Some("1"), Some("2"), Some("3")]);
        assert!(!looks.series[0].drifts);
        let sentences: Vec<&str> = looks.series[0].rules.iter().map(|rule| rule.sentence.as_str()).collect();
        assert!(sentences[2].starts_with("Stops at look 2: +2.25 ["), "{sentences:?}");
    }

    #[test]
    fn what_was_seen_early_may_be_gone_at_the_end() {
        let variant = [(2000, 245), (4000, 440), (6000, 630), (8000, 820), (10_000, 1010)];
        assert_eq!(stops(&found(&steady(0.1), &variant)), [None, Some("1"), None, None]);
    }

    #[test]
    fn an_audience_that_does_not_grow_has_one_boundary() {
        let fixed = |orders: [u64; 3]| orders.map(|orders| (5000, orders)).to_vec();
        let looks = found(&fixed([100, 300, 500]), &fixed([110, 320, 520]));
        let boundaries: Vec<Option<f64>> = looks.series[0].points.iter().map(|point| point.boundary).collect();
        assert!(boundaries[..2] == [None, None] && (boundaries[2].unwrap() - 1.96).abs() < 1e-3, "{boundaries:?}");
    }

    #[test]
    fn looks_without_news_get_no_boundary() {
        let units: Vec<u64> = (1..=1000).map(|look| 20 * look).collect();
        let series: Vec<(u64, u64)> = units.iter().map(|units| (*units, units / 10)).collect();
        let looks = found(&series, &series);
        let boundaries: Vec<f64> = looks.series[0].points.iter().filter_map(|point| point.boundary).collect();
        assert!((45..=50).contains(&boundaries.len()), "{boundaries:?}");
        assert!(looks.series[0].points[999].boundary.is_some() && boundaries[boundaries.len() - 1] < 2.2, "{boundaries:?}");
    }

    #[test]
    fn hardly_any_outcome_is_no_evidence() {
        let looks = found(&[(1000, 0), (2000, 9), (3000, 20)], &[(1000, 9), (2000, 40), (3000, 60)]);
        let known: Vec<bool> = looks.series[0].points.iter().map(|point| point.p_always_valid.is_some()).collect();
        assert_eq!(known, [false, false, true]);
    }
}
