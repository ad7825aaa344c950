//! Keeps the tables quick to read: small files of a day are merged, closed days written anew in the order of the layout,
//! and versions nobody needs forgotten. Readers and landings go on meanwhile: they see a version before or after.
//!
//! Files are merged, not sorted: each is in the order of the layout, so that a merge holds a few rows of each in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::SortOptions;
use datafusion::error::DataFusionError;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::prelude::SessionContext;
use deltalake_core::kernel::{Action, Transaction};
use futures::TryStreamExt;
use jiff::SignedDuration;
use jiff::civil::Date;
use vocabulary::{EventKind, Timestamp};

use crate::delta::{DataFile, Forgotten, Purpose, Table, TableState, add_of, removes};
use crate::landing::{APPLICATION, off_thread};
use crate::parquet::{Encoded, encode_stream, is_landed, rewritten_path};
use crate::retention::expire;
use crate::rows::date_of;
use crate::schema::EVENT_DATE;
use crate::session::{Asked, Group};
use crate::tables::Snapshot;
use crate::{Lake, LakeError, SqlLimits};

/// So many small files that were landed for a day are merged into one while the day is open.
const LANDED_FILES_MAX: usize = 16;
/// Files larger than this are not merged while the day is open: at full rate each landing makes such files, and writing their
/// rows twice would cost the ingest half of its rate.
const SMALL_BYTES_MAX: u64 = 4 << 20;
/// A merge of many large files beside a full ingest takes its time.
const MERGE_SECONDS_MAX: u64 = 60 * 60;
/// Batches that are merged and not yet written.
const BATCHES_WAITING: usize = 4;
/// A merge reads so many files side by side, each with a buffer.
const MERGE_FILES_MAX: usize = 16;
/// A closed day's files have so many rows: some 40 MB, which are in memory while they are written.
const FILE_ROWS_MAX: u64 = 1 << 20;
/// A day is closed when it is over and nothing came in for it so long. Later events are landed as ever, and merged later.
const CLOSED_AFTER: SignedDuration = SignedDuration::from_hours(1);
/// A closed day is written anew when so much of it came in late, and else after a day.
const LATE_SHARE: f64 = 0.01;
/// Versions are kept so long, for readers that began before and for questions about the past.
const HISTORY: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How often old versions are forgotten.
const FORGET_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// Versions that must stay readable, by table: those that stored readouts name.
pub type Pins = BTreeMap<String, BTreeSet<i64>>;

/// What one round of tidying did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Rows that were kept for as long as they were to be.
    pub rows_expired: u64,
    /// Files that were merged into others.
    pub files_merged: u64,
    /// Files they became.
    pub files_written: u64,
    /// Rows in them.
    pub rows: u64,
    /// Files that no kept version has and that were deleted.
    pub files_deleted: u64,
    /// Commits that were forgotten.
    pub commits_forgotten: u64,
}

/// See [`Lake::tidy`].
pub(crate) async fn tidy(lake: &Lake, now: Timestamp, pins: &Pins) -> Result<Tidied, LakeError> {
    let mut forgot_at = lake.tidying.lock().await;
    let mut tidied = Tidied::default();
    for (table, kind) in lake.tables.events.iter().zip(EventKind::ALL) {
        if let Some(rule) = lake.config.retention.iter().rfind(|rule| rule.kind == *kind) {
            tidied.rows_expired += expire(table, rule.days, now).await?;
        }
    }
    for table in &lake.tables.events {
        while let Some(merge) = next_merge(&table.state(), now) {
            if !run_merge(lake, table, &merge, now, &mut tidied).await? {
                break;
            }
        }
    }
    let index = lake.index.clone();
    off_thread(move || {
        while index.maintain(now.as_microsecond())?.more {}
        Ok(())
    })
    .await?;
    // It reads the commits of the whole history, so it is not done each time that a few files are looked over.
    if forgot_at.is_some_and(|at| now.duration_since(at) < FORGET_EVERY) {
        return Ok(tidied);
    }
    let since = now.checked_sub(HISTORY).unwrap_or(Timestamp::MIN);
    for table in lake.tables.all() {
        let none = BTreeSet::new();
        let Forgotten { files, commits, .. } = table.forget(since, pins.get(table.spec.name).unwrap_or(&none)).await?;
        tidied.files_deleted += files;
        tidied.commits_forgotten += commits;
    }
    *forgot_at = Some(now);
    Ok(tidied)
}

/// Files of one day that are to become one sorted run.
struct Merge {
    date: Date,
    inputs: Vec<Arc<DataFile>>,
}

/// The merge that helps most, if any is due.
fn next_merge(state: &TableState, now: Timestamp) -> Option<Merge> {
    let mut days: BTreeMap<Date, Vec<Arc<DataFile>>> = BTreeMap::new();
    for file in state.files.values() {
        if let Some(date) = file.date {
            days.entry(date).or_default().push(file.clone());
        }
    }
    days.into_iter().find_map(|(date, files)| due(date, files, now))
}

fn due(date: Date, mut files: Vec<Arc<DataFile>>, now: Timestamp) -> Option<Merge> {
    files.sort_by(|a, b| (a.bytes, &a.path).cmp(&(b.bytes, &b.path)));
    let landed: Vec<&Arc<DataFile>> = files.iter().filter(|file| is_landed(&file.path)).collect();
    let newest = landed.iter().map(|file| file.modified_ms).max()?;
    let quiet = now.as_millisecond() - newest > CLOSED_AFTER.as_millis() as i64;
    let late = landed.iter().map(|file| file.rows).sum::<u64>() as f64;
    let all = files.iter().map(|file| file.rows).sum::<u64>() as f64;
    let long_ago = now.as_millisecond() - newest > 24 * CLOSED_AFTER.as_millis() as i64;
    if date < date_of(now) && quiet && (late > LATE_SHARE * all || long_ago) {
        // Smallest first, so that a day of very many files needs few rounds over its large ones.
        files.truncate(MERGE_FILES_MAX);
        return Some(Merge { date, inputs: files });
    }
    let small: Vec<Arc<DataFile>> =
        files.iter().filter(|file| file.bytes <= SMALL_BYTES_MAX).take(MERGE_FILES_MAX).cloned().collect();
    let landed = small.iter().filter(|file| is_landed(&file.path)).count();
    (landed >= LANDED_FILES_MAX).then_some(Merge { date, inputs: small })
}

/// Writes the merged files and commits them. `false` when somebody else changed the inputs meanwhile.
async fn run_merge(lake: &Lake, table: &Table, merge: &Merge, now: Timestamp, tidied: &mut Tidied) -> Result<bool, LakeError> {
    let written = write_merged(lake, table, merge, now).await?;
    let rows = written.iter().map(|file| file.rows).sum::<u64>();
    let expected = merge.inputs.iter().map(|file| file.rows).sum::<u64>();
    if rows != expected {
        let why = format!("merging {} files of {} gave {rows} rows instead of {expected}", merge.inputs.len(), table.spec.name);
        return Err(LakeError::internal("merge files")(std::io::Error::other(why)));
    }
    let done = replace(table, &merge.inputs, &written, Purpose { operation: "OPTIMIZE", at: now }, false).await?;
    if done {
        tidied.files_merged += merge.inputs.len() as u64;
        tidied.files_written += written.len() as u64;
        tidied.rows += rows;
    }
    Ok(done)
}

/// Puts `written` in the place of `inputs`, in one commit. `false`, and nothing is left behind, when one of the inputs is
/// no longer in the table.
pub(crate) async fn replace(
    table: &Table,
    inputs: &[Arc<DataFile>],
    written: &[DataFile],
    purpose: Purpose,
    data_change: bool,
) -> Result<bool, LakeError> {
    let plan = |state: &TableState| {
        let all_there = inputs.iter().all(|file| state.files.contains_key(&file.path));
        let adds = written.iter().map(|file| Action::Add(add_of(file, data_change)));
        Ok(all_there.then(|| removes(inputs, purpose.at, data_change).into_iter().chain(adds).collect()))
    };
    if table.commit(purpose, Box::new(plan)).await?.is_some() {
        return Ok(true);
    }
    let state = table.state();
    for file in written {
        if !state.files.contains_key(&file.path) {
            table.place.delete(&file.path).await?;
        }
    }
    Ok(false)
}

/// Makes a file, which is on storage already, the only content of a table, in one commit that records `number`. Nothing happens where
/// that number or a later one is recorded.
pub(crate) async fn replace_all(table: &Table, file: &DataFile, number: i64, at: Timestamp) -> Result<(), LakeError> {
    let plan = |state: &TableState| {
        let actions = removes(state.files.values(), at, true).into_iter();
        let actions = actions.chain([Action::Add(add_of(file, true)), Action::Txn(Transaction::new(APPLICATION, number))]);
        Ok((state.recorded(APPLICATION) < number).then(|| actions.collect()))
    };
    table.commit(Purpose { operation: "WRITE", at }, Box::new(plan)).await.map(drop)
}

/// Merges the inputs and writes them as files of at most [`FILE_ROWS_MAX`] rows. Rows are written as they are merged, so that
/// only those of one row group are in memory.
async fn write_merged(lake: &Lake, table: &Table, merge: &Merge, now: Timestamp) -> Result<Vec<DataFile>, LakeError> {
    let snapshot = lake.tables.landed();
    let plan_snapshot = snapshot.clone();
    let (name, inputs) = (table.spec.name, merge.inputs.clone());
    let (sender, mut batches) = tokio::sync::mpsc::channel::<RecordBatch>(BATCHES_WAITING);
    let read = move |context: SessionContext| async move {
        let run = async {
            let plan = merged(&context, &plan_snapshot, name, &inputs).await?;
            let mut batches = datafusion::physical_plan::execute_stream(plan, context.task_ctx())?;
            while let Some(batch) = batches.try_next().await? {
                // Nobody listens only when writing failed, which is told there.
                if sender.send(batch).await.is_err() {
                    break;
                }
            }
            Ok::<(), DataFusionError>(())
        };
        run.await.map_err(LakeError::internal("merge files"))
    };
    let limits = SqlLimits { seconds_max: MERGE_SECONDS_MAX, ..lake.config.limits };
    let asked = Asked { group: Group::Internal, text: "merge files", limits };
    let running = lake.queries.run(&snapshot, asked, read);
    let write = async {
        let mut written = Vec::new();
        loop {
            let path = rewritten_path(Some(merge.date), &merge.inputs, "", written.len());
            let (date, skip_by) = (merge.date, table.spec.skip_by);
            let (encoded, rest) = off_thread(move || {
                let Some(first) = batches.blocking_recv() else { return Ok((None, batches)) };
                let (schema, mut rows) = (first.schema(), first.num_rows() as u64);
                let more = std::iter::from_fn(|| {
                    let batch = if rows < FILE_ROWS_MAX { batches.blocking_recv() } else { None }?;
                    rows += batch.num_rows() as u64;
                    Some(batch)
                });
                let all = std::iter::once(first).chain(more).map(Ok);
                let encoded = encode_stream(path, Some(date), &schema, 0, all, skip_by, now);
                Ok((Some(encoded.map_err(LakeError::internal("write down merged files"))?), batches))
            })
            .await?;
            batches = rest;
            let Some(Encoded { file, bytes }) = encoded else { return Ok(written) };
            table.place.put(&file.path, bytes).await?;
            written.push(file);
        }
    };
    let (read, written) = tokio::join!(running, write);
    read?;
    written
}

/// A plan that gives the rows of these files in the order of the layout.
async fn merged(
    context: &SessionContext,
    snapshot: &Snapshot,
    table: &str,
    files: &[Arc<DataFile>],
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    use datafusion::catalog::TableProvider;
    let whole = &snapshot.0[table].provider;
    let schema = whole.schema();
    let columns: Vec<usize> = (0..schema.fields().len()).filter(|at| schema.field(*at).name() != EVENT_DATE).collect();
    let state = context.state();
    let mut scans = Vec::with_capacity(files.len());
    for file in files {
        scans.push(whole.of_files(std::slice::from_ref(file)).scan(&state, Some(&columns), &[], None).await?);
    }
    let order = ["experiment_id", "contact_key"].map(|name| {
        let at = columns.iter().position(|at| schema.field(*at).name() == name).expect("every event has these columns");
        PhysicalSortExpr::new(Arc::new(Column::new(name, at)), SortOptions { descending: false, nulls_first: true })
    });
    let order = LexOrdering::new(order).expect("there are two columns to sort by");
    let input = if scans.len() == 1 { scans.remove(0) } else { UnionExec::try_new(scans)? };
    Ok(Arc::new(SortPreservingMergeExec::new(order, input)))
}
