//! What is done beside the claims: recent ids are written to runs, runs are merged, dropped when they are too old, and
//! the filter is built anew as it fills. Each step is short or in the background; claims go on meanwhile.

use std::fs;
use std::io;
use std::sync::Arc;

use super::filter::{SHARDS, Shard};
use super::manifest::Manifest;
use super::merge::{Merge, choose};
use super::recent::{SPARE_MAX, Segment, Table};
use super::run::{Facts, Reader, Run, path_of};
use super::{IdHash, Index, lock};
use crate::LakeError;

/// Runs are dropped whole, so ids are known for up to this share of the window longer than it says.
const STRETCHES_PER_WINDOW: i64 = 5;
/// While everything is told again, so many ids make a run: 40 MB at most.
const RESTORED_HASHES_MAX: u64 = 1 << 20;
/// The segment that told-again ids belong to; the log numbers its own from 1.
const RESTORED_SEGMENT: i64 = 0;

/// What is known of the runs on disk, and the merge that is under way.
pub(super) struct Work {
    pub(super) manifest: Manifest,
    /// Grows even when a run fails: a manifest that may count could name the failed one.
    pub(super) next: u64,
    pub(super) merge: Option<Merge>,
}

impl Work {
    fn take_number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }
}

/// What one call of [`Index::maintain`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Runs dropped because all their ids were older than the window.
    pub dropped: u64,
    /// Hashes put into a part of the filter built anew.
    pub filtered: u64,
    /// Hashes merged into a larger run.
    pub merged: u64,
    /// Whether there is more to do: call again soon.
    pub more: bool,
}

impl Index {
    /// Writes the ids of all segments up to this number to disk, so that the log may delete them as far as the index is
    /// concerned. These segments must be sealed and durable. Call it for each segment or few that are sealed, not only
    /// when they land: until then their ids are in memory.
    ///
    /// # Errors
    /// If a file cannot be written. The ids stay in memory; try again.
    pub fn persist(&self, up_to_segment: i64) -> Result<(), LakeError> {
        let work = &mut *lock(&self.work);
        let segments = {
            let mut state = lock(&self.state);
            state.closed = state.closed.max(up_to_segment);
            state.recent.up_to(up_to_segment).to_vec()
        };
        if segments.is_empty() {
            // What the manifest does not say, the log tells again.
            let mut state = lock(&self.state);
            state.persisted = state.persisted.max(up_to_segment);
            return Ok(());
        }
        self.write_out(work, segments, up_to_segment)
    }

    fn write_out(&self, work: &mut Work, segments: Vec<Segment>, up_to: i64) -> Result<(), LakeError> {
        let number = work.take_number();
        let run = Merge::of_segments(&self.folder, number, &segments)?.complete()?;
        // The tables are changed again only where this was the last that shared them.
        drop(segments);
        let mut manifest = work.manifest.clone();
        manifest.runs.push(number);
        manifest.persisted = manifest.persisted.max(up_to);
        manifest.commit(&self.folder)?;
        work.manifest = manifest;
        let written = {
            let mut state = lock(&self.state);
            state.replace(&[], Some(run));
            state.persisted = state.persisted.max(up_to);
            state.recent.take_up_to(up_to)
        };
        // Emptying and freeing large tables takes a while: not under the lock.
        let tables = written
            .into_iter()
            .filter_map(|segment| Arc::into_inner(segment.table))
            .take(SPARE_MAX)
            .map(Table::emptied)
            .collect();
        lock(&self.state).recent.keep(tables);
        Ok(())
    }

    /// Does some of what is to be done: drops runs that are older than the window at `now_micros`, fits the filter to the
    /// ids, merges runs. Call it regularly off the threads that serve, and again soon while there is more.
    ///
    /// # Errors
    /// If a file cannot be read, written or deleted. Nothing is lost, and the next call begins that step anew.
    pub fn maintain(&self, now_micros: i64) -> Result<Maintained, LakeError> {
        let work = &mut *lock(&self.work);
        let mut done = Maintained { dropped: self.drop_expired(work, now_micros)?, ..Maintained::default() };
        lock(&self.state).recent.rest();
        done.filtered = self.refilter(self.config.work_hashes_max)?;
        if done.filtered < self.config.work_hashes_max {
            done.merged = self.merge(work, self.config.work_hashes_max - done.filtered)?;
        }
        done.more = work.merge.is_some() || self.choose().is_some() || lock(&self.state).filter.to_rebuild(0).is_some();
        Ok(done)
    }

    fn drop_expired(&self, work: &mut Work, now: i64) -> Result<u64, LakeError> {
        let first = now.saturating_sub(self.config.window_micros());
        let runs = lock(&self.state).runs.clone();
        let numbers: Vec<u64> = runs.iter().filter(|run| run.facts.newest < first).map(|run| run.number).collect();
        if numbers.is_empty() {
            return Ok(0);
        }
        // A merge of a run that goes would bring its ids back.
        let concerned = |merge: &mut Merge| merge.replaces.iter().any(|number| numbers.contains(number));
        if let Some(merge) = work.merge.take_if(concerned) {
            merge.discard();
        }
        self.replace(work, &numbers, None)?;
        Ok(numbers.len() as u64)
    }

    /// Makes it durable that `new` is in the place of `old`, and only then true; then deletes the old files.
    fn replace(&self, work: &mut Work, old: &[u64], new: Option<Run>) -> Result<(), LakeError> {
        let mut manifest = work.manifest.clone();
        manifest.runs.retain(|number| !old.contains(number));
        manifest.runs.extend(new.as_ref().map(|run| run.number));
        manifest.commit(&self.folder)?;
        work.manifest = manifest;
        lock(&self.state).replace(old, new);
        for number in old {
            let path = path_of(&self.folder, *number);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(LakeError::file("delete", &path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Builds shards of the filter anew that are too full or hold too much that was dropped, up to so many hashes.
    fn refilter(&self, hashes_max: u64) -> Result<u64, LakeError> {
        let (mut filtered, mut from) = (0, 0);
        while filtered < hashes_max {
            let (next, runs) = {
                let state = lock(&self.state);
                (state.filter.to_rebuild(from), state.runs.clone())
            };
            let Some((number, hashes, blocks)) = next else { break };
            let mut shard = Shard::new(blocks);
            let is_here = |hash: &&IdHash| hash.part_of(SHARDS) == number;
            for run in runs.iter() {
                let mut reader = Reader::of_part(run.clone(), number, SHARDS);
                while let more @ [_, ..] = reader.more()? {
                    more.iter().filter(is_here).for_each(|hash| _ = shard.add(*hash));
                }
            }
            let mut recent = Vec::new();
            let old = {
                // No run came since, as whoever writes runs holds `work`; recent ids did.
                let mut state = lock(&self.state);
                state.recent.all().iter().for_each(|segment| segment.table.copy_part(number, SHARDS, &mut recent));
                recent.iter().for_each(|hash| _ = shard.add(*hash));
                state.filter.replace(number, shard)
            };
            drop(old);
            filtered += hashes;
            from = number + 1;
        }
        Ok(filtered)
    }

    /// The indices of the runs to merge next.
    fn choose(&self) -> Option<Vec<usize>> {
        let runs = lock(&self.state).runs.clone();
        let facts: Vec<Facts> = runs.iter().map(|run| run.facts).collect();
        choose(&facts, self.config.window_micros() / STRETCHES_PER_WINDOW)
    }

    /// Goes on with the merge that is under way, or begins one if that is worth it.
    fn merge(&self, work: &mut Work, hashes_max: u64) -> Result<u64, LakeError> {
        if work.merge.is_none() {
            let Some(chosen) = self.choose() else { return Ok(0) };
            let runs = lock(&self.state).runs.clone();
            let runs: Vec<_> = chosen.into_iter().map(|index| runs[index].clone()).collect();
            let number = work.take_number();
            work.merge = Some(Merge::of_runs(&self.folder, number, &runs, self.config.work_hashes_max)?);
        }
        let Some(mut merge) = work.merge.take() else { return Ok(0) };
        let merged = match merge.step(hashes_max) {
            Ok(merged) => merged,
            Err(error) => {
                merge.discard();
                return Err(error);
            }
        };
        if merge.is_done() {
            let replaces = std::mem::take(&mut merge.replaces);
            let run = merge.complete()?;
            self.replace(work, &replaces, Some(run))?;
        } else {
            work.merge = Some(merge);
        }
        Ok(merged)
    }

    /// Tells ids of stored events again, received at `received_at_micros` at the latest, after [`Opened`](super::Opened) said
    /// that this is needed. Tell all of the window, day by day, then call [`Index::restored`].
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn restore(&self, received_at_micros: i64, hashes: &[IdHash]) -> Result<(), LakeError> {
        let waiting = {
            let mut state = lock(&self.state);
            state.remember(RESTORED_SEGMENT, received_at_micros, hashes);
            state.recent.count()
        };
        if waiting < RESTORED_HASHES_MAX { Ok(()) } else { self.persist(RESTORED_SEGMENT) }
    }

    /// Ends the telling again: from now on the index counts as whole, with all ids of the log's segments up to this number.
    /// Until it is called, each opening says that everything must be told again.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn restored(&self, up_to_segment: i64) -> Result<(), LakeError> {
        self.persist(RESTORED_SEGMENT)?;
        {
            let work = &mut *lock(&self.work);
            let persisted = work.manifest.persisted.max(up_to_segment);
            let manifest = Manifest { complete: true, persisted, ..work.manifest.clone() };
            manifest.commit(&self.folder)?;
            work.manifest = manifest;
            let mut state = lock(&self.state);
            state.closed = state.closed.max(persisted);
            state.persisted = state.persisted.max(persisted);
            drop(state);
            self.refilter(u64::MAX)?;
        }
        Ok(())
    }
}
