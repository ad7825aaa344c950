//! Counts what is known of an experiment: one query over all its metrics gives its units, of which cells are made.
//!
//! The sums are kept from one look to the next and corrected by what came in since: [`crate::kept`]. Whichever way they came to be, a
//! readout is made of the same whole numbers.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::SessionContext;
use experiment::Observations;
use experiment::cells::{Cells, Cut, Unit};
use futures::TryStreamExt;
use vocabulary::{Experiment, Timestamp};

use crate::session::{Asked, Group};
use crate::tables::{AsOf, Snapshot};
use crate::{Lake, LakeError, literal, tally};

/// The query, with `$experiment`, `$window` and `$whom` to be filled in.
const OBSERVE: &str = include_str!("sql/observe.sql");

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
pub(crate) async fn observe_by_market(
    lake: &Lake,
    experiment: &Experiment,
    as_of: Timestamp,
) -> Result<(Observations, BTreeMap<String, Observations>), LakeError> {
    let counted = crate::kept::counted(lake, experiment).await?;
    let versions = counted.snapshot.versions();
    let of = |market: Option<String>| {
        let cut = Cut { market, age_hours: None };
        observed(experiment, &counted.cells, &cut, as_of, versions.clone())
    };
    let markets = counted.cells.markets().into_iter().flatten();
    Ok((of(None), markets.map(|market| (market.clone(), of(Some(market)))).collect()))
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
    let engine = format!("sendlab {} on datafusion {}", env!("CARGO_PKG_VERSION"), datafusion::DATAFUSION_VERSION);
    Observations { versions, engine, ..cells.observe(experiment, cut, as_of) }
}

/// The cells of all units of an experiment, or of those of some contacts, as the tables of `snapshot` tell them.
pub(crate) async fn count(
    lake: &Lake,
    experiment: &Experiment,
    snapshot: &Snapshot,
    contacts: Option<&[i64]>,
) -> Result<Cells, LakeError> {
    let query = query(experiment, contacts);
    let text = format!("readout of {}", experiment.experiment);
    let asked = Asked { group: Group::Readouts, text: &text, limits: lake.config.limits };
    let none = Cells::new(experiment, lake.config.rates.base().minor_per_major());
    let work = move |context: SessionContext| async move {
        let failed = || LakeError::internal("observe the experiment");
        context.register_udaf(tally::tally());
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

/// The query as it runs.
fn query(experiment: &Experiment, contacts: Option<&[i64]>) -> String {
    let whom = contacts.map_or("true".to_owned(), |contacts| {
        let keys: Vec<String> = contacts.iter().map(ToString::to_string).collect();
        format!("contact_key IN ({})", keys.join(", "))
    });
    OBSERVE
        .replace("$experiment", &literal::text(experiment.experiment.as_str()))
        .replace("$window", &format!("INTERVAL '{} hours'", experiment.window_hours))
        .replace("$whom", &whom)
}

/// What was counted up to certain versions of the tables.
pub(crate) struct Counted {
    /// The tables that were counted.
    pub(crate) snapshot: Snapshot,
    pub(crate) cells: Arc<Cells>,
}
