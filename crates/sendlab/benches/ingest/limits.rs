//! What no server can beat on this machine: the disk's own speed, and the least that decoding JSON into columns costs.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::json::ReaderBuilder;

use crate::clock::{instant, quantile};

/// Small writes that are synced one by one.
const SMALL_BYTES: usize = 4096;
const SMALL_WRITES: usize = 500;
/// The writes of a group commit at full load.
const LARGE_BYTES: usize = 1 << 20;
const TEXTS: [&str; 14] = [
    "event_id",
    "kind",
    "contact_key",
    "contact",
    "message_id",
    "campaign_id",
    "experiment_id",
    "variant",
    "channel",
    "market",
    "status",
    "url",
    "order_id",
    "currency",
];

/// The median of writing and syncing 4 KiB in `folder`.
pub(crate) fn small_sync(folder: &Path) -> io::Result<Duration> {
    let mut file = File::create(folder.join("small"))?;
    let mut micros = Vec::with_capacity(SMALL_WRITES);
    for _ in 0..SMALL_WRITES {
        let begin = instant();
        file.write_all(&[b'x'; SMALL_BYTES])?;
        file.sync_data()?;
        micros.push(begin.elapsed().as_micros() as u32);
    }
    micros.sort_unstable();
    std::fs::remove_file(folder.join("small"))?;
    Ok(quantile(&micros, 0.5))
}

/// Seconds of writing `bytes` and syncing each MiB.
pub(crate) fn large_sync(folder: &Path, bytes: &[u8]) -> io::Result<f64> {
    let mut file = File::create(folder.join("large"))?;
    let begin = instant();
    for part in bytes.chunks(LARGE_BYTES) {
        file.write_all(part)?;
        file.sync_data()?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    std::fs::remove_file(folder.join("large"))?;
    Ok(seconds)
}

/// Decodes lines into columns with arrow-json; the rows it found.
pub(crate) fn decode(lines: &[u8]) -> usize {
    let mut fields: Vec<Field> = TEXTS.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    fields.push(Field::new("event_time", DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())), false));
    fields.push(Field::new("machine", DataType::Boolean, true));
    fields.push(Field::new("amount", DataType::Decimal128(18, 2), true));
    let reader = ReaderBuilder::new(Arc::new(Schema::new(fields))).with_batch_size(8192).build(lines).expect("a reader");
    reader.map(|batch| batch.expect("lines of events").num_rows()).sum()
}
