//! Runs: files of hashes in order, never changed, each with the checksum of its content.
//!
//! In memory a run has its fences alone: where each small stretch of hashes begins in the file. One read of a page or
//! less finds a hash.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::hash::{HASH_BYTES, IdHash, decode};
use crate::LakeError;

/// The first bytes of a run.
const MAGIC: [u8; 8] = *b"slab-ids";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;
/// Hashes between two fences, in the mean: half a page to read for each search, and a quarter of a bit of memory per hash.
const FENCED: u64 = 128;
/// What is read or written at once: much more than a disk's page, much less than the bound on memory.
const BUFFER_BYTES: usize = 128 << 10;

/// What a run holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) count: u64,
    /// When the first and the last of its events were received, in microseconds.
    pub(super) oldest: i64,
    pub(super) newest: i64,
    /// The highest log segment it has hashes of.
    pub(super) segment: i64,
}

/// Why a run cannot be used.
#[derive(Debug)]
pub(super) enum Unusable {
    /// It is not what was written.
    Damaged(String),
    /// The system refuses to read it.
    Unread(LakeError),
}

/// A whole run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) facts: Facts,
    pub(super) path: PathBuf,
    file: File,
    /// The position of the first hash of each stretch, and the number of all.
    fences: Vec<u32>,
}

/// Where a run of this number is.
pub(super) fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.ids"))
}

/// The number of the run of this name.
pub(super) fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".ids")?.parse().ok()
}

impl Facts {
    fn header(self, content_crc: u32) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[12..16].copy_from_slice(&content_crc.to_le_bytes());
        header[16..24].copy_from_slice(&self.count.to_le_bytes());
        header[24..32].copy_from_slice(&self.oldest.to_le_bytes());
        header[32..40].copy_from_slice(&self.newest.to_le_bytes());
        header[40..48].copy_from_slice(&self.segment.to_le_bytes());
        let crc = crc32c::crc32c(&header[..60]);
        header[60..].copy_from_slice(&crc.to_le_bytes());
        header
    }

    /// Reads a header: the facts and the checksum of the content.
    fn parse(header: &[u8; HEADER_BYTES]) -> Result<(Self, u32), String> {
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let long = |at: usize| i64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
        if header[..8] != MAGIC || word(60) != crc32c::crc32c(&header[..60]) {
            return Err("its header is damaged".to_owned());
        }
        if word(8) != VERSION {
            return Err(format!("it has version {}; this program reads version {VERSION}", word(8)));
        }
        let count = u64::from_le_bytes(header[16..24].try_into().expect("eight bytes"));
        Ok((Self { count, oldest: long(24), newest: long(32), segment: long(40) }, word(12)))
    }
}

/// How many fences a run of so many hashes has, but for the last.
fn stretches(count: u64) -> u64 {
    count / FENCED + 1
}

/// The fences of a run, made while its hashes pass in order.
#[derive(Debug)]
struct Fences {
    positions: Vec<u32>,
    stretches: u64,
    count: u64,
}

impl Fences {
    fn new(count: u64) -> Self {
        let stretches = stretches(count);
        Self { positions: Vec::with_capacity(stretches as usize + 1), stretches, count: 0 }
    }

    fn pass(&mut self, hash: IdHash) {
        let stretch = hash.part_of(self.stretches) as usize;
        while self.positions.len() <= stretch {
            self.positions.push(self.count as u32);
        }
        self.count += 1;
    }

    fn finish(mut self) -> Vec<u32> {
        self.positions.resize(self.stretches as usize + 1, self.count as u32);
        self.positions
    }
}

impl Run {
    /// Opens a run and reads all of it: checks it, makes the fences, and shows the hashes to `see`.
    pub(super) fn load(folder: &Path, number: u64, see: &mut dyn FnMut(&[IdHash])) -> Result<Self, Unusable> {
        let path = path_of(folder, number);
        let damaged = |why: String| Unusable::Damaged(format!("{}: {why}", path.display()));
        let unread = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => damaged("it is missing".to_owned()),
            io::ErrorKind::UnexpectedEof => damaged("it ends early".to_owned()),
            _ => Unusable::Unread(LakeError::file("read", &path)(error)),
        };
        let file = File::open(&path).map_err(unread)?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(unread)?;
        let (facts, expected) = Facts::parse(&header).map_err(damaged)?;
        let bytes = facts.count.saturating_mul(HASH_BYTES as u64).saturating_add(HEADER_BYTES as u64);
        let found = file.metadata().map_err(unread)?.len();
        if found != bytes {
            return Err(damaged(format!("it has {found} bytes instead of {bytes}")));
        }
        let (mut fences, mut crc) = (Fences::new(facts.count), 0);
        let (mut buffer, mut hashes) = (vec![0; BUFFER_BYTES], Vec::new());
        let mut at = HEADER_BYTES as u64;
        while at < bytes {
            let length = (bytes - at).min(BUFFER_BYTES as u64) as usize;
            file.read_exact_at(&mut buffer[..length], at).map_err(unread)?;
            crc = crc32c::crc32c_append(crc, &buffer[..length]);
            hashes.clear();
            hashes.extend(decode(&buffer[..length]));
            hashes.iter().for_each(|hash| fences.pass(*hash));
            see(&hashes);
            at += length as u64;
        }
        if crc != expected {
            return Err(damaged("its content is damaged".to_owned()));
        }
        Ok(Self { number, facts, path, file, fences: fences.finish() })
    }

    /// Marks those of `wanted` that the run holds. They come in order.
    pub(super) fn find(&self, wanted: &[(IdHash, u32)], found: &mut Vec<u32>) -> Result<(), LakeError> {
        let (mut page, mut loaded) = (Vec::new(), None);
        for (hash, position) in wanted {
            let stretch = hash.part_of(self.fences.len() as u64 - 1) as usize;
            if loaded != Some(stretch) {
                let (from, to) = (self.fences[stretch] as usize, self.fences[stretch + 1] as usize);
                page.resize((to - from) * HASH_BYTES, 0);
                self.read(&mut page, from as u64)?;
                loaded = Some(stretch);
            }
            let hashes = page.as_chunks::<HASH_BYTES>().0;
            if hashes.binary_search_by_key(&hash.bits(), |bytes| u128::from_le_bytes(*bytes)).is_ok() {
                found.push(*position);
            }
        }
        Ok(())
    }

    fn read(&self, bytes: &mut [u8], position: u64) -> Result<(), LakeError> {
        let at = HEADER_BYTES as u64 + position * HASH_BYTES as u64;
        self.file.read_exact_at(bytes, at).map_err(LakeError::file("read", &self.path))
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.fences.len() * size_of::<u32>()) as u64
    }
}

/// Reads a run, or a part of one, in order.
#[derive(Debug)]
pub(super) struct Reader {
    run: Arc<Run>,
    next: u64,
    end: u64,
    buffer: Vec<u8>,
    hashes: Vec<IdHash>,
    used: usize,
}

impl Reader {
    pub(super) fn new(run: Arc<Run>) -> Self {
        let end = run.facts.count;
        Self { run, next: 0, end, buffer: Vec::new(), hashes: Vec::new(), used: 0 }
    }

    /// Reads part `part` of `parts`, and a few hashes before and behind.
    pub(super) fn of_part(run: Arc<Run>, part: u64, parts: u64) -> Self {
        let stretches = run.fences.len() as u64 - 1;
        let first = if part == 0 { 0 } else { IdHash::last_of(part - 1, parts).part_of(stretches) };
        let last = IdHash::last_of(part, parts).part_of(stretches);
        let (next, end) = (u64::from(run.fences[first as usize]), u64::from(run.fences[last as usize + 1]));
        Self { run, next, end, buffer: Vec::new(), hashes: Vec::new(), used: 0 }
    }

    /// The next hashes; none at the end.
    pub(super) fn more(&mut self) -> Result<&[IdHash], LakeError> {
        let count = (self.end - self.next).min((BUFFER_BYTES / HASH_BYTES) as u64);
        self.buffer.resize(count as usize * HASH_BYTES, 0);
        self.run.read(&mut self.buffer, self.next)?;
        self.next += count;
        self.hashes.clear();
        self.hashes.extend(decode(&self.buffer));
        self.used = 0;
        Ok(&self.hashes)
    }

    /// Appends the hashes up to `last`.
    pub(super) fn copy(&mut self, last: IdHash, into: &mut Vec<IdHash>) -> Result<(), LakeError> {
        loop {
            let waiting = &self.hashes[self.used..];
            let count = waiting.partition_point(|hash| *hash <= last);
            into.extend_from_slice(&waiting[..count]);
            self.used += count;
            if count < waiting.len() || self.more()?.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Writes a run.
#[derive(Debug)]
pub(super) struct Writer {
    number: u64,
    path: PathBuf,
    file: File,
    fences: Fences,
    buffer: Vec<u8>,
    /// Bytes of content in the file.
    written: u64,
    crc: u32,
    last: Option<IdHash>,
}

impl Writer {
    /// Begins a run of at most `count` hashes.
    pub(super) fn new(folder: &Path, number: u64, count: u64) -> Result<Self, LakeError> {
        let path = path_of(folder, number);
        // Nothing but this writer has the file, and a half one of this number is of no use.
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.map_err(LakeError::file("create", &path))?;
        let buffer = Vec::with_capacity(BUFFER_BYTES);
        Ok(Self { number, path, file, fences: Fences::new(count), buffer, written: 0, crc: 0, last: None })
    }

    /// Appends hashes, which come in order, each kept once.
    pub(super) fn push(&mut self, hashes: &[IdHash]) -> Result<(), LakeError> {
        for hash in hashes {
            if self.last == Some(*hash) {
                continue;
            }
            debug_assert!(self.last < Some(*hash), "hashes come in order");
            self.last = Some(*hash);
            self.fences.pass(*hash);
            self.buffer.extend_from_slice(&hash.bits().to_le_bytes());
            if self.buffer.len() >= BUFFER_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), LakeError> {
        let at = HEADER_BYTES as u64 + self.written;
        self.file.write_all_at(&self.buffer, at).map_err(LakeError::file("write", &self.path))?;
        self.crc = crc32c::crc32c_append(self.crc, &self.buffer);
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Brings what was written so far to the disk, so that the end does not bring all at once and hold up the log.
    pub(super) fn sync(&mut self) -> Result<(), LakeError> {
        self.file.sync_data().map_err(LakeError::file("sync", &self.path))
    }

    /// Makes the run whole and durable, but for its name in the folder. `facts` may count too many.
    pub(super) fn finish(mut self, facts: Facts) -> Result<Run, LakeError> {
        self.flush()?;
        let facts = Facts { count: self.fences.count, ..facts };
        self.file.write_all_at(&facts.header(self.crc), 0).map_err(LakeError::file("write", &self.path))?;
        self.file.sync_all().map_err(LakeError::file("sync", &self.path))?;
        Ok(Run { number: self.number, facts, path: self.path, file: self.file, fences: self.fences.finish() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn hashes(count: u64) -> Vec<IdHash> {
        let mut hashes: Vec<_> = (0..count).map(|number| IdHash::of(&number.to_string())).collect();
        hashes.sort();
        hashes
    }

    fn facts(count: u64) -> Facts {
        Facts { count, oldest: -3, newest: 9, segment: 7 }
    }

    fn written(folder: &Path, hashes: &[IdHash]) -> Run {
        let mut writer = Writer::new(folder, 5, hashes.len() as u64).unwrap();
        writer.push(hashes).unwrap();
        writer.finish(facts(0)).unwrap()
    }

    #[test]
    fn what_was_written_is_found_and_read() {
        for count in [0, 1, 127, 128, 20_000] {
            let folder = tempfile::tempdir().unwrap();
            let hashes = hashes(count);
            let fresh = written(folder.path(), &hashes);
            let mut seen = Vec::new();
            let loaded = Run::load(folder.path(), 5, &mut |some| seen.extend_from_slice(some)).unwrap();
            assert_eq!(seen, hashes);
            assert_eq!((loaded.facts, &loaded.fences), (facts(count), &fresh.fences));
            let strangers = (0..count + 9).map(|number| IdHash::of(&format!("not {number}")));
            let mut wanted: Vec<_> = strangers.map(|hash| (hash, u32::MAX)).collect();
            wanted.extend(hashes.iter().zip(0..).map(|(hash, position)| (*hash, position)));
            wanted.sort();
            let mut found = Vec::new();
            fresh.find(&wanted, &mut found).unwrap();
            assert!(found.iter().copied().eq(0..count as u32));
            let run = Arc::new(loaded);
            for part in 0..5 {
                let mut reader = Reader::of_part(run.clone(), part, 5);
                let mut read = Vec::new();
                while let more @ [_, ..] = reader.more().unwrap() {
                    read.extend(more.iter().copied().filter(|hash| hash.part_of(5) == part));
                }
                assert!(read.iter().eq(hashes.iter().filter(|hash| hash.part_of(5) == part)));
            }
        }
    }

    #[test]
    fn repeats_are_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let twice: Vec<_> = hashes(300).into_iter().flat_map(|hash| [hash; 2]).collect();
        assert_eq!(written(folder.path(), &twice).facts.count, 300);
        assert_eq!(Run::load(folder.path(), 5, &mut |_| ()).unwrap().facts.count, 300);
    }

    #[test]
    fn damage_anywhere_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), &hashes(100));
        let path = path_of(folder.path(), 5);
        let whole = fs::read(&path).unwrap();
        let is_damaged = || matches!(Run::load(folder.path(), 5, &mut |_| ()), Err(Unusable::Damaged(_)));
        assert!(!is_damaged());
        for at in [0, 8, 12, 20, 50, 61, HEADER_BYTES, 1000, whole.len() - 1] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert!(is_damaged(), "a changed byte at {at}");
        }
        for length in [0, 10, HEADER_BYTES, 1000, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(is_damaged(), "{length} bytes");
        }
        fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        assert!(is_damaged(), "a byte too many");
        fs::remove_file(&path).unwrap();
        assert!(is_damaged(), "missing");
    }
}
