//! What can be wrong with a segment: always the field and how to put it right.

use std::borrow::Cow;
use std::fmt;

/// Why a segment is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentError {
    /// A field has a value that cannot be meant, or is missing.
    Invalid {
        /// Where in the segment, such as `condition.all[2].ordered.within_days`; the first of a list is 0.
        field: String,
        /// What is wrong with it and what to write instead.
        reason: String,
    },
    /// There is more of something than a query should carry.
    TooMuch {
        /// Where in the segment.
        field: String,
        /// What there is too much of, such as `bytes`.
        what: &'static str,
        /// How many there are, or how many were counted before counting was given up.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
}

impl SegmentError {
    pub(crate) fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { field: field.into(), reason: reason.into() }
    }

    /// What is wrong with the field and what to write instead.
    #[must_use]
    pub fn reason(&self) -> Cow<'_, str> {
        match self {
            Self::Invalid { reason, .. } => reason.into(),
            Self::TooMuch { what, count, limit, .. } => format!("has {count} {what}; the limit is {limit}").into(),
        }
    }

    /// The field that is to be put right.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::Invalid { field, .. } | Self::TooMuch { field, .. } => field,
        }
    }
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.field(), self.reason())
    }
}

impl std::error::Error for SegmentError {}
