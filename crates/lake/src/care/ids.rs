//! Which events are there more than once, over all tables and the log, in bounded memory.
//!
//! Hashes of the ids are dealt out into parts by their first bits, on disk where they are many; each part is then sorted
//! by itself. Rows are looked for only in files that hold a hash which came twice.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::LakeError;
use crate::index::IdHash;

/// A thousand million ids make parts of 80 MB.
const PARTS: usize = 256;
/// What a part keeps in memory: 16 MiB for all.
const PART_BYTES_MAX: usize = 64 << 10;
/// A hash and the number of where it was seen.
const ENTRY_BYTES: usize = 20;
/// Ids that are there twice are named one by one up to so many; who has more repairs in several rounds.
pub(crate) const REPEATED_MAX: usize = 1_000_000;

/// Hashes that were seen, and where.
pub(crate) struct SeenIds {
    folder: PathBuf,
    parts: Vec<Part>,
}

#[derive(Default)]
struct Part {
    buffer: Vec<u8>,
    file: Option<File>,
}

/// Hashes that were seen more than once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Repeated {
    pub(crate) hashes: HashSet<IdHash>,
    /// Where they were seen.
    pub(crate) places: BTreeSet<u32>,
}

impl SeenIds {
    /// Puts what does not fit in memory into `folder`, which is deleted in the end.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, parts: (0..PARTS).map(|_| Part::default()).collect() }
    }

    pub(crate) fn push(&mut self, hashes: &[IdHash], place: u32) -> Result<(), LakeError> {
        for hash in hashes {
            let number = (hash.bits() >> 120) as usize;
            let part = &mut self.parts[number];
            part.buffer.extend_from_slice(&hash.bits().to_le_bytes());
            part.buffer.extend_from_slice(&place.to_le_bytes());
            if part.buffer.len() >= PART_BYTES_MAX {
                part.flush(&self.folder, number)?;
            }
        }
        Ok(())
    }

    /// The hashes that were pushed more than once.
    pub(crate) fn repeated(mut self) -> Result<Repeated, LakeError> {
        let mut repeated = Repeated::default();
        for part in std::mem::take(&mut self.parts) {
            let mut entries = part.read(&self.folder)?;
            entries.sort_unstable();
            for same in entries.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
                if repeated.hashes.len() == REPEATED_MAX {
                    return Ok(repeated);
                }
                repeated.hashes.insert(IdHash::from_bits(same[0].0));
                repeated.places.extend(same.iter().map(|entry| entry.1));
            }
        }
        Ok(repeated)
    }
}

impl Drop for SeenIds {
    fn drop(&mut self) {
        // What stays behind is cleared away by the next check.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Part {
    fn flush(&mut self, folder: &Path, number: usize) -> Result<(), LakeError> {
        let path = folder.join(format!("{number:03}"));
        let mut write = || -> std::io::Result<()> {
            let file = match &mut self.file {
                Some(file) => file,
                None => {
                    fs::create_dir_all(folder)?;
                    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
                    self.file.insert(file)
                }
            };
            file.write_all(&self.buffer)
        };
        write().map_err(LakeError::file("write", &path))?;
        self.buffer.clear();
        Ok(())
    }

    fn read(self, folder: &Path) -> Result<Vec<(u128, u32)>, LakeError> {
        let mut bytes = Vec::new();
        if let Some(mut file) = self.file {
            let read = file.rewind().and_then(|()| file.read_to_end(&mut bytes));
            read.map_err(LakeError::file("read", folder))?;
        }
        bytes.extend_from_slice(&self.buffer);
        let entry = |entry: &[u8; ENTRY_BYTES]| {
            let (hash, place) = entry.split_at(16);
            let hash = u128::from_le_bytes(hash.try_into().expect("16 bytes"));
            (hash, u32::from_le_bytes(place.try_into().expect("4 bytes")))
        };
        Ok(bytes.as_chunks::<ENTRY_BYTES>().0.iter().map(entry).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_twice_is_found_in_memory_and_on_disk() {
        for ids in [10_u32, 900_000] {
            let root = tempfile::tempdir().unwrap();
            let folder = root.path().join("ids");
            let mut seen = SeenIds::new(folder.clone());
            let hash = |id: u32| IdHash::of(&id.to_string());
            for id in 0..ids {
                seen.push(&[hash(id)], id % 7).unwrap();
            }
            assert_eq!(folder.exists(), ids > 10);
            seen.push(&[hash(3), hash(5), hash(3)], 9).unwrap();
            let expect = Repeated { hashes: [hash(3), hash(5)].into(), places: [3, 5, 9].into() };
            assert_eq!(seen.repeated().unwrap(), expect);
            assert!(!folder.exists());
        }
    }
}
