//! The versions of a table: checkpoints, older states, and what may be forgotten of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use deltalake_core::checkpoints::create_checkpoint;
use deltalake_core::kernel::Action;
use deltalake_core::logstore::get_actions;
use vocabulary::Timestamp;

use super::{Table, TableState, commit_path, read_state};
use crate::LakeError;

/// What of a table's past was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Forgotten {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) commits: u64,
}

impl Table {
    /// Writes down the whole state of a version, so that opening need not read the commits before it.
    pub(crate) async fn checkpoint(&self, version: i64) -> Result<(), LakeError> {
        let name = self.spec.name;
        let write = async { create_checkpoint(&self.delta()?.with_version(version as u64).load().await?, None).await };
        write.await.map_err(LakeError::table("write a checkpoint of", name))?;
        self.place.sync(&checkpoint_path(version))?;
        self.place.sync(LAST_CHECKPOINT)
    }

    /// The version of the newest checkpoint, as readers find it; 0 where there is none.
    pub(crate) async fn last_checkpoint(&self) -> Result<i64, LakeError> {
        let told = self.place.get(LAST_CHECKPOINT).await?;
        let told = told.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
        Ok(told.and_then(|told| told["version"].as_i64()).unwrap_or(0))
    }

    /// The table as it was at a version.
    ///
    /// # Errors
    /// When that version never was or is forgotten.
    pub(crate) async fn at_version(&self, version: i64) -> Result<Arc<TableState>, LakeError> {
        let current = self.state();
        if version == current.version {
            return Ok(current);
        }
        if version > current.version || version < 0 {
            let why = format!("the table {} has no version {version}; its newest is {}", self.spec.name, current.version);
            return Err(LakeError::NoVersion(why));
        }
        let load = async { read_state(&self.delta()?.with_version(version as u64).load().await?, &[]).await };
        load.await.map(Arc::new).map_err(|error| {
            let why = format!("version {version} of the table {} is no longer kept ({error})", self.spec.name);
            LakeError::NoVersion(why)
        })
    }

    /// The newest version committed at `at` or before.
    pub(crate) async fn version_at(&self, at: Timestamp) -> Result<i64, LakeError> {
        let current = self.state();
        if at >= current.at {
            return Ok(current.version);
        }
        let versions = self.commits().await?;
        let versions: Vec<i64> = versions.into_iter().filter(|version| *version <= current.version).collect();
        let (mut low, mut high) = (0, versions.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.committed_at(versions[middle]).await? <= at { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1)
            .map(|index| versions[index])
            .ok_or_else(|| LakeError::NoVersion(format!("the table {} has no version as old as {at}", self.spec.name)))
    }

    /// The versions whose commits are still there.
    pub(crate) async fn commits(&self) -> Result<Vec<i64>, LakeError> {
        let listed = self.place.list(LOG).await?;
        Ok(listed.iter().filter(|object| object.path.ends_with(".json")).filter_map(|object| version_of(&object.path)).collect())
    }

    /// When a version was committed, as the commit says. A table's making has no time.
    pub(super) async fn committed_at(&self, version: i64) -> Result<Timestamp, LakeError> {
        if version == 0 {
            return Ok(Timestamp::UNIX_EPOCH);
        }
        let bytes = self.place.get(&commit_path(version)).await?;
        let actions = bytes.map(|bytes| get_actions(version as u64, &bytes)).transpose();
        let actions = actions.map_err(LakeError::table("read a commit of", self.spec.name))?.unwrap_or_default();
        let at = actions.iter().find_map(|action| match action {
            Action::CommitInfo(info) => info.timestamp.and_then(|at| Timestamp::from_millisecond(at).ok()),
            _ => None,
        });
        Ok(at.unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// Forgets the versions committed before `since`, but none of `keep`: their files and their commits. Versions to be
    /// kept get a checkpoint of their own, so that they can be read without the commits before them.
    pub(crate) async fn forget(&self, since: Timestamp, keep: &BTreeSet<i64>) -> Result<Forgotten, LakeError> {
        self.forget_before(&self.state(), since, keep).await
    }

    /// [`Table::forget`] as seen from `current`. Landings commit meanwhile: what is newer than `current` is left alone
    /// altogether, its files as well as its commits.
    pub(crate) async fn forget_before(
        &self,
        current: &TableState,
        since: Timestamp,
        keep: &BTreeSet<i64>,
    ) -> Result<Forgotten, LakeError> {
        let oldest = self.version_at(since).await.or_else(|error| match error {
            LakeError::NoVersion(_) => Ok(0),
            other => Err(other),
        })?;
        let oldest = oldest.min(current.version);
        let mut alive: BTreeSet<String> = current.files.keys().cloned().collect();
        let mut kept: BTreeSet<i64> = keep.range(..oldest).copied().collect();
        if oldest < current.version {
            kept.insert(oldest);
            // What later versions added and removed again is alive for those who read them.
            for version in oldest + 1..=current.version {
                alive.extend(self.added_by(version).await?);
            }
        }
        let checkpoints = self.checkpoints().await?;
        for version in kept.iter().chain([&current.version]) {
            if *version < current.version {
                match self.at_version(*version).await {
                    Ok(state) => alive.extend(state.files.keys().cloned()),
                    // What is gone cannot be kept.
                    Err(LakeError::NoVersion(_)) => continue,
                    Err(error) => return Err(error),
                }
            }
            if !checkpoints.contains(version) {
                self.checkpoint(*version).await?;
            }
        }
        self.delete_unless(current, &alive, &kept, oldest).await
    }

    async fn delete_unless(
        &self,
        current: &TableState,
        alive: &BTreeSet<String>,
        kept: &BTreeSet<i64>,
        oldest: i64,
    ) -> Result<Forgotten, LakeError> {
        let mut forgotten = Forgotten::default();
        // Files first: a commit that names a missing file is only read by those who ask for a forgotten version.
        for object in self.place.list("").await? {
            // By the state that `alive` was made of: a file that was committed since is not in `alive`.
            let under_way = crate::parquet::is_unlanded(&object.path, current);
            if object.path.starts_with(LOG) || alive.contains(&object.path) || under_way {
                continue;
            }
            self.place.delete(&object.path).await?;
            forgotten.files += 1;
            forgotten.bytes += object.bytes;
        }
        for object in self.place.list(LOG).await? {
            if version_of(&object.path).is_some_and(|version| version < oldest && !kept.contains(&version)) {
                self.place.delete(&object.path).await?;
                forgotten.commits += 1;
            }
        }
        Ok(forgotten)
    }

    /// The files that a commit added.
    pub(crate) async fn added_by(&self, version: i64) -> Result<Vec<String>, LakeError> {
        let Some(bytes) = self.place.get(&commit_path(version)).await? else { return Ok(Vec::new()) };
        let actions = get_actions(version as u64, &bytes).map_err(LakeError::table("read a commit of", self.spec.name))?;
        Ok(actions.into_iter().filter_map(|action| if let Action::Add(add) = action { Some(add.path) } else { None }).collect())
    }

    async fn checkpoints(&self) -> Result<BTreeSet<i64>, LakeError> {
        let listed = self.place.list(LOG).await?;
        let checkpoints = listed.iter().filter(|object| object.path.ends_with(".checkpoint.parquet"));
        Ok(checkpoints.filter_map(|object| version_of(&object.path)).collect())
    }
}

/// The folder of commits and checkpoints.
pub(crate) const LOG: &str = "_delta_log";

/// Names the newest checkpoint.
const LAST_CHECKPOINT: &str = "_delta_log/_last_checkpoint";

/// The version a file of the log belongs to.
pub(crate) fn version_of(path: &str) -> Option<i64> {
    path.strip_prefix(LOG)?.strip_prefix('/')?.get(..20)?.parse().ok()
}

fn checkpoint_path(version: i64) -> String {
    format!("_delta_log/{version:020}.checkpoint.parquet")
}
