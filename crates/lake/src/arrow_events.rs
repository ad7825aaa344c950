//! Reads a stream of Arrow record batches cell by cell, for callers who know what an event is but not what Arrow is.
//!
//! Whatever types the sender chose, a column is read as text, as times or as truth values. Nothing is unfolded on the way:
//! the views of a dictionary share its texts, so that the memory taken follows the bytes received.

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::buffer::Buffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::root_as_message;
use arrow::util::display::FormatOptions;
use bytes::Bytes;

use crate::LakeError;

/// The rows of a stream.
pub struct ArrowEvents {
    columns: Vec<ArrowColumn>,
    batches: Vec<Batch>,
    rows: usize,
}

/// One column of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrowColumn {
    /// Its name.
    pub name: String,
    /// What its cells are.
    pub holds: ArrowHolds,
    /// Its type, as Arrow calls it.
    pub data_type: String,
}

/// What the cells of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArrowHolds {
    /// Text.
    Text,
    /// Numbers, which are read as text.
    Numbers,
    /// Points in time.
    Times,
    /// Truth values.
    Flags,
    /// Nothing but nulls.
    Nothing,
}

/// One cell that is not null.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ArrowCell<'a> {
    /// Text, or a number as text.
    Text(&'a str),
    /// Microseconds since 1970, UTC.
    Micros(i64),
    /// A truth value.
    Flag(bool),
}

/// One row.
#[derive(Clone, Copy)]
pub struct ArrowRow<'a> {
    batch: &'a Batch,
    at: usize,
}

struct Batch {
    /// How many rows the batches before it have.
    first: usize,
    columns: Vec<Cells>,
}

enum Cells {
    Text(StringViewArray),
    Times(TimestampMicrosecondArray),
    Flags(BooleanArray),
    Nothing,
}

impl ArrowEvents {
    /// Reads a whole stream of at most `rows_max` rows.
    ///
    /// # Errors
    /// [`LakeError::BadStream`] when it is none, ends too early, has more rows or a column of a type that is no text, time,
    /// number or truth value.
    pub fn read(bytes: Bytes, rows_max: usize) -> Result<Self, LakeError> {
        refuse_packed(&bytes)?;
        // The decoder takes the places of buffers as the stream says them, and stops the thread where they are wrong.
        let decoded = std::panic::catch_unwind(|| Self::decode(bytes, rows_max));
        decoded.unwrap_or_else(|_| Err(LakeError::BadStream { why: "it is damaged".to_owned() }))
    }

    fn decode(bytes: Bytes, rows_max: usize) -> Result<Self, LakeError> {
        let mut rest = Buffer::from(bytes);
        let mut decoder = StreamDecoder::new();
        let mut batches = Vec::new();
        let mut columns = None;
        let mut rows = 0;
        while let Some(batch) = decoder.decode(&mut rest).map_err(|error| bad(&error))? {
            if columns.is_none() {
                columns = Some(columns_of(&batch)?);
            }
            // Before anything is made of it: a batch of nulls may claim any number of rows.
            if batch.num_rows() > rows_max - rows {
                return Err(LakeError::BadStream {
                    why: format!("it has more than {rows_max} rows; cut it into several requests"),
                });
            }
            batches.push(Batch {
                first: rows,
                columns: columns.iter().flatten().zip(batch.columns()).map(read_column).collect::<Result<_, _>>()?,
            });
            rows += batch.num_rows();
        }
        decoder.finish().map_err(|error| bad(&error))?;
        Ok(Self { columns: columns.unwrap_or_default(), batches, rows })
    }

    /// The columns, in order.
    #[must_use]
    pub fn columns(&self) -> &[ArrowColumn] {
        &self.columns
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The row at this place, counted over all batches. `None` after the last.
    #[must_use]
    pub fn row(&self, at: usize) -> Option<ArrowRow<'_>> {
        let next = self.batches.partition_point(|batch| batch.first <= at);
        let batch = self.batches.get(next.checked_sub(1)?)?;
        (at < self.rows).then(|| ArrowRow { batch, at: at - batch.first })
    }
}

impl<'a> ArrowRow<'a> {
    /// The cell in a column. `None` when it is null.
    #[must_use]
    pub fn cell(&self, column: usize) -> Option<ArrowCell<'a>> {
        match self.batch.columns.get(column)? {
            Cells::Text(cells) => cells.is_valid(self.at).then(|| ArrowCell::Text(cells.value(self.at))),
            Cells::Times(cells) => cells.is_valid(self.at).then(|| ArrowCell::Micros(cells.value(self.at))),
            Cells::Flags(cells) => cells.is_valid(self.at).then(|| ArrowCell::Flag(cells.value(self.at))),
            Cells::Nothing => None,
        }
    }
}

fn bad(error: &dyn std::error::Error) -> LakeError {
    LakeError::BadStream { why: error.to_string() }
}

/// Refuses a stream whose batches are packed: what they unpack to is not bounded by what was received, as a packed body is.
fn refuse_packed(mut rest: &[u8]) -> Result<(), LakeError> {
    const CONTINUATION: [u8; 4] = [0xff; 4];
    while let Some((mut size, mut after)) = rest.split_first_chunk::<4>() {
        if *size == CONTINUATION {
            // Where the stream is torn, the decoder says so.
            let Some(next) = after.split_first_chunk::<4>() else { return Ok(()) };
            (size, after) = next;
        }
        let size = u32::from_le_bytes(*size) as usize;
        if size == 0 {
            return Ok(());
        }
        let Some((message, body)) = after.split_at_checked(size) else { return Ok(()) };
        let message = root_as_message(message).map_err(|error| LakeError::BadStream { why: error.to_string() })?;
        let batch = message.header_as_record_batch().or_else(|| message.header_as_dictionary_batch()?.data());
        if batch.is_some_and(|batch| batch.compression().is_some()) {
            let why = "its batches are packed; write them without compression, and pack the body with Content-Encoding";
            return Err(LakeError::BadStream { why: why.to_owned() });
        }
        rest = usize::try_from(message.bodyLength()).ok().and_then(|length| body.get(length..)).unwrap_or_default();
    }
    Ok(())
}

fn columns_of(batch: &RecordBatch) -> Result<Vec<ArrowColumn>, LakeError> {
    let column = |field: &std::sync::Arc<arrow::datatypes::Field>| {
        let holds = holds(field.data_type()).ok_or_else(|| LakeError::BadStream {
            why: format!(
                "its column `{}` has the type {}; send text, timestamps, numbers or booleans",
                field.name(),
                field.data_type()
            ),
        })?;
        Ok(ArrowColumn { name: field.name().clone(), holds, data_type: field.data_type().to_string() })
    };
    batch.schema().fields().iter().map(column).collect()
}

fn holds(data_type: &DataType) -> Option<ArrowHolds> {
    Some(match data_type {
        DataType::Null => ArrowHolds::Nothing,
        DataType::Boolean => ArrowHolds::Flags,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ArrowHolds::Text,
        DataType::Timestamp(_, _) => ArrowHolds::Times,
        DataType::Dictionary(_, values) => match holds(values)? {
            ArrowHolds::Text => ArrowHolds::Text,
            _ => return None,
        },
        DataType::Float16 => return None,
        other if other.is_numeric() => ArrowHolds::Numbers,
        _ => return None,
    })
}

fn read_column((column, cells): (&ArrowColumn, &std::sync::Arc<dyn Array>)) -> Result<Cells, LakeError> {
    // A time that lies outside the calendar of microseconds becomes an error, not a null.
    let options = CastOptions { safe: false, format_options: FormatOptions::default() };
    let cast = |to: &DataType| cast_with_options(cells, to, &options).map_err(|error| bad(&error));
    Ok(match column.holds {
        ArrowHolds::Text | ArrowHolds::Numbers => Cells::Text(cast(&DataType::Utf8View)?.as_string_view().clone()),
        ArrowHolds::Times => {
            let micros = cast(&DataType::Timestamp(TimeUnit::Microsecond, None))?;
            Cells::Times(micros.as_primitive::<TimestampMicrosecondType>().clone())
        }
        ArrowHolds::Flags => Cells::Flags(cells.as_boolean().clone()),
        ArrowHolds::Nothing => Cells::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Decimal128Array, DictionaryArray, Float64Array, Int64Array, LargeStringArray, NullArray, StringArray,
        TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
    };
    use arrow::datatypes::Int8Type;
    use arrow::ipc::writer::StreamWriter;

    use super::*;

    fn stream(batches: &[RecordBatch]) -> Bytes {
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new(&mut bytes, &batches[0].schema()).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
        Bytes::from(bytes)
    }

    fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.iter().map(|(name, cells)| (*name, cells.clone(), true))).unwrap()
    }

    /// The cells of one column of two rows, the second of them null.
    fn check(cells: ArrayRef, holds: ArrowHolds, expect: ArrowCell<'_>) {
        let events = ArrowEvents::read(stream(&[batch(&[("a", cells)])]), 10).unwrap();
        assert_eq!((events.rows(), events.columns()[0].holds), (2, holds));
        assert_eq!(events.row(0).unwrap().cell(0), Some(expect));
        assert_eq!(events.row(1).unwrap().cell(0), None);
        assert!(events.row(2).is_none() && events.row(0).unwrap().cell(1).is_none());
    }

    #[test]
    fn every_type_has_its_reading() {
        let long = "a text that is longer than a view holds itself";
        check(Arc::new(StringArray::from(vec![Some(long), None])), ArrowHolds::Text, ArrowCell::Text(long));
        check(Arc::new(LargeStringArray::from(vec![Some(long), None])), ArrowHolds::Text, ArrowCell::Text(long));
        check(Arc::new(StringViewArray::from(vec![Some(long), None])), ArrowHolds::Text, ArrowCell::Text(long));
        let dictionary: DictionaryArray<Int8Type> = vec![Some(long), None].into_iter().collect();
        check(Arc::new(dictionary), ArrowHolds::Text, ArrowCell::Text(long));
        check(Arc::new(BooleanArray::from(vec![Some(true), None])), ArrowHolds::Flags, ArrowCell::Flag(true));
        check(Arc::new(Int64Array::from(vec![Some(-7), None])), ArrowHolds::Numbers, ArrowCell::Text("-7"));
        check(Arc::new(Float64Array::from(vec![Some(12.5), None])), ArrowHolds::Numbers, ArrowCell::Text("12.5"));
        let decimal = Decimal128Array::from(vec![Some(1250), None]).with_precision_and_scale(10, 2).unwrap();
        check(Arc::new(decimal), ArrowHolds::Numbers, ArrowCell::Text("12.50"));
        let micros = ArrowCell::Micros(1_500_000_000_000_000);
        let seconds = TimestampSecondArray::from(vec![Some(1_500_000_000), None]).with_timezone("Europe/Berlin");
        check(Arc::new(seconds), ArrowHolds::Times, micros);
        check(Arc::new(TimestampMillisecondArray::from(vec![Some(1_500_000_000_000), None])), ArrowHolds::Times, micros);
        let nanos = TimestampNanosecondArray::from(vec![Some(1_500_000_000_000_000_999), None]);
        check(Arc::new(nanos), ArrowHolds::Times, micros);
    }

    #[test]
    fn rows_are_counted_over_batches() {
        let part = |values: &[i64]| batch(&[("a", Arc::new(Int64Array::from(values.to_vec())) as ArrayRef)]);
        let events = ArrowEvents::read(stream(&[part(&[0, 1]), part(&[]), part(&[2])]), 3).unwrap();
        let cells: Vec<_> = (0..events.rows()).map(|at| events.row(at).unwrap().cell(0).unwrap()).collect();
        assert_eq!(cells, ["0", "1", "2"].map(ArrowCell::Text));
        let error = ArrowEvents::read(stream(&[part(&[0, 1]), part(&[2])]), 2).err().unwrap();
        assert!(error.to_string().contains("more than 2 rows"), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let refused = |bytes: Bytes| ArrowEvents::read(bytes, 10).err().unwrap().to_string();
        let nulls = batch(&[("a", Arc::new(NullArray::new(1 << 40)) as ArrayRef)]);
        assert!(refused(stream(&[nulls])).contains("more than 10 rows"));
        let binary = batch(&[("raw", Arc::new(arrow::array::BinaryArray::from(vec![&b"x"[..]])) as ArrayRef)]);
        assert!(refused(stream(&[binary])).contains("its column `raw` has the type Binary"));
        let whole = stream(&[batch(&[("a", Arc::new(Int64Array::from(vec![1])) as ArrayRef)])]);
        refused(whole.slice(..whole.len() / 2));
        refused(Bytes::from_static(b"event_id,kind\n1,open\n"));
        let far = batch(&[("a", Arc::new(TimestampSecondArray::from(vec![i64::MAX])) as ArrayRef)]);
        refused(stream(&[far]));
    }

    #[test]
    fn packed_batches_are_refused() {
        use arrow::ipc::CompressionType;
        use arrow::ipc::writer::IpcWriteOptions;
        let batch = batch(&[("a", Arc::new(Int64Array::from(vec![7; 1_000])) as ArrayRef)]);
        let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD)).unwrap();
        let mut bytes = Vec::new();
        let mut writer = StreamWriter::try_new_with_options(&mut bytes, &batch.schema(), options).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        let error = ArrowEvents::read(Bytes::from(bytes), 1_000).err().unwrap();
        assert!(error.to_string().contains("write them without compression"), "{error}");
    }

    #[test]
    fn an_empty_stream_has_no_rows() {
        let empty = batch(&[("a", Arc::new(Int64Array::from(Vec::<i64>::new())) as ArrayRef)]);
        assert_eq!(ArrowEvents::read(stream(&[empty]), 10).unwrap().rows(), 0);
        assert_eq!(ArrowEvents::read(Bytes::new(), 10).unwrap().rows(), 0);
    }
}
