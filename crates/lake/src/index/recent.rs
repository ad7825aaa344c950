//! The ids that are in the log but in no run yet, by the segment of the log they belong to.

use std::sync::Arc;

use super::hash::{HASH_BYTES, IdHash};

/// Slots a new table has at least.
const HOMES_MIN: u64 = 1024;
/// Slots behind the last home, for those pushed past it; more are added when they do not suffice.
const TAIL: u64 = 64;
/// So many tables that are no longer needed are kept for the segments to come.
pub(super) const SPARE_MAX: usize = 2;
/// A table is used again where it has at most so many times the room that is expected to be needed.
const SPARE_ROOM_MAX: u64 = 3;
/// Of ten slots so many are taken before the table grows: beyond, searches get long.
const TAKEN_OF_TEN_MAX: u64 = 7;

/// A set of hashes, always in order: each lies at the place its bits tell or close behind, pushed on by smaller ones.
/// So it is searched in one cache line or two, and written to disk without sorting.
#[derive(Debug)]
pub(super) struct Table {
    /// 0 where empty.
    slots: Vec<u128>,
    homes: u64,
    count: u64,
}

impl Table {
    /// An empty table with room for `count` hashes.
    pub(super) fn new(count: u64) -> Self {
        let homes = homes_for(count);
        Self { slots: vec![0; (homes + TAIL) as usize], homes, count: 0 }
    }

    /// The same table without its hashes.
    pub(super) fn emptied(mut self) -> Self {
        self.slots.fill(0);
        self.count = 0;
        self
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn bytes(&self) -> u64 {
        (self.slots.len() * HASH_BYTES) as u64
    }

    /// Begins to bring the slots of all these hashes from memory, so that the waits overlap.
    pub(super) fn fetch(&self, hashes: &[IdHash]) {
        let seen = hashes.iter().fold(0, |seen, hash| seen ^ self.slots[self.home(*hash)]);
        std::hint::black_box(seen);
    }

    fn home(&self, hash: IdHash) -> usize {
        hash.part_of(self.homes) as usize
    }

    /// The slot that holds the hash, or else the one where it belongs; that is behind the last slot if all are taken.
    fn place(&self, hash: IdHash) -> usize {
        let home = self.home(hash);
        let bits = hash.bits();
        self.slots[home..].iter().position(|slot| *slot == 0 || *slot >= bits).map_or(self.slots.len(), |offset| home + offset)
    }

    pub(super) fn contains(&self, hash: IdHash) -> bool {
        self.slots.get(self.place(hash)) == Some(&hash.bits())
    }

    /// False if it was there before.
    pub(super) fn insert(&mut self, hash: IdHash) -> bool {
        if self.count * 10 >= self.homes * TAKEN_OF_TEN_MAX {
            self.grow();
        }
        let place = self.place(hash);
        if self.slots.get(place) == Some(&hash.bits()) {
            return false;
        }
        let free = self.slots[place..].iter().position(|slot| *slot == 0).unwrap_or_else(|| {
            self.slots.extend([0; TAIL as usize]);
            self.slots.len() - TAIL as usize - place
        });
        self.slots.copy_within(place..place + free, place + 1);
        self.slots[place] = hash.bits();
        self.count += 1;
        true
    }

    pub(super) fn remove(&mut self, hash: IdHash) {
        let place = self.place(hash);
        if self.slots.get(place) != Some(&hash.bits()) {
            return;
        }
        // Those that were pushed on move back by one, up to the first that is at home.
        let pushed = |(slot, bits): (usize, &u128)| *bits != 0 && self.home(IdHash::from_bits(*bits)) < slot;
        let behind = place + 1;
        let length = (behind..).zip(&self.slots[behind..]).take_while(|pair| pushed(*pair)).count();
        self.slots.copy_within(behind..behind + length, place);
        self.slots[place + length] = 0;
        self.count -= 1;
    }

    fn grow(&mut self) {
        let homes = self.homes * 3 / 2;
        let mut slots = vec![0; (homes + TAIL) as usize];
        let mut free = 0;
        for hash in self.iter() {
            let place = free.max(hash.part_of(homes) as usize);
            if place >= slots.len() {
                slots.resize(place + TAIL as usize, 0);
            }
            slots[place] = hash.bits();
            free = place + 1;
        }
        (self.slots, self.homes) = (slots, homes);
    }

    /// All hashes in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = IdHash> + '_ {
        self.slots.iter().filter(|slot| **slot != 0).map(|slot| IdHash::from_bits(*slot))
    }

    /// Appends the hashes from slot `from` on that are at most `last`. Returns the slot to go on from.
    pub(super) fn copy(&self, from: usize, last: IdHash, into: &mut Vec<IdHash>) -> usize {
        for (slot, bits) in (from..).zip(&self.slots[from..]) {
            if *bits > last.bits() {
                return slot;
            }
            if *bits != 0 {
                into.push(IdHash::from_bits(*bits));
            }
        }
        self.slots.len()
    }

    /// Appends the hashes of part `part` of `parts`.
    pub(super) fn copy_part(&self, part: u64, parts: u64, into: &mut Vec<IdHash>) {
        let from = if part == 0 { 0 } else { self.place(IdHash::last_of(part - 1, parts)) };
        let at = into.len();
        self.copy(from, IdHash::last_of(part, parts), into);
        let before = into[at..].iter().take_while(|hash| hash.part_of(parts) < part).count();
        into.drain(at..at + before);
    }
}

fn homes_for(count: u64) -> u64 {
    (count * 10 / TAKEN_OF_TEN_MAX + 1).max(HOMES_MIN)
}

/// The ids of one segment of the log.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) number: i64,
    /// When the first and the last of its events were received, in microseconds.
    pub(super) oldest: i64,
    pub(super) newest: i64,
    /// Shared only while a run is written of it, and then no longer changed.
    pub(super) table: Arc<Table>,
}

/// All segments whose ids are in no run, by number.
#[derive(Debug, Default)]
pub(super) struct Recent {
    segments: Vec<Segment>,
    /// Empty tables: hashes lie all over a table, and memory that the system gives anew costs a fault for each page of it.
    spare: Vec<Table>,
}

/// One segment's table, to be changed, and the others.
pub(super) struct Opened<'a> {
    pub(super) table: &'a mut Table,
    others: [&'a [Segment]; 2],
}

impl Opened<'_> {
    pub(super) fn contains(&self, hash: IdHash) -> bool {
        self.table.contains(hash) || self.others.iter().any(|segments| contains(segments, hash))
    }
}

/// Newest first: what is told twice is mostly told soon again.
fn contains(segments: &[Segment], hash: IdHash) -> bool {
    segments.iter().rev().any(|segment| segment.table.contains(hash))
}

impl Recent {
    /// Opens a segment to add hashes received at this time.
    pub(super) fn open(&mut self, number: i64, received_at: i64) -> Opened<'_> {
        let place = self.segments.partition_point(|segment| segment.number < number);
        if self.segments.get(place).is_none_or(|segment| segment.number != number) {
            // Segments are of similar size: room for as many as the last one had saves growing.
            let count = if place > 0 { self.segments[place - 1].table.count() } else { 0 };
            let least = homes_for(count);
            let fits = |table: &Table| table.homes >= least && (place == 0 || table.homes <= least * SPARE_ROOM_MAX);
            let table = Arc::new(self.spare.pop().filter(fits).unwrap_or_else(|| Table::new(count)));
            self.segments.insert(place, Segment { number, oldest: received_at, newest: received_at, table });
        }
        let (before, rest) = self.segments.split_at_mut(place);
        let (segment, after) = rest.split_first_mut().expect("the segment was found or made");
        segment.oldest = segment.oldest.min(received_at);
        segment.newest = segment.newest.max(received_at);
        let table = Arc::get_mut(&mut segment.table).expect("only the tables of closed segments are shared");
        Opened { table, others: [before, after] }
    }

    pub(super) fn contains(&self, hash: IdHash) -> bool {
        contains(&self.segments, hash)
    }

    /// The segments up to this number.
    pub(super) fn up_to(&self, number: i64) -> &[Segment] {
        &self.segments[..self.segments.partition_point(|segment| segment.number <= number)]
    }

    pub(super) fn all(&self) -> &[Segment] {
        &self.segments
    }

    /// Takes the segments up to this number out.
    pub(super) fn take_up_to(&mut self, number: i64) -> Vec<Segment> {
        self.segments.drain(..self.up_to(number).len()).collect()
    }

    /// Keeps empty tables for the segments to come.
    pub(super) fn keep(&mut self, tables: Vec<Table>) {
        self.spare.extend(tables);
        self.spare.truncate(SPARE_MAX);
    }

    /// Gives the empty tables back where nothing comes in.
    pub(super) fn rest(&mut self) {
        if self.segments.is_empty() {
            self.spare = Vec::new();
        }
    }

    pub(super) fn remove(&mut self, number: i64, hashes: impl Iterator<Item = IdHash>) {
        let Some(segment) = self.segments.iter_mut().find(|segment| segment.number == number) else { return };
        let table = Arc::get_mut(&mut segment.table).expect("only the tables of closed segments are shared");
        hashes.for_each(|hash| table.remove(hash));
    }

    pub(super) fn count(&self) -> u64 {
        self.segments.iter().map(|segment| segment.table.count()).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        let tables = self.segments.iter().map(|segment| segment.table.as_ref());
        tables.chain(&self.spare).map(Table::bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Few places for many hashes: clusters, collisions and the tail are met often.
    fn crowded() -> impl Strategy<Value = IdHash> {
        let high = prop_oneof![0_u64..4, u64::MAX - 3..=u64::MAX, Just(1 << 63), any::<u64>()];
        (high, 0_u64..64).prop_map(|(high, low)| IdHash::from_bits(u128::from(high) << 64 | u128::from(low)))
    }

    proptest! {
        #[test]
        fn a_table_is_a_set_in_order(steps in prop::collection::vec((crowded(), 0..4_u8), 0..3000), part in 0_u64..7) {
            let (mut table, mut model) = (Table::new(0), BTreeSet::new());
            for (hash, step) in steps {
                if step == 0 {
                    table.remove(hash);
                    model.remove(&hash);
                } else {
                    prop_assert_eq!(table.insert(hash), model.insert(hash));
                }
                prop_assert_eq!(table.contains(hash), model.contains(&hash));
                prop_assert_eq!(table.count(), model.len() as u64);
            }
            prop_assert!(table.iter().eq(model.iter().copied()));
            let mut copied = Vec::new();
            table.copy_part(part, 7, &mut copied);
            prop_assert!(copied.iter().eq(model.iter().filter(|hash| hash.part_of(7) == part)));
        }
    }

    #[test]
    fn a_table_grows_and_stays_small() {
        let mut table = Table::new(0);
        let hashes: Vec<IdHash> = (0..100_000).map(|number: u32| IdHash::of(&number.to_string())).collect();
        assert!(hashes.iter().all(|hash| table.insert(*hash)));
        assert!(!hashes.iter().any(|hash| table.insert(*hash)));
        assert!(table.bytes() < 40 * table.count());
        assert!(table.iter().is_sorted());
    }
}
