//! Texts of which few stand in many rows.

use std::collections::HashSet;
use std::sync::Arc;

/// Each text once, however many rows have it.
#[derive(Default)]
pub(crate) struct Texts(HashSet<Arc<str>>);

impl Texts {
    /// The text, shared with whoever has had it before.
    pub(crate) fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return known.clone();
        }
        let new: Arc<str> = text.into();
        self.0.insert(new.clone());
        new
    }
}
