//! What the contacts of a list did before a test: the primary metric in a window as long as the experiment's, and the same in the days
//! before it, in the same whole numbers as cells.

use std::collections::{BTreeMap, HashMap};

use stats::CoMoments;
use vocabulary::{Experiment, Measure, Metric};

use super::plan::Value;
use super::{FIRST_DAY_HOURS, Tally, Unit, age_hours};
use crate::sizing::{PAST_VALUES_MAX, Past, PastMarket, ValueCount};

/// How many days before the window count as before: about three months are usual.
pub const BEFORE_DAYS: u32 = 90;
/// The same in hours.
pub const BEFORE_HOURS: u32 = 24 * BEFORE_DAYS;

/// The name of the market of contacts who have none.
const NOWHERE: &str = "";

/// The counts of a list's past. Units begin [`BEFORE_HOURS`] before the window does.
#[derive(Debug, Clone)]
pub struct PastCounts {
    metrics: Vec<Counted>,
    markets: BTreeMap<String, MarketCounts>,
}

#[derive(Debug, Clone)]
struct Counted {
    name: String,
    value: Value,
    lower_is_better: bool,
}

#[derive(Debug, Clone)]
struct MarketCounts {
    contacts: u64,
    /// Of each metric.
    numbers: Vec<Numbers>,
}

#[derive(Debug, Clone, Default)]
struct Numbers {
    values: HashMap<i128, u64>,
    /// Of the value in the window and the one before it.
    sums: [i128; 2],
    /// Of the first with itself, of both, and of the second with itself.
    products: [i128; 3],
}

impl Numbers {
    fn add(&mut self, within: i128, before: i128) {
        *self.values.entry(within).or_default() += 1;
        for (sum, number) in self.sums.iter_mut().zip([within, before]) {
            *sum = sum.wrapping_add(number);
        }
        for (product, (one, other)) in self.products.iter_mut().zip([(within, within), (within, before), (before, before)]) {
            *product = product.wrapping_add(one.wrapping_mul(other));
        }
    }

    fn merge(&mut self, other: &Self) {
        for (value, contacts) in &other.values {
            *self.values.entry(*value).or_default() += contacts;
        }
        self.sums.iter_mut().zip(other.sums).for_each(|(own, more)| *own = own.wrapping_add(more));
        self.products.iter_mut().zip(other.products).for_each(|(own, more)| *own = own.wrapping_add(more));
    }
}

impl PastCounts {
    /// No contacts yet, of whom the primary metric is counted. Amounts are in minor units of the base currency, of which `minor_per_major`
    /// make a major one.
    #[must_use]
    pub fn new(experiment: &Experiment, minor_per_major: i64) -> Self {
        let mut counts = Self::of_all(experiment, minor_per_major);
        counts.metrics.retain(|counted| counted.name == experiment.primary);
        counts
    }

    /// No contacts yet, of whom every metric is counted; ratios by their numerators.
    #[must_use]
    pub fn of_all(experiment: &Experiment, minor_per_major: i64) -> Self {
        let counted = |metric: &Metric| Counted {
            name: metric.name.clone(),
            value: Value::new(metric, experiment.window_hours, minor_per_major),
            lower_is_better: metric.lower_is_better,
        };
        Self { metrics: experiment.metrics.iter().map(counted).collect(), markets: BTreeMap::new() }
    }

    /// Puts a contact in.
    pub fn add(&mut self, unit: &Unit<'_>) {
        let split = unit.tallies.partition_point(|(age, _)| age_hours(*age) <= i64::from(BEFORE_HOURS));
        let (before, within) = unit.tallies.split_at(split);
        let name = unit.market.unwrap_or(NOWHERE);
        let market = match self.markets.get_mut(name) {
            Some(market) => market,
            None => self.markets.entry(name.to_owned()).or_insert_with(|| nobody(self.metrics.len())),
        };
        market.contacts += 1;
        for (Counted { value, .. }, numbers) in self.metrics.iter().zip(&mut market.numbers) {
            let is_time = value.measure() == Measure::HoursToFirst;
            let told = |number: i128| if is_time { value.window_hours() - number } else { number };
            numbers.add(told(at_the_end(value, within, age_in_window)), told(at_the_end(value, before, |age| age)));
        }
    }

    /// Puts all contacts of other counts of the same metrics in.
    pub fn merge(&mut self, other: &Self) {
        for (name, more) in &other.markets {
            let market = self.markets.entry(name.clone()).or_insert_with(|| nobody(self.metrics.len()));
            market.contacts += more.contacts;
            market.numbers.iter_mut().zip(&more.numbers).for_each(|(own, more)| own.merge(more));
        }
    }

    /// What was counted of the first metric, in its unit.
    #[must_use]
    pub fn past(&self) -> Past {
        self.pasts().into_iter().next().map_or_else(|| Past { lower_is_better: false, markets: Vec::new() }, |(_, past)| past)
    }

    /// What was counted of each metric, in its unit, by its name and in the experiment's order.
    #[must_use]
    pub fn pasts(&self) -> Vec<(String, Past)> {
        let past = |(place, counted): (usize, &Counted)| {
            let per_unit = counted.value.per_unit() as f64;
            let market = |(name, counts): (&String, &MarketCounts)| {
                let Numbers { values, sums, products } = &counts.numbers[place];
                PastMarket {
                    market: name.clone(),
                    contacts: counts.contacts,
                    values: bars(values, per_unit),
                    moments: CoMoments::from_integers(counts.contacts, sums, products, &[per_unit; 2]),
                }
            };
            let markets = self.markets.iter().map(market).collect();
            (counted.name.clone(), Past { lower_is_better: counted.lower_is_better, markets })
        };
        self.metrics.iter().enumerate().map(past).collect()
    }
}

fn nobody(metrics: usize) -> MarketCounts {
    MarketCounts { contacts: 0, numbers: vec![Numbers::default(); metrics] }
}

/// A unit's number once all of these happened.
fn at_the_end(value: &Value, tallies: &[(u16, Tally)], age_of: impl Fn(u16) -> u16) -> i128 {
    let mut so_far = Tally::default();
    tallies.iter().fold(0, |before, (age, tally)| {
        so_far.add(tally);
        value.of(&so_far, age_of(*age), before)
    })
}

/// The step of age in the window, of one that began [`BEFORE_HOURS`] earlier: whole days.
fn age_in_window(age: u16) -> u16 {
    let days = (age_hours(age) - i64::from(BEFORE_HOURS)) / 24;
    (FIRST_DAY_HOURS.len() as u16 - 2).saturating_add(u16::try_from(days).unwrap_or(u16::MAX))
}

/// At most [`PAST_VALUES_MAX`] values: neighbours are put together, at their mean.
fn bars(values: &HashMap<i128, u64>, per_unit: f64) -> Vec<ValueCount> {
    let mut sorted: Vec<(i128, u64)> = values.iter().map(|(value, contacts)| (*value, *contacts)).collect();
    sorted.sort_unstable();
    let bar = |neighbours: &[(i128, u64)]| {
        let contacts: u64 = neighbours.iter().map(|(_, contacts)| contacts).sum();
        let sum: f64 = neighbours.iter().map(|(value, contacts)| *value as f64 * *contacts as f64).sum();
        ValueCount { value: sum / contacts as f64 / per_unit, contacts }
    };
    let together = sorted.len().div_ceil(PAST_VALUES_MAX).max(1);
    // Most contacts did nothing, and nobody is put together with them.
    let zero = sorted.binary_search_by_key(&0, |(value, _)| *value);
    match zero {
        Ok(at) if together > 1 => {
            let together = (sorted.len() - 1).div_ceil(PAST_VALUES_MAX - 3).max(1);
            let parts = [&sorted[..at], &sorted[at..=at], &sorted[at + 1..]];
            parts.iter().flat_map(|part| part.chunks(together)).map(bar).collect()
        }
        _ => sorted.chunks(together).map(bar).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::{What, age};
    use vocabulary::Timestamp;

    fn spec(metric: &str) -> Experiment {
        crate::parse(&format!(
            "experiment: e\nfactors: [copy]\nvariants: [{{name: a}}, {{name: b}}]\nprimary: m\nwindow_hours: 48\nmetrics: [{{name: m, {metric}}}]"
        ))
        .unwrap()
    }

    fn unit<'a>(market: Option<&'static str>, tallies: &'a [(u16, Tally)]) -> Unit<'a> {
        Unit { variant: None, market, begins: Timestamp::UNIX_EPOCH, crossed: false, tallies }
    }

    /// An order of so much, so many hours after the unit begins.
    fn order(hours: i64, amount_minor: i64) -> (u16, Tally) {
        let mut tally = Tally { amount_minor, ..Tally::default() };
        tally.counts[What::Ordered as usize] = 1;
        (age(Timestamp::UNIX_EPOCH, Timestamp::from_second(hours * 3_600).unwrap()).unwrap(), tally)
    }

    #[test]
    fn what_came_before_the_window_is_the_covariate() {
        let mut counts = PastCounts::new(&spec("outcome: order, measure: amount"), 100);
        let (last_before, first_within) = (i64::from(BEFORE_HOURS) - 1, i64::from(BEFORE_HOURS));
        counts.add(&unit(Some("DE"), &[order(1, 1_000), order(last_before, 500), order(first_within, 700)]));
        counts.add(&unit(Some("DE"), &[order(first_within + 47, 300)]));
        counts.add(&unit(None, &[]));
        let past = counts.past();
        assert_eq!(past.contacts(), 3);
        let [nowhere, germany] = &past.markets[..] else { panic!("two markets, not {past:?}") };
        assert_eq!((nowhere.market.as_str(), nowhere.values.clone()), ("", vec![ValueCount { value: 0.0, contacts: 1 }]));
        assert_eq!(germany.values, [3.0, 7.0].map(|value| ValueCount { value, contacts: 1 }));
        assert_eq!((germany.moments.mean(0), germany.moments.mean(1)), (5.0, 7.5));
        // (7-5)(15-7.5) + (3-5)(0-7.5).
        assert!((germany.moments.product(0, 1) - 30.0).abs() < 1e-9);
        past.check().unwrap();
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let experiment = spec("outcome: order, measure: count");
        let units = [vec![order(5, 1)], vec![order(5, 1), order(2_170, 1), order(2_190, 1)], vec![]];
        let mut whole = PastCounts::new(&experiment, 100);
        let mut parts = whole.clone();
        for tallies in &units {
            whole.add(&unit(Some("FR"), tallies));
            let mut part = PastCounts::new(&experiment, 100);
            part.add(&unit(Some("FR"), tallies));
            parts.merge(&part);
        }
        assert_eq!(whole.past(), parts.past());
        assert_eq!(whole.past().markets[0].values, [(0.0, 2), (2.0, 1)].map(|(value, contacts)| ValueCount { value, contacts }));
    }

    #[test]
    fn hours_to_the_first_count_from_the_window() {
        let mut counts = PastCounts::new(&spec("outcome: order, measure: hours_to_first"), 100);
        counts.add(&unit(Some("DE"), &[order(i64::from(BEFORE_HOURS) + 3, 1)]));
        counts.add(&unit(Some("DE"), &[]));
        // By the end of its day of age, and the whole window without one.
        assert_eq!(counts.past().markets[0].values, [24.0, 48.0].map(|value| ValueCount { value, contacts: 1 }));
    }

    #[test]
    fn every_metric_has_its_past_and_its_own_window() {
        let text = "experiment: e\nfactors: [copy]\nvariants: [{name: a}, {name: b}]\nprimary: m\nwindow_hours: 48\nmetrics: \
                    [{name: m, outcome: order, measure: count}, {name: soon, outcome: order, measure: count, window_hours: 24}]";
        let mut counts = PastCounts::of_all(&crate::parse(text).unwrap(), 100);
        counts.add(&unit(Some("DE"), &[order(2_161, 1), order(2_190, 1)]));
        let means: Vec<(String, f64)> =
            counts.pasts().iter().map(|(name, past)| (name.clone(), past.moments().mean(0))).collect();
        assert_eq!(means, [("m".to_owned(), 2.0), ("soon".to_owned(), 1.0)]);
    }

    #[test]
    fn many_amounts_become_a_thousand_and_zero_stays() {
        let mut counts = PastCounts::new(&spec("outcome: order, measure: amount"), 100);
        for number in -20..5_000 {
            counts.add(&unit(Some("DE"), &[order(i64::from(BEFORE_HOURS) + 1, number)]));
        }
        let past = counts.past();
        assert!(past.markets[0].values.len() <= PAST_VALUES_MAX);
        assert!(past.markets[0].values.contains(&ValueCount { value: 0.0, contacts: 1 }));
        let sum: f64 = past.markets[0].values.iter().map(|bar| bar.value * bar.contacts as f64).sum();
        assert!((sum / 5_020.0 - past.moments().mean(0)).abs() < 1e-9);
        past.check().unwrap();
    }
}
