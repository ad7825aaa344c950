//! Exact quantiles of all units of an experiment, however many: each look at the rows narrows down where they lie.
//!
//! Numbers are mapped to integers of the same order. A look counts them by 16 bits of the range that is still open, and
//! goes on in the one of 65,536 parts that holds the quantile, or collects its values where they are few. Four looks settle
//! any quantile; two are usual.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;

use super::bad::BadUnits;
use super::groups::Spread;
use super::{Batch, EMPTY};
use crate::spec::{Kind, Spec};

/// Values collected instead of counted further: 32 KiB per experiment and metric.
const COLLECTED_MAX: u64 = 4096;
/// Bits of the order settled by one look.
const LOOK_BITS: u32 = 16;

/// Per experiment and metric: the value above which values are set to it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Caps(BTreeMap<String, Vec<Option<f64>>>);

impl Caps {
    /// The caps of an experiment by metric, none where there are no caps; `""` is the only experiment of a file.
    #[must_use]
    pub fn of(&self, experiment: &str) -> &[Option<f64>] {
        self.0.get(experiment).map_or(&[], Vec::as_slice)
    }
}

/// Looks for the caps of a spec: [`CapSearch::push`] all units, [`CapSearch::merge`] what was pushed side by side, then
/// [`CapSearch::advance`], until that says that all are found.
#[derive(Debug, Clone)]
pub struct CapSearch {
    /// By metric: its name and the quantile, for those to cap.
    quantiles: Vec<Option<(String, f64)>>,
    experiments: BTreeMap<String, usize>,
    /// By experiment and metric.
    searches: Vec<Vec<Option<Search>>>,
    /// By the code of this gatherer's batches: the experiment.
    codes: Vec<Option<usize>>,
}

impl CapSearch {
    /// A search for the caps of `spec`; `None` where it asks for none. Binary metrics have none.
    #[must_use]
    pub fn new(spec: &Spec) -> Option<Self> {
        let capped = spec.metrics.iter().map(|metric| {
            let cap = metric.cap.filter(|_| metric.kind != Kind::Binary);
            cap.map(|cap| (metric.name.clone(), cap))
        });
        let quantiles: Vec<_> = capped.collect();
        let search = Self { quantiles, experiments: BTreeMap::new(), searches: Vec::new(), codes: Vec::new() };
        search.quantiles.iter().any(Option::is_some).then_some(search)
    }

    /// Looks at more units. Those without an experiment and values that are not finite are left out; gathering refuses them.
    pub fn push(&mut self, batch: &Batch<'_>) {
        for (metric, numbers) in batch.metrics.iter().enumerate() {
            if self.quantiles[metric].is_none() {
                continue;
            }
            for (row, value) in numbers.value.values.iter().enumerate() {
                let code = batch.experiment.map_or(0, |labels| labels.codes[row]);
                let value = if numbers.value.empty.is_some_and(|empty| empty[row]) { 0.0 } else { *value };
                if code == EMPTY || !value.is_finite() {
                    continue;
                }
                let experiment = match self.codes.get(code as usize) {
                    Some(Some(experiment)) => *experiment,
                    _ => self.learn(code, batch.experiment.map_or("", |labels| labels.names[code as usize].as_str())),
                };
                if let Some(search) = &mut self.searches[experiment][metric] {
                    search.see(key_of(value));
                }
            }
        }
    }

    #[cold]
    fn learn(&mut self, code: u32, name: &str) -> usize {
        let experiment = self.find(name);
        self.codes.resize(self.codes.len().max(code as usize + 1), None);
        self.codes[code as usize] = Some(experiment);
        experiment
    }

    /// The position of an experiment, which is made where it is new.
    fn find(&mut self, name: &str) -> usize {
        if let Some(experiment) = self.experiments.get(name) {
            return *experiment;
        }
        self.experiments.insert(name.to_owned(), self.searches.len());
        let searches = self.quantiles.iter().map(|quantile| quantile.as_ref().map(|(_, quantile)| Search::new(*quantile)));
        self.searches.push(searches.collect());
        self.searches.len() - 1
    }

    /// The same search for units that are looked at side by side, with nothing seen.
    #[must_use]
    pub fn fork(&self) -> Self {
        let mut fork = self.clone();
        fork.codes.clear();
        fork.searches.iter_mut().flatten().flatten().for_each(Search::forget);
        fork
    }

    /// Adds what a fork has seen.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        let mut searches: Vec<_> = other.searches.into_iter().map(Some).collect();
        for (name, at) in other.experiments {
            let own = self.find(&name);
            let others = searches[at].take().unwrap_or_default();
            for (search, other) in self.searches[own].iter_mut().flatten().zip(others.into_iter().flatten()) {
                search.merge(other);
            }
        }
        self
    }

    /// Ends a look. The answer is the caps when all are found, and nothing when another look is needed.
    ///
    /// # Errors
    /// [`BadUnits::CapOfZero`].
    pub fn advance(&mut self) -> Result<Option<Caps>, BadUnits> {
        self.codes.clear();
        self.searches.iter_mut().flatten().flatten().for_each(Search::advance);
        if self.searches.iter().flatten().flatten().any(|search| search.found.is_none()) {
            return Ok(None);
        }
        for (experiment, at) in &self.experiments {
            for (search, quantile) in self.searches[*at].iter().zip(&self.quantiles) {
                if let (Some(search), Some((metric, cap))) = (search, quantile)
                    && search.found == Some(0.0)
                    && search.largest > key_of(0.0)
                {
                    return Err(BadUnits::CapOfZero { metric: metric.clone(), cap: *cap, experiment: experiment.clone() });
                }
            }
        }
        let caps = |at: usize| self.searches[at].iter().map(|search| search.as_ref().and_then(|search| search.found)).collect();
        Ok(Some(Caps(self.experiments.iter().map(|(name, at)| (name.clone(), caps(*at))).collect())))
    }
}

/// The search for one quantile of one metric of one experiment.
#[derive(Debug, Clone)]
struct Search {
    quantile: f64,
    /// The keys among which the quantile's lower neighbour is.
    from: u64,
    to: u64,
    /// How many keys of that range are smaller, once the number of units is known, and how far the quantile lies towards
    /// the next key.
    rank: Option<(u64, f64)>,
    /// Keys of the range by `(key - from) >> shift`.
    shift: u32,
    counts: HashMap<u32, u64, BuildHasherDefault<Spread>>,
    /// Keys of the range themselves, when they are few.
    collected: Option<Vec<u64>>,
    /// The smallest key above the range.
    above: Option<u64>,
    /// The largest key of all.
    largest: u64,
    found: Option<f64>,
}

impl Search {
    fn new(quantile: f64) -> Self {
        let shift = u64::BITS - LOOK_BITS;
        let counts = HashMap::default();
        let (from, to) = (0, u64::MAX);
        Self { quantile, from, to, rank: None, shift, counts, collected: None, above: None, largest: 0, found: None }
    }

    #[inline]
    fn see(&mut self, key: u64) {
        if self.found.is_some() || key < self.from {
            return;
        }
        if key > self.to {
            self.above = Some(self.above.map_or(key, |above| above.min(key)));
            return;
        }
        self.largest = self.largest.max(key);
        match &mut self.collected {
            Some(collected) => collected.push(key),
            None => *self.counts.entry(((key - self.from) >> self.shift) as u32).or_insert(0) += 1,
        }
    }

    fn forget(&mut self) {
        self.counts.clear();
        self.above = None;
        self.collected.iter_mut().for_each(Vec::clear);
    }

    fn merge(&mut self, other: Self) {
        other.counts.into_iter().for_each(|(part, count)| *self.counts.entry(part).or_insert(0) += count);
        self.above = self.above.into_iter().chain(other.above).min();
        self.largest = self.largest.max(other.largest);
        if let (Some(collected), Some(others)) = (&mut self.collected, other.collected) {
            collected.extend(others);
        }
    }

    fn advance(&mut self) {
        if self.found.is_some() {
            return;
        }
        let (rank, share) = *self.rank.get_or_insert_with(|| {
            // Hyndman & Fan 1996, type 7: the quantile lies at (n - 1) p among the values from 0.
            let units: u64 = self.counts.values().sum();
            let position = units.saturating_sub(1) as f64 * self.quantile;
            (position as u64, position.fract())
        });
        if let Some(mut keys) = self.collected.take() {
            keys.sort_unstable();
            let next = keys.get(rank as usize + 1).copied().or(self.above);
            self.found = keys.get(rank as usize).map(|key| between(*key, next, share));
            return;
        }
        let mut parts: Vec<(u32, u64)> = self.counts.drain().collect();
        parts.sort_unstable();
        let mut left = rank;
        for (at, (part, count)) in parts.iter().enumerate() {
            if *count <= left {
                left -= count;
                continue;
            }
            let begin = self.from + (u64::from(*part) << self.shift);
            if self.shift == 0 {
                let after = parts.get(at + 1).map(|(part, _)| self.from + u64::from(*part)).or(self.above);
                let next = if left + 1 < *count { Some(begin) } else { after };
                self.found = Some(between(begin, next, share));
            } else {
                (self.from, self.to) = (begin, begin + ((1 << self.shift) - 1));
                self.rank = Some((left, share));
                self.shift -= LOOK_BITS;
                self.collected = (*count <= COLLECTED_MAX).then(Vec::new);
                self.above = None;
            }
            return;
        }
    }
}

/// The number so far from one key towards the next.
fn between(key: u64, next: Option<u64>, share: f64) -> f64 {
    let value = value_of(key);
    // By halves, so that the distance of the largest numbers is still a number.
    let half = |next| share * (value_of(next) / 2.0 - value / 2.0);
    next.map_or(value, |next| value + half(next) + half(next))
}

/// Integers in the order of the numbers.
#[inline]
fn key_of(value: f64) -> u64 {
    // Both zeros are one number.
    let bits = (value + 0.0).to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

fn value_of(key: u64) -> f64 {
    f64::from_bits(if key >> 63 == 1 { key & !(1 << 63) } else { !key })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Labels, MetricNumbers, Numbers};
    use super::*;
    use crate::spec::MetricSpec;

    /// Type 7 by sorting.
    fn sorted(values: &[f64], quantile: f64) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let position = (values.len() - 1) as f64 * quantile;
        let lower = position.floor() as usize;
        let upper = sorted[(lower + 1).min(values.len() - 1)];
        sorted[lower] + position.fract() * (upper - sorted[lower])
    }

    /// The cap found by looking at `values` in two halves, and in how many looks.
    fn found(values: &[f64], quantile: f64) -> (Result<f64, BadUnits>, usize) {
        let mut spec = Spec::new("v", "a", vec![MetricSpec::new("spend", Kind::Mean)]);
        spec.metrics[0].cap = Some(quantile);
        let mut search = CapSearch::new(&spec).unwrap();
        for look in 1..10 {
            let fork = |values: &[f64]| {
                let mut fork = search.fork();
                let codes = vec![0; values.len()];
                let names = ["a".to_owned()];
                let value = Numbers { values, empty: None };
                fork.push(&Batch {
                    experiment: None,
                    variant: Labels { codes: &codes, names: &names },
                    segments: Vec::new(),
                    stratum: None,
                    date: None,
                    metrics: vec![MetricNumbers { value, denominator: None }],
                    covariates: Vec::new(),
                    cluster_rows: None,
                });
                fork
            };
            let (left, right) = values.split_at(values.len() / 2);
            search = fork(left).merge(fork(right));
            match search.advance() {
                Ok(Some(caps)) => return (Ok(caps.of("")[0].unwrap()), look),
                Ok(None) => {}
                Err(error) => return (Err(error), look),
            }
        }
        panic!("ten looks are too many");
    }

    #[test]
    fn quantiles_are_those_of_sorting() {
        let check = |values: &[f64], quantile, looks_max| {
            let (cap, looks) = found(values, quantile);
            assert_eq!(cap, Ok(sorted(values, quantile)));
            assert!(looks <= looks_max, "{looks} looks");
        };
        check(&[7.0], 0.999, 2);
        check(&[1.0, 2.0, 3.0, 4.0], 0.5, 2);
        check(&[-1.0, -2.0, -3.0, -4.0], 0.9, 2);
        check(&[1.0, 1e300, -1e300], 0.6, 2);
        check(&vec![29.99; 50_000], 0.999, 4);
        // Many values within the smallest part of one look.
        let crowded: Vec<f64> = (0..40_000).map(|i| 1e9 + f64::from(i * 7919 % 40_009) * 1e-6).collect();
        check(&crowded, 0.99, 4);
        let mut gap = vec![1.0; 20_000];
        gap[0] = 1e6;
        check(&gap, 1.0 - 0.5 / 19_999.0, 4);
    }

    #[test]
    fn a_cap_of_zero_is_refused() {
        let mut rare = vec![0.0; 10_000];
        rare[3] = 5.0;
        let (error, _) = found(&rare, 0.99);
        assert!(error.unwrap_err().to_string().starts_with("the cap of the metric `spend` is 0"));
        assert_eq!(found(&[0.0; 100], 0.9).0, Ok(0.0), "nothing is lost where all is zero");
    }

    proptest! {
        #[test]
        fn any_quantile_of_any_numbers(values in prop::collection::vec(-1e6..1e6_f64, 1..300), quantile in 0.001..0.999_f64) {
            // Zeros in plenty are another test's.
            let values: Vec<f64> = values.iter().map(|value| value + 0.25).collect();
            let (cap, expect) = (found(&values, quantile).0.unwrap(), sorted(&values, quantile));
            prop_assert!((cap - expect).abs() <= 1e-9, "{cap} {expect}");
        }

        #[test]
        fn keys_keep_the_order(a in any::<f64>(), b in any::<f64>()) {
            prop_assume!(!a.is_nan() && !b.is_nan());
            prop_assert_eq!(a.partial_cmp(&b).unwrap(), key_of(a).cmp(&key_of(b)));
            prop_assert!(value_of(key_of(a)) == a);
        }
    }
}
