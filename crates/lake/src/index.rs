//! The ids of the events that are stored, so that an event told twice is kept once: exact over a window of days, across
//! restarts, in bounded memory.
//!
//! Reading order: this file, then `hash`, `filter`, `recent`, `run`, `merge`, `manifest`, `upkeep` and `opening`.
//!
//! An id is known by 128 bits of its hash. Those of events in the log's newest segments are in memory (`recent`); all
//! others are on disk, in order, in files that never change (`run`), about as many as there are factors of eight between
//! one landing and everything. One filter over all of them tells at the price of a cache line that an id is new, which
//! most are; the others are looked up among the recent ids and then on disk, at a read for each run until they are found.
//!
//! When `memory_bytes_max` keeps the filter from growing with the ids, more new ids are looked up on disk: slower, as
//! exact. One in a thousand is at 16 bits of filter per id, which is 98 million ids at the default; one in thirty at twice
//! as many, a third at four times.
//!
//! *Invariant:* each hash that was claimed and not taken back is in `recent` or in a run that the manifest names, until
//! the run is older than the window.
//! *Invariant:* no lock that `claim` needs is held while a file is read or written, except by `claim` itself.
//! *Invariant:* what cannot be looked up is an error, never a new id.

mod filter;
mod hash;
mod manifest;
mod merge;
mod opening;
mod recent;
mod run;
#[cfg(test)]
mod tests;
mod upkeep;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::LakeError;
use filter::{FETCHED, Filter};
use recent::Recent;
use run::Run;
use upkeep::Work;

pub use hash::IdHash;
pub use opening::Opened;
pub use upkeep::Maintained;

/// So many of the newest runs are searched before all others: about what came in the last seconds under load.
const SEARCHED_FIRST: usize = 2;
const MICROSECONDS_PER_DAY: i64 = 24 * 60 * 60 * 1_000_000;

/// What the index may use and how far it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexConfig {
    /// How many days an id is known at least. 0 counts as 1. Callers repeat a request for minutes, providers a callback
    /// for days.
    pub window_days: u32,
    /// What the index may keep in memory. Three quarters are the filter's; the rest is for recent ids, which are as many
    /// as the log has events that are not persisted, and the runs' fences.
    pub memory_bytes_max: u64,
    /// About how many hashes one call of [`Index::maintain`] reads and writes at most.
    pub work_hashes_max: u64,
}

impl Default for IndexConfig {
    fn default() -> Self {
        // 100 million ids at 16 bits, beside a million recent ones; a tenth of a second of work.
        Self { window_days: 35, memory_bytes_max: 250 << 20, work_hashes_max: 4 << 20 }
    }
}

impl IndexConfig {
    fn window_micros(&self) -> i64 {
        i64::from(self.window_days.max(1)) * MICROSECONDS_PER_DAY
    }

    fn filter_bytes_max(&self) -> u64 {
        self.memory_bytes_max / 4 * 3
    }
}

/// What claims and look-ups need, changed in short steps only.
struct State {
    filter: Filter,
    recent: Recent,
    /// In the order in which they are searched.
    runs: Arc<Vec<Arc<Run>>>,
    /// No more ids are claimed for segments up to this one.
    closed: i64,
    persisted: i64,
}

/// The ids that are known, shared by the one who writes the log and all who ask.
pub struct Index {
    folder: PathBuf,
    config: IndexConfig,
    /// Held by one claim at a time.
    claims: Mutex<()>,
    /// Held while runs are written or replaced. Taken before `state`.
    work: Mutex<Work>,
    state: Mutex<State>,
}

/// A mutex guards values that are whole between any two statements that may panic, so a poisoned one is taken as it is.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Index {
    /// Claims ids for events that are about to be written to segment `segment` of the log, received at
    /// `received_at_micros`. Appends the positions of those that are known already, or repeated, in order to `known`; all
    /// others are known from now on.
    ///
    /// If the events do not become durable, call [`Index::take_back`] before the next claim.
    ///
    /// # Errors
    /// If a run cannot be read. Nothing is claimed then, and `known` is as before.
    ///
    /// # Panics
    /// If the segment was persisted or is being persisted: the hashes would be lost.
    pub fn claim(&self, segment: i64, received_at_micros: i64, hashes: &[IdHash], known: &mut Vec<u32>) -> Result<(), LakeError> {
        let _turn = lock(&self.claims);
        let start = known.len();
        let mut doubtful = Vec::new();
        let runs = {
            let state = &mut *lock(&self.state);
            state.check_open(segment);
            state.claim(segment, received_at_micros, hashes, known, &mut doubtful);
            state.runs.clone()
        };
        if doubtful.is_empty() {
            return Ok(());
        }
        let positions: Vec<u32> = doubtful.iter().map(|(_, position)| *position).collect();
        let looked_up = find(&runs, doubtful, known);
        let mut is_known = vec![false; hashes.len()];
        known[start..].iter().for_each(|position| is_known[*position as usize] = true);
        if let Err(error) = looked_up {
            known.truncate(start);
            // What looked doubtful was not accepted yet, whether it was found or not.
            positions.iter().for_each(|position| is_known[*position as usize] = true);
            let accepted = hashes.iter().zip(&is_known).filter(|(_, known)| !**known).map(|(hash, _)| *hash);
            lock(&self.state).recent.remove(segment, accepted);
            return Err(error);
        }
        let state = &mut *lock(&self.state);
        state.check_open(segment);
        let table = state.recent.open(segment, received_at_micros).table;
        let new = positions.into_iter().filter(|position| !is_known[*position as usize]);
        // The same hash can be doubtful at two positions.
        known.extend(new.filter(|position| !table.insert(hashes[*position as usize])));
        known[start..].sort_unstable();
        Ok(())
    }

    /// Takes back a claim whose events did not become durable. `hashes` are those that the claim accepted, without the
    /// known ones.
    ///
    /// # Panics
    /// As [`Index::claim`].
    pub fn take_back(&self, segment: i64, hashes: &[IdHash]) {
        let state = &mut *lock(&self.state);
        state.check_open(segment);
        // The filter keeps their bits: they look known and are not found.
        state.recent.remove(segment, hashes.iter().copied());
    }

    /// Tells the ids of a segment of the log that was left by a former process and is not persisted. Telling twice does
    /// no harm.
    ///
    /// # Panics
    /// As [`Index::claim`].
    pub fn remember(&self, segment: i64, received_at_micros: i64, hashes: &[IdHash]) {
        let state = &mut *lock(&self.state);
        state.check_open(segment);
        state.remember(segment, received_at_micros, hashes);
    }

    /// Whether the id is known. That includes ids whose events are just being written.
    ///
    /// # Errors
    /// If a run cannot be read.
    pub fn knows(&self, id: &str) -> Result<bool, LakeError> {
        let hash = IdHash::of(id);
        let runs = {
            let state = lock(&self.state);
            if !state.filter.may_know(hash) {
                return Ok(false);
            }
            if state.recent.contains(hash) {
                return Ok(true);
            }
            state.runs.clone()
        };
        let mut found = Vec::new();
        find(&runs, vec![(hash, 0)], &mut found)?;
        Ok(!found.is_empty())
    }

    /// The log's segments up to this number are not needed by the index. After a restart, [`Index::remember`] those behind.
    #[must_use]
    pub fn persisted(&self) -> i64 {
        lock(&self.state).persisted
    }

    /// How many ids are in memory because their segments are not persisted. They take 23 to 34 bytes each once
    /// their segments are full.
    #[must_use]
    pub fn unpersisted(&self) -> u64 {
        lock(&self.state).recent.count()
    }

    /// How many bytes of memory the index takes, but for a few megabytes while runs are merged.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        let state = lock(&self.state);
        state.filter.bytes() + state.recent.bytes() + state.runs.iter().map(|run| run.bytes()).sum::<u64>()
    }

    /// About how many ids are known. Ids that were told again after a restart count twice until their runs are merged.
    #[must_use]
    pub fn len_estimate(&self) -> u64 {
        let state = lock(&self.state);
        state.recent.count() + state.runs.iter().map(|run| run.facts.count).sum::<u64>()
    }
}

/// Puts runs in the order in which they are searched: the newest first, as what is told twice is mostly told soon again,
/// then from the largest to the smallest, as anything older is likely there.
fn order(runs: &mut [Arc<Run>]) {
    runs.sort_by_key(|run| std::cmp::Reverse((run.facts.newest, run.number)));
    let older = runs.len().min(SEARCHED_FIRST);
    runs[older..].sort_by_key(|run| std::cmp::Reverse((run.facts.count, run.number)));
}

/// Appends the positions of those hashes that are in a run to `found`.
fn find(runs: &[Arc<Run>], mut wanted: Vec<(IdHash, u32)>, found: &mut Vec<u32>) -> Result<(), LakeError> {
    wanted.sort_unstable();
    for run in runs {
        let before = found.len();
        run.find(&wanted, found)?;
        if found.len() > before {
            let mut here = found[before..].to_vec();
            here.sort_unstable();
            wanted.retain(|(_, position)| here.binary_search(position).is_err());
        }
        if wanted.is_empty() {
            break;
        }
    }
    Ok(())
}

impl State {
    fn check_open(&self, segment: i64) {
        assert!(segment > self.closed, "ids of segment {segment} came after segment {} was persisted", self.closed);
    }

    /// Claims what is surely new; puts the positions of what is surely known into `known`, the rest into `doubtful`.
    fn claim(
        &mut self,
        segment: i64,
        received_at: i64,
        hashes: &[IdHash],
        known: &mut Vec<u32>,
        doubtful: &mut Vec<(IdHash, u32)>,
    ) {
        let Self { filter, recent, .. } = self;
        let recent = recent.open(segment, received_at);
        let mut position = 0;
        for hashes in hashes.chunks(FETCHED) {
            filter.fetch(hashes);
            recent.table.fetch(hashes);
            for hash in hashes {
                if filter.add(*hash) {
                    recent.table.insert(*hash);
                } else if recent.contains(*hash) {
                    known.push(position);
                } else {
                    doubtful.push((*hash, position));
                }
                position += 1;
            }
        }
    }

    fn remember(&mut self, segment: i64, received_at: i64, hashes: &[IdHash]) {
        let Self { filter, recent, .. } = self;
        let recent = recent.open(segment, received_at);
        for hashes in hashes.chunks(FETCHED) {
            filter.fetch(hashes);
            recent.table.fetch(hashes);
            for hash in hashes {
                filter.add(*hash);
                recent.table.insert(*hash);
            }
        }
    }

    /// Puts a run in the place of others, or drops them.
    fn replace(&mut self, old: &[u64], new: Option<Run>) {
        let (gone, mut runs): (Vec<_>, Vec<_>) = self.runs.iter().cloned().partition(|run| old.contains(&run.number));
        if new.is_none() {
            self.filter.dropped(gone.iter().map(|run| run.facts.count).sum());
        }
        runs.extend(new.map(Arc::new));
        order(&mut runs);
        self.runs = Arc::new(runs);
    }
}
