//! What it costs to know every event's id: claims of new ids beside insertions into a plain set in memory, in one run.
//!
//! `cargo bench --bench index` fills both with 10 million ids; a number behind `--` is taken instead, as 100000000.
//! First the whole way is timed as the ids come: claims in groups, a run for each million, merges and the filter's growth
//! on the same thread. Then, on what is filled, opening, and claims of new and of known ids. The first part counts
//! processor time, so that a busy machine changes little and waiting for the disk is left out; the second the clock.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::path::Path;
use std::time::Duration;

use criterion::measurement::{Measurement, WallTime};
use criterion::{Criterion, Throughput};
use lake::index::{IdHash, Index, IndexConfig};

const STORED: u64 = 10_000_000;
/// Where nothing is measured, as among the tests, it shall only be shown to work.
const STORED_IN_TEST: u64 = 20_000;
/// What the log writes and syncs together under load.
const GROUP: u64 = 5_000;
const SEGMENT: u64 = 250_000;
/// Segments in a run.
const SEALED: u64 = 4;

/// The hash of the event of this number.
fn hash(number: u64) -> IdHash {
    let mix = |value: u64| {
        let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    };
    IdHash::from_bits(u128::from(mix(number)) << 64 | u128::from(mix(number ^ 0x9e37_79b9_7f4a_7c15)))
}

fn hashes(first: u64) -> Vec<IdHash> {
    (first..first + GROUP).map(hash).collect()
}

/// Takes the lower half of a hash as it is: the set to beat does not hash again.
#[derive(Default)]
struct Unmixed(u64);

impl Hasher for Unmixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

type Plain = HashSet<IdHash, BuildHasherDefault<Unmixed>>;

/// The processor time of this thread, where the system tells.
fn processor_time() -> Option<Duration> {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(spent.split(' ').next()?.parse().ok()?))
}

/// Adds the processor time of `work` to `total`; the time on the clock where the system does not tell.
fn timed<T>(total: &mut Duration, work: impl FnOnce() -> T) -> T {
    let (begin, begin_processor) = (WallTime.start(), processor_time());
    let done = work();
    let on_clock = WallTime.end(begin);
    *total += processor_time().zip(begin_processor).map_or(on_clock, |(end, begin)| end - begin);
    done
}

/// Adds the time that `work` takes on the clock to `total`.
fn on_clock<T>(total: &mut Duration, work: impl FnOnce() -> T) -> T {
    let begin = WallTime.start();
    let done = work();
    *total += WallTime.end(begin);
    done
}

/// The memory that the process holds now, where the system tells.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}

fn claim(index: &Index, segment: u64, hashes: &[IdHash]) -> usize {
    let mut known = Vec::new();
    index.claim(segment as i64, 0, hashes, &mut known).expect("looked up");
    known.len()
}

/// The time of each part of the index's work.
#[derive(Default)]
struct Spent {
    claims: Duration,
    runs: Duration,
    upkeep: Duration,
    upkeep_longest: Duration,
}

fn fill(index: &Index, stored: u64) -> Spent {
    let mut spent = Spent::default();
    for first in (0..stored).step_by(GROUP as usize) {
        let (segment, hashes) = (first / SEGMENT + 1, hashes(first));
        assert_eq!(timed(&mut spent.claims, || claim(index, segment, &hashes)), 0);
        let next = first + GROUP;
        if next.is_multiple_of(SEGMENT * SEALED) || next >= stored {
            timed(&mut spent.runs, || index.persist(segment as i64).expect("persisted"));
            let (total, longest) = maintain(index);
            spent.upkeep += total;
            spent.upkeep_longest = spent.upkeep_longest.max(longest);
        }
    }
    spent
}

/// Does all there is to do. Returns the time of all steps and of the longest.
fn maintain(index: &Index) -> (Duration, Duration) {
    let (mut total, mut longest, mut more) = (Duration::ZERO, Duration::ZERO, true);
    while more {
        let mut took = Duration::ZERO;
        more = timed(&mut took, || index.maintain(0).expect("maintained").more);
        (total, longest) = (total + took, longest.max(took));
    }
    (total, longest)
}

fn open(folder: &Path) -> Index {
    let opened = Index::open(folder, IndexConfig::default()).expect("opened");
    if opened.rebuild.is_some() {
        opened.index.restored(0).expect("begun");
    }
    opened.index
}

#[expect(clippy::print_stdout, reason = "a bench reports to the terminal")]
fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    let asked = arguments.iter().find_map(|argument| argument.parse().ok());
    let stored = asked.unwrap_or(if is_bench { STORED } else { STORED_IN_TEST });
    let each = |time: Duration| time.as_nanos() as f64 / stored as f64;
    let root = tempfile::tempdir().expect("a folder");

    let before = resident_mib();
    let mut index = open(root.path());
    let spent = fill(&index, stored);
    let (claims, runs, upkeep) = (each(spent.claims), each(spent.runs), each(spent.upkeep));
    println!(
        "index, {stored} new ids: {:.0} ns each = claims {claims:.0}, runs {runs:.0}, upkeep {upkeep:.0}",
        claims + runs + upkeep
    );
    println!("index: longest step of upkeep {} ms", spent.upkeep_longest.as_millis());
    let bytes = index.memory_bytes() as f64 / stored as f64;
    println!("index: {} MiB more in the process, {bytes:.1} bytes an id", resident_mib() - before);
    let mut opening = Duration::ZERO;
    drop(index);
    index = timed(&mut opening, || open(root.path()));
    println!("index: opened in {:.2} s", opening.as_secs_f64());

    let before = resident_mib();
    let (mut plain, mut inserts) = (Plain::default(), Duration::ZERO);
    for first in (0..stored).step_by(GROUP as usize) {
        let hashes = hashes(first);
        assert_eq!(timed(&mut inserts, || hashes.into_iter().filter(|hash| !plain.insert(*hash)).count()), 0);
    }
    let mib = resident_mib().saturating_sub(before);
    println!("plain set, {stored} new ids: {:.0} ns each; {mib} MiB more in the process", each(inserts));

    compare(&index, plain, stored, is_bench);
}

/// Claims and insertions on what is filled, on the clock.
fn compare(index: &Index, mut plain: Plain, stored: u64, is_bench: bool) {
    let mut criterion = if is_bench { Criterion::default() } else { Criterion::default().sample_size(10) };
    let mut group = criterion.benchmark_group("a group of ids");
    let seconds = |seconds| if is_bench { Duration::from_secs(seconds) } else { Duration::from_millis(10) };
    group.throughput(Throughput::Elements(GROUP)).warm_up_time(seconds(3)).measurement_time(seconds(5));
    let (mut next, mut segment) = (stored, stored / SEGMENT + 2);
    group.bench_function("claim new", |bench| {
        bench.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                let hashes = hashes(next);
                next += GROUP;
                assert_eq!(on_clock(&mut total, || claim(index, segment, &hashes)), 0);
                if next.is_multiple_of(SEGMENT * SEALED) {
                    index.persist(segment as i64).expect("persisted");
                    segment += 1;
                    maintain(index);
                }
            }
            total
        });
    });
    group.bench_function("insert new into the plain set", |bench| {
        bench.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                let hashes = hashes(next);
                next += GROUP;
                on_clock(&mut total, || hashes.iter().for_each(|hash| assert!(plain.insert(*hash))));
            }
            total
        });
    });
    drop(plain);
    let mut seed = 0;
    group.bench_function("claim known", |bench| {
        bench.iter_custom(|rounds| {
            let mut total = Duration::ZERO;
            for _ in 0..rounds {
                // From all that is stored.
                let hashes: Vec<_> = (0..GROUP).map(|some| hash((seed + some * 1_000_003) % stored)).collect();
                seed += 7_919;
                assert_eq!(on_clock(&mut total, || claim(index, segment, &hashes)), GROUP as usize);
            }
            total
        });
    });
    group.finish();
    criterion.final_summary();
}
