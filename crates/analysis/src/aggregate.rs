//! Rows of sums, as other tools export them, to cells.
//!
//! One row per variant, and, where the file has these columns, per experiment, metric and look (cumulative):
//! `variant, n` and either `successes`, or `sum, sum_squares`, or `mean, variance`. Every mistake names its column, line,
//! value and a way out, because such files are written by hand.

mod row;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use stats::{CoMoments, Moments};

use self::row::{Columns, Row};
use crate::cells::{ArmCells, Cells, ExperimentCells, Group, LookCells, MetricCell};
use crate::spec::{ALPHA_DEFAULT, Correction, Kind, MetricSpec, Spec};

/// The name of the metric where the file has no column for it.
pub const METRIC_DEFAULT: &str = "metric";

/// A file of looks beyond this is a file of events.
pub const LOOKS_MAX: usize = 10_000;

/// What is said about a file of sums before it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct AggregateOptions {
    /// The variant the others are compared with; without it the only one called "control".
    pub control: Option<String>,
    /// The metrics to read, in their order; empty for all in the file's order.
    pub metrics: Vec<String>,
    /// Direction and margin of the metrics that are not plain, by name. Their kind is that of the columns, and sums cannot
    /// be capped.
    pub settings: Vec<MetricSpec>,
    /// Planned shares by variant; empty where they were not told.
    pub plan: Vec<(String, f64)>,
    /// The total two-sided error.
    pub alpha: f64,
    /// How many comparisons are held to `alpha` together.
    pub correction: Correction,
}

impl Default for AggregateOptions {
    fn default() -> Self {
        Self {
            control: None,
            metrics: Vec::new(),
            settings: Vec::new(),
            plan: Vec::new(),
            alpha: ALPHA_DEFAULT,
            correction: Correction::default(),
        }
    }
}

/// What is wrong with a file of sums, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadRow {
    /// The line, the header being line 1; `None` for the file as a whole.
    pub line: Option<u64>,
    /// The column.
    pub column: Option<String>,
    /// The value as written.
    pub value: Option<String>,
    /// What is wrong, as a sentence.
    pub message: String,
    /// What to do about it, as a sentence.
    pub hint: String,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}, ")?;
        }
        if let Some(column) = &self.column {
            write!(f, "column `{column}`")?;
            match &self.value {
                Some(value) => write!(f, ", value `{value}`: ")?,
                None => write!(f, ": ")?,
            }
        }
        write!(f, "{} {}", self.message, self.hint)
    }
}

impl std::error::Error for BadRow {}

/// Reads rows of sums. `columns` is the header; each row comes with its line and one value per column, `None` where it is
/// empty.
///
/// # Errors
/// [`BadRow`] for a column that is unknown or missing, a value that is not a number or cannot be (more successes than n, a
/// negative variance), two ways of saying the same in one row, a row twice, an arm that lacks a metric or look another
/// arm has, and when control is not given and cannot be told.
pub fn aggregate_cells(
    columns: &[String],
    rows: impl Iterator<Item = (u64, Vec<Option<String>>)>,
    options: &AggregateOptions,
) -> Result<(Spec, Cells), BadRow> {
    let columns = Columns::find(columns)?;
    let mut table = Table::default();
    for (line, values) in rows {
        table.add(columns.row(line, &values)?)?;
    }
    let metrics = metrics(&table, options)?;
    let wanted: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    let mut experiments = Vec::with_capacity(table.experiments.len());
    for (name, rows) in &table.experiments {
        check_control(name.as_deref(), rows, options)?;
        experiments.push(experiment(name.clone(), rows, &wanted, columns.has_look())?);
    }
    let spec = Spec {
        experiment: columns.has_experiment().then(|| "experiment".to_owned()),
        control: options.control.clone(),
        metrics,
        plan: options.plan.clone(),
        alpha: options.alpha,
        correction: options.correction,
        ..Spec::new("variant", "", Vec::new())
    };
    let empty = vec![0; spec.metrics.len()];
    Ok((spec, Cells { rows: table.rows, empty, experiments }))
}

/// Rows by experiment, then by variant, metric and look; with what was first seen in which order.
#[derive(Default)]
struct Table {
    rows: u64,
    metrics: Vec<String>,
    experiments: BTreeMap<Option<String>, Rows>,
}

#[derive(Default)]
struct Rows {
    variants: BTreeSet<String>,
    /// In the order of the file.
    looks: Vec<String>,
    looks_seen: BTreeSet<String>,
    /// By metric, look and variant.
    cells: BTreeMap<String, BTreeMap<String, BTreeMap<String, Row>>>,
}

impl Table {
    fn add(&mut self, row: Row) -> Result<(), BadRow> {
        self.rows += 1;
        if !self.metrics.contains(&row.metric) {
            self.metrics.push(row.metric.clone());
        }
        let rows = self.experiments.entry(row.experiment.clone()).or_default();
        rows.variants.insert(row.variant.clone());
        if rows.looks_seen.insert(row.look.clone()) {
            if rows.looks.len() == LOOKS_MAX {
                let message = format!("The experiment has more than {LOOKS_MAX} looks.");
                return Err(row.bad("look", Some(&row.look), message, "Give daily looks."));
            }
            rows.looks.push(row.look.clone());
        }
        let of_metric = rows.cells.entry(row.metric.clone()).or_default();
        let of_look = of_metric.entry(row.look.clone()).or_default();
        if let Some(first) = of_look.get(&row.variant) {
            let message = format!("The same variant, metric and look are in line {} already.", first.line);
            return Err(row.bad("variant", Some(&row.variant), message, "Remove one of the two."));
        }
        of_look.insert(row.variant.clone(), row);
        Ok(())
    }
}

/// The metrics asked for, or those of the file.
fn metrics(table: &Table, options: &AggregateOptions) -> Result<Vec<MetricSpec>, BadRow> {
    let names = if options.metrics.is_empty() { &table.metrics } else { &options.metrics };
    for (name, known) in
        options.metrics.iter().map(|name| (name, &table.metrics)).chain(options.settings.iter().map(|set| (&set.name, names)))
    {
        if !known.contains(name) {
            let known = known.iter().map(String::as_str);
            return Err(BadRow {
                line: None,
                column: Some("metric".to_owned()),
                value: Some(name.clone()),
                message: "There is no such metric.".to_owned(),
                hint: format!("There is {}.{}", crate::words::list(known.clone()), meant(name, known)),
            });
        }
    }
    let metric = |name: &String| {
        let set = options.settings.iter().find(|set| set.name == *name);
        let plain = MetricSpec::new(name, Kind::Auto);
        set.map_or(plain.clone(), |set| MetricSpec { lower_is_better: set.lower_is_better, margin: set.margin, ..plain })
    };
    Ok(names.iter().map(metric).collect())
}

/// " Did you mean `x`?", where something is near.
fn meant<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> String {
    /// Less alike than this is another word.
    const SIMILARITY_MIN: f64 = 0.7;
    let given = given.to_lowercase();
    known
        .map(|name| (strsim::jaro_winkler(&given, &name.to_lowercase()), name))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map_or_else(String::new, |(_, name)| format!(" Did you mean `{name}`?"))
}

fn check_control(experiment: Option<&str>, rows: &Rows, options: &AggregateOptions) -> Result<(), BadRow> {
    let variants = || rows.variants.iter().map(String::as_str);
    let spec = Spec { control: options.control.clone(), ..Spec::new("variant", "", Vec::new()) };
    if spec.control_among(variants()).is_some() {
        return Ok(());
    }
    let of = experiment.map_or_else(|| "The file".to_owned(), |name| format!("Experiment `{name}`"));
    let has = crate::words::list(variants());
    let (message, hint) = match &options.control {
        Some(control) => (
            format!("{of} has no variant `{control}`; it has {has}."),
            format!("Name the control as the file does.{}", meant(control, variants())),
        ),
        None => (
            format!("{of} has the variants {has}, and not exactly one of them is called \"control\"."),
            "Say which one the others are compared with: --control NAME.".to_owned(),
        ),
    };
    Err(BadRow { line: None, column: Some("variant".to_owned()), value: options.control.clone(), message, hint })
}

/// The cells of one experiment; refuses holes.
fn experiment(name: Option<String>, rows: &Rows, wanted: &[&str], has_look: bool) -> Result<ExperimentCells, BadRow> {
    let looks = sorted(&rows.looks);
    let at_look = |look: &String| -> Result<Vec<ArmCells>, BadRow> {
        rows.variants.iter().map(|variant| arm(rows, wanted, look, variant)).collect()
    };
    let looks: Vec<LookCells> = looks
        .into_iter()
        .map(|look| Ok(LookCells { look: look.clone(), arms: at_look(look)? }))
        .collect::<Result<_, BadRow>>()?;
    let arms = looks.last().map(|last| last.arms.clone()).unwrap_or_default();
    Ok(ExperimentCells { name, arms, looks: if has_look { looks } else { Vec::new() } })
}

fn arm(rows: &Rows, wanted: &[&str], look: &str, variant: &str) -> Result<ArmCells, BadRow> {
    let mut group = Group::default();
    for metric in wanted {
        // A metric that no arm has is not measured in this experiment, which is no hole.
        let Some(of_metric) = rows.cells.get(*metric) else {
            group.metrics.push(cell(Moments::default(), None));
            continue;
        };
        let Some(row) = of_metric.get(look).and_then(|of_look| of_look.get(variant)) else {
            let sibling = of_metric.values().find_map(|of_look| of_look.values().next());
            return Err(hole(sibling, metric, look, variant));
        };
        group.units = group.units.max(row.moments.count);
        group.metrics.push(cell(row.moments, row.successes));
    }
    Ok(ArmCells { variant: variant.to_owned(), all: group, ..ArmCells::default() })
}

fn hole(sibling: Option<&Row>, metric: &str, look: &str, variant: &str) -> BadRow {
    let at = if look.is_empty() { String::new() } else { format!(" at look `{look}`") };
    let but = sibling.map(|row| format!(", but line {} has one for `{}`", row.line, row.variant)).unwrap_or_default();
    BadRow {
        line: None,
        column: Some("variant".to_owned()),
        value: Some(variant.to_owned()),
        message: format!("There is no row of metric `{metric}` for variant `{variant}`{at}{but}."),
        hint: "Every variant needs a row for every metric and every look.".to_owned(),
    }
}

/// Without the single values, outcomes that are amounts are counted as the equal amounts that would be as informative.
/// A mean at or below zero allows no such count.
fn cell(moments: Moments, successes: Option<u64>) -> MetricCell {
    let effective = moments.effective_outcomes().round() as u64;
    let nonzero = successes.unwrap_or(if moments.mean > 0.0 { effective.min(moments.count) } else { moments.count });
    MetricCell {
        moments: CoMoments::from_centred(moments.count, vec![moments.mean], vec![moments.m2]),
        without_outliers: None,
        is_binary: successes.is_some(),
        nonzero,
    }
}

/// Numbers by size, ISO dates by time, anything else as the file has it.
fn sorted(looks: &[String]) -> Vec<&String> {
    let mut sorted: Vec<&String> = looks.iter().collect();
    let numbers: Option<Vec<f64>> =
        looks.iter().map(|look| look.trim().parse().ok().filter(|value: &f64| value.is_finite())).collect();
    if let Some(numbers) = numbers {
        let mut order: Vec<usize> = (0..looks.len()).collect();
        order.sort_by(|a, b| numbers[*a].total_cmp(&numbers[*b]));
        return order.into_iter().map(|index| &looks[index]).collect();
    }
    if looks.iter().all(|look| crate::dates::day(look).is_some()) {
        sorted.sort();
    }
    sorted
}

#[cfg(test)]
mod tests;
