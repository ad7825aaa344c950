//! Data files: rows as Parquet in the layout that questions want, with the statistics that let a reader skip them.
//!
//! Within a day, rows are sorted by experiment, contact and time, so that a question about one experiment or one contact
//! reads few pages. Text ids and times get no dictionary: it would halve the speed of writing and make files larger.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{cast, concat, max, max_string, max_string_view, min, min_string, min_string_view, take};
use arrow::datatypes::{DataType, Date32Type, FieldRef, Int64Type, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use bytes::Bytes;
use jiff::civil::Date;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::{FileMetaData, KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use serde_json::Value;
use vocabulary::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use crate::blooms;
use crate::delta::{DataFile, FileStats, TableState};
use crate::rows::date_of_days;
use crate::schema::EVENT_DATE;

/// Large enough that a scan reads long runs, small enough that a row group can be skipped.
pub(crate) const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Pages of so many rows: within an experiment contacts are sorted, so that one contact's events lie in one page.
const PAGE_ROWS: usize = 8 * 1024;
/// Columns whose values hardly repeat.
const UNIQUE_COLUMNS: &[&str] = &["event_id", "event_time", "received_at", "contact_key", "message_id", "order_id", "planned_at"];
/// Texts whose values lie together in the order of the layout, so that the smallest and the largest of a page tell something.
/// Of the others they tell nothing, and finding them would take a tenth of the time that writing takes.
const CLUSTERED_TEXTS: &[&str] = &["experiment_id", "campaign_id", "recommendation_id"];
/// One in so many row groups is read in vain when a contact is looked for.
const BLOOM_MISTAKES: f64 = 0.02;
/// Delta keeps so many characters of the smallest and largest text.
const STATS_CHARS_MAX: usize = 32;
/// About how many bytes of a file a row takes when it is landed.
const ROW_BYTES: usize = 96;
/// What landings are called; behind it stand the first and the last of their log segments.
const LANDED: &str = "log";

/// The name of the file that brings one day of these segments. The same segments make the same file, so that a landing that
/// is repeated after a crash overwrites what the first attempt left.
pub(crate) fn landed_path(log: &str, date: Option<Date>, first: i64, last: i64) -> String {
    format!("{}{LANDED}-{log}-{first:012}-{last:012}.parquet", folder_of(date))
}

fn folder_of(date: Option<Date>) -> String {
    date.map(|date| format!("{EVENT_DATE}={date}/")).unwrap_or_default()
}

/// Whether a file is as a landing wrote it.
pub(crate) fn is_landed(path: &str) -> bool {
    path.rsplit_once('/').map_or(path, |(_, name)| name).starts_with(LANDED)
}

/// Whether a file comes from a landing that is not committed (yet).
pub(crate) fn is_unlanded(path: &str, state: &TableState) -> bool {
    let parts = || {
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let (log, segments) = name
            .strip_prefix(LANDED)?
            .strip_prefix('-')?
            .strip_suffix(".parquet")?
            .split('.')
            .next()?
            .rsplit_once('-')
            .and_then(|(rest, last)| Some((rest.rsplit_once('-')?.0, last.parse::<i64>().ok()?)))?;
        Some(segments > state.recorded(log))
    };
    parts().unwrap_or(false)
}

/// The name of a file that was written anew out of others.
pub(crate) fn rewritten_path(date: Option<Date>, inputs: &[Arc<DataFile>], salt: &str, part: usize) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(salt.as_bytes());
    for input in inputs {
        hasher.update(input.path.as_bytes());
    }
    let hash = hasher.finalize().to_hex();
    let folder = folder_of(date);
    format!("{folder}run-{}-{part:04}.parquet", &hash[..24])
}

/// Rows of one day, sorted.
pub(crate) struct Day {
    pub(crate) date: Date,
    /// Without the day, which the file's folder says.
    pub(crate) rows: RecordBatch,
}

/// Sorts the rows of `batches` into days, each in the order of the layout.
pub(crate) fn by_day(batches: &[RecordBatch]) -> Result<Vec<Day>, ArrowError> {
    let Some(first) = batches.first() else { return Ok(Vec::new()) };
    let rows_of_days = order_by_day(batches)?;
    let (mut fields, mut columns) = (Vec::new(), vec![Vec::new(); rows_of_days.len()]);
    for (at, field) in first.schema_ref().fields().iter().enumerate().filter(|(_, field)| field.name() != EVENT_DATE) {
        // Texts as views, which are moved without the letters they point to.
        let field = retyped(field, &DataType::Utf8, &DataType::Utf8View);
        let parts: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(at)).collect();
        let is_empty = parts.iter().all(|part| part.null_count() == part.len());
        let whole = (!is_empty).then(|| joined(&parts, field.data_type())).transpose()?;
        for ((_, rows), columns) in rows_of_days.iter().zip(&mut columns) {
            columns.push(match &whole {
                Some(whole) => take(whole, rows, None)?,
                None => new_null_array(field.data_type(), rows.len()),
            });
        }
        fields.push(field);
    }
    let schema = Arc::new(Schema::new(fields));
    let day = |((date, _), columns)| Ok(Day { date, rows: RecordBatch::try_new(schema.clone(), columns)? });
    rows_of_days.into_iter().zip(columns).map(day).collect()
}

/// The days of these rows, and the places of each day's rows among all, in the order of the layout.
fn order_by_day(batches: &[RecordBatch]) -> Result<Vec<(Date, UInt32Array)>, ArrowError> {
    let missing = |name: &str| ArrowError::SchemaError(format!("{name} is missing"));
    let experiments = rank_experiments(batches)?;
    let mut order: Vec<(u64, i64, u32)> = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for (batch, experiments) in batches.iter().zip(&experiments) {
        let days = batch.column_by_name(EVENT_DATE).ok_or_else(|| missing(EVENT_DATE))?.as_primitive::<Date32Type>();
        let contacts = batch.column_by_name("contact_key").ok_or_else(|| missing("contact_key"))?.as_primitive::<Int64Type>();
        let first = order.len() as u32;
        let keys = days.values().iter().zip(experiments).zip(contacts.values()).zip(first..);
        // The day and then the experiment as one number; flipping its sign puts days before 1970 first.
        order.extend(keys.map(|(((day, experiment), contact), row)| {
            (u64::from(day.cast_unsigned() ^ (1 << 31)) << 32 | u64::from(*experiment), *contact, row)
        }));
    }
    order.sort_unstable();
    let of_day = |rows: &[(u64, i64, u32)]| {
        let day = ((rows[0].0 >> 32) as u32 ^ (1 << 31)).cast_signed();
        (date_of_days(day), rows.iter().map(|(.., row)| *row).collect::<Vec<_>>().into())
    };
    Ok(order.chunk_by(|a, b| a.0 >> 32 == b.0 >> 32).map(of_day).collect())
}

/// The parts of a column as one of this type.
fn joined(parts: &[&ArrayRef], data_type: &DataType) -> Result<ArrayRef, ArrowError> {
    let parts = parts.iter().map(|part| cast(part, data_type)).collect::<Result<Vec<_>, _>>()?;
    concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

/// Of each row the place of its experiment among all, in the order of their names; those without one come first.
fn rank_experiments(batches: &[RecordBatch]) -> Result<Vec<Vec<u32>>, ArrowError> {
    let column = |batch: &RecordBatch| -> Result<ArrayRef, ArrowError> {
        let column = batch.column_by_name("experiment_id");
        column.cloned().ok_or_else(|| ArrowError::SchemaError("experiment_id is missing".to_owned()))
    };
    let columns = batches.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let mut ranks: BTreeMap<&str, u32> = BTreeMap::new();
    let mut numbers: std::collections::HashMap<&str, u32> = std::collections::HashMap::new();
    let mut rows = Vec::with_capacity(columns.len());
    for column in &columns {
        let texts = column.as_string::<i32>();
        let mut of_batch = Vec::with_capacity(texts.len());
        for text in texts {
            let next = numbers.len() as u32 + 1;
            of_batch.push(text.map_or(0, |text| *numbers.entry(text).or_insert(next)));
        }
        rows.push(of_batch);
    }
    ranks.extend(numbers.iter().map(|(name, number)| (*name, *number)));
    let mut rank_of = vec![0_u32; numbers.len() + 1];
    for (rank, number) in (1..).zip(ranks.values()) {
        rank_of[*number as usize] = rank;
    }
    for of_batch in &mut rows {
        of_batch.iter_mut().for_each(|number| *number = rank_of[*number as usize]);
    }
    Ok(rows)
}

/// The field with another type in the place of `old`.
fn retyped(field: &FieldRef, old: &DataType, new: &DataType) -> FieldRef {
    if field.data_type() == old { Arc::new(field.as_ref().clone().with_data_type(new.clone())) } else { field.clone() }
}

/// A data file in memory.
pub(crate) struct Encoded {
    pub(crate) file: DataFile,
    pub(crate) bytes: Bytes,
}

impl Encoded {
    /// Names the file by what it holds too. Two landers whose exchange rates differ make different files of the same
    /// segments; the slower must not write over what the faster has committed.
    pub(crate) fn named_by_content(mut self) -> Self {
        let bare = self.file.path.trim_end_matches(".parquet");
        self.file.path = format!("{bare}.{:016x}.parquet", xxh3_64(&self.bytes));
        self
    }
}

/// Writes batches that are in order already as one file. `skip_by` names the columns to keep statistics of.
pub(crate) fn encode(
    path: String,
    date: Option<Date>,
    batches: &[RecordBatch],
    skip_by: &str,
    at: Timestamp,
) -> Result<Encoded, ParquetError> {
    let first = batches.first().ok_or_else(|| ParquetError::General("a file needs at least one batch".to_owned()))?;
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    encode_stream(path, date, first.schema_ref(), rows, batches.iter().cloned().map(Ok), skip_by, at)
}

/// [`encode`] for batches that come one after the other, so that they need not all be in memory. There is room for `rows` from the
/// beginning; 0 where nobody knows how many come.
pub(crate) fn encode_stream(
    path: String,
    date: Option<Date>,
    schema: &SchemaRef,
    rows: usize,
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
    skip_by: &str,
    at: Timestamp,
) -> Result<Encoded, ParquetError> {
    let mut bytes = Vec::with_capacity(rows * ROW_BYTES);
    // Views are how rows are handled, not how they are stored: other readers find the type that the table declares.
    let fields = schema.fields().iter().map(|field| retyped(field, &DataType::Utf8View, &DataType::Utf8));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let properties = writer_properties(&schema, is_landed(&path));
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties))?;
    let mut stats = FileStats::default();
    for batch in batches {
        let batch = batch?;
        writer.write(&batch)?;
        stats.add(&batch, skip_by);
    }
    note_content(&mut writer)?;
    writer.close()?;
    let file =
        DataFile { path, date, bytes: bytes.len() as u64, rows: stats.num_records, modified_ms: at.as_millisecond(), stats };
    Ok(Encoded { file, bytes: bytes.into() })
}

/// Under this name a file's footer says how many of its first bytes have which CRC-32C, as `LENGTH:CHECKSUM`. Parquet's
/// own checksums of pages are read by few.
pub(crate) const CONTENT: &str = "sendlab.content";

/// Notes the checksum of everything written so far in the footer: all rows, when this is called before closing.
fn note_content(writer: &mut ArrowWriter<&mut Vec<u8>>) -> Result<(), ParquetError> {
    writer.flush()?;
    writer.sync()?;
    let content = writer.inner();
    let note = format!("{}:{:08x}", content.len(), crc32c::crc32c(content));
    writer.append_key_value_metadata(KeyValue::new(CONTENT.to_owned(), note));
    Ok(())
}

/// What a footer says of the content: its length and its checksum.
pub(crate) fn noted_content(footer: &FileMetaData) -> Option<(u64, u32)> {
    let note = footer.key_value_metadata()?.iter().find(|entry| entry.key == CONTENT)?.value.as_ref()?;
    let (length, checksum) = note.split_once(':')?;
    Some((length.parse().ok()?, u32::from_str_radix(checksum, 16).ok()?))
}

impl FileStats {
    /// Widens the statistics by the rows of `batch`.
    pub(crate) fn add(&mut self, batch: &RecordBatch, skip_by: &str) {
        self.num_records += batch.num_rows() as u64;
        for name in skip_by.split(',') {
            let Some(column) = batch.column_by_name(name) else { continue };
            let nulls = self.null_count.get(name).and_then(Value::as_u64).unwrap_or_default() + column.null_count() as u64;
            self.null_count.insert(name.to_owned(), nulls.into());
            let Some((low, high)) = bounds(column) else { continue };
            let lower = self.min_values.get(name).is_none_or(|old| low.as_str() < old.as_str());
            if lower {
                self.min_values.insert(name.to_owned(), low);
            }
            let higher = self.max_values.get(name).is_none_or(|old| high.as_str() > old.as_str());
            if higher {
                self.max_values.insert(name.to_owned(), high);
            }
        }
    }
}

/// The smallest and largest value as Delta writes them; texts and times only, which compare as text. `None` without any.
fn bounds(column: &ArrayRef) -> Option<(Value, Value)> {
    match column.data_type() {
        DataType::Utf8 => text_bounds(min_string(column.as_string::<i32>())?, max_string(column.as_string::<i32>())?),
        DataType::Utf8View => text_bounds(min_string_view(column.as_string_view())?, max_string_view(column.as_string_view())?),
        DataType::Timestamp(..) => {
            let times = column.as_primitive_opt::<TimestampMicrosecondType>()?;
            let text = |time: i64| Timestamp::from_microsecond(time).ok().map(|time| format!("{time:.6}"));
            Some((text(min(times)?)?.into(), text(max(times)?)?.into()))
        }
        _ => None,
    }
}

fn text_bounds(low: &str, high: &str) -> Option<(Value, Value)> {
    let low: String = low.chars().take(STATS_CHARS_MAX).collect();
    Some((low.into(), raised(high)?.into()))
}

/// A text cut to Delta's length that is not below `text`.
fn raised(text: &str) -> Option<String> {
    let mut chars: Vec<char> = text.chars().take(STATS_CHARS_MAX).collect();
    if chars.len() == text.chars().count() {
        return Some(text.to_owned());
    }
    while let Some(last) = chars.pop() {
        if let Some(next) = char::from_u32(last as u32 + 1) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// How every data file is written: small where it is to stay, fast where it is `landed` and will be merged into another.
pub(crate) fn writer_properties(schema: &SchemaRef, landed: bool) -> WriterProperties {
    let level = ZstdLevel::try_new(1).expect("1 is a level of zstd");
    let mut properties = WriterProperties::builder()
        .set_compression(if landed { Compression::LZ4_RAW } else { Compression::ZSTD(level) })
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_write_batch_size(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_created_by(format!("sendlab {}", env!("CARGO_PKG_VERSION")));
    for column in UNIQUE_COLUMNS {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(*column), false);
        // What is packed fast finds little in ids, and times of receipt are the same for a whole request.
        if landed && *column != "received_at" {
            properties = properties.set_column_compression(ColumnPath::from(*column), Compression::UNCOMPRESSED);
        }
    }
    let is_text = |field: &&FieldRef| matches!(field.data_type(), DataType::Utf8);
    for field in schema.fields().iter().filter(is_text).filter(|field| !CLUSTERED_TEXTS.contains(&field.name().as_str())) {
        properties = properties.set_column_statistics_enabled(ColumnPath::from(field.name().as_str()), EnabledStatistics::None);
    }
    let contact = ColumnPath::from(blooms::COLUMN);
    properties =
        properties.set_column_bloom_filter_enabled(contact.clone(), true).set_column_bloom_filter_fpp(contact, BLOOM_MISTAKES);
    let sorted = ["experiment_id", "contact_key"].iter().map_while(|name| schema.index_of(name).ok());
    let sorted = sorted.map(|column| SortingColumn { column_idx: column as i32, descending: false, nulls_first: true });
    properties.set_sorting_columns(Some(sorted.collect())).build()
}
