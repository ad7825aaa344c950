//! The durable log on disk: numbered segments of checked frames.
//!
//! A frame is `[length u32][crc32c u32][payload]`, little endian. Its payload is one byte for the kind of event and then
//! rows of that kind as an Arrow IPC stream, which names its columns, so that a later version of the program reads it too.
//! Only the newest segment may end in a torn frame: what it holds was never acknowledged, so it is cut off.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use vocabulary::EventKind;

use crate::LakeError;

/// A frame larger than this is damage, not data: the writer starts a new frame before.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// Rows are cut into frames of about this size.
const FRAME_BYTES_AIM: usize = 16 << 20;

const HEADER_BYTES: usize = 8;
const ENDING: &str = "log";

/// Rows of one kind of event.
pub(crate) type KindRows = (EventKind, RecordBatch);

/// One file of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Numbers grow and are never used again: Delta commits name them.
    pub(crate) number: i64,
    pub(crate) path: PathBuf,
}

impl Segment {
    pub(crate) fn new(folder: &Path, number: i64) -> Self {
        Self { number, path: folder.join(format!("{number:020}.{ENDING}")) }
    }

    /// The log batches of a segment that is whole, in the order they were written.
    pub(crate) fn read(&self) -> Result<Vec<(EventKind, RecordBatch)>, LakeError> {
        let bytes = fs::read(&self.path).map_err(LakeError::file("read", &self.path))?;
        let (batches, damage) = read_whole_frames(&bytes);
        match damage {
            None => Ok(batches),
            Some((offset, why)) => Err(LakeError::LogDamaged { path: self.path.clone(), offset, why }),
        }
    }

    /// Cuts off a torn frame at the end. Returns how many bytes remain.
    pub(crate) fn cut_torn_tail(&self) -> Result<u64, LakeError> {
        let bytes = fs::read(&self.path).map_err(LakeError::file("read", &self.path))?;
        let (_, damage) = split_frames(&bytes);
        let Some(damage) = damage else { return Ok(bytes.len() as u64) };
        let cut = bytes.len() - damage.offset;
        tracing::warn!(segment = %self.path.display(), cut, why = damage.why, "cut the torn end of the log");
        let file = File::options().write(true).open(&self.path).map_err(LakeError::file("open", &self.path))?;
        file.set_len(damage.offset as u64).and_then(|()| file.sync_all()).map_err(LakeError::file("cut", &self.path))?;
        Ok(damage.offset as u64)
    }
}

/// The log batches of all frames up to the first that is not whole; and where that one begins and what is wrong with it.
pub(crate) fn read_whole_frames(bytes: &[u8]) -> (Vec<KindRows>, Option<(u64, String)>) {
    let (frames, torn) = split_frames(bytes);
    let mut batches = Vec::new();
    for frame in frames {
        match read_frame(&bytes[frame.clone()]) {
            Ok(mut of_frame) => batches.append(&mut of_frame),
            Err(why) => return (batches, Some(((frame.start - HEADER_BYTES) as u64, why))),
        }
    }
    (batches, torn.map(|torn| (torn.offset as u64, torn.why.to_owned())))
}

fn read_frame(payload: &[u8]) -> Result<Vec<(EventKind, RecordBatch)>, String> {
    let (kind, stream) = payload.split_first().ok_or("the frame is empty")?;
    let kind = *EventKind::ALL.get(usize::from(*kind)).ok_or_else(|| format!("there is no kind {kind}"))?;
    let reader = StreamReader::try_new(stream, None).map_err(|error| error.to_string())?;
    reader.map(|batch| Ok((kind, batch.map_err(|error| error.to_string())?))).collect()
}

/// The segments in `folder`, oldest first.
pub(crate) fn list_segments(folder: &Path) -> Result<Vec<Segment>, LakeError> {
    let failed = || LakeError::file("list", folder);
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed())? {
        let path = entry.map_err(failed())?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (Some(number), Some(ENDING)) = (number, path.extension().and_then(|ending| ending.to_str())) {
            segments.push(Segment { number, path });
        }
    }
    segments.sort_by_key(|segment| segment.number);
    Ok(segments)
}

/// Appends rows of one kind to `out` as one or more frames.
pub(crate) fn push_frames(out: &mut Vec<u8>, kind: EventKind, batch: &RecordBatch) -> Result<(), ArrowError> {
    let rows = batch.num_rows();
    let frames = batch.get_array_memory_size().div_ceil(FRAME_BYTES_AIM).clamp(1, rows.max(1));
    let rows_per_frame = rows.div_ceil(frames).max(1);
    for first in (0..rows).step_by(rows_per_frame) {
        push_frame(out, kind, &batch.slice(first, rows_per_frame.min(rows - first)))?;
    }
    Ok(())
}

fn push_frame(out: &mut Vec<u8>, kind: EventKind, batch: &RecordBatch) -> Result<(), ArrowError> {
    let begin = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    out.push(kind as u8);
    let mut writer = StreamWriter::try_new(&mut *out, batch.schema_ref())?;
    writer.write(batch)?;
    writer.finish()?;
    drop(writer);
    end_frame(out, begin);
    Ok(())
}

/// Fills in the header of the frame that begins at `begin`.
fn end_frame(out: &mut [u8], begin: usize) {
    let payload = &out[begin + HEADER_BYTES..];
    assert!(payload.len() <= FRAME_BYTES_MAX, "frames are kept below their limit by push_frames");
    let (length, checksum) = (payload.len() as u32, crc32c::crc32c(payload));
    out[begin..begin + 4].copy_from_slice(&length.to_le_bytes());
    out[begin + 4..begin + HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
}

/// Makes the names in `folder` survive a power loss.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

struct Damage {
    offset: usize,
    why: &'static str,
}

/// The payloads of all frames up to the first that is not whole.
fn split_frames(bytes: &[u8]) -> (Vec<Range<usize>>, Option<Damage>) {
    let mut frames = Vec::new();
    let mut offset = 0;
    while offset < bytes.len() {
        match frame_at(bytes, offset) {
            Ok(payload) => {
                offset = payload.end;
                frames.push(payload);
            }
            Err(why) => return (frames, Some(Damage { offset, why })),
        }
    }
    (frames, None)
}

/// Whether a whole frame stands behind the broken one at `offset`: then the disk lost what was acknowledged, as a write
/// that was cut short leaves nothing behind it.
pub(crate) fn goes_on_behind(bytes: &[u8], offset: u64) -> bool {
    let offset = offset as usize;
    let Some(length) = bytes.get(offset..offset + 4) else { return false };
    let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
    length > 0 && length <= FRAME_BYTES_MAX && frame_at(bytes, offset + HEADER_BYTES + length).is_ok()
}

fn frame_at(bytes: &[u8], offset: usize) -> Result<Range<usize>, &'static str> {
    let header = bytes.get(offset..offset + HEADER_BYTES).ok_or("its header is cut short")?;
    let (length, checksum) = header.split_at(4);
    let number = |four: &[u8]| u32::from_le_bytes(four.try_into().expect("a header has two numbers of four bytes"));
    let length = number(length) as usize;
    // A length of 0 is never written, but is what a file has where the disk lost its bytes.
    if length == 0 || length > FRAME_BYTES_MAX {
        return Err("its length is impossible");
    }
    let start = offset + HEADER_BYTES;
    let payload = bytes.get(start..start + length).ok_or("its payload is cut short")?;
    if crc32c::crc32c(payload) != number(checksum) {
        return Err("its checksum does not match");
    }
    Ok(start..start + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push_frame(out: &mut Vec<u8>, payload: &[u8]) {
        let begin = out.len();
        out.extend_from_slice(&[0; HEADER_BYTES]);
        out.extend_from_slice(payload);
        end_frame(out, begin);
    }

    #[test]
    fn only_whole_frames_are_read() {
        let mut whole = Vec::new();
        push_frame(&mut whole, b"first");
        let first_end = whole.len();
        push_frame(&mut whole, b"second");
        let check = |bytes: &[u8], frames: usize, damage: Option<usize>| {
            let (found, torn) = split_frames(bytes);
            assert_eq!((found.len(), torn.map(|torn| torn.offset)), (frames, damage), "{bytes:?}");
        };
        check(b"", 0, None);
        check(&whole, 2, None);
        for cut in first_end + 1..whole.len() {
            check(&whole[..cut], 1, Some(first_end));
        }
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        check(&flipped, 1, Some(first_end));
        let mut zeros = whole.clone();
        zeros.extend_from_slice(&[0; 64]);
        check(&zeros, 2, Some(whole.len()));
        let mut huge = whole.clone();
        huge.extend_from_slice(&[0xff; 64]);
        check(&huge, 2, Some(whole.len()));
    }

    proptest::proptest! {
        /// Whatever was written whole is read back whole, wherever the file ends.
        #[test]
        fn a_cut_loses_only_what_it_hits(payloads: Vec<Vec<u8>>, cut: proptest::sample::Index) {
            let mut bytes = Vec::new();
            let payloads: Vec<_> = payloads.into_iter().filter(|payload| !payload.is_empty()).collect();
            let mut ends = vec![0];
            for payload in &payloads {
                push_frame(&mut bytes, payload);
                ends.push(bytes.len());
            }
            let cut = cut.index(bytes.len() + 1);
            let (frames, damage) = split_frames(&bytes[..cut]);
            let whole = ends.iter().filter(|end| **end > 0 && **end <= cut).count();
            let found: Vec<_> = frames.into_iter().map(|frame| &bytes[frame]).collect();
            proptest::prop_assert_eq!(found, payloads.iter().take(whole).map(Vec::as_slice).collect::<Vec<_>>());
            proptest::prop_assert_eq!(damage.map(|damage| damage.offset), (!ends.contains(&cut)).then(|| ends[whole]));
        }
    }

    #[test]
    fn segments_are_listed_in_order_and_strangers_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["00000000000000000010.log", "00000000000000000002.log", "notes.txt", "x.log"] {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        let numbers: Vec<i64> = list_segments(folder.path()).unwrap().iter().map(|segment| segment.number).collect();
        assert_eq!(numbers, [2, 10]);
        assert_eq!(Segment::new(folder.path(), 2).path, folder.path().join("00000000000000000002.log"));
    }

    #[test]
    fn a_torn_tail_is_cut_once() {
        let folder = tempfile::tempdir().unwrap();
        let segment = Segment::new(folder.path(), 1);
        let mut bytes = Vec::new();
        let schema = crate::rows::log_schema(EventKind::Order);
        push_frames(&mut bytes, EventKind::Order, &RecordBatch::new_empty(schema)).unwrap();
        assert!(bytes.is_empty(), "no rows make no frame");
        let mut orders = crate::rows::KindBuilder::new(EventKind::Order);
        orders.push(&crate::tests::order("a", 1, crate::tests::at(0), 1).borrowed());
        push_frames(&mut bytes, EventKind::Order, &orders.finish().unwrap()).unwrap();
        let whole = bytes.len() as u64;
        bytes.extend_from_slice(b"\x09\0\0\0torn");
        fs::write(&segment.path, &bytes).unwrap();
        assert!(matches!(segment.read(), Err(LakeError::LogDamaged { offset, .. }) if offset == whole));
        assert_eq!(segment.cut_torn_tail().unwrap(), whole);
        assert_eq!(fs::metadata(&segment.path).unwrap().len(), whole);
        assert_eq!(segment.cut_torn_tail().unwrap(), whole);
    }
}
