//! DataFusion sessions over one snapshot of the tables, with limits, on threads of their own; and what DataFusion's
//! errors mean for people.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::cache::cache_manager::CacheManagerConfig;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::stop::{JoinsGiveWay, Stop, StopConditions};
use crate::tables::{Snapshot, Tables};
use crate::{LakeError, SqlLimits};

/// Each query has memory of its own up to its limit, so only a few run at once; the others wait.
const QUERIES_AT_ONCE_MAX: usize = 4;
/// A query uses at most so many processors, which leaves others for the collector and the senders.
const PARTITIONS_PER_QUERY: usize = 2;
/// What queries may put on disk when memory is short.
const SPILL_BYTES_MAX: u64 = 20 << 30;
/// Footers of files that are kept in memory.
const FOOTER_BYTES_MAX: usize = 64 << 20;
/// Each sort sets aside so much of its memory for merging what it spilled; DataFusion's own 10 MiB would be all there
/// is under a small limit.
const SORT_RESERVATION_SHARE: usize = 32;
const SORT_RESERVATION_BYTES_MAX: usize = 10 << 20;
const CATALOG: &str = "sendlab";
const SCHEMA: &str = "lake";

/// What is said to a statement that is no query.
const ALLOWED: &str =
    "the lake is read only: use SELECT, WITH, VALUES, EXPLAIN, DESCRIBE or SHOW TABLES, one statement at a time";

/// Runs queries on threads of their own, so that a heavy one does not hold up requests.
pub(crate) struct Queries {
    /// `Some` until dropped.
    runtime: Option<Runtime>,
    permits: Arc<Semaphore>,
    spill: PathBuf,
    /// Knows the stores, and keeps the footers of files from one query to the next.
    shared: Arc<RuntimeEnv>,
}

impl Queries {
    /// Queries that put on disk under `spill` what they have no memory for.
    pub(crate) fn new(spill: PathBuf, tables: &Tables) -> Result<Self, LakeError> {
        let runtime =
            Builder::new_multi_thread().worker_threads(PARTITIONS_PER_QUERY).thread_name("lake-query").enable_all().build();
        let runtime = runtime.map_err(LakeError::file("start threads for", &spill))?;
        let cache = CacheManagerConfig::default().with_metadata_cache_limit(FOOTER_BYTES_MAX);
        let shared = RuntimeEnvBuilder::new().with_cache_manager(cache).build_arc();
        let shared = shared.map_err(LakeError::internal("prepare queries"))?;
        for place in tables.places() {
            shared.register_object_store(place.url().as_ref(), place.store());
        }
        Ok(Self { runtime: Some(runtime), permits: Arc::new(Semaphore::new(QUERIES_AT_ONCE_MAX)), spill, shared })
    }

    /// Starts `work` in a session over `snapshot` as soon as there is room.
    pub(crate) async fn start<T, F>(
        &self,
        snapshot: &Snapshot,
        limits: SqlLimits,
        work: impl FnOnce(SessionContext) -> F,
    ) -> Result<Running<T>, LakeError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.map_err(LakeError::internal("queue a query"))?;
        let stop = Stop::default();
        let context = self.session(snapshot, limits, &stop)?;
        let runtime = self.runtime.as_ref().expect("threads run until the lake is dropped");
        let work = work(context);
        let task = runtime.spawn(async move {
            // The place is free when the work has really ended, however long that takes after it was told to stop.
            let _permit = permit;
            work.await
        });
        Ok(Running { task, stop })
    }

    /// What `work` gives, unless it takes longer than a query may.
    pub(crate) async fn run<T, F>(
        &self,
        snapshot: &Snapshot,
        limits: SqlLimits,
        work: impl FnOnce(SessionContext) -> F,
    ) -> Result<T, LakeError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, LakeError>> + Send + 'static,
    {
        let run = async {
            let mut running = self.start(snapshot, limits, work).await?;
            (&mut running.task).await.map_err(LakeError::internal("finish a query"))?
        };
        tokio::time::timeout(Duration::from_secs(limits.seconds_max), run).await.map_err(|_| too_long(limits))?
    }

    /// A session that knows the tables of `snapshot` and no file, table or server besides.
    fn session(&self, snapshot: &Snapshot, limits: SqlLimits, stop: &Stop) -> Result<SessionContext, LakeError> {
        let failed = || LakeError::internal("prepare a query session");
        let runtime = RuntimeEnvBuilder::from_runtime_env(&self.shared)
            .with_memory_pool(Arc::new(FairSpillPool::new(limits.memory_bytes_max)))
            .with_temp_file_path(&self.spill)
            .with_max_temp_directory_size(SPILL_BYTES_MAX)
            .build_arc()
            .map_err(failed())?;
        let mut config = SessionConfig::new()
            .with_target_partitions(PARTITIONS_PER_QUERY)
            .with_information_schema(true)
            .with_default_catalog_and_schema(CATALOG, SCHEMA);
        let options = config.options_mut();
        // Files are sorted by experiment, so that filters skip most of their pages before other columns are decoded.
        options.execution.parquet.pushdown_filters = true;
        options.execution.parquet.reorder_filters = true;
        // Sorting in parts needs a merge at the end that takes as much memory as the data and cannot go to disk.
        options.optimizer.repartition_sorts = false;
        let reservation = limits.memory_bytes_max / SORT_RESERVATION_SHARE;
        options.execution.sort_spill_reservation_bytes = reservation.min(SORT_RESERVATION_BYTES_MAX);
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .with_optimizer_rule(Arc::new(StopConditions::new(stop)))
            .with_physical_optimizer_rule(Arc::new(JoinsGiveWay))
            .build();
        let context = SessionContext::new_with_state(state);
        for (name, table) in &snapshot.0 {
            context.register_table(*name, Arc::new(table.provider.clone())).map_err(failed())?;
        }
        Ok(context)
    }
}

impl Drop for Queries {
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

/// Plans a query and refuses everything else. The plan and not the statement is judged, because `EXPLAIN ANALYZE COPY`
/// is an explanation by its first word and writes a file by its plan.
pub(crate) async fn plan(context: &SessionContext, query: &str, limits: SqlLimits) -> Result<LogicalPlan, LakeError> {
    let plan = context.state().create_logical_plan(query).await.map_err(|error| explain(context, error, limits))?;
    let allowed = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    allowed.verify_plan(&plan).map_err(|error| LakeError::Refused(format!("{} ({})", ALLOWED, text_of(&error))))?;
    Ok(plan)
}

pub(crate) fn too_long(limits: SqlLimits) -> LakeError {
    LakeError::Limit(format!(
        "the query ran longer than {} seconds and was stopped; look at fewer days or columns",
        limits.seconds_max
    ))
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
    let schema = context.catalog(CATALOG).and_then(|catalog| catalog.schema(SCHEMA)).filter(|_| unknown_table)?;
    let mut names = schema.table_names();
    names.sort_unstable();
    Some(format!("the tables are {}", names.join(", ")))
}

fn text_of(error: &DataFusionError) -> String {
    match error.find_root() {
        DataFusionError::SQL(error, _) => error.to_string(),
        root => root.message().replace(&format!("'{CATALOG}.{SCHEMA}."), "'").trim().to_owned(),
    }
}
