//! What a table's own log names, read without the code that reads it otherwise: a check must not believe what it checks.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, AsArray, RecordBatchReader};
use deltalake_core::kernel::Action;
use deltalake_core::logstore::get_actions;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use vocabulary::Timestamp;

use crate::LakeError;
use crate::delta::{LOG, commit_path, version_of};
use crate::place::Place;

/// The files of a table's log that are there.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableLog {
    /// The commits, with their size.
    pub(crate) commits: BTreeMap<i64, u64>,
    /// The checkpoints, by version, with their objects.
    pub(crate) checkpoints: BTreeMap<i64, String>,
}

/// What a part of the log says of files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Named {
    /// Every file that was in some version.
    pub(crate) files: BTreeSet<String>,
    /// When it was committed.
    pub(crate) at: Option<Timestamp>,
}

impl TableLog {
    pub(crate) async fn list(place: &Place) -> Result<Self, LakeError> {
        let mut log = Self::default();
        for object in place.list(LOG).await? {
            let Some(version) = version_of(&object.path) else { continue };
            if object.path == commit_path(version) {
                log.commits.insert(version, object.bytes);
            } else if object.path.ends_with(".checkpoint.parquet") {
                log.checkpoints.insert(version, object.path);
            }
        }
        Ok(log)
    }

    /// The newest version.
    pub(crate) fn newest(&self) -> Option<i64> {
        self.commits.keys().chain(self.checkpoints.keys()).max().copied()
    }

    /// The first commit that whoever opens the table would miss.
    pub(crate) fn gap(&self) -> Option<i64> {
        let newest = self.newest()?;
        let first = self.checkpoints.keys().last().map_or(0, |checkpoint| checkpoint + 1);
        (first..=newest).find(|version| !self.commits.contains_key(version))
    }

    /// Whether every state since the table was made can be computed without any checkpoint.
    pub(crate) fn is_whole(&self) -> bool {
        self.newest().is_some_and(|newest| (0..=newest).all(|version| self.commits.contains_key(&version)))
    }

    /// Checkpoints that say what no commit that is still there says.
    pub(crate) fn bases(&self) -> impl Iterator<Item = (i64, &String)> {
        let base = |(version, _): &(&i64, &String)| **version > 0 && !self.commits.contains_key(&(**version - 1));
        self.checkpoints.iter().filter(base).map(|(version, path)| (*version, path))
    }
}

/// What one commit names. Forgotten meanwhile is no error.
pub(crate) async fn read_commit(place: &Place, table: &str, version: i64) -> Result<Named, LakeError> {
    let mut named = Named::default();
    let Some(bytes) = place.get(&commit_path(version)).await? else { return Ok(named) };
    for action in get_actions(version as u64, &bytes).map_err(LakeError::table("read a commit of", table))? {
        match action {
            Action::Add(add) => _ = named.files.insert(add.path),
            Action::Remove(remove) => _ = named.files.insert(remove.path),
            Action::CommitInfo(info) => named.at = info.timestamp.and_then(|at| Timestamp::from_millisecond(at).ok()),
            _ => {}
        }
    }
    Ok(named)
}

/// Reads a checkpoint to its end: the files it names, or why it cannot be read.
pub(crate) async fn read_checkpoint(place: &Place, path: &str) -> Result<Result<BTreeSet<String>, String>, LakeError> {
    let Some(bytes) = place.get(path).await? else { return Ok(Ok(BTreeSet::new())) };
    let read = || -> Result<BTreeSet<String>, Box<dyn std::error::Error>> {
        let mut files = BTreeSet::new();
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()?;
        let columns: Vec<usize> = ["add", "remove"].iter().filter_map(|name| reader.schema().index_of(name).ok()).collect();
        for batch in reader {
            let batch = batch?;
            for column in &columns {
                let action = batch.column(*column).as_struct();
                let Some(paths) = action.column_by_name("path").and_then(|paths| paths.as_string_opt::<i32>()) else {
                    continue;
                };
                let there = (0..paths.len()).filter(|row| !action.is_null(*row) && !paths.is_null(*row));
                files.extend(there.map(|row| paths.value(row).to_owned()));
            }
        }
        Ok(files)
    };
    Ok(read().map_err(|error| error.to_string()))
}

/// Every file that some version that can still be read has, and what could not be read of the log.
pub(crate) async fn named_files(
    place: &Place,
    table: &str,
    log: &TableLog,
) -> Result<(BTreeSet<String>, Vec<(String, String)>), LakeError> {
    let (mut files, mut unread) = (BTreeSet::new(), Vec::new());
    for version in log.commits.keys() {
        match read_commit(place, table, *version).await {
            Ok(named) => files.extend(named.files),
            Err(LakeError::Table { source, .. }) => unread.push((commit_path(*version), source.to_string())),
            Err(error) => return Err(error),
        }
    }
    for (_, path) in log.bases() {
        match read_checkpoint(place, path).await? {
            Ok(named) => files.extend(named),
            Err(why) => unread.push((path.clone(), why)),
        }
    }
    Ok((files, unread))
}
