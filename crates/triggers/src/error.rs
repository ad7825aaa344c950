//! What can be wrong with a trigger: always the field and how to put it right.

/// Why a trigger is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {reason}")]
pub struct TriggerError {
    /// Where in the trigger, such as `when.spent.more_than`; the first of a list is 0.
    pub field: String,
    /// What is wrong with it and what to write instead.
    pub reason: String,
}

impl TriggerError {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { field: field.into(), reason: reason.into() }
    }
}
