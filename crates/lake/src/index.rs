//! The ids of the events that are stored, so that an event told twice is kept once.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How far back the index reaches when it is built at opening, counted from the newest event received. Callers repeat
/// a request for minutes, providers a callback for days; a month and a few days covers both, and bounds the memory.
pub(crate) const REMEMBERED_DAYS: i64 = 35;

/// 128 bits of an event's id: two of a billion events share them with a probability below 10^-20.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct IdHash(u128);

impl IdHash {
    pub(crate) fn of(id: &str) -> Self {
        let hash = blake3::hash(id.as_bytes());
        let half: [u8; 16] = hash.as_bytes()[..16].try_into().expect("a blake3 hash has 32 bytes");
        Self(u128::from_le_bytes(half))
    }

    #[cfg(test)]
    pub(crate) fn low(self) -> u64 {
        self.0 as u64
    }
}

/// A set of ids. The hashes are random already, so the set takes their bits as they are.
pub(crate) type IdSet = HashSet<IdHash, BuildHasherDefault<Unmixed>>;

/// Hands the lower 64 bits of an [`IdHash`] through.
#[derive(Default)]
pub(crate) struct Unmixed(u64);

impl Hasher for Unmixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

/// The ids that are on disk, shared by the writer and the callers.
#[derive(Default)]
pub(crate) struct Index(Mutex<IdSet>);

impl Index {
    pub(crate) fn new(ids: IdSet) -> Self {
        Self(Mutex::new(ids))
    }

    pub(crate) fn knows(&self, id: &str) -> bool {
        self.lock().contains(&IdHash::of(id))
    }

    /// A set stays whole whatever the holder of the lock was doing, so a poisoned lock is taken as it is.
    pub(crate) fn lock(&self) -> MutexGuard<'_, IdSet> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_apart() {
        let index = Index::default();
        index.lock().insert(IdHash::of("a"));
        assert!(index.knows("a"));
        assert!(!index.knows("b"));
        assert!(!index.knows(""));
    }
}
