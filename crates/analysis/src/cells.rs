//! What was counted: mergeable moments by experiment, variant, metric and breakdown.

use std::collections::BTreeMap;

use stats::{CoMoments, Moments};

/// All cells of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cells {
    /// Rows read.
    pub rows: u64,
    /// Per metric of the spec: rows whose value was empty and counted as 0.
    pub empty: Vec<u64>,
    /// Per experiment, in the order of their names; one without a name where the file holds one.
    pub experiments: Vec<ExperimentCells>,
}

/// One experiment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExperimentCells {
    /// Its name, where the file has a column for it.
    pub name: Option<String>,
    /// Its arms, in the order of their names.
    pub arms: Vec<ArmCells>,
    /// For files of cumulative looks: the arms at each look, oldest first; the last is `arms` again.
    pub looks: Vec<LookCells>,
}

/// The arms at one look.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LookCells {
    /// Its name in the file, such as a date or a number.
    pub look: String,
    /// Cumulative up to it.
    pub arms: Vec<ArmCells>,
}

/// One variant.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ArmCells {
    /// Its name.
    pub variant: String,
    /// All its units.
    pub all: Group,
    /// By the spec's segments, in their order: the units with each value.
    pub segments: Vec<BTreeMap<String, Group>>,
    /// By stratum; empty without one.
    pub strata: BTreeMap<String, Group>,
    /// By day of entry, `2026-11-21`; empty without a date column.
    pub dates: BTreeMap<String, Group>,
}

/// A group of units.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// How many units; with clusters, how many clusters.
    pub units: u64,
    /// One per metric of the spec.
    pub metrics: Vec<MetricCell>,
}

/// One metric of a group of units.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricCell {
    /// Numbers per unit: the value (after the cap that was asked for); then for a ratio the denominator; then the
    /// covariates in their order. With clusters the numbers are sums per cluster, and a binary metric or a mean is a ratio
    /// to the number of rows, so that the second number is always there.
    pub moments: CoMoments,
    /// The value alone with the top 0.1 % of all units of the experiment set to where they begin. Only in [`ArmCells::all`],
    /// not for binary metrics.
    pub without_outliers: Option<Moments>,
    /// Whether every value is 0 or 1.
    pub is_binary: bool,
    /// Units whose value is not zero.
    pub nonzero: u64,
}
