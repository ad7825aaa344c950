//! Writes data files anew, row by row: what erasure and late exchange rates need. The order of the rows and the way they
//! are written stay as they were, so that the layout survives. Of a file only a few rows are in memory at a time.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchReader};
use arrow::error::ArrowError;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::LakeError;
use crate::delta::{DataFile, Purpose, Table};
use crate::landing::off_thread;
use crate::parquet::{Encoded, ROW_GROUP_ROWS, encode_stream, rewritten_path};
use crate::tidy::replace;

/// Rows that are decoded together.
const BATCH_ROWS: usize = 32 * 1024;
/// So many files are worked on side by side: more would take processors from whoever sends and asks.
pub(crate) const FILES_AT_ONCE: usize = 2;

/// What becomes of a batch: `None` leaves it as it is.
pub(crate) type Change = Arc<dyn Fn(&RecordBatch) -> Result<Option<RecordBatch>, ArrowError> + Send + Sync>;

/// A file that was written anew.
pub(crate) struct Rewritten {
    /// What took its place; `None` when no row was left.
    pub(crate) file: Option<DataFile>,
    /// How many rows are gone.
    pub(crate) rows_gone: u64,
}

/// The bytes of a data file.
pub(crate) async fn fetch(table: &Table, file: &DataFile) -> Result<Bytes, LakeError> {
    table.place.get(&file.path).await?.ok_or_else(|| {
        let why = format!("the file {} of {} is missing; `sendlab lake check` says more", file.path, table.spec.name);
        LakeError::internal("read a data file")(std::io::Error::other(why))
    })
}

/// Applies `change` to the rows of these files, each in a commit of its own. Returns those that it changed, unless somebody else was first to
/// take them out of the table. The same file and `salt` always give the same name.
pub(crate) async fn rewrite_all(
    table: &Table,
    files: Vec<Arc<DataFile>>,
    change: &Change,
    salt: &str,
    purpose: Purpose,
) -> Result<Vec<Rewritten>, LakeError> {
    let works = files.into_iter().map(|file| async move {
        let Some(rewritten) = rewrite(table, &file, change.clone(), salt, purpose).await? else { return Ok(None) };
        let written = rewritten.file.as_slice();
        Ok::<_, LakeError>(replace(table, &[file], written, purpose, true).await?.then_some(rewritten))
    });
    let done = futures::stream::iter(works).buffer_unordered(FILES_AT_ONCE).try_collect::<Vec<_>>().await?;
    Ok(done.into_iter().flatten().collect())
}

/// Writes a file with `change` applied to its rows beside the old one. `None` when nothing changed.
async fn rewrite(
    table: &Table,
    file: &Arc<DataFile>,
    change: Change,
    salt: &str,
    purpose: Purpose,
) -> Result<Option<Rewritten>, LakeError> {
    let bytes = fetch(table, file).await?;
    let path = rewritten_path(file.date, std::slice::from_ref(file), salt, 0);
    let (date, skip_by, rows_before) = (file.date, table.spec.skip_by, file.rows);
    let encoded = off_thread(move || {
        let mut any = false;
        let reader = read(bytes)?;
        let schema = reader.schema();
        let batches = reader.map(|batch| {
            let batch = batch?;
            let changed = change(&batch)?;
            any |= changed.is_some();
            Ok(changed.unwrap_or(batch))
        });
        let encoded = encode_stream(path, date, &schema, batches, skip_by, purpose.at);
        let encoded = encoded.map_err(LakeError::internal("write a data file anew"))?;
        Ok(any.then_some(encoded))
    });
    let Some(Encoded { file, bytes }) = encoded.await? else { return Ok(None) };
    let rows_gone = rows_before.saturating_sub(file.rows);
    if file.rows == 0 {
        return Ok(Some(Rewritten { file: None, rows_gone }));
    }
    table.place.put(&file.path, bytes).await?;
    Ok(Some(Rewritten { file: Some(file), rows_gone }))
}

/// The rows of a data file, in order.
pub(crate) fn read(bytes: Bytes) -> Result<ParquetRecordBatchReader, LakeError> {
    let open = || ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(BATCH_ROWS.min(ROW_GROUP_ROWS)).build();
    open().map_err(LakeError::internal("read a data file"))
}
