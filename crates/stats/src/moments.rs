//! Count, mean and centred sum of squares of a sample: all a comparison of means needs, and it can be merged.
//!
//! The squares are centred on the mean (Welford 1962; Chan, Golub & LeVeque 1983), because the difference of two large
//! raw sums loses the digits that matter when money is summed.

use serde::{Deserialize, Serialize};

use crate::answer::{Degenerate, finite};

/// How many values [`Moments::from_values`] sums at a time: small enough to stay in the first-level cache for the
/// second pass over them, large enough that merging costs nothing.
const BLOCK_VALUES: usize = 1024;

/// A spread this small against the mean is what rounding leaves of equal values: nine tenths of the digits are gone.
pub(crate) const SPREAD_RELATIVE_MIN: f64 = 1e-13;

/// Sufficient statistics of a sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// How many values.
    pub count: u64,
    /// Their mean; 0 where there are none.
    pub mean: f64,
    /// The sum of their squared distances from the mean.
    pub m2: f64,
}

impl Moments {
    /// The moments of `values`.
    #[must_use]
    pub fn from_values(values: &[f64]) -> Self {
        values.chunks(BLOCK_VALUES).map(Self::of_block).fold(Self::default(), |all, block| all.merge(&block))
    }

    /// Two passes over a short block. Four sums run side by side, because one chain of additions would make the
    /// processor wait for each.
    fn of_block(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = sum_by(values, |value| value) / count;
        let m2 = sum_by(values, |value| (value - mean) * (value - mean));
        Self { count: values.len() as u64, mean, m2 }
    }

    /// The moments of a sample of which raw sums are known. Digits are lost where the mean is large against the
    /// spread; prefer [`Moments::from_values`].
    ///
    /// # Errors
    /// [`Degenerate`] when a sum is not finite or the squares are smaller than the sum allows.
    pub fn from_sums(count: u64, sum: f64, sum_squares: f64) -> Result<Self, Degenerate> {
        if count == 0 {
            return Ok(Self::default());
        }
        let mean = finite("sum", sum)? / count as f64;
        let m2 = finite("sum of squares", sum_squares)? - sum * mean;
        if m2 < -1e-9 * sum_squares.abs() {
            return Err(Degenerate::new("the sum of squares is smaller than the sum allows"));
        }
        Ok(Self { count, mean, m2: m2.max(0.0) })
    }

    /// The moments of `count` values of which `successes` are 1 and the rest 0; exact.
    #[must_use]
    pub fn from_successes(count: u64, successes: u64) -> Self {
        if count == 0 {
            return Self::default();
        }
        let mean = successes as f64 / count as f64;
        Self { count, mean, m2: successes as f64 * (count.saturating_sub(successes)) as f64 / count as f64 }
    }

    /// The moments of `count` whole numbers of which sum and sum of squares are known exactly, each counted in units of
    /// `1 / per_unit`: cents are 100 per unit. Only the results are rounded, so that no digit is lost however large the sums are.
    #[must_use]
    pub fn from_integers(count: u64, sum: i128, sum_squares: i128, per_unit: f64) -> Self {
        if count == 0 {
            return Self::default();
        }
        let mean = sum as f64 / count as f64 / per_unit;
        let spread = centred(count, sum_squares, sum, sum).max(0.0);
        Self { count, mean, m2: spread / count as f64 / (per_unit * per_unit) }
    }

    /// Whether the spread is more than what rounding leaves of equal values.
    pub(crate) fn varies(&self) -> bool {
        let noise = self.mean * SPREAD_RELATIVE_MIN;
        self.m2 > noise * noise * self.count as f64
    }

    /// Adds one value.
    pub fn push(&mut self, value: f64) {
        self.count += 1;
        let distance = value - self.mean;
        self.mean += distance / self.count as f64;
        self.m2 += distance * (value - self.mean);
    }

    /// The moments of both samples together.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        if self.count == 0 {
            return *other;
        }
        if other.count == 0 {
            return *self;
        }
        let (own, others) = (self.count as f64, other.count as f64);
        let count = own + others;
        let distance = other.mean - self.mean;
        // The mean moves from the larger sample towards the smaller one, so that the step is small.
        let mean = if own >= others { self.mean + distance * (others / count) } else { other.mean - distance * (own / count) };
        let m2 = self.m2 + other.m2 + distance * distance * (own * (others / count));
        Self { count: self.count.saturating_add(other.count), mean, m2 }
    }

    /// The sample variance, with one degree of freedom spent on the mean. `None` below two values.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        (self.count >= 2).then(|| self.m2 / (self.count - 1) as f64)
    }

    /// The squared standard error of the mean. `None` below two values.
    #[must_use]
    pub fn variance_of_mean(&self) -> Option<f64> {
        self.variance().map(|variance| variance / self.count as f64)
    }

    /// The sum of the values.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.mean * self.count as f64
    }

    /// Kish's effective number of outcomes, (sum y)² / sum y²: for zeros and ones the number of ones, for amounts how
    /// many equal amounts would be as informative. It tells whether the normal approximation can be trusted.
    #[must_use]
    pub fn effective_outcomes(&self) -> f64 {
        let sum_squares = self.m2 + self.mean * self.mean * self.count as f64;
        if sum_squares > 0.0 { self.sum() * self.sum() / sum_squares } else { 0.0 }
    }
}

/// `count` times the sum of products of distances from the means, of whole numbers.
pub(crate) fn centred(count: u64, sum_of_products: i128, one: i128, other: i128) -> f64 {
    let n = i128::from(count);
    let exact = sum_of_products.checked_mul(n).zip(one.checked_mul(other)).and_then(|(all, level)| all.checked_sub(level));
    // Sums that 128 bits cannot multiply are beyond all money there is.
    exact.map_or_else(|| sum_of_products as f64 * n as f64 - one as f64 * other as f64, |exact| exact as f64)
}

/// The sum of `f` over `values` in four lanes.
fn sum_by(values: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; 4];
    let (fours, rest) = values.as_chunks::<4>();
    for four in fours {
        for (lane, value) in lanes.iter_mut().zip(four) {
            *lane += f(*value);
        }
    }
    let rest: f64 = rest.iter().map(|value| f(*value)).sum();
    (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]) + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(actual: f64, expect: f64, scale: f64) -> bool {
        (actual - expect).abs() <= 1e-10 * scale.max(expect.abs())
    }

    fn same(a: &Moments, b: &Moments, values: &[f64]) -> bool {
        let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let squares = largest * largest * values.len() as f64;
        a.count == b.count && near(a.mean, b.mean, largest) && near(a.m2, b.m2, squares)
    }

    fn pushed(values: &[f64]) -> Moments {
        values.iter().fold(Moments::default(), |mut moments, value| {
            moments.push(*value);
            moments
        })
    }

    #[test]
    fn known_moments() {
        let check = |values: &[f64], count, mean, m2| assert_eq!(Moments::from_values(values), Moments { count, mean, m2 });
        check(&[], 0, 0.0, 0.0);
        check(&[7.0], 1, 7.0, 0.0);
        check(&[1.0, 2.0, 3.0, 4.0, 5.0], 5, 3.0, 10.0);
        assert_eq!(Moments::from_values(&[1.0, 2.0, 3.0, 4.0, 5.0]).variance(), Some(2.5));
        assert_eq!(Moments::from_values(&[7.0]).variance(), None);
    }

    #[test]
    fn whole_numbers_lose_no_digit() {
        assert_eq!(Moments::from_integers(0, 0, 0, 100.0), Moments::default());
        assert_eq!(Moments::from_integers(5, 15, 55, 1.0), Moments { count: 5, mean: 3.0, m2: 10.0 });
        assert_eq!(Moments::from_integers(4, 700, 290_000, 100.0), Moments { count: 4, mean: 1.75, m2: 16.75 });
        assert_eq!(Moments::from_integers(1000, 37, 37, 1.0), Moments::from_successes(1000, 37));
        // A million values of a billion and a billion and one: raw sums of floats have lost their spread.
        let (n, low) = (1_000_000_i128, 1_000_000_000_i128);
        let (sum, squares) = (n * low + n / 2, n / 2 * (low * low + (low + 1) * (low + 1)));
        assert_eq!(Moments::from_integers(n as u64, sum, squares, 1.0).m2, 250_000.0);
        let beyond = Moments::from_integers(2, i128::MAX / 2, i128::MAX, 1.0);
        assert!(beyond.mean.is_finite() && beyond.m2 >= 0.0);
    }

    #[test]
    fn large_means_do_not_swallow_the_spread() {
        let values: Vec<f64> = (0..5000).map(|i| 1e9 + f64::from(i % 2)).collect();
        for moments in [Moments::from_values(&values), pushed(&values)] {
            assert!((moments.m2 / 1250.0 - 1.0).abs() < 1e-6, "{moments:?}");
        }
    }

    #[test]
    fn successes_and_sums_are_ways_to_the_same() {
        let values: Vec<f64> = (0..1000).map(|i| if i < 37 { 1.0 } else { 0.0 }).collect();
        let expect = Moments::from_values(&values);
        assert!(same(&Moments::from_successes(1000, 37), &expect, &values));
        assert!(same(&Moments::from_sums(1000, 37.0, 37.0).unwrap(), &expect, &values));
        assert!((expect.effective_outcomes() - 37.0).abs() < 1e-9);
        assert_eq!(Moments::default().effective_outcomes(), 0.0);
        assert!(Moments::from_sums(10, 10.0, 1.0).is_err(), "the squares of ten ones are ten");
        assert!(Moments::from_sums(10, f64::NAN, 1.0).is_err());
    }

    proptest! {
        #[test]
        fn merge_is_recompute(values in prop::collection::vec(-1e6..1e6_f64, 0..3000), cut in 0.0..=1.0_f64) {
            let (left, right) = values.split_at((values.len() as f64 * cut) as usize);
            let whole = Moments::from_values(&values);
            prop_assert!(same(&Moments::from_values(left).merge(&Moments::from_values(right)), &whole, &values));
            prop_assert!(same(&pushed(&values), &whole, &values));
        }

        #[test]
        fn merge_does_not_depend_on_order(
            a in prop::collection::vec(-1e3..1e3_f64, 0..50),
            b in prop::collection::vec(0.0..1e6_f64, 0..500),
            c in prop::collection::vec(-1.0..1.0_f64, 0..50),
        ) {
            let all = [a.clone(), b.clone(), c.clone()].concat();
            let [a, b, c] = [a, b, c].map(|values| Moments::from_values(&values));
            prop_assert!(same(&a.merge(&b).merge(&c), &c.merge(&b.merge(&a)), &all));
        }
    }
}
