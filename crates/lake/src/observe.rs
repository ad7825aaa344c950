//! Counts what is known of an experiment, in one query over all its metrics.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::error::ArrowError;
use experiment::{ArmObservations, Funnel, Observations};
use stats::Moments;
use vocabulary::{Experiment, Measure, Metric, Outcome, Timestamp, VariantName};

use crate::session::{Asked, Group};
use crate::{Lake, LakeError, literal};

/// The query, with `$experiment`, `$window`, `$as_of` and `$metrics` to be filled in.
const OBSERVE: &str = include_str!("sql/observe.sql");

/// See [`Lake::observe`].
pub(crate) async fn observe(lake: &Lake, experiment: &Experiment, as_of: Timestamp) -> Result<Observations, LakeError> {
    // What is counted must have a version, so that it can be counted again: what is acknowledged is landed first.
    lake.land().await?;
    let snapshot = lake.tables.landed();
    let query = query(experiment, as_of, lake.config.rates.base().minor_per_major());
    let text = format!("readout of {}", experiment.experiment);
    let asked = Asked { group: Group::Readouts, text: &text, limits: lake.config.limits };
    let batches = lake.queries.rows(&snapshot, asked, query, "observe the experiment").await?;
    let mut rows = Vec::new();
    for batch in &batches {
        let columns = Columns::new(batch, experiment.metrics.len()).map_err(LakeError::internal("read what was observed"))?;
        rows.extend((0..batch.num_rows()).map(|row| columns.row(row, &experiment.metrics)));
    }
    let mut observations = sum_up(experiment, as_of, rows);
    observations.versions = snapshot.versions();
    Ok(observations)
}

/// The query as it runs.
fn query(experiment: &Experiment, as_of: Timestamp, minor_per_major: i64) -> String {
    let metrics: String =
        experiment.metrics.iter().enumerate().map(|(i, metric)| columns_of(metric, i, minor_per_major)).collect();
    OBSERVE
        .replace("$experiment", &literal::text(experiment.experiment.as_str()))
        .replace("$window", &format!("INTERVAL '{} hours'", experiment.window_hours))
        .replace("$as_of", &literal::time(as_of))
        .replace("$metrics", &metrics)
}

/// What one metric needs of its recipients: their successes, or mean and variance.
fn columns_of(metric: &Metric, index: usize, minor_per_major: i64) -> String {
    let count = match (metric.outcome, metric.human_only) {
        (Outcome::Open, true) => "human_opens",
        (Outcome::Open, false) => "opens",
        (Outcome::Click, true) => "human_clicks",
        (Outcome::Click, false) => "clicks",
        (Outcome::Order, _) => "orders",
        (Outcome::Unsubscribe, _) => "unsubscribes",
        (Outcome::Complaint, _) => "complaints",
    };
    let value = match metric.measure {
        Measure::Occurred => return format!(",\n    count(*) FILTER (WHERE mature AND {count} > 0) AS a{index}, 0 AS b{index}"),
        Measure::Count => format!("CAST({count} AS DOUBLE)"),
        Measure::Amount => format!("CAST(amount_minor AS DOUBLE) / {minor_per_major}"),
    };
    format!(
        ",\n    avg({value}) FILTER (WHERE mature) AS a{index}, coalesce(var_samp({value}) FILTER (WHERE mature), 0) AS b{index}"
    )
}

/// One row of the answer.
struct Row {
    variant: Option<String>,
    crossovers: u64,
    unconverted: u64,
    assigned: u64,
    mature: u64,
    funnel: Funnel,
    metrics: BTreeMap<String, Moments>,
}

/// The columns of the answer: the name, nine counts, and two numbers per metric.
struct Columns {
    variant: ArrayRef,
    counts: Vec<ArrayRef>,
    numbers: Vec<ArrayRef>,
}

const COUNTS: usize = 9;

impl Columns {
    fn new(batch: &RecordBatch, metrics: usize) -> Result<Self, ArrowError> {
        let variant = cast(batch.column(0), &DataType::Utf8)?;
        let as_type = |range: std::ops::Range<usize>, data_type: &DataType| {
            range.map(|column| cast(batch.column(column), data_type)).collect::<Result<Vec<_>, _>>()
        };
        let counts = as_type(1..1 + COUNTS, &DataType::Int64)?;
        let numbers = as_type(1 + COUNTS..1 + COUNTS + 2 * metrics, &DataType::Float64)?;
        Ok(Self { variant, counts, numbers })
    }

    fn row(&self, row: usize, metrics: &[Metric]) -> Row {
        let names = self.variant.as_string::<i32>();
        let count = |column: usize| {
            let counts = self.counts[column].as_primitive::<Int64Type>();
            if counts.is_null(row) { 0 } else { u64::try_from(counts.value(row)).unwrap_or_default() }
        };
        let number = |column: usize| self.numbers[column].as_primitive::<Float64Type>().value(row);
        let mature = count(1);
        let moments = |(index, metric): (usize, &Metric)| {
            let (first, second) = (number(2 * index), number(2 * index + 1));
            let moments = match metric.measure {
                _ if mature == 0 => Moments::default(),
                Measure::Occurred => Moments::from_successes(mature, first as u64),
                Measure::Count | Measure::Amount => Moments { count: mature, mean: first, m2: second * (mature - 1) as f64 },
            };
            (metric.name.clone(), moments)
        };
        Row {
            variant: (!names.is_null(row)).then(|| names.value(row).to_owned()),
            assigned: count(0),
            mature,
            crossovers: count(2),
            funnel: Funnel {
                assigned: mature,
                sent: count(3),
                accepted: count(4),
                opened: count(5),
                clicked: count(6),
                ordered: count(7),
            },
            unconverted: count(8),
            metrics: metrics.iter().enumerate().map(moments).collect(),
        }
    }
}

/// Sorts the rows into the experiment's variants, in its order; what belongs to none is counted as strangers.
fn sum_up(experiment: &Experiment, as_of: Timestamp, rows: Vec<Row>) -> Observations {
    let empty = |name: &VariantName| ArmObservations {
        variant: name.clone(),
        assigned: 0,
        mature: 0,
        metrics: experiment.metrics.iter().map(|metric| (metric.name.clone(), Moments::default())).collect(),
        funnel: Funnel::default(),
    };
    let mut observations = Observations {
        versions: BTreeMap::new(),
        engine: format!("sendlab {} on datafusion {}", env!("CARGO_PKG_VERSION"), datafusion::DATAFUSION_VERSION),
        as_of,
        arms: experiment.variants.iter().map(|variant| empty(&variant.name)).collect(),
        immature: 0,
        crossovers: 0,
        strangers: 0,
        unconverted_orders: 0,
        erased_units: 0,
    };
    for row in rows {
        observations.crossovers += row.crossovers;
        let arm = observations.arms.iter_mut().find(|arm| row.variant.as_deref() == Some(arm.variant.as_str()));
        let Some(arm) = arm else {
            observations.strangers += row.assigned;
            continue;
        };
        observations.immature += row.assigned - row.mature;
        observations.unconverted_orders += row.unconverted;
        (arm.assigned, arm.mature, arm.funnel, arm.metrics) = (row.assigned, row.mature, row.funnel, row.metrics);
    }
    observations
}
