//! The index against a plain set: whatever happens to it, it knows what it must and nothing else.

mod damage;
mod model;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{IdHash, Index, IndexConfig, MICROSECONDS_PER_DAY};

fn open(folder: &Path, config: IndexConfig) -> Index {
    let opened = Index::open(folder, config).unwrap();
    if let Some(why) = opened.rebuild {
        assert!(why.ends_with("manifest is missing"), "{why}");
        opened.index.restored(0).unwrap();
    }
    opened.index
}

fn hash(number: u64) -> IdHash {
    IdHash::of(&format!("event {number}"))
}

/// Claims for a segment, and tells which positions were known.
fn claim(index: &Index, segment: i64, received_at: i64, numbers: impl IntoIterator<Item = u64>) -> Vec<u32> {
    let hashes: Vec<_> = numbers.into_iter().map(hash).collect();
    let mut known = Vec::new();
    index.claim(segment, received_at, &hashes, &mut known).unwrap();
    known
}

fn maintain_all(index: &Index, now: i64) {
    while index.maintain(now).unwrap().more {}
}

#[test]
fn repeats_are_known_in_the_batch_in_memory_and_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path(), IndexConfig::default());
    assert_eq!(claim(&index, 1, 0, [1, 2, 1, 3, 2]), [2, 4]);
    assert_eq!(claim(&index, 1, 0, [4, 3]), [1]);
    assert_eq!(claim(&index, 2, 0, [1, 5]), [0]);
    index.persist(1).unwrap();
    assert_eq!((index.persisted(), index.unpersisted(), index.len_estimate()), (1, 1, 5));
    assert_eq!(claim(&index, 2, 0, [6, 1, 6, 2, 5, 7]), [1, 2, 3, 4]);
    assert!(index.knows("event 1").unwrap() && index.knows("event 7").unwrap() && !index.knows("event 8").unwrap());
    // The answer is appended to what is there.
    let mut known = vec![17];
    index.claim(2, 0, &[hash(9), hash(1)], &mut known).unwrap();
    assert_eq!(known, [17, 1]);
}

#[test]
fn what_was_taken_back_is_new_again() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path(), IndexConfig::default());
    claim(&index, 1, 0, 0..100);
    index.take_back(1, &(40..100).map(hash).collect::<Vec<_>>());
    assert_eq!(index.unpersisted(), 40);
    assert!(!index.knows("event 40").unwrap() && index.knows("event 39").unwrap());
    assert_eq!(claim(&index, 1, 0, [39, 40, 41]), [0]);
    index.persist(1).unwrap();
    assert_eq!(claim(&index, 2, 0, [39, 40, 41, 42]), [0, 1, 2]);
}

#[test]
#[should_panic(expected = "ids of segment 3 came after segment 3 was persisted")]
fn a_persisted_segment_takes_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let index = open(folder.path(), IndexConfig::default());
    index.persist(3).unwrap();
    claim(&index, 3, 0, [1]);
}

#[test]
fn ids_are_known_for_the_window_and_then_their_files_go() {
    let folder = tempfile::tempdir().unwrap();
    let config = IndexConfig { window_days: 10, ..IndexConfig::default() };
    let index = open(folder.path(), config);
    let files = || std::fs::read_dir(folder.path()).unwrap().count();
    for day in 0..40 {
        let now = day * MICROSECONDS_PER_DAY;
        let ids = |day: i64| (day * 1000) as u64..(day * 1000 + 50) as u64;
        for (part, hour) in [(0, 1), (1, 20)] {
            let half = ids(day).skip(part * 25).take(25);
            assert_eq!(claim(&index, day * 2 + 1 + part as i64, now + hour * MICROSECONDS_PER_DAY / 24, half), [0_u32; 0]);
            index.persist(day * 2 + 1 + part as i64).unwrap();
            maintain_all(&index, now + hour * MICROSECONDS_PER_DAY / 24);
        }
        for age in 0..=9.min(day) {
            assert!(ids(day - age).all(|id| index.knows(&format!("event {id}")).unwrap()), "day {day}, {age} days ago");
        }
        // A fifth of the window longer, and the day at hand.
        if day > 13 {
            assert!(!ids(day - 13).any(|id| index.knows(&format!("event {id}")).unwrap()), "day {day}");
        }
        assert!(files() < 20, "day {day}: {} files", files());
    }
    maintain_all(&index, 100 * MICROSECONDS_PER_DAY);
    assert_eq!((index.len_estimate(), files()), (0, 1), "only the manifest is left");
}

#[test]
fn memory_is_bounded_and_the_answers_stay_exact() {
    let folder = tempfile::tempdir().unwrap();
    let config = IndexConfig { memory_bytes_max: 1 << 20, ..IndexConfig::default() };
    let index = open(folder.path(), config);
    for segment in 0..60 {
        let first = segment as u64 * 5_000;
        assert_eq!(claim(&index, segment + 1, 0, first..first + 5_000), [0_u32; 0]);
        index.persist(segment + 1).unwrap();
        maintain_all(&index, 0);
        assert!(index.memory_bytes() <= 1 << 20);
    }
    // 300,000 ids in 768 KiB: the filter has as many bits as it needs. In 40 KiB one.
    drop(index);
    let index = open(folder.path(), IndexConfig { memory_bytes_max: 50 << 10, ..config });
    assert!(index.memory_bytes() < 60 << 10);
    assert_eq!(claim(&index, 100, 0, 299_900..300_100).len(), 100);
    assert_eq!(claim(&index, 100, 0, (0..300_200).step_by(1_000)).len(), 301);
    assert_eq!(index.len_estimate(), 300_100);
}

#[test]
fn the_filter_grows_and_shrinks_with_the_ids() {
    let folder = tempfile::tempdir().unwrap();
    let config = IndexConfig { work_hashes_max: 1, ..IndexConfig::default() };
    let index = open(folder.path(), config);
    let small = index.memory_bytes();
    assert_eq!(claim(&index, 1, 0, 0..1_000_000), [0_u32; 0]);
    index.persist(1).unwrap();
    assert_eq!(claim(&index, 2, 95 * MICROSECONDS_PER_DAY, 1_000_000..1_150_000), [0_u32; 0]);
    let done = index.maintain(0).unwrap();
    assert!(done.filtered > 0 && done.more, "one shard at a time");
    maintain_all(&index, 0);
    assert_eq!(claim(&index, 2, 0, (0..1_150_050).step_by(50)).len(), 23_000);
    index.persist(2).unwrap();
    let grown = index.memory_bytes();
    assert!(grown > 2 * small);
    maintain_all(&index, 100 * MICROSECONDS_PER_DAY);
    assert!(index.memory_bytes() < grown / 2);
    assert_eq!(claim(&index, 3, 0, (1_000_000..1_150_000).step_by(50)).len(), 3_000);
    assert_eq!(claim(&index, 3, 0, (50..1_000_000).step_by(500)), [0_u32; 0]);
}

#[test]
fn what_passes_out_of_the_window_during_a_merge_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let config = IndexConfig { window_days: 10, work_hashes_max: 50, ..IndexConfig::default() };
    let index = open(folder.path(), config);
    for segment in 1..=8 {
        let day = segment / 5;
        claim(&index, segment, day * MICROSECONDS_PER_DAY, segment as u64 * 100..segment as u64 * 100 + 100);
        index.persist(segment).unwrap();
    }
    let done = index.maintain(MICROSECONDS_PER_DAY).unwrap();
    assert!(done.merged > 0 && done.more, "a merge of all eight is under way");
    let done = index.maintain(MICROSECONDS_PER_DAY * 21 / 2).unwrap();
    assert_eq!(done.dropped, 4);
    maintain_all(&index, MICROSECONDS_PER_DAY * 21 / 2);
    assert_eq!(index.len_estimate(), 400);
    assert!(!index.knows("event 150").unwrap() && index.knows("event 850").unwrap());
}

/// One claims while another persists and maintains and a third asks: each id is accepted once, and known ever after.
#[test]
fn claims_go_on_while_runs_are_written_and_merged() {
    const SEGMENTS: i64 = 200;
    let folder = tempfile::tempdir().unwrap();
    let config = IndexConfig { memory_bytes_max: 16 << 10, work_hashes_max: 300, ..IndexConfig::default() };
    let index = open(folder.path(), config);
    let (sealed, tell_sealed) = (std::sync::mpsc::channel::<i64>(), AtomicBool::new(false));
    let (sender, receiver) = sealed;
    let done = &tell_sealed;
    std::thread::scope(|scope| {
        let index = &index;
        scope.spawn(move || {
            for segment in receiver {
                index.persist(segment).unwrap();
                index.maintain(0).unwrap();
            }
        });
        scope.spawn(move || {
            while !done.load(Ordering::Acquire) {
                index.maintain(0).unwrap();
                assert!(!index.knows("never told").unwrap());
            }
        });
        for segment in 1..=SEGMENTS {
            let first = segment as u64 * 100;
            // A hundred new ones, and as many from all that came before.
            let repeats = (100..first).step_by(segment as usize);
            let count = repeats.clone().count();
            let known = claim(index, segment, 0, repeats.chain(first..first + 100));
            assert!(known.into_iter().eq(0..count as u32), "segment {segment}");
            sender.send(segment).unwrap();
        }
        drop(sender);
        done.store(true, Ordering::Release);
    });
    maintain_all(&index, 0);
    assert_eq!(index.len_estimate(), SEGMENTS as u64 * 100);
    assert_eq!(index.persisted(), SEGMENTS);
}
