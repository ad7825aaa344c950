//! Counts the units of a file of results, CSV, CSV.gz or Parquet, of any size and without a lake.
//!
//! Only the columns that are asked for are read. A Parquet file is read in parts of a fixed number of rows, side by side,
//! and what was counted is merged in the order of the file: the same file gives the same bytes on any machine.
//!
//! Reading order: [`gather_units`], then `source` (batches of rows), `columns` and `labels` (what they hold), `clusters`
//! (rows summed first).

mod clusters;
mod columns;
mod labels;
mod source;

use std::path::Path;
use std::sync::Arc;

use analysis::cells::Cells;
use analysis::gather::{BadUnits, Batch, CapSearch, Caps, Gatherer, RowChecks, check_columns};
use analysis::spec::Spec;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::DataFusionError;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use self::columns::{Reader, Roles};
use self::source::{Part, Source};
use crate::LakeError;

/// Counts the units of `path` as `spec` asks. `progress` is told how many rows were read so far; a file with capped
/// metrics is read a few times. Work is shared by the threads of the runtime this is called in.
///
/// # Errors
/// [`LakeError::BadFile`] for a file that cannot be read, a column that is not there, and for all that
/// [`analysis::gather::BadUnits`] refuses; the text says where and how to mend it.
pub async fn gather_units(path: &Path, spec: &Spec, mut progress: impl FnMut(u64)) -> Result<Cells, LakeError> {
    let bad = |error: Failed| LakeError::BadFile { path: path.to_owned(), why: error.text() };
    let source = Source::open(path).await?;
    check_columns(spec, source.columns()).map_err(|error| bad(error.into()))?;
    let (rows, mut told) = unbounded_channel();
    let roles = Roles::new(spec, source.columns());
    let job = Job { roles, source, spec: spec.clone(), rows };
    let mut work = SpawnedTask::spawn(gather(job));
    let mut rows_read = 0;
    while let Some(rows) = told.recv().await {
        rows_read += rows;
        progress(rows_read);
    }
    (&mut work).await.map_err(LakeError::internal("count units"))?.map_err(bad)
}

/// Everything a pass over the file needs.
struct Job {
    source: Source,
    roles: Roles,
    spec: Spec,
    /// Told of every batch how many rows it has. The last copy that is dropped ends the telling.
    rows: UnboundedSender<u64>,
}

async fn gather(job: Job) -> Result<Cells, Failed> {
    let job = Arc::new(job);
    let mut caps = Caps::default();
    if let Some(mut search) = CapSearch::new(&job.spec) {
        caps = loop {
            (search, _) = pass(&job, |_| search.fork()).await?;
            if let Some(caps) = search.advance()? {
                break caps;
            }
        };
    }
    let (gatherer, rows) = pass(&job, |rows_before| Gatherer::new(&job.spec, &caps).after_rows(rows_before)).await?;
    match rows {
        Some(rows) => Ok(gatherer.finish_clusters(&rows)?),
        None => Ok(gatherer.finish()?),
    }
}

/// Shows every unit to a sink; where rows are summed to clusters first, the checks of the rows come back too.
async fn pass<S: Sink>(job: &Arc<Job>, sink: impl Fn(u64) -> S) -> Result<(S, Option<RowChecks>), Failed> {
    if job.spec.cluster.is_some() {
        let (sink, rows) = clusters::pass(job, sink(0)).await?;
        return Ok((sink, Some(rows)));
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let tasks = job.source.parts().into_iter().map(|part| {
        let task = SpawnedTask::spawn(pass_part(job.clone(), part, sink(part.rows_before)));
        async move { task.await.map_err(|error| Failed::Read(DataFusionError::ExecutionJoin(Box::new(error))))? }
    });
    // In the order of the file, whichever is done first.
    let mut sinks = futures::stream::iter(tasks).buffered(threads);
    let mut all: Option<S> = None;
    while let Some(sink) = sinks.try_next().await? {
        all = Some(match all {
            None => sink,
            Some(all) => all.merge(sink),
        });
    }
    Ok((all.unwrap_or_else(|| sink(0)), None))
}

async fn pass_part<S: Sink>(job: Arc<Job>, part: Part, mut sink: S) -> Result<S, Failed> {
    let mut reader = Reader::new(&job.roles, part.rows_before);
    let mut batches = job.source.read(part, &job.roles.columns).await?;
    while let Some(batch) = batches.try_next().await? {
        let units = reader.read(&batch)?;
        sink.push(&units.batch(&job.roles, &reader))?;
        let _ = job.rows.send(batch.num_rows() as u64);
    }
    Ok(sink)
}

/// Where units go.
trait Sink: Send + 'static {
    fn push(&mut self, batch: &Batch<'_>) -> Result<(), BadUnits>;
    /// `other` saw the units that come after this one's.
    fn merge(self, other: Self) -> Self;
}

impl Sink for Gatherer {
    fn push(&mut self, batch: &Batch<'_>) -> Result<(), BadUnits> {
        Self::push(self, batch)
    }

    fn merge(self, other: Self) -> Self {
        Self::merge(self, other)
    }
}

impl Sink for CapSearch {
    fn push(&mut self, batch: &Batch<'_>) -> Result<(), BadUnits> {
        Self::push(self, batch);
        Ok(())
    }

    fn merge(self, other: Self) -> Self {
        Self::merge(self, other)
    }
}

/// Why a pass ended early.
#[derive(Debug)]
enum Failed {
    Bad(BadUnits),
    Read(DataFusionError),
}

impl Failed {
    fn text(&self) -> String {
        match self {
            Self::Bad(bad) => bad.to_string(),
            Self::Read(error) => match error.find_root() {
                DataFusionError::External(error) => error.to_string(),
                DataFusionError::ResourcesExhausted(text) => {
                    format!("its clusters need more memory and disk than there is; give fewer columns ({text})")
                }
                _ => crate::files::why(error),
            },
        }
    }
}

impl From<BadUnits> for Failed {
    fn from(error: BadUnits) -> Self {
        Self::Bad(error)
    }
}

impl From<DataFusionError> for Failed {
    fn from(error: DataFusionError) -> Self {
        Self::Read(error)
    }
}
