//! DataFusion sessions over one snapshot of the tables, with limits, on threads of their own; and what DataFusion's
//! errors mean for people.
//!
//! Three groups ask: analysts, readouts and the lake itself. Each has places, memory and threads of its own, so that none
//! waits for another. What they share is the processors, which the system divides fairly between threads.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, SchemaProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::cache::cache_manager::CacheManagerConfig;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::catalog::LakeSchema;
use crate::few_groups::FewGroups;
use crate::group_join::GroupJoins;
use crate::pool::QueryPool;
use crate::rules::{ByContact, optimizer_rules};
use crate::slow::{Outcome, SlowLog, Watch};
use crate::stop::{JoinsGiveWay, Stop, StopConditions};
use crate::tables::{Snapshot, Tables};
use crate::{LakeError, SqlLimits, TableInfo};

/// Each query has memory of its own up to its limit, so only a few of a group run at once; the others wait. Analysts ask
/// most, and what takes a readout long is one query over much rather than many.
const QUERIES_AT_ONCE_MAX: [usize; Group::ALL.len()] = [4, 2, 2];
/// So many of a group may wait for a place. More are told to come back: a longer queue only makes everybody wait in vain.
const QUERIES_WAITING_MAX: [usize; Group::ALL.len()] = [32, 256, 256];
/// When it is worth trying again after one found no place.
const RETRY_AFTER_SECONDS: u64 = 5;
/// A query uses at most so many processors, which leaves others for the collector and the senders.
const THREADS_PER_QUERY: usize = 2;
/// A query's rows are dealt out to more parts than there are threads: the smaller tables of hashes stay in the processors' caches.
const PARTITIONS_PER_QUERY: usize = 4 * THREADS_PER_QUERY;
/// But to fewer where memory is short: each part begins with batches and buffers of its own.
const PARTITION_BYTES_MIN: usize = 64 << 20;
/// What queries may put on disk when memory is short.
const SPILL_BYTES_MAX: u64 = 20 << 30;
/// Footers of files that are kept in memory.
const FOOTER_BYTES_MAX: usize = 64 << 20;
/// Each sort sets aside so much of its memory for merging what it spilled; DataFusion's own 10 MiB would be all there
/// is under a small limit.
const SORT_RESERVATION_SHARE: usize = 32;
const SORT_RESERVATION_BYTES_MAX: usize = 10 << 20;
/// After so many rows of a part it is decided whether grouping them first, before they are dealt out to where they are put together, helps.
const GROUPING_PROBE_ROWS: usize = 16 * 1024;
const CATALOG: &str = "sendlab";
const SCHEMA: &str = "lake";

/// What is said to a statement that is no query.
const ALLOWED: &str =
    "the lake is read only: use SELECT, WITH, VALUES, EXPLAIN, DESCRIBE or SHOW TABLES, one statement at a time";

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Group {
    /// People and programs, with questions that nobody foresaw.
    #[default]
    Analysts,
    /// The results of experiments, which senders follow.
    Readouts,
    /// What the platform needs to go on: audiences, and opening the lake.
    Internal,
}

impl Group {
    /// All groups.
    pub const ALL: [Self; 3] = [Self::Analysts, Self::Readouts, Self::Internal];

    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Analysts => "analysts",
            Self::Readouts => "readouts",
            Self::Internal => "internal",
        }
    }
}

/// A question of the lake's own.
pub(crate) struct Asked<'a> {
    pub(crate) group: Group,
    /// As the log of slow queries shows it.
    pub(crate) text: &'a str,
    pub(crate) limits: SqlLimits,
}

/// Runs queries on threads of their own, so that a heavy one does not hold up requests.
pub(crate) struct Queries {
    rooms: [Room; Group::ALL.len()],
    spill: PathBuf,
    /// Knows the stores, and keeps the footers of files from one query to the next.
    shared: Arc<RuntimeEnv>,
    /// Hundreds of functions are registered once and not for each query.
    template: SessionState,
    slow: Arc<SlowLog>,
}

/// Where one group's queries run.
struct Room {
    group: Group,
    /// `Some` until dropped.
    runtime: Option<Runtime>,
    places: Arc<Semaphore>,
    waiting: Semaphore,
}

/// The right to run, given back when dropped.
pub(crate) struct Place {
    group: Group,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    fn new(group: Group) -> std::io::Result<Self> {
        let name = format!("query-{}", group.as_str());
        let runtime = Builder::new_multi_thread().worker_threads(THREADS_PER_QUERY).thread_name(name).enable_all().build()?;
        Ok(Self {
            group,
            runtime: Some(runtime),
            places: Arc::new(Semaphore::new(QUERIES_AT_ONCE_MAX[group as usize])),
            waiting: Semaphore::new(QUERIES_WAITING_MAX[group as usize]),
        })
    }

    /// A place, waited for in order of asking.
    async fn place(&self, seconds_max: u64) -> Result<Place, LakeError> {
        let place = |permit| Place { group: self.group, _permit: permit };
        if let Ok(permit) = self.places.clone().try_acquire_owned() {
            return Ok(place(permit));
        }
        let crowded = |why| LakeError::Crowded { why, retry_after_seconds: RETRY_AFTER_SECONDS };
        let running = QUERIES_AT_ONCE_MAX[self.group as usize];
        let Ok(_waiting) = self.waiting.try_acquire() else {
            let waiting = QUERIES_WAITING_MAX[self.group as usize];
            return Err(crowded(format!(
                "{running} queries run and {waiting} wait for their place; ask again when some are done"
            )));
        };
        match tokio::time::timeout(Duration::from_secs(seconds_max), self.places.clone().acquire_owned()).await {
            Ok(permit) => permit.map(place).map_err(LakeError::internal("queue a query")),
            Err(_) => Err(crowded(format!(
                "the query waited {seconds_max} seconds for one of {running} places and got none; ask again when others are done"
            ))),
        }
    }
}

impl Queries {
    /// Queries that put on disk under `spill` what they have no memory for.
    pub(crate) fn new(spill: PathBuf, tables: &Tables, slow: SlowLog) -> Result<Self, LakeError> {
        let room = |group| Room::new(group).map_err(LakeError::file("start threads for", &spill));
        let rooms = [room(Group::Analysts)?, room(Group::Readouts)?, room(Group::Internal)?];
        let cache = CacheManagerConfig::default().with_metadata_cache_limit(FOOTER_BYTES_MAX);
        let shared = RuntimeEnvBuilder::new().with_cache_manager(cache).build_arc();
        let shared = shared.map_err(LakeError::internal("prepare queries"))?;
        for place in tables.places() {
            shared.register_object_store(place.url().as_ref(), place.store());
        }
        Ok(Self { rooms, spill, template: template(&shared), shared, slow: Arc::new(slow) })
    }

    /// The log of slow queries.
    pub(crate) fn slow(&self) -> &Arc<SlowLog> {
        &self.slow
    }

    /// A place to run, as soon as there is room.
    pub(crate) async fn enter(&self, group: Group, limits: SqlLimits) -> Result<Place, LakeError> {
        self.rooms[group as usize].place(limits.wait_seconds_max).await
    }

    /// Starts `work` in a session over `snapshot`.
    pub(crate) fn start<T, F>(
        &self,
        place: Place,
        snapshot: &Snapshot,
        limits: SqlLimits,
        work: impl FnOnce(SessionContext) -> F,
    ) -> Result<Running<T>, LakeError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let stop = Stop::default();
        let context = self.session(snapshot, limits, &stop)?;
        let runtime = self.rooms[place.group as usize].runtime.as_ref().expect("threads run until the lake is dropped");
        let work = work(context);
        let task = runtime.spawn(async move {
            // The place is free when the work has really ended, however long that takes after it was told to stop.
            let _place = place;
            work.await
        });
        Ok(Running { task, stop })
    }

    /// What `work` gives, unless it takes longer than a query may.
    pub(crate) async fn run<T, F>(
        &self,
        snapshot: &Snapshot,
        asked: Asked<'_>,
        work: impl FnOnce(SessionContext) -> F,
    ) -> Result<T, LakeError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, LakeError>> + Send + 'static,
    {
        let Asked { group, text, limits } = asked;
        let mut watch = Watch::start(&self.slow, text, group, None);
        let run = async {
            let place = self.enter(group, limits).await?;
            watch.began();
            let run = async {
                let mut running = self.start(place, snapshot, limits, work)?;
                (&mut running.task).await.map_err(LakeError::internal("finish a query"))?
            };
            tokio::time::timeout(Duration::from_secs(limits.seconds_max), run).await.map_err(|_| too_long(limits))?
        };
        let result = run.await;
        watch.ended(Outcome::of(&result));
        result
    }

    /// The rows of a query of ours, which is a fault of this code where it does not run. `what` it was about to do.
    pub(crate) async fn rows(
        &self,
        snapshot: &Snapshot,
        asked: Asked<'_>,
        query: String,
        what: &'static str,
    ) -> Result<Vec<RecordBatch>, LakeError> {
        let work = move |context: SessionContext| async move {
            let rows = async { context.sql(&query).await?.collect().await };
            rows.await.map_err(LakeError::internal(what))
        };
        self.run(snapshot, asked, work).await
    }

    /// The tables, the views and their columns.
    pub(crate) async fn describe(&self, snapshot: &Snapshot, limits: SqlLimits) -> Result<Vec<TableInfo>, LakeError> {
        // Planning the views takes milliseconds, for which no place is needed.
        let context = self.session(snapshot, limits, &Stop::default())?;
        let schema = schema_of(&context);
        lake_schema(&schema).describe().await.map_err(LakeError::internal("describe the tables"))
    }

    /// A session that knows the tables of `snapshot` and no file, table or server besides.
    fn session(&self, snapshot: &Snapshot, limits: SqlLimits, stop: &Stop) -> Result<SessionContext, LakeError> {
        let failed = || LakeError::internal("prepare a query session");
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.shared)
            .with_memory_pool(Arc::new(QueryPool::new(limits.memory_bytes_max)))
            .with_temp_file_path(&self.spill)
            .with_max_temp_directory_size(SPILL_BYTES_MAX)
            .build_arc()
            .map_err(failed())?;
        let mut config = self.template.config().clone();
        let reservation = limits.memory_bytes_max / SORT_RESERVATION_SHARE;
        let parts = (limits.memory_bytes_max / PARTITION_BYTES_MIN).clamp(THREADS_PER_QUERY, PARTITIONS_PER_QUERY);
        let execution = &mut config.options_mut().execution;
        execution.sort_spill_reservation_bytes = reservation.min(SORT_RESERVATION_BYTES_MAX);
        execution.target_partitions = parts;
        let state = SessionStateBuilder::new_from_existing(self.template.clone())
            .with_config(config)
            .with_runtime_env(runtime)
            .with_catalog_list(Arc::new(MemoryCatalogProviderList::new()))
            .with_optimizer_rule(Arc::new(StopConditions::new(stop)))
            .build();
        let context = SessionContext::new_with_state(state);
        let schema = Arc::new(LakeSchema::new(snapshot.clone(), self.slow.clone()));
        schema.belongs_to(&context);
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(SCHEMA, schema).map_err(failed())?;
        context.register_catalog(CATALOG, Arc::new(catalog));
        Ok(context)
    }
}

/// The names that a session knows.
fn schema_of(context: &SessionContext) -> Arc<dyn SchemaProvider> {
    let schema = context.catalog(CATALOG).and_then(|catalog| catalog.schema(SCHEMA));
    schema.expect("every session has the schema of the lake")
}

/// The versions of the tables that a session's queries named.
pub(crate) fn versions_read(context: &SessionContext) -> BTreeMap<String, i64> {
    lake_schema(&schema_of(context)).versions_read()
}

fn lake_schema(schema: &Arc<dyn SchemaProvider>) -> &LakeSchema {
    let schema: &dyn Any = schema.as_ref();
    schema.downcast_ref().expect("the schema of the lake is the lake's")
}

/// What all sessions have in common.
fn template(shared: &Arc<RuntimeEnv>) -> SessionState {
    let mut config = SessionConfig::new()
        .with_information_schema(true)
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, SCHEMA);
    let options = config.options_mut();
    // Files are sorted by experiment, so that filters skip most of their pages before other columns are decoded.
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    // Bloom filters are asked when a scan is planned: `crate::blooms`.
    options.execution.parquet.bloom_filter_on_read = false;
    // Sorting in parts needs a merge at the end that takes as much memory as the data and cannot go to disk.
    options.optimizer.repartition_sorts = false;
    // What lies in parts by contact is not dealt out again because it is grouped by more.
    options.optimizer.subset_repartition_threshold = 1;
    // Grouping by contact makes nearly as many groups as there are rows in a file: the first step is given up sooner.
    options.execution.skip_partial_aggregation_probe_rows_threshold = GROUPING_PROBE_ROWS;
    SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(shared.clone())
        .with_default_features()
        .with_optimizer_rules(optimizer_rules())
        .with_physical_optimizer_rule(Arc::new(ByContact))
        .with_physical_optimizer_rule(Arc::new(GroupJoins))
        .with_physical_optimizer_rule(Arc::new(FewGroups))
        .with_physical_optimizer_rule(Arc::new(JoinsGiveWay))
        .build()
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Waiting for threads is not allowed where this may be dropped, and nothing is lost: they only read.
            runtime.shutdown_background();
        }
    }
}

/// A query at work. Dropping it stops the query.
pub(crate) struct Running<T> {
    task: JoinHandle<T>,
    stop: Stop,
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.stop.stop();
        self.task.abort();
    }
}

/// Hands the rows of a query of ours to `take`, batch by batch, so that they are never all in memory. `what` it is about to do.
pub(crate) async fn each_batch(
    context: &SessionContext,
    query: &str,
    what: &'static str,
    mut take: impl FnMut(&RecordBatch) -> Result<(), ArrowError>,
) -> Result<(), LakeError> {
    let failed = || LakeError::internal(what);
    let rows = async { context.sql(query).await?.execute_stream().await };
    let mut rows = rows.await.map_err(failed())?;
    while let Some(batch) = rows.next().await {
        take(&batch.map_err(failed())?).map_err(LakeError::internal(what))?;
    }
    Ok(())
}

/// Plans a query and refuses everything else. The plan and not the statement is judged, because `EXPLAIN ANALYZE COPY`
/// is an explanation by its first word and writes a file by its plan.
pub(crate) async fn plan(context: &SessionContext, query: &str, limits: SqlLimits) -> Result<LogicalPlan, LakeError> {
    let plan = context.state().create_logical_plan(query).await.map_err(|error| explain(context, error, limits))?;
    let allowed = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    allowed.verify_plan(&plan).map_err(|error| LakeError::Refused(format!("{} ({})", ALLOWED, text_of(&error))))?;
    Ok(plan)
}

pub(crate) fn too_long(limits: SqlLimits) -> LakeError {
    LakeError::TooLong { seconds_max: limits.seconds_max }
}

/// Says in our words what is wrong with a query.
pub(crate) fn explain(context: &SessionContext, error: DataFusionError, limits: SqlLimits) -> LakeError {
    let text = text_of(&error);
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => LakeError::Limit(format!(
            "the query needs more than the {} MiB of memory it may use; ask for fewer columns, groups or days ({text})",
            limits.memory_bytes_max >> 20
        )),
        DataFusionError::NotImplemented(text) if text.contains("statement") => LakeError::Refused(format!("{ALLOWED} ({text})")),
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) | DataFusionError::ParquetError(_) => {
            LakeError::Internal { operation: "read the tables", source: Box::new(error) }
        }
        _ => match text.split_once("Did you mean") {
            Some((message, hint)) => {
                let message = message.trim_end_matches([' ', '.', '\n']).to_owned();
                LakeError::Query { message, hint: Some(format!("did you mean{}", hint.lines().next().unwrap_or_default())) }
            }
            None => LakeError::Query { hint: hint_for(context, &text), message: text },
        },
    }
}

/// An unknown table is answered with the tables there are.
fn hint_for(context: &SessionContext, text: &str) -> Option<String> {
    let unknown_table = text.contains("table '") && text.contains("not found");
    unknown_table.then(|| format!("the tables are {}", schema_of(context).table_names().join(", ")))
}

fn text_of(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::SQL(error, _) => error.to_string(),
        root => root.message().replace(&format!("'{CATALOG}.{SCHEMA}."), "'").trim().to_owned(),
    }
}
