//! Makes one run of several, or of the recent ids, a bounded step at a time; and which runs are worth merging.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::hash::IdHash;
use super::recent::{Segment, Table};
use super::run::{Facts, Reader, Run, Writer, path_of};
use crate::LakeError;

/// So many runs of similar size become one: each id is written about once for every factor of eight that all ids are
/// more than a single run's.
const FAN_IN: usize = 8;
/// Three doublings are a size: eight runs of one make a run of the next.
const DOUBLINGS_PER_SIZE: u32 = 3;
/// No more are read at a time, each with its buffer.
const INPUTS_MAX: usize = 16;
/// No larger run is made, 2 GiB: its replacement needs as much disk for a while.
const MERGED_HASHES_MAX: u64 = 1 << 27;
/// Hashes that are sorted together: they fit the processor's cache.
const SLICE_HASHES_MAX: u64 = 32 << 10;

/// Something in order that is merged.
#[derive(Debug)]
enum Source {
    Run(Reader),
    Table(Arc<Table>, usize),
}

/// A run in the making.
#[derive(Debug)]
pub(super) struct Merge {
    /// The runs that it will replace.
    pub(super) replaces: Vec<u64>,
    sources: Vec<Source>,
    facts: Facts,
    path: PathBuf,
    writer: Writer,
    /// The hashes are merged in so many slices.
    slices: u64,
    done: u64,
    hashes: Vec<IdHash>,
}

impl Merge {
    /// Begins a run of runs. `step` is how many hashes a step should take at most.
    pub(super) fn of_runs(folder: &Path, number: u64, runs: &[Arc<Run>], step: u64) -> Result<Self, LakeError> {
        let facts = runs.iter().map(|run| run.facts);
        let sources = runs.iter().map(|run| Source::Run(Reader::new(run.clone()))).collect();
        let mut merge = Self::new(folder, number, facts, sources, step)?;
        merge.replaces = runs.iter().map(|run| run.number).collect();
        Ok(merge)
    }

    /// Begins a run of the log's segments, which change no more.
    pub(super) fn of_segments(folder: &Path, number: u64, segments: &[Segment]) -> Result<Self, LakeError> {
        let facts = segments.iter().map(|segment| Facts {
            count: segment.table.count(),
            oldest: segment.oldest,
            newest: segment.newest,
            segment: segment.number,
        });
        let sources = segments.iter().map(|segment| Source::Table(segment.table.clone(), 0)).collect();
        Self::new(folder, number, facts, sources, SLICE_HASHES_MAX)
    }

    fn new(
        folder: &Path,
        number: u64,
        facts: impl Iterator<Item = Facts>,
        sources: Vec<Source>,
        step: u64,
    ) -> Result<Self, LakeError> {
        let facts = facts.reduce(|all, one| Facts {
            count: all.count + one.count,
            oldest: all.oldest.min(one.oldest),
            newest: all.newest.max(one.newest),
            segment: all.segment.max(one.segment),
        });
        let facts = facts.expect("a run is made of something");
        let slices = facts.count / step.clamp(1, SLICE_HASHES_MAX) + 1;
        let writer = Writer::new(folder, number, facts.count)?;
        let path = path_of(folder, number);
        Ok(Self { replaces: Vec::new(), sources, facts, path, writer, slices, done: 0, hashes: Vec::new() })
    }

    /// Merges on for about so many hashes, at least one slice. Returns how many it were.
    pub(super) fn step(&mut self, hashes_max: u64) -> Result<u64, LakeError> {
        let mut merged = 0;
        while !self.is_done() && merged < hashes_max.max(1) {
            let last = IdHash::last_of(self.done, self.slices);
            self.hashes.clear();
            for source in &mut self.sources {
                match source {
                    Source::Run(reader) => reader.copy(last, &mut self.hashes)?,
                    Source::Table(table, slot) => *slot = table.copy(*slot, last, &mut self.hashes),
                }
            }
            if self.sources.len() > 1 {
                // This sort finds the sorted stretches and merges them.
                self.hashes.sort();
            }
            self.writer.push(&self.hashes)?;
            merged += self.hashes.len() as u64;
            self.done += 1;
        }
        if !self.is_done() {
            self.writer.sync()?;
        }
        Ok(merged)
    }

    pub(super) fn is_done(&self) -> bool {
        self.done == self.slices
    }

    /// Makes the run durable.
    pub(super) fn finish(self) -> Result<Run, LakeError> {
        self.writer.finish(self.facts)
    }

    /// All of it at once; frees the disk's space if that fails.
    pub(super) fn complete(mut self) -> Result<Run, LakeError> {
        let path = self.path.clone();
        self.step(u64::MAX).and_then(|_| self.finish()).inspect_err(|_| remove_half(&path))
    }

    /// Gives up and frees the disk's space.
    pub(super) fn discard(self) {
        remove_half(&self.path);
    }
}

/// What cannot be removed now is removed at the next opening, as no manifest names it.
fn remove_half(path: &Path) {
    let _ = fs::remove_file(path);
}

/// Which runs to merge next: indices into `runs`, at least two. Runs are merged only within a stretch of time of
/// `stretch` microseconds, so that they can be dropped as they pass out of the window.
pub(super) fn choose(runs: &[Facts], stretch: i64) -> Option<Vec<usize>> {
    let stretch_of = |facts: &Facts| facts.newest.div_euclid(stretch);
    let current = runs.iter().map(stretch_of).max()?;
    let mut groups = BTreeMap::<(u32, i64), Vec<usize>>::new();
    let mut past = BTreeMap::<i64, Vec<usize>>::new();
    for (index, facts) in runs.iter().enumerate() {
        let size = facts.count.max(1).ilog2() / DOUBLINGS_PER_SIZE;
        groups.entry((size, stretch_of(facts))).or_default().push(index);
        if stretch_of(facts) < current {
            past.entry(stretch_of(facts)).or_default().push(index);
        }
    }
    // Small ones first: they are quickly done and most in the way.
    let alike = groups.into_values().filter(|group| group.len() >= FAN_IN).map(|group| fitting(runs, group, FAN_IN));
    let finished = past.into_values().map(|group| fitting(runs, group, INPUTS_MAX));
    alike.chain(finished).find(|group| group.len() >= 2)
}

/// The smallest runs of a group, as many as one merge takes.
fn fitting(runs: &[Facts], mut group: Vec<usize>, inputs_max: usize) -> Vec<usize> {
    group.sort_by_key(|index| (runs[*index].count, *index));
    let mut total = 0;
    let fits = |index: &usize| {
        total += runs[*index].count;
        total <= MERGED_HASHES_MAX
    };
    group.into_iter().take(inputs_max).take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(count: u64, newest: i64) -> Facts {
        Facts { count, oldest: 0, newest, segment: 0 }
    }

    fn check(runs: &[(u64, i64)], expect: Option<&[usize]>) {
        let runs: Vec<Facts> = runs.iter().map(|(count, newest)| facts(*count, *newest)).collect();
        assert_eq!(choose(&runs, 100).as_deref(), expect);
    }

    #[test]
    fn runs_alike_in_size_and_time_are_merged() {
        check(&[], None);
        check(&[(5, 0)], None);
        check(&[(70, 0); 7], None);
        check(&[(70, 0); 9], Some(&[0, 1, 2, 3, 4, 5, 6, 7]));
        // Others in size or time between them do not matter.
        let mut mixed = vec![(1_000_000, 101), (70, 101), (70, 101), (9, 101)];
        mixed.extend([(70, 101); 6]);
        check(&mixed, Some(&[1, 2, 4, 5, 6, 7, 8, 9]));
    }

    #[test]
    fn a_stretch_that_is_over_becomes_one_run() {
        check(&[(70, 99), (1_000_000, 5), (3, 100)], Some(&[0, 1]));
        check(&[(70, 99), (3, 100), (3, 101)], None);
        check(&[(70, -1), (60, -2), (3, 101)], Some(&[1, 0]));
        // But none larger than the limit.
        check(&[(MERGED_HASHES_MAX, 5), (1, 5), (3, 100)], None);
        check(&[(MERGED_HASHES_MAX / 2, 5), (1, 5), (MERGED_HASHES_MAX / 2, 5), (3, 100)], Some(&[1, 0]));
    }

    #[test]
    fn trickling_ids_are_written_few_times() {
        let (mut runs, mut written, mut most) = (Vec::<Facts>::new(), 0, 0);
        for _ in 0..10_000 {
            runs.push(facts(10, 0));
            while let Some(group) = choose(&runs, 100) {
                let count = group.iter().map(|index| runs[*index].count).sum();
                written += count;
                let keep = |index: &usize| !group.contains(index);
                runs = (0..runs.len()).filter(keep).map(|index| runs[index]).chain([facts(count, 0)]).collect();
            }
            most = most.max(runs.len());
        }
        assert_eq!(runs.iter().map(|run| run.count).sum::<u64>(), 100_000);
        assert!(written <= 5 * 100_000, "{written} written");
        assert!(most <= 40, "{most} runs");
    }
}
