//! Writes data files anew, row by row: what erasure, repairs and late exchange rates need. The order of the rows and the
//! way they are written stay as they were, so that the layout survives.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use vocabulary::Timestamp;

use crate::LakeError;
use crate::delta::{DataFile, Table};
use crate::landing::off_thread;
use crate::parquet::{Encoded, ROW_GROUP_ROWS, encode, rewritten_path};

/// Rows that are decoded together.
const BATCH_ROWS: usize = 32 * 1024;

/// What becomes of a batch: `None` leaves it as it is.
pub(crate) type Change = Arc<dyn Fn(&RecordBatch) -> Result<Option<RecordBatch>, ArrowError> + Send + Sync>;

/// A file written anew.
pub(crate) struct Rewritten {
    /// What takes its place; `None` when no row is left.
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

/// Writes a file, whose `bytes` are these, with `change` applied to its rows, beside the old one; nothing is committed. `None` when nothing changed.
/// The same file and `salt` always give the same name.
pub(crate) async fn rewrite(
    table: &Table,
    file: &Arc<DataFile>,
    bytes: Bytes,
    change: Change,
    salt: &str,
    at: Timestamp,
) -> Result<Option<Rewritten>, LakeError> {
    let path = rewritten_path(file.date, std::slice::from_ref(file), salt, 0);
    let (date, skip_by, rows_before) = (file.date, table.spec.skip_by, file.rows);
    let changed = off_thread(move || {
        let Some(batches) = changed(bytes, &change)? else { return Ok(None) };
        let rows: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        let rows_gone = rows_before.saturating_sub(rows);
        if rows == 0 {
            return Ok(Some((None, rows_gone)));
        }
        let encoded = encode(path, date, &batches, skip_by, at).map_err(LakeError::internal("write a data file anew"))?;
        Ok(Some((Some(encoded), rows_gone)))
    })
    .await?;
    let Some((encoded, rows_gone)) = changed else { return Ok(None) };
    let file = match encoded {
        Some(Encoded { file, bytes }) => {
            table.place.put(&file.path, bytes).await?;
            Some(file)
        }
        None => None,
    };
    Ok(Some(Rewritten { file, rows_gone }))
}

/// All rows of a file with `change` applied; `None` when it changed none of them.
fn changed(bytes: Bytes, change: &Change) -> Result<Option<Vec<RecordBatch>>, LakeError> {
    let mut batches = Vec::new();
    let mut any = false;
    for batch in read(bytes)? {
        let batch = batch.map_err(LakeError::internal("read a data file"))?;
        match change(&batch).map_err(LakeError::internal("change rows"))? {
            Some(changed) => {
                any = true;
                batches.push(changed);
            }
            None => batches.push(batch),
        }
    }
    batches.retain(|batch| batch.num_rows() > 0);
    Ok(any.then_some(batches))
}

/// The rows of a data file, in order.
pub(crate) fn read(bytes: Bytes) -> Result<impl Iterator<Item = Result<RecordBatch, ArrowError>>, LakeError> {
    let open = || ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(BATCH_ROWS.min(ROW_GROUP_ROWS)).build();
    open().map_err(LakeError::internal("read a data file"))
}
