//! The sums of a block of rows, group by group.

use stats::CoMoments;

use crate::cells::Group;
use crate::spec::{Kind, Spec};

/// Below so many rows of a group in a block, adding one by one is cheaper than setting up sums.
const ONE_BY_ONE_ROWS: usize = 8;

/// Which columns of numbers make up each metric's cell. Columns are: the metrics' values, then the denominators of
/// ratios, then covariates, then how many rows each cluster has.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Per metric: the columns of its cell's numbers.
    pub metrics: Vec<Vec<usize>>,
    /// Per metric: whether its outliers are looked for.
    pub tails: Vec<bool>,
    /// How many columns.
    pub columns: usize,
}

impl Plan {
    pub(super) fn new(spec: &Spec) -> Self {
        let values = spec.metrics.len();
        let is_ratio = |kind: &Kind| matches!(kind, Kind::Ratio { .. });
        let ratios = spec.metrics.iter().filter(|metric| is_ratio(&metric.kind)).count();
        let covariates = values + ratios..values + ratios + spec.covariates.len();
        let columns = covariates.end + usize::from(spec.cluster.is_some());
        let mut denominators = values..values + ratios;
        let mut metrics = Vec::with_capacity(values);
        for (value, metric) in spec.metrics.iter().enumerate() {
            let rows_of_cluster = spec.cluster.is_some().then_some(columns - 1);
            let second = if is_ratio(&metric.kind) { denominators.next() } else { rows_of_cluster };
            metrics.push([value].into_iter().chain(second).chain(covariates.clone()).collect());
        }
        let tails = spec.metrics.iter().map(|metric| metric.kind != Kind::Binary).collect();
        Self { metrics, tails, columns }
    }
}

/// Up to so many groups are picked out of a block one after the other: passes without waiting for memory.
const FEW_GROUPS: usize = 6;

/// Room to put the rows of a block in the order of their groups.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// By group: how many rows, then where its next row goes; 0 between blocks.
    cursors: Vec<u32>,
    /// The groups of this block, in the order they are first seen.
    groups: Vec<u32>,
    /// The rows of this block by group.
    order: Vec<u32>,
    part: Part,
}

/// The rows of one group in a block.
#[derive(Debug, Clone)]
pub(super) struct Part {
    sorted: Vec<Vec<f64>>,
    begin: usize,
    end: usize,
}

impl Block {
    pub(super) fn new(columns: usize) -> Self {
        let part = Part { sorted: vec![Vec::new(); columns], begin: 0, end: 0 };
        Self { cursors: Vec::new(), groups: Vec::new(), order: Vec::new(), part }
    }

    /// Calls `each` with every group among `ids` and its rows.
    pub(super) fn push(&mut self, ids: &[u32], columns: &[&[f64]], mut each: impl FnMut(usize, &mut Part)) {
        self.sort(ids);
        for (sorted, column) in self.part.sorted.iter_mut().zip(columns) {
            sorted.clear();
            sorted.extend(self.order.iter().map(|row| column[*row as usize]));
        }
        self.part.end = 0;
        for group in &self.groups {
            let cursor = &mut self.cursors[*group as usize];
            self.part.begin = self.part.end;
            self.part.end = *cursor as usize;
            *cursor = 0;
            each(*group as usize, &mut self.part);
        }
    }

    /// Puts the rows in the order of their groups, and within a group in their own.
    fn sort(&mut self, ids: &[u32]) {
        let groups = ids.iter().max().map_or(0, |id| *id as usize + 1);
        if self.cursors.len() < groups {
            self.cursors.resize(groups, 0);
        }
        self.groups.clear();
        self.order.resize(ids.len(), 0);
        if groups <= FEW_GROUPS { self.pick(ids, groups as u32) } else { self.count_and_place(ids) }
    }

    /// One pass per group, without a branch.
    fn pick(&mut self, ids: &[u32], groups: u32) {
        let mut next = 0;
        for group in 0..groups {
            let begin = next;
            for (row, id) in ids.iter().enumerate() {
                // The row is overwritten by the next one unless it belongs to the group.
                if let Some(place) = self.order.get_mut(next) {
                    *place = row as u32;
                }
                next += usize::from(*id == group);
            }
            if next > begin {
                self.groups.push(group);
                self.cursors[group as usize] = next as u32;
            }
        }
    }

    /// A counting sort.
    fn count_and_place(&mut self, ids: &[u32]) {
        for id in ids {
            let count = &mut self.cursors[*id as usize];
            if *count == 0 {
                self.groups.push(*id);
            }
            *count += 1;
        }
        let mut next = 0;
        for group in &self.groups {
            let count = std::mem::replace(&mut self.cursors[*group as usize], next);
            next += count;
        }
        for (row, id) in ids.iter().enumerate() {
            let cursor = &mut self.cursors[*id as usize];
            self.order[*cursor as usize] = row as u32;
            *cursor += 1;
        }
    }
}

impl Part {
    /// The group's numbers in a column.
    pub(super) fn column(&self, column: usize) -> &[f64] {
        &self.sorted[column][self.begin..self.end]
    }

    /// Sets values above a metric's cap to it.
    pub(super) fn cap(&mut self, caps: &[Option<f64>]) {
        for (values, cap) in self.sorted.iter_mut().zip(caps) {
            if let Some(cap) = cap {
                values[self.begin..self.end].iter_mut().for_each(|value| *value = value.min(*cap));
            }
        }
    }

    /// Adds the rows to a group.
    pub(super) fn add_to(&self, plan: &Plan, group: &mut Group) {
        group.units += (self.end - self.begin) as u64;
        for ((value, numbers), cell) in plan.metrics.iter().enumerate().zip(&mut group.metrics) {
            let (nonzero, ones) = count_nonzero_and_ones(self.column(value));
            cell.nonzero += nonzero;
            cell.is_binary &= nonzero == ones;
            self.add_moments(numbers, &mut cell.moments);
        }
    }

    fn add_moments(&self, numbers: &[usize], moments: &mut CoMoments) {
        let rows = self.end - self.begin;
        if rows < ONE_BY_ONE_ROWS {
            let mut unit = vec![0.0; numbers.len()];
            for row in self.begin..self.end {
                unit.iter_mut().zip(numbers).for_each(|(number, column)| *number = self.sorted[*column][row]);
                moments.push(&unit);
            }
            return;
        }
        let means: Vec<f64> = numbers.iter().map(|column| sum(self.column(*column)) / rows as f64).collect();
        let mut products = Vec::with_capacity(means.len() * (means.len() + 1) / 2);
        for (i, column) in numbers.iter().enumerate() {
            products.push(sum_squares(self.column(*column), means[i]));
            for (j, other) in numbers.iter().enumerate().skip(i + 1) {
                products.push(sum_products(self.column(*column), means[i], self.column(*other), means[j]));
            }
        }
        moments.merge(&CoMoments::from_centred(rows as u64, means, products));
    }
}

/// How many values are not 0, and how many are 1.
pub(super) fn count_nonzero_and_ones(values: &[f64]) -> (u64, u64) {
    let count = |(nonzero, ones), value: &f64| (nonzero + u64::from(*value != 0.0), ones + u64::from(*value == 1.0));
    values.iter().fold((0, 0), count)
}

// The loops below keep four or eight sums side by side, because one chain of additions would make the processor wait for each.

fn sum(values: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (eights, rest) = values.as_chunks::<8>();
    for eight in eights {
        lanes.iter_mut().zip(eight).for_each(|(lane, value)| *lane += value);
    }
    total(lanes) + rest.iter().sum::<f64>()
}

fn sum_squares(values: &[f64], mean: f64) -> f64 {
    let mut lanes = [0.0; 8];
    let square = |value: f64| (value - mean) * (value - mean);
    let (eights, rest) = values.as_chunks::<8>();
    for eight in eights {
        lanes.iter_mut().zip(eight).for_each(|(lane, value)| *lane += square(*value));
    }
    total(lanes) + rest.iter().map(|value| square(*value)).sum::<f64>()
}

fn sum_products(values: &[f64], mean: f64, others: &[f64], other_mean: f64) -> f64 {
    let mut lanes = [0.0; 8];
    let product = |value: f64, other: f64| (value - mean) * (other - other_mean);
    let ((eights, rest), (other_eights, other_rest)) = (values.as_chunks::<8>(), others.as_chunks::<8>());
    for (eight, other_eight) in eights.iter().zip(other_eights) {
        for ((lane, value), other) in lanes.iter_mut().zip(eight).zip(other_eight) {
            *lane += product(*value, *other);
        }
    }
    total(lanes) + rest.iter().zip(other_rest).map(|(value, other)| product(*value, *other)).sum::<f64>()
}

fn total(lanes: [f64; 8]) -> f64 {
    let [a, b, c, d, e, f, g, h] = lanes;
    ((a + b) + (c + d)) + ((e + f) + (g + h))
}
