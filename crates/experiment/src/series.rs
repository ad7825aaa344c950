//! An experiment by time: what recipients had done at each age of their message, and how far the messages of each day came.
//!
//! At each age all recipients count who are as old, so that everybody had equally long; the older the age, the fewer they are.
//!
//! *Caution:* intervals are those of one look at one age. What is decided rests on boundaries that hold at all looks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stats::{Interval, fieller_lift, welch};
use vocabulary::{Experiment, Metric, VariantName};

use crate::cells::age_hours;
use crate::observe::{Funnel, Observations};
use crate::table::table;
use crate::words::{difference, level, rounded, signed_percent, span, thousands};

/// More points than a curve needs.
const AGES_MAX: usize = 24;

const DAY_HOURS: u32 = 24;

/// An experiment by time. No number in it is NaN or infinite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// The primary metric, which the ages are about.
    pub metric: Metric,
    /// By age, the youngest first; without ages that nobody has.
    pub ages: Vec<AgePoint>,
    /// By the day in UTC on which recipients begin, the first one first.
    pub days: Vec<DayPoint>,
    /// What to make of the ages.
    pub sentence: String,
}

/// What recipients had done at an age.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgePoint {
    /// Hours since the planned hour of sending.
    pub age_hours: u32,
    /// Recipients who are as old, of all variants.
    pub recipients: u64,
    /// In the experiment's order.
    pub variants: Vec<AgeVariant>,
}

/// A variant at an age.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgeVariant {
    /// The variant.
    pub variant: VariantName,
    /// Its recipients who are as old.
    pub recipients: u64,
    /// The primary metric per recipient, in its unit; `None` without recipients.
    pub mean: Option<f64>,
    /// Variant less control, in the metric's unit per recipient; `None` for control, and where it cannot be told.
    pub difference: Option<f64>,
    /// Of `difference`, at one minus the experiment's alpha.
    pub interval: Interval,
    /// The lift over control, a fraction; `None` where control's mean cannot be told from zero.
    pub lift: Option<f64>,
    /// Of `lift`, likewise.
    pub lift_interval: Interval,
}

/// How far the messages of a day's recipients came, of those who are a day old.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DayPoint {
    /// The day in UTC, such as `2026-11-11`.
    pub day: String,
    /// In the experiment's order.
    pub variants: Vec<DayVariant>,
}

/// A variant on a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DayVariant {
    /// The variant.
    pub variant: VariantName,
    /// Everybody assigned to it who begins on that day, however old.
    pub assigned: u64,
    /// How far those came who are a day old.
    pub funnel: Funnel,
}

/// The ages that a series is at, in hours: steps of the first day, then days up to the window, thinned out where there are many.
#[must_use]
pub fn ages(experiment: &Experiment) -> Vec<u32> {
    let window = experiment.window_hours;
    let steps = (0..).map(|step| u32::try_from(age_hours(step)).unwrap_or(u32::MAX));
    let within: Vec<u32> = steps.take_while(|hours| *hours < window).collect();
    let (first_day, days): (Vec<u32>, Vec<u32>) = within.into_iter().partition(|hours| *hours <= DAY_HOURS);
    let thinned = days.len().div_ceil(AGES_MAX).max(1);
    let days = days.into_iter().filter(|hours| (hours / DAY_HOURS).is_multiple_of(u32::try_from(thinned).unwrap_or(1)));
    first_day.into_iter().chain(days).chain([window]).collect()
}

/// An experiment by time, of what was observed by age and by day. The experiment must have been checked.
#[must_use]
pub fn series(
    experiment: &Experiment,
    by_age: &BTreeMap<u32, Observations>,
    by_day: &BTreeMap<String, Observations>,
) -> Option<Series> {
    let metric = experiment.primary_metric()?;
    let point = |(age_hours, of): (&u32, &Observations)| {
        let recipients = of.arms.iter().map(|arm| arm.mature).sum();
        let variants = || experiment.variants.iter().map(|variant| at_age(experiment, metric, of, &variant.name)).collect();
        (recipients > 0).then(|| AgePoint { age_hours: *age_hours, recipients, variants: variants() })
    };
    let of_day = |of: &Observations| {
        let arms = of.arms.iter();
        arms.map(|arm| DayVariant { variant: arm.variant.clone(), assigned: arm.assigned, funnel: arm.funnel }).collect()
    };
    let mut series = Series {
        metric: metric.clone(),
        ages: by_age.iter().filter_map(point).collect(),
        days: by_day.iter().map(|(day, of)| DayPoint { day: day.clone(), variants: of_day(of) }).collect(),
        sentence: String::new(),
    };
    series.sentence = sentence(&series);
    Some(series)
}

fn at_age(experiment: &Experiment, metric: &Metric, of: &Observations, name: &VariantName) -> AgeVariant {
    let control = experiment.control();
    let [own, others] = [control, name].map(|arm| of.deciding(arm, metric));
    let open = Interval { lower: None, upper: None };
    let compared = (name != control).then_some(());
    let effect = compared.and_then(|()| welch(&own, &others, experiment.alpha).ok());
    let lift = compared.and_then(|()| fieller_lift(&own, &others, experiment.alpha).ok());
    AgeVariant {
        variant: name.clone(),
        recipients: others.count,
        mean: (others.count > 0).then_some(others.mean),
        difference: effect.as_ref().map(|effect| effect.difference),
        interval: effect.map_or(open, |effect| effect.interval),
        lift: lift.as_ref().map(|lift| lift.relative),
        lift_interval: lift.map_or(open, |lift| lift.interval),
    }
}

impl Series {
    /// The variant whose curve is told: the one that is furthest ahead of control at the last age.
    #[must_use]
    pub fn ahead(&self) -> Option<&VariantName> {
        let sign = if self.metric.lower_is_better { -1.0 } else { 1.0 };
        let last = self.ages.last()?;
        let gain = |own: &&AgeVariant| sign * own.difference.unwrap_or(f64::NEG_INFINITY);
        let compared = last.variants.iter().filter(|own| own.lift.is_some());
        compared.max_by(|one, other| gain(one).total_cmp(&gain(other))).map(|own| &own.variant)
    }

    /// A variant's lift by age, where it can be told.
    pub fn lifts<'a>(&'a self, variant: &'a VariantName) -> impl Iterator<Item = (u32, f64, &'a Interval)> {
        let of = move |point: &'a AgePoint| {
            point.variants.iter().find(|own| &own.variant == variant).map(|own| (point.age_hours, own))
        };
        self.ages.iter().filter_map(of).filter_map(|(hours, own)| Some((hours, own.lift?, &own.lift_interval)))
    }
}

fn sentence(series: &Series) -> String {
    if series.ages.is_empty() {
        return "Nobody's message is an hour old yet.".to_owned();
    }
    let name = &series.metric.name;
    let Some(ahead) = series.ahead() else { return format!("Of {name} no lift can be told yet.") };
    let lifts: Vec<(u32, f64)> = series.lifts(ahead).map(|(hours, lift, _)| (hours, lift)).collect();
    let told = |(hours, lift): &(u32, f64)| format!("{} after {}", signed_percent(rounded(*lift)), span(*hours));
    match &lifts[..] {
        [first, .., last] => {
            format!("`{ahead}` is at {} and at {} on {name}, of the recipients who are as old.", told(first), told(last))
        }
        _ => format!("`{ahead}` is at {} on {name}.", lifts.first().map(told).unwrap_or_default()),
    }
}

/// The series as text for a terminal.
#[must_use]
pub fn text(series: &Series) -> String {
    let names: Vec<&VariantName> =
        series.ages.first().map(|point| point.variants.iter().map(|own| &own.variant).collect()).unwrap_or_default();
    let row = |point: &AgePoint| {
        let cell = |own: &AgeVariant| match own.difference {
            Some(told) => difference(&series.metric, told, &own.interval),
            None => own.mean.map_or("-".to_owned(), |mean| level(&series.metric, mean)),
        };
        [span(point.age_hours), thousands(point.recipients)].into_iter().chain(point.variants.iter().map(cell)).collect()
    };
    let rows: Vec<Vec<String>> = series.ages.iter().map(row).collect();
    let head: Vec<&str> = ["after", "people"].into_iter().chain(names.iter().map(|name| name.as_str())).collect();
    let of_day = |point: &DayPoint| {
        let row = |(place, own): (usize, &DayVariant)| {
            let Funnel { sent, accepted, opened, clicked, ordered, .. } = own.funnel;
            let day = if place == 0 { point.day.clone() } else { String::new() };
            let numbers = [own.assigned, sent, accepted, opened, clicked, ordered].map(thousands);
            [day, own.variant.to_string()].into_iter().chain(numbers).collect()
        };
        point.variants.iter().enumerate().map(row).collect::<Vec<Vec<String>>>()
    };
    let days: Vec<Vec<String>> = series.days.iter().flat_map(of_day).collect();
    let day_head = ["day", "variant", "assigned", "sent", "accepted", "opened", "clicked", "ordered"];
    let mut text = format!("{}\n", series.sentence);
    for (head, rows) in [(&head[..], &rows), (&day_head[..], &days)] {
        if !rows.is_empty() {
            text.push('\n');
            text.push_str(&table(head, rows));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{buyers, who_buys};

    #[test]
    fn a_curve_is_of_those_who_are_as_old() {
        let experiment = who_buys("e");
        let by_age = BTreeMap::from([
            (4, buyers([(10_000, 100), (10_000, 150)])),
            (24, buyers([(8_000, 200), (8_000, 240)])),
            (168, buyers([(0, 0), (0, 0)])),
        ]);
        let mut day = buyers([(5_000, 50), (5_000, 60)]);
        day.arms[0].funnel.sent = 4_990;
        let found = series(&experiment, &by_age, &BTreeMap::from([("2026-11-11".to_owned(), day)])).unwrap();
        assert_eq!(
            found.ages.iter().map(|point| (point.age_hours, point.recipients)).collect::<Vec<_>>(),
            [(4, 20_000), (24, 16_000)]
        );
        let [control, other] = &found.ages[1].variants[..] else { panic!("two, not {found:?}") };
        assert_eq!((control.mean, control.difference, other.recipients), (Some(0.025), None, 8_000));
        assert!((other.difference.unwrap() - 0.005).abs() < 1e-12 && other.lift_interval.contains(0.2), "{other:?}");
        assert_eq!(found.ahead().unwrap().as_str(), "b");
        assert_eq!(
            found.sentence,
            "`b` is at +50 % after 4 hours and at +20 % after 1 day on bought, of the recipients who are as old."
        );
        let told = text(&found);
        assert!(told.contains("after    people") && told.contains("2026-11-11") && told.contains("4,990"), "{told}");
        let nobody = series(&experiment, &BTreeMap::new(), &BTreeMap::new()).unwrap();
        assert!(nobody.sentence.starts_with("Nobody's message") && text(&nobody).lines().count() == 1, "{nobody:?}");
    }

    #[test]
    fn ages_end_with_the_window() {
        let of = |window_hours| ages(&Experiment { window_hours, ..who_buys("e") });
        assert_eq!(of(168), [1, 2, 4, 8, 12, 24, 48, 72, 96, 120, 144, 168]);
        assert_eq!(of(5), [1, 2, 4, 5]);
        assert_eq!(of(1), [1]);
        let year = of(365 * 24);
        assert!(year.len() < 2 * AGES_MAX && year.is_sorted() && year.last() == Some(&(365 * 24)), "{year:?}");
    }
}
