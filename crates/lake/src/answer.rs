//! Writes the rows of an answer as text table, CSV, JSON or Arrow.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::csv;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json;
use arrow::util::pretty::pretty_format_batches_with_schema;
use bytes::Bytes;

use crate::{LakeError, SqlFormat};

/// A text table is laid out as a whole and read on a screen.
const TABLE_ROWS_MAX: usize = 500;

type JsonArray = json::Writer<Buffer, json::writer::JsonArray>;

/// Turns batches into bytes.
pub(crate) enum Encoder {
    /// Rows collected so far.
    Table { schema: SchemaRef, batches: Vec<RecordBatch>, rows: usize, rows_max: usize },
    /// The writer and where it writes to.
    Csv { writer: Box<csv::Writer<Buffer>>, buffer: Buffer, schema: SchemaRef },
    /// The writer and where it writes to.
    Json { writer: JsonArray, buffer: Buffer, schema: SchemaRef },
    /// The writer and where it writes to.
    Arrow { writer: StreamWriter<Buffer>, buffer: Buffer },
}

impl Encoder {
    pub(crate) fn new(format: SqlFormat, schema: &SchemaRef, rows_max: usize) -> Result<Self, LakeError> {
        let buffer = Buffer::default();
        Ok(match format {
            SqlFormat::Table => {
                Self::Table { schema: schema.clone(), batches: Vec::new(), rows: 0, rows_max: rows_max.min(TABLE_ROWS_MAX) }
            }
            SqlFormat::Csv => {
                let schema =
                    with_types(
                        schema,
                        |field| if field.data_type().is_nested() { DataType::Utf8 } else { field.data_type().clone() },
                    );
                let mut writer = csv::WriterBuilder::new().with_header(true).build(buffer.clone());
                // Writes the header even where no row follows.
                writer.write(&RecordBatch::new_empty(schema.clone())).map_err(unwritable())?;
                Self::Csv { writer: Box::new(writer), buffer, schema }
            }
            SqlFormat::Json => {
                let is_key = |field: &Field| field.name() == "contact_key" && *field.data_type() == DataType::Int64;
                let schema = with_types(schema, |field| if is_key(field) { DataType::Utf8 } else { field.data_type().clone() });
                let writer = json::WriterBuilder::new().with_explicit_nulls(true).build(buffer.clone());
                Self::Json { writer, buffer, schema }
            }
            SqlFormat::Arrow => {
                let writer = StreamWriter::try_new(buffer.clone(), schema).map_err(unwritable())?;
                Self::Arrow { writer, buffer }
            }
        })
    }

    pub(crate) fn content_type(&self) -> &'static str {
        match self {
            Self::Table { .. } => "text/plain; charset=utf-8",
            Self::Csv { .. } => "text/csv; charset=utf-8",
            Self::Json { .. } => "application/json",
            Self::Arrow { .. } => "application/vnd.apache.arrow.stream",
        }
    }

    /// Whether an answer of `rows` rows is more than will ever be shown, so that the query can stop.
    pub(crate) fn is_full(&self, rows: usize) -> bool {
        matches!(self, Self::Table { rows_max, .. } if rows > *rows_max)
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<Bytes, LakeError> {
        match self {
            Self::Table { batches, rows, rows_max, .. } => {
                batches.push(batch.slice(0, batch.num_rows().min(rows_max.saturating_sub(*rows))));
                *rows += batch.num_rows();
                Ok(Bytes::new())
            }
            Self::Csv { writer, buffer, schema } => {
                let batch = retype(batch, schema).map_err(unwritable())?;
                writer.write(&batch).map_err(unwritable())?;
                Ok(buffer.take())
            }
            Self::Json { writer, buffer, schema } => {
                let batch = retype(batch, schema).map_err(unwritable())?;
                writer.write(&batch).map_err(unwritable())?;
                Ok(buffer.take())
            }
            Self::Arrow { writer, buffer } => {
                writer.write(batch).map_err(unwritable())?;
                Ok(buffer.take())
            }
        }
    }

    /// What remains to be written after the last batch.
    pub(crate) fn finish(&mut self) -> Result<Bytes, LakeError> {
        match self {
            Self::Table { schema, batches, rows, rows_max } => {
                let mut text = pretty_format_batches_with_schema(schema.clone(), batches).map_err(unwritable())?.to_string();
                text.push('\n');
                if *rows > *rows_max {
                    text.push_str(&format!("The first {rows_max} rows; there are more. Ask for CSV or JSON, or add a LIMIT.\n"));
                }
                Ok(text.into())
            }
            Self::Csv { buffer, .. } => Ok(buffer.take()),
            Self::Json { writer, buffer, .. } => {
                writer.finish().map_err(unwritable())?;
                Ok(buffer.take())
            }
            Self::Arrow { writer, buffer } => {
                writer.finish().map_err(unwritable())?;
                Ok(buffer.take())
            }
        }
    }
}

/// Memory that a writer writes to and the answer is taken from.
#[derive(Clone, Default)]
pub(crate) struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> Bytes {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn unwritable() -> impl FnOnce(ArrowError) -> LakeError {
    LakeError::internal("write the answer")
}

fn with_types(schema: &SchemaRef, type_of: impl Fn(&Field) -> DataType) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_data_type(type_of(field)));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Brings the columns to the types of `schema`: large keys become text because JavaScript rounds them, and nested
/// columns become JSON because CSV has no nesting.
fn retype(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |(column, field): (&ArrayRef, &Arc<Field>)| {
        if column.data_type() == field.data_type() {
            Ok(column.clone())
        } else if column.data_type().is_nested() {
            json_column(column)
        } else {
            cast(column, field.data_type())
        }
    };
    let columns = batch.columns().iter().zip(schema.fields()).map(column).collect::<Result<_, _>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

/// Each value as a line of JSON, taken out of an object with this one field.
fn json_column(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let schema = Arc::new(Schema::new(vec![Field::new("v", column.data_type().clone(), true)]));
    let batch = RecordBatch::try_new(schema, vec![column.clone()])?;
    let mut lines = Vec::new();
    let mut writer = json::WriterBuilder::new().with_explicit_nulls(true).build::<_, json::writer::LineDelimited>(&mut lines);
    writer.write(&batch)?;
    writer.finish()?;
    let text = String::from_utf8_lossy(&lines);
    let values =
        text.lines().map(|line| line.strip_prefix(r#"{"v":"#).and_then(|rest| rest.strip_suffix('}')).filter(|v| *v != "null"));
    Ok(Arc::new(StringArray::from_iter(values)))
}
