//! Pairs of codes become small numbers, quickly.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Pairs with a first code below this and a second below [`SECOND_MAX`] are looked up in a table instead of a map: nearly
/// every row of nearly every file. The table takes 256 KiB at most.
const FIRST_MAX: u32 = 1024;
const SECOND_MAX: u32 = 64;
const NONE: u32 = u32::MAX;

/// Numbers pairs of codes in the order they are first seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups {
    table: Vec<u32>,
    map: HashMap<u64, u32, BuildHasherDefault<Spread>>,
    keys: Vec<(u32, u32)>,
}

impl Groups {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The pair of codes of group `id`.
    pub(super) fn key(&self, id: usize) -> (u32, u32) {
        self.keys[id]
    }

    /// Sets `ids` to the group of each pair; the first code is 0 where there is none.
    pub(super) fn find(&mut self, first: Option<&[u32]>, second: &[u32], ids: &mut Vec<u32>) {
        ids.clear();
        match first {
            None => ids.extend(second.iter().map(|second| self.id(0, *second))),
            Some(first) => ids.extend(first.iter().zip(second).map(|(first, second)| self.id(*first, *second))),
        }
    }

    #[inline]
    fn id(&mut self, first: u32, second: u32) -> u32 {
        if first < FIRST_MAX && second < SECOND_MAX {
            let at = (first * SECOND_MAX + second) as usize;
            match self.table.get(at) {
                Some(id) if *id != NONE => *id,
                _ => self.add_to_table(at, first, second),
            }
        } else {
            let next = self.keys.len() as u32;
            let id = *self.map.entry(u64::from(first) << 32 | u64::from(second)).or_insert(next);
            if id == next {
                self.keys.push((first, second));
            }
            id
        }
    }

    #[cold]
    fn add_to_table(&mut self, at: usize, first: u32, second: u32) -> u32 {
        if self.table.len() <= at {
            self.table.resize(at + 1, NONE);
        }
        let id = self.keys.len() as u32;
        self.table[at] = id;
        self.keys.push((first, second));
        id
    }
}

/// Spreads integers over 64 bits. Keys are our own codes, so that nobody can choose them to collide.
#[derive(Debug, Clone, Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, key: u32) {
        self.write_u64(u64::from(key));
    }

    fn write_u64(&mut self, key: u64) {
        // 2⁶⁴ divided by the golden ratio (Knuth 1973); the low half of a product knows only low bits, so it takes some of
        // the high.
        let product = (self.0 ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }
}
