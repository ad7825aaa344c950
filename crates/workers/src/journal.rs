//! Where senders tell what they did: the lake itself, or a server that keeps it, for a process that only sends.

use async_trait::async_trait;
use lake::Lake;
use vocabulary::{Currency, Event, EventId};

use crate::WorkerError;

/// Takes down events, each once.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Stores events. When this returns, each is on disk once, whether this call or an earlier one brought it.
    ///
    /// # Errors
    /// [`WorkerError`]; then none of them counts as told.
    async fn append(&self, events: Vec<Event>) -> Result<(), WorkerError>;

    /// Whether an event of this id is stored.
    ///
    /// # Errors
    /// [`WorkerError`] when that cannot be found out.
    async fn knows(&self, id: &EventId) -> Result<bool, WorkerError>;

    /// The currency amounts are compared in.
    fn base_currency(&self) -> Currency;
}

#[async_trait]
impl Journal for Lake {
    async fn append(&self, events: Vec<Event>) -> Result<(), WorkerError> {
        Lake::append(self, events).await?;
        Ok(())
    }

    async fn knows(&self, id: &EventId) -> Result<bool, WorkerError> {
        Ok(Lake::knows(self, id)?)
    }

    fn base_currency(&self) -> Currency {
        Lake::base_currency(self)
    }
}
