//! What is refused about a file of units, in words that say how to mend it; and the limits.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::cells::{ArmCells, Group, MetricCell};
use crate::spec::{Kind, Spec};

/// Experiments in one file. Archives of experiments hold thousands; more distinct names are a column of something else.
pub const EXPERIMENTS_MAX: usize = 10_000;
/// Variants of one experiment. More are a column of units, not of variants.
pub const VARIANTS_MAX: usize = 1_000;
/// Values of one segment or stratum. More are a column of units or of measurements, and each would hold too few units.
pub const SEGMENT_VALUES_MAX: usize = 10_000;
/// Days: ten years of them. More are times taken for days.
pub const DATES_MAX: usize = 3_660;
/// Groups of all kinds together (arms, and their segments, strata and days), which bounds the memory: a group takes less
/// than 1 KiB per metric.
pub const GROUPS_MAX: usize = 500_000;
/// Metrics, covariates, and segments: each at most so many, because work grows with the square of columns per cell.
pub const COLUMNS_MAX: usize = 50;

/// Why units cannot be counted.
#[derive(Debug, Clone, PartialEq)]
pub enum BadUnits {
    /// There are no rows.
    NoRows,
    /// The spec names a column the file lacks.
    NoColumn {
        /// The column.
        column: String,
        /// The most similar one, where one is similar.
        nearest: Option<String>,
        /// Those there are.
        columns: Vec<String>,
    },
    /// A label that every unit must have is empty.
    EmptyLabel {
        /// What the label is: experiment, variant, day or cluster.
        what: &'static str,
        /// Its column.
        column: String,
        /// In how many rows.
        count: u64,
        /// The first of them, from 1, headers not counted.
        row: u64,
    },
    /// A covariate is empty.
    EmptyCovariate {
        /// Its column.
        column: String,
        /// In how many rows.
        count: u64,
        /// The first of them.
        row: u64,
    },
    /// A text is not what its column should hold.
    NotA {
        /// What it should be, such as `number`.
        what: &'static str,
        /// The column.
        column: String,
        /// The row.
        row: u64,
        /// The text.
        text: String,
    },
    /// A number is NaN or infinite.
    NotFinite {
        /// Its column.
        column: String,
        /// Its row.
        row: u64,
        /// The number.
        value: f64,
    },
    /// A binary metric holds something else than 0 and 1.
    NotBinary {
        /// Its column.
        column: String,
        /// Its row.
        row: u64,
        /// The number.
        value: f64,
    },
    /// The type of a column cannot be used for what the spec asks.
    WrongType {
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// What would do.
        expect: &'static str,
    },
    /// There is more of something than can be answered for.
    TooMany {
        /// What: `variant`, `value of segment` …
        what: &'static str,
        /// The column, where it is one column's.
        column: Option<String>,
        /// How many there are at least.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Rows of one cluster disagree.
    MixedClusters {
        /// The column of clusters.
        cluster: String,
        /// The column in which they disagree.
        column: String,
        /// Whether that is the column of variants.
        is_variant: bool,
        /// How many clusters do.
        count: u64,
        /// One of them.
        example: String,
    },
    /// A cap is no quantile.
    BadCap {
        /// The metric.
        metric: String,
        /// The quantile.
        cap: f64,
    },
    /// A cap would set every positive value to 0.
    CapOfZero {
        /// The metric.
        metric: String,
        /// The quantile.
        cap: f64,
        /// The experiment; empty where the file holds one.
        experiment: String,
    },
    /// Sums left the range of numbers.
    TooLarge {
        /// The column of the metric.
        column: String,
    },
}

impl fmt::Display for BadUnits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRows => write!(f, "the file has no rows"),
            Self::NoColumn { column, nearest, columns } => {
                write!(f, "there is no column `{column}`")?;
                nearest.iter().try_for_each(|nearest| write!(f, "; did you mean `{nearest}`?"))?;
                write!(f, " (the columns are {})", columns.join(", "))
            }
            Self::EmptyLabel { what, column, count, row } => write!(
                f,
                "the {what} (column `{column}`) is empty in {count} rows, first in row {row}; fill it or leave these rows out"
            ),
            Self::EmptyCovariate { column, count, row } => write!(
                f,
                "the covariate `{column}` is empty in {count} rows, first in row {row}; fill it, for example with 0 for units \
                 that had no history, or leave the covariate out"
            ),
            Self::NotA { what, column, row, text } => {
                write!(
                    f,
                    "row {row}: the column `{column}` holds `{text}`, which is not a {what}; correct the row, the first after the header being row 1"
                )
            }
            Self::NotFinite { column, row, value } => {
                write!(
                    f,
                    "row {row}: the column `{column}` holds {value}, which is not a finite number; leave it empty to count it as 0"
                )
            }
            Self::NotBinary { column, row, value } => write!(
                f,
                "row {row}: the binary metric `{column}` is {value}; it must be 0 or 1 everywhere, or the metric be declared as a mean"
            ),
            Self::WrongType { column, found, expect } => {
                write!(f, "the column `{column}` has the type {found}; it must hold {expect}")
            }
            Self::TooMany { what, column, count, limit } => {
                write!(f, "there are {count} {what}s or more")?;
                column.iter().try_for_each(|column| write!(f, " in the column `{column}`"))?;
                write!(
                    f,
                    ", and at most {limit} can be answered for; is it the right column? Else ask for less or split the file"
                )
            }
            Self::MixedClusters { cluster, column, is_variant: true, count, example } => write!(
                f,
                "{count} values of the cluster `{cluster}`, such as `{example}`, have rows in more than one variant (column \
                 `{column}`); a cluster is what was randomised, so all its rows belong to one variant"
            ),
            Self::MixedClusters { cluster, column, is_variant: false, count, example } => write!(
                f,
                "{count} values of the cluster `{cluster}`, such as `{example}`, have rows with different `{column}`; break down \
                 by what is the same for all rows of a cluster"
            ),
            Self::BadCap { metric, cap } => {
                write!(f, "the cap {cap} of the metric `{metric}` is no quantile; it must lie between 0 and 1, such as 0.999")
            }
            Self::CapOfZero { metric, cap, experiment } => {
                write!(f, "the cap of the metric `{metric}` is 0, because at most a share of {} of units", 1.0 - cap)?;
                if !experiment.is_empty() {
                    write!(f, " of the experiment `{experiment}`")?;
                }
                write!(f, " has a positive value, and everything would count as 0; cap at a higher quantile or not at all")
            }
            Self::TooLarge { column } => {
                write!(f, "the values of `{column}` are so large that their squares are no numbers any more; use a larger unit")
            }
        }
    }
}

impl std::error::Error for BadUnits {}

/// Refuses a spec that names columns which are not among `columns`, or too many of them.
///
/// # Errors
/// [`BadUnits::NoColumn`], [`BadUnits::TooMany`], and [`BadUnits::BadCap`].
pub fn check_columns(spec: &Spec, columns: &[String]) -> Result<(), BadUnits> {
    let denominators = spec.metrics.iter().filter_map(|metric| match &metric.kind {
        Kind::Ratio { denominator } => Some(denominator),
        _ => None,
    });
    let one = [Some(&spec.variant), spec.experiment.as_ref(), spec.stratum.as_ref(), spec.cluster.as_ref(), spec.date.as_ref()];
    let many = spec.metrics.iter().map(|metric| &metric.name).chain(denominators).chain(&spec.covariates).chain(&spec.segments);
    for name in one.into_iter().flatten().chain(many) {
        if !columns.contains(name) {
            let distance = |other: &String| strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
            let nearest = columns.iter().min_by_key(|other| distance(other));
            let nearest = nearest.filter(|nearest| distance(nearest) * 2 <= name.chars().count()).cloned();
            return Err(BadUnits::NoColumn { column: name.clone(), nearest, columns: columns.to_vec() });
        }
    }
    let counts = [("metric", spec.metrics.len()), ("covariate", spec.covariates.len()), ("segment", spec.segments.len())];
    for (what, count) in counts {
        check_count(what, None, count, COLUMNS_MAX)?;
    }
    for metric in &spec.metrics {
        if let Some(cap) = metric.cap.filter(|cap| !(*cap > 0.0 && *cap < 1.0)) {
            return Err(BadUnits::BadCap { metric: metric.name.clone(), cap });
        }
    }
    Ok(())
}

pub(super) fn check_count(what: &'static str, column: Option<&str>, count: usize, limit: usize) -> Result<(), BadUnits> {
    if count <= limit {
        return Ok(());
    }
    Err(BadUnits::TooMany { what, column: column.map(str::to_owned), count, limit })
}

/// Refuses columns to break down by that have too many values; `counts` are by segment, then strata, then days.
pub(super) fn check_values(spec: &Spec, mut counts: impl Iterator<Item = usize>) -> Result<(), BadUnits> {
    for (segment, count) in spec.segments.iter().zip(counts.by_ref()) {
        check_count("segment", Some(segment), count, SEGMENT_VALUES_MAX)?;
    }
    for (stratum, count) in spec.stratum.iter().zip(counts.by_ref()) {
        check_count("stratum value", Some(stratum), count, SEGMENT_VALUES_MAX)?;
    }
    spec.date.iter().zip(counts).try_for_each(|(date, count)| check_count("day", Some(date), count, DATES_MAX))
}

/// [`check_values`] over all arms of an experiment.
pub(super) fn check_breakdowns<'a>(
    spec: &Spec,
    arms: impl Iterator<Item = &'a [BTreeMap<String, Group>]>,
) -> Result<(), BadUnits> {
    let mut values: Vec<BTreeSet<&String>> = Vec::new();
    for breakdowns in arms {
        values.resize(breakdowns.len(), BTreeSet::new());
        values.iter_mut().zip(breakdowns).for_each(|(values, groups)| values.extend(groups.keys()));
    }
    check_values(spec, values.iter().map(BTreeSet::len))
}

/// Refuses cells with numbers that left the range.
pub(super) fn check_finite(spec: &Spec, arms: &[ArmCells]) -> Result<(), BadUnits> {
    let is_finite = |cell: &MetricCell| {
        let numbers = 0..cell.moments.dimensions();
        let products = numbers.clone().flat_map(|i| (i..numbers.end).map(move |j| cell.moments.product(i, j)));
        numbers.clone().map(|i| cell.moments.mean(i)).chain(products).all(f64::is_finite)
            && cell.without_outliers.is_none_or(|moments| moments.mean.is_finite() && moments.m2.is_finite())
    };
    for arm in arms {
        let broken_down = arm.segments.iter().chain([&arm.strata, &arm.dates]).flat_map(BTreeMap::values);
        for group in broken_down.chain([&arm.all]) {
            if let Some(metric) = group.metrics.iter().position(|cell| !is_finite(cell)) {
                return Err(BadUnits::TooLarge { column: spec.metrics[metric].name.clone() });
            }
        }
    }
    Ok(())
}
