//! Counts what is known of an experiment: one query over all its metrics gives its units, of which cells are made.
//!
//! The sums are kept from one look to the next and corrected by what came in since: [`crate::kept`]. Whichever way they came to be, a
//! readout is made of the same whole numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use experiment::cells::{Cells, Cut, Unit};
use experiment::observe::ARRIVAL_HOURS;
use experiment::{Observations, Observed};
use futures::TryStreamExt;
use jiff::SignedDuration;
use vocabulary::{Experiment, Timestamp};

use crate::session::{Asked, Group};
use crate::tables::{AsOf, Snapshot};
use crate::{Lake, LakeError, first, literal, tally};

/// The query, with `$experiment`, `$window`, `$within` and `$whom` to be filled in.
const OBSERVE: &str = include_str!("sql/observe.sql");
/// The query for whom it is about, with `$experiment` and `$whom`.
const ASSIGNED: &str = include_str!("sql/assigned.sql");

/// See [`Lake::observe`].
pub(crate) async fn observe(
    lake: &Lake,
    experiment: &Experiment,
    cut: &Cut,
    as_of: Timestamp,
) -> Result<Observations, LakeError> {
    let counted = crate::kept::counted(lake, experiment).await?;
    Ok(observed(experiment, &counted.cells, cut, as_of, counted.snapshot.versions()))
}

/// See [`Lake::observe_by_market`].
pub(crate) async fn observe_by_market(lake: &Lake, experiment: &Experiment, as_of: Timestamp) -> Result<Observed, LakeError> {
    let counted = crate::kept::counted(lake, experiment).await?;
    let of = |age_hours: Option<u32>| {
        let mut observed = counted.cells.observe_by_market(experiment, age_hours, as_of);
        for observations in std::iter::once(&mut observed.overall).chain(observed.markets.values_mut()) {
            name(observations, counted.snapshot.versions());
        }
        observed
    };
    Ok(Observed { outcomes: of(None), arrivals: of(Some(ARRIVAL_HOURS)) })
}

/// See [`Lake::observe_at`].
pub(crate) async fn observe_at(
    lake: &Lake,
    experiment: &Experiment,
    as_of: Timestamp,
    versions: &BTreeMap<String, i64>,
) -> Result<Observations, LakeError> {
    let snapshot = lake.tables.as_of(&AsOf::Versions(versions.clone()), &lake.tail).await?;
    let cells = count(lake, experiment, &snapshot, None).await?;
    Ok(observed(experiment, &cells, &Cut::default(), as_of, versions.clone()))
}

fn observed(
    experiment: &Experiment,
    cells: &Cells,
    cut: &Cut,
    as_of: Timestamp,
    versions: BTreeMap<String, i64>,
) -> Observations {
    let mut observations = cells.observe(experiment, cut, as_of);
    name(&mut observations, versions);
    observations
}

/// Says what was read, and by what.
fn name(observations: &mut Observations, versions: BTreeMap<String, i64>) {
    observations.engine = format!("sendlab {} on datafusion {}", env!("CARGO_PKG_VERSION"), datafusion::DATAFUSION_VERSION);
    observations.versions = versions;
}

/// The cells of all units of an experiment, or of those of some contacts, as the tables of `snapshot` tell them.
///
/// Units are counted in slices by key, which is also the order of rows within a day: each row is read once, and only the events of one
/// slice are in memory. A slice that needs more memory than a query may have is counted in smaller ones.
pub(crate) async fn count(
    lake: &Lake,
    experiment: &Experiment,
    snapshot: &Snapshot,
    contacts: Option<&[i64]>,
) -> Result<Cells, LakeError> {
    let mut cells = Cells::new(experiment, lake.config.rates.base().minor_per_major());
    let whom = contacts.map_or("true".to_owned(), among);
    let Some(assigned) = assigned(lake, experiment, snapshot, &whom).await? else { return Ok(cells) };
    let mut left = match contacts {
        Some(_) => vec![Slice { from: assigned.from, to: assigned.to }],
        None => assigned.slices(),
    };
    while let Some(slice) = left.pop() {
        let whom = contacts.map_or_else(|| slice.condition(), among);
        match count_slice(lake, experiment, snapshot, query(experiment, &assigned, &whom), &cells).await {
            Ok(counted) => cells.merge(&counted),
            Err(error) if is_out_of_memory(&error) && contacts.is_none() && slice.from < slice.to => left.extend(slice.halves()),
            Err(error) => return Err(error),
        }
    }
    Ok(cells)
}

/// So many assignments are counted at once: their events take some hundred megabytes.
const SLICE_ASSIGNMENTS: i128 = 500_000;

/// The assignments of an experiment.
struct Assigned {
    count: i128,
    /// The least and the greatest key.
    from: i64,
    to: i64,
    /// When the first and the last unit begin.
    first: Timestamp,
    last: Timestamp,
}

/// The contacts of these keys, both ends included.
struct Slice {
    from: i64,
    to: i64,
}

impl Assigned {
    /// As if keys were spread evenly, as drawn ones are. In falling order, so that the last is the first.
    fn slices(&self) -> Vec<Slice> {
        let count = (self.count / SLICE_ASSIGNMENTS + 1).min(i128::from(self.to) - i128::from(self.from) + 1);
        let width = i128::from(self.to) - i128::from(self.from) + 1;
        let begin = |slice: i128| i64::try_from(i128::from(self.from) + width * slice / count).unwrap_or(i64::MAX);
        let slice = |at: i128| Slice { from: begin(at), to: if at + 1 == count { self.to } else { begin(at + 1) - 1 } };
        (0..count).rev().map(slice).collect()
    }
}

impl Slice {
    fn condition(&self) -> String {
        format!("contact_key BETWEEN {} AND {}", self.from, self.to)
    }

    fn halves(&self) -> [Self; 2] {
        let middle = i64::midpoint(self.from, self.to).min(self.to - 1);
        [Self { from: middle + 1, to: self.to }, Self { from: self.from, to: middle }]
    }
}

/// `None` without assignments.
async fn assigned(lake: &Lake, experiment: &Experiment, snapshot: &Snapshot, whom: &str) -> Result<Option<Assigned>, LakeError> {
    let query = ASSIGNED.replace("$experiment", &literal::text(experiment.experiment.as_str())).replace("$whom", whom);
    let text = format!("assignments of {}", experiment.experiment);
    let asked = Asked { group: Group::Readouts, text: &text, limits: lake.config.limits };
    let rows = lake.queries.rows(snapshot, asked, query, "look for the recipients of an experiment").await?;
    let row = rows.first().filter(|row| row.num_rows() == 1 && row.column(1).is_valid(0));
    let Some([count, from, to, first, last]) = row.map(RecordBatch::columns) else { return Ok(None) };
    let number = |column: &dyn Array| column.as_primitive::<Int64Type>().value(0);
    let time = |column: &dyn Array| {
        Timestamp::from_microsecond(column.as_primitive::<TimestampMicrosecondType>().value(0)).unwrap_or_default()
    };
    let (first, last) = (time(first), time(last));
    Ok(Some(Assigned { count: number(count).into(), from: number(from), to: number(to), first, last }))
}

async fn count_slice(
    lake: &Lake,
    experiment: &Experiment,
    snapshot: &Snapshot,
    query: String,
    like: &Cells,
) -> Result<Cells, LakeError> {
    let text = format!("readout of {}", experiment.experiment);
    let asked = Asked { group: Group::Readouts, text: &text, limits: lake.config.limits };
    let none = like.emptied();
    let work = move |context: SessionContext| async move {
        let failed = || LakeError::internal("observe the experiment");
        context.register_udaf(tally::tally());
        context.register_udaf(first::first_assignment());
        let parts = async { context.sql(&query).await?.execute_stream_partitioned().await };
        // Side by side: the sums of a part of the units are put together in the end.
        let tasks: Vec<_> =
            parts.await.map_err(failed())?.into_iter().map(|part| SpawnedTask::spawn(count_part(part, none.clone()))).collect();
        let mut all = none;
        for task in tasks {
            all.merge(&task.await.map_err(LakeError::internal("finish a query"))??);
        }
        Ok(all)
    };
    lake.queries.run(snapshot, asked, work).await
}

fn is_out_of_memory(error: &LakeError) -> bool {
    let LakeError::Internal { source, .. } = error else { return false };
    let cause = source.downcast_ref::<DataFusionError>();
    cause.is_some_and(|cause| matches!(cause.find_root(), DataFusionError::ResourcesExhausted(_)))
}

async fn count_part(mut units: SendableRecordBatchStream, mut cells: Cells) -> Result<Cells, LakeError> {
    while let Some(batch) = units.try_next().await.map_err(LakeError::internal("observe the experiment"))? {
        add(&mut cells, &batch).map_err(LakeError::internal("read what was observed"))?;
    }
    Ok(cells)
}

fn add(cells: &mut Cells, batch: &RecordBatch) -> Result<(), ArrowError> {
    let [variants, markets, begins, crossed, tallies] = batch.columns() else {
        return Err(ArrowError::SchemaError(format!("{} columns", batch.num_columns())));
    };
    let (variants, markets) = (cast(variants, &DataType::Utf8View)?, cast(markets, &DataType::Utf8View)?);
    let (variants, markets) = (variants.as_string_view(), markets.as_string_view());
    let (begins, crossed) = (begins.as_primitive::<TimestampMicrosecondType>(), crossed.as_boolean());
    let tallies = tallies.as_binary::<i64>();
    let mut own = Vec::new();
    for row in 0..batch.num_rows() {
        let bytes = if tallies.is_valid(row) { tallies.value(row) } else { &[][..] };
        tally::read(bytes, &mut own);
        cells.add(&Unit {
            variant: variants.is_valid(row).then(|| variants.value(row)),
            market: markets.is_valid(row).then(|| markets.value(row)),
            begins: Timestamp::from_microsecond(begins.value(row)).unwrap_or_default(),
            crossed: crossed.is_valid(row) && crossed.value(row),
            tallies: &own,
        });
    }
    Ok(())
}

/// The query as it runs, for some of the experiment's recipients.
fn query(experiment: &Experiment, assigned: &Assigned, whom: &str) -> String {
    let window = SignedDuration::from_hours(experiment.window_hours.into());
    let end = assigned.last.checked_add(window).unwrap_or(Timestamp::MAX);
    let within = format!("event_time >= {} AND event_time < {}", literal::time(assigned.first), literal::time(end));
    OBSERVE
        .replace("$experiment", &literal::text(experiment.experiment.as_str()))
        .replace("$window", &format!("INTERVAL '{} hours'", experiment.window_hours))
        .replace("$within", &within)
        .replace("$whom", whom)
}

fn among(contacts: &[i64]) -> String {
    let keys: Vec<String> = contacts.iter().map(ToString::to_string).collect();
    format!("contact_key IN ({})", keys.join(", "))
}

/// What was counted up to certain versions of the tables.
pub(crate) struct Counted {
    /// The tables that were counted.
    pub(crate) snapshot: Snapshot,
    pub(crate) cells: Arc<Cells>,
}
