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
/// So many files are worked on side by side, here and by a deep check: more would take processors from whoever sends and asks.
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

/// Works on files side by side. Returns those that were changed.
pub(crate) async fn side_by_side(
    works: impl Iterator<Item = impl Future<Output = Result<Option<Rewritten>, LakeError>> + Send>,
) -> Result<Vec<Rewritten>, LakeError> {
    let done: Vec<_> = futures::stream::iter(works).buffer_unordered(FILES_AT_ONCE).try_collect().await?;
    Ok(done.into_iter().flatten().collect())
}

/// Applies `change` to the rows of a file, whose `bytes` are these, in a commit of its own. `None` when it changed none, or somebody
/// else was first to take the file out of the table. The same file and `salt` always give the same name.
pub(crate) async fn rewrite(
    table: &Table,
    file: &Arc<DataFile>,
    bytes: Bytes,
    change: Change,
    salt: &str,
    purpose: Purpose,
) -> Result<Option<Rewritten>, LakeError> {
    let path = rewritten_path(file.date, std::slice::from_ref(file), salt, 0);
    let (date, skip_by) = (file.date, table.spec.skip_by);
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
        let encoded = encode_stream(path, date, &schema, 0, batches, skip_by, purpose.at);
        let encoded = encoded.map_err(LakeError::internal("write a data file anew"))?;
        Ok(any.then_some(encoded))
    });
    let Some(Encoded { file: new, bytes }) = encoded.await? else { return Ok(None) };
    let rows_gone = file.rows.saturating_sub(new.rows);
    let new = (new.rows > 0).then_some(new);
    if let Some(new) = &new {
        table.place.put(&new.path, bytes).await?;
    }
    let replaced = replace(table, std::slice::from_ref(file), new.as_slice(), purpose, true).await?;
    Ok(replaced.then_some(Rewritten { file: new, rows_gone }))
}

/// The rows of a data file, in order.
pub(crate) fn read(bytes: Bytes) -> Result<ParquetRecordBatchReader, LakeError> {
    let open = || ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(BATCH_ROWS.min(ROW_GROUP_ROWS)).build();
    open().map_err(LakeError::internal("read a data file"))
}
