//! One data file: what its footer says, and what is really in it.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, TimestampMicrosecondType};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use serde_json::Value;
use vocabulary::Timestamp;

use crate::delta::{DataFile, FileStats};
use crate::index::IdHash;
use crate::parquet::noted_content;
use crate::place::Place;
use crate::schema::EVENT_DATE;

const MICROSECONDS_PER_DAY: i64 = 24 * 60 * 60 * 1_000_000;
/// Checksums are computed over so much at once.
const CHUNK_BYTES: u64 = 8 << 20;
/// Rows that are decoded at once: some megabytes.
const BATCH_ROWS: usize = 8192;
/// Checkpoints may have cut times to milliseconds.
const CUT_US: i64 = 999;

/// What is wrong with a file as such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    Unreadable(String),
    Checksum(String),
}

/// What is in a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Content {
    pub(crate) stats: FileStats,
    /// Rows of another day than the file's.
    pub(crate) other_days: u64,
}

/// Reads the footer.
pub(crate) async fn footer(place: &Place, file: &DataFile) -> Result<ArrowReaderMetadata, String> {
    let mut reader = reader(place, file);
    ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::new()).await.map_err(|error| error.to_string())
}

/// How many rows a footer names.
pub(crate) fn rows_of(footer: &ArrowReaderMetadata) -> u64 {
    u64::try_from(footer.metadata().file_metadata().num_rows()).unwrap_or_default()
}

/// Shows all rows of a file, in order, in batches.
pub(crate) async fn each_batch(
    place: &Place,
    file: &DataFile,
    see: &mut (dyn FnMut(&RecordBatch) -> Result<(), String> + Send),
) -> Result<(), String> {
    let builder = ParquetRecordBatchStreamBuilder::new(reader(place, file)).await.map_err(|error| error.to_string())?;
    let mut batches = builder.with_batch_size(BATCH_ROWS).build().map_err(|error| error.to_string())?;
    while let Some(batch) = batches.try_next().await.map_err(|error| error.to_string())? {
        see(&batch)?;
    }
    Ok(())
}

/// Reads a whole file and compares it with its own checksum; shows the hashes of its events.
pub(crate) async fn read(
    place: &Place,
    file: &DataFile,
    skip_by: &str,
    see_ids: &mut (dyn FnMut(&[IdHash]) -> Result<(), String> + Send),
) -> Result<Content, Fault> {
    let noted = footer(place, file).await.map_err(Fault::Unreadable)?;
    if let Some((length, checksum)) = noted_content(noted.metadata().file_metadata()) {
        let found = checksum_of(place, file, length).await.map_err(Fault::Unreadable)?;
        if found != checksum {
            return Err(Fault::Checksum(format!("its rows have the checksum {found:08x} and were written with {checksum:08x}")));
        }
    }
    let mut content = Content::default();
    let mut see = |batch: &RecordBatch| {
        content.stats.add(batch, skip_by);
        content.other_days += other_days(batch, file.day());
        see_ids(&ids_of(batch)?)
    };
    each_batch(place, file, &mut see).await.map_err(Fault::Unreadable)?;
    Ok(content)
}

/// The hashes of a batch's events; none where it has no events.
pub(crate) fn ids_of(batch: &RecordBatch) -> Result<Vec<IdHash>, String> {
    let Some(ids) = batch.column_by_name("event_id") else { return Ok(Vec::new()) };
    let ids = cast(ids, &DataType::Utf8).map_err(|error| error.to_string())?;
    Ok(ids.as_string::<i32>().iter().map(|id| IdHash::of(id.unwrap_or_default())).collect())
}

/// When each row of a batch came in.
pub(crate) fn received_of(batch: &RecordBatch) -> Vec<i64> {
    times(batch, "received_at").map_or_else(|| vec![0; batch.num_rows()], |times| times.values().to_vec())
}

/// The days of `event_time` of a batch.
pub(crate) fn days_of(batch: &RecordBatch) -> Option<Vec<i32>> {
    let day = |time: &i64| time.div_euclid(MICROSECONDS_PER_DAY) as i32;
    Some(times(batch, "event_time")?.values().iter().map(day).collect())
}

fn times<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a TimestampMicrosecondArray> {
    let column: &ArrayRef = batch.column_by_name(name)?;
    column.as_primitive_opt::<TimestampMicrosecondType>()
}

fn other_days(batch: &RecordBatch, day: Option<i32>) -> u64 {
    let (Some(day), Some(days)) = (day, days_of(batch)) else { return 0 };
    days.into_iter().filter(|of_row| *of_row != day).count() as u64
}

/// What the log says of a file that its rows contradict.
pub(crate) fn contradiction(said: &FileStats, real: &FileStats) -> Option<String> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    for (column, nulls) in &said.null_count {
        let real = real.null_count.get(column);
        if real.is_some_and(|real| real != nulls) {
            return Some(format!("{column} is said to have {nulls} nulls and has {}", real.cloned().unwrap_or_default()));
        }
    }
    for (column, low) in &said.min_values {
        let (low, real) = (text(Some(low)), text(real.min_values.get(column)));
        if let (Some(low), Some(real)) = (low, real)
            && is_below(&real, &low, 0)
        {
            return Some(format!("{column} is said to begin at {low} and begins at {real}"));
        }
    }
    for (column, high) in &said.max_values {
        let (high, real) = (text(Some(high)), text(real.max_values.get(column)));
        if let (Some(high), Some(real)) = (high, real)
            && is_below(&high, &real, CUT_US)
        {
            return Some(format!("{column} is said to end at {high} and ends at {real}"));
        }
    }
    None
}

/// Whether `a`, by so much later if it is a time, is below `b`.
fn is_below(a: &str, b: &str, later_us: i64) -> bool {
    let time = |text: &str| text.parse::<Timestamp>().ok().map(Timestamp::as_microsecond);
    match (time(a), time(b)) {
        (Some(a), Some(b)) => a.saturating_add(later_us) < b,
        _ => a < b,
    }
}

fn reader(place: &Place, file: &DataFile) -> Reader {
    Reader { store: place.root(), path: place.at(&file.path), bytes: file.bytes }
}

/// Reads a file piece by piece.
struct Reader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    bytes: u64,
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.store.get_range(&self.path, range).map_err(|error| ParquetError::External(error.into())).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        let bytes = self.bytes;
        let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
        async move { Ok(Arc::new(reader.load_and_finish(self, bytes).await?)) }.boxed()
    }
}

async fn checksum_of(place: &Place, file: &DataFile, length: u64) -> Result<u32, String> {
    let (store, path) = (place.root(), place.at(&file.path));
    let (mut checksum, mut at) = (0, 0);
    while at < length {
        let end = (at + CHUNK_BYTES).min(length);
        let bytes = store.get_range(&path, at..end).await.map_err(|error| error.to_string())?;
        checksum = crc32c::crc32c_append(checksum, &bytes);
        at = end;
    }
    Ok(checksum)
}

/// The rows of a batch with the day of each beside them, as they are before they are dealt out into days.
pub(crate) fn with_days(batch: &RecordBatch) -> Result<RecordBatch, String> {
    let days = days_of(batch).ok_or("event_time is missing or no time in microseconds")?;
    let mut fields: Vec<_> = batch.schema().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    fields.push(Arc::new(Field::new(EVENT_DATE, DataType::Date32, false)));
    columns.push(Arc::new(Date32Array::from(days)));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stats(nulls: u64, low: &str, high: &str) -> FileStats {
        FileStats {
            num_records: 3,
            null_count: [("c".to_owned(), json!(nulls))].into(),
            min_values: [("c".to_owned(), json!(low))].into(),
            max_values: [("c".to_owned(), json!(high))].into(),
        }
    }

    #[test]
    fn statistics_may_be_wider_than_the_data_and_never_narrower() {
        let check = |said: FileStats, real: FileStats, expect: bool| {
            assert_eq!(contradiction(&said, &real).is_some(), expect, "{said:?} {real:?}");
        };
        check(stats(1, "a", "d"), stats(1, "b", "c"), false);
        check(stats(1, "b", "c"), stats(1, "b", "c"), false);
        check(stats(1, "c", "d"), stats(1, "b", "c"), true);
        check(stats(1, "a", "b"), stats(1, "b", "c"), true);
        check(stats(0, "a", "d"), stats(1, "b", "c"), true);
        check(FileStats::default(), stats(1, "b", "c"), false);
        let time = |text: &str| format!("2026-01-01T00:00:00{text}Z");
        check(stats(0, &time(""), &time(".123")), stats(0, &time(""), &time(".123999")), false);
        check(stats(0, &time(""), &time(".123")), stats(0, &time(""), &time(".124")), true);
    }
}
