//! Which messages were begun: written down, without waiting for the disk, just before a message's content leaves.
//!
//! A killed process loses nothing it has written to a file, as long as the machine itself stays up. So after a kill, a
//! claimed message that is not in this file surely did not leave and can be sent again; only the few that were begun and
//! not settled are in doubt. After a power cut the file may lack lines, which the machine's boot id tells: then every
//! open claim is in doubt.
//!
//! Each lane has a region of its own and overwrites it with every group. What an older group left there was settled.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use vocabulary::MessageId;

/// Room for the boot id at the head of the file.
const HEAD_BYTES: usize = 64;
/// A message id of ours: 32 hexadecimal digits.
const ID_BYTES: usize = 32;

/// The file of one worker.
#[derive(Debug)]
pub(crate) struct Begun {
    file: File,
    group_rows_max: usize,
}

impl Begun {
    /// Starts an empty file. `group_rows_max` is the most messages a lane claims at once.
    pub(crate) fn create(path: &Path, boot: &str, group_rows_max: usize) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        let mut head = [b' '; HEAD_BYTES];
        let boot = &boot.as_bytes()[..boot.len().min(HEAD_BYTES)];
        head[..boot.len()].copy_from_slice(boot);
        file.write_all_at(&head, 0)?;
        Ok(Self { file, group_rows_max })
    }

    /// Notes that the message in this place of the lane's group is about to leave.
    pub(crate) fn note(&self, lane: usize, place: usize, message: &MessageId) -> io::Result<()> {
        let slot = lane * self.group_rows_max + place;
        self.file.write_all_at(message.as_str().as_bytes(), (HEAD_BYTES + slot * ID_BYTES) as u64)
    }

    /// What an earlier run of the worker began; `None` where the file cannot be trusted: there is none, or the machine
    /// was started anew since.
    pub(crate) fn read(path: &Path, boot: &str) -> Option<HashSet<String>> {
        let bytes = std::fs::read(path).ok()?;
        let (head, ids) = bytes.split_at_checked(HEAD_BYTES)?;
        if boot.is_empty() || std::str::from_utf8(head).ok()?.trim_end() != boot {
            return None;
        }
        Some(ids.chunks(ID_BYTES).map(|id| String::from_utf8_lossy(id).into_owned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> MessageId {
        MessageId::new(&format!("{n:032x}")).unwrap()
    }

    #[test]
    fn what_was_begun_is_known_until_the_machine_starts_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("begun");
        assert_eq!(Begun::read(&path, "boot-1"), None);
        let begun = Begun::create(&path, "boot-1", 4).unwrap();
        assert_eq!(Begun::read(&path, "boot-1").unwrap().len(), 0);
        begun.note(0, 0, &id(1)).unwrap();
        begun.note(1, 2, &id(2)).unwrap();
        let known = Begun::read(&path, "boot-1").unwrap();
        assert!(known.contains(id(1).as_str()) && known.contains(id(2).as_str()) && !known.contains(id(3).as_str()));
        begun.note(0, 0, &id(3)).unwrap();
        assert!(Begun::read(&path, "boot-1").unwrap().contains(id(3).as_str()));
        assert_eq!(Begun::read(&path, "boot-2"), None);
        assert_eq!(Begun::read(&path, ""), None);
        Begun::create(&path, "boot-1", 4).unwrap();
        assert_eq!(Begun::read(&path, "boot-1").unwrap().len(), 0, "a new run begins with nothing");
    }
}
