//! Reads a table somebody else made, CSV, CSV.gz or Parquet, row by row as text.

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

use crate::LakeError;

/// A file's rows as text, read as they are asked for.
pub struct FileRows {
    /// The names of the columns, in order.
    pub columns: Vec<String>,
    /// The rows in batches, in the file's order. `None` is null; a CSV has no null, so that its empty fields are `None`.
    pub batches: BoxStream<'static, Result<Vec<Vec<Option<String>>>, LakeError>>,
}

/// Opens a CSV, CSV.gz or Parquet file, told apart by its ending.
///
/// # Errors
/// [`LakeError::BadFile`] when there is no such file, its ending is another, or its header cannot be read.
pub async fn read_file(path: &Path) -> Result<FileRows, LakeError> {
    let bad = |why: String| LakeError::BadFile { path: path.to_owned(), why };
    let (kind, whole) = Kind::find(path)?;
    // One partition keeps the file's order.
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let open = async { kind.open(&context, &whole).await?.execute_stream().await };
    let batches = open.await.map_err(|error| bad(why(&error)))?;
    let columns = batches.schema().fields().iter().map(|field| field.name().trim_start_matches('\u{feff}').to_owned()).collect();
    let path = path.to_owned();
    let to_rows = move |batch: Result<RecordBatch, DataFusionError>| match batch {
        Ok(batch) => Ok(rows_of(&batch)),
        Err(error) => Err(LakeError::BadFile { path: path.clone(), why: why(&error) }),
    };
    Ok(FileRows { columns, batches: batches.map(to_rows).boxed() })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Csv(FileCompressionType),
    Parquet,
}

impl Kind {
    /// What kind of file `path` is, and its whole name.
    pub(crate) fn find(path: &Path) -> Result<(Self, String), LakeError> {
        let bad = |why: String| LakeError::BadFile { path: path.to_owned(), why };
        let kind = Self::of(path).ok_or_else(|| bad("its name must end in .csv, .csv.gz or .parquet".to_owned()))?;
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

fn rows_of(batch: &RecordBatch) -> Vec<Vec<Option<String>>> {
    let value = |column: &Arc<dyn Array>, row: usize| {
        let column = column.as_string::<i32>();
        (!column.is_null(row)).then(|| column.value(row).to_owned())
    };
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| value(column, row)).collect()).collect()
}

pub(crate) fn why(error: &DataFusionError) -> String {
    error.find_root().message().into_owned()
}
