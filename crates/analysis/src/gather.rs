//! From columns of units to cells: one pass, mergeable, and as exact as two passes.
//!
//! Rows are put in the order of their groups a block at a time; each group's part of a block is then summed around its
//! own mean (two passes over what is in the first-level cache) and merged by Chan, Golub & LeVeque (1979). So no raw sum of
//! squares is ever formed, and the loops that sum run over neighbours in memory.
//!
//! Reading order: [`Batch`] (what comes in), [`Gatherer`], then `bad` (what is refused, and the limits), `checks` (row by
//! row), `block` (the sums), `tail` (outliers in one pass) and `caps` (exact quantiles in a few).
//!
//! An empty value of a metric counts as 0 and is counted ([`Cells::empty`]). An empty covariate is refused, because every
//! way to fill it changes what the adjustment means; an empty variant, experiment or day is refused too. Units with an
//! empty segment or stratum are a group of their own, [`EMPTY_NAME`].

mod bad;
mod block;
mod caps;
mod checks;
mod groups;
mod tail;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use stats::CoMoments;

pub use self::bad::{
    BadUnits, COLUMNS_MAX, DATES_MAX, EXPERIMENTS_MAX, GROUPS_MAX, SEGMENT_VALUES_MAX, VARIANTS_MAX, check_columns,
};
use self::block::{Block, Plan};
pub use self::caps::{CapSearch, Caps};
pub use self::checks::RowChecks;
use self::groups::Groups;
use self::tail::Tail;
use crate::cells::{ArmCells, Cells, ExperimentCells, Group, MetricCell};
use crate::spec::{Kind, Spec};

/// The code of an empty label.
pub const EMPTY: u32 = u32::MAX;
/// The name of the group of units whose segment or stratum is empty.
pub const EMPTY_NAME: &str = "(empty)";
/// Rows sorted and summed at a time: their columns stay in the first two levels of cache.
const BLOCK_ROWS: usize = 4096;

/// A column of labels.
#[derive(Debug, Clone, Copy)]
pub struct Labels<'a> {
    /// The code of each unit's label, [`EMPTY`] without one.
    pub codes: &'a [u32],
    /// The labels by code. A code keeps its meaning in all batches of one gatherer.
    pub names: &'a [String],
}

/// A column of numbers.
#[derive(Debug, Clone, Copy)]
pub struct Numbers<'a> {
    /// The number of each unit; anything where it is empty.
    pub values: &'a [f64],
    /// Which are empty; `None` where none is.
    pub empty: Option<&'a [bool]>,
}

/// The columns of one metric.
#[derive(Debug, Clone, Copy)]
pub struct MetricNumbers<'a> {
    /// Its values, or numerators.
    pub value: Numbers<'a>,
    /// For a ratio.
    pub denominator: Option<Numbers<'a>>,
}

/// Some units, by column. All columns have the same length.
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    /// Where the spec names a column of experiments.
    pub experiment: Option<Labels<'a>>,
    /// The variants.
    pub variant: Labels<'a>,
    /// By the spec's segments.
    pub segments: Vec<Labels<'a>>,
    /// Where the spec names a column of strata.
    pub stratum: Option<Labels<'a>>,
    /// Where the spec names a column of days; the names are days such as `2026-11-21`.
    pub date: Option<Labels<'a>>,
    /// By the spec's metrics.
    pub metrics: Vec<MetricNumbers<'a>>,
    /// By the spec's covariates.
    pub covariates: Vec<Numbers<'a>>,
    /// Where the spec names clusters: units are clusters, numbers are sums over their rows, and this is how many rows each has.
    pub cluster_rows: Option<&'a [f64]>,
}

impl<'a> Batch<'a> {
    /// How many units.
    #[must_use]
    pub fn units(&self) -> usize {
        self.variant.codes.len()
    }

    /// The columns of labels to break down by, in the order of [`Arm::breakdowns`].
    fn breakdowns(&self) -> impl Iterator<Item = Labels<'a>> {
        self.segments.iter().copied().chain(self.stratum).chain(self.date)
    }

    /// All columns of numbers in the order [`Plan`] knows them by, with 0 for what is empty.
    fn columns(&self) -> Vec<Cow<'a, [f64]>> {
        let values = self.metrics.iter().map(|metric| metric.value);
        let denominators = self.metrics.iter().filter_map(|metric| metric.denominator);
        let own = values.chain(denominators).chain(self.covariates.iter().copied()).map(filled);
        own.chain(self.cluster_rows.map(Cow::Borrowed)).collect()
    }
}

/// The numbers with 0 for what is empty.
fn filled(numbers: Numbers<'_>) -> Cow<'_, [f64]> {
    let Some(empty) = numbers.empty else { return Cow::Borrowed(numbers.values) };
    Cow::Owned(numbers.values.iter().zip(empty).map(|(value, is_empty)| if *is_empty { 0.0 } else { *value }).collect())
}

/// One variant of one experiment while it is counted.
#[derive(Debug, Clone, PartialEq)]
struct Arm {
    all: Group,
    /// By metric.
    tails: Vec<Tail>,
    /// By the spec's segments, then strata and days where there are such.
    breakdowns: Vec<BTreeMap<String, Group>>,
}

/// Counts units.
#[derive(Debug, Clone)]
pub struct Gatherer {
    spec: Spec,
    plan: Plan,
    caps: Caps,
    checks: RowChecks,
    /// Arms by experiment and variant: what was counted and is named already.
    named: BTreeMap<(String, String), Arm>,
    /// What merging found; [`Gatherer::finish`] says it.
    too_many: Option<BadUnits>,
    live: Live,
    block: Block,
}

/// What is counted by code, before it is named.
#[derive(Debug, Clone, Default)]
struct Live {
    /// By code.
    experiments: Vec<String>,
    variants: Vec<String>,
    arms: Groups,
    all: Vec<Group>,
    tails: Vec<Vec<Tail>>,
    caps: Vec<Vec<Option<f64>>>,
    breakdowns: Vec<Breakdown>,
}

#[derive(Debug, Clone, Default)]
struct Breakdown {
    names: Vec<String>,
    /// By the code of the value and the position of the arm.
    groups: Groups,
    cells: Vec<Group>,
}

impl Gatherer {
    /// Counts what `spec` asks for, with values above `caps` set to them.
    #[must_use]
    pub fn new(spec: &Spec, caps: &Caps) -> Self {
        let plan = Plan::new(spec);
        Self {
            checks: RowChecks::of_units(spec),
            live: Live::new(spec),
            block: Block::new(plan.columns),
            named: BTreeMap::new(),
            too_many: None,
            spec: spec.clone(),
            caps: caps.clone(),
            plan,
        }
    }

    /// Says that `rows` rows of the file come before the first batch, so that errors name the right row.
    #[must_use]
    pub fn after_rows(mut self, rows: u64) -> Self {
        self.checks = self.checks.after_rows(rows);
        self
    }

    /// Counts more units.
    ///
    /// # Errors
    /// [`BadUnits`] for a value that is no number or not binary where it should be, and for too many variants or groups.
    /// Empty labels and covariates are refused by [`Gatherer::finish`], which knows how many there are.
    ///
    /// # Panics
    /// When columns differ in length or a code has no name, which is the caller's mistake.
    pub fn push(&mut self, batch: &Batch<'_>) -> Result<(), BadUnits> {
        if !self.checks.push(batch)? {
            return Ok(());
        }
        self.live.learn(batch);
        self.live.check_limits(&self.spec)?;
        let columns = batch.columns();
        let mut ids = Vec::with_capacity(BLOCK_ROWS);
        let mut arms = Vec::with_capacity(BLOCK_ROWS);
        for begin in (0..batch.units()).step_by(BLOCK_ROWS) {
            let rows = begin..batch.units().min(begin + BLOCK_ROWS);
            let columns: Vec<&[f64]> = columns.iter().map(|column| &column[rows.clone()]).collect();
            let variants = &batch.variant.codes[rows.clone()];
            let experiments = batch.experiment.map(|labels| &labels.codes[rows.clone()]);
            self.live.arms.find(experiments, variants, &mut arms);
            self.live.make_arms(&self.plan, &self.caps)?;
            let live = &mut self.live;
            self.block.push(&arms, &columns, |id, part| {
                part.cap(&live.caps[id]);
                part.add_to(&self.plan, &mut live.all[id]);
                let tails = live.tails[id].iter_mut().enumerate().filter(|(metric, _)| self.plan.tails[*metric]);
                tails.for_each(|(metric, tail)| tail.push(part.column(metric)));
            });
            for (breakdown, labels) in live.breakdowns.iter_mut().zip(batch.breakdowns()) {
                breakdown.groups.find(Some(&labels.codes[rows.clone()]), &arms, &mut ids);
                breakdown.cells.resize(breakdown.groups.len(), self.plan.empty_group());
                self.block.push(&ids, &columns, |id, part| {
                    part.cap(&live.caps[breakdown.groups.key(id).1 as usize]);
                    part.add_to(&self.plan, &mut breakdown.cells[id]);
                });
            }
        }
        self.live.check_groups()
    }

    /// Adds what another gatherer of the same spec and caps counted. Results depend on the order of merging in their last
    /// digits only; the same order gives the same bytes.
    #[must_use]
    pub fn merge(mut self, mut other: Self) -> Self {
        self.name();
        other.name();
        self.checks.merge(&other.checks);
        // Nothing more is remembered once it is too much.
        for (key, arm) in other.named.into_iter().filter(|_| self.too_many.is_none()) {
            add_arm(&mut self.named, key, arm);
        }
        let too_many = self.check_named().err();
        self.too_many = self.too_many.take().or(other.too_many).or(too_many);
        self
    }

    /// Refuses more groups than there is memory for.
    fn check_named(&self) -> Result<(), BadUnits> {
        let groups = self.named.values().map(|arm| 1 + arm.breakdowns.iter().map(BTreeMap::len).sum::<usize>()).sum();
        bad::check_count("group", None, groups, GROUPS_MAX)
    }

    /// The cells of all that was counted.
    ///
    /// # Errors
    /// [`BadUnits`] when there are no rows, labels or covariates are empty, there is too much of something, or sums are too
    /// large for a number.
    pub fn finish(self) -> Result<Cells, BadUnits> {
        let checks = self.checks.clone();
        self.finish_clusters(&checks)
    }

    /// [`Gatherer::finish`] for clusters: what is empty or binary is known by the rows they were made of.
    ///
    /// # Errors
    /// As [`Gatherer::finish`].
    pub fn finish_clusters(mut self, rows: &RowChecks) -> Result<Cells, BadUnits> {
        self.name();
        let (rows_read, empty) = rows.finish()?;
        if let Some(too_many) = self.too_many {
            return Err(too_many);
        }
        let mut arms_by_experiment: BTreeMap<String, Vec<(String, Arm)>> = BTreeMap::new();
        for ((experiment, variant), mut arm) in self.named {
            if self.spec.cluster.is_some() {
                let groups = arm.breakdowns.iter_mut().flat_map(BTreeMap::values_mut).chain([&mut arm.all]);
                groups.for_each(|group| {
                    group.metrics.iter_mut().zip(rows.binary()).for_each(|(cell, is_binary)| cell.is_binary = *is_binary);
                });
            }
            arms_by_experiment.entry(experiment).or_default().push((variant, arm));
        }
        bad::check_count("experiment", self.spec.experiment.as_deref(), arms_by_experiment.len(), EXPERIMENTS_MAX)?;
        let mut experiments = Vec::with_capacity(arms_by_experiment.len());
        for (name, arms) in arms_by_experiment {
            bad::check_count("variant", Some(&self.spec.variant), arms.len(), VARIANTS_MAX)?;
            bad::check_breakdowns(&self.spec, arms.iter().map(|(_, arm)| arm.breakdowns.as_slice()))?;
            let arms = arm_cells(&self.spec, arms);
            bad::check_finite(&self.spec, &arms)?;
            let name = self.spec.experiment.is_some().then_some(name);
            experiments.push(ExperimentCells { name, arms, looks: Vec::new() });
        }
        Ok(Cells { rows: rows_read, empty, experiments })
    }

    /// Gives what was counted by code its names.
    fn name(&mut self) {
        let live = std::mem::replace(&mut self.live, Live::new(&self.spec));
        let breakdowns = live.breakdowns.len();
        let arms = live.all.into_iter().zip(live.tails);
        let mut arms: Vec<Arm> =
            arms.map(|(all, tails)| Arm { all, tails, breakdowns: vec![BTreeMap::new(); breakdowns] }).collect();
        for (at, breakdown) in live.breakdowns.into_iter().enumerate() {
            for (id, group) in breakdown.cells.into_iter().enumerate() {
                let (value, arm) = breakdown.groups.key(id);
                let name = breakdown.names.get(value as usize).map_or(EMPTY_NAME, String::as_str);
                add_group(&mut arms[arm as usize].breakdowns[at], name.to_owned(), group);
            }
        }
        for (id, arm) in arms.into_iter().enumerate() {
            let (experiment, variant) = live.arms.key(id);
            let experiment = live.experiments.get(experiment as usize).cloned().unwrap_or_default();
            add_arm(&mut self.named, (experiment, live.variants[variant as usize].clone()), arm);
        }
    }
}

impl Live {
    fn new(spec: &Spec) -> Self {
        let breakdowns = spec.segments.len() + usize::from(spec.stratum.is_some()) + usize::from(spec.date.is_some());
        Self { breakdowns: vec![Breakdown::default(); breakdowns], ..Self::default() }
    }

    /// Remembers the names of codes that are new.
    fn learn(&mut self, batch: &Batch<'_>) {
        let learn = |known: &mut Vec<String>, labels: Labels<'_>| known.extend_from_slice(&labels.names[known.len()..]);
        batch.experiment.into_iter().for_each(|labels| learn(&mut self.experiments, labels));
        learn(&mut self.variants, batch.variant);
        self.breakdowns.iter_mut().zip(batch.breakdowns()).for_each(|(breakdown, labels)| learn(&mut breakdown.names, labels));
    }

    /// Refuses a column of labels with too many values before memory is spent on them.
    fn check_limits(&self, spec: &Spec) -> Result<(), BadUnits> {
        bad::check_count("experiment", spec.experiment.as_deref(), self.experiments.len(), EXPERIMENTS_MAX)?;
        if spec.experiment.is_none() {
            bad::check_count("variant", Some(&spec.variant), self.variants.len(), VARIANTS_MAX)?;
        }
        let counts = self.breakdowns.iter().map(|breakdown| breakdown.names.len());
        bad::check_values(spec, counts)
    }

    /// Makes room for arms that are new.
    fn make_arms(&mut self, plan: &Plan, caps: &Caps) -> Result<(), BadUnits> {
        for id in self.all.len()..self.arms.len() {
            let experiment = self.experiments.get(self.arms.key(id).0 as usize).map_or("", String::as_str);
            self.caps.push(caps.of(experiment).to_vec());
            self.all.push(plan.empty_group());
            self.tails.push(vec![Tail::default(); plan.tails.len()]);
        }
        self.check_groups()
    }

    fn check_groups(&self) -> Result<(), BadUnits> {
        let groups = self.all.len() + self.breakdowns.iter().map(|breakdown| breakdown.cells.len()).sum::<usize>();
        bad::check_count("group", None, groups, GROUPS_MAX)
    }
}

fn add_arm(arms: &mut BTreeMap<(String, String), Arm>, key: (String, String), arm: Arm) {
    use std::collections::btree_map::Entry;
    match arms.entry(key) {
        Entry::Vacant(entry) => {
            entry.insert(arm);
        }
        Entry::Occupied(mut entry) => {
            let known = entry.get_mut();
            add(&mut known.all, &arm.all);
            known.tails.iter_mut().zip(&arm.tails).for_each(|(tail, other)| tail.merge(other));
            for (groups, others) in known.breakdowns.iter_mut().zip(arm.breakdowns) {
                others.into_iter().for_each(|(name, group)| add_group(groups, name, group));
            }
        }
    }
}

fn add_group(groups: &mut BTreeMap<String, Group>, name: String, group: Group) {
    match groups.get_mut(&name) {
        Some(known) => add(known, &group),
        None => {
            groups.insert(name, group);
        }
    }
}

fn add(group: &mut Group, other: &Group) {
    group.units += other.units;
    for (cell, other) in group.metrics.iter_mut().zip(&other.metrics) {
        cell.moments.merge(&other.moments);
        cell.is_binary &= other.is_binary;
        cell.nonzero += other.nonzero;
    }
}

/// The arms of one experiment as they are handed out, with what they would be without outliers.
fn arm_cells(spec: &Spec, arms: Vec<(String, Arm)>) -> Vec<ArmCells> {
    let units: u64 = arms.iter().map(|(_, arm)| arm.all.units).sum();
    let begins: Vec<Option<tail::Begin>> = (0..spec.metrics.len())
        .map(|metric| {
            let counts_only = spec.metrics[metric].kind == Kind::Binary;
            let is_binary = arms.iter().all(|(_, arm)| arm.all.metrics[metric].is_binary);
            let tails = arms.iter().map(|(_, arm)| &arm.tails[metric]);
            (!counts_only && !is_binary).then(|| tail::begin(tails, units))
        })
        .collect();
    let cells = |(variant, mut arm): (String, Arm)| {
        for ((cell, tail), begin) in arm.all.metrics.iter_mut().zip(&arm.tails).zip(&begins) {
            cell.without_outliers = begin.as_ref().map(|begin| tail.capped(begin, &cell.moments.moments(0)));
        }
        let mut breakdowns = arm.breakdowns.into_iter();
        let segments = breakdowns.by_ref().take(spec.segments.len()).collect();
        let strata = spec.stratum.as_ref().and_then(|_| breakdowns.next()).unwrap_or_default();
        let dates = spec.date.as_ref().and_then(|_| breakdowns.next()).unwrap_or_default();
        ArmCells { variant, all: arm.all, segments, strata, dates }
    };
    arms.into_iter().map(cells).collect()
}

impl Plan {
    /// A group without units.
    fn empty_group(&self) -> Group {
        let cell = |numbers: &Vec<usize>| MetricCell {
            moments: CoMoments::new(numbers.len()),
            without_outliers: None,
            is_binary: true,
            nonzero: 0,
        };
        Group { units: 0, metrics: self.metrics.iter().map(cell).collect() }
    }
}
