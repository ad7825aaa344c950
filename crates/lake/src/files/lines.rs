//! Lines of JSON, packed or not, as text: what they hold is the reader's business.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use datafusion::datasource::file_format::file_compression_type::FileCompressionType;

use super::FileRows;
use super::bytes;
use super::thread::{self, Head, Out, Stop};
use crate::LakeError;

/// The longest line. What is longer is no event and would only fill the memory.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;

/// Opens a file of lines.
pub(super) async fn open(path: &Path, compression: FileCompressionType) -> Result<FileRows, LakeError> {
    let path = path.to_owned();
    thread::run(move |out| read(&path, compression, out)).await
}

fn read(path: &Path, compression: FileCompressionType, out: &mut Out) -> Result<(), Stop> {
    let (bytes, progress) = bytes::open(path, compression)?;
    let mut reader = BufReader::new(bytes);
    out.head(Head { columns: vec!["line".to_owned()], progress, typed: true });
    let mut text = Vec::new();
    for line in 1.. {
        let bad = |error: std::io::Error| LakeError::BadFile { path: path.to_owned(), why: format!("line {line}: {error}") };
        text.clear();
        let limit = LINE_BYTES_MAX as u64 + 2; // with its line break
        if reader.by_ref().take(limit).read_until(b'\n', &mut text).map_err(bad)? == 0 {
            break;
        }
        let is_cut = text.len() as u64 == limit && text.last() != Some(&b'\n');
        if is_cut {
            reader.skip_until(b'\n').map_err(bad)?;
        }
        let start = if line == 1 { text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text) } else { &text };
        let start = start.trim_ascii();
        let row = match std::str::from_utf8(start) {
            _ if is_cut || start.len() > LINE_BYTES_MAX => Err((format!("is longer than {LINE_BYTES_MAX} bytes"), None)),
            Ok("") => Ok(None),
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err(("is not UTF-8".to_owned(), Some(String::from_utf8_lossy(&text).into_owned()))),
        };
        match row {
            Ok(value) => out.row(vec![value])?,
            Err((why, value)) => out.error(LakeError::BadRow { path: path.to_owned(), line, why, values: vec![value] })?,
        }
    }
    Ok(())
}
