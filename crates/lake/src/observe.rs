//! Counts what is known of an experiment: one query over all its metrics gives its units, of which cells are made.
//!
//! The sums are kept from one look to the next and corrected by what came in since: [`crate::kept`]. Whichever way they came to be, a
//! readout is made of the same whole numbers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
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
use experiment::early::EARLY_HOURS;
use experiment::observe::ARRIVAL_HOURS;
use experiment::{Observations, Observed, Series, series};
use futures::TryStreamExt;
use jiff::SignedDuration;
use vocabulary::{Cuped, Experiment, RecommendationId, Timestamp};

use crate::contacts::keys_of;
use crate::session::{Asked, Group};
use crate::tables::{AsOf, Snapshot};
use crate::{Lake, LakeError, first, literal, tally};

/// The query, with `$told`, `$market`, `$begins`, `$experiment`, `$window`, `$within`, `$whom`, `$from`, `$other` and `$theirs` to be filled in.
const OBSERVE: &str = include_str!("sql/observe.sql");
/// The query for whom it is about, with `$told`, `$begins`, `$experiment` and `$whom`.
const RECIPIENTS: &str = include_str!("sql/recipients.sql");

/// Whose outcomes are counted, and by what: the SQL of where it is told.
#[derive(Debug, Clone)]
pub(crate) struct Recipients {
    /// The rows that make units.
    pub(crate) told: Cow<'static, str>,
    /// What cells know as a unit's market.
    pub(crate) market: &'static str,
    /// When outcomes begin to count.
    pub(crate) begins: &'static str,
    /// Which messages, opens, clicks and the like count.
    pub(crate) ours: Cow<'static, str>,
}

/// Those who were assigned, by market.
pub(crate) const ASSIGNED: Recipients = Recipients {
    told: Cow::Borrowed("assignments"),
    market: "market",
    begins: "coalesce(planned_at, event_time)",
    ours: Cow::Borrowed(OF_EXPERIMENT),
};

/// Those who were sent what was recommended, by the recommendation that was followed.
const FOLLOWING: Recipients = Recipients {
    told: Cow::Borrowed("(SELECT * FROM messages WHERE recommendation_id IS NOT NULL)"),
    market: "recommendation_id",
    begins: "event_time",
    ours: Cow::Borrowed(OF_EXPERIMENT),
};

/// The bit of what names another experiment, which counts only before a unit begins.
const THEIRS: &str = "AND (outcomes.what < 4096 OR outcomes.event_time < first['begins'])";

/// What names another experiment does not count.
pub(crate) const OF_EXPERIMENT: &str = "(experiment_id = $experiment OR experiment_id IS NULL)";

/// What units are added up in.
pub(crate) trait Sums: Clone + Send + 'static {
    /// Puts a unit in.
    fn add(&mut self, unit: &Unit<'_>);
    /// Puts all units of others in.
    fn merge(&mut self, other: &Self);
}

impl Sums for Cells {
    fn add(&mut self, unit: &Unit<'_>) {
        self.add(unit);
    }

    fn merge(&mut self, other: &Self) {
        self.merge(other);
    }
}

/// See [`Lake::observe_followers`].
pub(crate) async fn observe_followers(
    lake: &Lake,
    experiment: &Experiment,
    age_hours: u32,
    as_of: Timestamp,
) -> Result<BTreeMap<RecommendationId, Observations>, LakeError> {
    lake.land().await?;
    // What was before a recommendation is not asked for.
    let experiment = &Experiment { cuped: None, ..experiment.clone() };
    let cells = count(lake, experiment, &lake.tables.landed(), FOLLOWING, None).await?;
    let followed = cells.observe_by_market(experiment, Some(age_hours), as_of).markets.into_iter();
    // Other people's events may name what is no id of ours.
    Ok(followed.filter_map(|(id, observations)| Some((RecommendationId::new(&id).ok()?, observations))).collect())
}

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
            named(observations, counted.snapshot.versions());
        }
        observed
    };
    let days = counted.cells.observe_by_day(experiment, Some(ARRIVAL_HOURS), as_of);
    let ages = EARLY_HOURS.into_iter().filter(|hours| *hours < experiment.window_hours);
    let ages = counted.cells.observe_by_age(experiment, ages, as_of);
    Ok(Observed { outcomes: of(None), arrivals: of(Some(ARRIVAL_HOURS)), days, ages })
}

/// See [`Lake::observe_series`].
pub(crate) async fn observe_series(lake: &Lake, experiment: &Experiment, as_of: Timestamp) -> Result<Option<Series>, LakeError> {
    let counted = crate::kept::counted(lake, experiment).await?;
    let ages = counted.cells.observe_by_age(experiment, series::ages(experiment), as_of);
    let days = counted.cells.observe_by_day(experiment, Some(ARRIVAL_HOURS), as_of);
    Ok(series::series(experiment, &ages, &days))
}

/// See [`Lake::observe_at`].
pub(crate) async fn observe_at(
    lake: &Lake,
    experiment: &Experiment,
    as_of: Timestamp,
    versions: &BTreeMap<String, i64>,
) -> Result<Observations, LakeError> {
    let snapshot = lake.tables.as_of(&AsOf::Versions(versions.clone()), &lake.tail).await?;
    let cells = count(lake, experiment, &snapshot, ASSIGNED, None).await?;
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
    named(&mut observations, versions);
    observations
}

/// Says what was read, and by what.
pub(crate) fn named(observations: &mut Observations, versions: BTreeMap<String, i64>) {
    observations.engine = format!("sendlab {} on datafusion {}", env!("CARGO_PKG_VERSION"), datafusion::DATAFUSION_VERSION);
    observations.versions = versions;
}

/// The cells of all units of an experiment, or of those of some contacts, as the tables of `snapshot` tell them.
pub(crate) async fn count(
    lake: &Lake,
    experiment: &Experiment,
    snapshot: &Snapshot,
    recipients: Recipients,
    contacts: Option<&[i64]>,
) -> Result<Cells, LakeError> {
    let none = Cells::new(experiment, lake.config.rates.base().minor_per_major());
    Counting { lake, experiment, snapshot, recipients, audience: None }.sums(contacts, &none).await
}

/// What is counted.
pub(crate) struct Counting<'a> {
    pub(crate) lake: &'a Lake,
    /// Its window is how long outcomes count.
    pub(crate) experiment: &'a Experiment,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) recipients: Recipients,
    /// A query for those recipients who count; all where absent.
    pub(crate) audience: Option<&'a str>,
}

impl Counting<'_> {
    /// The sums of all units, or of those of some contacts.
    ///
    /// Units are counted in slices by key, which is also the order of rows within a day: each row is read once, and only the events of one
    /// slice are in memory. Where a slice needs more memory than a query may have, smaller ones are taken.
    pub(crate) async fn sums<S: Sums>(&self, contacts: Option<&[i64]>, none: &S) -> Result<S, LakeError> {
        let whom = contacts.map_or("true".to_owned(), literal::among);
        let Some(told) = self.told(&whom).await? else { return Ok(none.clone()) };
        let mut slice_recipients = SLICE_RECIPIENTS;
        loop {
            let slices: Vec<String> = match contacts {
                Some(_) => vec![whom.clone()],
                None => told.slices(slice_recipients).iter().map(between).collect(),
            };
            let is_least = contacts.is_some() || slice_recipients == 1;
            let queries = slices.iter().map(|whom| self.query(&told, whom));
            match self.count_slices(queries, none).await {
                Err(error) if is_out_of_memory(&error) && !is_least => {
                    slice_recipients = (slice_recipients / 4).max(1);
                }
                counted => return counted,
            }
        }
    }

    /// Counts one slice after the other, each in parts side by side, whose sums are put together in the end.
    async fn count_slices<S: Sums>(&self, queries: impl Iterator<Item = String>, none: &S) -> Result<S, LakeError> {
        let mut parts = Vec::new();
        for query in queries {
            parts = self.count_slice(query, parts, none).await?;
        }
        let mut all = none.clone();
        parts.iter().for_each(|part| all.merge(part));
        Ok(all)
    }

    /// `None` where nobody is told of.
    async fn told(&self, whom: &str) -> Result<Option<Told>, LakeError> {
        let query = self.fill_in(RECIPIENTS, &self.recipients.told, whom);
        let text = format!("recipients of {}", self.experiment.experiment);
        let asked = Asked { group: Group::Readouts, text: &text, limits: self.lake.config.limits };
        let rows = self.lake.queries.rows(self.snapshot, asked, query, "look for the recipients of an experiment").await?;
        let row = rows.first().filter(|row| row.num_rows() == 1 && row.column(1).is_valid(0));
        let Some([count, from, to, first, last]) = row.map(RecordBatch::columns) else { return Ok(None) };
        let number = |column: &dyn Array| column.as_primitive::<Int64Type>().value(0);
        let time = |column: &dyn Array| {
            Timestamp::from_microsecond(column.as_primitive::<TimestampMicrosecondType>().value(0)).unwrap_or_default()
        };
        let (first, last) = (time(first), time(last));
        Ok(Some(Told { count: number(count).into(), from: number(from), to: number(to), first, last }))
    }

    /// Adds a slice to the sums of parts, of which there may be too few yet.
    async fn count_slice<S: Sums>(&self, query: String, mut sums: Vec<S>, none: &S) -> Result<Vec<S>, LakeError> {
        let limits = self.lake.config.limits;
        let text = format!("readout of {}", self.experiment.experiment);
        let asked = Asked { group: Group::Readouts, text: &text, limits };
        let (none, audience) = (none.clone(), self.audience.map(str::to_owned));
        let work = move |context: SessionContext| async move {
            prepare(&context);
            if let Some(audience) = audience {
                // By itself it is one query that gives contacts, so that it can stand within another.
                keys_of(&context, &audience, limits).await?;
            }
            let parts = async { context.sql(&query).await?.execute_stream_partitioned().await };
            let parts = parts.await.map_err(LakeError::internal("observe the experiment"))?;
            sums.resize(sums.len().max(parts.len()), none);
            let rest = sums.split_off(parts.len());
            let tasks: Vec<_> =
                parts.into_iter().zip(sums).map(|(part, sums)| SpawnedTask::spawn(count_part(part, sums))).collect();
            let mut sums = rest;
            for task in tasks {
                sums.push(task.await.map_err(LakeError::internal("finish a query"))??);
            }
            Ok(sums)
        };
        self.lake.queries.run(self.snapshot, asked, work).await
    }

    /// The query as it runs, for some of the recipients.
    fn query(&self, told: &Told, whom: &str) -> String {
        let window = SignedDuration::from_hours(self.experiment.window_hours.into());
        let end = told.last.checked_add(window).unwrap_or(Timestamp::MAX);
        let before = SignedDuration::from_hours(self.experiment.cuped.map_or(0, Cuped::hours));
        let start = told.first.checked_sub(before).unwrap_or(Timestamp::MIN);
        let within = format!("event_time >= {} AND event_time < {}", literal::time(start), literal::time(end));
        let window = format!("INTERVAL '{} hours'", self.experiment.window_hours);
        let told = self.recipients.told.as_ref();
        let chosen = self.audience.map(|audience| {
            // A comment at its end must not reach what follows.
            let keys = format!("SELECT CAST(contact_key AS BIGINT) FROM ({}\n) AS chosen", audience.trim().trim_end_matches(';'));
            format!("(SELECT * FROM {told} WHERE contact_key IN ({keys}))")
        });
        self.fill_in(OBSERVE, chosen.as_deref().unwrap_or(told), whom).replace("$window", &window).replace("$within", &within)
    }

    fn fill_in(&self, query: &str, told: &str, whom: &str) -> String {
        // The words are explained in comments before the query, and what is filled in may have several lines.
        let lines: Vec<&str> = query.lines().filter(|line| !line.starts_with("--")).collect();
        let ours = self.recipients.ours.as_ref();
        let (from, ours, other, theirs) = match self.experiment.cuped {
            None => ("first['begins']".to_owned(), ours, String::new(), ""),
            // Before a unit begins whatever it was sent counts, and after that what names another experiment does not.
            Some(cuped) => (
                format!("first['begins'] - INTERVAL '{} hours'", cuped.hours()),
                "true",
                format!(" + CASE WHEN {ours} THEN 0 ELSE 4096 END"),
                THEIRS,
            ),
        };
        lines
            .join("\n")
            .replace("$from", &from)
            .replace("$theirs", theirs)
            .replace("$other", &other)
            .replace("$ours", ours)
            .replace("$told", told)
            .replace("$market", self.recipients.market)
            .replace("$begins", self.recipients.begins)
            .replace("$experiment", &literal::text(self.experiment.experiment.as_str()))
            .replace("$whom", whom)
    }
}

/// So many recipients are counted at once: their events take some hundred megabytes.
const SLICE_RECIPIENTS: i128 = 500_000;

/// The rows that make units.
struct Told {
    count: i128,
    /// The least and the greatest key.
    from: i64,
    to: i64,
    /// When the first and the last unit begin.
    first: Timestamp,
    last: Timestamp,
}

impl Told {
    /// The keys in ranges of so many recipients, as if they were spread evenly, as drawn ones are.
    fn slices(&self, recipients: i128) -> Vec<RangeInclusive<i64>> {
        let width = i128::from(self.to) - i128::from(self.from) + 1;
        let count = (self.count / recipients + 1).min(width);
        // Between the least and the greatest key.
        let key = |slice: i128| i128::from(self.from) + width * slice / count;
        (0..count).map(|at| key(at) as i64..=(key(at + 1) - 1) as i64).collect()
    }
}

/// Makes a session know what the query uses, and join as it is written: events on the left, to be kept by key, so that units and their
/// events are grouped in one step ([`crate::group_join`]) whatever the sizes of tables seem to be.
fn prepare(context: &SessionContext) {
    context.register_udaf(tally::tally());
    context.register_udaf(first::first_assignment());
    let state = context.state_ref();
    let mut state = state.write();
    let optimizer = &mut state.config_mut().options_mut().optimizer;
    optimizer.join_reordering = false;
    optimizer.hash_join_single_partition_threshold = 0;
    optimizer.hash_join_single_partition_threshold_rows = 0;
}

fn is_out_of_memory(error: &LakeError) -> bool {
    let LakeError::Internal { source, .. } = error else { return false };
    let cause = source.downcast_ref::<DataFusionError>();
    cause.is_some_and(|cause| matches!(cause.find_root(), DataFusionError::ResourcesExhausted(_)))
}

async fn count_part<S: Sums>(mut units: SendableRecordBatchStream, mut sums: S) -> Result<S, LakeError> {
    while let Some(batch) = units.try_next().await.map_err(LakeError::internal("observe the experiment"))? {
        add(&mut sums, &batch).map_err(LakeError::internal("read what was observed"))?;
    }
    Ok(sums)
}

fn add(sums: &mut impl Sums, batch: &RecordBatch) -> Result<(), ArrowError> {
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
        sums.add(&Unit {
            variant: variants.is_valid(row).then(|| variants.value(row)),
            market: markets.is_valid(row).then(|| markets.value(row)),
            begins: Timestamp::from_microsecond(begins.value(row)).unwrap_or_default(),
            crossed: crossed.is_valid(row) && crossed.value(row),
            tallies: &own,
        });
    }
    Ok(())
}

fn between(keys: &RangeInclusive<i64>) -> String {
    format!("contact_key BETWEEN {} AND {}", keys.start(), keys.end())
}

/// What was counted up to certain versions of the tables.
pub(crate) struct Counted {
    /// The tables that were counted.
    pub(crate) snapshot: Snapshot,
    pub(crate) cells: Arc<Cells>,
}

/// The plan of the query over all recipients.
#[cfg(test)]
pub(crate) async fn plan(lake: &Lake, experiment: &Experiment, snapshot: &Snapshot) -> String {
    let counting = Counting { lake, experiment, snapshot, recipients: ASSIGNED, audience: None };
    let told = counting.told("true").await.unwrap().unwrap();
    let query = counting.query(&told, "true");
    let asked = Asked { group: Group::Readouts, text: "plan", limits: lake.config.limits };
    let work = move |context: SessionContext| async move {
        prepare(&context);
        let plan = context.sql(&query).await.unwrap().create_physical_plan().await.unwrap();
        Ok(datafusion::physical_plan::displayable(plan.as_ref()).indent(true).to_string())
    };
    lake.queries.run(snapshot, asked, work).await.unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_hold_every_key_once() {
        let widest = (i64::MIN, i64::MAX, 10_000_000, 500_000);
        for (from, to, count, recipients) in [(7, 7, 3, 1), (-5, 1_000, 400, 100), (1, 3, 900, 2), (0, 9, 10, 100), widest] {
            let told = Told { count, from, to, first: Timestamp::MIN, last: Timestamp::MIN };
            let slices = told.slices(recipients);
            assert_eq!((*slices[0].start(), *slices[slices.len() - 1].end()), (from, to));
            assert!(slices.windows(2).all(|pair| pair[0].end() + 1 == *pair[1].start()), "{slices:?}");
            assert!(slices.iter().all(|keys| keys.start() <= keys.end()), "{slices:?}");
            assert_eq!(slices.len() as i128, (count / recipients + 1).min(i128::from(to) - i128::from(from) + 1));
        }
    }
}
