//! How what happened to a unit becomes numbers, and how their sums become moments: follows from the experiment as written.
//!
//! Each number is a whole one, whatever the metric: counts as they are, money in minor units, profit in millionths of a minor unit, in
//! which margins and costs of up to six decimals are whole. A unit to which nothing happened has zero, so that it costs nothing: of
//! the hours to the first it is summed how many were left of the window.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use stats::{CoMoments, Moments};
use vocabulary::{Costs, Cuped, Experiment, Measure, Metric, Outcome};

use super::{METRICS_FROM, Place, Tally, What, age_hours};

/// The form that cells are written down in. Cells of another form are counted anew.
const FORM: u32 = 3;
/// Parts of a minor unit that profit is counted in. 128 bits hold the squares of a billion units that brought 100,000 each.
pub(crate) const PARTS: i64 = 1_000_000;

/// How a unit's tallies become numbers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) hash: String,
    pub(super) variants: Vec<String>,
    pub(super) minor_per_major: i64,
    pub(super) metrics: Vec<Value>,
    /// Pairs of metrics whose products are summed: each with itself, and ratios with their denominators. All pairs of twelve metrics
    /// would make cells of ten million units three times as large.
    pairs: Vec<(usize, usize)>,
    /// Metrics that are ratios, with their denominators.
    ratios: Vec<(usize, usize)>,
    /// The primary metric, where units have one number more: the same metric of the time before.
    with_before: Option<usize>,
    /// How long that is; 0 where it is not asked for.
    pub(super) before_hours: i64,
}

/// How one metric is computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    measure: Measure,
    what: What,
    /// How many of the numbers that are summed make one of the metric's.
    per_unit: i64,
    costs: Parts,
    /// The largest number on either side of zero.
    cap: Option<i128>,
    /// The window, for hours to the first.
    window_hours: i128,
    /// After so many hours nothing counts any more, where that is before the end of the experiment's window.
    ends_hours: Option<i64>,
}

/// What profit is made of, in [`PARTS`] of a minor unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Parts {
    margin: i128,
    message: i128,
    unsubscribe: i128,
    complaint: i128,
}

impl Parts {
    fn new(costs: &Costs, minor_per_major: i64) -> Self {
        let cost = |major| i128::from(millionths(major)) * i128::from(minor_per_major);
        let Costs { margin, message, unsubscribe, complaint } = *costs;
        let margin = i128::from(millionths(margin));
        Self { margin, message: cost(message), unsubscribe: cost(unsubscribe), complaint: cost(complaint) }
    }

    fn profit(&self, tally: &Tally) -> i128 {
        let sent = i128::from(tally.counts[What::Sent as usize]);
        let once = |what| i128::from(tally.happened(what));
        let spent = self.message * sent + self.unsubscribe * once(What::Unsubscribed) + self.complaint * once(What::Complained);
        self.margin * i128::from(tally.amount_minor) - spent
    }
}

/// A number in millionths, rounded to whole ones.
pub(crate) fn millionths(number: f64) -> i64 {
    (number * PARTS as f64).round() as i64
}

impl Value {
    pub(super) fn new(metric: &Metric, window_hours: u32, minor_per_major: i64) -> Self {
        let what = match (metric.outcome, metric.human_only) {
            (Outcome::Delivery, _) => What::Accepted,
            (Outcome::Bounce, _) => What::Bounced,
            (Outcome::Open, true) => What::HumanOpened,
            (Outcome::Open, false) => What::Opened,
            (Outcome::Click, true) => What::HumanClicked,
            (Outcome::Click, false) => What::Clicked,
            (Outcome::Order, _) => What::Ordered,
            (Outcome::Reply, _) => What::Replied,
            (Outcome::Unsubscribe, _) => What::Unsubscribed,
            (Outcome::Complaint, _) => What::Complained,
        };
        let per_unit = match metric.measure {
            Measure::Occurred | Measure::Count | Measure::HoursToFirst => 1,
            Measure::Amount => minor_per_major,
            Measure::Profit => PARTS * minor_per_major,
        };
        let costs = metric.costs.map_or_else(Parts::default, |costs| Parts::new(&costs, minor_per_major));
        // A cap between two whole numbers is the larger one.
        let cap = metric.cap.map(|cap| i128::from(millionths(cap)) * i128::from(per_unit));
        let cap = cap.map(|parts| -(-parts).div_euclid(i128::from(PARTS)));
        let own_hours = metric.window_hours.filter(|own| *own < window_hours);
        let window_hours = i128::from(own_hours.unwrap_or(window_hours));
        Self { measure: metric.measure, what, per_unit, costs, cap, window_hours, ends_hours: own_hours.map(i64::from) }
    }

    /// The value of a unit at the end of the step `age`, with what happened up to there and its value at the end of the step before.
    pub(super) fn of(&self, tally: &Tally, age: u16, before: i128) -> i128 {
        if self.ends_hours.is_some_and(|ends| age_hours(age) > ends) {
            return before;
        }
        match self.measure {
            Measure::HoursToFirst if before == 0 && tally.happened(self.what) => {
                (self.window_hours - i128::from(age_hours(age))).max(0)
            }
            Measure::HoursToFirst => before,
            _ => self.total(tally),
        }
    }

    /// What a tally comes to, whenever it happened; of hours to the first whether it did.
    fn total(&self, tally: &Tally) -> i128 {
        let value = match self.measure {
            Measure::Occurred | Measure::HoursToFirst => i128::from(tally.happened(self.what)),
            Measure::Count => i128::from(tally.counts[self.what as usize]),
            Measure::Amount => i128::from(tally.amount_minor),
            Measure::Profit => self.costs.profit(tally),
        };
        self.cap.map_or(value, |cap| value.clamp(-cap, cap))
    }

    /// What it measures.
    pub(super) fn measure(&self) -> Measure {
        self.measure
    }

    /// For how many hours outcomes count.
    pub(super) fn window_hours(&self) -> i128 {
        self.window_hours
    }

    /// How many of the numbers that are summed make one of the metric's.
    pub(super) fn per_unit(&self) -> i64 {
        self.per_unit
    }

    /// The moments of what `units` have, of the sum of their values and that of the squares.
    fn moments(&self, units: u64, sum: i128, square: i128) -> Moments {
        let (n, window) = (i128::from(units), self.window_hours);
        let (sum, square) = match self.measure {
            Measure::HoursToFirst => (n * window - sum, n * window * window - 2 * window * sum + square),
            _ => (sum, square),
        };
        Moments::from_integers(units, sum, square, self.per_unit as f64)
    }
}

impl Plan {
    pub(super) fn new(experiment: &Experiment, minor_per_major: i64) -> Self {
        let count = experiment.metrics.len();
        let place = |name: &String| experiment.metrics.iter().position(|metric| metric.name == *name);
        let per = |(metric, per): (usize, &Metric)| Some((metric, per.per.as_ref().and_then(place)?));
        let ratios: Vec<(usize, usize)> = experiment.metrics.iter().enumerate().filter_map(per).collect();
        let is_kept = |pair: &(usize, usize)| pair.0 == pair.1 || ratios.iter().any(|ratio| sorted(*ratio) == *pair);
        let with_before = experiment.cuped.as_ref().and_then(|_| place(&experiment.primary));
        let pairs = (0..count).flat_map(|one| (one..count).map(move |other| (one, other))).filter(is_kept);
        let pairs_before = with_before.into_iter().flat_map(|primary| [(primary, count), (count, count)]);
        Self {
            hash: plan_of(experiment, minor_per_major),
            variants: experiment.variants.iter().map(|variant| variant.name.to_string()).collect(),
            minor_per_major,
            metrics: experiment
                .metrics
                .iter()
                .map(|metric| Value::new(metric, experiment.window_hours, minor_per_major))
                .collect(),
            pairs: pairs.chain(pairs_before).collect(),
            ratios,
            with_before,
            before_hours: experiment.cuped.map_or(0, Cuped::hours),
        }
    }

    pub(super) fn width(&self) -> usize {
        self.products_from() + self.pairs.len()
    }

    fn products_from(&self) -> usize {
        METRICS_FROM + self.numbers()
    }

    /// How many numbers a unit has.
    pub(super) fn numbers(&self) -> usize {
        self.metrics.len() + usize::from(self.with_before.is_some())
    }

    /// The primary metric of the time before; 0 where it is not asked for.
    pub(super) fn was(&self, tally: &Tally) -> i128 {
        self.with_before.map_or(0, |primary| self.metrics[primary].total(tally))
    }

    /// Puts that in its place among a unit's numbers, where they have one.
    pub(super) fn put_was(&self, was: i128, numbers: &mut [i128]) {
        numbers.iter_mut().skip(self.metrics.len()).for_each(|number| *number = was);
    }

    pub(super) fn values(&self, tally: &Tally, age: u16, before: &[i128], into: &mut [i128]) {
        for ((value, before), metric) in into.iter_mut().zip(before).zip(&self.metrics) {
            *value = metric.of(tally, age, *before);
        }
    }

    /// By how much sums and products change when a unit's values do.
    pub(super) fn changes(&self, before: &[i128], after: &[i128], into: &mut Vec<(usize, i128)>) {
        let sums = before.iter().zip(after).map(|(before, after)| after.wrapping_sub(*before));
        into.extend(sums.enumerate().map(|(metric, change)| (METRICS_FROM + metric, change)));
        for (place, (one, other)) in self.pairs.iter().enumerate() {
            let of = |values: &[i128]| values[*one].wrapping_mul(values[*other]);
            into.push((self.products_from() + place, of(after).wrapping_sub(of(before))));
        }
    }

    /// The moments of each metric, of the sums of an arm.
    pub(super) fn moments(&self, experiment: &Experiment, sums: &[i128]) -> BTreeMap<String, Moments> {
        let units = u64::try_from(sums[Place::Units as usize]).unwrap_or_default();
        let of = |(place, metric): (usize, &Metric)| {
            let (sum, square) = (sums[METRICS_FROM + place], self.product(sums, place, place));
            (metric.name.clone(), self.metrics[place].moments(units, sum, square))
        };
        experiment.metrics.iter().enumerate().map(of).collect()
    }

    /// The numerator and the denominator of each ratio.
    pub(super) fn ratios(&self, experiment: &Experiment, sums: &[i128]) -> BTreeMap<String, CoMoments> {
        let units = u64::try_from(sums[Place::Units as usize]).unwrap_or_default();
        let of = |(metric, per): &(usize, usize)| {
            let both = [*metric, *per];
            let products = [(*metric, *metric), (*metric, *per), (*per, *per)].map(|(one, other)| self.product(sums, one, other));
            let per_unit = both.map(|place| self.metrics[place].per_unit as f64);
            let sums = both.map(|place| sums[METRICS_FROM + place]);
            (experiment.metrics[*metric].name.clone(), CoMoments::from_integers(units, &sums, &products, &per_unit))
        };
        self.ratios.iter().map(of).collect()
    }

    /// The primary metric and what it was before, where that is known.
    pub(super) fn with_before(&self, sums: &[i128]) -> Option<CoMoments> {
        let units = u64::try_from(sums[Place::Units as usize]).unwrap_or_default();
        let (primary, before) = (self.with_before?, self.metrics.len());
        let products =
            [(primary, primary), (primary, before), (before, before)].map(|(one, other)| self.product(sums, one, other));
        let sums = [primary, before].map(|place| sums[METRICS_FROM + place]);
        let Value { measure, per_unit, window_hours, .. } = &self.metrics[primary];
        let both = CoMoments::from_integers(units, &sums, &products, &[*per_unit as f64; 2]);
        if *measure != Measure::HoursToFirst || units == 0 {
            return Some(both);
        }
        // What is summed is how many hours were left.
        let hours = *window_hours as f64 - both.mean(0);
        let products = vec![both.product(0, 0), 0.0 - both.product(0, 1), both.product(1, 1)];
        Some(CoMoments::from_centred(units, vec![hours, both.mean(1)], products))
    }

    /// The sum of the products of two metrics. Panics where it is not kept.
    fn product(&self, sums: &[i128], one: usize, other: usize) -> i128 {
        let place = self.pairs.iter().position(|pair| *pair == sorted((one, other))).expect("products of that pair are kept");
        sums[self.products_from() + place]
    }
}

fn sorted((one, other): (usize, usize)) -> (usize, usize) {
    (one.min(other), one.max(other))
}

/// Names what cells of an experiment depend on: cells of another plan are counted anew.
#[must_use]
pub fn plan_of(experiment: &Experiment, minor_per_major: i64) -> String {
    let variants: Vec<_> = experiment.variants.iter().map(|variant| &variant.name).collect();
    let Experiment { experiment, metrics, primary, window_hours, cuped, .. } = experiment;
    let plan = (FORM, minor_per_major, experiment, variants, metrics, primary, window_hours, cuped);
    let bytes = serde_json::to_vec(&plan).expect("a plan is plain data");
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
