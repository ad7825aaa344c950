//! How far an import is, written down after each acknowledged request so that it can go on there.
//!
//! Nothing rests on it: events that are sent again are known by their ids, and contacts stay as they are. So it is not synced to the disk.

use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// What became of the rows so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Rows that are dealt with, from the first on without a gap.
    pub(crate) rows: u64,
    /// Events that were accepted, or contacts that were created.
    pub(crate) accepted: u64,
    /// Events or contacts that were there already.
    pub(crate) known: u64,
    /// Contacts that changed.
    pub(crate) updated: u64,
    /// Contacts with a new key that turned out to be known ones.
    pub(crate) merged: u64,
    pub(crate) rejected: u64,
    /// Rows in which nothing stands.
    pub(crate) empty: u64,
    /// Rows with a time that clocks showed twice.
    pub(crate) twice: u64,
    /// The length of the report of rejected rows.
    pub(crate) report_bytes: u64,
}

/// The file in which the state of one import is kept.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    /// For people who look into the folder.
    of: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    file: String,
    counts: Counts,
}

impl StateFile {
    /// The place for an import of `file` as it is now, with this mapping, to this target.
    pub(crate) fn new(data: &Path, file: &Path, mapping: &str, target: &str) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read {}", file.display());
        let whole = std::fs::canonicalize(file).with_context(cannot)?;
        let about = std::fs::metadata(&whole).with_context(cannot)?;
        let modified = about.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        let of = whole.to_string_lossy().into_owned();
        let parts = (&of, about.len(), modified.as_nanos().to_string(), mapping, target);
        let name = blake3::hash(&serde_json::to_vec(&parts)?).to_hex();
        Ok(Self { path: data.join("imports").join(format!("{}.json", &name[..32])), of })
    }

    /// How far an earlier import came; nothing where there was none or its state cannot be read.
    pub(crate) fn read(&self) -> Counts {
        let stored = std::fs::read(&self.path).ok().and_then(|text| serde_json::from_slice::<Stored>(&text).ok());
        stored.map(|stored| stored.counts).unwrap_or_default()
    }

    /// Writes how far it is; a reader sees the old state or the new one.
    pub(crate) fn write(&self, counts: Counts) -> anyhow::Result<()> {
        let write = || {
            let folder = self.path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder)?;
            let fresh = self.path.with_extension("new");
            std::fs::write(&fresh, serde_json::to_vec_pretty(&Stored { file: self.of.clone(), counts })?)?;
            std::fs::rename(&fresh, &self.path)
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Forgets it: the import is whole, or shall begin anew.
    pub(crate) fn remove(&self) {
        // Where it cannot be removed, the next import skips rows that are in.
        drop(std::fs::remove_file(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_belongs_to_one_file_as_it_is_one_mapping_and_one_target() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.csv");
        std::fs::write(&file, "a\n1\n").unwrap();
        let state = |mapping: &str, target: &str| StateFile::new(folder.path(), &file, mapping, target).unwrap();
        let counts = Counts { rows: 3, accepted: 2, rejected: 1, report_bytes: 80, ..Counts::default() };
        state("m", "").write(counts).unwrap();
        assert_eq!(state("m", "").read(), counts);
        assert_eq!(state("other", "").read(), Counts::default());
        assert_eq!(state("m", "http://elsewhere").read(), Counts::default());
        std::fs::write(&file, "a\n1\n2\n").unwrap();
        assert_eq!(state("m", "").read(), Counts::default(), "the file has changed");
        state("m", "").remove();
    }
}
