//! Whether groups agree in what was known of their units before: the criterion of rerandomisation, and the search by it.
//!
//! Units are assigned to groups anew until the groups' means of the covariates lie close together (Morgan & Rubin, "Rerandomization to
//! improve covariate balance in experiments", Annals of Statistics 40, 2012, 1263-1282). Close is the Mahalanobis distance, for any
//! number of groups of any size
//!
//! ```text
//! M = sum over groups a of n_a (x_a - x)' S^-1 (x_a - x)
//! ```
//!
//! with `x_a` a group's means, `x` the means and `S` the covariance of all units. For two groups it is the paper's `n p (1-p) d' S^-1 d`.
//! Under one random assignment M follows a chi-square distribution with `k (groups - 1)` degrees of freedom for `k` covariates, so that the
//! threshold below which a wanted share of all assignments lies is its quantile. With two groups, what passes has the variance of
//! each covariate's difference made smaller by the factor `P(chi2(k+2) <= threshold) / P(chi2(k) <= threshold)` (their theorem 3.1).
//!
//! The distance is the same for any covariates that span the same space. So a covariate that does not vary, or that repeats others, is
//! left out of it and not counted in `k`; no ridge is needed, which would make the distance depend on scales.

use crate::tail::chi_square_quantile_upper;

/// What a covariate must vary beyond those before it, as a share of its variance: less is rounding of 32-bit values.
const OWN_VARIANCE_MIN: f64 = 1e-6;

/// What was known of units before they were assigned: some numbers each, and at most one label.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Covariates {
    units: usize,
    numbers: usize,
    values: Vec<f32>,
    labels: usize,
    label_of: Vec<u8>,
}

impl Covariates {
    /// Of `units`: `values` holds `numbers` of each, unit by unit; `label_of` one label of each, below `labels`, and nothing where there
    /// are no labels. A value that is not finite counts as zero.
    ///
    /// # Panics
    /// When the lengths do not fit each other, or a label is not below `labels`.
    #[must_use]
    pub fn new(units: usize, numbers: usize, mut values: Vec<f32>, labels: usize, label_of: Vec<u8>) -> Self {
        assert_eq!(values.len(), units * numbers, "each unit needs its numbers");
        assert_eq!(label_of.len(), if labels == 0 { 0 } else { units }, "each unit needs its label");
        assert!(label_of.iter().all(|label| usize::from(*label) < labels), "a label is not below their count");
        values.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = 0.0);
        Self { units, numbers, values, labels, label_of }
    }

    /// How many units.
    #[must_use]
    pub fn units(&self) -> usize {
        self.units
    }

    /// How many columns: the numbers, then one for each label, which is 1 for the units that have it and else 0.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.numbers + self.labels
    }

    fn numbers_of(&self, unit: usize) -> &[f32] {
        &self.values[unit * self.numbers..(unit + 1) * self.numbers]
    }

    fn label_of(&self, unit: usize) -> Option<usize> {
        self.label_of.get(unit).map(|label| self.numbers + usize::from(*label))
    }

    /// How many units each group has, and their sums by group and column.
    fn sums(&self, groups: usize, group_of: impl Fn(usize) -> usize) -> Sums {
        let columns = self.columns();
        let mut sums = Sums { counts: vec![0; groups], sums: vec![0.0; groups * columns] };
        for unit in 0..self.units {
            let group = group_of(unit);
            sums.counts[group] += 1;
            let of_group = &mut sums.sums[group * columns..(group + 1) * columns];
            of_group.iter_mut().zip(self.numbers_of(unit)).for_each(|(sum, value)| *sum += f64::from(*value));
            if let Some(column) = self.label_of(unit) {
                of_group[column] += 1.0;
            }
        }
        sums
    }

    /// Sums of products of what differs from the means, of which the lower triangle is filled in.
    fn products(&self, means: &[f64]) -> Vec<Vec<f64>> {
        let (columns, numbers) = (self.columns(), self.numbers);
        let mut products = vec![vec![0.0; columns]; columns];
        let mut counts = vec![0.0; columns];
        let mut centred = vec![0.0; numbers];
        for unit in 0..self.units {
            let values = self.numbers_of(unit).iter().zip(means);
            centred.iter_mut().zip(values).for_each(|(centred, (value, mean))| *centred = f64::from(*value) - mean);
            for i in 0..numbers {
                (0..=i).for_each(|j| products[i][j] += centred[i] * centred[j]);
            }
            if let Some(column) = self.label_of(unit) {
                counts[column] += 1.0;
                products[column].iter_mut().zip(&centred).for_each(|(product, value)| *product += value);
            }
        }
        for i in numbers..columns {
            for j in numbers..=i {
                let own = if i == j { counts[i] } else { 0.0 };
                products[i][j] = own - counts[i] * means[j];
            }
        }
        products
    }
}

/// Groups in sums.
struct Sums {
    counts: Vec<u64>,
    sums: Vec<f64>,
}

impl Sums {
    /// For each group that has units, how many and how far its means of the columns are from those of all.
    fn offsets<'a>(&'a self, means: &'a [f64]) -> impl Iterator<Item = (f64, Vec<f64>)> + 'a {
        let groups = self.counts.iter().zip(self.sums.chunks(means.len().max(1))).filter(|(count, _)| **count > 0);
        groups.map(move |(count, sums)| {
            let count = *count as f64;
            (count, sums.iter().zip(means).map(|(sum, mean)| sum / count - mean).collect())
        })
    }
}

/// The distance of groups that units are assigned to, and how much of it is accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Criterion {
    means: Vec<f64>,
    /// Standard deviations of the columns.
    deviations: Vec<f64>,
    /// The columns that vary beyond those before them, and the rows of their triangle L: L L' is the covariance.
    kept: Vec<(usize, Vec<f64>)>,
    groups: usize,
    threshold: f64,
}

impl Criterion {
    /// Of these units, for so many groups, so that one assignment in `1 / acceptance` is accepted.
    ///
    /// # Panics
    /// When there is no group or `acceptance` is not between 0 and 1.
    #[must_use]
    pub fn new(covariates: &Covariates, groups: usize, acceptance: f64) -> Self {
        assert!(groups > 0, "units are assigned to groups");
        assert!(acceptance > 0.0 && acceptance < 1.0, "a share of assignments is accepted");
        let count = covariates.units as f64;
        let means: Vec<f64> = covariates.sums(1, |_| 0).sums.iter().map(|sum| sum / count.max(1.0)).collect();
        let mut covariance = covariates.products(&means);
        covariance.iter_mut().flatten().for_each(|product| *product /= (count - 1.0).max(1.0));
        let deviations = (0..means.len()).map(|column| covariance[column][column].max(0.0).sqrt()).collect();
        let kept = triangle(&covariance);
        let df = kept.len() * (groups - 1);
        let threshold = if df == 0 { 0.0 } else { chi_square_quantile_upper(1.0 - acceptance, df as f64) };
        Self { means, deviations, kept, groups, threshold }
    }

    /// The largest distance that is accepted.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// How many covariates count: those that vary and do not repeat others.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.kept.len()
    }

    /// The distance of an assignment; `None` where a group has no unit.
    #[must_use]
    pub fn distance(&self, covariates: &Covariates, group_of: impl Fn(usize) -> usize) -> Option<f64> {
        self.distance_of(&covariates.sums(self.groups, group_of))
    }

    fn distance_of(&self, sums: &Sums) -> Option<f64> {
        if sums.counts.contains(&0) {
            return None;
        }
        let own = |(count, offsets): (f64, Vec<f64>)| {
            // L z = offsets, so that z'z is the quadratic form of the inverse.
            let mut z: Vec<f64> = Vec::with_capacity(self.kept.len());
            for (column, row) in &self.kept {
                let before: f64 = row.iter().zip(&z).map(|(entry, z)| entry * z).sum();
                z.push((offsets[*column] - before) / row[z.len()]);
            }
            count * z.iter().map(|z| z * z).sum::<f64>()
        };
        Some(sums.offsets(&self.means).map(own).sum())
    }

    /// For each column the largest difference between two groups' means, in standard deviations of all units.
    fn differences(&self, sums: &Sums) -> Vec<f64> {
        let offsets: Vec<Vec<f64>> = sums.offsets(&self.means).map(|(_, offsets)| offsets).collect();
        let spread = |column: usize| {
            let of = offsets.iter().map(|offsets| offsets[column]);
            let (least, most) = (of.clone().fold(f64::INFINITY, f64::min), of.fold(f64::NEG_INFINITY, f64::max));
            let deviation = self.deviations[column];
            if deviation > 0.0 && most > least { (most - least) / deviation } else { 0.0 }
        };
        (0..self.means.len()).map(spread).collect()
    }
}

/// Cholesky's triangle of the columns that vary beyond those before them, each with its place.
fn triangle(covariance: &[Vec<f64>]) -> Vec<(usize, Vec<f64>)> {
    let mut kept: Vec<(usize, Vec<f64>)> = Vec::new();
    for (column, products) in covariance.iter().enumerate() {
        let mut row: Vec<f64> = Vec::with_capacity(kept.len() + 1);
        for (other, of_other) in &kept {
            let known: f64 = row.iter().zip(of_other).map(|(a, b)| a * b).sum();
            row.push((products[*other] - known) / of_other[row.len()]);
        }
        let own = products[column] - row.iter().map(|entry| entry * entry).sum::<f64>();
        if own > OWN_VARIANCE_MIN * products[column] {
            row.push(own.sqrt());
            kept.push((column, row));
        }
    }
    kept
}

/// The assignment that was chosen of several.
#[derive(Debug, Clone, PartialEq)]
pub struct Rerandomized {
    /// Its number, counted from 0.
    pub draw: u32,
    /// How many were looked at.
    pub draws: u32,
    /// Whether its distance is accepted; else it has the least of all.
    pub is_accepted: bool,
    /// The largest distance that is accepted.
    pub threshold: f64,
    /// Its distance; `None` where a group had no unit in any of them.
    pub distance: Option<f64>,
    /// That of the first one.
    pub first_distance: Option<f64>,
    /// For each column the largest difference between two groups' means, in standard deviations.
    pub differences: Vec<f64>,
    /// The same of the first one.
    pub first_differences: Vec<f64>,
}

/// Looks at assignments, numbered from 0, until one is accepted; of `draws_max` that are not, the one with the least distance is taken.
/// `group_of` tells the group of a unit in an assignment of that number.
///
/// # Panics
/// As [`Criterion::new`].
#[must_use]
pub fn rerandomize(
    covariates: &Covariates,
    groups: usize,
    acceptance: f64,
    draws_max: u32,
    group_of: impl Fn(u32, usize) -> usize,
) -> Rerandomized {
    let criterion = Criterion::new(covariates, groups, acceptance);
    let first = covariates.sums(groups, |unit| group_of(0, unit));
    let (first_distance, first_differences) = (criterion.distance_of(&first), criterion.differences(&first));
    let (mut draw, mut draws, mut distance, mut chosen) = (0, 1, first_distance, None);
    let is_accepted = |distance: Option<f64>| distance.is_some_and(|distance| distance <= criterion.threshold);
    while !is_accepted(distance) && draws < draws_max {
        let sums = covariates.sums(groups, |unit| group_of(draws, unit));
        let other = criterion.distance_of(&sums);
        if other.is_some_and(|other| distance.is_none_or(|distance| other < distance)) {
            (draw, distance, chosen) = (draws, other, Some(sums));
        }
        draws += 1;
    }
    let differences = chosen.map_or_else(|| first_differences.clone(), |sums| criterion.differences(&sums));
    let (is_accepted, threshold) = (is_accepted(distance), criterion.threshold);
    Rerandomized { draw, draws, is_accepted, threshold, distance, first_distance, differences, first_differences }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numeric::{Draws, Matrix};

    const UNITS: usize = 240;

    /// Two correlated numbers and one of three labels for each unit.
    fn covariates(seed: u64) -> Covariates {
        let mut draws = Draws::seeded(seed);
        let values = (0..UNITS).flat_map(|_| {
            let (one, other) = (draws.normal(), draws.normal());
            [one as f32, (5.0 + 3.0 * one + other) as f32]
        });
        let values = values.collect();
        Covariates::new(UNITS, 2, values, 3, (0..UNITS).map(|unit| (unit % 7 % 3) as u8).collect())
    }

    /// Some assignment to groups.
    fn group_of(groups: usize) -> impl Fn(u32, usize) -> usize {
        move |draw, unit| Draws::seeded(u64::from(draw) << 32 | unit as u64).below(groups as u64) as usize
    }

    /// The distance as it is written down, of the columns named.
    fn by_the_book(covariates: &Covariates, columns: &[usize], groups: usize, group_of: impl Fn(usize) -> usize) -> f64 {
        let value = |unit: usize, column: usize| match column.checked_sub(covariates.numbers) {
            None => f64::from(covariates.numbers_of(unit)[column]),
            Some(label) => f64::from(u8::from(usize::from(covariates.label_of[unit]) == label)),
        };
        let mean =
            |units: &[usize], column: usize| units.iter().map(|unit| value(*unit, column)).sum::<f64>() / units.len() as f64;
        let all: Vec<usize> = (0..covariates.units).collect();
        let covariance = |i: usize, j: usize| {
            let (a, b) = (mean(&all, i), mean(&all, j));
            all.iter().map(|unit| (value(*unit, i) - a) * (value(*unit, j) - b)).sum::<f64>() / (all.len() - 1) as f64
        };
        let rows: Vec<Vec<f64>> = columns.iter().map(|i| columns.iter().map(|j| covariance(*i, *j)).collect()).collect();
        let cholesky = Matrix::from_rows(&rows).cholesky().unwrap();
        let own = |group: usize| {
            let units: Vec<usize> = all.iter().copied().filter(|unit| group_of(*unit) == group).collect();
            let offsets: Vec<f64> = columns.iter().map(|column| mean(&units, *column) - mean(&all, *column)).collect();
            units.len() as f64 * cholesky.inverse_quadratic_form(&offsets)
        };
        (0..groups).map(own).sum()
    }

    fn near(found: f64, expect: f64) {
        assert!((found - expect).abs() < 1e-6 * (1.0 + expect.abs()), "{found} {expect}");
    }

    #[test]
    fn the_distance_is_that_of_the_book() {
        for groups in [2, 3, 5] {
            let (covariates, assign) = (covariates(7), group_of(groups));
            let criterion = Criterion::new(&covariates, groups, 0.1);
            // The third label follows from the other two.
            assert_eq!(criterion.rank(), 4);
            near(criterion.threshold(), chi_square_quantile_upper(0.9, (4 * (groups - 1)) as f64));
            let found = criterion.distance(&covariates, |unit| assign(3, unit)).unwrap();
            near(found, by_the_book(&covariates, &[0, 1, 2, 3], groups, |unit| assign(3, unit)));
            near(found, by_the_book(&covariates, &[1, 0, 4, 2], groups, |unit| assign(3, unit)));
        }
    }

    #[test]
    fn what_does_not_vary_or_repeats_others_counts_for_nothing() {
        let plain = covariates(9);
        let numbers = |unit: usize| plain.numbers_of(unit).to_vec();
        // A constant, a copy in other units, a sum of others, something that is no number.
        let more = |unit: usize| {
            let [one, other] = numbers(unit)[..] else { panic!("two numbers") };
            [7.0, 100.0 * one, one, other, one + other, f32::NAN]
        };
        let values = (0..UNITS).flat_map(more).collect();
        let same = Covariates::new(UNITS, 6, values, 3, plain.label_of.clone());
        let assign = group_of(3);
        let (one, other) = (Criterion::new(&plain, 3, 0.1), Criterion::new(&same, 3, 0.1));
        assert_eq!((one.rank(), one.threshold()), (other.rank(), other.threshold()));
        let distance = one.distance(&plain, |unit| assign(0, unit)).unwrap();
        assert!((distance - other.distance(&same, |unit| assign(0, unit)).unwrap()).abs() < 1e-3 * distance);
        let chosen = rerandomize(&same, 3, 0.1, 1_000, assign);
        assert_eq!((chosen.differences[0], chosen.differences[5]), (0.0, 0.0));
    }

    #[test]
    fn the_first_draw_that_is_accepted_is_taken() {
        for groups in [2, 4] {
            let (covariates, assign) = (covariates(11), group_of(groups));
            let criterion = Criterion::new(&covariates, groups, 0.1);
            let chosen = rerandomize(&covariates, groups, 0.1, 1_000, &assign);
            assert!(chosen.is_accepted && chosen.distance.unwrap() <= criterion.threshold(), "{chosen:?}");
            assert_eq!((chosen.draws, chosen.threshold), (chosen.draw + 1, criterion.threshold()));
            let distance = |draw: u32| criterion.distance(&covariates, |unit| assign(draw, unit)).unwrap();
            assert_eq!(chosen.distance, Some(distance(chosen.draw)));
            assert_eq!(chosen.first_distance, Some(distance(0)));
            assert!((0..chosen.draw).all(|draw| distance(draw) > criterion.threshold()));
        }
    }

    #[test]
    fn of_draws_that_do_not_pass_the_best_is_taken() {
        let (covariates, assign) = (covariates(13), group_of(2));
        let criterion = Criterion::new(&covariates, 2, 1e-9);
        let chosen = rerandomize(&covariates, 2, 1e-9, 20, &assign);
        let distances: Vec<f64> =
            (0..20).map(|draw| criterion.distance(&covariates, |unit| assign(draw, unit)).unwrap()).collect();
        let least = distances.iter().copied().fold(f64::INFINITY, f64::min);
        assert!(!chosen.is_accepted, "{chosen:?}");
        assert_eq!((chosen.draws, chosen.distance, distances[chosen.draw as usize]), (20, Some(least), least));
    }

    #[test]
    fn the_wanted_share_is_accepted() {
        let (covariates, assign) = (covariates(17), group_of(3));
        let criterion = Criterion::new(&covariates, 3, 0.25);
        let is_accepted =
            |draw: &u32| criterion.distance(&covariates, |unit| assign(*draw, unit)).unwrap() <= criterion.threshold();
        let accepted = (0..2_000).filter(is_accepted).count() as f64 / 2_000.0;
        // Four standard errors of a share of a quarter among two thousand.
        assert!((accepted - 0.25).abs() < 0.039, "{accepted}");
    }

    #[test]
    fn groups_may_be_empty_and_covariates_missing() {
        // An assignment that leaves a group empty is never accepted, however alike the others are.
        let covariates = covariates(19);
        let chosen = rerandomize(&covariates, 2, 0.5, 5, |draw, unit| if draw == 3 { unit % 2 } else { 0 });
        assert_eq!((chosen.draw, chosen.first_distance), (3, None));
        let chosen = rerandomize(&covariates, 2, 0.5, 5, |_, _| 0);
        assert_eq!((chosen.draw, chosen.draws, chosen.distance, chosen.is_accepted), (0, 5, None, false));
        assert_eq!(chosen.differences, [0.0; 5]);
        // Nothing differs between units: the first assignment is as good as any.
        let same = Covariates::new(10, 1, vec![4.0; 10], 0, Vec::new());
        let chosen = rerandomize(&same, 2, 0.1, 5, |_, unit| unit % 2);
        assert_eq!((chosen.draw, chosen.draws, chosen.distance, chosen.is_accepted), (0, 1, Some(0.0), true));
        let nobody = rerandomize(&Covariates::default(), 2, 0.1, 5, |_, _| 0);
        assert_eq!((nobody.draw, nobody.distance, nobody.differences.len()), (0, None, 0));
    }
}
