//! A segment: a name, and who is in it, by a condition or by a query of one's own.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vocabulary::Currency;

use crate::check::check;
use crate::compile::compile;
use crate::condition::Condition;
use crate::describe::describe;
use crate::error::SegmentError;

/// A named audience. Exactly one of `condition` and `sql` is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Its name, such as `dormant-30-days`.
    pub segment: String,
    /// What it is for, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// Who is in it, as a query that gives a column `contact_key`, for what conditions cannot say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
}

impl Segment {
    /// Checks all that can be checked without a base currency. A segment that was read is not checked yet.
    ///
    /// # Errors
    /// [`SegmentError`] names the first field that is wrong, and the fix.
    pub fn check(&self) -> Result<(), SegmentError> {
        check(self, None)
    }

    /// The query that gives the `contact_key` of everybody in the segment at a moment. Nothing that happened after `at` counts,
    /// and amounts are in `base`, whose minor units `orders.amount_base_minor` is in.
    ///
    /// # Errors
    /// As [`Segment::check`], and for an amount with more decimals than `base` has.
    pub fn query(&self, at: Timestamp, base: Currency) -> Result<String, SegmentError> {
        check(self, Some(base))?;
        match (&self.condition, &self.sql) {
            (Some(condition), _) => Ok(compile(condition, at, base)),
            (None, sql) => Ok(sql.clone().unwrap_or_default()),
        }
    }

    /// Who is in it in English, one sentence per condition; all of them hold.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        match &self.condition {
            Some(condition) => describe(condition),
            None => vec!["is given by the segment's own SQL".to_owned()],
        }
    }
}
