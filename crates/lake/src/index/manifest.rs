//! Which runs count. One small text file, replaced in one step, so that a crash leaves either the old set or the new one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::LakeError;
use crate::log::sync_folder;

const NAME: &str = "manifest";
/// What is being written; worth nothing until it is renamed.
const NEW_NAME: &str = "manifest.new";
/// Another way of hashing ids is another number: an older index is then told everything anew.
const FIRST_LINE: &str = "sendlab index 2";

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    /// False from the discovery of damage until everything is told again.
    pub(super) complete: bool,
    /// All ids of the log's segments up to this number are in the runs.
    pub(super) persisted: i64,
    /// The numbers of the runs.
    pub(super) runs: Vec<u64>,
}

impl Manifest {
    /// Of an index that knows nothing and is to be told everything.
    pub(super) fn incomplete() -> Self {
        Self { complete: false, persisted: 0, runs: Vec::new() }
    }

    fn text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\ncomplete {}\npersisted {}\n", self.complete, self.persisted);
        for run in &self.runs {
            text.push_str(&format!("run {run}\n"));
        }
        let crc = crc32c::crc32c(text.as_bytes());
        text + &format!("crc32c {crc:08x}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let (body, crc) = text.strip_suffix('\n')?.rsplit_once('\n')?;
        let body = format!("{body}\n");
        if crc != format!("crc32c {:08x}", crc32c::crc32c(body.as_bytes())) {
            return None;
        }
        let mut lines = body.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let complete = lines.next()?.strip_prefix("complete ")?.parse().ok()?;
        let persisted = lines.next()?.strip_prefix("persisted ")?.parse().ok()?;
        let runs = lines.map(|line| line.strip_prefix("run ")?.parse().ok()).collect::<Option<_>>()?;
        Some(Self { complete, persisted, runs })
    }

    /// Reads the manifest of a folder, or says what is wrong with it.
    pub(super) fn read(folder: &Path) -> Result<Result<Self, String>, LakeError> {
        let path = folder.join(NAME);
        match fs::read(&path) {
            Ok(bytes) => {
                let manifest = std::str::from_utf8(&bytes).ok().and_then(Self::parse);
                Ok(manifest.ok_or_else(|| format!("{} is damaged", path.display())))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err(format!("{} is missing", path.display()))),
            Err(error) => Err(LakeError::file("read", &path)(error)),
        }
    }

    /// Whether a folder has none.
    pub(super) fn is_missing(folder: &Path) -> bool {
        !folder.join(NAME).exists()
    }

    /// Makes this what counts. The runs it names must be durable; their names become so here.
    ///
    /// After an error either may count, the old one or this one: neither's runs may be deleted.
    pub(super) fn commit(&self, folder: &Path) -> Result<(), LakeError> {
        let (new, path) = (folder.join(NEW_NAME), folder.join(NAME));
        let write = || -> io::Result<()> {
            let mut file = File::create(&new)?;
            file.write_all(self.text().as_bytes())?;
            file.sync_all()
        };
        write().map_err(LakeError::file("write", &new))?;
        // The names of runs must be durable before a manifest that names them.
        sync_folder(folder).map_err(LakeError::file("sync", folder))?;
        fs::rename(&new, &path).map_err(LakeError::file("replace", &path))?;
        sync_folder(folder).map_err(LakeError::file("sync", folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_read_as_written_or_not_at_all() {
        for runs in [vec![], vec![1], vec![3, 17, 20]] {
            let manifest = Manifest { complete: runs.len() != 1, persisted: 12, runs };
            let text = manifest.text();
            assert_eq!(Manifest::parse(&text), Some(manifest));
            for length in 0..text.len() {
                assert_eq!(Manifest::parse(&text[..length]), None, "{length} bytes");
            }
            for at in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 2;
                assert!(String::from_utf8(bytes).is_ok_and(|text| Manifest::parse(&text).is_none()), "changed at {at}");
            }
        }
    }

    #[test]
    fn a_commit_replaces_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Manifest::read(folder.path()).unwrap().is_err());
        let first = Manifest { complete: true, persisted: 1, runs: vec![1] };
        first.commit(folder.path()).unwrap();
        fs::write(folder.path().join(NEW_NAME), b"torn").unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), Ok(first));
        let second = Manifest { complete: true, persisted: 2, runs: vec![2] };
        second.commit(folder.path()).unwrap();
        assert_eq!(Manifest::read(folder.path()).unwrap(), Ok(second));
        fs::write(folder.path().join(NAME), format!("{FIRST_LINE}\n")).unwrap();
        assert!(Manifest::read(folder.path()).unwrap().is_err());
    }
}
