//! Stub of the index with the agreed interface.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::LakeError;

/// 128 bits of an event's id: two of a billion events share them with a probability below 10^-20.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct IdHash(u128);

impl IdHash {
    pub(crate) fn of(id: &str) -> Self {
        let hash = blake3::hash(id.as_bytes());
        let half: [u8; 16] = hash.as_bytes()[..16].try_into().expect("a blake3 hash has 32 bytes");
        Self(u128::from_le_bytes(half))
    }
}

/// Known ids.
#[derive(Default)]
pub(crate) struct Index(Mutex<HashSet<IdHash>>);

impl Index {
    pub(crate) fn claim(
        &self,
        _segment: i64,
        _received_at_us: i64,
        ids: &[IdHash],
        known: &mut Vec<u32>,
    ) -> Result<(), LakeError> {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, position) in ids.iter().zip(0_u32..) {
            if !set.insert(*id) {
                known.push(position);
            }
        }
        Ok(())
    }

    pub(crate) fn take_back(&self, _segment: i64, ids: &[IdHash]) {
        let mut set = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            set.remove(id);
        }
    }

    pub(crate) fn remember(&self, _segment: i64, _received_at_us: i64, ids: &[IdHash]) -> Result<(), LakeError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
        Ok(())
    }

    pub(crate) fn knows(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&IdHash::of(id))
    }

    pub(crate) fn persist(&self, _up_to: i64) -> Result<(), LakeError> {
        Ok(())
    }
}
