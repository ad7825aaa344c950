//! What a metric would be without its largest values, without looking at the rows twice.
//!
//! Values fall into buckets by sign, power of two and 7 more bits of their size, so that a bucket is at most 1/128 as wide
//! as what is in it. When all is counted, the bucket in which the largest 0.1 % of units begin is known, and with it a
//! value to which larger ones are set: the largest of that bucket. It is at most 0.8 % above the exact one, and equal to it
//! where the bucket holds one value, as with prices. All sums are exact for the value chosen.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use stats::Moments;

use super::block::count_nonzero_and_ones;
use super::groups::Spread;

/// The share of units, counted over all arms, whose values are set to where they begin: one in a thousand.
const OUTLIERS_ONE_IN: u64 = 1000;
/// Sign, exponent and 7 bits of the fraction.
const BUCKET_SHIFT: u32 = 64 - 19;

/// The values of one metric of one arm, by size.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Tail {
    buckets: HashMap<u32, Bucket, BuildHasherDefault<Spread>>,
}

/// Values of about the same size. Sums are of distances from the bucket's edge, which loses no digits.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    count: u64,
    sum: f64,
    sum_squares: f64,
    largest: f64,
}

/// Where outliers begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Begin {
    value: f64,
}

impl Bucket {
    const EMPTY: Self = Self { count: 0, sum: 0.0, sum_squares: 0.0, largest: f64::NEG_INFINITY };

    #[inline]
    fn add(&mut self, value: f64, edge: f64, count: u64) {
        let distance = value - edge;
        self.count += count;
        self.sum += distance * count as f64;
        self.sum_squares += distance * distance * count as f64;
        self.largest = self.largest.max(value);
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.sum_squares += other.sum_squares;
        self.largest = self.largest.max(other.largest);
    }

    fn moments(&self, edge: f64) -> Moments {
        let mean = self.sum / self.count as f64;
        Moments { count: self.count, mean: edge + mean, m2: (self.sum_squares - self.sum * mean).max(0.0) }
    }
}

/// The bucket of a value that is not 0.
#[inline]
fn bucket_of(value: f64) -> u32 {
    (value.to_bits() >> BUCKET_SHIFT) as u32
}

/// The edge of a bucket that is nearer to 0.
#[inline]
fn edge_of(bucket: u32) -> f64 {
    f64::from_bits(u64::from(bucket) << BUCKET_SHIFT)
}

impl Tail {
    /// Adds values. Zeros need no bucket: how many there are follows from how many units there are.
    pub(super) fn push(&mut self, values: &[f64]) {
        let (nonzero, ones) = count_nonzero_and_ones(values);
        if nonzero == ones {
            if ones > 0 {
                self.add(1.0, ones);
            }
            return;
        }
        for value in values {
            if *value != 0.0 {
                self.add(*value, 1);
            }
        }
    }

    #[inline]
    fn add(&mut self, value: f64, count: u64) {
        let bucket = bucket_of(value);
        self.buckets.entry(bucket).or_insert(Bucket::EMPTY).add(value, edge_of(bucket), count);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (key, bucket) in &other.buckets {
            self.buckets.entry(*key).or_insert(Bucket::EMPTY).merge(bucket);
        }
    }

    /// The moments of the values with those above `begin` set to it. `all` are the moments as they are.
    pub(super) fn capped(&self, begin: &Begin, all: &Moments) -> Moments {
        if self.buckets.values().all(|bucket| bucket.largest <= begin.value) {
            return *all;
        }
        let mut nonzero = 0;
        let mut capped = Moments::default();
        // The order of a map is not the same twice, and sums depend on it in their last digits.
        let mut keys: Vec<u32> = self.buckets.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            let bucket = self.buckets[&key];
            nonzero += bucket.count;
            let constant = Moments { count: bucket.count, mean: begin.value, m2: 0.0 };
            capped = capped.merge(&if bucket.largest > begin.value { constant } else { bucket.moments(edge_of(key)) });
        }
        capped.merge(&Moments { count: all.count - nonzero, mean: 0.0, m2: 0.0 })
    }
}

/// Where the largest values of an experiment begin, over all its arms together; `units` is how many units they have.
pub(super) fn begin<'a>(arms: impl Iterator<Item = &'a Tail>, units: u64) -> Begin {
    let mut together = Tail::default();
    arms.for_each(|arm| together.merge(arm));
    let mut sizes: Vec<(f64, u64)> = together.buckets.values().map(|bucket| (bucket.largest, bucket.count)).collect();
    let nonzero: u64 = sizes.iter().map(|(_, count)| count).sum();
    sizes.push((0.0, units - nonzero));
    sizes.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut left = units / OUTLIERS_ONE_IN;
    for (value, count) in sizes {
        if count > left {
            return Begin { value };
        }
        left -= count;
    }
    // Without units there are no outliers.
    Begin { value: 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The moments of `values` with the top of `all` set to where it begins, by sorting.
    fn exact(values: &[f64], all: &[f64]) -> (f64, Moments) {
        let mut sorted = all.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let begin = sorted[sorted.len() - 1 - sorted.len() / OUTLIERS_ONE_IN as usize];
        (begin, Moments::from_values(&values.iter().map(|value| value.min(begin)).collect::<Vec<_>>()))
    }

    fn check(arms: [&[f64]; 2], tolerance: f64) {
        let tails = arms.map(|values| {
            let (mut left, mut right) = (Tail::default(), Tail::default());
            left.push(&values[..values.len() / 3]);
            right.push(&values[values.len() / 3..]);
            left.merge(&right);
            left
        });
        let all = arms.concat();
        let begin = begin(tails.iter(), all.len() as u64);
        for (values, tail) in arms.iter().zip(&tails) {
            let (expect_begin, expect) = exact(values, &all);
            let found = tail.capped(&begin, &Moments::from_values(values));
            assert_eq!(found.count, expect.count);
            assert!((begin.value - expect_begin).abs() <= expect_begin.abs() / 128.0, "{begin:?} {expect_begin}");
            assert!((found.mean - expect.mean).abs() <= tolerance * expect.mean.abs().max(1e-300), "{found:?} {expect:?}");
            assert!((found.m2 - expect.m2).abs() <= tolerance * expect.m2.max(1e-300), "{found:?} {expect:?}");
            // Whatever the value chosen, the sums for it are exact.
            let chosen = Moments::from_values(&values.iter().map(|value| value.min(begin.value)).collect::<Vec<_>>());
            assert!((found.mean - chosen.mean).abs() <= 1e-11 * chosen.mean.abs().max(1e-300), "{found:?} {chosen:?}");
            assert!((found.m2 - chosen.m2).abs() <= 1e-9 * chosen.m2.max(1e-300), "{found:?} {chosen:?}");
        }
    }

    #[test]
    fn prices_are_capped_exactly() {
        let prices = |n: u32| -> Vec<f64> { (0..n).map(|i| [0.0, 0.0, 9.5, 29.99][i as usize % 4]).collect() };
        let mut whale = prices(5000);
        whale[17] = 1e6;
        check([&whale, &prices(3000)], 1e-12);
        check([&prices(500), &prices(100)], 1e-12);
    }

    #[test]
    fn where_all_positive_values_are_outliers_they_begin_at_zero() {
        let mut rare = vec![0.0; 4000];
        rare[5] = 100.0;
        check([&rare, &vec![0.0; 4000]], 1e-12);
        let mut losses: Vec<f64> = (0..4000).map(|i| -1.0 - f64::from(i % 7)).collect();
        losses[9] = 1e5;
        check([&losses, &[-3.0; 10]], 1e-12);
    }

    #[test]
    fn skewed_amounts_are_capped_nearly() {
        let amounts: Vec<f64> = (1..20_000).map(|i| (f64::from(i * 7919 % 20_011) / 20_011.0).powf(-0.7)).collect();
        check([&amounts, &amounts[..7000]], 0.02);
    }

    proptest! {
        #[test]
        fn buckets_are_narrow_and_hold_their_values(value in any::<f64>().prop_filter("a number", |v| v.is_normal())) {
            let edge = edge_of(bucket_of(value));
            prop_assert!(edge.abs() <= value.abs() && (value - edge).abs() <= edge.abs() / 128.0);
        }
    }
}
