//! Reads a table somebody else made, CSV, CSV.gz, Parquet, XLSX or JSON lines, row by row as text.
//!
//! *Invariant:* a file is never held whole in memory, with one exception: the texts that the cells of a workbook share.

mod bytes;
mod csv;
mod lines;
mod thread;
mod xlsx;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::Column;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::DataFusionError;
use datafusion::prelude::{CsvReadOptions, DataFrame, Expr, ParquetReadOptions, SessionConfig, SessionContext, cast};
use futures::StreamExt;
use futures::stream::BoxStream;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::LakeError;
pub use bytes::Progress;
pub use lines::LINE_BYTES_MAX;

/// One row as text. `None` is null; a CSV has no null, so that its empty fields are `None`.
pub type TextRow = Vec<Option<String>>;

/// A file's rows as text, read as they are asked for.
pub struct FileRows {
    /// The names of the columns, in order.
    pub columns: Vec<String>,
    /// The rows in batches, in the file's order. A [`LakeError::BadRow`] stands for one row and others follow it; after
    /// any other error nothing follows. May be asked again after its end.
    pub batches: BoxStream<'static, Result<Vec<TextRow>, LakeError>>,
    /// How much of the file was read.
    pub progress: Progress,
    /// Whether the file tells numbers from text, so that numbers are written with a point whatever the language.
    pub typed: bool,
}

/// What a file does not say about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    /// What separates the fields of a CSV.
    pub delimiter: u8,
    /// The sheet of a workbook; the first where absent.
    pub sheet: Option<String>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { delimiter: b',', sheet: None }
    }
}

/// Opens a CSV, CSV.gz, Parquet or XLSX file, told apart by its ending.
///
/// # Errors
/// [`LakeError::BadFile`] when there is no such file, its ending is another, or its header cannot be read.
pub async fn read_file(path: &Path) -> Result<FileRows, LakeError> {
    read_file_with(path, &ReadOptions::default()).await
}

/// Opens a file as [`read_file`] does, with what it does not say about itself.
///
/// # Errors
/// As [`read_file`], and when there is no such sheet.
pub async fn read_file_with(path: &Path, options: &ReadOptions) -> Result<FileRows, LakeError> {
    if has_ending(path, &[".xlsx"]) {
        return xlsx::open(path, options.sheet.clone()).await;
    }
    let (kind, whole) = Kind::find(path).map_err(|error| match error {
        LakeError::BadFile { path, why } if why == ENDINGS => LakeError::BadFile { path, why: ENDINGS_WITH_XLSX.to_owned() },
        other => other,
    })?;
    match kind {
        Kind::Csv(compression) => csv::open(path, compression, options.delimiter).await,
        Kind::Parquet => parquet_rows(path, &whole).await,
    }
}

/// Opens a file of JSON lines, packed or not: one column, `line`, with the text of each line.
///
/// # Errors
/// [`LakeError::BadFile`] when it cannot be opened.
pub async fn read_lines(path: &Path) -> Result<FileRows, LakeError> {
    let packed = has_ending(path, &[".gz"]);
    lines::open(path, if packed { FileCompressionType::GZIP } else { FileCompressionType::UNCOMPRESSED }).await
}

/// Whether the file's ending says that it holds JSON lines.
#[must_use]
pub fn has_lines(path: &Path) -> bool {
    has_ending(path, &[".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz"])
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

async fn parquet_rows(path: &Path, whole: &str) -> Result<FileRows, LakeError> {
    let bad = |why: String| LakeError::BadFile { path: path.to_owned(), why };
    // One partition keeps the file's order.
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let open = async { Kind::Parquet.open(&context, whole).await?.execute_stream().await };
    let batches = open.await.map_err(|error| bad(why(&error)))?;
    let columns = batches.schema().fields().iter().map(|field| field.name().clone()).collect();
    let footer = std::fs::File::open(whole).map_err(|error| bad(error.to_string()))?;
    let footer = SerializedFileReader::new(footer).map_err(|error| bad(error.to_string()))?;
    let progress = Progress::new(u64::try_from(footer.metadata().file_metadata().num_rows()).unwrap_or(0));
    let (path, counter) = (path.to_owned(), progress.clone());
    let to_rows = move |batch: Result<RecordBatch, DataFusionError>| match batch {
        Ok(batch) => {
            counter.add(batch.num_rows() as u64);
            Ok(rows_of(&batch))
        }
        Err(error) => Err(LakeError::BadFile { path: path.clone(), why: why(&error) }),
    };
    Ok(FileRows { columns, batches: batches.map(to_rows).fuse().boxed(), progress, typed: true })
}

const ENDINGS: &str = "its name must end in .csv, .csv.gz or .parquet";
const ENDINGS_WITH_XLSX: &str = "its name must end in .csv, .csv.gz, .parquet or .xlsx";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Csv(FileCompressionType),
    Parquet,
}

impl Kind {
    /// What kind of file `path` is, and its whole name.
    pub(crate) fn find(path: &Path) -> Result<(Self, String), LakeError> {
        let bad = |why: String| LakeError::BadFile { path: path.to_owned(), why };
        let kind = Self::of(path).ok_or_else(|| bad(ENDINGS.to_owned()))?;
        let whole = std::fs::canonicalize(path).map_err(|error| bad(error.to_string()))?;
        if !whole.is_file() {
            return Err(bad("it is no file".to_owned()));
        }
        let whole = whole.to_str().ok_or_else(|| bad("its name is not UTF-8".to_owned()))?;
        Ok((kind, whole.to_owned()))
    }

    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_lowercase();
        let plain = Self::Csv(FileCompressionType::UNCOMPRESSED);
        let packed = Self::Csv(FileCompressionType::GZIP);
        let kinds = [(".csv", plain), (".csv.gz", packed), (".parquet", Self::Parquet)];
        kinds.into_iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, kind)| kind)
    }

    /// The file as a data frame of text columns.
    pub(crate) async fn open(self, context: &SessionContext, path: &str) -> Result<DataFrame, DataFusionError> {
        // Only this one file is meant, so its whole name serves as its ending.
        let ending = path.rsplit_once('/').map_or(path, |(_, name)| name);
        match self {
            Self::Csv(compression) => {
                // No row is looked at for types: `007` is a key and not a number.
                let options = CsvReadOptions::new().has_header(true).schema_infer_max_records(0).newlines_in_values(true);
                let options = options.file_compression_type(compression).file_extension(ending);
                let guessed = context.read_csv(path, options.clone()).await?;
                let names = guessed.schema().fields().iter().map(|field| Field::new(field.name(), DataType::Utf8, true));
                let schema = Schema::new(names.collect::<Vec<_>>());
                context.read_csv(path, options.schema(&schema)).await
            }
            Self::Parquet => {
                let options = ParquetReadOptions { file_extension: ending, ..ParquetReadOptions::default() };
                let rows = context.read_parquet(path, options).await?;
                let names: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
                let as_text = |name: &String| cast(Expr::Column(Column::from_name(name)), DataType::Utf8).alias(name);
                rows.select(names.iter().map(as_text).collect::<Vec<_>>())
            }
        }
    }
}

fn rows_of(batch: &RecordBatch) -> Vec<TextRow> {
    let value = |column: &Arc<dyn Array>, row: usize| {
        let column = column.as_string::<i32>();
        (!column.is_null(row)).then(|| column.value(row).to_owned())
    };
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| value(column, row)).collect()).collect()
}

pub(crate) fn why(error: &DataFusionError) -> String {
    error.find_root().message().into_owned()
}
