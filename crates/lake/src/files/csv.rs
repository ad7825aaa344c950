//! CSV, packed or not, with rows that have too many fields or none too few named one by one.

use std::path::Path;
use std::sync::atomic::Ordering;

use datafusion::datasource::file_format::file_compression_type::FileCompressionType;

use super::bytes::{self, Guarded};
use super::thread::{self, Head, Out, Stop, distinct};
use super::{FileRows, TextRow};
use crate::LakeError;

/// Opens a CSV file with a header.
pub(super) async fn open(path: &Path, compression: FileCompressionType, delimiter: u8) -> Result<FileRows, LakeError> {
    let path = path.to_owned();
    thread::run(move |out| read(&path, compression, delimiter, out)).await
}

fn read(path: &Path, compression: FileCompressionType, delimiter: u8, out: &mut Out) -> Result<(), Stop> {
    let bad = |why: String| LakeError::BadFile { path: path.to_owned(), why };
    let (bytes, progress) = bytes::open(path, compression)?;
    let (guarded, since_row) = Guarded::new(bytes);
    // Rows of another length are told apart here rather than by the decoder, which would stop at the first.
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(guarded);
    let mut record = ::csv::ByteRecord::new();
    if !reader.read_byte_record(&mut record).map_err(|error| bad(failure(&error)))? {
        return Err(bad("it is empty; the first line must name the columns".to_owned()).into());
    }
    let names = record.iter().map(|name| std::str::from_utf8(name).map(str::to_owned)).collect::<Result<Vec<_>, _>>();
    let mut columns = names.map_err(|_| bad(format!("its header {NOT_UTF8}")))?;
    if let Some(first) = columns.first_mut() {
        *first = first.trim_start_matches('\u{feff}').to_owned();
    }
    distinct(&columns).map_err(bad)?;
    let count = columns.len();
    out.head(Head { columns, progress, typed: false });
    loop {
        since_row.store(0, Ordering::Relaxed);
        let line = reader.position().line();
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) => return Err(bad(format!("the row that begins on line {line} {}", failure(&error))).into()),
        }
        let line = record.position().map_or(line, ::csv::Position::line);
        match row_of(&record, count) {
            Ok(row) => out.row(row)?,
            Err(why) => {
                let lossy = |field: &[u8]| (!field.is_empty()).then(|| String::from_utf8_lossy(field).into_owned());
                let values = record.iter().map(lossy).collect();
                out.error(LakeError::BadRow { path: path.to_owned(), line, why, values })?;
            }
        }
    }
}

const NOT_UTF8: &str = "is not UTF-8; convert the file, such as with `iconv -f WINDOWS-1252 -t UTF-8`";

fn row_of(record: &::csv::ByteRecord, count: usize) -> Result<TextRow, String> {
    if record.len() != count {
        let (fields, columns) = (counted(record.len(), "field"), counted(count, "column"));
        return Err(format!("has {fields}, but the header names {columns}; is a field with a separator in it not quoted?"));
    }
    let text = |field: &[u8]| match std::str::from_utf8(field) {
        Ok("") => Ok(None),
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(NOT_UTF8.to_owned()),
    };
    record.iter().map(text).collect()
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// What went wrong, without the decoder's own prefixes.
fn failure(error: &::csv::Error) -> String {
    match error.kind() {
        ::csv::ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    }
}
