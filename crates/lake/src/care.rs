//! Care of a lake: is everything there and as it was written, put right what can be put right, copies and their return.
//!
//! Reading order: this file, then `log` (what a table's own log names), `durable` (the log of what is acknowledged),
//! `data` (one data file), `ids` (who is there twice), `check` and `deep`, `repair`, `manifest`, `backup` and `restore`.
//!
//! All of it works on the folder and needs no server, because it is wanted most when the server cannot start. What only
//! reads takes no lock and may run beside a server: it reads one version of each table, and what changes meanwhile is
//! looked at again before it counts as damage.
//!
//! *Invariant:* nothing acknowledged is given up unless the caller asked for exactly that.

mod backup;
mod check;
mod data;
mod deep;
mod durable;
mod ids;
mod log;
mod manifest;
mod repair;
mod restore;

use serde::Serialize;
use vocabulary::Timestamp;

pub use backup::{Backup, BackupOptions, backup};
pub use check::{CheckOptions, check};
pub use manifest::{CopiedFile, CopiedTable, CopyAt, Manifest};
pub use repair::{Repair, RepairOptions, Step, repair};
pub use restore::{RestoreOptions, Restored, restore};

vocabulary::words!(
    /// What was found.
    Code {
        /// The folder of a table is gone while others are there.
        TableMissing = "table_missing",
        /// The log of a table cannot be read, so that nobody knows what belongs to it.
        TableUnreadable = "table_unreadable",
        /// A commit is missing between two that are there.
        LogGap = "log_gap",
        /// A checkpoint cannot be read. It repeats what the commits say.
        CheckpointDamaged = "checkpoint_damaged",
        /// A file that belongs to a table is not there.
        FileMissing = "file_missing",
        /// A file has another size than when it was written.
        FileSize = "file_size",
        /// A file cannot be decoded.
        FileUnreadable = "file_unreadable",
        /// A file's bytes are not those that were written.
        FileChecksum = "file_checksum",
        /// A file has more or fewer rows than the table's log says.
        RowCount = "row_count",
        /// A file holds values outside the range that the table's log gives, so that questions would pass it over.
        Statistics = "statistics",
        /// A file holds rows of another day than its folder says.
        WrongDay = "wrong_day",
        /// An event is there more than once.
        DuplicateEvent = "duplicate_event",
        /// A file that belongs to no kept version of its table.
        Orphan = "orphan",
        /// A file of a landing that was cut off, of which the table has everything from another landing.
        LeftOver = "left_over",
        /// A segment of the durable log is not what was written, before its end or though it is not the newest.
        SegmentDamaged = "segment_damaged",
        /// The newest segment ends in a torn frame, as after a crash: nobody was told that it was stored.
        TornTail = "torn_tail",
        /// A segment of the durable log that all tables have: a crash came before it was deleted.
        SegmentLanded = "segment_landed",
        /// Files of a landing or a rewriting that is not committed yet.
        UnderWay = "under_way",
        /// The index of known ids is damaged. It is made anew of the tables.
        IndexDamaged = "index_damaged",
        /// There is no index of known ids yet. It is made of the tables when the lake is opened.
        IndexMissing = "index_missing",
    }
);

impl Code {
    /// Whether this is normal after a crash or beside a server, and nothing needs to be done about it.
    #[must_use]
    pub fn is_normal(self) -> bool {
        matches!(self, Self::TornTail | Self::SegmentLanded | Self::UnderWay | Self::LeftOver | Self::IndexMissing)
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub code: Code,
    /// Of which table; `None` for the log and the index.
    pub table: Option<String>,
    /// Which file, relative to its table or to the lake.
    pub object: String,
    /// What is wrong, in words.
    pub what: String,
    /// What mends it.
    pub fix: String,
    /// How many rows it concerns; 0 where that is not known or none.
    pub rows: u64,
    /// How many bytes it concerns; 0 where that is not known or none.
    pub bytes: u64,
    #[serde(skip)]
    pub(crate) remedy: Remedy,
}

/// What a repair does about a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing that it could do.
    None,
    /// Deletes the object.
    Delete,
    /// Cuts the segment at its first frame that is not whole; with `loses` only if the caller allows a loss.
    Cut { segment: i64, loses: bool },
    /// Deletes the index.
    DropIndex,
    /// Commits that the file is gone, if the caller allows that.
    Forget,
    /// Commits statistics computed of the file.
    Restate,
    /// Writes the file's rows anew, each into its day, without those at these positions.
    Rewrite { without: Vec<u64> },
}

/// One table that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Its name.
    pub name: String,
    /// The version that was looked at.
    pub version: i64,
    /// How many files that version has.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their rows.
    pub rows: u64,
    /// Files that only older versions have, which are kept for those who read the table as it was.
    pub past_files: u64,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing needs to be done.
    pub clean: bool,
    /// When.
    pub at: Timestamp,
    /// Whether all data was read, or only what each file says of itself.
    pub deep: bool,
    /// Whether another process had the lake open.
    pub live: bool,
    /// The tables that could be read, by name.
    pub tables: Vec<TableReport>,
    /// Segments of the durable log.
    pub segments: u64,
    /// Events in it that are in no table yet.
    pub unlanded: u64,
    /// Ids in the index.
    pub index_ids: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What is worth knowing and normal.
    pub notes: Vec<Finding>,
}

/// How far a long work is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is done now, such as `reading orders`.
    pub doing: String,
    /// So much of it is done.
    pub done: u64,
    /// Of so much.
    pub total: u64,
}

/// Who wants to know how far it is.
pub type Tell<'a> = &'a (dyn Fn(Progress) + Send + Sync);
