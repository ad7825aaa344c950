//! Random histories of claims, failures, persists, merges, restarts and crashes, compared with a map.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::{IdHash, Index, IndexConfig, MICROSECONDS_PER_DAY, hash, open};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    /// Ids are claimed; if not `durable`, writing their events fails.
    Claim {
        numbers: Vec<u64>,
        durable: bool,
    },
    /// So many hours pass.
    Pass(i64),
    /// The log begins a new segment.
    Seal,
    /// All segments but the open one are persisted and then deleted.
    Persist,
    Maintain,
    Restart,
    /// A crash in the middle of persisting or maintaining, before or after the manifest was replaced, with new files cut
    /// to this share.
    Crash {
        persisting: bool,
        committed: bool,
        cut: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let numbers = prop_oneof![
        prop::collection::vec(0_u64..60, 0..10),
        // Many at once, so that runs of several sizes come to be.
        (0_u64..2_000, 0_u64..300).prop_map(|(first, count)| (first..first + count).collect()),
    ];
    prop_oneof![
        8 => (numbers, prop::bool::weighted(0.8)).prop_map(|(numbers, durable)| Step::Claim { numbers, durable }),
        2 => (0_i64..12).prop_map(Step::Pass),
        4 => Just(Step::Seal),
        4 => Just(Step::Persist),
        4 => Just(Step::Maintain),
        1 => Just(Step::Restart),
        1 => (any::<bool>(), any::<bool>(), any::<u8>())
            .prop_map(|(persisting, committed, cut)| Step::Crash { persisting, committed, cut }),
    ]
}

/// The names and contents of a folder.
type Files = BTreeMap<String, Vec<u8>>;

fn files(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

/// What must be true, kept beside the index.
struct World {
    folder: tempfile::TempDir,
    config: IndexConfig,
    index: Option<Index>,
    /// When each id was last accepted.
    accepted: BTreeMap<u64, i64>,
    /// The log: what is durable in each segment that was not deleted, and when it was received.
    log: BTreeMap<i64, Vec<(i64, u64)>>,
    segment: i64,
    now: i64,
    /// The latest time the index was maintained at.
    maintained: i64,
}

impl World {
    fn new(config: IndexConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let index = Some(open(folder.path(), config));
        let (accepted, log) = (BTreeMap::new(), BTreeMap::new());
        Self { folder, config, index, accepted, log, segment: 1, now: 0, maintained: 0 }
    }

    fn index(&self) -> &Index {
        self.index.as_ref().unwrap()
    }

    /// Whether the index must know, may know or cannot know the id.
    fn must_know(&self, number: u64) -> Option<bool> {
        match self.accepted.get(&number) {
            None => Some(false),
            Some(received) if *received >= self.maintained - MICROSECONDS_PER_DAY => Some(true),
            Some(_) => None,
        }
    }

    fn claim(&mut self, numbers: &[u64], durable: bool) {
        let hashes: Vec<IdHash> = numbers.iter().map(|number| hash(*number)).collect();
        let mut known = Vec::new();
        self.index().claim(self.segment, self.now, &hashes, &mut known).unwrap();
        assert!(known.is_sorted_by(|a, b| a < b));
        let mut fresh = BTreeMap::new();
        for (position, number) in numbers.iter().enumerate() {
            let is_known = known.binary_search(&(position as u32)).is_ok();
            let expected = if fresh.contains_key(number) { Some(true) } else { self.must_know(*number) };
            assert!(expected.is_none_or(|expected| expected == is_known), "{number} at {position}: known is {is_known}");
            if !is_known {
                fresh.insert(*number, self.now);
            }
        }
        if durable {
            self.log.entry(self.segment).or_default().extend(fresh.keys().map(|number| (self.now, *number)));
            self.accepted.append(&mut fresh);
        } else {
            self.index().take_back(self.segment, &fresh.keys().map(|number| hash(*number)).collect::<Vec<_>>());
            // One that had passed out of the window is now gone for good.
            fresh.keys().for_each(|number| _ = self.accepted.remove(number));
        }
    }

    fn persist(&mut self) {
        self.index().persist(self.segment - 1).unwrap();
    }

    /// Deletes what the index does not need; here all events are in the tables at once.
    fn delete_log(&mut self) {
        let persisted = self.index().persisted();
        self.log.retain(|segment, _| *segment > persisted);
    }

    fn maintain(&mut self) {
        self.maintained = self.now;
        self.index().maintain(self.now).unwrap();
    }

    fn restart(&mut self) {
        self.index = None;
        let opened = Index::open(self.folder.path(), self.config).unwrap();
        assert_eq!(opened.rebuild, None);
        let persisted = opened.index.persisted();
        for (segment, events) in self.log.range(persisted + 1..) {
            for (received, number) in events {
                opened.index.remember(*segment, *received, &[hash(*number)]);
            }
        }
        self.index = Some(opened.index);
        self.segment += 1;
    }

    fn crash(&mut self, persisting: bool, committed: bool, cut: u8) {
        let before = files(self.folder.path());
        if persisting {
            self.persist()
        } else {
            self.maintain()
        }
        let after = files(self.folder.path());
        self.index = None;
        let manifest = if committed { &after } else { &before }["manifest"].clone();
        // Nothing is deleted before the manifest is replaced. What is new or still being written may be half there until then.
        let mut left = before.clone();
        for (name, bytes) in after.iter().filter(|(name, bytes)| before.get(*name) != Some(*bytes)) {
            let length = if committed { bytes.len() } else { bytes.len() * usize::from(cut) / 255 };
            left.insert(name.clone(), bytes[..length].to_vec());
        }
        left.insert("manifest".to_owned(), manifest);
        left.insert("manifest.new".to_owned(), after["manifest"][..usize::from(cut) / 8].to_vec());
        for (name, bytes) in &left {
            fs::write(self.folder.path().join(name), bytes).unwrap();
        }
        self.restart();
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Claim { numbers, durable } => self.claim(&numbers, durable),
            Step::Pass(hours) => self.now += hours * MICROSECONDS_PER_DAY / 24,
            Step::Seal => self.segment += 1,
            Step::Persist => {
                self.persist();
                self.delete_log();
            }
            Step::Maintain => self.maintain(),
            Step::Restart => self.restart(),
            Step::Crash { persisting, committed, cut } => self.crash(persisting, committed, cut),
        }
    }

    fn check_all(&self) {
        for number in 0..2_400 {
            let knows = self.index().knows(&format!("event {number}")).unwrap();
            assert!(self.must_know(number).is_none_or(|expected| expected == knows), "{number}: known is {knows}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_history_leaves_what_a_set_would_hold(
        steps in prop::collection::vec(step(), 0..80),
        memory_bytes_max in prop::sample::select(vec![0, 16 << 10, 8 << 20]),
        work_hashes_max in prop::sample::select(vec![0, 50, 1 << 20]),
    ) {
        let mut world = World::new(IndexConfig { window_days: 1, memory_bytes_max, work_hashes_max });
        for step in steps {
            world.step(step);
        }
        world.check_all();
        world.restart();
        world.check_all();
    }
}
