//! The 128 bits that stand for an event's id.
//!
//! They are made by XXH3, which is no defence against somebody who looks for two ids of one hash. There is nothing to
//! defend: whoever may tell events can spend an id by telling it.

use xxhash_rust::xxh3::xxh3_128;

/// How many bytes one hash takes on disk.
pub(super) const HASH_BYTES: usize = 16;

/// 128 bits of an event's id: two of a billion events share them with a probability below 10^-20.
///
/// Hashes are ordered by their bits and spread evenly, so that the place of one among many is known from its bits alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdHash(u128);

impl IdHash {
    /// The hash of `id`.
    #[must_use]
    pub fn of(id: &str) -> Self {
        Self::from_bits(xxh3_128(id.as_bytes()))
    }

    /// The hash of these bits. 0 becomes 1, because tables mark their empty slots with it.
    #[must_use]
    pub fn from_bits(bits: u128) -> Self {
        Self(bits.max(1))
    }

    pub(crate) fn bits(self) -> u128 {
        self.0
    }

    /// The bits that tell the place among others.
    pub(super) fn high(self) -> u64 {
        (self.0 >> 64) as u64
    }

    /// The bits that say nothing of the place.
    pub(crate) fn low(self) -> u64 {
        self.0 as u64
    }

    /// In which of `parts` equal parts of all hashes this one lies; never falls as hashes rise.
    pub(super) fn part_of(self, parts: u64) -> u64 {
        scaled(self.high(), parts)
    }

    /// The last hash of part `part` of `parts`.
    pub(super) fn last_of(part: u64, parts: u64) -> Self {
        if part + 1 >= parts {
            return Self(u128::MAX);
        }
        // The first 64 bits that `scaled` puts into the next part.
        let next = (u128::from(part + 1) << 64).div_ceil(u128::from(parts));
        Self((next << 64) - 1)
    }
}

/// `value` of 2^64, as a share of `parts`.
pub(super) fn scaled(value: u64, parts: u64) -> u64 {
    ((u128::from(value) * u128::from(parts)) >> 64) as u64
}

/// Reads hashes as they stand on disk.
pub(super) fn decode(bytes: &[u8]) -> impl Iterator<Item = IdHash> + '_ {
    bytes.as_chunks::<HASH_BYTES>().0.iter().map(|bytes| IdHash(u128::from_le_bytes(*bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_nobodys_hash() {
        assert_eq!(IdHash::from_bits(0), IdHash::from_bits(1));
        assert_ne!(IdHash::of("a"), IdHash::of("b"));
    }

    #[test]
    fn parts_end_where_they_say() {
        for parts in [1, 2, 3, 7, 64, 1000, (1 << 40) + 1] {
            for part in [0, 1, 2, 5, 63, parts / 2, parts - 1] {
                if part >= parts {
                    continue;
                }
                let last = IdHash::last_of(part, parts);
                assert_eq!(last.part_of(parts), part, "the end of {part} of {parts}");
                if part + 1 < parts {
                    assert_eq!(IdHash(last.bits() + 1).part_of(parts), part + 1, "behind {part} of {parts}");
                }
            }
        }
    }
}
