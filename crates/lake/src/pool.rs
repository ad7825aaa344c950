//! The memory of one query.
//!
//! Steps of a query that can go to disk when memory is short share what there is. DataFusion's own fair pool gives each of
//! them the same part from the beginning, although most hardly need theirs: a query that groups by many values goes to disk
//! when it holds a tenth of what it may. Here a step takes what it needs while there is plenty, and only then each is held to
//! its part, which no other of them can take. Steps that cannot go to disk take from the whole.

use std::fmt::{Display, Formatter};
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

/// Of so many parts of the memory, one is divided evenly between the steps; the others are for whoever comes first.
const PARTS: usize = 4;

/// See the module.
#[derive(Debug)]
pub(crate) struct QueryPool {
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How many steps there are that can go to disk.
    steps: usize,
    used: usize,
}

impl QueryPool {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &'static str {
        "query"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.lock().steps += usize::from(consumer.can_spill());
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut state = self.lock();
        state.steps = state.steps.saturating_sub(usize::from(consumer.can_spill()));
    }

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        self.lock().used += additional;
    }

    fn shrink(&self, _: &MemoryReservation, less: usize) {
        let mut state = self.lock();
        state.used = state.used.saturating_sub(less);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut state = self.lock();
        let after = state.used + additional;
        let granted = if reservation.consumer().can_spill() {
            let own = self.bytes_max / PARTS / state.steps.max(1);
            after <= self.bytes_max / PARTS * (PARTS - 1) || reservation.size() + additional <= own && after <= self.bytes_max
        } else {
            after <= self.bytes_max
        };
        if !granted {
            let name = reservation.consumer().name();
            let text =
                format!("{name} holds {} bytes and asks for {additional} more; all hold {}", reservation.size(), state.used);
            return Err(DataFusionError::ResourcesExhausted(text));
        }
        state.used = after;
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.lock().used
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes_max)
    }
}

impl Display for QueryPool {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}(pool_size: {})", self.name(), self.bytes_max)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn the_first_takes_what_it_needs_and_all_have_their_part() {
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryPool::new(400));
        let step = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let (greedy, other) = (step("greedy"), step("other"));
        greedy.try_grow(300).unwrap();
        assert!(greedy.try_grow(1).is_err(), "it has to go to disk now");
        other.try_grow(50).unwrap();
        assert!(other.try_grow(1).is_err(), "a quarter is divided by two");
        let fixed = MemoryConsumer::new("fixed").register(&pool);
        fixed.try_grow(50).unwrap();
        assert!(fixed.try_grow(1).is_err());
        greedy.shrink(200);
        other.try_grow(50).unwrap();
        drop((greedy, other, fixed));
        assert_eq!(pool.reserved(), 0);
    }
}
