//! The bytes of a file: unpacked, counted, and never without end in one row.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::datasource::file_format::file_compression_type::FileCompressionType;

use crate::LakeError;

/// How much of a file was read: bytes as they lie on the disk, or rows where the file says how many it has.
#[derive(Debug, Clone)]
pub struct Progress {
    total: u64,
    done: Arc<AtomicU64>,
}

impl Progress {
    pub(super) fn new(total: u64) -> Self {
        Self { total, done: Arc::default() }
    }

    pub(super) fn add(&self, more: u64) {
        self.done.fetch_add(more, Ordering::Relaxed);
    }

    /// How much there is.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How much of it was read.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }
}

/// Opens a file for reading from its beginning.
pub(super) fn open(path: &Path, compression: FileCompressionType) -> Result<(Box<dyn Read + Send>, Progress), LakeError> {
    let bad = |why: String| LakeError::BadFile { path: path.to_owned(), why };
    let file = File::open(path).map_err(|error| bad(error.to_string()))?;
    let about = file.metadata().map_err(|error| bad(error.to_string()))?;
    if !about.is_file() {
        return Err(bad("it is no file".to_owned()));
    }
    let progress = Progress::new(about.len());
    let counted = Counted { file, progress: progress.clone() };
    let unpacked = compression.convert_read(counted).map_err(|error| bad(super::why(&error)))?;
    Ok((unpacked, progress))
}

struct Counted {
    file: File,
    progress: Progress,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.progress.add(count as u64);
        Ok(count)
    }
}

/// Stops the reading of a row that does not end: a quotation mark that is never closed would take the rest of the file
/// for one field.
pub(super) struct Guarded {
    inner: Box<dyn Read + Send>,
    since_row: Arc<AtomicU64>,
}

impl Guarded {
    /// The reader, and the count of bytes to be set to zero at the end of each row.
    pub(super) fn new(inner: Box<dyn Read + Send>) -> (Self, Arc<AtomicU64>) {
        let since_row = Arc::default();
        (Self { inner, since_row: Arc::clone(&since_row) }, since_row)
    }
}

/// The longest row of a CSV. Rows are some hundred bytes; a row of megabytes is a quotation mark that was not closed.
const ROW_BYTES_MAX: u64 = 4 * 1024 * 1024;

impl Read for Guarded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since_row.load(Ordering::Relaxed) > ROW_BYTES_MAX {
            return Err(io::Error::other("is longer than 4 MiB; is there a quotation mark that is not closed?"));
        }
        let count = self.inner.read(buffer)?;
        self.since_row.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
