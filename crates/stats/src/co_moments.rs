//! Count, means and centred cross-products of several numbers per unit: all that ratios, covariates and regressions need.
//!
//! Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances" (1979), for vectors.

use serde::{Deserialize, Serialize};

use crate::answer::{Degenerate, finite};
use crate::moments::{Moments, centred};

/// Sufficient statistics of a sample of vectors; merging two equals recomputing from all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoMoments {
    /// How many units.
    pub count: u64,
    /// The mean of each number; zeros where there are no units.
    means: Vec<f64>,
    /// The sums of products of distances from the means, upper triangle by rows: (0,0), (0,1) …, (1,1) ….
    products: Vec<f64>,
}

impl CoMoments {
    /// No units yet, of `dimensions` numbers each.
    #[must_use]
    pub fn new(dimensions: usize) -> Self {
        Self { count: 0, means: vec![0.0; dimensions], products: vec![0.0; dimensions * (dimensions + 1) / 2] }
    }

    /// From raw sums and raw sums of products, the latter as upper triangle by rows. Digits are lost where means are large
    /// against the spread; prefer [`CoMoments::push`] and [`CoMoments::merge`].
    ///
    /// # Errors
    /// [`Degenerate`] when a sum is not finite, the lengths do not agree, or a sum of squares is smaller than its sum allows.
    pub fn from_sums(count: u64, sums: &[f64], sums_of_products: &[f64]) -> Result<Self, Degenerate> {
        let dimensions = sums.len();
        if sums_of_products.len() != dimensions * (dimensions + 1) / 2 {
            return Err(Degenerate::new("there must be one sum of products per pair of numbers"));
        }
        let mut moments = Self::new(dimensions);
        if count == 0 {
            return Ok(moments);
        }
        moments.count = count;
        for (mean, sum) in moments.means.iter_mut().zip(sums) {
            *mean = finite("sum", *sum)? / count as f64;
        }
        let pairs = (0..dimensions).flat_map(|i| (i..dimensions).map(move |j| (i, j)));
        for ((i, j), raw) in pairs.zip(sums_of_products) {
            let raw = finite("sum of products", *raw)?;
            let centred = raw - sums[i] * moments.means[j];
            if i == j && centred < -1e-9 * raw.abs() {
                return Err(Degenerate::new("a sum of squares is smaller than its sum allows"));
            }
            let at = moments.at(i, j);
            moments.products[at] = if i == j { centred.max(0.0) } else { centred };
        }
        Ok(moments)
    }

    /// From whole numbers of which sums and sums of products (upper triangle by rows) are known exactly, number `i` counted in units of
    /// `1 / per_unit[i]`: cents are 100 per unit. Only the results are rounded.
    ///
    /// # Panics
    /// When the lengths do not agree, which is the caller's mistake.
    #[must_use]
    pub fn from_integers(count: u64, sums: &[i128], sums_of_products: &[i128], per_unit: &[f64]) -> Self {
        let dimensions = sums.len();
        assert_eq!((per_unit.len(), sums_of_products.len()), (dimensions, dimensions * (dimensions + 1) / 2), "one per pair");
        if count == 0 {
            return Self::new(dimensions);
        }
        let n = count as f64;
        let means = sums.iter().zip(per_unit).map(|(sum, unit)| *sum as f64 / n / unit);
        let pairs = (0..dimensions).flat_map(|i| (i..dimensions).map(move |j| (i, j)));
        let products = pairs.zip(sums_of_products).map(|((i, j), product)| {
            let spread = centred(count, *product, sums[i], sums[j]);
            (if i == j { spread.max(0.0) } else { spread }) / n / (per_unit[i] * per_unit[j])
        });
        Self { count, means: means.collect(), products: products.collect() }
    }

    /// From parts that are centred already: means, and sums of products of distances from them as upper triangle by rows.
    ///
    /// # Panics
    /// When the lengths do not agree, which is the caller's mistake.
    #[must_use]
    pub fn from_centred(count: u64, means: Vec<f64>, products: Vec<f64>) -> Self {
        assert_eq!(products.len(), means.len() * (means.len() + 1) / 2, "one product per pair");
        Self { count, means, products }
    }

    /// How many numbers per unit.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.means.len()
    }

    /// The mean of number `i`.
    #[must_use]
    pub fn mean(&self, i: usize) -> f64 {
        self.means[i]
    }

    /// The sum of products of distances of numbers `i` and `j` from their means.
    #[must_use]
    pub fn product(&self, i: usize, j: usize) -> f64 {
        self.products[self.at(i, j)]
    }

    /// The sample covariance of numbers `i` and `j` (ddof 1). `None` below two units.
    #[must_use]
    pub fn covariance(&self, i: usize, j: usize) -> Option<f64> {
        (self.count >= 2).then(|| self.product(i, j) / (self.count - 1) as f64)
    }

    /// The moments of number `i` alone.
    #[must_use]
    pub fn moments(&self, i: usize) -> Moments {
        Moments { count: self.count, mean: self.means[i], m2: self.product(i, i) }
    }

    /// The moments of Σ `weights[i]` × number i, per unit.
    #[must_use]
    pub fn combined(&self, weights: &[f64]) -> Moments {
        let mut combined = Moments { count: self.count, mean: 0.0, m2: 0.0 };
        for (i, weight) in weights.iter().enumerate() {
            combined.mean += weight * self.means[i];
            combined.m2 += weight * weight * self.product(i, i);
            for (j, other) in weights.iter().enumerate().skip(i + 1) {
                combined.m2 += 2.0 * weight * other * self.product(i, j);
            }
        }
        combined.m2 = combined.m2.max(0.0);
        combined
    }

    /// Whether all means and products are finite and no square is negative.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let finite = self.means.iter().chain(&self.products).all(|number| number.is_finite());
        finite && (0..self.means.len()).all(|i| self.product(i, i) >= 0.0)
    }

    /// The sum of products of distances of two linear forms from their means: Σ_ij a_i b_j × product(i, j). Divided by the
    /// count less one it is their sample covariance. Forms shorter than the dimensions leave the rest out.
    ///
    /// # Panics
    /// When a form is longer than [`CoMoments::dimensions`], which is the caller's mistake.
    #[must_use]
    pub fn product_of(&self, a: &[f64], b: &[f64]) -> f64 {
        let weight = |form: &[f64], i: usize| form.get(i).copied().unwrap_or(0.0);
        let longest = a.len().max(b.len());
        assert!(longest <= self.means.len(), "a weight per number");
        let mut total = 0.0;
        for i in 0..longest {
            let row = &self.products[self.at(i, i)..];
            let (a_i, b_i) = (weight(a, i), weight(b, i));
            total += a_i * b_i * row[0];
            for j in i + 1..longest {
                total += (a_i * weight(b, j) + weight(a, j) * b_i) * row[j - i];
            }
        }
        total
    }

    /// Adds one unit.
    ///
    /// # Panics
    /// When `unit` has not [`CoMoments::dimensions`] numbers, which is the caller's mistake.
    pub fn push(&mut self, unit: &[f64]) {
        assert_eq!(unit.len(), self.means.len(), "one number per dimension");
        let before = self.count as f64;
        self.count += 1;
        let after = self.count as f64;
        let share = before / after;
        let mut products = self.products.iter_mut();
        for (i, (value, mean)) in unit.iter().zip(&self.means).enumerate() {
            let distance = share * (value - mean);
            for ((value, mean), product) in unit[i..].iter().zip(&self.means[i..]).zip(&mut products) {
                *product += distance * (value - mean);
            }
        }
        for (mean, value) in self.means.iter_mut().zip(unit) {
            *mean += (value - *mean) / after;
        }
    }

    /// Adds the units of another sample.
    ///
    /// # Panics
    /// When `other` has another number of dimensions, which is the caller's mistake.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(other.means.len(), self.means.len(), "samples of the same numbers");
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            self.clone_from(other);
            return;
        }
        let (own, others) = (self.count as f64, other.count as f64);
        let count = own + others;
        // The means are moved last, so that their distances need no memory of their own.
        let (share, weight) = (others / count, own * (others / count));
        let mut products = self.products.iter_mut().zip(&other.products);
        for (i, (theirs, ours)) in other.means.iter().zip(&self.means).enumerate() {
            let weighted = weight * (theirs - ours);
            let rest = other.means[i..].iter().zip(&self.means[i..]);
            for ((theirs, ours), (product, added)) in rest.zip(&mut products) {
                *product += added + weighted * (theirs - ours);
            }
        }
        for (mean, theirs) in self.means.iter_mut().zip(&other.means) {
            let distance = theirs - *mean;
            *mean = if own >= others { *mean + distance * share } else { theirs - distance * (own / count) };
        }
        self.count = self.count.saturating_add(other.count);
    }

    fn at(&self, i: usize, j: usize) -> usize {
        let (i, j) = if i <= j { (i, j) } else { (j, i) };
        i * self.means.len() - i * (i + 1) / 2 + j
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(units: &[[f64; 3]]) -> CoMoments {
        let mut moments = CoMoments::new(3);
        units.iter().for_each(|unit| moments.push(unit));
        moments
    }

    #[test]
    fn raw_sums_are_a_way_to_the_same() {
        let moments = CoMoments::from_sums(3, &[6.0, 12.0], &[14.0, 27.0, 56.0]).unwrap();
        assert_eq!((moments.mean(0), moments.mean(1)), (2.0, 4.0));
        assert_eq!((moments.covariance(0, 0), moments.covariance(1, 0)), (Some(1.0), Some(1.5)));
        assert!(CoMoments::from_sums(3, &[6.0, 12.0], &[14.0, 27.0]).is_err());
        assert!(CoMoments::from_sums(3, &[6.0, f64::NAN], &[14.0, 27.0, 56.0]).is_err());
        assert!(CoMoments::from_sums(3, &[6.0, 12.0], &[1.0, 27.0, 56.0]).is_err());
    }

    #[test]
    fn whole_numbers_lose_no_digit() {
        // A million pairs of a billion and a billion and one, in hundredths, with thousands: raw sums of floats have lost their spread.
        let (n, low) = (1_000_000_i128, 1_000_000_000_i128);
        let sums = [n * low + n / 2, n / 2 * 3];
        let products = [n / 2 * (low * low + (low + 1) * (low + 1)), n / 2 * (low + 2 * (low + 1)), n / 2 * 5];
        let moments = CoMoments::from_integers(n as u64, &sums, &products, &[100.0, 1.0]);
        assert_eq!((moments.mean(0), moments.mean(1)), (10_000_000.005, 1.5));
        assert_eq!([moments.product(0, 0), moments.product(0, 1), moments.product(1, 1)], [25.0, 2_500.0, 250_000.0]);
        assert_eq!(moments.moments(1), Moments::from_integers(n as u64, sums[1], products[2], 1.0));
        assert_eq!(CoMoments::from_integers(0, &[0], &[0], &[1.0]), CoMoments::new(1));
    }

    proptest! {
        #[test]
        fn merge_is_recompute(units in prop::collection::vec(prop::array::uniform3(-1e3..1e3_f64), 0..200), cut in 0.0..=1.0_f64) {
            let (left, right) = units.split_at((units.len() as f64 * cut) as usize);
            let (mut merged, whole) = (of(left), of(&units));
            merged.merge(&of(right));
            prop_assert_eq!(merged.count, whole.count);
            for i in 0..3 {
                prop_assert!((merged.mean(i) - whole.mean(i)).abs() <= 1e-9);
                for j in 0..3 {
                    prop_assert!((merged.product(i, j) - whole.product(i, j)).abs() <= 1e-12 * 1e6 * units.len() as f64);
                }
            }
            let combined = merged.combined(&[2.0, -1.0, 0.5]);
            let values: Vec<f64> = units.iter().map(|u| 2.0 * u[0] - u[1] + 0.5 * u[2]).collect();
            let expect = Moments::from_values(&values);
            prop_assert!((combined.mean - expect.mean).abs() <= 1e-9 && (combined.m2 - expect.m2).abs() <= 1e-5);
        }
    }
}
