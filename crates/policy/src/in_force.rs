//! The rules that hold at this moment: they may be replaced while messages are decided about.

use std::sync::{Arc, PoisonError, RwLock};

use crate::Rules;

/// Rules that may be replaced. Whoever asks gets those that hold then and may keep them for as long as one decision takes.
#[derive(Debug)]
pub struct InForce(RwLock<Arc<Rules>>);

impl InForce {
    /// These rules, until they are replaced.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self(RwLock::new(Arc::new(rules)))
    }

    /// The rules that hold now.
    #[must_use]
    pub fn current(&self) -> Arc<Rules> {
        // A poisoned lock only means that somebody panicked while they looked; the rules are whole.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on these rules hold.
    pub fn replace(&self, rules: Rules) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }
}
