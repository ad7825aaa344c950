//! What each row must hold, checked a column at a time.

use super::bad::BadUnits;
use super::{Batch, EMPTY, Labels, Numbers};
use crate::spec::{Kind, Spec};

/// Checks rows and counts what is empty. With clusters it sees the rows before they are summed; a [`super::Gatherer`]
/// of units does this itself.
#[derive(Debug, Clone)]
pub struct RowChecks {
    spec: Spec,
    /// Whether rows are sums over clusters, which need not be binary and were checked as rows before.
    are_sums: bool,
    /// Rows of the file before the first batch.
    before: u64,
    rows: u64,
    /// Per metric.
    empty: Vec<u64>,
    /// Per metric: whether all values so far are 0 or 1.
    binary: Vec<bool>,
    missing: Missing,
}

/// Empty fields that are refused: how many, and the first row.
#[derive(Debug, Clone, Default)]
struct Missing {
    experiment: Empties,
    variant: Empties,
    date: Empties,
    covariates: Vec<Empties>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Empties {
    count: u64,
    first: Option<u64>,
}

impl Empties {
    fn add(&mut self, before: u64, empties: impl Iterator<Item = bool>) {
        for (row, _) in empties.enumerate().filter(|(_, is_empty)| *is_empty) {
            self.count += 1;
            self.first.get_or_insert(before + row as u64 + 1);
        }
    }

    fn add_labels(&mut self, before: u64, labels: Option<Labels<'_>>) {
        // Nearly always none is empty, and this loop has no branch.
        if let Some(labels) = labels.filter(|labels| labels.codes.iter().fold(false, |any, code| any | (*code == EMPTY))) {
            self.add(before, labels.codes.iter().map(|code| *code == EMPTY));
        }
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.first = self.first.or(other.first);
    }
}

impl RowChecks {
    /// Checks rows that are no units, but will be summed to such.
    #[must_use]
    pub fn new(spec: &Spec) -> Self {
        let missing = Missing { covariates: vec![Empties::default(); spec.covariates.len()], ..Missing::default() };
        let metrics = spec.metrics.len();
        let (empty, binary) = (vec![0; metrics], vec![true; metrics]);
        Self { spec: spec.clone(), are_sums: false, before: 0, rows: 0, empty, binary, missing }
    }

    /// Checks what a gatherer of `spec` is given.
    pub(super) fn of_units(spec: &Spec) -> Self {
        Self { are_sums: spec.cluster.is_some(), ..Self::new(spec) }
    }

    pub(super) fn after_rows(self, before: u64) -> Self {
        Self { before, ..self }
    }

    /// Checks more rows. The answer is whether all labels and covariates are there.
    ///
    /// # Errors
    /// [`BadUnits`] for a number that is not finite or not binary where it should be.
    pub fn push(&mut self, batch: &Batch<'_>) -> Result<bool, BadUnits> {
        let before = self.before + self.rows;
        self.rows += batch.cluster_rows.map_or(batch.units() as u64, |rows| rows.iter().map(|rows| *rows as u64).sum());
        for (index, numbers) in batch.metrics.iter().enumerate() {
            let metric = &self.spec.metrics[index];
            self.check_finite(&metric.name, numbers.value, before)?;
            if let (Some(numbers), Kind::Ratio { denominator }) = (numbers.denominator, &metric.kind) {
                self.check_finite(denominator, numbers, before)?;
            }
            self.empty[index] += empty_rows(numbers.value.empty, numbers.denominator.and_then(|numbers| numbers.empty));
            // Once seen to be more than binary, a metric need not be looked at again.
            let other = if self.binary[index] { first(numbers.value, |value| value != 0.0 && value != 1.0) } else { None };
            self.binary[index] &= other.is_none();
            if let (Some((row, value)), Kind::Binary, false) = (other, &metric.kind, self.are_sums) {
                return Err(BadUnits::NotBinary { column: metric.name.clone(), row: before + row, value });
            }
        }
        for ((column, numbers), missing) in self.spec.covariates.iter().zip(&batch.covariates).zip(&mut self.missing.covariates) {
            missing.add(before, numbers.empty.into_iter().flatten().copied());
            if let Some((row, value)) = first_not_finite(*numbers).filter(|_| !self.are_sums) {
                return Err(BadUnits::NotFinite { column: column.clone(), row: before + row, value });
            }
        }
        self.missing.experiment.add_labels(before, batch.experiment);
        self.missing.variant.add_labels(before, Some(batch.variant));
        self.missing.date.add_labels(before, batch.date);
        Ok(self.missing.all().all(|(_, _, empties)| empties.count == 0))
    }

    /// Sums that are not finite are found when all is counted: they are of no single row.
    fn check_finite(&self, column: &str, numbers: Numbers<'_>, before: u64) -> Result<(), BadUnits> {
        match first_not_finite(numbers).filter(|_| !self.are_sums) {
            None => Ok(()),
            Some((row, value)) => Err(BadUnits::NotFinite { column: column.to_owned(), row: before + row, value }),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.empty.iter_mut().zip(&other.empty).for_each(|(empty, other)| *empty += other);
        self.binary.iter_mut().zip(&other.binary).for_each(|(binary, other)| *binary &= other);
        self.missing.experiment.merge(&other.missing.experiment);
        self.missing.variant.merge(&other.missing.variant);
        self.missing.date.merge(&other.missing.date);
        let covariates = self.missing.covariates.iter_mut().zip(&other.missing.covariates);
        covariates.for_each(|(empties, other)| empties.merge(other));
    }

    /// How many rows there are, and per metric how many were empty.
    ///
    /// # Errors
    /// [`BadUnits`] when there are no rows, or an empty field that is refused.
    pub fn finish(&self) -> Result<(u64, Vec<u64>), BadUnits> {
        if self.rows == 0 {
            return Err(BadUnits::NoRows);
        }
        for (label, column, empties) in self.missing.all() {
            let Some(row) = empties.first else { continue };
            let count = empties.count;
            let covariate = || self.spec.covariates[column].clone();
            let name = match label {
                "experiment" => self.spec.experiment.clone().unwrap_or_default(),
                "day" => self.spec.date.clone().unwrap_or_default(),
                "variant" => self.spec.variant.clone(),
                _ => return Err(BadUnits::EmptyCovariate { column: covariate(), count, row }),
            };
            return Err(BadUnits::EmptyLabel { what: label, column: name, count, row });
        }
        Ok((self.rows, self.empty.clone()))
    }

    /// Per metric: whether all values are 0 or 1.
    pub(super) fn binary(&self) -> &[bool] {
        &self.binary
    }
}

impl Missing {
    /// What it is, which of its kind, and its empties.
    fn all(&self) -> impl Iterator<Item = (&'static str, usize, &Empties)> {
        let labels = [("experiment", 0, &self.experiment), ("variant", 0, &self.variant), ("day", 0, &self.date)];
        labels.into_iter().chain(self.covariates.iter().enumerate().map(|(column, empties)| ("covariate", column, empties)))
    }
}

/// In how many rows one of two columns is empty.
fn empty_rows(value: Option<&[bool]>, denominator: Option<&[bool]>) -> u64 {
    let count = |empty: &[bool]| empty.iter().filter(|is_empty| **is_empty).count() as u64;
    match (value, denominator) {
        (Some(value), Some(denominator)) => {
            value.iter().zip(denominator).filter(|(value, other)| **value || **other).count() as u64
        }
        (Some(empty), None) | (None, Some(empty)) => count(empty),
        (None, None) => 0,
    }
}

/// The first number that is there and not finite, with its row from 1.
fn first_not_finite(numbers: Numbers<'_>) -> Option<(u64, f64)> {
    // This loop has no branch, and nearly always finds nothing.
    if numbers.values.iter().fold(true, |all, value| all & value.is_finite()) {
        return None;
    }
    first(numbers, |value| !value.is_finite())
}

/// The first number that is there and as asked, with its row from 1.
fn first(numbers: Numbers<'_>, is_asked: impl Fn(f64) -> bool) -> Option<(u64, f64)> {
    let is_empty = |row: usize| numbers.empty.is_some_and(|empty| empty[row]);
    let mut rows = numbers.values.iter().enumerate();
    rows.find(|(row, value)| is_asked(**value) && !is_empty(*row)).map(|(row, value)| (row as u64 + 1, *value))
}
