//! Tells at the price of one cache line that an id is new: a Bloom filter over everything that is remembered.
//!
//! All runs and the recent ids share one filter, so that it does not matter how many runs there are. It is cut into
//! shards by the hash, and each can be built anew from its stretch of every run while the others serve. Blocks follow
//! the order of hashes: building from a run is a walk, not a jump per hash. When the bound on memory keeps the filter from
//! growing, more ids look known that are not, and those are looked up on disk: slower, never wrong.

use super::hash::{IdHash, scaled};

/// Parts that are built one at a time; a power of two. So many that one is built in milliseconds.
pub(super) const SHARDS: u64 = 64;
/// Bits in the filter for each hash: one in a thousand new ids is looked up on disk.
const BITS_PER_HASH: u64 = 16;
/// Words of a block, one bit set in each.
const LANES: usize = 8;
const LANE_BITS: u32 = 6;
const BLOCK_BITS: u64 = 64 * LANES as u64;
const BLOCK_BYTES: u64 = BLOCK_BITS / 8;
/// The least a shard has, where memory allows: 2 MiB in all, so that a million ids come before it must grow.
const SHARD_BLOCKS_MIN: u64 = 512;
/// A grown shard has room for this many times its hashes, where memory allows.
const GROWTH: u64 = 2;
/// Hashes that are fetched from memory together.
pub(super) const FETCHED: usize = 32;

/// One cache line.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Block([u64; LANES]);

/// The part of the filter for one stretch of hashes.
pub(super) struct Shard {
    blocks: Box<[Block]>,
    /// Hashes whose bits are set.
    added: u64,
    /// Those of them that were dropped since.
    stale: u64,
}

impl Shard {
    /// An empty shard of so many blocks.
    pub(super) fn new(blocks: u64) -> Self {
        Self { blocks: vec![Block::default(); blocks as usize].into_boxed_slice(), added: 0, stale: 0 }
    }

    fn block_of(&self, hash: IdHash) -> usize {
        scaled(hash.high().wrapping_mul(SHARDS), self.blocks.len() as u64) as usize
    }

    /// Adds a hash. False if it looked known before.
    pub(super) fn add(&mut self, hash: IdHash) -> bool {
        let block = self.block_of(hash);
        let (words, low) = (&mut self.blocks[block].0, hash.low());
        let mut missing = 0;
        for (lane, word) in words.iter_mut().enumerate() {
            let bit = bit_of(low, lane);
            missing |= !*word & bit;
            *word |= bit;
        }
        self.added += u64::from(missing != 0);
        missing != 0
    }

    fn may_know(&self, hash: IdHash) -> bool {
        let (words, low) = (&self.blocks[self.block_of(hash)].0, hash.low());
        words.iter().enumerate().all(|(lane, word)| word & bit_of(low, lane) != 0)
    }
}

fn bit_of(low: u64, lane: usize) -> u64 {
    1 << ((low >> (LANE_BITS * lane as u32)) & 63)
}

/// The whole filter.
pub(super) struct Filter {
    shards: Vec<Shard>,
    shard_blocks_max: u64,
}

impl Filter {
    /// A filter with room for `hashes`, of at most `bytes_max`.
    pub(super) fn new(hashes: u64, bytes_max: u64) -> Self {
        let shard_blocks_max = (bytes_max / SHARDS / BLOCK_BYTES).max(1);
        let mut filter = Self { shards: Vec::new(), shard_blocks_max };
        let blocks = filter.blocks_for(hashes / SHARDS);
        filter.shards.extend((0..SHARDS).map(|_| Shard::new(blocks)));
        filter
    }

    fn blocks_for(&self, hashes: u64) -> u64 {
        (hashes * GROWTH * BITS_PER_HASH).div_ceil(BLOCK_BITS).max(SHARD_BLOCKS_MIN).min(self.shard_blocks_max)
    }

    fn shard_of(hash: IdHash) -> usize {
        hash.part_of(SHARDS) as usize
    }

    /// Begins to bring the lines of all these hashes from memory, so that the waits overlap.
    pub(super) fn fetch(&self, hashes: &[IdHash]) {
        let mut seen = 0;
        for hash in hashes {
            let shard = &self.shards[Self::shard_of(*hash)];
            seen ^= shard.blocks[shard.block_of(*hash)].0[0];
        }
        std::hint::black_box(seen);
    }

    /// Adds a hash. False if it looked known before.
    pub(super) fn add(&mut self, hash: IdHash) -> bool {
        self.shards[Self::shard_of(hash)].add(hash)
    }

    /// Whether the hash may have been added. Never false of one that was.
    pub(super) fn may_know(&self, hash: IdHash) -> bool {
        self.shards[Self::shard_of(hash)].may_know(hash)
    }

    /// Notes that so many hashes were dropped, spread evenly.
    pub(super) fn dropped(&mut self, hashes: u64) {
        for shard in &mut self.shards {
            shard.stale = (shard.stale + hashes.div_ceil(SHARDS)).min(shard.added);
        }
    }

    /// The first shard at or behind `from` that should be built anew, with how many hashes and
    /// blocks it will have.
    pub(super) fn to_rebuild(&self, from: u64) -> Option<(u64, u64, u64)> {
        (from..SHARDS).find_map(|number| {
            let shard = &self.shards[number as usize];
            let live = shard.added - shard.stale;
            let (blocks, wanted) = (shard.blocks.len() as u64, self.blocks_for(live));
            let is_full = shard.added * BITS_PER_HASH > blocks * BLOCK_BITS;
            let is_stale = shard.stale > shard.added / 4;
            // Growing by less than a quarter is not worth reading the runs.
            (is_stale || is_full && wanted * 4 > blocks * 5).then_some((number, live, wanted))
        })
    }

    /// Puts a shard that was built anew in its place and hands back the old one.
    pub(super) fn replace(&mut self, number: u64, shard: Shard) -> Shard {
        std::mem::replace(&mut self.shards[number as usize], shard)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.blocks.len() as u64 * BLOCK_BYTES).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evenly spread hashes.
    fn hash(number: u64) -> IdHash {
        let mix = |value: u64| {
            let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            u128::from(value ^ (value >> 31))
        };
        IdHash::from_bits(mix(number) << 64 | mix(number ^ 0x9e37_79b9_7f4a_7c15))
    }

    /// Of 10,000 unknown hashes, how many look known.
    fn mistaken(filter: &Filter) -> usize {
        (0..10_000).filter(|number| filter.may_know(hash(1 << 40 | number))).count()
    }

    fn filled(hashes: u64, expected: u64, bytes_max: u64) -> Filter {
        let mut filter = Filter::new(expected, bytes_max);
        (0..hashes).for_each(|number| _ = filter.add(hash(number)));
        assert!((0..hashes).all(|number| filter.may_know(hash(number))));
        filter
    }

    #[test]
    fn a_filter_of_full_size_is_rarely_mistaken_and_a_small_one_often() {
        let roomy = filled(100_000, 100_000, 100_000 * BITS_PER_HASH / 8);
        assert!(roomy.bytes() <= 100_000 * BITS_PER_HASH / 8);
        assert!(mistaken(&roomy) < 30);
        let tiny = filled(100_000, 100_000, 4096);
        assert_eq!(tiny.bytes(), 4096);
        assert!(mistaken(&tiny) > 9_900);
        assert!(tiny.to_rebuild(0).is_none(), "it may not grow");
    }

    #[test]
    fn an_addition_tells_what_was_there() {
        let mut filter = Filter::new(0, 1 << 30);
        assert!(filter.add(hash(1)) && !filter.add(hash(1)) && filter.add(hash(2)));
    }

    #[test]
    fn a_shard_grows_when_full_and_shrinks_when_stale() {
        const MANY: u64 = 1_600_000;
        let mut filter = filled(MANY, 0, 1 << 30);
        let (small, often) = (filter.bytes(), mistaken(&filter));
        let (mut from, mut rebuilt) = (0, 0);
        while let Some((number, _, blocks)) = filter.to_rebuild(from) {
            filter.replace(number, Shard::new(blocks));
            (from, rebuilt) = (number + 1, rebuilt + 1);
        }
        assert_eq!(rebuilt, SHARDS);
        (0..MANY).for_each(|number| _ = filter.add(hash(number)));
        assert!(filter.to_rebuild(0).is_none());
        assert!(filter.bytes() > 2 * small && mistaken(&filter) * 10 < often);
        filter.dropped(MANY / 2);
        let (number, live, blocks) = filter.to_rebuild(5).expect("a stale shard");
        assert_eq!(number, 5);
        assert!(live.abs_diff(MANY / 2 / SHARDS) < 1_000);
        assert!(blocks < filter.shards[5].blocks.len() as u64);
    }
}
