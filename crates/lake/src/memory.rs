//! The memory of one query.
//!
//! DataFusion's own fair pool lets sorts and groups, which can go to disk, fill it to the brim; what comes after them in
//! the same query cannot, and fails for want of a few megabytes. Here the last part of the memory is kept for it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

/// One part in so many is kept for what cannot go to disk.
const KEPT_PART: usize = 3;

/// A limit on the memory of a query, of which a part is out of reach for what can go to disk.
#[derive(Debug)]
pub(crate) struct QueryMemory {
    limit: usize,
    /// Shared fairly among what can go to disk.
    spilling: FairSpillPool,
    /// Used by what cannot.
    fixed: AtomicUsize,
}

impl QueryMemory {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, spilling: FairSpillPool::new(limit - limit / KEPT_PART), fixed: AtomicUsize::new(0) }
    }
}

impl fmt::Display for QueryMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB per query", self.limit >> 20)
    }
}

impl MemoryPool for QueryMemory {
    fn name(&self) -> &'static str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.spilling.register(consumer);
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.spilling.unregister(consumer);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        if reservation.consumer().can_spill() {
            self.spilling.grow(reservation, additional);
        } else {
            self.fixed.fetch_add(additional, Ordering::Relaxed);
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        if reservation.consumer().can_spill() {
            self.spilling.shrink(reservation, shrink);
        } else {
            self.fixed.fetch_sub(shrink, Ordering::Relaxed);
        }
    }

    /// Two that grow at the same moment may both pass the check; a limit on memory need not be exact to the byte.
    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let wanted = self.reserved() + additional;
        if wanted > self.limit {
            let name = reservation.consumer().name();
            let text = format!("{name} asks for {} KiB more than there is", (wanted - self.limit).div_ceil(1 << 10));
            return Err(DataFusionError::ResourcesExhausted(text));
        }
        if reservation.consumer().can_spill() {
            return self.spilling.try_grow(reservation, additional);
        }
        self.fixed.fetch_add(additional, Ordering::Relaxed);
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.spilling.reserved() + self.fixed.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_part_is_kept_for_what_cannot_go_to_disk() {
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryMemory::new(300));
        let sort = MemoryConsumer::new("sort").with_can_spill(true).register(&pool);
        let merge = MemoryConsumer::new("merge").register(&pool);
        assert!(sort.try_grow(201).is_err());
        sort.try_grow(200).unwrap();
        merge.try_grow(100).unwrap();
        assert!(merge.try_grow(1).is_err());
        assert_eq!(pool.reserved(), 300);
        drop(sort);
        merge.try_grow(200).unwrap();
        drop(merge);
        assert_eq!(pool.reserved(), 0);
    }
}
