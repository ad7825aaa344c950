//! The sums of experiments, kept from one look to the next and corrected by what came in since.
//!
//! A commit that lands events only adds rows. The contacts that these rows are about are looked up twice, in the tables as they were
//! and as they are, and what their units contributed is taken out and put in anew: that costs what is new, and the lake itself is the
//! memory of what units had before, so that no second place knows anything of a person. Merges change no rows. Everything else
//! (erasure, days that leave, amounts at other rates, commits that are no longer there) is counted anew from all rows.
//!
//! Sums counted from all rows are also written down beside the tables, so that a process begins where another ended. They hold
//! no contact; an erasure deletes them all the same, because they still count who was erased.
//!
//! *Invariant:* kept sums equal those of counting all rows of the same versions, bit for bit. [`crate::Lake::recount`] looks after it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use experiment::cells::Cells;
use serde::{Deserialize, Serialize};
use vocabulary::{EventKind, Experiment, ExperimentId};

use crate::changes::added_by;
use crate::delta::{Table, commit_path};
use crate::landing::off_thread;
use crate::observe::{ASSIGNED, Counted, OF_EXPERIMENT, count};
use crate::session::{Asked, Group};
use crate::tables::Snapshot;
use crate::{Lake, LakeError, literal};

/// Whose units may count otherwise by what came in.
const TOUCHED: &str = include_str!("sql/touched.sql");
/// Of more contacts than this counting all rows is no dearer.
const TOUCHED_MAX: usize = 10_000;
/// So many commits of a table are read to find what came in. Reading more small files takes as long as counting all rows.
const COMMITS_MAX: i64 = 1_000;
/// Sums of so many experiments are kept in memory, a few megabytes each.
const EXPERIMENTS_MAX: usize = 64;
/// Where sums are written down, in the lake's folder.
const FOLDER: &str = "sums";

/// The kept sums of a lake.
pub(crate) struct Kept {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// With the number of when they were used last.
    experiments: HashMap<ExperimentId, (u64, Arc<Counted>)>,
    uses: u64,
    /// Moves with each erasure: what was counted before is not kept after.
    erasures: u64,
}

/// What recounting an experiment came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recounted {
    /// The kept sums were those of all rows.
    Same,
    /// They were not; those of all rows are kept now.
    Different,
}

/// Sums as they are written down, before the cells.
#[derive(Serialize, Deserialize)]
struct Head {
    /// The version of each table of events.
    versions: BTreeMap<String, i64>,
    /// Hashes of the commits of these versions: another history may have the same numbers.
    commits: BTreeMap<String, String>,
}

impl Kept {
    pub(crate) fn new(root: &Path) -> Self {
        Self { folder: root.join(FOLDER), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn of(&self, experiment: &ExperimentId) -> Option<Arc<Counted>> {
        let mut state = self.state();
        state.uses += 1;
        let now = state.uses;
        let (used, counted) = state.experiments.get_mut(experiment)?;
        *used = now;
        Some(counted.clone())
    }

    pub(crate) fn keep(&self, experiment: &ExperimentId, counted: &Arc<Counted>, erasures: u64) {
        let mut state = self.state();
        if state.erasures != erasures {
            return;
        }
        state.uses += 1;
        let now = state.uses;
        state.experiments.insert(experiment.clone(), (now, counted.clone()));
        if state.experiments.len() > EXPERIMENTS_MAX {
            let oldest = state.experiments.iter().min_by_key(|(_, (used, _))| *used).map(|(id, _)| id.clone());
            if let Some(oldest) = oldest {
                state.experiments.remove(&oldest);
            }
        }
    }

    /// The experiments whose sums are kept in memory, by id.
    pub(crate) fn experiments(&self) -> Vec<ExperimentId> {
        let mut ids: Vec<ExperimentId> = self.state().experiments.keys().cloned().collect();
        ids.sort_unstable();
        ids
    }

    pub(crate) fn path(&self, experiment: &ExperimentId) -> PathBuf {
        self.folder.join(blake3::hash(experiment.as_str().as_bytes()).to_hex().as_str())
    }

    /// Forgets all sums, because somebody is in them who must not be.
    pub(crate) fn forget(&self) -> Result<(), LakeError> {
        let mut state = self.state();
        state.erasures += 1;
        state.experiments.clear();
        match std::fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(LakeError::file("delete", &self.folder)(error)),
            _ => Ok(()),
        }
    }

    /// Writes sums down. Somebody may have been erased since they were counted: then they are not written.
    fn write(&self, experiment: &ExperimentId, bytes: &[u8], erasures: u64) -> std::io::Result<()> {
        let state = self.state();
        if state.erasures != erasures {
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder)?;
        let path = self.path(experiment);
        let draft = path.with_extension("new");
        std::fs::write(&draft, bytes)?;
        std::fs::rename(draft, path)
    }
}

/// The sums of an experiment over all that is acknowledged.
pub(crate) async fn counted(lake: &Lake, experiment: &Experiment) -> Result<Arc<Counted>, LakeError> {
    // What is counted must have a version, so that it can be counted again: what is acknowledged is landed first.
    lake.land().await?;
    let erasures = lake.kept.state().erasures;
    let snapshot = lake.tables.landed();
    let id = &experiment.experiment;
    let before = match lake.kept.of(id) {
        Some(kept) => Some(kept),
        None => read(lake, experiment).await,
    };
    let before = before.filter(|kept| kept.cells.is_of(experiment));
    if let Some(before) = before {
        match corrected(lake, experiment, &before, &snapshot).await {
            Ok(Some(cells)) => {
                let counted = Arc::new(Counted { snapshot, cells });
                lake.kept.keep(id, &counted, erasures);
                return Ok(counted);
            }
            Ok(None) => {}
            // What is needed of the past may be forgotten at any moment; all rows of now are always there.
            Err(error) => {
                tracing::debug!(experiment = %id, error = &error as &dyn std::error::Error, "an experiment is counted anew");
            }
        }
    }
    let counted = Arc::new(Counted { cells: Arc::new(count(lake, experiment, &snapshot, ASSIGNED, None).await?), snapshot });
    lake.kept.keep(id, &counted, erasures);
    write(lake, id, &counted, erasures).await;
    Ok(counted)
}

/// See [`Lake::recount`].
pub(crate) async fn recount(lake: &Lake, experiment: &Experiment) -> Result<Recounted, LakeError> {
    let erasures = lake.kept.state().erasures;
    let kept = counted(lake, experiment).await?;
    let cells = count(lake, experiment, &kept.snapshot, ASSIGNED, None).await?;
    let same = cells.to_bytes() == kept.cells.to_bytes();
    let anew = Arc::new(Counted { snapshot: kept.snapshot.clone(), cells: Arc::new(cells) });
    if !same {
        lake.kept.keep(&experiment.experiment, &anew, erasures);
    }
    write(lake, &experiment.experiment, &anew, erasures).await;
    Ok(if same { Recounted::Same } else { Recounted::Different })
}

/// Kept sums brought to the versions of `snapshot`; `None` where what changed cannot be told, or is too much.
pub(crate) async fn corrected(
    lake: &Lake,
    experiment: &Experiment,
    before: &Counted,
    snapshot: &Snapshot,
) -> Result<Option<Arc<Cells>>, LakeError> {
    let mut fresh = snapshot.clone();
    let mut any = false;
    for table in tables(lake) {
        let [from, to] = [&before.snapshot, snapshot].map(|snapshot| snapshot.version(table.spec.name));
        if from > to || to - from > COMMITS_MAX {
            return Ok(None);
        }
        let mut files = BTreeMap::new();
        for version in from + 1..=to {
            let Some(added) = added_by(table, version).await? else { return Ok(None) };
            files.extend(added.into_iter().map(|file| (file.path.clone(), Arc::new(file))));
        }
        any |= !files.is_empty();
        lake.tables.replace(&mut fresh, table, Arc::new(table.state().with_files(files)));
    }
    if !any {
        return Ok(Some(before.cells.clone()));
    }
    let touched = touched(lake, experiment, &fresh, &before.cells).await?;
    if touched.is_empty() {
        return Ok(Some(before.cells.clone()));
    }
    if touched.len() > TOUCHED_MAX {
        return Ok(None);
    }
    let mut cells = before.cells.as_ref().clone();
    cells.subtract(&count(lake, experiment, &before.snapshot, ASSIGNED, Some(&touched)).await?);
    cells.merge(&count(lake, experiment, snapshot, ASSIGNED, Some(&touched)).await?);
    Ok(Some(Arc::new(cells)))
}

/// The tables that a readout reads.
fn tables(lake: &Lake) -> impl Iterator<Item = &Arc<Table>> {
    lake.tables.events.iter().filter(|table| table.spec.name != EventKind::Activity.table())
}

/// The contacts whose units may count otherwise by the rows of `fresh`: at most one more than [`TOUCHED_MAX`].
async fn touched(lake: &Lake, experiment: &Experiment, fresh: &Snapshot, cells: &Cells) -> Result<Vec<i64>, LakeError> {
    let within = cells.span(experiment.window_hours).map_or("false".to_owned(), |(first, last)| {
        format!("event_time >= {} AND event_time < {}", literal::time(first), literal::time(last))
    });
    // Where what was before counts, so does what names another experiment.
    let ours = if experiment.cuped.is_some() { "true" } else { OF_EXPERIMENT };
    let query = TOUCHED
        .replace("$ours", ours)
        .replace("$experiment", &literal::text(experiment.experiment.as_str()))
        .replace("$within", &within)
        .replace("$limit", &(TOUCHED_MAX + 1).to_string());
    let text = format!("what came in for {}", experiment.experiment);
    let asked = Asked { group: Group::Readouts, text: &text, limits: lake.config.limits };
    let batches = lake.queries.rows(fresh, asked, query, "look for what came in for an experiment").await?;
    let keys = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    Ok(batches.iter().flat_map(keys).collect())
}

/// Sums that were written down, where they are still good for something.
pub(crate) async fn read(lake: &Lake, experiment: &Experiment) -> Option<Arc<Counted>> {
    let path = lake.kept.path(&experiment.experiment);
    let read = off_thread(move || std::fs::read(&path).map_err(LakeError::file("read", &path)));
    let bytes = read.await.ok()?;
    let (sum, rest) = split_line(&bytes)?;
    if blake3::hash(rest).to_hex().as_bytes() != sum {
        return None;
    }
    let (head, cells) = split_line(rest)?;
    let head: Head = serde_json::from_slice(head).ok()?;
    let minor_per_major = lake.config.rates.base().minor_per_major();
    let cells = Arc::new(Cells::from_bytes(experiment, minor_per_major, cells).ok()?);
    let mut snapshot = lake.tables.landed();
    for table in tables(lake) {
        let version = *head.versions.get(table.spec.name)?;
        if commit_hash(table, version).await.ok()?.as_ref() != head.commits.get(table.spec.name) {
            return None;
        }
        lake.tables.replace(&mut snapshot, table, table.at_version(version).await.ok()?);
    }
    Some(Arc::new(Counted { snapshot, cells }))
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Names a commit by what it says; `None` where it is gone.
async fn commit_hash(table: &Table, version: i64) -> Result<Option<String>, LakeError> {
    let bytes = table.place.get(&commit_path(version)).await?;
    Ok(bytes.map(|bytes| blake3::hash(&bytes).to_hex().to_string()))
}

/// Writes sums down for the next process. It only saves time, so that a failure is only noted.
async fn write(lake: &Lake, experiment: &ExperimentId, counted: &Counted, erasures: u64) {
    let write = async {
        let mut head = Head { versions: BTreeMap::new(), commits: BTreeMap::new() };
        for table in tables(lake) {
            let (name, version) = (table.spec.name, counted.snapshot.version(table.spec.name));
            let Some(hash) = commit_hash(table, version).await? else { return Ok(()) };
            head.commits.insert(name.to_owned(), hash);
            head.versions.insert(name.to_owned(), version);
        }
        let mut rest = serde_json::to_vec(&head).map_err(LakeError::internal("write down the sums of an experiment"))?;
        rest.push(b'\n');
        rest.extend(counted.cells.to_bytes());
        let bytes = [blake3::hash(&rest).to_hex().as_bytes(), &b"\n"[..], &rest[..]].concat();
        let kept = lake.kept.clone();
        let experiment = experiment.clone();
        off_thread(move || {
            kept.write(&experiment, &bytes, erasures).map_err(LakeError::internal("write down the sums of an experiment"))
        })
        .await
    };
    let result: Result<(), LakeError> = write.await;
    if let Err(error) = result {
        tracing::warn!(experiment = %experiment, error = &error as &dyn std::error::Error, "sums were not written down");
    }
}
