//! Moves sealed log segments into the tables, each event exactly once.
//!
//! Order is everything: commit to each table, recording the newest segment's number; write down which ids came in; forget
//! the rows in memory; only then delete the segments. Whatever step a crash interrupts, the next landing takes the segments
//! that are still there and leaves out, table by table, what that table's record says it has. Files are named by their
//! segments and their content, so that a repeated landing writes the same files again.
//!
//! Several landers may work on one log: a commit that finds its segments recorded already does nothing, and the files it
//! would have brought are deleted unless they are the very files that the faster one committed.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use deltalake_core::kernel::{Action, Transaction};
use futures::{StreamExt, TryStreamExt};
use vocabulary::Timestamp;

use crate::delta::{Purpose, Table, TableState, add_of};
use crate::faults::{Faults, Point};
use crate::parquet::{Encoded, by_day, encode, landed_path};
use crate::tables::kind_of;
use crate::tail::TailSegment;
use crate::{Lake, LakeError, Landed};

/// Under this name commits record which segments they bring.
pub(crate) const APPLICATION: &str = "sendlab";
/// So many rows are landed together: enough for files worth reading, and a bound on the memory it takes.
const BATCH_ROWS_MAX: u64 = 1 << 18;
/// So many tables are landed side by side: with one at a time, a full rate of events would leave landing behind.
const TABLES_AT_ONCE: usize = 2;

/// See [`Lake::land`].
pub(crate) async fn land(lake: &Lake) -> Result<Landed, LakeError> {
    let _one = lake.landing.lock().await;
    lake.writer.seal().await?;
    lake.faults.reached(Point::Sealed)?;
    let mut landed = Landed::default();
    loop {
        let batch = lake.tail.next_batch(BATCH_ROWS_MAX);
        let Some(newest) = batch.last().map(|segment| segment.number) else { return Ok(landed) };
        landed.commits += land_segments(&lake.tables.events, &batch, lake.faults.as_ref()).await?;
        lake.faults.reached(Point::AllCommitted)?;
        let index = lake.index.clone();
        off_thread(move || index.persist(newest)).await?;
        landed.events += lake.tail.drop_landed(newest);
        lake.faults.reached(Point::Refreshed)?;
        delete(&batch, lake.faults.as_ref())?;
        // With every landing, or the filter fills at full rate before it is looked at, and each new id is looked up on disk.
        let (index, now) =
            (lake.index.clone(), newest_receipt(batch.iter().flat_map(|segment| segment.batches.iter().flatten())));
        off_thread(move || index.maintain(now.as_microsecond())).await?;
    }
}

/// Brings what these segments hold into the tables. Returns how many commits it took.
pub(crate) async fn land_segments(
    tables: &[Arc<Table>],
    segments: &[TailSegment],
    faults: &dyn Faults,
) -> Result<u64, LakeError> {
    let land = async |table: &Arc<Table>| {
        let mut commits = 0;
        while let ControlFlow::Continue(committed) = land_kind(table, segments, faults).await? {
            commits += committed;
        }
        Ok(commits)
    };
    let landings = futures::stream::iter(tables.iter().map(land)).buffer_unordered(TABLES_AT_ONCE);
    landings.try_fold(0, async |all, commits| Ok(all + commits)).await
}

/// Commits what the table lacks of these segments. Continues where another lander was faster with a part of them.
async fn land_kind(table: &Table, segments: &[TailSegment], faults: &dyn Faults) -> Result<ControlFlow<(), u64>, LakeError> {
    let Some(kind) = kind_of(table.spec.name) else { return Ok(ControlFlow::Break(())) };
    let kind = kind as usize;
    let lacks = |state: &TableState| lacking(segments, kind, state.recorded(APPLICATION));
    if lacks(&table.state()).is_none() {
        return Ok(ControlFlow::Break(()));
    }
    // Another lander may have been here since: its work is not done again.
    let state = table.refresh().await?;
    let Some(Lacking { first, last, batches }) = lacks(&state) else { return Ok(ControlFlow::Break(())) };
    let (at, skip_by) = (newest_receipt(&batches), table.spec.skip_by);
    let files = off_thread(move || {
        let days = by_day(&batches).map_err(LakeError::internal("arrange events"))?;
        let encode = |day: crate::parquet::Day| {
            let path = landed_path(APPLICATION, Some(day.date), first, last);
            encode(path, Some(day.date), &[day.rows], skip_by, at).map(Encoded::named_by_content)
        };
        days.into_iter().map(encode).collect::<Result<Vec<_>, _>>().map_err(LakeError::internal("write down events"))
    })
    .await?;
    for Encoded { file, bytes } in &files {
        table.place.put(&file.path, bytes.clone()).await?;
    }
    faults.reached(Point::FilesWritten)?;
    let plan = |state: &TableState| {
        let adds = files.iter().map(|encoded| Action::Add(add_of(&encoded.file, true)));
        let record = Action::Txn(Transaction::new(APPLICATION, last));
        // What others landed before the first of these segments takes nothing from them.
        Ok((state.recorded(APPLICATION) < first).then(|| adds.chain([record]).collect()))
    };
    if table.commit(Purpose { operation: "WRITE", at }, Box::new(plan)).await?.is_some() {
        faults.reached(Point::TableCommitted)?;
        return Ok(ControlFlow::Continue(1));
    }
    take_back(table, state.version, &files).await?;
    Ok(ControlFlow::Continue(0))
}

/// Deletes files that another lander made superfluous. The table records their first segment now, so that nobody can commit
/// a file of that name any more; but the faster lander may have committed the same file, and a reader of an older version
/// may want it even where it was replaced since.
async fn take_back(table: &Table, planned_at: i64, files: &[Encoded]) -> Result<(), LakeError> {
    let mut committed = HashSet::new();
    for version in planned_at + 1..=table.state().version {
        committed.extend(table.added_by(version).await?);
    }
    for Encoded { file, .. } in files.iter().filter(|encoded| !committed.contains(&encoded.file.path)) {
        table.place.delete(&file.path).await?;
    }
    Ok(())
}

/// What a table lacks.
struct Lacking {
    /// The first segment that has something for the table, and the last there is.
    first: i64,
    last: i64,
    batches: Vec<RecordBatch>,
}

fn lacking(segments: &[TailSegment], kind: usize, recorded: i64) -> Option<Lacking> {
    let lacks = |segment: &&TailSegment| segment.number > recorded && !segment.batches[kind].is_empty();
    let first = segments.iter().find(lacks)?.number;
    let last = segments.last().map_or(first, |segment| segment.number);
    let batches = segments.iter().filter(lacks).flat_map(|segment| segment.batches[kind].iter().cloned()).collect();
    Some(Lacking { first, last, batches })
}

/// When the newest of these rows came in: commits are dated by what they bring.
fn newest_receipt<'a>(batches: impl IntoIterator<Item = &'a RecordBatch>) -> Timestamp {
    let newest = |batch: &RecordBatch| {
        let received = batch.column_by_name("received_at")?.as_primitive_opt::<TimestampMicrosecondType>()?;
        arrow::compute::max(received)
    };
    let newest = batches.into_iter().filter_map(newest).max().unwrap_or_default();
    Timestamp::from_microsecond(newest).unwrap_or_default()
}

/// Runs work that keeps a processor busy where it does not hold up requests.
pub(crate) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LakeError> + Send + 'static,
) -> Result<T, LakeError> {
    tokio::task::spawn_blocking(work).await.map_err(LakeError::internal("finish work on another thread"))?
}

fn delete(segments: &[TailSegment], faults: &dyn Faults) -> Result<(), LakeError> {
    for sealed in segments.iter().filter_map(|segment| segment.sealed.as_ref()) {
        let path = &sealed.path;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(LakeError::file("delete", path)(error)),
            _ => faults.reached(Point::SegmentDeleted)?,
        }
    }
    Ok(())
}
